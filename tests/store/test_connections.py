"""How a Postgres store is found, what a connection is told, and how many there are."""

import time
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.engine import make_url
from sqlalchemy.exc import OperationalError

from analytics_lib import TimeSeriesStore
from analytics_lib.errors import StoreError
from analytics_lib.store.engine import READ_TIMEOUT_VARIABLE, connect_to_read, open_engine
from collector_agent import deferred_store
from collector_agent.deferred_store import DeferredStore
from tests.make import execution


@pytest.fixture
def parts(postgres_location: str) -> dict[str, str]:
    """Host, user and database of an empty store."""
    url = make_url(postgres_location)
    return {"host": str(url.query["host"]), "user": str(url.username), "dbname": str(url.database)}


def test_pg_variables_say_all_that_an_empty_url_does_not(
    parts: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in zip(("PGHOST", "PGUSER", "PGDATABASE"), parts.values(), strict=True):
        monkeypatch.setenv(name, value)
    with TimeSeriesStore("postgresql://") as store:
        assert store.write_metrics([execution("e")]).inserted == 1


def test_a_service_file_names_the_store(
    parts: dict[str, str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    lines = [f"{name}={value}" for name, value in parts.items()]
    (tmp_path / "services").write_text("\n".join(["[rpa]", *lines, "application_name=of the service", ""]))
    monkeypatch.setenv("PGSERVICEFILE", str(tmp_path / "services"))
    with TimeSeriesStore("postgresql:///?service=rpa") as store, store.engine.connect() as connection:
        assert connection.scalar(text("SHOW application_name")) == "of the service"
    with pytest.raises(StoreError, match="none_such"):
        TimeSeriesStore("postgresql:///?service=none_such")


def test_tls_and_other_settings_of_the_url_reach_the_driver_as_they_are() -> None:
    engine = open_engine(
        "postgresql://me@db/rpa?sslmode=verify-full&sslrootcert=/etc/ca.pem&connect_timeout=3"
    )
    [_, given] = engine.dialect.create_connect_args(engine.url)
    assert given["sslmode"] == "verify-full"
    assert given["sslrootcert"] == "/etc/ca.pem"
    seen: dict[str, Any] = {}
    engine.dialect.connect = lambda *_, **given: seen.update(given) or 1 / 0  # type: ignore[method-assign]
    with pytest.raises(ZeroDivisionError):
        engine.connect()
    assert seen["connect_timeout"] == "3"


def test_a_connection_says_whose_it_is(postgres_location: str) -> None:
    for query, expected in (("", "rpa-analytics"), ("&application_name=mine", "mine")):
        engine = open_engine(postgres_location + query)
        with engine.connect() as connection:
            assert connection.scalar(text("SHOW application_name")) == expected
        engine.dispose()


def test_what_only_reads_is_ended_after_a_while_and_a_write_is_not(
    postgres_location: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(READ_TIMEOUT_VARIABLE, "0.05")
    engine = open_engine(postgres_location)
    with connect_to_read(engine) as reader, pytest.raises(OperationalError, match="statement timeout"):
        reader.execute(text("SELECT pg_sleep(5)"))
    with engine.begin() as writer:
        writer.execute(text("SELECT pg_sleep(0.1)"))
        assert writer.scalar(text("SHOW statement_timeout")) == "0"
    engine.dispose()


@pytest.mark.parametrize("seconds", ["soon", "-1", "nan", "1e12"])
def test_a_wrong_time_limit_is_refused(seconds: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(READ_TIMEOUT_VARIABLE, seconds)
    with pytest.raises(StoreError, match="or 0 for no limit"):
        open_engine("postgresql://db/rpa")


def test_an_agent_holds_one_connection_while_it_writes_and_none_when_it_is_idle(
    postgres_location: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = open_engine(postgres_location)

    def connections() -> int:
        with engine.connect() as connection:
            asked = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> {}"
            return int(connection.scalar(text(asked.format("pg_backend_pid()"))) or 0)

    def wait_for(n: int) -> bool:  # a session takes a moment to end
        until_s = time.monotonic() + 5
        while connections() != n and time.monotonic() < until_s:
            time.sleep(0.02)
        return connections() == n

    agent = DeferredStore(f"{postgres_location}&application_name=agent", "daemon")
    agent.rest_if_idle()
    agent.write_metrics([execution("e")])
    agent.clock_offset_ms()
    agent.rest_if_idle()
    assert connections() == 1  # it was used a moment ago
    monkeypatch.setattr(deferred_store, "_IDLE_SEC", 0.0)
    agent.rest_if_idle()
    assert wait_for(0)
    assert agent.write_metrics([execution("f")]).inserted == 1
    agent.close()
    engine.dispose()
