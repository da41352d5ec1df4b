"""What the archive and its policy ask of the database: old days, counts, whole rows of a day."""

from collections.abc import Iterator, Sequence
from typing import Any, Final

import pandas as pd
from sqlalchemy import Connection, func, literal, select

from analytics_lib import catalog
from analytics_lib.schema import RAW_TABLES, ROLLUP_TABLES, pending
from analytics_lib.store.reading import SOURCES
from analytics_lib.windows import DAY_US, HOUR_US, Window

BATCH_ROWS: Final = 20_000


def days_with_raw(connection: Connection, before_us: int) -> pd.DataFrame:
    """source, day_us: the UTC days that have raw rows before the moment, oldest first."""
    return _days(connection, {s: RAW_TABLES[s].c[catalog.TIME_COLUMN[s]] for s in SOURCES}, before_us)


def days_with_hourly(connection: Connection, before_us: int) -> pd.DataFrame:
    """source, day_us: the UTC days that have hourly rows before the moment, oldest first."""
    return _days(connection, {s: ROLLUP_TABLES[s].c.hour_us for s in SOURCES}, before_us)


def marked_hours(connection: Connection, window: Window) -> pd.DataFrame:
    """source, hour_us: the hours of the window in which any stage has a mark."""
    query = (
        select(pending.c.kind, pending.c.hour_us)
        .where(pending.c.hour_us >= window.start_us, pending.c.hour_us < window.end_us)
        .distinct()
    )
    return _frame(connection.execute(query).all(), ["source", "hour_us"])


def count_raw(connection: Connection, source: catalog.Source, window: Window) -> pd.DataFrame:
    """Raw rows by shard, as `retention.policy` counts them: source, hour_us, bucket, measure, n."""
    table = RAW_TABLES[source]
    moment = table.c[catalog.TIME_COLUMN[source]]
    hour = _floor(moment, HOUR_US).label("hour_us")
    measures = catalog.RESOURCE_METRICS if source == "resource" else ("",)
    counts = [func.count(table.c[name]) if name else func.count() for name in measures]
    query = (
        select(hour, table.c.bucket, *counts)
        .where(moment >= window.start_us, moment < window.end_us)
        .group_by(hour, table.c.bucket)
    )
    rows = [
        (source, hour_us, bucket, measure, n)
        for hour_us, bucket, *of_measure in connection.execute(query)
        for measure, n in zip(measures, of_measure, strict=True)
        if n
    ]
    return _frame(rows, ["source", "hour_us", "bucket", "measure", "n"])


def count_rolled_up(connection: Connection, source: catalog.Source, window: Window) -> pd.DataFrame:
    """The same of the stored rollups: how many raw rows they hold. Abandoned runs have no raw row."""
    table = ROLLUP_TABLES[source]
    n = func.sum(table.c.n - table.c.n_abandoned) if source == "execution" else func.sum(table.c.n)
    key = [table.c.hour_us, table.c.bucket, *([table.c.metric] if source == "resource" else [])]
    query = (
        select(*key, n)
        .where(table.c.hour_us >= window.start_us, table.c.hour_us < window.end_us)
        .group_by(*key)
    )
    rows = [
        (source, hour_us, bucket, measure[0] if measure else "", int(total))
        for hour_us, bucket, *measure, total in connection.execute(query)
        if total
    ]
    return _frame(rows, ["source", "hour_us", "bucket", "measure", "n"])


def count_rows(connection: Connection, source: catalog.Source, window: Window) -> int:
    """Raw rows in the window."""
    moment = RAW_TABLES[source].c[catalog.TIME_COLUMN[source]]
    query = select(func.count()).where(moment >= window.start_us, moment < window.end_us)
    return int(connection.execute(query).scalar_one())


def count_hourly(connection: Connection, source: catalog.Source, window: Window) -> int:
    """Hourly rows in the window."""
    hour = ROLLUP_TABLES[source].c.hour_us
    query = select(func.count()).where(hour >= window.start_us, hour < window.end_us)
    return int(connection.execute(query).scalar_one())


def read_keys(connection: Connection, source: catalog.Source, window: Window) -> set[tuple[Any, ...]]:
    """(primary key …, content_hash) of the raw rows in the window."""
    table = RAW_TABLES[source]
    moment = table.c[catalog.TIME_COLUMN[source]]
    query = select(*table.primary_key.columns, table.c.content_hash).where(
        moment >= window.start_us, moment < window.end_us
    )
    return {tuple(row) for row in connection.execute(query)}


def stream_day(connection: Connection, source: catalog.Source, day_us: int) -> Iterator[Sequence[Any]]:
    """All raw rows of a UTC day, in batches, by time and key; columns in the table's order.

    Memory does not grow with the day: Postgres is read by a server-side cursor.
    """
    table = RAW_TABLES[source]
    moment = table.c[catalog.TIME_COLUMN[source]]
    query = (
        select(table)
        .where(moment >= day_us, moment < day_us + DAY_US)
        .order_by(moment, *table.primary_key.columns)
    )
    return connection.execute(query, execution_options={"yield_per": BATCH_ROWS}).partitions()


def _days(connection: Connection, moments: dict[catalog.Source, Any], before_us: int) -> pd.DataFrame:
    rows: list[tuple[str, int]] = []
    for source, moment in moments.items():
        day = _floor(moment, DAY_US).label("day_us")
        query = select(day).where(moment < before_us).distinct()
        rows += [(source, day_us) for (day_us,) in connection.execute(query)]
    return _frame(sorted(rows, key=lambda row: (row[1], row[0])), ["source", "day_us"])


def _floor(moment: Any, length_us: int) -> Any:
    return moment - moment % literal(length_us, literal_execute=True)


def _frame(rows: Sequence[Any], names: Sequence[str]) -> pd.DataFrame:
    frame = pd.DataFrame.from_records([tuple(row) for row in rows], columns=list(names))
    for name in names:  # an empty result knows no types
        if name.endswith("_us") or name in ("bucket", "n", "depth"):
            frame[name] = frame[name].astype("int64")
    return frame
