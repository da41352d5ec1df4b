"""Local days out of UTC hours: daylight saving, half-hour zones, and what is compared with what."""

import pandas as pd
import pytest

from analytics_lib.report.periods import LocalTime, Scope
from analytics_lib.windows import DAY_US, HOUR_US, Window
from tests.report.inputs import us

BERLIN = "Europe/Berlin"


def local_week(first: str, last: str, zone: str = BERLIN) -> Window:
    return Window(us(f"{first}T00:00", zone), us(f"{last}T00:00", zone))


@pytest.mark.parametrize(
    ("first", "last", "hours"), [("2026-03-29", "2026-03-30", 23), ("2026-10-25", "2026-10-26", 25)]
)
def test_a_day_of_23_or_25_hours_is_one_day(first: str, last: str, hours: int) -> None:
    day = local_week(first, last)
    assert (day.end_us - day.start_us) // HOUR_US == hours
    local = LocalTime.of(BERLIN, local_week("2026-03-01", "2026-03-15"))  # a window that is cut by days
    periods = local.periods(pd.Series(list(day.hours())))
    assert set(periods) == {pd.Timestamp(first)}


def test_the_hour_that_comes_twice_in_autumn_is_one_local_hour() -> None:
    day = local_week("2026-10-25", "2026-10-26")
    local = LocalTime.of(BERLIN, day)
    periods = local.periods(pd.Series(list(day.hours())))
    assert periods.value_counts()[pd.Timestamp("2026-10-25 02:00")] == 2
    assert len(local.expected(day.start_us, day.end_us)) == 24


@pytest.mark.parametrize(
    ("first", "last", "before"),
    [("2026-03-29", "2026-04-05", "2026-03-22"), ("2026-10-25", "2026-11-01", "2026-10-18")],
)
def test_the_week_before_a_week_with_a_clock_change_begins_at_midnight(
    first: str, last: str, before: str
) -> None:
    window = local_week(first, last)
    local = LocalTime.of(BERLIN, window)
    scope = Scope.of(window, window.end_us, local)
    assert scope.before == local_week(before, first)
    assert not scope.unfinished


def test_in_a_half_hour_zone_an_hour_counts_where_it_begins_and_that_is_said() -> None:
    window = local_week("2026-11-16", "2026-11-23", "Asia/Kolkata")
    local = LocalTime.of("Asia/Kolkata", window)
    scope = Scope.of(window, window.end_us, local)
    # Local midnight is 18:30 UTC. The hour from 18:00 begins at 23:30 the day before, and counts there.
    assert scope.now.start_us == us("2026-11-15T19:00")
    assert scope.before.end_us == scope.now.start_us
    (day,) = local.periods(pd.Series([us("2026-11-15T18:00")]))
    assert day == pd.Timestamp("2026-11-15")
    assert "30 minutes after midnight count in the day before" in local.rounding_note(window)
    assert LocalTime.of(BERLIN, window).rounding_note(window) == ""


def test_windows_that_follow_each_other_share_no_hour() -> None:
    start_us = us("2026-11-16T09:20")
    parts = [Window(start_us + k * 2 * HOUR_US, start_us + (k + 1) * 2 * HOUR_US) for k in range(3)]
    scopes = [Scope.of(part, part.end_us, LocalTime.of("UTC", part)) for part in parts]
    hours = [hour for scope in scopes for hour in scope.now.hours()]
    assert len(hours) == len(set(hours)) == 6


def test_a_window_within_one_hour_is_that_hour() -> None:
    window = Window(us("2026-11-16T09:10"), us("2026-11-16T09:20"))
    scope = Scope.of(window, window.end_us, LocalTime.of("UTC", window))
    assert scope.now == Window(us("2026-11-16T09:00"), us("2026-11-16T10:00"))
    assert scope.before == Window(us("2026-11-16T08:00"), us("2026-11-16T09:00"))


@pytest.mark.parametrize(
    ("days", "grain"), [(1, "hour"), (3, "hour"), (4, "day"), (100, "day"), (365, "week")]
)
def test_longer_windows_are_cut_less_finely(days: int, grain: str) -> None:
    assert LocalTime.of("UTC", Window(0, days * DAY_US)).grain == grain


def test_a_window_of_whole_days_is_named_by_its_days() -> None:
    window = local_week("2026-11-16", "2026-11-23")
    assert LocalTime.of(BERLIN, window).window_text(window).replace("\u00a0", " ") == "16–22 Nov 2026"
    hours = Window(us("2026-11-16T09:00"), us("2026-11-16T10:30"))
    assert LocalTime.of("UTC", hours).window_text(hours).replace("\u00a0", " ") == "16 Nov 2026, 09:00–10:30"
