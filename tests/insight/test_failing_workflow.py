"""Most runs fail, and have for so long that nothing is left to compare with."""

from analytics_lib.insight.failing_workflow import find
from analytics_lib.insight.generation import find_all
from tests.insight.weeks import Raw, hour, inputs, runs

DAY = 24


def month(failing_days: range, failed: int = 10, kind: str = "application") -> Raw:
    """Ten runs every day at noon for four weeks; so many of them fail on some of the days."""
    raw: Raw = []
    for day in range(28, 0, -1):
        raw += runs(day * DAY - 12, day * DAY - 12, n=10, failed=failed if day in failing_days else 0)
    return [row | ({"exception_kind": kind} if row["exception_kind"] else {}) for row in raw]


def test_what_failed_for_weeks_is_not_forgotten() -> None:
    (found,) = find(inputs(month(range(1, 28))))
    assert found.first_seen_us == hour(27 * DAY - 12)
    assert found.last_seen_us == hour(DAY - 12)
    assert (found.title, found.severity) == ("No run completes", 90)
    assert (found.evidence["n"], found.evidence["n_completed"], found.evidence["n_application"]) == (
        70,
        0,
        70,
    )
    assert found.impact_robot_hours == round(70 / 60, 4)  # seventy minutes
    assert "0 of 70\u00a0runs in the last 7 days completed" in found.explanation


def test_what_always_failed_is_found_too() -> None:
    (found,) = find(inputs(month(range(1, 29))))
    assert "since at least" in found.explanation


def test_a_spike_says_so_already() -> None:
    raw = month(range(1, 4))
    assert find(inputs(raw)) == []
    assert "failure_spike" in {finding.rule for finding in find_all(inputs(raw))}


def test_there_is_no_day_between_the_two_rules() -> None:
    """However long it fails, one of them says so, and never both."""
    for days in range(1, 29):
        rules = [finding.rule for finding in find_all(inputs(month(range(1, days + 1))))]
        said = [rule for rule in rules if rule in ("failure_spike", "failing_workflow")]
        assert len(said) == 1, (days, rules)


def test_half_of_the_runs_are_enough_to_be_quiet() -> None:
    assert find(inputs(month(range(1, 29), failed=5))) == []
    (found,) = find(inputs(month(range(1, 29), failed=6)))
    assert found.severity == 66


def test_wrong_data_asks_for_other_people() -> None:
    (found,) = find(inputs(month(range(1, 29), kind="business")))
    assert "whoever sends the data" in found.action
    assert "70 business failures" in found.explanation


def test_few_runs_say_nothing() -> None:
    assert find(inputs(runs(DAY, DAY, n=9, failed=9))) == []
