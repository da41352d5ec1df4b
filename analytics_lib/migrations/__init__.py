"""Alembic migrations of the store's schema, run by `rpa-analytics migrate` on SQLite and Postgres.

Needs the analytics extra. The version table is `rpa_schema_version`, because Airflow owns
`alembic_version` in a database that both may share.
"""

from pathlib import Path

from sqlalchemy import Connection, Engine, text

from analytics_lib.errors import SchemaVersionError, SettingsError
from analytics_lib.schema import POSTGRES_SCHEMA


def migrate(engine: Engine) -> None:
    """Brings the database to the newest schema, in one transaction; does nothing where it is there.

    Two at once: the second waits for the first. Raises SettingsError without Alembic, and
    SchemaVersionError where the database is newer than this program.
    """
    try:
        from alembic import command
        from alembic.config import Config
        from alembic.util import CommandError
    except ModuleNotFoundError:
        raise SettingsError(
            "migrating needs Alembic: pip install 'rpa-analytics[analytics]' "
            "(an agent alone needs no migration)"
        ) from None
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent))
    with engine.begin() as connection:
        _prepare(connection)
        config.attributes["connection"] = connection
        try:
            command.upgrade(config, "head")
        except CommandError as error:
            raise SchemaVersionError(
                f"the database's schema is none that this program knows ({error}): "
                "upgrade rpa-analytics on this machine"
            ) from None


def _prepare(connection: Connection) -> None:
    if connection.dialect.name == "postgresql":
        connection.execute(text("SELECT pg_advisory_xact_lock(1919967583)"))
        connection.execute(text(f"CREATE SCHEMA IF NOT EXISTS {POSTGRES_SCHEMA}"))
        # Migrations name no schema; for this transaction unqualified names mean ours.
        connection.execute(text(f"SET LOCAL search_path TO {POSTGRES_SCHEMA}"))
