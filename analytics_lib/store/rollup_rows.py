"""Rollup rows in and out, and the raw rows that they are computed from, as frames (analytics extra)."""

from collections.abc import Iterable, Sequence
from typing import Any, Final

import pandas as pd
from sqlalchemy import Connection, Table, bindparam, delete, insert, select

from analytics_lib import catalog
from analytics_lib.schema import (
    RAW_TABLES,
    ROLLUP_TABLES,
    execution_abandoned,
    execution_metrics,
)
from analytics_lib.windows import Window

_KEY: Final = ("workflow_id", "environment", "workflow_version", "bucket")
_RAW_COLUMNS: Final[dict[catalog.Source, tuple[str, ...]]] = {
    "execution": (*_KEY, "status", "exception_kind", "duration_ms", "ended_at_us"),
    "step": (
        *_KEY,
        "step_id",
        "step_name",
        "depth",
        "status",
        "exception_kind",
        "duration_ms",
        "ended_at_us",
    ),
    "resource": ("host", "target", "environment", "bucket", "sampled_at_us", *catalog.RESOURCE_METRICS),
}


def read_raw(
    connection: Connection, source: catalog.Source, window: Window, also: Sequence[str] = ()
) -> pd.DataFrame:
    """The raw columns that the source's rollup needs, and those named, of rows in the window."""
    table = RAW_TABLES[source]
    moment = table.c[catalog.TIME_COLUMN[source]]
    names = list(dict.fromkeys((*_RAW_COLUMNS[source], *also)))
    query = select(*(table.c[name] for name in names)).where(
        moment >= window.start_us, moment < window.end_us
    )
    return _frame(connection, query, names)


def read_abandoned(connection: Connection, window: Window) -> pd.DataFrame:
    """Runs last seen in the window whose end has not come: the key columns and last_seen_at_us."""
    names = (*_KEY, "last_seen_at_us")
    moment = execution_abandoned.c.last_seen_at_us
    ended = select(execution_metrics.c.execution_id).where(
        execution_metrics.c.execution_id == execution_abandoned.c.execution_id
    )
    query = select(*(execution_abandoned.c[name] for name in names)).where(
        moment >= window.start_us, moment < window.end_us, ~ended.exists()
    )
    return _frame(connection, query, names)


def read_rollups(
    connection: Connection, source: catalog.Source, window: Window, **filters: str | None
) -> pd.DataFrame:
    """Rows of the source's hourly rollup whose hour lies in the window, all columns, by key."""
    table = ROLLUP_TABLES[source]
    names = tuple(column.name for column in table.columns)
    query = select(table).where(table.c.hour_us >= window.start_us, table.c.hour_us < window.end_us)
    for name, value in filters.items():
        if value is not None:
            query = query.where(table.c[name] == value)
    return _frame(connection, query.order_by(*table.primary_key.columns), names)


def count_rolled_up(
    connection: Connection, source: catalog.Source, shards: Iterable[tuple[int, int]]
) -> dict[tuple[int, int], int]:
    """How many raw rows the stored rollups of the shards hold; a shard without any is missing."""
    wanted = set(shards)
    table = ROLLUP_TABLES[source]
    hours = [hour for hour, _ in wanted]
    key = [table.c.hour_us, table.c.bucket, table.c.n]
    if source == "resource":
        key += [table.c.host, table.c.target, table.c.environment]
    query = select(*key).where(table.c.hour_us >= min(hours), table.c.hour_us <= max(hours))
    seen: dict[tuple[Any, ...], int] = {}
    for hour, bucket, n, *group in connection.execute(query):
        if (hour, bucket) not in wanted:
            continue
        # A sample fills one row per metric; the largest n of a target is its number of samples.
        where = (hour, bucket, *group)
        seen[where] = max(seen.get(where, 0), n) if source == "resource" else seen.get(where, 0) + n
    totals: dict[tuple[int, int], int] = {}
    for (hour, bucket, *_), n in seen.items():
        totals[hour, bucket] = totals.get((hour, bucket), 0) + n
    return totals


def replace_rollups(
    connection: Connection,
    source: catalog.Source,
    shards: Iterable[tuple[int, int]],
    rows: pd.DataFrame,
) -> None:
    """Puts the rows in the place of whatever the shards held, in the caller's transaction."""
    table: Table = ROLLUP_TABLES[source]
    statement = delete(table).where(table.c.hour_us == bindparam("h"), table.c.bucket == bindparam("b"))
    connection.execute(statement, [{"h": hour, "b": bucket} for hour, bucket in sorted(shards)])
    if len(rows):
        names = [column.name for column in table.columns]
        connection.execute(insert(table), _plain(rows[names], names))


def _plain(rows: pd.DataFrame, names: Sequence[str]) -> list[dict[str, Any]]:
    # NaN becomes NULL on purpose: SQLite would store it so anyway, Postgres would keep a NaN.
    columns = [rows[name].astype(object).where(rows[name].notna(), None).tolist() for name in names]
    return [dict(zip(names, row, strict=True)) for row in zip(*columns, strict=True)]


def _frame(connection: Connection, query: Any, names: Sequence[str]) -> pd.DataFrame:
    rows = connection.execute(query).fetchall()
    frame = pd.DataFrame.from_records(rows, columns=list(names))
    for name in names:  # an empty result knows no types, and a missing text must stay text
        if name.endswith("_us") or name in ("bucket", "n", "depth"):
            frame[name] = frame[name].astype("int64")
    return frame
