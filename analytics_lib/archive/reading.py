"""Archived rows back out: whole files to be compared, or the columns that a recompute needs.

A manifest is a frame with the columns of the table `archive_manifest`. Whatever cannot be read raises
ArchiveError with the file and the remedy: never fewer rows than there were.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from analytics_lib.archive.content_hash import MODULUS, hash_of
from analytics_lib.archive.parquet_schema import key_columns, parquet_schema, value_where_missing
from analytics_lib.catalog import TIME_COLUMN, Source
from analytics_lib.errors import ArchiveError
from analytics_lib.schema import RAW_TABLES
from analytics_lib.windows import DAY_US, Window

_BATCH_ROWS = 65_536


@dataclass(frozen=True, slots=True)
class Contents:
    """What a file holds: the hash is over all its columns, whichever of them are kept in `rows`."""

    n: int
    content_hash: str
    rows: pa.Table

    def tuples(self) -> list[tuple[Any, ...]]:
        """The kept columns, row by row."""
        return list(zip(*(column.to_pylist() for column in self.rows.columns), strict=True))


def read_back(file: Path, keep: Sequence[str]) -> Contents:
    """Reads all of a file, and keeps some columns. Raises ArchiveError where it is gone or damaged."""
    n, content_hash, batches = 0, 0, []
    with _opened(file) as parquet:
        kept = pa.schema([field for field in parquet.schema_arrow if field.name in keep])
        for batch in parquet.iter_batches(_BATCH_ROWS):
            n += batch.num_rows
            content_hash = (content_hash + hash_of(batch)) % MODULUS
            batches.append(batch.select(kept.names))
        rows = pa.Table.from_batches(batches, kept).select([name for name in keep if name in kept.names])
    return Contents(n, f"{content_hash:016x}", rows)


def read_checked(file: Path, n: int, content_hash: str, keep: Sequence[str]) -> Contents:
    """The same, once all of the file is what its manifest row says. Raises ArchiveError.

    Checksums of the pages are not enough: a bit that flips in a page's header can hide rows from them.
    """
    found = read_back(file, keep)
    if (found.n, found.content_hash) != (n, content_hash):
        raise ArchiveError(
            f"the archive's file {file} holds {found.n} rows with hash {found.content_hash}, "
            f"its manifest row says {n} and {content_hash}: restore it from a backup"
        )
    return found


def identity_columns(source: Source) -> list[str]:
    """The columns that tell a stored row from every other one, and from one of the same key."""
    return [*(column.name for column in RAW_TABLES[source].primary_key.columns), "content_hash"]


def read_archived(
    folder: Path | None, manifest: pd.DataFrame, source: Source, window: Window, columns: Sequence[str]
) -> pd.DataFrame:
    """The columns of the source's archived rows that lie in the window, from all parts of the manifest.

    Raises ArchiveError where no folder is named or a file cannot be read.
    """
    rows = manifest[manifest["source"] == source]
    if len(rows) and folder is None:
        raise ArchiveError(
            f"{int(rows['n'].sum())} rows of source {source} are in the archive, and no archive is named: "
            "set RPA_ANALYTICS_ARCHIVE to its folder"
        )
    moment = TIME_COLUMN[source]
    names = list(dict.fromkeys([*columns, moment]))
    schema = pa.schema([parquet_schema(source).field(name) for name in names])
    parts = []
    for row in rows.to_dict("records"):
        file = Path(folder or "") / row["path"]
        found = read_checked(file, row["n"], row["content_hash"], names)
        parts.append(_with_later_columns(found.rows, schema, source))
    frame: pd.DataFrame = pa.concat_tables([schema.empty_table(), *parts]).to_pandas()
    inside = (frame[moment] >= window.start_us) & (frame[moment] < window.end_us)
    return frame.loc[inside, list(columns)].reset_index(drop=True)


def read_day(
    folder: Path, manifest: pd.DataFrame, source: Source, day_us: int, columns: Sequence[str] | None = None
) -> pd.DataFrame:
    """The archived rows of a UTC day, each once; all columns, or those that are named."""
    names = list(columns or parquet_schema(source).names)
    asked = list(dict.fromkeys([*names, *key_columns(source)]))
    rows = read_archived(folder, manifest, source, Window(day_us, day_us + DAY_US), asked)
    return rows.drop_duplicates(key_columns(source), ignore_index=True)[names]


def with_archived(archived: pd.DataFrame, raw: pd.DataFrame, source: Source) -> pd.DataFrame:
    """Archive ∪ raw, by key: of a row that came again the archived one counts, it was the first.

    Both need the source's key columns.
    """
    both = pd.concat([archived, raw[archived.columns]], ignore_index=True) if len(archived) else raw
    return both.drop_duplicates(key_columns(source), ignore_index=True)


def _with_later_columns(table: pa.Table, schema: pa.Schema, source: Source) -> pa.Table:
    """Files from before a column existed have its default."""
    for field in schema:
        if field.name not in table.column_names:
            value = pa.scalar(value_where_missing(source, field.name), field.type)
            table = table.append_column(field, pa.repeat(value, table.num_rows))
    return table.select(schema.names).cast(schema)


@contextmanager
def _opened(file: Path) -> Iterator[pq.ParquetFile]:
    try:
        with pq.ParquetFile(file, page_checksum_verification=True) as parquet:
            yield parquet
    except FileNotFoundError:
        raise ArchiveError(
            f"the archive's file {file} is gone: restore it from a backup, or set RPA_ANALYTICS_ARCHIVE to "
            "where the archive is now"
        ) from None
    except (OSError, ValueError, KeyError, pa.ArrowException) as error:
        reason = str(error).strip().splitlines() or [type(error).__name__]
        raise ArchiveError(
            f"the archive's file {file} cannot be read ({reason[0][:200]}): restore it from a backup"
        ) from error
