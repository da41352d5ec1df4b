"""Up to when silence means anything, and which hosts are silent themselves."""

import json
from typing import Any

import pandas as pd

from analytics_lib.anomaly import completeness, silent_hosts, workflows_complete_to
from tests.anomaly.points import frame, heartbeat, hour

NO_ROWS = pd.DataFrame({"host": [], "last_row_us": []})
NO_HEARTBEATS = frame(heartbeat("BOT-01", 0)).iloc[:0]


def complete_to(*rows: dict[str, Any]) -> dict[str, float]:
    """Hours after noon by host."""
    hosts = completeness(frame(*rows), NO_ROWS)
    return {
        h: (us - hour(0)) / (hour(1) - hour(0))
        for h, us in zip(hosts["host"], hosts["complete_to_us"], strict=True)
    }


def day_of(host: str, until: float, first: float = -24) -> list[dict[str, Any]]:
    """A daemon's heartbeats, one an hour."""
    return [heartbeat(host, until - ago) for ago in range(int(until - first))]


def test_a_host_is_complete_to_what_its_agent_said_last() -> None:
    assert complete_to(heartbeat("BOT-01", 1), heartbeat("BOT-01", 2), heartbeat("BOT-02", 5)) == {
        "BOT-01": 2.0,
        "BOT-02": 5.0,
    }


def test_an_agent_never_takes_back_what_it_said() -> None:
    assert complete_to(heartbeat("BOT-01", 2), heartbeat("BOT-01", 3, complete_to_us=hour(1))) == {
        "BOT-01": 2.0
    }


def test_a_robot_that_said_farewell_holds_its_host_back_no_longer() -> None:
    robot = heartbeat("BOT-01", 1, agent_id="robot")
    assert complete_to(robot, heartbeat("BOT-01", 3)) == {"BOT-01": 3.0}


def test_a_robot_heard_a_moment_ago_may_have_recorded_since() -> None:
    robot = heartbeat("BOT-01", 2.95, agent_id="robot")
    assert complete_to(robot, heartbeat("BOT-01", 3)) == {"BOT-01": 2.95}


def test_an_agent_that_ended_with_rows_pending_owes_them_for_a_day() -> None:
    died = heartbeat("BOT-01", 1, agent_id="robot", complete_to_us=hour(0.5), rows_pending=7)
    assert complete_to(died, heartbeat("BOT-01", 3)) == {"BOT-01": 0.5}
    assert complete_to(died, heartbeat("BOT-01", 25)) == {"BOT-01": 0.5}
    assert complete_to(died, heartbeat("BOT-01", 25.1)) == {"BOT-01": 25.1}


def test_a_host_without_heartbeats_is_complete_to_its_last_row() -> None:
    last = pd.DataFrame({"host": ["BOT-01", "BOT-01", "BOT-02"], "last_row_us": [hour(1), hour(2), hour(9)]})
    hosts = completeness(frame(heartbeat("BOT-02", 5)), last)
    assert hosts["complete_to_us"].tolist() == [hour(2), hour(5)]
    assert hosts["last_heard_us"].tolist() == [-1, hour(5)]
    assert completeness(NO_HEARTBEATS, last)["complete_to_us"].tolist() == [hour(2), hour(9)]
    assert completeness(NO_HEARTBEATS, NO_ROWS).empty


def test_a_workflow_waits_for_every_host_that_it_normally_runs_on() -> None:
    hosts = completeness(
        frame(heartbeat("BOT-01", 5), heartbeat("BOT-02", 3), heartbeat("BOT-03", 1)), NO_ROWS
    )
    key = {"workflow_id": "invoices", "environment": "production"}
    runs = frame(*(key | {"host": h, "n": n} for h, n in (("BOT-01", 80), ("BOT-02", 16), ("BOT-03", 4))))
    assert workflows_complete_to(runs, hosts)["complete_to_us"].tolist() == [hour(3)]  # BOT-03: 4 %


def test_a_workflow_on_a_host_of_which_nothing_is_known_has_no_end() -> None:
    runs = frame({"workflow_id": "invoices", "environment": "production", "host": "BOT-09", "n": 1})
    assert workflows_complete_to(runs, completeness(NO_HEARTBEATS, NO_ROWS)).empty


def silent(rows: list[dict[str, Any]], as_of: float, hours: list[int]) -> list[tuple[int, int, list[str]]]:
    """(hour, how many hosts are silent, their names) of each finding."""
    found = silent_hosts(completeness(frame(*rows), NO_ROWS), [hour(n) for n in hours], hour(as_of))
    assert set(found["kind"]) <= {"no_data"}
    names = [list(json.loads(text)["complete_to_us"]) for text in found["evidence"]]
    at = [(us - hour(0)) // (hour(1) - hour(0)) for us in found["hour_us"]]
    return list(zip(at, found["n"].tolist(), names, strict=True))


def test_hosts_that_report_are_not_silent() -> None:
    assert silent(day_of("BOT-01", 5), 5.1, [2, 3, 4]) == []


def test_silent_hosts_give_one_finding_an_hour() -> None:
    rows = day_of("BOT-01", 2) + day_of("BOT-02", 1) + day_of("BOT-03", 5)
    assert silent(rows, 5.1, [0, 1, 2, 3, 4]) == [
        (1, 1, ["BOT-02"]),
        (2, 2, ["BOT-01", "BOT-02"]),
        (3, 2, ["BOT-01", "BOT-02"]),
        (4, 2, ["BOT-01", "BOT-02"]),
    ]
    found = silent_hosts(completeness(frame(*rows), NO_ROWS), [hour(4)], hour(5.1)).iloc[0]
    assert (found.observed, found.expected, found.workflow_id) == (1.0, 3.0, "")


def test_two_hours_of_silence_are_waited_for() -> None:
    assert silent(day_of("BOT-01", 2), 4.0, [2, 3]) == []
    assert silent(day_of("BOT-01", 2), 4.1, [2, 3]) == [(2, 1, ["BOT-01"]), (3, 1, ["BOT-01"])]


def test_a_host_that_comes_back_was_never_silent() -> None:
    rows = [*day_of("BOT-01", 2), heartbeat("BOT-01", 9)]
    assert silent(rows, 9.1, [3, 4, 5]) == []


def test_a_host_that_speaks_only_while_its_robots_run_is_not_called_silent() -> None:
    nightly = [heartbeat("BOT-01", n, agent_id=f"robot {n}") for n in (-24, -23, 0, 1)]
    assert silent(nightly, 12, [5, 6]) == []


def test_a_host_is_missed_for_a_week_and_then_retired() -> None:
    week = 7 * 24
    assert silent(day_of("BOT-01", 0), week + 3, [week - 1, week, week + 1]) == [
        (week - 1, 1, ["BOT-01"]),
        (week, 1, ["BOT-01"]),
    ]
