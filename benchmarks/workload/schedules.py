"""When runs are due: by the clock of the workflow's zone, by the calendar, or as work arrives in a queue."""

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from functools import cache, lru_cache
from typing import Final, Literal
from zoneinfo import ZoneInfo

import numpy as np
from numpy.typing import NDArray

from analytics_lib.windows import DAY_US, HOUR_US, SECOND_US, from_us, to_us

Ints = NDArray[np.int64]
MINUTE_US: Final = 60 * SECOND_US
HOLIDAYS: Final = ((1, 1), (5, 1), (10, 3), (12, 25), (12, 26))  # month, day
# What share of a working day's work arrives in each local hour; the rest of the world mails at night.
ARRIVALS: Final = np.array(
    [1, 1, 1, 1, 1, 2, 5, 12, 22, 30, 32, 28, 18, 22, 28, 26, 20, 12, 6, 4, 3, 2, 2, 1], dtype=float
)
WEEKEND_ARRIVALS: Final = 0.08
MONTH_END_ARRIVALS: Final = 2.5  # on the last two working days and the first one of a month


@dataclass(frozen=True, slots=True)
class Schedule:
    """Due `every` some minutes (in office hours only, where so said), at a local time of a day, or by queue.

    A time that the clocks skip is due an hour later, one that they repeat is due the first time.
    """

    kind: Literal["every", "daily", "weekly", "month_end", "queue"]
    every_min: int = 0
    office_hours: bool = False
    at: time = time(9)
    weekday: int = 0
    runs: int = 1  # due at once, at each time
    runs_a_day: float = 0.0  # that a queue brings on a plain working day
    month_end_peak: bool = False


@cache
def is_workday(day: date) -> bool:
    return day.weekday() < 5 and (day.month, day.day) not in HOLIDAYS


@cache
def is_last_workday(day: date) -> bool:
    """Of its month."""
    return is_workday(day) and _workdays_left(day) == 0


def _workdays_left(day: date) -> int:
    following = (day + timedelta(days=n) for n in range(1, 32))
    return sum(is_workday(other) for other in following if other.month == day.month)


@cache
def day_weight(day: date, month_end_peak: bool) -> float:
    """How much work arrives on this day, beside a plain working day."""
    if not is_workday(day):
        return WEEKEND_ARRIVALS
    busy = _workdays_left(day) < 2 or not any(is_workday(day.replace(day=n)) for n in range(1, day.day))
    return MONTH_END_ARRIVALS if month_end_peak and busy else 1.0


@lru_cache(maxsize=4096)
def local_hours(day_us: int, zone: str) -> tuple[datetime, ...]:
    """The local times at which the hours of a UTC day begin."""
    place = ZoneInfo(zone)
    return tuple(from_us(day_us + n * HOUR_US).astimezone(place) for n in range(24))


def local_hour_of(moments: Ints, zone: str) -> Ints:
    """The local hour of each moment; zones off by half an hour are rounded down."""
    days, hours = moments // DAY_US, moments % DAY_US // HOUR_US
    result = np.empty(len(moments), dtype=np.int64)
    for day in np.unique(days):
        at = days == day
        result[at] = np.array([hour.hour for hour in local_hours(int(day) * DAY_US, zone)])[hours[at]]
    return result


def due_moments(schedule: Schedule, zone: str, day_us: int, rng: np.random.Generator) -> Ints:
    """When runs are due on this UTC day, ascending; only a queue asks the random numbers."""
    if schedule.kind == "queue":
        return _arrivals(schedule, zone, day_us, rng)
    if schedule.kind == "every":
        moments = np.arange(day_us, day_us + DAY_US, schedule.every_min * MINUTE_US)
        if schedule.office_hours:
            opened = np.array([is_workday(h.date()) and 7 <= h.hour < 19 for h in local_hours(day_us, zone)])
            moments = moments[opened[moments % DAY_US // HOUR_US]]
        return np.repeat(moments, schedule.runs)
    place = ZoneInfo(zone)
    days = sorted({hour.date() for hour in local_hours(day_us, zone)})
    times = [
        to_us(datetime.combine(day, schedule.at, place).astimezone(UTC))
        for day in days
        if _is_due_on(schedule, day)
    ]
    inside = [moment for moment in times if day_us <= moment < day_us + DAY_US]
    return np.repeat(np.array(inside, dtype=np.int64), schedule.runs)


def _is_due_on(schedule: Schedule, day: date) -> bool:
    if schedule.kind == "weekly":
        return day.weekday() == schedule.weekday
    return is_last_workday(day) if schedule.kind == "month_end" else is_workday(day)


def _arrivals(schedule: Schedule, zone: str, day_us: int, rng: np.random.Generator) -> Ints:
    hours = local_hours(day_us, zone)
    share = ARRIVALS[[hour.hour for hour in hours]] / ARRIVALS.sum()
    weights = np.array([day_weight(hour.date(), schedule.month_end_peak) for hour in hours])
    counts = rng.poisson(schedule.runs_a_day * share * weights)
    starts = np.repeat(day_us + np.arange(24) * HOUR_US, counts)
    return np.sort(starts + rng.integers(0, HOUR_US, len(starts)))


def expected_runs(schedule: Schedule, zone: str, day_us: int) -> float:
    """How many runs are due on this UTC day in the long run; of a queue, per run of a plain working day."""
    if schedule.kind != "queue":
        return float(len(due_moments(schedule, zone, day_us, np.random.default_rng(0))))
    hours = local_hours(day_us, zone)
    share = ARRIVALS[[hour.hour for hour in hours]] / ARRIVALS.sum()
    return float(share @ [day_weight(hour.date(), schedule.month_end_peak) for hour in hours])
