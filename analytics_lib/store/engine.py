"""Opening the database: a folder (SQLite inside) or a URL, with the settings that make it safe."""

import os
import re
import sqlite3
import time
from pathlib import Path
from typing import Any, Final

from sqlalchemy import Connection, Engine, create_engine, event, text
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, NoSuchModuleError, SQLAlchemyError

from analytics_lib.errors import StoreError
from analytics_lib.schema import POSTGRES_SCHEMA

SQLITE_FILE: Final = "rpa.sqlite"
BUSY_TIMEOUT_MS: Final = 60_000
READ_TIMEOUT_VARIABLE: Final = "RPA_ANALYTICS_READ_TIMEOUT"
READ_TIMEOUT_SEC: Final = 900
MOST_CONNECTIONS: Final = 4  # a task of the pipeline holds a lock, reads and writes at once
_LONGEST_SEC: Final = 2_000_000  # Postgres counts milliseconds in 32 bits
_PASSWORD_OPTION: Final = re.compile(r"(?i)password|passwd|pwd")


def store_url(location: str | Path) -> URL:
    """The database URL of a location: a folder becomes the SQLite file in it.

    Raises StoreError for a URL that is no URL or names another database than SQLite or Postgres.
    """
    if isinstance(location, Path) or "://" not in location:
        folder = Path(location).expanduser().absolute()
        return URL.create("sqlite", database=str(folder / SQLITE_FILE))
    try:
        url = make_url(location)
    except ArgumentError:
        scheme = location.split("://", 1)[0]
        raise StoreError(
            f"the store's URL ({scheme}://…) cannot be read: write postgresql://user@host/database "
            "or a folder's path"
        ) from None
    backend = url.get_backend_name()
    if backend in ("postgresql", "postgres"):
        return url.set(drivername="postgresql+psycopg")
    if backend == "sqlite" and url.database:
        return url.set(drivername="sqlite")
    raise StoreError(f"the store's URL begins with {url.drivername}://: use postgresql:// or a folder's path")


def open_engine(location: str | Path, *, most_connections: int = MOST_CONNECTIONS) -> Engine:
    """An engine for the location; creates the folder, connects to nothing yet. Raises StoreError.

    Postgres: of at most so many connections half are kept for the next use, the others closed after theirs.
    """
    url = store_url(location)
    if url.get_backend_name() == "sqlite":
        return _sqlite_engine(url)
    return _postgres_engine(url, most_connections)


def _postgres_engine(url: URL, most_connections: int) -> Engine:
    """What the URL leaves out is libpq's to find: PG* variables, a service file, ~/.pgpass, TLS files."""
    read_timeout_ms = _read_timeout_ms()
    kept = max(1, most_connections // 2)
    # Nothing here may overrule the URL, a PG* variable or a service file.
    arguments: dict[str, Any] = {"fallback_application_name": "rpa-analytics", "prepare_threshold": None}
    if not any(name in url.query for name in ("connect_timeout", "service")) and not (
        os.environ.get("PGCONNECT_TIMEOUT") or os.environ.get("PGSERVICE")
    ):
        arguments["connect_timeout"] = 10
    try:
        engine = create_engine(
            url,
            pool_pre_ping=True,
            pool_size=kept,
            max_overflow=max(0, most_connections - kept),
            connect_args=arguments,
        )
    except (NoSuchModuleError, ModuleNotFoundError):
        raise StoreError(
            "the Postgres driver is not installed: pip install 'rpa-analytics[postgres]'"
        ) from None

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        if read_timeout_ms and connection.get_execution_options().get("reads_only"):
            # For this transaction alone: a pooler may give the session to somebody else afterwards.
            connection.exec_driver_sql(f"SET LOCAL statement_timeout = {read_timeout_ms}")

    return engine.execution_options(schema_translate_map={None: POSTGRES_SCHEMA})


def _read_timeout_ms() -> int:
    given = os.environ.get(READ_TIMEOUT_VARIABLE, "")
    try:
        seconds = float(given or READ_TIMEOUT_SEC)
        if 0 <= seconds <= _LONGEST_SEC:
            return round(seconds * 1000)
    except ValueError:
        pass
    raise StoreError(
        f"{READ_TIMEOUT_VARIABLE} is {given!r}: give the seconds after which Postgres ends a statement that "
        "reads, or 0 for no limit"
    )


def _sqlite_engine(url: URL) -> Engine:
    folder = Path(str(url.database)).absolute().parent
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StoreError(
            f"the store's folder {folder} cannot be made ({error.strerror}): choose one you may write to"
        ) from None
    engine = create_engine(url, connect_args={"timeout": BUSY_TIMEOUT_MS / 1000, "check_same_thread": False})

    @event.listens_for(engine, "connect")
    def configure(connection: sqlite3.Connection, _record: Any) -> None:
        # The driver must not open transactions by itself: a read that turns into a write fails at
        # once with BUSY_SNAPSHOT, so every writing transaction says BEGIN IMMEDIATE (below).
        connection.isolation_level = None
        cursor = connection.cursor()
        cursor.execute(f"PRAGMA busy_timeout = {BUSY_TIMEOUT_MS}")
        if not cursor.execute("PRAGMA page_count").fetchone()[0]:  # later it would wait for writers
            cursor.execute("PRAGMA auto_vacuum = INCREMENTAL")  # effective only before the first table
        cursor.execute("PRAGMA journal_mode = WAL")
        cursor.execute("PRAGMA synchronous = FULL")  # a committed batch survives a power cut
        cursor.execute("PRAGMA foreign_keys = ON")
        cursor.execute("PRAGMA cache_size = -65536")
        cursor.close()

    @event.listens_for(engine, "begin")
    def begin(connection: Any) -> None:
        mode = "DEFERRED" if connection.get_execution_options().get("reads_only") else "IMMEDIATE"
        connection.exec_driver_sql(f"BEGIN {mode}")

    return engine


def connect_to_read(engine: Engine) -> Connection:
    """A connection that sees one state of the database throughout, and neither writes nor waits.

    Postgres ends its statements after RPA_ANALYTICS_READ_TIMEOUT seconds, 900 by default.
    """
    connection = engine.connect().execution_options(reads_only=True)
    if engine.dialect.name == "sqlite":
        return connection
    return connection.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)


def clock_offset_ms(engine: Engine) -> float | None:
    """See `TimeSeriesStore.clock_offset_ms`."""
    if engine.dialect.name == "sqlite":
        return None
    try:
        with engine.connect() as connection:
            connection.execute(text("SELECT 1"))  # connecting takes its time, asking only a moment
            before = time.time()
            theirs = float(
                connection.execute(text("SELECT extract(epoch FROM clock_timestamp())")).scalar_one()
            )
            after = time.time()
    except SQLAlchemyError as error:
        raise StoreError(
            f"the store {shown_url(engine.url)} does not tell its time: {error.args[0]}"
        ) from None
    return (theirs - (before + after) / 2) * 1000


def describe(location: str | Path) -> str:
    """The location for people: never with a password."""
    return shown_url(store_url(location))


def shown_url(url: URL) -> str:
    """A database URL for people: a SQLite file's path, else the URL without any password.

    >>> shown_url(make_url("postgresql://me:secret@host/db?sslpassword=secret&sslmode=require"))
    'postgresql://me:***@host/db?sslmode=require&sslpassword=***'
    """
    if url.get_backend_name() == "sqlite":
        return str(url.database)
    hidden = {name: "***" for name in url.query if _PASSWORD_OPTION.search(name)}
    return url.update_query_dict(hidden).render_as_string().replace("%2A%2A%2A", "***")
