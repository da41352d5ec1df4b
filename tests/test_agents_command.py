"""`rpa-analytics agents list` as a person uses it."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from analytics_lib import TimeSeriesStore, cli
from analytics_lib.commands.agents import judge
from analytics_lib.records import AgentHeartbeat
from analytics_lib.store.agent_rows import AgentSeen, read_agents
from analytics_lib.windows import to_us


def sign(agent_id: str, seconds_ago: float, **fields: Any) -> AgentHeartbeat:
    sent = datetime.now(UTC) - timedelta(seconds=seconds_ago)
    fields = {"component": "daemon", "host": agent_id.upper(), "agent_version": "0.2.0"} | fields
    return AgentHeartbeat(agent_id=agent_id, sent_at=sent, complete_to=sent, **fields)


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("RPA_ANALYTICS_STORE", str(tmp_path))
    now = datetime.now(UTC)
    with TimeSeriesStore(tmp_path) as opened:
        opened.write_metrics(
            [
                sign("bot-1", 20),
                sign("bot-2", 30, problem="the store \x1b[2J is away", rows_quarantined=1),
                sign("bot-3", 3 * 3600, rows_pending=1204, spool_bytes=1_258_291),
                sign("bot-4", 400, oldest_undelivered_at=now - timedelta(hours=2), rows_pending=1),
                sign("bot-5", 10, rows_dropped=12, clock_offset_ms=-65_000.0),
                sign("bot-6", 50, component="", agent_version="", host=""),
                sign("robot-1", 15, component="collector"),
                sign("robot-2", 4000, component="collector"),
                sign("robot-3", 90_000, component="collector"),
            ]
        )
    return tmp_path


def lines(capsys: pytest.CaptureFixture[str], *words: str) -> list[str]:
    assert cli.main(["agents", "list", *words]) == 0
    return capsys.readouterr().out.splitlines()


@pytest.mark.usefixtures("store")
def test_silent_agents_come_first_then_those_with_problems_then_the_rest(
    capsys: pytest.CaptureFixture[str],
) -> None:
    said = lines(capsys)
    assert said == [
        "silent   BOT-3  daemon 0.2.0: seen 3 h 00 min ago; 1 204 rows waiting (1.2 MiB of spool)",
        said[1],
        "problem  BOT-2  daemon 0.2.0: seen 30 s ago; 1 row quarantined; the store \\x1b[2J is away",
        "problem  BOT-5  daemon 0.2.0: seen 10 s ago; 12 rows dropped; clock 1 min 05 s ahead",
        "alive    bot-6  agent: seen 50 s ago",
        "alive    BOT-1  daemon 0.2.0: seen 20 s ago",
        "2 silent, 2 problem, 2 alive "
        "(silent: no sign for 5 min, or for 3 of its own intervals where these are longer)",
    ]
    assert said[1].startswith("silent   BOT-4  daemon 0.2.0: seen 6 min 4")
    assert said[1].endswith("1 row waiting, the oldest 2 h 00 min old")


@pytest.mark.usefixtures("store")
def test_all_shows_the_collectors_of_a_day_and_does_not_miss_those_that_ended(
    capsys: pytest.CaptureFixture[str],
) -> None:
    said = lines(capsys, "--all")
    assert [line.split()[:2] for line in said if "collector" in line] == [
        ["alive", "ROBOT-1"],
        ["ended", "ROBOT-2"],
    ]


@pytest.mark.usefixtures("store")
def test_json_gives_every_value_as_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    found = json.loads("\n".join(lines(capsys, "--json")))
    assert [agent["state"] for agent in found] == ["silent"] * 2 + ["problem"] * 2 + ["alive"] * 2
    first = found[0]
    assert (first["agent_id"], first["rows_pending"], first["spool_bytes"]) == ("bot-3", 1204, 1_258_291)
    assert first["silent_after_s"] == 300
    assert 10_800 <= first["age_s"] < 10_900
    assert found[2]["problem"] == "the store \x1b[2J is away"


def test_a_store_without_agents_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    TimeSeriesStore(tmp_path).close()
    assert lines(capsys, "--store", str(tmp_path)) == [
        "no agent has given a sign of life (--all shows the collectors inside robots too)"
    ]
    assert lines(capsys, "--store", str(tmp_path), "--json") == ["[]"]


def seen(tmp_path: Path, *signs: AgentHeartbeat) -> AgentSeen:
    with TimeSeriesStore(tmp_path) as store, store.engine.connect() as connection:
        store.write_metrics(signs)
        [agent] = read_agents(connection)
    return agent


def test_an_agent_that_reports_every_ten_minutes_is_silent_after_thirty(tmp_path: Path) -> None:
    agent = seen(tmp_path, sign("a", 0), sign("a", 600))
    at_us = agent.sent_at_us
    assert judge(agent, at_us + 1_790_000_000, None).state == "alive"
    assert judge(agent, at_us + 1_810_000_000, None).state == "silent"


def test_an_agent_whose_clock_is_an_hour_behind_is_alive_where_that_is_known(tmp_path: Path) -> None:
    agent = seen(tmp_path, sign("a", 3600, clock_offset_ms=3_600_000.0))
    now_us = to_us(datetime.now(UTC))
    assert judge(agent, now_us, None).state == "silent"
    assert judge(agent, now_us, 0.0).state == "alive"
    assert judge(agent, now_us, -400_000.0).age_us == 0  # this machine's is ahead: it is no less than now
