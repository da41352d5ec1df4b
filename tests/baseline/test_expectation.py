"""What was to be expected of points: the finest band there is, in the metric's own unit."""

import math

import pandas as pd
import pytest

from analytics_lib.baseline import BaselineParameters, compute_baselines, expect, hourly_series
from analytics_lib.windows import HOUR_US, Window
from tests.baseline.rollups import MONDAY, WEEK_US, frame, hour, point, points, row, weeks

ADDED = ["center", "scale", "space", "level", "n_baseline", "active_share", "expected", "low", "high"]
KEY = {"workflow_id": "invoices", "environment": "production", "step_id": ""}


def band(
    level: str, slot: int, center: float, metric: str = "duration_ms", **fields: object
) -> dict[str, object]:
    space = "log" if metric == "duration_ms" else "linear"
    values = {"n": 8, "space": space, "center": center, "scale": 0.1, "active_share": 0.75}
    return {**KEY, "metric": metric, "level": level, "slot": slot, **values, **fields}


def test_the_finest_band_speaks() -> None:
    bands = pd.DataFrame(
        [
            band("overall", 0, math.log(1.0), n=300),
            band("hour_of_day", 9, math.log(10.0), n=20),
            band("hour_of_week", 9, math.log(100.0)),
        ]
    )
    asked = points(point(hour(8, day, at), 50.0) for day, at in [(1, 9), (0, 9), (0, 10), (5, 9)])
    told = expect(asked, bands, {}, "UTC")
    assert told["level"].tolist() == ["hour_of_day", "hour_of_week", "overall", "overall"]
    assert told["expected"].tolist() == pytest.approx([10.0, 100.0, 1.0, 1.0])
    assert told["n_baseline"].tolist() == [20, 8, 300, 300]
    assert told["active_share"].tolist() == [0.75] * 4


def test_the_edges_lie_three_sigmas_away_in_the_band_s_space() -> None:
    bands = pd.DataFrame([band("overall", 0, math.log(100.0))])
    told = expect(points([point(MONDAY, 50.0)]), bands, {}, "UTC").iloc[0]
    assert told["space"] == "log"
    assert (told["low"], told["high"]) == (
        pytest.approx(100 * math.exp(-0.3)),
        pytest.approx(100 * math.exp(0.3)),
    )
    wide = expect(points([point(MONDAY, 50.0)]), bands, {}, "UTC", BaselineParameters(edge_sigmas=5.0))
    assert wide["high"].iloc[0] == pytest.approx(100 * math.exp(0.5))


def test_no_edge_lies_where_no_value_can_be() -> None:
    bands = pd.DataFrame(
        [band("overall", 0, 0.95, "success_rate"), band("overall", 0, 2.0, "runs_per_hour", scale=1.7)]
    )
    asked = points(point(MONDAY, 1.0, metric=metric) for metric in ("success_rate", "runs_per_hour"))
    told = expect(asked, bands, {}, "UTC")
    assert told["low"].tolist() == pytest.approx([0.65, 0.0])
    assert told["high"].tolist() == pytest.approx([1.0, 7.1])


def test_without_a_band_nothing_is_expected() -> None:
    other = pd.DataFrame([band("overall", 0, 1.0, workflow_id="payroll"), band("hour_of_week", 7, 1.0)])
    for bands in (other, other.iloc[:0]):
        told = expect(points([point(MONDAY, 50.0)]), bands, {}, "UTC").iloc[0]
        assert told[["center", "scale", "active_share", "expected", "low", "high"]].isna().all()
        assert (told["space"], told["level"], told["n_baseline"]) == ("", "", 0)


def test_no_points_and_no_bands_are_no_trouble() -> None:
    nothing = compute_baselines(points(), {}, "UTC", MONDAY)
    told = expect(points(), nothing.bands, {}, "UTC")
    assert (len(told), list(told.columns)) == (0, [*points().columns, *ADDED])


def test_each_workflow_is_asked_in_its_own_time_zone() -> None:
    bands = pd.DataFrame([band("hour_of_week", 9, 1.0, workflow_id=name) for name in ("invoices", "payroll")])
    asked = points(
        point(hour(0, 0, at), 5.0, workflow_id=name) for name in ("invoices", "payroll") for at in (8, 9)
    )
    told = expect(asked, bands, {"payroll": "Europe/Berlin"}, "UTC")
    assert told["level"].tolist() == ["", "hour_of_week", "hour_of_week", ""]


def test_points_keep_their_order_and_are_not_altered() -> None:
    bands = pd.DataFrame([band("overall", 0, math.log(9.0)), band("overall", 0, 1.0, "success_rate")])
    asked = points(
        point(hour(0, 0, at), at, metric=metric) for at, metric in [(3, "success_rate"), (1, "duration_ms")]
    ).set_axis([7, 3])
    before = asked.copy(deep=True), bands.copy(deep=True)
    told = expect(asked, bands, {}, "UTC")
    pd.testing.assert_frame_equal(asked, before[0])
    pd.testing.assert_frame_equal(bands, before[1])
    pd.testing.assert_frame_equal(told[asked.columns], asked)
    assert told["expected"].round(6).to_dict() == {7: 1.0, 3: 9.0}


def test_the_whole_way_from_rollup_rows_to_an_expectation() -> None:
    rows = [
        row(hour(week, day, at), [100.0 + week] * 4, n_completed=4)
        for week in range(8)
        for day in range(5)
        for at in (9, 10)
    ]
    learnt = compute_baselines(hourly_series(frame(rows), frame(), weeks(8)), {}, "UTC", MONDAY + 8 * WEEK_US)
    now = [row(hour(8, 0, 9), [250.0] * 4, n_completed=1), row(hour(8, 0, 11), [100.0])]
    known = learnt.series[["workflow_id", "environment", "step_id", "first_hour_us"]]
    asked = hourly_series(frame(now), frame(), Window(hour(8, 0, 9), hour(8, 0, 13)), known)
    told = expect(asked, learnt.bands, {}, "UTC").set_index(["metric", "hour_us"])
    slow = told.loc[("duration_ms", hour(8, 0, 9))]
    assert (slow["level"], slow["expected"]) == ("hour_of_week", pytest.approx(103.5, rel=0.001))
    assert slow["value"] > slow["high"]
    assert told.loc[("success_rate", hour(8, 0, 9)), "value"] == 0.25
    silent = told.loc[("runs_per_hour", hour(8, 0, 10))]
    assert (silent["value"], silent["expected"], silent["active_share"]) == (0.0, 4.0, 1.0)
    assert told.loc[("runs_per_hour", hour(8, 0, 12)), "active_share"] == 0.0
    assert told.loc[("duration_ms", hour(8, 0, 11)), "level"] == "overall"


def test_plain_texts_come_out_whatever_went_in() -> None:
    asked = hourly_series(frame([row(MONDAY)]), frame(), Window(MONDAY, MONDAY + HOUR_US))
    told = expect(asked, pd.DataFrame([band("overall", 0, 1.0)]), {}, "UTC")
    assert (told["workflow_id"] + "/" + told["metric"]).iloc[0] == "invoices/duration_ms"
