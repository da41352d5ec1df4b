"""One step that takes most of the time, and what would be saved at its median."""

import pytest

from analytics_lib.insight.bottleneck_step import find
from analytics_lib.insight.finding import Finding
from analytics_lib.insight.inputs import InsightInputs
from tests.insight.weeks import Raw, hour, inputs, runs, steps


def uneven(first: int, last: int) -> Raw:
    """Nine times of one minute, then one of eleven, and so on: the mean is two minutes."""
    rows = steps(first, last, "book", 60_000)
    return [row | ({"duration_ms": 660_000.0} if i % 10 == 9 else {}) for i, row in enumerate(rows)]


def one(given: InsightInputs) -> Finding:
    found = find(given)
    assert len(found) == 1
    return found[0]


def test_an_uneven_step_with_most_of_the_time() -> None:
    found = one(given(uneven(160, 1), 60_000))
    assert (found.step_id, found.evidence["n"]) == ("book", 160)
    assert found.evidence["share"] == pytest.approx(2 / 3)  # 2 min beside 1 min
    assert found.impact_robot_hours == pytest.approx(160 / 60, rel=0.01)  # a minute each above the median
    assert found.severity == pytest.approx(10 + 50 / 2, abs=1)  # half of its time
    assert (found.first_seen_us, found.last_seen_us) == (hour(160), hour(1))
    assert "takes 67\u00a0% of the time" in found.title
    assert "would be saved in 7 days" in found.explanation


def given(book: Raw, other_ms: float) -> InsightInputs:
    return inputs(runs(160, 1), book + steps(160, 1, "read", other_ms))


def test_two_fifths_are_what_counts() -> None:
    assert find(given(uneven(160, 1), 178_000)) != []  # 120 of 298
    assert find(given(uneven(160, 1), 182_000)) == []  # 120 of 302


def test_an_even_step_is_no_bottleneck() -> None:
    assert find(given(steps(160, 1, "book", 120_000), 60_000)) == []


def test_an_even_step_that_grew_is_one() -> None:
    before = [r | {"duration_ms": 40_000.0 + i % 9 * 1e3} for i, r in enumerate(steps(300, 170, "book", 0))]
    now = [r | {"duration_ms": 80_000.0 + i % 9 * 1e3} for i, r in enumerate(steps(160, 1, "book", 0))]
    found = one(given(before + now, 30_000))
    assert found.evidence["has_grown"]
    assert found.impact_robot_hours == pytest.approx(160 * 40 / 3600, rel=0.03)
    assert "In the 7 days before, the median was 44\u00a0s" in found.explanation


def test_few_times_say_nothing() -> None:
    assert find(given(uneven(19, 1), 0.0)) == []


def test_a_workflow_of_one_step_has_no_bottleneck() -> None:
    assert find(inputs(runs(160, 1), uneven(160, 1))) == []


def test_a_step_inside_a_step_is_not_counted_twice() -> None:
    inner = [row | {"step_id": "inner", "depth": 1} for row in uneven(160, 1)]
    assert one(given(uneven(160, 1) + inner, 60_000)).evidence["share"] == pytest.approx(2 / 3)


def test_little_time_is_no_trouble() -> None:
    small = [row | {"duration_ms": row["duration_ms"] / 20} for row in uneven(160, 1)]
    assert find(given(small, 3_000)) == []  # 8 minutes a week
