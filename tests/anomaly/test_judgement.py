"""Durations, success rates and numbers of runs: improbable and large enough, or nothing."""

import math
from typing import Any

import pandas as pd
import pytest

from analytics_lib.anomaly import judge
from tests.anomaly.points import frame, hour, point, usual, without_baseline


def kinds(*rows: dict[str, Any], of: pd.DataFrame | None = None) -> list[str]:
    return judge(frame(*rows), usual() if of is None else of)["kind"].tolist()


def rate(n: int, completed: int, runs: int, **fields: Any) -> dict[str, Any]:
    return point(n, completed / runs, metric="success_rate", runs=runs, **fields)


def runs(n: int, value: float, **fields: Any) -> dict[str, Any]:
    return point(n, value, metric="runs_per_hour", runs=int(value), **fields)


def test_a_flat_series_has_no_anomaly() -> None:
    assert kinds(*(point(n, 10_000.0) for n in range(24))) == []


def test_an_hour_is_slower_or_faster_with_its_facts() -> None:
    # ln 2 / (0.1 sqrt(1 + pi / 16)) = 6.34 sigmas up, the same down.
    found = judge(frame(point(0, 20_000.0), point(1, 5_000.0), point(2, 11_000.0)), usual())
    assert found["kind"].tolist() == ["slower", "faster"]
    assert found["score"].tolist() == [6.3372, -6.3372]
    slower = found.iloc[0]
    assert (slower.hour_us, slower.observed, slower.expected, slower.n) == (hour(0), 20_000.0, 10_000.0, 10)
    assert slower.evidence == '{"level": "hour_of_week", "n_baseline": 8}'


def test_what_has_no_baseline_is_not_judged() -> None:
    assert kinds(without_baseline(point(0, 1e9)), without_baseline(rate(0, 0, 100))) == []


def test_nothing_at_all_gives_an_empty_frame_with_its_columns() -> None:
    found = judge(frame(point(0, 1.0)).iloc[:0], usual())
    assert (len(found), "score" in found, found["hour_us"].dtype) == (0, True, "int64")


@pytest.mark.parametrize("factor", [0.9, 60.0, 3_600.0])
def test_the_score_does_not_depend_on_the_scale(factor: float) -> None:
    scaled = point(0, 20_000.0 * factor, center=math.log(10_000 * factor), expected=10_000.0 * factor)
    assert judge(frame(scaled), usual())["score"].tolist() == [6.3372]


def test_a_gap_before_an_hour_changes_nothing() -> None:
    assert kinds(point(0, 10_000.0), point(500, 20_000.0)) == ["slower"]


def test_a_large_difference_within_noise_is_no_anomaly() -> None:
    assert kinds(point(0, 14_000.0)) == []  # 3.1 sigmas


def test_a_certain_but_small_difference_is_no_anomaly() -> None:
    assert kinds(point(0, 11_900.0, scale=0.01)) == []  # 19 %
    assert kinds(point(0, 12_100.0, scale=0.01)) == ["slower"]
    short = {"center": math.log(1_000), "expected": 1_000.0, "scale": 0.01}
    assert kinds(point(0, 1_900.0, **short)) == []  # 0.9 s
    assert kinds(point(0, 2_100.0, **short)) == ["slower"]


def test_fewer_runs_than_usual_are_judged_more_mildly() -> None:
    usually_forty = runs(0, 40, expected=40.0)
    assert kinds(point(0, 20_000.0, runs=40), usually_forty) == ["slower"]
    assert kinds(point(0, 20_000.0, runs=1), usually_forty) == []


def test_a_lucky_narrow_band_is_measured_by_what_is_usual_for_the_series() -> None:
    assert kinds(point(0, 20_000.0, scale=0.05)) == ["slower"]
    assert kinds(point(0, 20_000.0, scale=0.05), of=usual(usual_scale=0.3)) == []
    assert kinds(point(0, 20_000.0, scale=0.05), of=usual(usual_scale=0.01)) == ["slower"]


def test_a_short_history_is_judged_more_mildly() -> None:
    assert kinds(point(0, 16_000.0, n_baseline=100)) == ["slower"]  # 4.7 sigmas, the centre is sure
    assert kinds(point(0, 16_000.0, n_baseline=2)) == []  # 3.5


def test_failing_needs_three_runs_ten_points_and_more_than_chance() -> None:
    assert kinds(rate(0, 4, 10)) == ["failing"]
    assert kinds(rate(0, 8, 10)) == []  # two failed
    assert kinds(rate(0, 2, 4), runs(0, 4, expected=4.0)) == []  # two failed, of four
    assert kinds(rate(0, 890, 1000, scale=0.01)) == []  # nine points
    assert kinds(rate(0, 870, 1000, scale=0.01)) == ["failing"]


def test_more_success_than_usual_is_no_anomaly() -> None:
    assert kinds(rate(0, 1000, 1000, center=0.5, expected=0.5)) == []


def test_a_series_that_fails_often_elsewhere_is_judged_more_mildly() -> None:
    row = rate(0, 4, 10)
    assert kinds(row, of=usual(metric="success_rate", usual_scale=0.05, usual_center=0.8)) == []


def test_a_series_whose_rates_vary_more_than_by_chance_is_judged_more_mildly() -> None:
    assert kinds(rate(0, 4, 10, scale=0.3)) == []


def test_runs_are_fewer_or_more_by_half_and_by_three() -> None:
    certain = {"scale": 0.5}
    assert kinds(runs(0, 4, **certain), runs(1, 16, **certain)) == ["fewer_runs", "more_runs"]
    assert kinds(runs(0, 6, **certain), runs(1, 14, **certain)) == []
    few = {"center": 2.0, "expected": 2.0, "scale": 0.1}
    assert kinds(runs(0, 0, **few), runs(1, 4, **few), runs(2, 5, **few)) == ["more_runs"]


def test_steps_have_no_numbers_of_runs_of_their_own() -> None:
    assert kinds(runs(0, 0, scale=0.5, step_id="open mailbox")) == []


def test_a_scale_of_zero_says_nothing() -> None:
    assert kinds(point(0, 20_000.0, scale=0.0)) == []


def test_the_input_stays_as_it_was() -> None:
    rows = frame(point(0, 20_000.0), rate(0, 1, 10))
    before = rows.copy(deep=True)
    judge(rows, usual())
    pd.testing.assert_frame_equal(rows, before)


def test_the_order_of_the_points_does_not_matter() -> None:
    rows = frame(point(1, 20_000.0), rate(0, 1, 10), point(0, 5_000.0), runs(0, 10))
    pd.testing.assert_frame_equal(judge(rows, usual()), judge(rows.iloc[::-1], usual()))
