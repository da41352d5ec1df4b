"""How long things are kept: the moments before which they may go."""

from dataclasses import dataclass
from typing import Final

from analytics_lib.errors import SettingsError
from analytics_lib.windows import DAY_US, day_of, from_us, to_us

KEEP_RAW_DAYS: Final = 90
LEAST_RAW_DAYS: Final = 28  # on which hosts a workflow runs is learnt from the runs of four weeks
KEEP_HOURLY_MONTHS: Final = 25  # this month and the same one a year ago and two years ago
LEAST_HOURLY_MONTHS: Final = 3  # baselines look eight weeks back
KEEP_QUARANTINE_DAYS: Final = 400  # whoever looks once a year still finds last year's rows


@dataclass(frozen=True, slots=True)
class Limits:
    """What lies wholly before these moments (µs UTC, midnights) is old enough to go."""

    raw_us: int
    hourly_us: int
    quarantine_us: int


def limits_at(
    as_of_us: int, *, keep_raw_days: int = KEEP_RAW_DAYS, keep_hourly_months: int = KEEP_HOURLY_MONTHS
) -> Limits:
    """The limits at a moment. Raises SettingsError for a span that other stages cannot live with.

    Months are calendar months: 25 months before 31 March 2026 is 28 February 2024.

    >>> from datetime import datetime, UTC
    >>> limits = limits_at(to_us(datetime(2026, 3, 31, 9, tzinfo=UTC)))
    >>> from_us(limits.raw_us).isoformat(), from_us(limits.hourly_us).isoformat()
    ('2025-12-31T00:00:00+00:00', '2024-02-28T00:00:00+00:00')
    """
    if keep_raw_days < LEAST_RAW_DAYS:
        raise SettingsError(
            f"keep_raw_days is {keep_raw_days}: keep raw rows for at least {LEAST_RAW_DAYS} days, because "
            "missing runs are judged by the hosts that a workflow ran on in that time"
        )
    if keep_hourly_months < LEAST_HOURLY_MONTHS:
        raise SettingsError(
            f"keep_hourly_months is {keep_hourly_months}: keep hourly rows for at least "
            f"{LEAST_HOURLY_MONTHS} months, because baselines are learnt from eight weeks of them"
        )
    today_us = day_of(as_of_us)
    try:
        return Limits(
            raw_us=today_us - keep_raw_days * DAY_US,
            hourly_us=_months_before(today_us, keep_hourly_months),
            quarantine_us=today_us - KEEP_QUARANTINE_DAYS * DAY_US,
        )
    except ValueError:
        raise SettingsError(
            f"keep_hourly_months is {keep_hourly_months}: that is before the year 1"
        ) from None


def _months_before(day_us: int, months: int) -> int:
    day = from_us(day_us)
    month = day.year * 12 + day.month - 1 - months
    # The 28th exists in every month: the days after it are kept up to three days longer.
    return to_us(day.replace(year=month // 12, month=month % 12 + 1, day=min(day.day, 28)))
