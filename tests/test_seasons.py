"""Hours of the week in a zone: what the clock on the wall says when the UTC hour begins."""

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from analytics_lib import seasons
from analytics_lib.errors import SettingsError
from analytics_lib.windows import HOUR_US, from_us, to_us

ZONES = ["UTC", "Europe/Berlin", "America/St_Johns", "Asia/Kolkata", "Australia/Lord_Howe", "Pacific/Apia"]
hours = st.integers(0, 2_000_000_000 // 3600).map(lambda hour: hour * HOUR_US)


def on_the_wall(hour_us: int, zone: str) -> int:
    local = from_us(hour_us).astimezone(ZoneInfo(zone))
    return local.weekday() * 24 + local.hour


@given(st.lists(st.tuples(hours, st.integers(0, len(ZONES) - 1)), max_size=20))
def test_slots_are_what_the_clock_on_the_wall_says(moments: list[tuple[int, int]]) -> None:
    hours_us = np.array([hour for hour, _ in moments], dtype=np.int64)
    zone_of = np.array([zone for _, zone in moments], dtype=np.int64)
    expected = [on_the_wall(hour, ZONES[zone]) for hour, zone in moments]
    if len(set(zone_of.tolist())) <= 1:  # close together or not, in one zone
        zone = ZONES[zone_of[0]] if len(zone_of) else "UTC"
        assert seasons.hour_of_week(hours_us, zone).tolist() == expected
    near = hours_us % (3000 * HOUR_US) + 400_000 * HOUR_US
    slots = seasons.hour_of_week_by_zone(near, zone_of, ZONES)
    assert slots.tolist() == [on_the_wall(h, ZONES[z]) for h, z in zip(near.tolist(), zone_of, strict=True)]


def week(start: datetime, zone: str) -> list[int]:
    first = to_us(start.replace(tzinfo=ZoneInfo(zone)))
    return seasons.hour_of_week(np.arange(first, first + 168 * HOUR_US, HOUR_US), zone).tolist()


def test_a_week_without_a_change_of_the_clock_has_each_slot_once() -> None:
    assert week(datetime(2026, 3, 2), "Europe/Berlin") == list(range(168))


def test_in_the_spring_week_one_slot_is_left_out() -> None:
    slots = week(datetime(2026, 3, 23), "Europe/Berlin")
    assert slots == [*range(6 * 24 + 2), *range(6 * 24 + 3, 168), 0]


def test_in_the_autumn_week_one_slot_comes_twice() -> None:
    slots = week(datetime(2026, 10, 19), "Europe/Berlin")
    assert slots == [*range(6 * 24 + 3), 6 * 24 + 2, *range(6 * 24 + 3, 167)]


def test_working_days_come_first_and_saturday_is_free() -> None:
    assert seasons.hour_of_day(np.arange(168)).tolist() == [*range(24)] * 5 + [*range(24, 48)] * 2


def test_in_a_zone_off_by_half_an_hour_the_hour_in_which_it_begins_counts() -> None:
    ten_utc = to_us(datetime(2026, 3, 2, 10, tzinfo=UTC))  # Monday 15:30 in Kolkata
    moments = np.array([ten_utc, ten_utc + HOUR_US - 1])
    assert seasons.hour_of_week(moments, "Asia/Kolkata").tolist() == [15, 15]


def test_no_hours_have_no_slots() -> None:
    nothing = np.array([], dtype=np.int64)
    assert seasons.hour_of_week(nothing, "UTC").tolist() == []
    assert seasons.hour_of_week_by_zone(nothing, nothing, []).tolist() == []


@pytest.mark.parametrize("zone", ["Europe/Berlyn", "", "../etc/passwd", "Europe"])
def test_an_unknown_zone_is_refused_by_name(zone: str) -> None:
    with pytest.raises(SettingsError, match="is unknown: use an IANA name"):
        seasons.hour_of_week(np.array([0]), zone)
