from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from analytics_lib.errors import QueryError
from analytics_lib.windows import DAY_US, HOUR_US, Window, day_of, from_us, hour_of, next_hour, to_us
from tests.make import NOON, at

moments = st.datetimes(datetime(1980, 1, 1), datetime(2200, 1, 1), timezones=st.just(UTC))


@given(moments)
def test_microseconds_are_exact_both_ways(moment: datetime) -> None:
    assert from_us(to_us(moment)) == moment


@given(moments)
def test_an_hour_begins_at_its_full_hour(moment: datetime) -> None:
    assert from_us(hour_of(to_us(moment))) == moment.replace(minute=0, second=0, microsecond=0)
    assert from_us(day_of(to_us(moment))) == moment.replace(hour=0, minute=0, second=0, microsecond=0)
    assert 0 <= next_hour(to_us(moment)) - to_us(moment) < HOUR_US


def test_offsets_do_not_change_the_moment() -> None:
    assert (
        to_us(NOON)
        == to_us(NOON.astimezone(timezone(timedelta(hours=-7))))
        == to_us(NOON.replace(tzinfo=UTC))
    )


def test_a_window_touches_the_hours_that_it_overlaps() -> None:
    assert [from_us(hour) for hour in Window.of(at(-1), at(61)).hours()] == [at(-60), at(0), at(60)]
    assert [from_us(hour) for hour in Window.of(at(0), at(60)).hours()] == [at(0)]


def test_the_previous_period_is_as_long_and_ends_where_this_one_starts() -> None:
    window = Window.of(at(0), at(90))
    assert window.previous() == Window.of(at(-90), at(0))
    assert window.end_us - window.start_us < DAY_US


@pytest.mark.parametrize("end", [at(0), at(-1)])
def test_a_window_that_ends_before_it_starts_says_so(end: datetime) -> None:
    with pytest.raises(QueryError, match="at or before it starts"):
        Window.of(at(0), end)
