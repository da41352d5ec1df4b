"""A fall of the success rate: found, just not found, dated, and put beside a release."""

import pytest

from analytics_lib.insight.failure_spike import find
from analytics_lib.insight.finding import Finding
from analytics_lib.insight.inputs import InsightInputs
from tests.insight.weeks import anomaly, hour, inputs, runs, steps

DAY, WEEK = 24, 168


def one(given: InsightInputs) -> Finding:
    found = find(given)
    assert len(found) == 1
    return found[0]


def test_half_of_the_runs_of_a_day_fail_after_two_weeks_without_failures() -> None:
    raw = runs(15 * DAY, DAY + 1, n=2) + runs(DAY, 1, n=2, failed=1)
    found = one(inputs(raw))
    assert found.first_seen_us == hour(DAY)
    assert found.last_seen_us == hour(1)
    assert found.severity == 100  # 50 points
    assert found.impact_robot_hours == 0.4  # 24 failures of one minute each
    assert found.evidence["n"] == 48
    assert found.evidence["n_failures"] == 24
    assert found.evidence["n_before"] == 672
    assert found.evidence["success_rate"] == 0.5
    assert found.evidence["success_rate_interval"] == pytest.approx([0.3639, 0.6361], abs=1e-4)
    assert found.title.replace("\u00a0", " ") == "50 % of runs fail since 22 Nov"
    text = found.explanation.replace("\u00a0", " ")
    assert text.startswith(
        "50.0 % of 48 runs completed since 22 Nov, 00:00, 100 % of 672 runs in the 14 days"
    )


def test_failures_that_the_earlier_rate_explains_do_not_count_as_impact() -> None:
    raw = runs(15 * DAY, DAY + 1, n=10, failed=1) + runs(DAY, 1, n=10, failed=6)
    assert one(inputs(raw)).impact_robot_hours == 2.0  # 24 * (6 - 1) minutes


def test_four_points_are_not_enough_and_six_are() -> None:
    before = runs(15 * DAY, DAY + 1, n=50)
    assert find(inputs(before + runs(DAY, 1, n=50, failed=2))) == []
    assert find(inputs(before + runs(DAY, 1, n=50, failed=3))) != []


def test_few_runs_say_nothing() -> None:
    daily = runs(20 * DAY, 5 * DAY, every=DAY)
    assert find(inputs(daily + runs(4 * DAY, DAY, every=DAY, failed=1))) == []  # four runs
    hourly = runs(13 + DAY, DAY + 1)
    assert find(inputs(hourly + runs(DAY, 1, failed=1))) == []  # thirteen before
    assert find(inputs([*hourly, *runs(14 + DAY, 14 + DAY), *runs(DAY, 1, failed=1)])) != []


def test_one_failure_in_five_runs_after_two_hundred_is_no_spike() -> None:
    assert find(inputs(runs(205, 6) + runs(5, 5, failed=1) + runs(4, 1))) == []


def test_a_workflow_that_runs_once_a_day_needs_six_days() -> None:
    before = runs(20 * DAY, 6 * DAY + 1, every=DAY)
    found = one(inputs(before + runs(6 * DAY, 1, every=DAY, failed=1)))
    assert found.first_seen_us == hour(6 * DAY)


def test_a_few_bad_hours_are_found_where_they_were_flagged() -> None:
    raw = runs(15 * DAY, 4, n=2) + runs(3, 1, n=2, failed=1)  # 3 failures a day are not improbable enough
    assert find(inputs(raw)) == []
    flagged = [anomaly("failing", ago, since_us=hour(3)) for ago in (3, 2, 1)]
    found = one(inputs(raw, anomalies=flagged))
    assert found.first_seen_us == hour(3)
    assert found.evidence["anomaly_ids"] == ["failing-0001", "failing-0002", "failing-0003"]


def test_the_good_hours_before_a_spike_do_not_end_it() -> None:
    raw = runs(15 * DAY, 3, n=10) + runs(2, 1, n=10, failed=5)  # 20 runs, and a good day before them
    flagged = [anomaly("failing", ago, since_us=hour(2)) for ago in (2, 1)]
    found = one(inputs(raw, anomalies=flagged))
    assert found.first_seen_us == hour(2)
    assert found.evidence["n_failures"] == 10


def test_what_began_within_the_last_day_is_dated_to_its_own_hour() -> None:
    found = one(inputs(runs(15 * DAY, 6, n=4) + runs(5, 1, n=4, failed=3)))
    assert found.first_seen_us == hour(5)
    assert found.evidence["n"] == 20


def test_a_spike_is_over_when_the_last_day_went_well() -> None:
    raw = runs(15 * DAY, 3 * DAY + 1, n=2) + runs(3 * DAY, 2 * DAY + 1, n=2, failed=1)
    assert find(inputs(raw + runs(2 * DAY, 1, n=2))) == []


def test_weekends_that_always_fail_are_no_news() -> None:
    raw = []
    for day in range(21, 0, -1):  # the end is a Monday, so the last two days are a weekend
        raw += runs(day * DAY, day * DAY - 23, n=2, failed=1 if day % 7 in (1, 2) else 0)
    assert find(inputs(raw)) == []


def test_a_release_that_came_at_the_time_is_a_coincidence() -> None:
    raw = runs(15 * DAY, DAY + 1, n=2, workflow_version="2.3.1")
    raw += runs(DAY, 1, n=2, failed=1, workflow_version="2.4.0")
    found = one(inputs(raw))
    text = found.explanation.replace("\u00a0", " ")
    assert " This coincides with release 2.4.0, first seen on 22 Nov, 00:00." in text
    assert "because" not in (text + found.action + found.title)
    assert "release 2.3.1" in found.action


def test_a_release_two_days_earlier_is_not_mentioned() -> None:
    raw = runs(15 * DAY, 3 * DAY + 1, n=2, workflow_version="2.3.1")
    raw += runs(3 * DAY, DAY + 1, n=2, workflow_version="2.4.0")
    found = one(inputs(raw + runs(DAY, 1, n=2, failed=1, workflow_version="2.4.0")))
    assert "release" not in found.explanation + found.action
    assert found.evidence["release"] is None


def test_the_first_version_ever_named_is_no_release() -> None:
    raw = runs(15 * DAY, DAY + 1, n=2, workflow_version="")
    found = one(inputs(raw + runs(DAY, 1, n=2, failed=1, workflow_version="1.0")))
    assert found.evidence["release"] is None


def test_the_innermost_failing_step_is_named() -> None:
    raw = runs(15 * DAY, DAY + 1, n=2) + runs(DAY, 1, n=2, failed=1)
    failed = {"status": "failed", "exception_kind": "application"}
    nested = steps(DAY, 1, "book", 100, **failed) + steps(DAY, 1, "save", 50, depth=1, **failed)
    found = one(inputs(raw, nested + steps(DAY, 1, "read", 100)))
    assert "Step “save” failed 24 times." in found.explanation
    assert "step “save”" in found.action


def test_business_exceptions_point_at_the_data() -> None:
    raw = runs(15 * DAY, DAY + 1, n=2) + runs(DAY, 1, n=2, failed=1)
    raw = [r | {"exception_kind": "business"} if r["exception_kind"] else r for r in raw]
    found = one(inputs(raw))
    assert found.action.startswith("Check the data")


def test_environments_are_apart() -> None:
    raw = runs(15 * DAY, DAY + 1, n=2) + runs(DAY, 1, n=2)
    simulated = runs(15 * DAY, DAY + 1, n=2, environment="simulated")
    simulated += runs(DAY, 1, n=2, failed=1, environment="simulated")
    assert [f.environment for f in find(inputs(raw + simulated))] == ["simulated"]


def test_moments_are_told_in_the_workflows_own_time_zone() -> None:
    raw = runs(15 * DAY, DAY + 1, n=2) + runs(DAY, 1, n=2, failed=1)
    found = one(inputs(raw, zones={"invoice": "Asia/Tokyo"}))
    assert "22\u00a0Nov, 09:00" in found.explanation
