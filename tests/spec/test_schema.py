"""One schema: what a base install creates, what the migrations make, what analytics_lib.schema says."""

import threading

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import inspect, text

from analytics_lib import TimeSeriesStore, schema
from analytics_lib.errors import SchemaVersionError
from analytics_lib.migrations import migrate
from analytics_lib.store.engine import open_engine
from analytics_lib.store.versions import ensure_schema, revision_id, schema_version
from tests.make import execution


def described(location: str) -> dict[str, object]:
    """Every table as the database itself tells it."""
    engine = open_engine(location)
    name = None if engine.dialect.name == "sqlite" else schema.POSTGRES_SCHEMA
    inspector = inspect(engine)
    tables: dict[str, object] = {}
    for table in sorted(inspector.get_table_names(schema=name)):
        columns = {
            c["name"]: (str(c["type"]), c["nullable"], str(c["default"]), c.get("comment"))
            for c in inspector.get_columns(table, schema=name)
        }
        key = inspector.get_pk_constraint(table, schema=name)
        indexes = sorted(
            (str(i["name"]), tuple(i["column_names"]), i["unique"])
            for i in inspector.get_indexes(table, schema=name)
        )
        foreign = [
            (f["constrained_columns"], f["referred_table"])
            for f in inspector.get_foreign_keys(table, schema=name)
        ]
        tables[table] = (columns, key["constrained_columns"], indexes, foreign)
    engine.dispose()
    return tables


def test_a_created_database_equals_a_migrated_one(
    location: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    ensure_schema(open_engine(location))
    created = described(location)
    engine = open_engine(location)
    with engine.begin() as connection:
        if engine.dialect.name == "sqlite":
            location = str(tmp_path_factory.mktemp("migrated"))
        else:
            connection.exec_driver_sql(f"DROP SCHEMA {schema.POSTGRES_SCHEMA} CASCADE")
    engine.dispose()
    fresh = open_engine(location)
    migrate(fresh)
    with fresh.connect() as connection:
        assert schema_version(connection) == schema.SCHEMA_VERSION
    fresh.dispose()
    assert described(location) == created
    partitions = (
        set() if engine.dialect.name == "sqlite" else {"step_metrics_default", "resource_metrics_default"}
    )
    assert set(created) - partitions == {t.name for t in schema.metadata.tables.values()} | {
        schema.VERSION_TABLE
    }
    assert partitions <= set(created)


def test_nothing_is_left_for_a_migration_to_do(tmp_path: str) -> None:
    engine = open_engine(tmp_path)
    migrate(engine)
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"version_table": schema.VERSION_TABLE})
        assert compare_metadata(context, schema.metadata) == []


def test_migrating_again_or_after_creation_changes_nothing(location: str) -> None:
    with TimeSeriesStore(location) as store:
        store.write_metrics([execution("e1")])
        before = described(location)
        migrate(store.engine)
        migrate(store.engine)
        assert described(location) == before
        assert store.aggregate("duration_ms", "count", [], *_whole())[0]["n"] == 1


def test_a_newer_database_is_not_migrated(location: str) -> None:
    with TimeSeriesStore(location) as store:
        with store.engine.begin() as connection:
            prefix = "" if connection.dialect.name == "sqlite" else f"{schema.POSTGRES_SCHEMA}."
            connection.execute(text(f"UPDATE {prefix}{schema.VERSION_TABLE} SET version_num = '0099'"))
        with pytest.raises(SchemaVersionError, match=r"'0099'.*upgrade rpa-analytics"):
            migrate(store.engine)


def test_two_that_open_an_empty_database_at_once_both_succeed(location: str) -> None:
    failures: list[BaseException] = []

    def open_it() -> None:
        try:
            TimeSeriesStore(location).close()
        except BaseException as error:  # noqa: BLE001  # a thread's error must reach the assertion
            failures.append(error)

    threads = [threading.Thread(target=open_it) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []


def test_the_newest_migration_carries_the_schema_s_version() -> None:
    from alembic.config import Config
    from alembic.script import ScriptDirectory

    config = Config()
    config.set_main_option("script_location", "analytics_lib:migrations")
    assert ScriptDirectory.from_config(config).get_current_head() == revision_id(schema.SCHEMA_VERSION)


def test_every_table_and_column_is_described() -> None:
    for table in schema.metadata.tables.values():
        assert table.comment, table.name
        assert all(column.comment for column in table.columns), table.name


def _whole() -> tuple[object, object]:
    from datetime import UTC, datetime

    return datetime(2020, 1, 1, tzinfo=UTC), datetime(2030, 1, 1, tzinfo=UTC)
