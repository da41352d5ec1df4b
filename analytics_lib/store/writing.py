"""One batch of rows into the database, in the caller's transaction, by the fast path of each database.

SQLite: the raw driver's executemany (SQLAlchemy Core is 2.5 times slower). Postgres: COPY into a
temporary table, then INSERT … ON CONFLICT DO NOTHING (executemany is 2.8 times slower); the
temporary table is spelled out, because LIKE needs rights that an agent's role lacks.
Conflicts are ignored and the first row stays; rows with the same key and other content are told apart.
"""

import re
import zlib
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from operator import itemgetter
from typing import Any, Final

from sqlalchemy import Connection, Text
from sqlalchemy.dialects import postgresql

from analytics_lib.schema import POSTGRES_SCHEMA, RAW_TABLES
from analytics_lib.store.rows import NO_DEFAULT, Layout, Row
from analytics_lib.store.step_keys import positions_in_doubt

_MANY_ROWS: Final = 500  # a statement that differs from the one before is prepared again
_PLAIN_WORD: Final = re.compile(r"[A-Za-z0-9_. -]*", re.ASCII)
ROLLUP_STAGE: Final = "hourly_rollup"
DAILY_STAGE: Final = "daily_rollup"
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


def insert_keys(connection: Connection, execution_ids: set[str]) -> Collection[str]:
    """The runs' keys, sorted so that two writers of the same runs cannot deadlock.

    Gives those that are known to be new: nobody else can have stored anything of them.
    """
    keys = sorted(execution_ids)
    if connection.dialect.name == "sqlite":
        inserted = _sqlite_many(
            connection, "INSERT OR IGNORE INTO execution (execution_id) VALUES (?)", [(key,) for key in keys]
        )
        return execution_ids if inserted == len(keys) else ()
    cursor = _cursor(connection)
    cursor.execute(
        f"INSERT INTO {POSTGRES_SCHEMA}.execution (execution_id) "  # our own constant
        "SELECT unnest(%s::text[]) ON CONFLICT DO NOTHING RETURNING execution_id",
        (keys,),
    )
    return {key for (key,) in cursor.fetchall()}


def insert_rows(
    connection: Connection, layout: Layout, rows: Sequence[Row], new_runs: Collection[str] = ()
) -> tuple[int, list[int]]:
    """(how many were new, positions of those whose key is stored with other content)."""
    if not rows:
        return 0, []
    # A step's primary key holds the end time (Postgres partitions by it), its natural key does not: where
    # a step with the same natural key may be stored, it is looked for before the insert.
    doubtful = positions_in_doubt(connection, layout, rows, new_runs) if layout.kind == "step" else []
    if connection.dialect.name != "sqlite":
        return _postgres_insert(connection, layout, rows, look_first=bool(doubtful))
    if not doubtful or len(doubtful) == len(rows):
        return _sqlite_insert(connection, layout, rows, look_first=bool(doubtful))
    sure = sorted(set(range(len(rows))).difference(doubtful))
    inserted, conflicts = 0, []
    for positions, look_first in ((sure, False), (doubtful, True)):
        new, found = _sqlite_insert(connection, layout, [rows[at] for at in positions], look_first)
        inserted += new
        conflicts += [positions[at] for at in found]
    return inserted, sorted(conflicts)


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


def _sqlite_many(connection: Connection, statement: str, rows: Iterable[tuple[Any, ...]]) -> int:
    """How many rows a statement that ignores conflicts has changed."""
    driver: Any = connection.connection.dbapi_connection
    before: int = driver.total_changes
    _cursor(connection).executemany(statement, rows)
    return int(driver.total_changes - before)


def _filled(layout: Layout, rows: Sequence[Row]) -> tuple[list[str], list[tuple[Any, ...]]]:
    """The columns that some row fills: their names, and the values of each.

    The database fills in the others at no cost, while each one that it is given costs it a twentieth of
    the row: a usual step fills 17 of 28.
    """
    columns = list(zip(*rows, strict=True))
    filled = [
        at
        for at, default in enumerate(layout.defaults)
        if default is NO_DEFAULT or columns[at][0] != default or columns[at].count(default) < len(rows)
    ]
    return [layout.columns[at] for at in filled], [columns[at] for at in filled]


def _spelled(columns: Sequence[tuple[Any, ...]]) -> tuple[list[str], list[tuple[Any, ...]]]:
    """Each column in the statement, and those that it is given as parameters.

    What all of many rows have in common is spelled out: a usual step has six such columns, which as
    parameters cost a seventh of the row.
    """
    shown: list[str] = []
    given: list[tuple[Any, ...]] = []
    for column in columns:
        value = column[0]
        is_same = len(column) >= _MANY_ROWS and value == column[-1] and column.count(value) == len(column)
        if is_same and isinstance(value, int):
            shown.append(str(int(value)))
        elif is_same and isinstance(value, str) and _PLAIN_WORD.fullmatch(value):
            shown.append(f"'{value}'")
        else:
            given.append(column)
            shown.append(f"?{len(given)}")
    return shown, given


def _sqlite_insert(
    connection: Connection, layout: Layout, rows: Sequence[Row], look_first: bool
) -> tuple[int, list[int]]:
    # Identifiers below come from schema.py, never from data.
    names, filled = _filled(layout, rows)
    shown, columns = _spelled(filled)
    values = ", ".join(shown)
    source = f"VALUES ({values})"
    if look_first:
        key_is = " AND ".join(f"{name} = {shown[names.index(name)]}" for name in layout.natural_key)
        source = f"SELECT {values} WHERE NOT EXISTS (SELECT 1 FROM {layout.table} WHERE {key_is})"  # noqa: S608
    insert = f"INSERT OR IGNORE INTO {layout.table} ({', '.join(names)}) {source}"
    inserted = _sqlite_many(connection, insert, zip(*columns, strict=True))
    if inserted == len(rows) or "content_hash" not in layout.columns:
        return inserted, []
    conflicts = []
    cursor = _cursor(connection)
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


def _postgres_insert(
    connection: Connection, layout: Layout, rows: Sequence[Row], look_first: bool
) -> tuple[int, list[int]]:
    # Identifiers below come from schema.py, never from data.
    target = f"{POSTGRES_SCHEMA}.{layout.table}"
    load = _load_name(layout)
    # In the order of their keys, which keeps two writers of the same keys from a deadlock.
    keys = list(map(itemgetter(*map(layout.position, layout.natural_key)), rows))
    order = sorted(range(len(rows)), key=keys.__getitem__)
    filled, columns = _filled(layout, [rows[at] for at in order])
    names = ", ".join(filled)
    cursor = _cursor(connection)
    cursor.execute(f"{_load_table(layout, load)}; DELETE FROM pg_temp.{load}")  # noqa: S608  # empty, but where this transaction was here before
    with cursor.copy(f"COPY pg_temp.{load} (position, {names}) FROM STDIN") as copy:
        _copy(copy, [order, *columns])
    same_key = " AND ".join(f"stored.{name} = t.{name}" for name in layout.natural_key)
    what = f"SELECT {names} FROM pg_temp.{load} t"  # noqa: S608
    if look_first:
        key = ", ".join(f"{name} {_byte_order(layout, name)}" for name in layout.natural_key)
        what = (
            f"SELECT DISTINCT ON ({key}) {names} FROM pg_temp.{load} t "  # noqa: S608
            f"WHERE NOT EXISTS (SELECT 1 FROM {target} stored WHERE {same_key}) ORDER BY {key}, position"
        )
    cursor.execute(f"INSERT INTO {target} ({names}) {what} ON CONFLICT DO NOTHING")
    inserted = cursor.rowcount
    conflicts: list[int] = []
    if inserted < len(rows) and "content_hash" in layout.columns:
        cursor.execute(
            f"SELECT t.position FROM pg_temp.{load} t JOIN {target} stored ON {same_key} "  # noqa: S608
            "WHERE stored.content_hash <> t.content_hash ORDER BY 1"
        )
        conflicts = [row[0] for row in cursor.fetchall()]
    return inserted, conflicts


def _copy(copy: Any, columns: Sequence[Sequence[Any]]) -> None:
    """COPY's text format in one go, half as long as row by row; by the driver where it needs an escape."""
    has_null = [None in column for column in columns]
    shown = [
        ["\\N" if value is None else value for value in column] if nulls else column
        for column, nulls in zip(columns, has_null, strict=True)
    ]
    line = "\t".join(["%s"] * len(columns)) + "\n"
    text = "".join(map(line.__mod__, zip(*shown, strict=True)))
    count = len(columns[0])
    nulls = sum(column.count(None) for column, nulls in zip(columns, has_null, strict=True) if nulls)
    found = [text.count(special) for special in "\t\n\\\r"]
    if found == [(len(columns) - 1) * count, count, nulls, 0]:
        copy.write(text)
        return
    for row in zip(*columns, strict=True):
        copy.write_row(row)


def _byte_order(layout: Layout, name: str) -> str:
    """Sorts text as Python does, so that all writers take the keys in the same order."""
    return 'COLLATE "C"' if isinstance(RAW_TABLES[layout.kind].c[name].type, Text) else ""


@lru_cache
def _load_name(layout: Layout) -> str:
    """Names the columns, too: through a pooler, an older release's table may stand in the session."""
    return f"rpa_load_{layout.table}_{zlib.crc32(','.join(layout.columns).encode()):08x}"


@lru_cache
def _load_table(layout: Layout, name: str) -> str:
    columns = {c.name: c.type.compile(postgresql.dialect()) for c in RAW_TABLES[layout.kind].columns}  # type: ignore[no-untyped-call]  # SQLAlchemy's dialect factory is untyped
    spelled = ", ".join(f"{column} {columns[column]}" for column in layout.columns)
    return f"CREATE TEMPORARY TABLE IF NOT EXISTS {name} (position INTEGER, {spelled}) ON COMMIT DELETE ROWS"
