"""The rights of `rpa-analytics roles` are enough for agents, pipeline and readers, and no more."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import create_engine, text
from sqlalchemy.engine import make_url
from sqlalchemy.exc import DBAPIError

from analytics_lib import TimeSeriesStore, cli, pipeline
from analytics_lib.errors import SettingsError
from analytics_lib.migrations import migrate
from analytics_lib.store import partitions
from analytics_lib.store.engine import open_engine
from analytics_lib.store.roles import roles_sql
from collector_agent.checking.store_check import _one_of_each_kind, look_at_store
from tests.databases import PostgresServer, with_tables
from tests.make import NOON, execution, sample, step

GROUPS = ("rpa_owner", "rpa_agent", "rpa_pipeline", "rpa_reader")
LOGINS = {"robot_01": "rpa_agent", "airflow_01": "rpa_pipeline", "grafana": "rpa_reader", "dba": "rpa_owner"}
LATER = NOON + timedelta(days=100)
As = Callable[[str], str]


@pytest.fixture
def as_login(postgres: PostgresServer, monkeypatch: pytest.MonkeyPatch) -> Iterator[As]:
    """The URL of a store with roles, as a login sees it."""
    location = postgres.copy(with_tables)
    monkeypatch.setenv("RPA_ANALYTICS_STORE", location)
    owner = make_url(location).set(drivername="postgresql+psycopg")
    engine = create_engine(owner)
    assert cli.main(["roles", "--apply"]) == 0
    with engine.begin() as connection:
        for login, group in LOGINS.items():
            connection.execute(text(f"CREATE ROLE {login} LOGIN PASSWORD 'geheim' IN ROLE {group}"))
    assert cli.main(["roles", "--apply", "--reader-timeout", "7"]) == 0  # again, for the reader that came
    yield lambda login: owner.set(
        username=login, password="geheim", drivername="postgresql"
    ).render_as_string(hide_password=False)
    with engine.begin() as connection:
        everybody = (*LOGINS, *GROUPS)
        # A session that ended a moment ago may still hold its temporary tables.
        connection.execute(
            text("SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE usename = ANY(:names)"),
            {"names": list(LOGINS)},
        )
        connection.execute(text(f"REASSIGN OWNED BY {', '.join(everybody)} TO CURRENT_USER"))
        connection.execute(text(f"DROP OWNED BY {', '.join(everybody)}; DROP ROLE {', '.join(everybody)}"))
    engine.dispose()
    postgres.drop_given()


def refused(store: TimeSeriesStore, *statements: str, match: str = "permission denied") -> None:
    for statement in statements:
        with store.engine.connect() as connection, pytest.raises(DBAPIError, match=match):
            connection.execute(text(statement))


def test_an_agent_writes_everything_into_days_too_and_reads_no_content(as_login: As) -> None:
    agents_store = as_login("robot_01")
    assert "takes rows" in look_at_store(agents_store).text
    moment = datetime(2026, 11, 24, 12, tzinfo=UTC)
    records: list[Any] = _one_of_each_kind(moment)
    pipeline.maintain_partitions(as_login("airflow_01"), as_of=moment)
    with TimeSeriesStore(agents_store) as store:
        assert store.write_metrics(records).inserted == len(records)
        again = store.write_metrics(records)
        assert (again.inserted, again.conflicts) == (0, 0)
        # The same keys with other content, and a step that ended at another time.
        runs = ("execution_start", "execution_heartbeat", "execution", "step")
        others: list[Any] = [replace(r, workflow_id="another") for r in records if r.kind in runs]
        others += [
            replace(r, ended_at=r.ended_at + timedelta(seconds=1)) for r in records if r.kind == "step"
        ]
        assert store.write_metrics(others).conflicts == len(others)
        refused(
            store,
            "SELECT message FROM rpa.execution_metrics",
            "SELECT step_name FROM rpa.step_metrics",
            "SELECT execution_id FROM rpa.step_metrics_p20261124",
            "SELECT payload FROM rpa.quarantine",
            "SELECT * FROM rpa.pending",
            "DELETE FROM rpa.step_metrics",
            "UPDATE rpa.execution_metrics SET status = 'completed'",
            "TRUNCATE rpa.resource_metrics",
            "SELECT * FROM rpa.insight",
            "CREATE TABLE rpa.mine (n int)",
        )


def test_the_pipeline_does_all_its_work_and_changes_no_raw_row(as_login: As, tmp_path: Path) -> None:
    with TimeSeriesStore(as_login("robot_01")) as robot:
        robot.write_metrics([execution("e"), step("e", 1), sample(), execution("f"), step("f", 1)])
    location, moment = as_login("airflow_01"), NOON + timedelta(days=1)
    assert pipeline.maintain_partitions(location, as_of=NOON)["rows_moved"] == 3
    pipeline.mark_window(location, window_start=NOON, window_end=moment)
    pipeline.sweep_abandoned(location, as_of=moment)
    assert pipeline.aggregate_pending(location, as_of=moment)["rows_read"] == 5
    pipeline.recompute_baselines(location, as_of=moment, time_zone="UTC")
    pipeline.detect_anomalies(location, as_of=LATER, time_zone="UTC")
    pipeline.generate_insights(location, as_of=LATER, time_zone="UTC")
    with TimeSeriesStore(location) as store:
        refused(
            store,
            "UPDATE rpa.execution_metrics SET status = 'completed'",
            "TRUNCATE rpa.execution_metrics",
            "DROP TABLE rpa.insight",
            "UPDATE rpa.rpa_schema_version SET version_num = 'x'",
            match="permission denied|must be owner",
        )
        with store.engine.begin() as connection:
            connection.execute(text("DELETE FROM rpa.pending"))  # whoever is the next stage
    done = pipeline.archive_and_retain(location, as_of=LATER, archive_folder=tmp_path)
    assert done["rows_deleted"] == 5
    # What one login made belongs to all: the next one maintains and drops it.
    with TimeSeriesStore(location) as store, store.engine.connect() as connection:
        owners = {
            owner
            for (owner,) in connection.execute(
                text("SELECT DISTINCT tableowner FROM pg_tables WHERE tablename LIKE 'step_metrics%'")
            )
        }
        assert owners == {"rpa_pipeline"}


def test_a_reader_reads_everything_but_not_for_long_and_changes_nothing(as_login: As) -> None:
    with TimeSeriesStore(as_login("robot_01")) as robot:
        robot.write_metrics([execution("e", message="why"), step("e", 1)])
    with TimeSeriesStore(as_login("grafana")) as store:
        with store.engine.connect() as connection:
            assert connection.scalar(text("SELECT message FROM rpa.execution_metrics")) == "why"
            assert connection.scalar(text("SELECT count(*) FROM rpa.step_metrics")) == 1
            assert connection.scalar(text("SHOW statement_timeout")) == "7s"
            assert connection.scalar(text("SHOW default_transaction_read_only")) == "on"
        insist = "SET TRANSACTION READ WRITE;"
        refused(store, f"{insist} DELETE FROM rpa.insight", f"{insist} CREATE TABLE rpa.mine (n int)")


def test_who_is_owner_migrates_and_the_rights_come_back_with_applying_again(as_login: As) -> None:
    engine = open_engine(as_login("dba"))
    migrate(engine)
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE rpa.later (n int)"))
        connection.execute(text("ALTER TABLE rpa.step_metrics ADD COLUMN later int"))
    engine.dispose()


def test_printing_asks_no_database_and_names_the_roles_as_wished(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["roles", "--print", "--prefix", "acme", "--reader-timeout", "5"]) == 0
    said = capsys.readouterr().out
    assert said == roles_sql("acme", 5)
    assert "rpa_agent" not in said
    assert cli.main(["roles", "--print", "--prefix", "x; DROP"]) == SettingsError.exit_code


def test_sqlite_and_a_database_without_tables_are_told_what_to_do(
    tmp_path: Path,
    postgres_location: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert cli.main(["roles", "--apply", "--store", str(tmp_path)]) == 2
    assert "SQLite" in capsys.readouterr().err
    monkeypatch.setenv("RPA_ANALYTICS_STORE", postgres_location)
    assert cli.main(["roles", "--apply"]) == 3
    assert "run `rpa-analytics migrate` first" in capsys.readouterr().err


def test_partitions_know_every_table_that_is_partitioned() -> None:
    from analytics_lib import schema

    partitioned = {
        name for name, t in schema.metadata.tables.items() if t.dialect_options["postgresql"]["partition_by"]
    }
    assert partitioned == {schema.RAW_TABLES[source].name for source in partitions.PARTITIONED}


def test_an_owner_with_createrole_needs_no_superuser(
    postgres_location: str, postgres: PostgresServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    admin = create_engine(make_url(postgres_location).set(drivername="postgresql+psycopg"))
    with admin.begin() as connection:
        connection.execute(text("CREATE ROLE installer LOGIN CREATEROLE PASSWORD 'geheim'"))
        connection.execute(text(f"ALTER DATABASE {admin.url.database} OWNER TO installer"))
    mine = admin.url.set(drivername="postgresql", username="installer", password="geheim")
    location = mine.render_as_string(hide_password=False)
    monkeypatch.setenv("RPA_ANALYTICS_STORE", location)
    with TimeSeriesStore(location) as store:
        store.write_metrics([execution("e"), step("e", 1)])
    try:
        for _ in range(2):
            assert cli.main(["roles", "--apply"]) == 0
        assert pipeline.maintain_partitions(location, as_of=NOON)["rows_moved"] == 1
        migrate(engine := open_engine(location))
        engine.dispose()
    finally:
        with admin.begin() as connection:
            everybody = ", ".join(("installer", *GROUPS))
            connection.execute(text(f"REASSIGN OWNED BY {everybody} TO CURRENT_USER"))
            connection.execute(text(f"DROP OWNED BY {everybody}; DROP ROLE {everybody}"))
        admin.dispose()
