"""Exports of UiPath's Orchestrator, jobs and queue items as CSV or OData JSON, into the store.

A job becomes an execution with its key for an id, as the robot's own log gives it: of runs that are in
both, the first that is stored stays. A queue item becomes an execution of `transaction of QUEUE`.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import Any, Final

from analytics_lib.errors import ImportFileError
from collector_agent.importers.csv_table import CsvTable, Place
from collector_agent.importers.json_table import JsonTable
from collector_agent.importers.lines import Skips, encoding_of
from collector_agent.importers.orchestrator_fields import (
    ITEM_FIELDS,
    JOB_FIELDS,
    Rows,
    Times,
    is_items,
    normal,
    picked,
)
from collector_agent.importers.plain_rows import Row
from collector_agent.importers.row_errors import rows_made
from collector_agent.importers.tally import Progress, Report, StoreWriter, expanded_paths, opened
from collector_agent.importers.uipath_values import failure_kinds
from collector_agent.redaction import clean_message
from collector_agent.redaction.policy import Redaction
from collector_agent.robot_results import time_zone

_SHOWN_COLUMNS: Final = 12
_WHAT: Final = "the exported file"


class OrchestratorExport:
    """One exported file: `rows()` streams what is in it, `skips` says what was left out."""

    def __init__(self, path: Path, maker: Rows, progress: Progress | None = None) -> None:
        self.path = path
        self.skips = Skips()
        self._maker = maker
        self._progress = progress

    def rows(self) -> Iterator[Row]:
        """Raises ImportFileError where it is no such file, or cannot be read (any further)."""
        table = self._table()
        first = next(table, None)
        if first is None:
            return
        rows = chain([first], table)
        if self._is_items(first[0]):
            yield from rows_made(rows, lambda row: self._maker.of_item(picked(row, ITEM_FIELDS)), self.skips)
        else:
            yield from rows_made(rows, lambda row: self._maker.of_job(picked(row, JOB_FIELDS)), self.skips)

    def _table(self) -> Iterator[tuple[Mapping[str, Any], Place]]:
        with opened(self.path, _WHAT) as file:
            head = file.read(4096)
        if not head.strip():
            raise ImportFileError(f"{self.path} is empty")
        try:
            encoding, mark = encoding_of(head)
        except ImportFileError as error:
            raise ImportFileError(f"{self.path} {error}") from None
        text = head[mark:].decode(encoding, errors="replace").lstrip()
        if text.startswith(("{", "[")):
            return JsonTable(self.path, self.skips, progress=self._progress).rows()
        if text.startswith("<"):
            raise ImportFileError(f"{self.path} is XML or HTML: export CSV, or take OData's JSON")
        return CsvTable(self.path, self.skips, progress=self._progress).rows()

    def _is_items(self, row: Mapping[str, Any]) -> bool:
        found = is_items(frozenset(map(normal, row)))
        if found is None:
            columns = clean_message(", ".join(list(row)[:_SHOWN_COLUMNS]))
            raise ImportFileError(
                f"{self.path} holds neither jobs nor queue items of Orchestrator (its columns: {columns}): "
                "for any other table use `rpa-agent import mapped`"
            )
        return found


def run_import(
    paths: Sequence[Path],
    store_location: str | Path,
    *,
    environment: str = "",
    time_zone: str = "",
    time_format: str = "",
    queue: str = "",
    business_exceptions: Sequence[str] = (),
    business_patterns: Sequence[str] = (),
    redaction: Redaction | None = None,
    say: Callable[[str], None] = print,
    progress: Progress | None = None,
) -> int:
    """Imports the files one by one, says what it took and skipped, and gives the exit code.

    `queue`: of queue items whose export does not name it. A file that cannot be read is said and the
    others go on; the exit code is then ImportFileError's. Raises SettingsError before the first file and
    StoreError when the store fails.
    """
    from analytics_lib.store import TimeSeriesStore  # here: reading alone needs no database

    kinds = failure_kinds(tuple(business_exceptions), tuple(business_patterns))
    maker = Rows(Times(_zone(time_zone), time_format), kinds, environment, queue, redaction)
    report = Report(say)
    with TimeSeriesStore(store_location) as store:
        writer = StoreWriter(store)
        for path in expanded_paths(paths, "*"):
            export = OrchestratorExport(path, maker, progress)
            failure: ImportFileError | None = None
            try:
                writer.take(export.rows())
            except ImportFileError as error:
                failure = error
            report.file(path, writer.flush(), export.skips, failure)
    return report.end()


_zone = time_zone  # `run_import` has a parameter of that name
