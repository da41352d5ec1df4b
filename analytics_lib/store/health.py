"""What the database says about itself: what waits, what it holds, which indexes it lacks. Judges nothing."""

import sqlite3
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from sqlalchemy import Connection, Engine, case, func, select, text

from analytics_lib.schema import POSTGRES_SCHEMA, archive_manifest, metadata, outbox, pending, quarantine
from analytics_lib.store.writing import ROLLUP_STAGE
from analytics_lib.windows import DAY_US, HOUR_US

# Up to 3.51.2 two connections that checkpoint at once can lose what a third has committed.
WAL_RESET_FIXED_IN: Final = (3, 51, 3)
_MOST_LISTED: Final = 20
_WALKED_BYTES: Final = 500_000_000  # sizes of SQLite's tables are had by walking through all pages


@dataclass(frozen=True, slots=True)
class Waiting:
    """Closed hours that wait for a stage. `live_since_us`: the oldest of those of the last two days."""

    stage: str
    hours: int
    oldest_us: int
    live_since_us: int | None


@dataclass(frozen=True, slots=True)
class TableSize:
    """`rows`: an estimate; None where nothing was estimated yet. `bytes`: with indexes, None if not known."""

    name: str
    rows: int | None
    bytes: int | None


@dataclass(frozen=True, slots=True)
class ArchivedPart:
    """A file that an hour to be computed again needs."""

    source: str
    day_us: int
    path: str
    file_bytes: int


def waiting(connection: Connection, now_us: int) -> list[Waiting]:
    """What waits for each stage in hours that are over."""
    live = case((pending.c.hour_us >= now_us - 2 * DAY_US, pending.c.hour_us))
    query = (
        select(
            pending.c.stage,
            func.count(pending.c.hour_us.distinct()),
            func.min(pending.c.hour_us),
            func.min(live),
        )
        .where(pending.c.hour_us <= now_us - HOUR_US)
        .group_by(pending.c.stage)
        .order_by(pending.c.stage)
    )
    return [Waiting(*row) for row in connection.execute(query)]


def needed_archive(connection: Connection) -> list[ArchivedPart]:
    """The archive's files of the days that are marked to be rolled up again."""
    day = (pending.c.hour_us - pending.c.hour_us % DAY_US).label("day_us")
    marked = select(pending.c.kind, day).where(pending.c.stage == ROLLUP_STAGE).distinct().subquery()
    part = archive_manifest.c
    query = select(part.source, part.day_us, part.path, part.file_bytes).join(
        marked, (marked.c.kind == part.source) & (marked.c.day_us == part.day_us)
    )
    return [ArchivedPart(*row) for row in connection.execute(query.order_by(part.day_us, part.source))]


def mails_by_state(connection: Connection, since_us: int) -> dict[str, int]:
    """How many mails, claimed since the moment, are in each state."""
    query = (
        select(outbox.c.state, func.count())
        .where(outbox.c.claimed_at_us >= since_us)
        .group_by(outbox.c.state)
    )
    return {str(state): int(n) for state, n in connection.execute(query)}


def quarantined(connection: Connection, since_us: int) -> list[tuple[str, int]]:
    """(reason, rows) set aside since the moment, the most frequent first."""
    n = func.count()
    query = (
        select(quarantine.c.reason, n)
        .where(quarantine.c.received_at_us >= since_us)
        .group_by(quarantine.c.reason)
        .order_by(n.desc(), quarantine.c.reason)
    )
    return [(reason, count) for reason, count in connection.execute(query)]


def table_sizes(connection: Connection) -> list[TableSize]:
    """Every table with its indexes and partitions, the largest first."""
    found = _sqlite_sizes(connection) if connection.dialect.name == "sqlite" else _postgres_sizes(connection)
    return sorted(found, key=lambda size: (-(size.bytes or 0), -(size.rows or 0), size.name))


def _postgres_sizes(connection: Connection) -> Iterator[TableSize]:
    query = text(
        "SELECT top.relname, sum(CASE WHEN part.reltuples >= 0 THEN part.reltuples END)::bigint, "
        "sum(pg_total_relation_size(part.oid))::bigint "
        "FROM pg_class top LEFT JOIN pg_inherits i ON i.inhparent = top.oid "
        "JOIN pg_class part ON part.oid = coalesce(i.inhrelid, top.oid) "
        "WHERE top.relnamespace = to_regnamespace(:schema) AND top.relkind IN ('r', 'p') "
        "AND NOT top.relispartition GROUP BY 1"
    )
    for name, rows, size in connection.execute(query, {"schema": POSTGRES_SCHEMA}):
        yield TableSize(name, rows, size)


def _sqlite_sizes(connection: Connection) -> Iterator[TableSize]:
    """Rows by their numbers, which are given in order of arrival: the oldest go first."""
    size_of = _sqlite_bytes(connection)
    there = set(connection.execute(text("SELECT name FROM sqlite_schema WHERE type = 'table'")).scalars())
    for name in there.intersection(metadata.tables):
        # Names come from the schema. Two queries: only alone is each a single look into the table.
        last = connection.execute(text(f"SELECT max(rowid) FROM {name}")).scalar()  # noqa: S608  # see above
        first = connection.execute(text(f"SELECT min(rowid) FROM {name}")).scalar()  # noqa: S608  # see above
        yield TableSize(name, 0 if last is None else last - first + 1, size_of.get(name))


def _sqlite_bytes(connection: Connection) -> dict[str, int]:
    file_bytes = connection.execute(
        text("SELECT page_count * page_size FROM pragma_page_count(), pragma_page_size()")
    ).scalar_one()
    has_dbstat = "ENABLE_DBSTAT_VTAB" in {
        option for (option,) in connection.execute(text("PRAGMA compile_options"))
    }
    if not has_dbstat or file_bytes > _WALKED_BYTES:
        return {}
    query = text(
        "SELECT s.tbl_name, sum(d.pgsize) FROM dbstat d JOIN sqlite_schema s ON s.name = d.name "
        "WHERE d.aggregate = TRUE GROUP BY 1"
    )
    return {str(name): int(size) for name, size in connection.execute(query)}


def database_bytes(connection: Connection) -> int:
    """All of the database on disk; on SQLite without what waits in the write-ahead log."""
    query = (
        "SELECT page_count * page_size FROM pragma_page_count(), pragma_page_size()"
        if connection.dialect.name == "sqlite"
        else "SELECT pg_database_size(current_database())"
    )
    return int(connection.execute(text(query)).scalar_one())


def index_problems(connection: Connection) -> list[str]:
    """Tables and indexes that the schema has and the database lacks, and indexes that it does not use."""
    if connection.dialect.name == "sqlite":
        found = dict.fromkeys(connection.execute(text("SELECT name FROM sqlite_schema")).scalars(), True)
    else:
        found = dict(_postgres_relations(connection))
    problems = []
    for table in metadata.tables.values():
        if table.name not in found:
            problems.append(f"the table {table.name} is missing")
            continue
        names = [connection.dialect.identifier_preparer.format_index(index) for index in table.indexes]
        if connection.dialect.name != "sqlite":  # whose primary keys have no names
            names.append(str(table.primary_key.name))
        problems += [f"the index {name} is missing" for name in sorted(names) if name not in found]
    problems += [
        f"the index {name} is not valid: REINDEX INDEX {POSTGRES_SCHEMA}.{name}"
        for name, is_valid in sorted(found.items())
        if not is_valid
    ]
    return problems


def _postgres_relations(connection: Connection) -> Iterator[tuple[str, bool]]:
    query = text(
        "SELECT c.relname, coalesce(i.indisvalid, true) FROM pg_class c "
        "LEFT JOIN pg_index i ON i.indexrelid = c.oid "
        "WHERE c.relnamespace = to_regnamespace(:schema) AND c.relkind IN ('r', 'p', 'i', 'I')"
    )
    for name, is_valid in connection.execute(query, {"schema": POSTGRES_SCHEMA}):
        yield str(name), bool(is_valid)


def sqlite_file(engine: Engine) -> Path | None:
    """SQLite's file; None for a server."""
    return Path(str(engine.url.database)).absolute() if engine.dialect.name == "sqlite" else None


def has_wal_reset_bug(version: Sequence[int] = sqlite3.sqlite_version_info) -> bool:
    """Whether this Python's SQLite is one of those.

    >>> has_wal_reset_bug((3, 40, 1)), has_wal_reset_bug((3, 51, 3))
    (True, False)
    """
    return tuple(version) < WAL_RESET_FIXED_IN


def sqlite_damage(connection: Connection) -> list[str]:
    """What SQLite's own checks of every page, index and reference find; reads all of the file."""
    cursor: Any = connection.connection.cursor()
    found = [line for (line,) in cursor.execute(f"PRAGMA integrity_check({_MOST_LISTED})") if line != "ok"]
    orphans: dict[tuple[str, str], int] = {}
    for table, _rowid, parent, _key in cursor.execute("PRAGMA foreign_key_check"):
        orphans[table, parent] = orphans.get((table, parent), 0) + 1
    found += [f"{n} rows of {table} refer to no row of {parent}" for (table, parent), n in orphans.items()]
    return found
