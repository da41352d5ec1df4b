"""Longer runs: found, just not found, dated, and put down to a step."""

import pytest

from analytics_lib.insight.finding import Finding
from analytics_lib.insight.inputs import InsightInputs
from analytics_lib.insight.slower_than_normal import find
from tests.insight.weeks import END, Raw, anomaly, hour, inputs, runs, steps

DAY = 24
MINUTE_MS = 60_000.0


def hourly(first: int, last: int, factor: float = 1.0, **more: object) -> Raw:
    """A run an hour of about a minute: 54 to 66 s, differently from hour to hour."""
    return [
        row | {"duration_ms": MINUTE_MS * factor * (0.9 + 0.02 * (i * 7 % 11))}
        for i, row in enumerate(runs(first, last, **more))  # type: ignore[arg-type]  # fields of a run
    ]


def one(given: InsightInputs) -> Finding:
    found = find(given)
    assert len(found) == 1
    return found[0]


def test_runs_of_the_last_two_days_take_half_as_long_again() -> None:
    found = one(inputs(hourly(16 * DAY, 2 * DAY + 1) + hourly(2 * DAY, 1, 1.5)))
    assert found.first_seen_us == hour(2 * DAY)
    assert found.evidence["n"] == 48
    assert found.evidence["n_before"] == 336
    assert found.evidence["rise"] == pytest.approx(0.5, abs=0.02)  # sketches are exact to 1 %
    assert found.impact_robot_hours == pytest.approx(0.4, rel=0.05)  # 48 * 30 s
    assert found.severity == pytest.approx(30 + 55 / 2, abs=2)
    assert "slower since 21" in found.title


@pytest.mark.parametrize(("factor", "is_found"), [(1.07, False), (1.14, True)])
def test_a_tenth_is_what_counts(factor: float, is_found: bool) -> None:
    given = inputs(hourly(16 * DAY, 2 * DAY + 1) + hourly(2 * DAY, 1, factor))
    assert bool(find(given)) is is_found


def test_few_hours_say_nothing_unless_they_were_flagged() -> None:
    raw = hourly(16 * DAY, 7) + hourly(6, 1, 2.0)
    assert find(inputs(raw)) == []
    flagged = [anomaly("slower", ago, since_us=hour(6)) for ago in range(6, 0, -1)]
    found = one(inputs(raw, anomalies=flagged))
    assert found.first_seen_us == hour(6)
    assert len(found.evidence["anomaly_ids"]) == 6


def test_three_slow_hours_are_too_few_even_if_flagged() -> None:
    raw = hourly(16 * DAY, 4) + hourly(3, 1, 2.0)
    assert find(inputs(raw, anomalies=[anomaly("slower", 1, since_us=hour(3))])) == []


def test_it_is_over_when_the_last_day_is_as_before() -> None:
    raw = hourly(18 * DAY, 4 * DAY + 1) + hourly(4 * DAY, 2 * DAY + 1, 1.5) + hourly(2 * DAY, 1)
    assert find(inputs(raw)) == []


def test_slow_weekends_are_no_news() -> None:
    raw: Raw = []
    for day in range(21, 0, -1):  # the end is a Monday, so the last two days are a weekend
        raw += hourly(day * DAY, day * DAY - 23, 1.5 if day % 7 in (1, 2) else 1.0)
    assert find(inputs(raw)) == []


def test_the_step_that_accounts_for_the_increase_is_named() -> None:
    raw = hourly(16 * DAY, 2 * DAY + 1) + hourly(2 * DAY, 1, 1.5)
    parts = steps(16 * DAY, 1, "read", 20_000) + steps(16 * DAY, 2 * DAY + 1, "post", 20_000)
    parts += steps(2 * DAY, 1, "post", 50_000) + steps(2 * DAY, 1, "click", 90_000, depth=1)
    found = one(inputs(raw, parts))
    assert found.evidence["step"] == {
        "step_id": "post",
        "step_name": "post",
        "ms_per_run": 50_000.0,
        "ms_per_run_before": 20_000.0,
        "share_of_rise": 1.0,
    }
    text = found.explanation.replace("\u00a0", " ")
    assert "Step “post” accounts for 100 % of the increase: 50 s a run, 20 s before." in text
    assert "step “post”" in found.action


def test_two_steps_that_share_the_increase_are_not_blamed() -> None:
    raw = hourly(16 * DAY, 2 * DAY + 1) + hourly(2 * DAY, 1, 1.5)
    parts: Raw = []
    for name in ("read", "post", "save"):
        parts += steps(16 * DAY, 2 * DAY + 1, name, 20_000) + steps(2 * DAY, 1, name, 30_000)
    assert "No single step" in one(inputs(raw, parts)).explanation


def test_a_release_is_a_coincidence() -> None:
    raw = hourly(16 * DAY, 2 * DAY + 1, workflow_version="1.9")
    found = one(inputs(raw + hourly(2 * DAY, 1, 1.5, workflow_version="2.0")))
    assert "This coincides with release 2.0" in found.explanation
    assert "because" not in found.explanation + found.action


def test_what_began_within_the_last_day_is_dated_to_its_own_hour() -> None:
    found = one(inputs(hourly(16 * DAY, 19) + hourly(18, 1, 2.0)))
    assert found.first_seen_us == hour(18)


def test_the_hour_that_is_not_over_does_not_count() -> None:
    raw = hourly(16 * DAY, 2 * DAY + 1) + hourly(2 * DAY, 0, 1.5)
    assert one(inputs(raw, as_of_us=END + 30 * 60_000_000)).evidence["n"] == 48
