"""Postgres keeps steps and samples by UTC day: made ahead, filled from the default partition, dropped.

A row whose day has no partition lands in the default one; so no insert ever fails for want of a day. Locks
are taken in the order of an insert (the table, then its partition) and never waited for longer than
LOCK_WAIT, because agents queue up behind whoever waits. SQLite has no partitions: everything here is for
Postgres alone.
"""

import re
import time
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import Connection, text
from sqlalchemy.exc import OperationalError

from analytics_lib.catalog import TIME_COLUMN, Source
from analytics_lib.schema import POSTGRES_SCHEMA, RAW_TABLES
from analytics_lib.windows import DAY_US, day_of, from_us

PARTITIONED: Final[tuple[Source, ...]] = ("step", "resource")
LOCK_WAIT: Final = "2s"
# Below deadlock_timeout (1 s): an agent that holds what a drop wants is never chosen as the victim.
_DROP_LOCK_WAIT: Final = "500ms"
_DROP_TRIES: Final = 3
_PAUSE_SEC: Final = 0.2
_LOCK_NOT_AVAILABLE: Final = "55P03"
_BOUNDS: Final = re.compile(r"FOR VALUES FROM \('(-?\d+)'\) TO \('(-?\d+)'\)")


@dataclass(frozen=True, slots=True)
class Partition:
    """One of a table's partitions, whoever made it: [start_us, end_us)."""

    name: str
    start_us: int
    end_us: int


def default_name(source: Source) -> str:
    """The partition of the rows whose day has none."""
    return f"{RAW_TABLES[source].name}_default"


def day_name(source: Source, day_us: int) -> str:
    """The name of a day's partition.

    >>> day_name("step", 1_795_392_000_000_000)
    'step_metrics_p20261123'
    """
    return f"{RAW_TABLES[source].name}_p{from_us(day_us):%Y%m%d}"


def has_default(connection: Connection, source: Source) -> bool:
    """Whether rows are taken whose day has no partition."""
    query = text("SELECT partdefid <> 0 FROM pg_partitioned_table WHERE partrelid = to_regclass(:table)")
    return bool(connection.execute(query, {"table": _table(source)}).scalar())


def create_defaults(connection: Connection) -> None:
    """The default partitions, where there are none. Days are made by `make_day`."""
    for source in PARTITIONED:
        if has_default(connection, source):
            continue
        _create_like(connection, source, default_name(source))
        _say(connection, f"ALTER TABLE {_table(source)} ATTACH PARTITION {_q(default_name(source))} DEFAULT")


def partitions(connection: Connection, source: Source) -> list[Partition]:
    """The table's partitions but the default one, the oldest first."""
    query = (
        "SELECT c.relname, pg_get_expr(c.relpartbound, c.oid) FROM pg_inherits i JOIN pg_class c "
        "ON c.oid = i.inhrelid WHERE i.inhparent = to_regclass(:parent)"
    )
    found = []
    for name, bounds in connection.execute(text(query), {"parent": _table(source)}):
        if match := _BOUNDS.fullmatch(bounds or ""):
            found.append(Partition(name, int(match[1]), int(match[2])))
    return sorted(found, key=lambda partition: partition.start_us)


def is_covered(day_us: int, existing: Iterable[Partition]) -> bool:
    """Whether some partition takes rows of the day: then none can be made for it."""
    return any(p.start_us < day_us + DAY_US and p.end_us > day_us for p in existing)


def days_in_default(connection: Connection, source: Source, limit: int | None = None) -> list[int]:
    """The UTC days of the rows in the default partition, the newest first: one look into an index each."""
    moment = TIME_COLUMN[source]
    query = text(f"SELECT max({moment}) FROM {_q(default_name(source))} WHERE {moment} < :before")  # noqa: S608  # our own constants
    days: list[int] = []
    before_us = 1 << 62
    while limit is None or len(days) < limit:
        latest = connection.execute(query, {"before": before_us}).scalar()
        if latest is None:
            break
        before_us = day_of(latest)
        days.append(before_us)
    return days


def make_day(connection: Connection, source: Source, day_us: int) -> int | None:
    """Makes the day's partition and moves its rows out of the default one: how many; None where it is there.

    The caller's transaction should do nothing else. Raises OperationalError (see `is_busy`) where somebody
    reads or writes the default partition for longer than LOCK_WAIT.
    """
    table, default, day = _table(source), _q(default_name(source)), _q(day_name(source, day_us))
    _say(connection, f"SET LOCAL lock_timeout = '{LOCK_WAIT}'")
    # One at a time; agents go on inserting.
    _say(connection, f"LOCK TABLE ONLY {table} IN SHARE UPDATE EXCLUSIVE MODE")
    if is_covered(day_us, partitions(connection, source)):
        return None
    _create_like(connection, source, day_name(source, day_us))
    _say(connection, f"LOCK TABLE {default} IN ACCESS EXCLUSIVE MODE")
    columns = ", ".join(column.name for column in RAW_TABLES[source].columns)
    moment = TIME_COLUMN[source]
    moved = connection.execute(
        text(
            f"WITH moved AS (DELETE FROM {default} WHERE {moment} >= :day AND {moment} < :end "  # noqa: S608  # our own
            f"RETURNING {columns}) INSERT INTO {day} ({columns}) SELECT {columns} FROM moved"
        ),
        {"day": day_us, "end": day_us + DAY_US},
    ).rowcount
    # Its primary key, indexes and foreign key come with attaching it.
    _say(
        connection,
        f"ALTER TABLE {table} ATTACH PARTITION {day} FOR VALUES FROM ({day_us}) TO ({day_us + DAY_US})",
    )
    if moved and not connection.execute(text(f"SELECT EXISTS (SELECT 1 FROM {default})")).scalar():  # noqa: S608  # our own constant
        _say(connection, f"TRUNCATE {default}")  # the space of what was moved, given back at once
    return int(moved)


def drop_if_empty(connection: Connection, source: Source, partition: Partition) -> bool:
    """Drops a partition without rows; whether it was one and could be had. In a transaction of its own."""
    if _has_rows(connection, partition):
        return False
    _say(connection, f"SET LOCAL lock_timeout = '{_DROP_LOCK_WAIT}'")
    _say(connection, f"LOCK TABLE ONLY {_table(source)} IN ACCESS EXCLUSIVE MODE")
    if _has_rows(connection, partition):  # it came meanwhile
        return False
    _say(connection, f"DROP TABLE {_q(partition.name)}")
    return True


def drop_day(
    connection: Connection, source: Source, day_us: int, archived: set[tuple[Any, ...]]
) -> int | None:
    """Drops the day's partition if all its rows are among the archived ones; gives how many it held.

    None where nothing was dropped: there is no such partition, it has another row, or it cannot be had
    for itself. `archived`: (primary key …, content_hash), as `archive_rows.read_keys` gives them.
    """
    window = (day_us, day_us + DAY_US)
    found = [p for p in partitions(connection, source) if (p.start_us, p.end_us) == window]
    if not found:
        return None
    partition = _q(found[0].name)
    names = [*(column.name for column in RAW_TABLES[source].primary_key.columns), "content_hash"]
    try:
        with connection.begin_nested():
            _say(connection, f"SET LOCAL lock_timeout = '{LOCK_WAIT}'")
            # Late rows of this day wait, until it is known whether it goes; those of other days do not.
            _say(connection, f"LOCK TABLE {partition} IN SHARE MODE")
            stored = connection.execute(text(f"SELECT {', '.join(names)} FROM {partition}"))  # noqa: S608  # our own constants
            rows = 0
            for row in stored:
                if tuple(row) not in archived:
                    return None
                rows += 1
    except OperationalError as error:
        if not is_busy(error):
            raise
        return None
    return rows if _drop(connection, partition) else None


def _drop(connection: Connection, partition: str) -> bool:
    """Whether the partition could be had: dropping one needs its table for a moment without anybody."""
    for attempt in range(_DROP_TRIES):
        if attempt:
            time.sleep(_PAUSE_SEC)
        try:
            with connection.begin_nested():
                _say(connection, f"SET LOCAL lock_timeout = '{_DROP_LOCK_WAIT}'")
                _say(connection, f"DROP TABLE {partition}")
        except OperationalError as error:
            if not is_busy(error):
                raise
        else:
            return True
    return False


def is_busy(error: OperationalError) -> bool:
    """Whether a lock could not be had in time: to be tried again later."""
    return getattr(error.orig, "sqlstate", "") == _LOCK_NOT_AVAILABLE


def _create_like(connection: Connection, source: Source, name: str) -> None:
    """A table to be attached, owned by whoever owns the partitioned one: a group role, most likely."""
    _say(
        connection,
        f"CREATE TABLE {_q(name)} (LIKE {_table(source)} INCLUDING DEFAULTS INCLUDING COMMENTS)",
    )
    owner = connection.execute(
        text(
            "SELECT quote_ident(pg_get_userbyid(relowner)) FROM pg_class "
            "WHERE oid = to_regclass(:parent) AND pg_get_userbyid(relowner) <> current_user"
        ),
        {"parent": _table(source)},
    ).scalar()
    if owner is not None:
        _say(connection, f"ALTER TABLE {_q(name)} OWNER TO {owner}")


def _has_rows(connection: Connection, partition: Partition) -> bool:
    return bool(connection.execute(text(f"SELECT EXISTS (SELECT 1 FROM {_q(partition.name)})")).scalar())  # noqa: S608  # a name that the database gave


def _table(source: Source) -> str:
    return _q(RAW_TABLES[source].name)


def _q(name: str) -> str:
    """A table of ours by its full name. Names of partitions that others made may need the quotes."""
    quoted = name if re.fullmatch(r"[a-z_][a-z0-9_]*", name) else '"{}"'.format(name.replace('"', '""'))
    return f"{POSTGRES_SCHEMA}.{quoted}"


def _say(connection: Connection, statement: str) -> None:
    connection.exec_driver_sql(statement)
