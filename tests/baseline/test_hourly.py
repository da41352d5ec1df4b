"""Points from rollup rows: what an hour's rows say, and what an hour without rows says."""

from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analytics_lib.baseline import hourly_series
from analytics_lib.windows import HOUR_US, Window
from tests.baseline.rollups import MONDAY, frame, hour, row, weeks

KEY = ["workflow_id", "environment", "step_id", "metric"]


def told(points: pd.DataFrame, metric: str, **key: str) -> dict[int, tuple[float, int]]:
    """Hours after MONDAY → (value, n) of one metric."""
    for name, value in {"metric": metric, **key}.items():
        points = points[points[name] == value]
    hours = (points["hour_us"] - MONDAY) // HOUR_US
    return dict(zip(hours, zip(points["value"], points["n"], strict=True), strict=True))


def test_an_hour_gives_a_median_a_rate_and_a_number_of_runs() -> None:
    rows = [row(hour(0, 0, 1), [100.0, 200.0, 600.0], n=4, n_skipped=1, n_completed=2)]
    points = hourly_series(frame(rows), frame(), Window(MONDAY, hour(0, 0, 2)))
    assert told(points, "duration_ms") == {1: (200.0, 3)}
    assert told(points, "success_rate") == {1: (pytest.approx(2 / 3), 3)}
    assert told(points, "runs_per_hour") == {1: (3.0, 3)}


def test_versions_and_renamed_workflows_share_the_hour() -> None:
    rows = [
        row(hour(0, 0, 0), [100.0] * 3, n_completed=3),
        row(hour(0, 0, 0), [900.0] * 2, n_completed=0),
        row(hour(0, 0, 0), [], n=5, n_skipped=5),
    ]
    points = hourly_series(frame(rows), frame(), Window(MONDAY, hour(0, 0, 1)))
    assert told(points, "duration_ms") == {0: (pytest.approx(100.0, rel=0.01), 5)}  # no median of medians
    assert told(points, "success_rate") == {0: (0.6, 5)}
    assert told(points, "runs_per_hour") == {0: (5.0, 5)}


def test_an_hour_without_a_row_counts_no_runs_once_the_series_was_seen() -> None:
    rows = [row(hour(0, 0, 2), [1.0] * 4), row(hour(0, 0, 4))]
    points = hourly_series(frame(rows), frame(), Window(MONDAY, hour(0, 0, 6)))
    assert told(points, "runs_per_hour") == {2: (4.0, 4), 3: (0.0, 0), 4: (1.0, 1), 5: (0.0, 0)}
    assert set(told(points, "duration_ms")) == set(told(points, "success_rate")) == {2, 4}


def test_a_series_known_from_before_counts_from_the_window_s_start() -> None:
    window = Window(hour(1, 0, 0), hour(1, 0, 3))
    first_seen = [("gone", MONDAY), ("gone", MONDAY + 1), ("late", hour(1, 0, 2)), ("future", hour(1, 0, 3))]
    known = pd.DataFrame(first_seen, columns=["workflow_id", "first_hour_us"])
    known = known.assign(environment="production", step_id="")
    points = hourly_series(frame([row(hour(1, 0, 1))]), frame(), window, known)
    assert list(told(points, "runs_per_hour", workflow_id="gone")) == [168, 169, 170]
    assert list(told(points, "runs_per_hour", workflow_id="late")) == [170]
    assert list(told(points, "runs_per_hour", workflow_id="invoices")) == [169, 170]
    assert "future" not in set(points["workflow_id"])


def test_steps_are_series_of_their_own() -> None:
    executions = frame([row(hour(0, 0, 0), [500.0])]).drop(columns="step_id")
    steps = frame([row(hour(0, 0, 0), [20.0], step_id="open mailbox")])
    points = hourly_series(executions, steps, Window(MONDAY, hour(0, 0, 1)))
    assert told(points, "duration_ms", step_id="") == {0: (500.0, 1)}
    assert told(points, "duration_ms", step_id="open mailbox") == {0: (20.0, 1)}


def test_all_skipped_is_no_duration_and_no_rate_but_a_silent_hour() -> None:
    points = hourly_series(
        frame([row(hour(0, 0, 0), [], n=7, n_skipped=7)]), frame(), Window(MONDAY, hour(0, 0, 1))
    )
    assert points["metric"].tolist() == ["runs_per_hour"]
    assert told(points, "runs_per_hour") == {0: (0.0, 0)}


def test_everything_failing_is_a_rate_of_zero() -> None:
    rows = [row(hour(0, 0, 0), [5.0] * 3, n_completed=0)]
    assert told(hourly_series(frame(rows), frame(), weeks(1)), "success_rate") == {0: (0.0, 3)}


def test_abandoned_runs_lower_the_rate_and_have_no_duration() -> None:
    rows = [row(hour(0, 0, 0), [], n=2, n_completed=0)]
    points = hourly_series(frame(rows), frame(), Window(MONDAY, hour(0, 0, 1)))
    assert told(points, "success_rate") == {0: (0.0, 2)}
    assert told(points, "duration_ms") == {}


def test_only_whole_hours_of_the_window_count() -> None:
    rows = [row(hour(0, 0, number)) for number in range(6)]
    points = hourly_series(frame(rows), frame(), Window(hour(0, 0, 1) + 1, hour(0, 0, 4) + 59))
    assert list(told(points, "duration_ms")) == [2, 3]


@pytest.mark.parametrize("empty", [frame(), pd.DataFrame()])
def test_no_rows_give_no_points_with_the_right_columns(empty: pd.DataFrame) -> None:
    points = hourly_series(empty, empty, weeks(8))
    assert (len(points), list(points.columns)) == (0, [*KEY, "hour_us", "value", "n"])


def some_rows() -> st.SearchStrategy[list[dict[str, Any]]]:
    one = st.builds(
        lambda at, durations, skipped, failed, workflow, step: row(
            MONDAY + at * HOUR_US,
            durations,
            n=len(durations) + skipped,
            n_skipped=skipped,
            n_completed=max(len(durations) - failed, 0),
            workflow_id=workflow,
            step_id=step,
        ),
        st.integers(-3, 12),
        st.lists(st.floats(0, 1e6), max_size=3),
        st.integers(0, 2),
        st.integers(0, 2),
        st.sampled_from(["a", "B", "ü"]),
        st.sampled_from(["", "s"]),
    )
    return st.lists(one, max_size=25)


@settings(max_examples=40)
@given(some_rows(), st.randoms(use_true_random=False))
def test_rows_in_any_order_give_the_same_points(rows: list[dict[str, Any]], random: Any) -> None:
    window = Window(MONDAY, hour(0, 0, 10))
    executions = frame(r for r in rows if not r["step_id"])
    steps = frame(r for r in rows if r["step_id"])
    before = executions.copy(deep=True), steps.copy(deep=True)
    points = hourly_series(executions, steps, window)
    pd.testing.assert_frame_equal(executions, before[0])
    pd.testing.assert_frame_equal(steps, before[1])
    random.shuffle(rows)
    again = hourly_series(
        frame(r for r in rows if not r["step_id"]), frame(r for r in rows if r["step_id"]), window
    )
    pd.testing.assert_frame_equal(points, again)
    plain = points.astype(dict.fromkeys(KEY, "object"))
    pd.testing.assert_frame_equal(plain, plain.sort_values([*KEY, "hour_us"], ignore_index=True))
    assert not points.duplicated([*KEY, "hour_us"]).any()
    assert np.isfinite(points["value"]).all()


@settings(max_examples=40)
@given(some_rows())
def test_points_are_what_a_slow_reader_of_the_rows_would_say(rows: list[dict[str, Any]]) -> None:
    points = hourly_series(frame(), frame(rows), Window(MONDAY, hour(0, 0, 10)))
    inside = [r for r in rows if MONDAY <= r["hour_us"] < hour(0, 0, 10)]
    expected = {}
    for workflow, step in {(r["workflow_id"], r["step_id"]) for r in inside}:
        mine = [r for r in inside if (r["workflow_id"], r["step_id"]) == (workflow, step)]
        for at in range(min(r["hour_us"] for r in mine), hour(0, 0, 10), HOUR_US):
            now = [r for r in mine if r["hour_us"] == at]
            n = sum(r["n"] - r["n_skipped"] for r in now)
            expected[workflow, step, "runs_per_hour", at] = (n, n)
            if n:
                completed = sum(r["n_completed"] for r in now)
                expected[workflow, step, "success_rate", at] = (completed / n, n)
    rest = points[points["metric"] != "duration_ms"]
    found = zip(rest["workflow_id"], rest["step_id"], rest["metric"], rest["hour_us"], strict=True)
    assert dict(zip(found, zip(rest["value"], rest["n"], strict=True), strict=True)) == expected
