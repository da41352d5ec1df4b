"""The archive's manifest: which days of which source are in which file, and whether raw rows are gone."""

from collections.abc import Mapping
from typing import Any

import pandas as pd
from sqlalchemy import Connection, insert, select, update

from analytics_lib import catalog
from analytics_lib.schema import archive_manifest
from analytics_lib.windows import DAY_US, Window

_COLUMNS = [column.name for column in archive_manifest.columns]


def read_parts(connection: Connection, source: catalog.Source, window: Window) -> pd.DataFrame:
    """The parts of the UTC days that the window touches, all columns, by day and part."""
    query = select(archive_manifest).where(
        archive_manifest.c.source == source,
        archive_manifest.c.day_us > window.start_us - DAY_US,
        archive_manifest.c.day_us < window.end_us,
    )
    return _frame(connection, query)


def read_undeleted(connection: Connection) -> pd.DataFrame:
    """The parts whose raw rows a killed run had still to delete."""
    return _frame(connection, select(archive_manifest).where(archive_manifest.c.deleted_at_us.is_(None)))


def insert_part(connection: Connection, row: Mapping[str, Any]) -> None:
    """Records a part that was read back and found equal. A part that is there already is an error."""
    connection.execute(insert(archive_manifest), dict(row))


def set_deleted(
    connection: Connection, source: catalog.Source, day_us: int, part: int, deleted_at_us: int
) -> None:
    """Records that the raw rows of a part are gone."""
    connection.execute(
        update(archive_manifest)
        .where(
            archive_manifest.c.source == source,
            archive_manifest.c.day_us == day_us,
            archive_manifest.c.part == part,
        )
        .values(deleted_at_us=deleted_at_us)
    )


def _frame(connection: Connection, query: Any) -> pd.DataFrame:
    ordered = query.order_by(archive_manifest.c.day_us, archive_manifest.c.source, archive_manifest.c.part)
    rows = [tuple(row) for row in connection.execute(ordered)]
    frame = pd.DataFrame(rows, columns=_COLUMNS, dtype=object)  # deleted_at_us may be None: no floats
    for name in ("day_us", "part", "n", "file_bytes", "archived_at_us"):
        frame[name] = frame[name].astype("int64")
    return frame
