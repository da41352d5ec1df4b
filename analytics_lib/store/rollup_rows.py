"""Rollup rows in and out, and the raw rows that they are computed from, as frames (analytics extra)."""

from collections.abc import Iterable, Sequence
from typing import Any, Final, Literal

import pandas as pd
from sqlalchemy import Connection, Double, Table, bindparam, delete, func, literal, select

from analytics_lib import catalog
from analytics_lib.schema import (
    DAILY_TABLES,
    POSTGRES_SCHEMA,
    RAW_TABLES,
    ROLLUP_TABLES,
    execution_abandoned,
    execution_metrics,
)
from analytics_lib.store.coded_columns import read_coded
from analytics_lib.windows import DAY_US, HOUR_US, Window

RollupSource = catalog.Source | Literal["queue"]
_KEY: Final = ("workflow_id", "environment", "workflow_version", "bucket")
# What is the same in many rows, and what is not.
_CODED: Final[dict[catalog.Source, tuple[str, ...]]] = {
    "execution": (*_KEY, "queue", "status", "exception_kind"),
    "step": (*_KEY, "step_id", "step_name", "depth", "status", "exception_kind"),
    "resource": ("host", "target", "environment", "bucket"),
}
_PLAIN: Final[dict[catalog.Source, tuple[str, ...]]] = {
    "execution": ("queued_at_us", "started_at_us", "duration_ms", "ended_at_us"),
    "step": ("duration_ms", "ended_at_us"),
    "resource": ("sampled_at_us", *catalog.RESOURCE_METRICS),
}


def read_raw(
    connection: Connection, source: catalog.Source, window: Window, also: Sequence[str] = ()
) -> pd.DataFrame:
    """The raw columns that the source's rollup needs, and those named, of rows in the window.

    Texts that repeat are Categoricals; numbers that may be missing are floats.
    """
    coded = _CODED[source]
    plain = [name for name in dict.fromkeys((*_PLAIN[source], *also)) if name not in coded]
    moment = catalog.TIME_COLUMN[source]
    return read_coded(connection, RAW_TABLES[source], moment, window, coded, plain)


def count_raw(connection: Connection, source: catalog.Source, window: Window) -> dict[int, int]:
    """How many raw rows each hour of the window has."""
    moment = RAW_TABLES[source].c[catalog.TIME_COLUMN[source]]
    hour = (moment - moment % literal(HOUR_US, literal_execute=True)).label("hour_us")
    query = select(hour, func.count()).where(moment >= window.start_us, moment < window.end_us).group_by(hour)
    return {int(hour_us): int(n) for hour_us, n in connection.execute(query)}


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
    connection: Connection, source: RollupSource, window: Window, **filters: str | None
) -> pd.DataFrame:
    """Rows of the source's hourly rollup whose hour lies in the window, all columns, by key."""
    return _read(connection, ROLLUP_TABLES[source], "hour_us", window, filters)


def read_daily(
    connection: Connection, source: RollupSource, window: Window, **filters: str | None
) -> pd.DataFrame:
    """Rows of the source's daily rollup whose UTC day begins in the window, all columns, by key."""
    return _read(connection, DAILY_TABLES[source], "day_us", window, filters)


def _read(
    connection: Connection, table: Table, period: str, window: Window, filters: dict[str, str | None]
) -> pd.DataFrame:
    names = tuple(column.name for column in table.columns)
    query = select(table).where(table.c[period] >= window.start_us, table.c[period] < window.end_us)
    for name, value in filters.items():
        if value is not None:
            query = query.where(table.c[name] == value)
    frame = _frame(connection, query.order_by(*table.primary_key.columns), names)
    numbers = {c.name: float for c in table.columns if isinstance(c.type, Double)}  # NULL is NaN in all rows
    return frame.astype(numbers)


def read_hours_of(
    connection: Connection, source: RollupSource, day_us: int, buckets: Iterable[int]
) -> pd.DataFrame:
    """The day's hourly rows of these buckets, by key."""
    rows = read_rollups(connection, source, Window(day_us, day_us + DAY_US))
    return rows[rows["bucket"].isin(list(buckets))].reset_index(drop=True)


def counted(source: RollupSource, rows: pd.DataFrame) -> int:
    """How many raw rows daily rows stand for; a run that was given up may yet leave for another day."""
    return int(rows["n"].sum() - (rows["n_abandoned"].sum() if source == "execution" else 0))


def count_daily(connection: Connection, source: RollupSource, day_us: int, buckets: Iterable[int]) -> int:
    """The same of the stored daily rows of these shards."""
    table = DAILY_TABLES[source]
    n = func.sum(table.c.n - (table.c.n_abandoned if source == "execution" else 0))
    query = select(n).where(table.c.day_us == day_us, table.c.bucket.in_(list(buckets)))
    return int(connection.execute(query).scalar() or 0)


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
    source: RollupSource,
    shards: Iterable[tuple[int, int]],
    rows: pd.DataFrame,
) -> None:
    """Puts the rows in the place of whatever the shards (hour, bucket) held, in the caller's transaction."""
    _replace(connection, ROLLUP_TABLES[source], "hour_us", shards, rows)


def replace_daily(
    connection: Connection,
    source: RollupSource,
    shards: Iterable[tuple[int, int]],
    rows: pd.DataFrame,
) -> None:
    """The same for daily rows and shards (day, bucket)."""
    _replace(connection, DAILY_TABLES[source], "day_us", shards, rows)


def _replace(
    connection: Connection,
    table: Table,
    period: str,
    shards: Iterable[tuple[int, int]],
    rows: pd.DataFrame,
) -> None:
    statement = delete(table).where(table.c[period] == bindparam("p"), table.c.bucket == bindparam("b"))
    connection.execute(statement, [{"p": start, "b": bucket} for start, bucket in sorted(shards)])
    if not len(rows):
        return
    names = [column.name for column in table.columns]
    columns = [_plain(rows[name]) for name in names]
    cursor: Any = connection.connection.cursor()
    # By the driver, as in `writing`; identifiers come from the schema.
    if connection.dialect.name == "sqlite":
        marks = ", ".join("?" * len(names))
        insert = f"INSERT INTO {table.name} ({', '.join(names)}) VALUES ({marks})"  # noqa: S608  # see above
        cursor.executemany(insert, zip(*columns, strict=True))
        return
    target = f"{POSTGRES_SCHEMA}.{table.name}"
    with cursor.copy(f"COPY {target} ({', '.join(names)}) FROM STDIN") as copy:
        for row in zip(*columns, strict=True):
            copy.write_row(row)


def _plain(column: pd.Series) -> list[Any]:
    # NaN becomes NULL on purpose: SQLite would store it so anyway, Postgres would keep a NaN.
    values: list[Any] = column.tolist()
    if column.dtype == float and column.isna().any():
        return [None if value != value else value for value in values]  # NaN is not itself
    return values


def _frame(connection: Connection, query: Any, names: Sequence[str]) -> pd.DataFrame:
    # As plain tuples: of SQLAlchemy's rows pandas asks for attributes that they look for in vain.
    rows = list(map(tuple, connection.execute(query)))
    frame = pd.DataFrame.from_records(rows, columns=list(names))
    for name in names:  # an empty result knows no types, and a missing text must stay text
        if name.endswith("_us") or name in ("bucket", "n", "depth"):
            frame[name] = frame[name].astype("int64")
    return frame
