"""The pending ledger: marks that say which hour and bucket changed, and the locks to work on them.

Marks are append-only. A stage locks its shard, reads its marks, then the rows, writes, and deletes
just the marks it read, in one transaction: what a seen mark announced is visible, and a mark that
arrives meanwhile stays for the next run.
"""

import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, bindparam, delete, func, literal, select, text, union

from analytics_lib import catalog
from analytics_lib.schema import RAW_TABLES, ROLLUP_TABLES, execution_abandoned, pending
from analytics_lib.store.writing import Mark, insert_marks
from analytics_lib.windows import DAY_US, HOUR_US, Window


@dataclass(frozen=True, slots=True)
class PendingDay:
    """The unit of work: one kind of row of one UTC day that has marks in closed hours."""

    kind: catalog.Source
    day_us: int


@dataclass(frozen=True, slots=True)
class Marks:
    """The marks that were read: exactly these are deleted when the work is done."""

    ids: tuple[int, ...]
    shards: frozenset[tuple[int, int]]  # (hour_us, bucket)


def lock_shard(connection: Connection, stage: str, unit: PendingDay) -> None:
    """Waits until nobody else works on the unit. Must be the transaction's first statement.

    Postgres: an advisory lock for the transaction (READ COMMITTED, so that rows committed while it
    waited are seen). SQLite: BEGIN IMMEDIATE has made this the one writer already.
    """
    if connection.dialect.name == "postgresql":
        key = zlib.crc32(f"{stage}/{unit.kind}/{unit.day_us}".encode())
        connection.execute(text("SELECT pg_advisory_xact_lock(1919967539, :key)"), {"key": key - (1 << 31)})


def pending_days(connection: Connection, stage: str, closed_before_us: int) -> list[PendingDay]:
    """The units with marks in hours that ended by then; newest day first, so live hours never starve."""
    day = (pending.c.hour_us - pending.c.hour_us % literal(DAY_US, literal_execute=True)).label("day_us")
    query = (
        select(pending.c.kind, day)
        .where(pending.c.stage == stage, pending.c.hour_us <= closed_before_us - HOUR_US)
        .group_by(pending.c.kind, day)
        .order_by(day.desc(), pending.c.kind)
    )
    return [PendingDay(kind, int(day_us)) for kind, day_us in connection.execute(query)]


def read_marks(connection: Connection, stage: str, unit: PendingDay, closed_before_us: int) -> Marks:
    """The unit's marks in hours that ended by then."""
    query = select(pending.c.id, pending.c.hour_us, pending.c.bucket).where(
        pending.c.stage == stage,
        pending.c.kind == unit.kind,
        pending.c.hour_us >= unit.day_us,
        pending.c.hour_us < unit.day_us + DAY_US,
        pending.c.hour_us <= closed_before_us - HOUR_US,
    )
    rows = connection.execute(query).all()
    return Marks(tuple(row.id for row in rows), frozenset((row.hour_us, row.bucket) for row in rows))


def delete_marks(connection: Connection, marks: Marks) -> None:
    """Deletes the marks that were read, and no others."""
    if marks.ids:
        statement = delete(pending).where(pending.c.id == bindparam("mark"))
        connection.execute(statement, [{"mark": mark} for mark in marks.ids])


def append_marks(connection: Connection, marks: Iterable[Mark]) -> None:
    """Announces changed shards to a stage."""
    insert_marks(connection, set(marks))


def mark_window(connection: Connection, stage: str, window: Window, sources: Sequence[catalog.Source]) -> int:
    """Marks every shard with raw or rollup rows in the hours that the window touches; gives how many."""
    hours = window.hours()
    first, end = hours.start, hours[-1] + HOUR_US
    hour_length = literal(HOUR_US, literal_execute=True)
    total = 0
    for source in sources:
        raw, rollup = RAW_TABLES[source], ROLLUP_TABLES[source]
        moment = raw.c[catalog.TIME_COLUMN[source]]
        hour = (moment - moment % hour_length).label("hour_us")
        of_rows = [
            select(hour, raw.c.bucket).where(moment >= first, moment < end),
            select(rollup.c.hour_us, rollup.c.bucket).where(
                rollup.c.hour_us >= first, rollup.c.hour_us < end
            ),
        ]
        if source == "execution":  # an hour may hold nothing but runs that were abandoned in it
            seen = execution_abandoned.c.last_seen_at_us
            of_rows.append(
                select(seen - seen % hour_length, execution_abandoned.c.bucket).where(
                    seen >= first, seen < end
                )
            )
        shards = union(*of_rows)
        marks: set[Mark] = {(stage, source, int(h), int(b)) for h, b in connection.execute(shards)}
        insert_marks(connection, marks)
        total += len(marks)
    return total


def count_pending_hours(connection: Connection, stage: str, closed_before_us: int) -> int:
    """How many closed hours wait for the stage."""
    query = select(func.count(pending.c.hour_us.distinct())).where(
        pending.c.stage == stage, pending.c.hour_us <= closed_before_us - HOUR_US
    )
    return int(connection.execute(query).scalar_one())
