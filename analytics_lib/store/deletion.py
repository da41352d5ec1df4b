"""Rows out of the database, in transactions of about 5,000 rows, so that agents never wait long.

A run's end, its start and its row as abandoned go in one transaction: a start without its end would
look like a run that still goes on, and the sweep would call it abandoned.
"""

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Connection, Table, delete, exists, func, literal, or_, select, text
from sqlalchemy.dialects import postgresql
from sqlalchemy.exc import OperationalError

from analytics_lib import catalog
from analytics_lib.schema import (
    POSTGRES_SCHEMA,
    RAW_TABLES,
    ROLLUP_TABLES,
    agent_heartbeat,
    execution,
    execution_abandoned,
    execution_heartbeat,
    execution_metrics,
    execution_start,
    quarantine,
    rollup_execution_hourly,
    step_metrics,
)
from analytics_lib.store import partitions
from analytics_lib.store.rows import LAYOUTS, quarantined
from analytics_lib.store.writing import insert_rows
from analytics_lib.windows import HOUR_US

CHUNK_ROWS: Final = 5_000
_PAGES: Final = 2_000  # 8 MB
Key = tuple[Any, ...]
_ARCHIVED_KEY: Final = "its key is in the archive with other content; the first stays"
_OF_RUNS: Final = (
    execution_metrics,
    execution_start,
    step_metrics,
    execution_heartbeat,
    execution_abandoned,
)


def delete_archived(connection: Connection, source: catalog.Source, keys: Sequence[Key]) -> int:
    """Deletes just the rows with these (primary key …, content_hash); gives how many there were."""
    table = RAW_TABLES[source]
    gone = _delete_by(connection, table, [*_primary_key(table), "content_hash"], keys)
    if source == "execution":
        ids = [(key[0],) for key in keys]
        for of_run in (execution_start, execution_abandoned):
            _delete_by(connection, of_run, ["execution_id"], ids, unless_in=(execution_metrics,))
    return gone


def drop_archived_day(
    connection: Connection, source: catalog.Source, day_us: int, keys: Sequence[Key]
) -> int | None:
    """Postgres: drops a day's partition that holds none but rows with these (primary key …, content_hash).

    A moment, whatever its size, and the space is given back. Gives how many rows it held; None where there
    is none to drop: what is archived is then to be deleted row by row.
    """
    if connection.dialect.name != "postgresql" or source not in partitions.PARTITIONED:
        return None
    return partitions.drop_day(connection, source, day_us, set(keys))


def delete_keys(connection: Connection, table: Table, keys: Sequence[Key]) -> int:
    """Deletes the rows with these primary keys; gives how many there were."""
    return _delete_by(connection, table, _primary_key(table), keys)


def delete_abandoned(connection: Connection, keys: Sequence[Key]) -> int:
    """Deletes the rows of abandoned runs and their starts; gives how many runs."""
    _delete_by(connection, execution_start, ["execution_id"], keys, unless_in=(execution_metrics,))
    return _delete_by(connection, execution_abandoned, ["execution_id"], keys)


def delete_unused_ids(connection: Connection, keys: Sequence[Key]) -> int:
    """Deletes those of the runs' ids that no row uses; 0 where agents keep the table busy.

    Postgres: an agent may have found the id there and be about to insert its rows, which would then
    refer to nothing; the lock waits for such agents, and the ids are looked at again after it.
    """
    if connection.dialect.name == "postgresql":
        try:
            with connection.begin_nested():
                connection.execute(text("SET LOCAL lock_timeout = '5s'"))
                connection.execute(
                    text(f"LOCK TABLE {POSTGRES_SCHEMA}.execution IN SHARE ROW EXCLUSIVE MODE")
                )
        except OperationalError as error:
            if getattr(error.orig, "sqlstate", "") != "55P03":  # lock not available
                raise
            return 0
    return _delete_by(connection, execution, ["execution_id"], keys, unless_in=_OF_RUNS)


def delete_conflicts(
    connection: Connection, source: catalog.Source, rows: Sequence[Any], now: datetime
) -> int:
    """Deletes whole rows whose key the archive holds with other content; a copy goes into the quarantine."""
    layout, aside = LAYOUTS[source], LAYOUTS["quarantine"]
    records = [quarantined(layout.from_row(dict(row._mapping)), _ARCHIVED_KEY, now) for row in rows]
    insert_rows(connection, aside, [aside.to_row(record) for record in records])
    key = [*_primary_key(RAW_TABLES[source]), "content_hash"]
    return delete_archived(connection, source, [tuple(row._mapping[name] for name in key) for row in rows])


def delete_hourly(connection: Connection, source: catalog.Source, hour_us: int) -> int:
    """Deletes the rollup rows of an hour; gives how many."""
    tables = [ROLLUP_TABLES[source], *([ROLLUP_TABLES["queue"]] if source == "execution" else [])]
    return sum(
        int(connection.execute(delete(table).where(table.c.hour_us == hour_us)).rowcount) for table in tables
    )


def old_run_heartbeats(before_us: int) -> Any:
    """Keys of runs' heartbeats before the moment, but of runs that began and have not ended."""
    began = _has_row(execution_start, execution_heartbeat)
    ended = _has_row(execution_metrics, execution_heartbeat)
    key = execution_heartbeat.primary_key.columns
    return select(*key).where(execution_heartbeat.c.sent_at_us < before_us, or_(~began, ended))


def old_agent_heartbeats(before_us: int) -> Any:
    """Keys of agents' heartbeats before the moment, but of each host's newest: since when it is silent."""
    newest = (
        select(agent_heartbeat.c.host, func.max(agent_heartbeat.c.sent_at_us).label("sent_at_us"))
        .group_by(agent_heartbeat.c.host)
        .subquery()
    )
    return (
        select(*agent_heartbeat.primary_key.columns)
        .join(newest, newest.c.host == agent_heartbeat.c.host)
        .where(agent_heartbeat.c.sent_at_us < before_us, agent_heartbeat.c.sent_at_us < newest.c.sent_at_us)
    )


def old_quarantine(before_us: int) -> Any:
    """Keys of quarantined rows that were set aside before the moment."""
    return select(quarantine.c.quarantine_id).where(quarantine.c.received_at_us < before_us)


def uncounted_abandoned(before_us: int) -> Any:
    """Ids of abandoned runs last seen before the moment, in hours that have no hourly rows any more."""
    seen = execution_abandoned.c.last_seen_at_us
    hour = seen - seen % literal(HOUR_US, literal_execute=True)
    counted = exists().where(rollup_execution_hourly.c.hour_us == hour)
    return select(execution_abandoned.c.execution_id).where(seen < before_us, ~counted)


def unused_ids() -> Any:
    """Ids of runs that no row uses any more."""
    return select(execution.c.execution_id).where(*(~_has_row(table, execution) for table in _OF_RUNS))


def chunks(connection: Connection, query: Any) -> Iterator[list[Key]]:
    """What a query finds, as plain tuples, as many at once as one transaction should delete."""
    found = connection.execute(query, execution_options={"yield_per": CHUNK_ROWS})
    for rows in found.partitions():
        yield [tuple(row) for row in rows]


def count(connection: Connection, query: Any) -> int:
    """How many rows a query finds."""
    return int(connection.execute(select(func.count()).select_from(query.subquery())).scalar_one())


def give_space_back(connection: Connection) -> bool:
    """SQLite: returns some free pages to the disk; whether there are more. Postgres does it by itself."""
    if connection.dialect.name != "sqlite":
        return False
    cursor = connection.connection.cursor()
    free = cursor.execute("PRAGMA freelist_count").fetchone()[0]
    for _ in range(min(free, _PAGES)):
        cursor.execute("PRAGMA incremental_vacuum(1)")  # Python's driver takes one step of it at a time
    left = cursor.execute("PRAGMA freelist_count").fetchone()[0]
    return bool(0 < left < free)


def _has_row(table: Table, of: Table) -> Any:
    return exists().where(table.c.execution_id == of.c.execution_id)


def _primary_key(table: Table) -> list[str]:
    return [column.name for column in table.primary_key.columns]


def _delete_by(
    connection: Connection,
    table: Table,
    names: Sequence[str],
    keys: Sequence[Key],
    unless_in: Sequence[Table] = (),
) -> int:
    """Deletes rows by the values of these columns, unless their run has a row in one of those tables."""
    # Identifiers below come from the schema, never from data. By the driver, as in `writing`.
    on_sqlite = connection.dialect.name == "sqlite"
    prefix = "" if on_sqlite else f"{POSTGRES_SCHEMA}."
    unless = "".join(
        f" AND NOT EXISTS (SELECT 1 FROM {prefix}{other.name} o WHERE o.execution_id = t.execution_id)"  # noqa: S608  # see above
        for other in unless_in
    )
    cursor = connection.connection.cursor()
    if on_sqlite:
        same = " AND ".join(f"{name} = ?" for name in names)
        cursor.executemany(f"DELETE FROM {table.name} AS t WHERE {same}{unless}", keys)  # noqa: S608  # see above
    else:
        types = [table.c[name].type.compile(postgresql.dialect()) for name in names]  # type: ignore[no-untyped-call]  # SQLAlchemy's dialect factory is untyped
        arrays = ", ".join(f"%s::{kind}[]" for kind in types)
        same = " AND ".join(f"t.{name} = k.{name}" for name in names)
        cursor.execute(
            f"DELETE FROM {prefix}{table.name} t USING unnest({arrays}) AS k ({', '.join(names)}) "  # noqa: S608  # see above
            f"WHERE {same}{unless}",
            [list(column) for column in zip(*keys, strict=True)] if keys else [[] for _ in names],
        )
    return max(0, int(cursor.rowcount))
