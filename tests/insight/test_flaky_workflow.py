"""Failures now and then."""

from analytics_lib.insight.flaky_workflow import find
from tests.insight.weeks import Raw, anomaly, hour, inputs, runs, steps

DAY = 24


def fortnight(failing_days: range, failed: int = 1, kind: str = "application", days: int = 14) -> Raw:
    """Ten runs every day at noon; some of them fail on some of the days."""
    raw: Raw = []
    for day in range(days, 0, -1):
        raw += runs(day * DAY - 12, day * DAY - 12, n=10, failed=failed if day in failing_days else 0)
    return [row | ({"exception_kind": kind} if row["exception_kind"] else {}) for row in raw]


def test_one_of_ten_runs_fails_every_other_day() -> None:
    (found,) = find(inputs(fortnight(range(2, 15, 2))))
    assert found.evidence["n"] == 140
    assert found.evidence["n_application"] == 7
    assert found.evidence["share"] == 0.05
    assert (found.evidence["n_failing_days"], found.evidence["n_days"]) == (7, 14)
    assert found.impact_robot_hours == round(7 / 60, 4)  # seven minutes
    assert (found.first_seen_us, found.last_seen_us) == (hour(14 * DAY - 12), hour(2 * DAY - 12))
    assert "7 of 140\u00a0runs in the last 14 days" in found.explanation


def test_recent_days_count_more() -> None:
    (early,) = find(inputs(fortnight(range(4, 15))))
    (late,) = find(inputs(fortnight(range(1, 12))))
    assert early.evidence["share"] == late.evidence["share"]
    assert early.evidence["recent_share"] < late.evidence["recent_share"]
    assert early.severity < late.severity


def test_rare_failures_are_not_flaky() -> None:
    raw = fortnight(range(1, 15, 2))
    assert find(inputs(raw)) != []
    assert find(inputs(raw + runs(13 * DAY, 1))) == []  # 7 of 453


def test_always_failing_is_not_flaky() -> None:
    assert find(inputs(fortnight(range(1, 15), failed=5))) == []


def test_business_exceptions_are_answers() -> None:
    assert find(inputs(fortnight(range(2, 15, 2), kind="business"))) == []


def test_one_bad_day_is_not_flaky() -> None:
    assert find(inputs(fortnight(range(3, 4), failed=7))) == []


def test_few_days_or_few_runs_say_nothing() -> None:
    assert find(inputs(fortnight(range(1, 7), days=6))) == []
    raw: Raw = []
    for day in range(14, 0, -1):
        raw += runs(day * DAY - 12, day * DAY - 12, n=2, failed=day % 2)
    assert find(inputs(raw)) == []  # 28 runs


def test_it_has_stopped_when_five_days_were_good() -> None:
    assert find(inputs(fortnight(range(5, 15)))) == []


def test_a_spike_is_told_as_a_spike() -> None:
    earlier = runs(28 * DAY, 14 * DAY + 1, n=5)
    raw = earlier + fortnight(range(1, 15), failed=3)
    assert find(inputs(raw)) == []


def test_the_step_with_most_failures_is_where_to_begin() -> None:
    failed = {"status": "failed", "exception_kind": "application"}
    parts = steps(40, 36, "log in", 100, **failed) + steps(30, 29, "book", 100, **failed)
    flagged = [anomaly("failing", 36)]
    (found,) = find(inputs(fortnight(range(2, 15, 2)), parts, flagged))
    assert "Step “log in” has the most (5 of 7)." in found.explanation
    assert found.action.startswith("Begin with step “log in”")
    assert found.evidence["anomaly_ids"] == ["failing-0036"]
