"""Which schema a database has, and whether this program may read or write it.

A base install has no Alembic: an empty database is created from `analytics_lib.schema` and stamped;
a test compares the result with what the migrations make. Upgrading needs `rpa-analytics migrate`.
"""

import sqlite3
from typing import Final

from sqlalchemy import Connection, Engine, inspect, text
from sqlalchemy.exc import SQLAlchemyError

from analytics_lib.errors import SchemaVersionError, StoreError
from analytics_lib.schema import POSTGRES_SCHEMA, SCHEMA_VERSION, VERSION_TABLE, metadata
from analytics_lib.store import partitions
from analytics_lib.store.engine import connect_to_read, shown_url

_CREATION_LOCK: Final = 0x7270615F  # "rpa_": one creator at a time on Postgres


def revision_id(version: int) -> str:
    """The Alembic revision of a schema version: 1 is '0001'."""
    return f"{version:04d}"


def schema_version(connection: Connection) -> int | None:
    """The version stamped in the database; None when it has none of our tables."""
    schema = None if connection.dialect.name == "sqlite" else POSTGRES_SCHEMA
    if not inspect(connection).has_table(VERSION_TABLE, schema=schema):
        return None
    # has_table + select, not select + catch: on Postgres a failed select spoils the transaction.
    prefix = f"{schema}." if schema else ""
    found = connection.execute(text(f"SELECT version_num FROM {prefix}{VERSION_TABLE}")).scalar()  # noqa: S608  # our own constants
    return None if found is None else int(found)


def ensure_schema(engine: Engine) -> int:
    """Creates the tables in an empty database; gives the version found or made. Raises StoreError."""
    try:
        with connect_to_read(engine) as connection:
            version = schema_version(connection)
        if version is not None:
            return version
        with engine.begin() as connection:
            return _create(connection)
    except SQLAlchemyError as error:
        raise StoreError(
            f"the store {shown_url(engine.url)} cannot be opened ({_first_line(error)}): {_remedy(error)}"
        ) from None


def _create(connection: Connection) -> int:
    if connection.dialect.name == "postgresql":
        connection.execute(text(f"SELECT pg_advisory_xact_lock({_CREATION_LOCK})"))
        connection.execute(text(f"CREATE SCHEMA IF NOT EXISTS {POSTGRES_SCHEMA}"))
    found = schema_version(connection)  # again: another process may have been first
    if found is not None:
        return found
    metadata.create_all(connection)
    if connection.dialect.name == "postgresql":
        partitions.create_defaults(connection)
    prefix = f"{POSTGRES_SCHEMA}." if connection.dialect.name == "postgresql" else ""
    connection.execute(
        text(
            f"CREATE TABLE {prefix}{VERSION_TABLE} (version_num VARCHAR(32) NOT NULL, "
            f"CONSTRAINT {VERSION_TABLE}_pkc PRIMARY KEY (version_num))"
        )
    )
    connection.execute(
        text(f"INSERT INTO {prefix}{VERSION_TABLE} VALUES (:version)"),  # noqa: S608  # our own constants
        {"version": revision_id(SCHEMA_VERSION)},
    )
    return SCHEMA_VERSION


def check_writable(version: int) -> None:
    """Raises SchemaVersionError where the database is older: its rows must wait for the migration."""
    if version < SCHEMA_VERSION:
        raise SchemaVersionError(
            f"the database has schema version {version}, this agent writes version {SCHEMA_VERSION}: "
            "the rows are held back; run `rpa-analytics migrate` on the database"
        )


def check_readable(version: int) -> None:
    """Raises SchemaVersionError unless the database has exactly this program's version."""
    check_writable(version)
    if version > SCHEMA_VERSION:
        raise SchemaVersionError(
            f"the database has schema version {version}, this program knows up to {SCHEMA_VERSION}: "
            "upgrade rpa-analytics on this machine (agents may go on writing)"
        )


def _remedy(error: SQLAlchemyError) -> str:
    """SQLite tells apart what another process holds, and what is no database at all."""
    code = getattr(getattr(error, "orig", None), "sqlite_errorcode", 0) & 0xFF
    if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return "another process has been writing to it all the time; try again when that is done"
    if code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
        return "the file is damaged or no database; put it aside and restore it from a copy"
    return "check that it exists and that you may write to it"


def _first_line(error: SQLAlchemyError) -> str:
    cause = getattr(error, "orig", None) or error
    return str(cause).strip().splitlines()[0] if str(cause).strip() else type(cause).__name__
