"""Baselines of points: what is normal by hour of the week, what it falls back to, and what is missing."""

import math
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analytics_lib import schema
from analytics_lib.baseline import BaselineParameters, compute_baselines, hourly_series
from analytics_lib.errors import QueryError, SettingsError
from analytics_lib.windows import HOUR_US, from_us, to_us
from tests.baseline import reference
from tests.baseline.rollups import MONDAY, WEEK_US, frame, hour, point, points, row, weeks

END = MONDAY + 8 * WEEK_US
PRODUCTION = {"workflow_id": "invoices", "environment": "production", "step_id": ""}


def bands_of(rows: pd.DataFrame, end_us: int = END, zones: dict[str, str] | None = None) -> dict[Any, Any]:
    """(level, slot) → band, of the one series in the rows."""
    bands = compute_baselines(rows, zones or {}, "UTC", end_us).bands
    return {(band["level"], band["slot"]): band for band in bands.to_dict("records")}


def missing(rows: pd.DataFrame, end_us: int = END) -> dict[str, str]:
    series = compute_baselines(rows, {}, "UTC", end_us).series
    return dict(zip(series["metric"], series["missing"], strict=True))


def test_eight_mondays_at_nine_say_what_is_normal_on_a_monday_at_nine() -> None:
    durations = [100.0, 110.0, 90.0, 100.0, 120.0, 80.0, 100.0, 5000.0]
    band = bands_of(points(point(hour(w, 0, 9), ms) for w, ms in enumerate(durations)))["hour_of_week", 9]
    assert (band["n"], band["space"]) == (8, "log")
    assert math.exp(band["center"]) == pytest.approx(100.0)
    away = sorted(abs(math.log(ms / 100)) for ms in durations)
    assert band["scale"] == pytest.approx(1.4826 * (away[3] + away[4]) / 2)
    assert band["active_share"] == 1.0


def test_few_hours_of_the_week_fall_back_to_the_hour_of_the_day_and_to_all_hours() -> None:
    daily = points(point(hour(0, day, 9), 100.0) for day in range(11))  # two weeks less the last weekend
    found = bands_of(daily, hour(1, 4, 0))
    assert list(found) == [("hour_of_day", 9)]  # nine working days; the Saturday and Sunday are too few
    assert found["hour_of_day", 9]["n"] == 9
    day_and_night = points(point(hour(0, 0, at), 100.0) for at in range(24))
    assert list(bands_of(day_and_night, hour(0, 1, 0))) == [("overall", 0)]


def test_a_weekly_job_is_ready_after_five_weeks() -> None:
    assert bands_of(points(point(hour(w, 0, 9), 100.0) for w in range(4))) == {}
    assert list(bands_of(points(point(hour(w, 0, 9), 100.0) for w in range(5)))) == [("hour_of_week", 9)]


def test_a_series_that_is_too_short_says_what_it_lacks() -> None:
    rows = [row(hour(0, 0, at)) for at in (1, 3, 4)]
    short = hourly_series(frame(rows), frame(), weeks(8))
    assert missing(short) == {
        "duration_ms": "24 hours with runs, has 3",
        "runs_per_hour": "",
        "success_rate": "24 hours with runs, has 3",
    }
    young = short[short["hour_us"] < hour(0, 0, 6)]
    assert missing(young, hour(0, 0, 6))["runs_per_hour"] == "24 hours since its first run, has 5"


def test_the_series_looked_at_are_described() -> None:
    rows = hourly_series(frame([row(hour(0, 0, 1)), row(hour(0, 0, 7))]), frame(), weeks(1))
    found = compute_baselines(rows, {"invoices": "Europe/Berlin"}, "UTC", MONDAY + WEEK_US)
    first = found.series.set_index("metric").loc["duration_ms"].to_dict()
    assert first == PRODUCTION | {
        "time_zone": "Europe/Berlin",
        "n_hours": 2,
        "first_hour_us": hour(0, 0, 1),
        "last_hour_us": hour(0, 0, 7),
        "missing": "24 hours with runs, has 2",
    }
    assert found.n_ready == 1


def test_eight_equal_durations_do_not_make_the_next_millisecond_an_anomaly() -> None:
    band = bands_of(points(point(hour(w, 0, 9), 100.0) for w in range(8)))["hour_of_week", 9]
    assert band["scale"] == 0.05


def test_durations_of_zero_have_a_logarithm() -> None:
    band = bands_of(points(point(hour(w, 0, 9), 0.0) for w in range(8)))["hour_of_week", 9]
    assert (band["center"], band["scale"]) == (0.0, 0.05)  # 1 ms


def test_eight_hours_of_full_success_leave_room_for_the_chance_of_few_runs() -> None:
    def scale(n: int) -> float:
        rows = points(point(hour(w, 0, 9), 1.0, n, "success_rate") for w in range(8))
        return float(bands_of(rows)["hour_of_week", 9]["scale"])

    assert scale(1) == pytest.approx(math.sqrt(0.6 * 0.4))  # q = (1 + 2) / (1 + 4)
    assert scale(96) == pytest.approx(math.sqrt(0.98 * 0.02 / 96))


def test_a_rate_s_hours_stand_for_the_harmonic_mean_of_their_runs() -> None:
    runs = [2, 2, 2, 2, 8, 8, 8, 8]  # harmonic mean 3.2
    rows = points(point(hour(w, 0, 9), 1.0, n, "success_rate") for w, n in enumerate(runs))
    q = 5.2 / 7.2
    assert bands_of(rows)["hour_of_week", 9]["scale"] == pytest.approx(math.sqrt(q * (1 - q) / 3.2))


def test_everything_failing_is_normal_for_what_always_failed() -> None:
    rows = points(point(hour(w, 0, 9), 0.0, 10, "success_rate") for w in range(8))
    band = bands_of(rows)["hour_of_week", 9]
    assert band["center"] == 0.0
    assert band["scale"] > 0


def test_counts_vary_at_least_as_independent_arrivals_do() -> None:
    rows = points(point(hour(w, 0, 9), 48.0, 48, "runs_per_hour") for w in range(8))
    assert bands_of(rows)["hour_of_week", 9]["scale"] == 7.0


def test_where_only_some_hours_are_busy_a_fallback_calls_none_of_them_strange() -> None:
    hours = [hour(0, day, at) for day in range(3) for at in range(24)]
    rows = points(
        point(at, n, n, "runs_per_hour") for at in hours for n in [60 if from_us(at).hour == 9 else 0]
    )
    band = bands_of(rows, hour(0, 3, 0))["overall", 0]
    assert (band["center"], band["scale"]) == (0.0, 20.0)  # 60 lies on the edge of three sigmas


def test_active_share_counts_the_hours_like_this_since_the_first_run() -> None:
    # From the third Monday on, every second Monday at 9: three of six; at 10 all six.
    rows = [row(hour(w, 0, 9)) for w in (2, 4, 6)] + [row(hour(w, 0, 10)) for w in range(2, 8)]
    series = hourly_series(frame(rows), frame(), weeks(8))
    runs = bands_of(series[series["metric"] == "runs_per_hour"])
    assert runs["hour_of_week", 9]["active_share"] == 0.5
    assert runs["hour_of_week", 10]["active_share"] == 1.0
    assert runs["hour_of_week", 11]["active_share"] == 0.0
    # The first week of its life began on Monday at 9, so the Monday midnights are one fewer.
    assert (runs["hour_of_week", 9]["n"], runs["hour_of_week", 0]["n"]) == (6, 5)
    durations = bands_of(series[series["metric"] == "duration_ms"])
    assert durations["hour_of_week", 10]["active_share"] == 1.0


def test_in_a_week_with_a_change_of_the_clock_the_work_stays_at_nine() -> None:
    berlin = ZoneInfo("Europe/Berlin")
    dates = [(3, 2), (3, 9), (3, 16), (3, 23), (3, 30), (4, 6)]  # summer time begins on 29 March
    days = [datetime(2026, month, day, 9, tzinfo=berlin) for month, day in dates]
    rows = points(point(to_us(day), 100.0) for day in days)
    found = bands_of(rows, to_us(days[-1]) + HOUR_US, {"invoices": "Europe/Berlin"})
    assert found["hour_of_week", 9]["n"] == 6
    in_utc = compute_baselines(rows, {}, "UTC", to_us(days[-1]) + HOUR_US).bands
    assert in_utc.empty  # four at 08:00 UTC and two at 07:00


def test_hours_after_the_moment_are_not_looked_at() -> None:
    rows = points(point(hour(w, 0, 9), 100.0) for w in range(8))
    early = bands_of(rows, hour(5, 0, 9) + HOUR_US - 1)  # the sixth Monday's hour is not over
    assert early["hour_of_week", 9]["n"] == 5
    assert bands_of(rows, hour(5, 0, 9) + HOUR_US)["hour_of_week", 9]["n"] == 6


def test_one_huge_outlier_moves_nothing() -> None:
    calm = [row(hour(w, 0, 9), [100.0]) for w in range(8)]
    wild = [*calm[:-1], row(hour(7, 0, 9), [1e15])]
    of_calm, of_wild = (bands_of(points(as_points(rows)))["hour_of_week", 9] for rows in (calm, wild))
    assert of_calm["center"] == of_wild["center"]
    assert of_calm["scale"] == of_wild["scale"]


def as_points(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [point(r["hour_us"], r["duration_p50_ms"]) for r in rows]


def test_nothing_to_learn_from_gives_tables_without_rows() -> None:
    for rows in (points(), hourly_series(frame(), frame(), weeks(8))):
        found = compute_baselines(rows, {}, "UTC", END)
        assert (len(found.series), len(found.bands), found.n_ready) == (0, 0, 0)
        check_columns(found.series, "baseline_series")
        check_columns(found.bands, "baseline")


def check_columns(rows: pd.DataFrame, table: str) -> None:
    columns = [column.name for column in schema.metadata.tables[table].columns]
    assert ["baseline_id", *rows.columns] == columns


def test_one_point_is_no_baseline() -> None:
    found = compute_baselines(points([point(MONDAY, 5.0)]), {}, "UTC", END)
    assert found.series["missing"].tolist() == ["24 hours with runs, has 1"]
    assert found.bands.empty


def test_an_unknown_zone_and_an_unknown_metric_are_refused() -> None:
    with pytest.raises(SettingsError, match="'Mars/Olympus' is unknown"):
        compute_baselines(points([point(MONDAY, 5.0)]), {"invoices": "Mars/Olympus"}, "UTC", END)
    with pytest.raises(QueryError, match="no baseline is made of mood: use duration_ms"):
        compute_baselines(points([point(MONDAY, 5.0, metric="mood")]), {}, "UTC", END)


def some_points() -> st.SearchStrategy[list[dict[str, Any]]]:
    series = st.tuples(
        st.sampled_from(["duration_ms", "success_rate", "runs_per_hour"]), st.sampled_from(["a", "ß", ""])
    )
    hours = st.sets(
        st.tuples(st.integers(0, 8), st.sampled_from([0, 5]), st.sampled_from([0, 1, 9])), max_size=54
    )

    def made(key: tuple[str, str], hours: set[tuple[int, int, int]], seed: int) -> list[dict[str, Any]]:
        chance = np.random.default_rng(seed)
        rows = []
        for week, day, at in sorted(hours):
            n = int(chance.integers(1, 9)) if key[0] != "runs_per_hour" else int(chance.integers(0, 9))
            value = {"duration_ms": float(chance.lognormal(3)), "runs_per_hour": float(n)}.get(
                key[0], int(chance.integers(0, n + 1)) / max(n, 1)
            )
            rows.append(point(hour(week, day, at), value, n, key[0], step_id=key[1]))
        return rows

    one = st.builds(made, series, hours, st.integers(0, 1000))
    return st.lists(one, max_size=4).map(
        lambda parts: list(
            {(r["metric"], r["step_id"], r["hour_us"]): r for part in parts for r in part}.values()
        )
    )


@settings(max_examples=40)
@given(some_points(), st.sampled_from(["UTC", "Europe/Berlin", "Asia/Kolkata"]))
def test_bands_are_what_a_slow_reader_of_the_points_would_say(rows: list[dict[str, Any]], zone: str) -> None:
    given_points = points(rows)
    found = compute_baselines(given_points, {"invoices": zone}, "UTC", END).bands
    expected = reference.bands(given_points, {"invoices": zone}, END)
    assert len(found) == len(expected)
    for band in found.to_dict("records"):
        key = tuple(band[name] for name in (*PRODUCTION, "metric", "level", "slot"))
        for name, value in expected[key].items():
            assert band[name] == (pytest.approx(value) if isinstance(value, float) else value), (name, key)


@settings(max_examples=40)
@given(some_points(), st.randoms(use_true_random=False))
def test_points_in_any_order_give_the_same_bits(rows: list[dict[str, Any]], random: Any) -> None:
    sorted_points = points(rows)
    before = sorted_points.copy(deep=True)
    first = compute_baselines(sorted_points, {}, "UTC", END)
    pd.testing.assert_frame_equal(sorted_points, before)
    shuffled = list(rows)
    random.shuffle(shuffled)
    again = compute_baselines(points(shuffled), {}, "UTC", END)
    pd.testing.assert_frame_equal(first.bands, again.bands, check_exact=True)
    pd.testing.assert_frame_equal(first.series, again.series)


def test_the_parameters_say_how_much_is_enough() -> None:
    rows = points(point(hour(w, 0, 9), 100.0) for w in range(3))
    lenient = BaselineParameters(min_n_hour_of_week=3, min_scale_log=0.2)
    found = compute_baselines(rows, {}, "UTC", END, lenient).bands
    assert found[["level", "n", "scale"]].to_numpy().tolist() == [["hour_of_week", 3, 0.2]]
