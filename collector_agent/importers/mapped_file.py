"""Any CSV file, or file of JSON objects, into the store, by a mapping file; as often as one likes."""

import difflib
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from analytics_lib.errors import ImportFileError
from collector_agent.importers.csv_table import CsvTable, Place
from collector_agent.importers.json_table import JsonTable
from collector_agent.importers.lines import Skips
from collector_agent.importers.mapped_mapping import Mapped, load_mapping
from collector_agent.importers.mapped_rows import RowMaker
from collector_agent.importers.plain_rows import Row
from collector_agent.importers.row_errors import rows_made
from collector_agent.importers.tally import Progress, Report, StoreWriter, expanded_paths
from collector_agent.redaction.policy import Redaction

_JSON: frozenset[str] = frozenset({".json", ".jsonl", ".ndjson"})
_LOOKED_AT = 100  # rows of JSON in which a column must occur once


class MappedFile:
    """One table: `rows()` streams what is in it, `skips` says what was left out."""

    def __init__(self, path: Path, mapped: Mapped, maker: RowMaker, progress: Progress | None = None) -> None:
        self.path = path
        self.skips = Skips()
        self._mapped = mapped
        self._maker = maker
        self._progress = progress

    def rows(self) -> Iterator[Row]:
        """Raises ImportFileError where it cannot be read (any further), or has not the mapping's columns."""
        return rows_made(self._table(), lambda given: [self._maker.row(given)], self.skips)

    def _table(self) -> Iterator[tuple[Mapping[str, Any], Place]]:
        is_json = (
            self._mapped.format or ("jsonl" if self.path.suffix.lower() in _JSON else "csv")
        ) == "jsonl"
        if is_json:
            yield from self._checked_json(JsonTable(self.path, self.skips, progress=self._progress))
            return
        table = CsvTable(
            self.path,
            self.skips,
            delimiter=self._mapped.delimiter,
            encoding=self._mapped.encoding,
            progress=self._progress,
        )
        is_checked = False
        for row, place in table.rows():
            if not is_checked:
                self._check_columns(table.columns)
                is_checked = True
            yield row, place

    def _checked_json(self, table: JsonTable) -> Iterator[tuple[Mapping[str, Any], Place]]:
        """Objects leave out what is empty: that the first hundred lack a column is said, and is no error."""
        first: list[tuple[dict[str, Any], Place]] = []
        names: dict[str, None] = {}
        rows = table.rows()
        try:
            for row, place in rows:
                first.append((row, place))
                names.update(dict.fromkeys(_names(row, "")))
                if len(first) == _LOOKED_AT:
                    break
        except ImportFileError:
            yield from first  # they are taken; what is wrong is said behind them
            raise
        for column in sorted(self._mapped.used_columns() - names.keys()) if first else ():
            self.skips.add(f"columns that the first {len(first):,} rows lack, such as {_hint(column, names)}")
        yield from first
        yield from rows

    def _check_columns(self, columns: Sequence[str]) -> None:
        for column in sorted(self._mapped.used_columns()):
            if columns.count(column) > 1:
                raise ImportFileError(
                    f"{self.path} has {columns.count(column)} columns {column!r}: rename one"
                )
            if column not in columns:
                raise ImportFileError(
                    f"{self.path} lacks a column of the mapping {self._mapped.path}: {_hint(column, columns)}"
                )


def _hint(column: str, columns: Collection[str]) -> str:
    close = difflib.get_close_matches(column, columns, n=1)
    return f"{column!r}; " + (
        f"did you mean {close[0]!r}?" if close else f"it has {', '.join(columns)[:500]}"
    )


def _names(row: Mapping[str, Any], prefix: str) -> Iterator[str]:
    for name, value in row.items():
        yield prefix + name
        if isinstance(value, dict) and prefix.count(".") < 5:
            yield from _names(value, f"{prefix}{name}.")


def run_import(
    paths: Sequence[Path],
    mapping: Path,
    store_location: str | Path,
    *,
    environment: str = "",
    time_zone: str = "",
    redaction: Redaction | None = None,
    say: Callable[[str], None] = print,
    progress: Progress | None = None,
) -> int:
    """Imports the files one by one, says what it took and skipped, and gives the exit code.

    A file that cannot be read is said and the others go on; the exit code is then ImportFileError's.
    Raises SettingsError for the mapping before the first file and StoreError when the store fails.
    """
    from analytics_lib.store import TimeSeriesStore  # here: reading alone needs no database

    mapped = load_mapping(mapping, time_zone)
    maker = RowMaker(mapped, environment, redaction)
    report = Report(say)
    with TimeSeriesStore(store_location) as store:
        writer = StoreWriter(store)
        for path in expanded_paths(paths, "*"):
            file = MappedFile(path, mapped, maker, progress)
            failure: ImportFileError | None = None
            try:
                writer.take(file.rows())
            except ImportFileError as error:
                failure = error
            report.file(path, writer.flush(), file.skips, failure)
    return report.end()
