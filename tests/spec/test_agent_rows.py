"""The last signs of life of each agent, on SQLite and on Postgres."""

from collections.abc import Iterator
from datetime import datetime
from typing import Any

import pytest

from analytics_lib import TimeSeriesStore
from analytics_lib.records import AgentHeartbeat
from analytics_lib.store.agent_rows import AgentSeen, read_agents
from analytics_lib.store.engine import connect_to_read
from analytics_lib.windows import to_us
from tests.make import at

MINUTE_US = 60 * 1_000_000


@pytest.fixture
def store(location: str) -> Iterator[TimeSeriesStore]:
    with TimeSeriesStore(location, clock=lambda: at(60)) as opened:
        yield opened


def sign(agent_id: str, sent_at: datetime, **fields: Any) -> AgentHeartbeat:
    fields = {"component": "daemon", "host": f"BOT-{agent_id}"} | fields
    return AgentHeartbeat(agent_id=agent_id, sent_at=sent_at, complete_to=sent_at, **fields)


def listed(store: TimeSeriesStore, **options: Any) -> list[AgentSeen]:
    with connect_to_read(store.engine) as connection:
        return read_agents(connection, **options)


def test_the_newest_sign_of_each_daemon_is_given_with_what_it_says(store: TimeSeriesStore) -> None:
    store.write_metrics(
        [
            sign("b", at(1), rows_pending=9),
            sign(
                "b", at(3), rows_pending=4, spool_bytes=700, oldest_undelivered_at=at(-60), agent_version="2"
            ),
            sign("b", at(2), rows_pending=8),
            sign("a", at(0), clock_offset_ms=-2.5, problem="no disk"),
            sign("a", at(-1), clock_offset_ms=7.0),
        ]
    )
    a, b = listed(store)
    assert (a.agent_id, a.host, a.sent_at_us, a.clock_offset_ms, a.problem) == (
        *("a", "BOT-a", to_us(at(0)), -2.5, "no disk"),
    )
    assert (b.rows_pending, b.spool_bytes, b.agent_version) == (4, 700, "2")
    assert b.oldest_undelivered_at_us == to_us(at(-60))


def test_how_often_it_gives_a_sign_is_the_shortest_time_between_the_last_ones(store: TimeSeriesStore) -> None:
    store.write_metrics([sign("a", at(minute)) for minute in (0, 1, 1.1, 30, 40, 55, 65, 75)])
    store.write_metrics([sign("once", at(0)), sign("again", at(0)), sign("again", at(-60 * 24 * 3))])
    found = {agent.agent_id: agent.interval_us for agent in listed(store)}
    assert found == {"a": 10 * MINUTE_US, "once": None, "again": None}


def test_collectors_are_given_when_they_are_asked_for_and_not_older_ones(store: TimeSeriesStore) -> None:
    store.write_metrics([sign(f"robot/{number}", at(number), component="collector") for number in range(20)])
    store.write_metrics([sign("a", at(0)), sign("robot/7", at(9), component="collector")])
    assert [agent.agent_id for agent in listed(store)] == ["a"]
    since = listed(store, collectors_since_us=to_us(at(18)))
    assert [agent.agent_id for agent in since] == ["a", "robot/18", "robot/19"]
    again = listed(store, collectors_since_us=to_us(at(9)))
    assert [agent.sent_at_us for agent in again if agent.agent_id == "robot/7"] == [to_us(at(9))]


def test_of_agents_that_do_not_say_what_they_are_the_last_of_each_host_counts(store: TimeSeriesStore) -> None:
    old = {"component": ""}
    store.write_metrics(
        [
            *(sign(f"p{number}", at(number), host="BOT-1", **old) for number in range(5)),
            *(sign(f"q{number}", at(number), host="BOT-2", **old) for number in range(3)),
            sign("upgraded", at(7), host="BOT-2"),
            sign("stays", at(1), host="BOT-3"),
            sign("r", at(2), host="BOT-3", **old),
        ]
    )
    assert [agent.agent_id for agent in listed(store)] == ["p4", "upgraded", "stays", "r"]


def test_an_agent_that_was_upgraded_under_its_id_is_one(store: TimeSeriesStore) -> None:
    store.write_metrics([sign("a", at(0), component="", rows_pending=5), sign("a", at(1))])
    [agent] = listed(store)
    assert (agent.component, agent.rows_pending, agent.interval_us) == ("daemon", 0, MINUTE_US)


def test_without_signs_there_are_no_agents(store: TimeSeriesStore) -> None:
    assert listed(store) == listed(store, collectors_since_us=0) == []


def test_each_sign_but_the_last_few_is_passed_over(store: TimeSeriesStore) -> None:
    """By the plan: a search in the index for each agent, and no scan of months of signs."""
    if store.engine.dialect.name != "sqlite":
        pytest.skip("Postgres scans a table as small as a test's whatever the index")
    store.write_metrics([sign("a", at(minute)) for minute in range(20)])
    statements: list[tuple[str, Any]] = []
    from sqlalchemy import event

    @event.listens_for(store.engine, "before_cursor_execute")
    def note(_connection: Any, _cursor: Any, statement: str, parameters: Any, *_: Any) -> None:
        statements.append((statement, parameters))

    listed(store)
    [(query, parameters)] = [one for one in statements if "agent_heartbeat" in one[0]]
    with store.engine.connect() as connection:
        plan = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {query}", parameters).all()
    about = [row[3] for row in plan if "agent_heartbeat" in row[3] or " sign" in row[3]]
    assert about
    assert all(line.startswith("SEARCH") for line in about), about
