"""The rights of deploy/agent/postgres-agent-role.sql are enough for an agent, and no more."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import create_engine, text
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ProgrammingError

from analytics_lib import TimeSeriesStore
from collector_agent.checking.store_check import _one_of_each_kind, look_at_store

ROLE = Path(__file__).parents[2] / "deploy/agent/postgres-agent-role.sql"


@pytest.fixture
def agents_store(postgres_location: str) -> Iterator[str]:
    """The URL of a store as a machine's login sees it."""
    TimeSeriesStore(postgres_location).close()
    owner = make_url(postgres_location).set(drivername="postgresql+psycopg")
    engine = create_engine(owner)
    for _ in range(2):  # running it again changes nothing
        with engine.begin() as connection:
            connection.connection.driver_connection.execute(ROLE.read_text())  # as psql would
    with engine.begin() as connection:
        connection.execute(text("CREATE ROLE robot_01 LOGIN PASSWORD 'geheim' IN ROLE rpa_agent"))
    as_agent = owner.set(username="robot_01", password="geheim", drivername="postgresql")
    yield as_agent.render_as_string(hide_password=False)
    with engine.begin() as connection:
        # A session that ended a moment ago may still hold its temporary tables.
        connection.execute(
            text("SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE usename = 'robot_01'")
        )
        connection.execute(text("DROP OWNED BY robot_01, rpa_agent; DROP ROLE robot_01, rpa_agent"))
    engine.dispose()


FORBIDDEN = (
    "SELECT message FROM rpa.execution_metrics",
    "SELECT payload FROM rpa.quarantine",
    "SELECT * FROM rpa.pending",
    "DELETE FROM rpa.step_metrics",
    "UPDATE rpa.execution_metrics SET status = 'completed'",
    "TRUNCATE rpa.resource_metrics",
    "SELECT * FROM rpa.insight",
    "CREATE TABLE rpa.mine (n int)",
)


def test_an_agent_with_these_rights_writes_everything_and_reads_no_content(agents_store: str) -> None:
    assert "takes rows" in look_at_store(agents_store).text
    records: list[Any] = _one_of_each_kind(datetime(2026, 11, 24, 12, tzinfo=UTC))
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
        for statement in FORBIDDEN:
            with (
                store.engine.connect() as connection,
                pytest.raises(ProgrammingError, match="permission denied"),
            ):
                connection.execute(text(statement))
