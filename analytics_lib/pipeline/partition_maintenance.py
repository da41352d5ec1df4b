"""A task of the DAG hourly_aggregation: Postgres' days of steps and samples, made ahead and kept in order."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import OperationalError

from analytics_lib.catalog import Source
from analytics_lib.store import open_store, partitions
from analytics_lib.store.engine import connect_to_read
from analytics_lib.store.run_lock import run_lock
from analytics_lib.windows import DAY_US, day_of, to_us

LOCK: Final = "partition_maintenance"
AHEAD_DAYS: Final = 7
EMPTY_AFTER_DAYS: Final = 2
MOST_PARTITIONS: Final = 1_000  # every plan that names no time looks at all of them
ROWS_PER_RUN: Final = 2_000_000
ANOTHER_RUN: Final = "another run is at it: nothing was done"
_log = logging.getLogger("rpa_analytics.pipeline")


@dataclass(slots=True)
class Maintenance:
    """What a run did.

    `days_made`: ahead; `days_moved` with `rows_moved`: out of the default partition; `days_dropped`: past
    and empty. `days_missed`: days up to today whose partition an earlier run should have made.
    `days_left`: days that still have rows in the default partition. `busy`: of those to be made, moved or
    dropped, how many could not be had in time; the next run tries again.
    """

    days_made: int = 0
    days_moved: int = 0
    rows_moved: int = 0
    days_dropped: int = 0
    days_missed: int = 0
    days_left: int = 0
    busy: int = 0
    message: str = ""


def maintain_partitions(
    location: str | Path, *, as_of: datetime, max_rows: int = ROWS_PER_RUN, dry_run: bool = False
) -> dict[str, Any]:
    """Makes the days ahead, moves rows of the default partition into theirs, drops days that are empty.

    The fields of `Maintenance`; none on SQLite, where there is nothing to do. Each day is a transaction:
    whenever it is killed, the next run goes on, and after about `max_rows` moved rows of a table a run leaves
    the rest to the next. Of two at once the second leaves with a `message`. A dry run only counts what was
    missed and is left.
    """
    today_us = day_of(to_us(as_of))
    done = Maintenance()
    with open_store(location) as store:
        if store.engine.dialect.name != "postgresql":
            return {}
        with run_lock(store.engine, LOCK) as ours:
            if not ours:
                done.message = ANOTHER_RUN
            elif not dry_run:
                with store.engine.begin() as connection:
                    partitions.create_defaults(connection)
            for source in partitions.PARTITIONED if ours else ():
                _count_missed(store.engine, source, today_us, done)
                if not dry_run:
                    _make_ahead(store.engine, source, today_us, done)
                    _move_out_of_default(store.engine, source, max_rows, done)
                    _drop_empty(store.engine, source, today_us, done)
                with connect_to_read(store.engine) as connection:
                    done.days_left += len(partitions.days_in_default(connection, source))
    if done.days_missed:
        _log.warning(
            "%d days of steps or samples had no partition in time: let this task run every hour",
            done.days_missed,
        )
    _log.info(
        "partitions: %d days made, %d dropped; %d rows of %d days moved out of the default partition, %d "
        "days are left in it%s%s",
        done.days_made,
        done.days_dropped,
        done.rows_moved,
        done.days_moved,
        done.days_left,
        f"; {done.busy} could not be had in time" if done.busy else "",
        f"; {done.message}" if done.message else "",
    )
    return asdict(done)


def missed_days(existing: list[partitions.Partition], today_us: int) -> int:
    """Days after the last one that was made, up to today. None was missed where none was ever made."""
    if not existing:
        return 0
    return max(0, (today_us + DAY_US - max(p.end_us for p in existing)) // DAY_US)


def _count_missed(engine: Engine, source: Source, today_us: int, done: Maintenance) -> None:
    with connect_to_read(engine) as connection:
        done.days_missed += missed_days(partitions.partitions(connection, source), today_us)


def _make_ahead(engine: Engine, source: Source, today_us: int, done: Maintenance) -> None:
    with connect_to_read(engine) as connection:
        existing = partitions.partitions(connection, source)
    for day_us in range(today_us, today_us + (AHEAD_DAYS + 1) * DAY_US, DAY_US):
        if not partitions.is_covered(day_us, existing):
            _make(engine, source, day_us, done, ahead=True)


def _move_out_of_default(engine: Engine, source: Source, max_rows: int, done: Maintenance) -> None:
    with connect_to_read(engine) as connection:
        room = MOST_PARTITIONS - len(partitions.partitions(connection, source))
        days = partitions.days_in_default(connection, source, limit=max(0, room))
    before = done.rows_moved
    for day_us in days:
        if done.rows_moved - before >= max_rows:
            break
        _make(engine, source, day_us, done, ahead=False)


def _make(engine: Engine, source: Source, day_us: int, done: Maintenance, *, ahead: bool) -> None:
    with _unless_busy(engine, done) as connection:
        moved = partitions.make_day(connection, source, day_us)
        connection.commit()
        if moved is not None:
            done.days_made += ahead
            done.days_moved += moved > 0
            done.rows_moved += moved


def _drop_empty(engine: Engine, source: Source, today_us: int, done: Maintenance) -> None:
    with connect_to_read(engine) as connection:
        existing = partitions.partitions(connection, source)
    for partition in existing:
        if partition.end_us <= today_us - EMPTY_AFTER_DAYS * DAY_US:
            with _unless_busy(engine, done) as connection:
                dropped = partitions.drop_if_empty(connection, source, partition)
                connection.commit()
                done.days_dropped += dropped


@contextmanager
def _unless_busy(engine: Engine, done: Maintenance) -> Iterator[Connection]:
    with engine.connect() as connection:
        try:
            yield connection
        except OperationalError as error:
            if not partitions.is_busy(error):
                raise
            done.busy += 1
