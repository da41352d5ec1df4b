"""One batch of rows into the database, in the caller's transaction, by the fast path of each database.

SQLite: the raw driver's executemany (SQLAlchemy Core is 2.5 times slower). Postgres: COPY into a
temporary table, then INSERT … ON CONFLICT DO NOTHING (executemany is 2.8 times slower); the
temporary table is spelled out, because LIKE needs rights that an agent's role lacks.
Conflicts are ignored and the first row stays; rows with the same key and other content are told apart.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from sqlalchemy import Connection
from sqlalchemy.dialects import postgresql

from analytics_lib.schema import POSTGRES_SCHEMA, RAW_TABLES
from analytics_lib.store.rows import Layout, Row

ROLLUP_STAGE: Final = "hourly_rollup"
ANOMALY_STAGE: Final = "anomaly_detection"
Mark = tuple[str, str, int, int]  # stage, kind, hour_us, bucket


@dataclass(frozen=True, slots=True)
class KindCount:
    """What became of one kind's rows."""

    inserted: int = 0
    duplicates: int = 0  # same key, same content: already stored
    conflicts: int = 0  # same key, other content: the first stays, this one is in quarantine


@dataclass(frozen=True, slots=True)
class WriteResult:
    """What became of a batch. `quarantined` rows were set aside with a reason; nothing else is lost."""

    by_kind: Mapping[str, KindCount] = field(default_factory=dict)
    quarantined: int = 0

    @property
    def inserted(self) -> int:
        return sum(count.inserted for count in self.by_kind.values())

    @property
    def duplicates(self) -> int:
        return sum(count.duplicates for count in self.by_kind.values())

    @property
    def conflicts(self) -> int:
        return sum(count.conflicts for count in self.by_kind.values())


def insert_keys(connection: Connection, execution_ids: set[str]) -> None:
    """The runs' keys, sorted so that two writers of the same runs cannot deadlock."""
    keys = sorted(execution_ids)
    if connection.dialect.name == "sqlite":
        _cursor(connection).executemany(
            "INSERT OR IGNORE INTO execution (execution_id) VALUES (?)", [(key,) for key in keys]
        )
    else:
        _cursor(connection).execute(
            f"INSERT INTO {POSTGRES_SCHEMA}.execution (execution_id) "  # our own constant
            "SELECT unnest(%s::text[]) ON CONFLICT DO NOTHING",
            (keys,),
        )


def insert_rows(connection: Connection, layout: Layout, rows: Sequence[Row]) -> tuple[int, list[int]]:
    """(how many were new, positions of those whose key is stored with other content)."""
    if connection.dialect.name == "sqlite":
        return _sqlite_insert(connection, layout, rows)
    return _postgres_insert(connection, layout, rows)


def insert_marks(connection: Connection, marks: set[Mark]) -> None:
    """Appends to the ledger: never unique, or a mark could vanish with the row that it announced."""
    ordered = sorted(marks)
    if connection.dialect.name == "sqlite":
        _cursor(connection).executemany(
            "INSERT INTO pending (stage, kind, hour_us, bucket) VALUES (?, ?, ?, ?)", ordered
        )
    elif ordered:
        stages, kinds, hours, buckets = (list(column) for column in zip(*ordered, strict=True))
        _cursor(connection).execute(
            f"INSERT INTO {POSTGRES_SCHEMA}.pending (stage, kind, hour_us, bucket) "  # noqa: S608  # our own constant
            "SELECT * FROM unnest(%s::text[], %s::text[], %s::bigint[], %s::smallint[])",
            (stages, kinds, hours, buckets),
        )


def _cursor(connection: Connection) -> Any:
    return connection.connection.cursor()


def _sqlite_insert(connection: Connection, layout: Layout, rows: Sequence[Row]) -> tuple[int, list[int]]:
    # Identifiers below come from schema.py, never from data.
    names = ", ".join(layout.columns)
    values = ", ".join(f"?{i + 1}" for i in range(len(layout.columns)))
    key_is = " AND ".join(f"{name} = ?{layout.position(name) + 1}" for name in layout.natural_key)
    if layout.kind == "step":
        # The primary key holds the end time (Postgres partitions by it), the natural key does not.
        source = f"SELECT {values} WHERE NOT EXISTS (SELECT 1 FROM {layout.table} WHERE {key_is})"  # noqa: S608
    else:
        source = f"VALUES ({values})"
    driver = connection.connection.dbapi_connection
    before = driver.total_changes  # type: ignore[union-attr]  # sqlite3's own attribute
    cursor = _cursor(connection)
    cursor.executemany(f"INSERT OR IGNORE INTO {layout.table} ({names}) {source}", rows)
    inserted = driver.total_changes - before  # type: ignore[union-attr]  # as above
    if inserted == len(rows) or "content_hash" not in layout.columns:
        return inserted, []
    conflicts = []
    at = [layout.position(name) for name in layout.natural_key]
    key_is = " AND ".join(f"{name} = ?" for name in layout.natural_key)
    hash_at = layout.position("content_hash")
    for position, row in enumerate(rows):
        cursor.execute(
            f"SELECT content_hash FROM {layout.table} WHERE {key_is}",  # noqa: S608
            [row[i] for i in at],
        )
        if cursor.fetchone()[0] != row[hash_at]:
            conflicts.append(position)
    return inserted, conflicts


def _postgres_insert(connection: Connection, layout: Layout, rows: Sequence[Row]) -> tuple[int, list[int]]:
    # Identifiers below come from schema.py, never from data.
    names = ", ".join(layout.columns)
    target = f"{POSTGRES_SCHEMA}.{layout.table}"
    load = f"rpa_load_{layout.table}"
    cursor = _cursor(connection)
    cursor.execute(_load_table(layout, load))
    with cursor.copy(f"COPY pg_temp.{load} (position, {names}) FROM STDIN") as copy:
        for position, row in enumerate(rows):
            copy.write_row((position, *row))
    key = ", ".join(layout.natural_key)
    same_key = " AND ".join(f"stored.{name} = t.{name}" for name in layout.natural_key)
    # DISTINCT ON and NOT EXISTS, because a step's primary key holds the end time and its natural key
    # does not; the order keeps two writers of the same keys from a deadlock.
    cursor.execute(
        f"INSERT INTO {target} ({names}) SELECT DISTINCT ON ({key}) {names} FROM pg_temp.{load} t "  # noqa: S608
        f"WHERE NOT EXISTS (SELECT 1 FROM {target} stored WHERE {same_key}) "
        f"ORDER BY {key}, position ON CONFLICT DO NOTHING"
    )
    inserted = cursor.rowcount
    conflicts: list[int] = []
    if inserted < len(rows) and "content_hash" in layout.columns:
        cursor.execute(
            f"SELECT t.position FROM pg_temp.{load} t JOIN {target} stored ON {same_key} "  # noqa: S608
            "WHERE stored.content_hash <> t.content_hash ORDER BY 1"
        )
        conflicts = [row[0] for row in cursor.fetchall()]
    cursor.execute(f"DELETE FROM pg_temp.{load}")  # noqa: S608
    return inserted, conflicts


def _load_table(layout: Layout, name: str) -> str:
    columns = {c.name: c.type.compile(postgresql.dialect()) for c in RAW_TABLES[layout.kind].columns}  # type: ignore[no-untyped-call]  # SQLAlchemy's dialect factory is untyped
    spelled = ", ".join(f"{column} {columns[column]}" for column in layout.columns)
    return f"CREATE TEMPORARY TABLE IF NOT EXISTS {name} (position INTEGER, {spelled}) ON COMMIT DELETE ROWS"
