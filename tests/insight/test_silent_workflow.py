"""Runs that do not come any more."""

import json
from typing import Any

from analytics_lib.insight.silent_workflow import find
from tests.insight.weeks import anomaly, hour, inputs, runs

DAY = 24


def missing(first: int, last: int = 1, **more: Any) -> list[dict[str, Any]]:
    return [
        anomaly("missing_runs", ago, since_us=hour(first), expected=2.0, **more)
        for ago in range(first, last - 1, -1)
    ]


def no_data(ago: int, data_ends_ago: int) -> dict[str, Any]:
    ends = {"complete_to_us": {"BOT-07": hour(data_ends_ago)}}
    return anomaly("no_data", ago, workflow_id="", environment="", evidence=json.dumps(ends))


def test_no_run_for_twelve_hours_in_which_two_were_due_each() -> None:
    (found,) = find(inputs(runs(20 * DAY, 13, n=2), anomalies=missing(12)))
    assert found.evidence["n"] == 24
    assert found.evidence["last_run_hour_us"] == hour(13)
    assert (found.first_seen_us, found.last_seen_us) == (hour(12), hour(1))
    assert found.impact_robot_hours == 0.4  # 24 runs of a minute
    assert found.severity == round(55 + 35 * 12 / 72)
    assert found.title == "No run since 22\u00a0Nov"
    text = found.explanation.replace("\u00a0", " ")
    assert text.startswith("The last run ended in the hour from 22 Nov, 11:00. 24 runs were due since then")
    assert len(found.evidence["anomaly_ids"]) == 12


def test_a_run_ends_the_silence() -> None:
    assert find(inputs(runs(20 * DAY, 13, n=2) + runs(1, 1), anomalies=missing(12, 2))) == []


def test_a_gap_before_the_last_run_is_over() -> None:
    raw = runs(20 * DAY, 13) + runs(6, 6)
    (found,) = find(inputs(raw, anomalies=missing(12, 7) + missing(5)))
    assert found.first_seen_us == hour(5)
    assert found.evidence["n"] == 10


def test_a_night_in_which_nothing_is_due_does_not_end_it() -> None:
    (found,) = find(inputs(runs(20 * DAY, 25), anomalies=missing(24, 15)))
    assert found.last_seen_us == hour(15)


def test_a_week_without_a_missing_run_ends_it() -> None:
    assert find(inputs(runs(20 * DAY, 10 * DAY), anomalies=missing(10 * DAY - 1, 9 * DAY))) == []


def test_without_anomalies_nothing_is_called_silent() -> None:
    assert find(inputs(runs(20 * DAY, 13))) == []
    assert find(inputs(runs(20 * DAY, 13), anomalies=[anomaly("fewer_runs", 5)])) == []


def test_a_host_that_fell_silent_after_the_last_missing_run_may_hide_runs() -> None:
    raw = runs(20 * DAY, 13)
    assert find(inputs(raw, anomalies=[*missing(12, 10), no_data(2, data_ends_ago=9)])) == []


def test_a_host_whose_data_ended_before_a_missing_run_is_none_of_its_own() -> None:
    raw = runs(20 * DAY, 13)
    assert find(inputs(raw, anomalies=[*missing(12, 3), no_data(2, data_ends_ago=9)])) != []


def test_a_long_silence_stays_when_a_host_falls_silent_too() -> None:
    raw = runs(20 * DAY, 41)
    assert find(inputs(raw, anomalies=[*missing(40, 10), no_data(2, data_ends_ago=9)])) != []


def test_a_workflow_whose_last_run_is_older_than_the_rows() -> None:
    (found,) = find(inputs(anomalies=missing(30)))
    assert found.title == "No run in the last 28 days"
    assert found.evidence["last_run_hour_us"] is None
    assert found.impact_robot_hours == 0.0


def test_one_run_that_was_due() -> None:
    (found,) = find(inputs(runs(20 * DAY, 13), anomalies=[anomaly("missing_runs", 1)]))
    assert "1 run was due" in found.explanation.replace("\u00a0", " ")
