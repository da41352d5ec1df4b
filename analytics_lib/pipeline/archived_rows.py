"""Raw rows for a rollup, from archive ∪ raw; and the refusal to compute an hour whose rows are gone."""

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import Connection

from analytics_lib import settings
from analytics_lib.catalog import Source
from analytics_lib.errors import ArchiveError, SettingsError
from analytics_lib.windows import Window

if TYPE_CHECKING:
    import pandas as pd


def archive_or_none(location: str | Path, given: str | Path | None) -> Path | None:
    """The archive's folder; None where none is named, so that only days that need it are refused."""
    try:
        return settings.archive_folder(location, given)
    except SettingsError:
        return None


def read_rows(
    connection: Connection, source: Source, window: Window, archive_folder: Path | None
) -> "pd.DataFrame":
    """What the source's rollup needs of the rows in the window, each row once.

    The transaction holds the day's lock (`ledger.lock_shard`) or sees one state throughout: no row moves
    into the archive between the reads. Raises ArchiveError where archived rows cannot be read.
    """
    from analytics_lib.store import manifest_rows, rollup_rows

    parts = manifest_rows.read_parts(connection, source, window)
    if not len(parts):
        return rollup_rows.read_raw(connection, source, window)
    from analytics_lib.archive import reading
    from analytics_lib.archive.parquet_schema import key_columns

    raw = rollup_rows.read_raw(connection, source, window, also=key_columns(source))
    archived = reading.read_archived(archive_folder, parts, source, window, list(raw.columns))
    return reading.with_archived(archived, raw, source)


def refuse_to_lose(
    connection: Connection,
    source: Source,
    window: Window,
    shards: Iterable[tuple[int, int]],
    rows: "pd.DataFrame",
) -> None:
    """Raises ArchiveError where the stored rollups of the shards hold more rows than there are now."""
    import pandas as pd

    from analytics_lib.retention import policy
    from analytics_lib.store import archive_rows

    asked = pd.DataFrame(sorted(shards), columns=["hour_us", "bucket"])
    rolled_up = archive_rows.count_rolled_up(connection, source, window).merge(asked)
    vanished = policy.vanished_shards(policy.count_rows(source, rows), rolled_up)
    if len(vanished):
        raise ArchiveError(
            f"{vanished['hour_us'].nunique()} hours of source {source} on {window.start:%Y-%m-%d} were "
            "rolled up from rows that are neither in the database nor in the archive: computing them again "
            "would lose them, so they stay as they are, and marked; restore the rows from a backup"
        )
