"""The month's step rollups, and the same answer by other means; each is started by `children`.

All give what a rollup row says of an hour of a step: counts by status, sum, least and largest, p50, p95 and
p99. Ours also makes the sketches, stores all of it, and makes the daily rows; the others only fetch it.
"""

from datetime import datetime
from pathlib import Path
from typing import Any, Final

from scale.children import Answer, Clock

KEY: Final = "workflow_id, step_id, environment, workflow_version"
STATUSES: Final = ("completed", "failed", "cancelled", "timed_out", "skipped")
_COUNTS: Final = ", ".join(
    f"sum(CASE WHEN status = '{status}' THEN 1 ELSE 0 END) AS n_{status}" for status in STATUSES
)
_KINDS: Final = ", ".join(
    f"sum(CASE WHEN status IN ('failed', 'timed_out') AND exception_kind = '{kind}' "
    f"THEN 1 ELSE 0 END) AS n_{kind}"
    for kind in ("business", "application")
)


def ours(location: str, as_of: str) -> Answer:
    """By the public functions of the pipeline; `hours_s` without the daily rows."""
    import pandas  # noqa: F401  # what the work imports is not what it takes

    from analytics_lib import pipeline
    from analytics_lib.rollup import daily, hourly  # noqa: F401  # the same
    from analytics_lib.store import rollup_rows  # noqa: F401  # the same

    moment = datetime.fromisoformat(as_of)
    clock = Clock()
    batches = [
        pipeline.aggregate_batch(location, batch, as_of=moment)
        for batch in pipeline.plan_aggregation(location, as_of=moment)
    ]
    hours_s = clock.answer()["seconds"]
    done = pipeline.finish_aggregation(location, batches, as_of=moment)
    return clock.answer(hours_s=hours_s, rows=done["rows_read"], groups=done["rollup_rows"])


def sqlite_windows(path: str, since_us: int, until_us: int) -> Answer:
    """Window functions: a rank within each group, and the rows that have the ranks that are asked for."""
    import sqlite3

    ranks = ", ".join(
        f"max(CASE WHEN status <> 'skipped' AND rank = 1 + CAST({q} * (rated - 1) AS INTEGER) "
        "THEN duration_ms END)"
        for q in (0.5, 0.95, 0.99)
    )
    partition = f"PARTITION BY hour, {KEY}, status = 'skipped'"
    query = f"""
        SELECT hour, {KEY}, count(*), {_COUNTS}, {_KINDS},
            sum(CASE WHEN status <> 'skipped' THEN duration_ms END),
            min(CASE WHEN status <> 'skipped' THEN duration_ms END),
            max(CASE WHEN status <> 'skipped' THEN duration_ms END), {ranks}
        FROM (
            SELECT hour, {KEY}, status, exception_kind, duration_ms,
                row_number() OVER ({partition} ORDER BY duration_ms) AS rank,
                count(*) OVER ({partition}) AS rated
            FROM (SELECT ended_at_us / 3600000000 AS hour, {KEY}, status, exception_kind, duration_ms
                FROM step_metrics WHERE ended_at_us >= ? AND ended_at_us < ?)
        ) GROUP BY hour, {KEY}"""  # noqa: S608  # our own names
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA cache_size = -65536")
    clock = Clock()
    rows = connection.execute(query, (since_us, until_us)).fetchall()
    return clock.answer(groups=len(rows))


def pandas_quantiles(location: str, since_us: int, until_us: int) -> Answer:
    """`read_sql` and groupby with quantile: what one would write first."""
    import pandas as pd

    on_sqlite = "://" not in location
    schema = "" if on_sqlite else "rpa."
    query = (
        f"SELECT ended_at_us / 3600000000 AS hour, {KEY}, status, exception_kind, duration_ms "  # noqa: S608  # our own names
        f"FROM {schema}step_metrics WHERE ended_at_us >= {since_us} AND ended_at_us < {until_us}"
    )
    connection = _connect(location)
    clock = Clock()
    rows = pd.read_sql(query, connection)
    key = ["hour", *KEY.split(", ")]
    counts = rows.groupby([*key, "status"]).size().unstack(fill_value=0)
    failed = rows[rows["status"].isin(["failed", "timed_out"])]
    kinds = failed.groupby([*key, "exception_kind"]).size().unstack(fill_value=0)
    groups = rows[rows["status"] != "skipped"].groupby(key)["duration_ms"]
    result = groups.agg(["count", "sum", "min", "max"]).join(groups.quantile([0.5, 0.95, 0.99]).unstack())
    result = counts.join(kinds).join(result)
    return clock.answer(groups=len(result))


def postgres_percentiles(location: str, since_us: int, until_us: int) -> Answer:
    """percentile_cont within each group, inside Postgres."""
    query = f"""
        SELECT ended_at_us / 3600000000 AS hour, {KEY}, count(*), {_COUNTS}, {_KINDS},
            sum(duration_ms) FILTER (WHERE status <> 'skipped'),
            min(duration_ms) FILTER (WHERE status <> 'skipped'),
            max(duration_ms) FILTER (WHERE status <> 'skipped'),
            percentile_cont(ARRAY[0.5, 0.95, 0.99]) WITHIN GROUP (ORDER BY duration_ms)
                FILTER (WHERE status <> 'skipped')
        FROM rpa.step_metrics WHERE ended_at_us >= {since_us} AND ended_at_us < {until_us}
        GROUP BY hour, {KEY}"""  # noqa: S608  # our own names
    connection = _connect(location)
    clock = Clock()
    rows = connection.execute(query).fetchall()
    return clock.answer(groups=len(rows))


def duckdb_quantiles(parquet: str) -> Answer:
    """quantile_cont over a Parquet file that was written before."""
    import duckdb

    query = f"""
        SELECT ended_at_us // 3600000000 AS hour, {KEY}, count(*), {_COUNTS}, {_KINDS},
            sum(duration_ms) FILTER (WHERE status <> 'skipped'),
            min(duration_ms) FILTER (WHERE status <> 'skipped'),
            max(duration_ms) FILTER (WHERE status <> 'skipped'),
            quantile_cont(duration_ms, [0.5, 0.95, 0.99]) FILTER (WHERE status <> 'skipped')
        FROM read_parquet('{parquet}') GROUP BY hour, {KEY}"""  # noqa: S608  # our own names
    clock = Clock()
    rows = duckdb.sql(query).fetchall()
    return clock.answer(groups=len(rows), version=duckdb.__version__)


def write_parquet(path: str, parquet: str, since_us: int, until_us: int) -> Answer:
    """The month's steps of a SQLite file as one Parquet file, zstd as in the archive."""
    import sqlite3

    import pyarrow as pa
    import pyarrow.parquet as pq

    names = [*KEY.split(", "), "status", "exception_kind", "duration_ms", "ended_at_us"]
    types = [pa.string()] * 6 + [pa.float64(), pa.int64()]
    schema = pa.schema(list(zip(names, types, strict=True)))
    clock = Clock()
    cursor = sqlite3.connect(path).execute(
        f"SELECT {', '.join(names)} FROM step_metrics WHERE ended_at_us >= ? AND ended_at_us < ?",  # noqa: S608  # our own names
        (since_us, until_us),
    )
    with pq.ParquetWriter(parquet, schema, compression="zstd") as writer:
        while rows := cursor.fetchmany(100_000):
            columns = [
                pa.array(column, kind) for column, kind in zip(zip(*rows, strict=True), types, strict=True)
            ]
            writer.write_table(pa.Table.from_arrays(columns, schema=schema))
    return clock.answer(bytes=Path(parquet).stat().st_size)


def _connect(location: str) -> Any:
    if "://" not in location:
        import sqlite3

        connection = sqlite3.connect(location)
        connection.execute("PRAGMA cache_size = -65536")
        return connection
    import psycopg

    return psycopg.connect(location.replace("+psycopg", ""))
