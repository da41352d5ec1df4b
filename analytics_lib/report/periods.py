"""Local hours, days and weeks made of UTC hours, and the periods that a report compares.

Rollups count by UTC hour; a reader thinks in local days. A UTC hour belongs to the local period in
which it *begins*. With whole-hour offsets that is exact; a zone off by 30 or 45 minutes books up to
that much around midnight on the day before, and `rounding_note` says so in the report. Daylight
saving needs no care: a day simply has 23 or 25 UTC hours, and the hour that happens twice in autumn
is one local hour with the runs of both.
"""

from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from typing import Final, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from analytics_lib import formats
from analytics_lib.errors import ReportError
from analytics_lib.windows import DAY_US, HOUR_US, Window, from_us, hour_of, next_hour, to_us

Grain = Literal["hour", "day", "week"]
HOURLY_UP_TO_US: Final = 3 * DAY_US
DAILY_UP_TO_US: Final = 100 * DAY_US  # a year of days is a solid block and no line
HISTORY_US: Final = 28 * DAY_US
_LENGTH: Final = {"hour": timedelta(hours=1), "day": timedelta(days=1), "week": timedelta(weeks=1)}
_WHOLE_HOUR: Final = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class LocalTime:
    """A time zone and how finely a report of this length cuts time.

    >>> berlin = LocalTime.of("Europe/Berlin", Window(0, 7 * DAY_US))
    >>> berlin.grain, berlin.moment(0).isoformat()
    ('day', '1970-01-01T01:00:00+01:00')
    """

    zone: ZoneInfo
    grain: Grain

    @classmethod
    def of(cls, time_zone: str, window: Window) -> "LocalTime":
        """Raises ReportError when the name is not an IANA time zone."""
        try:
            zone = ZoneInfo(time_zone)
        except (ZoneInfoNotFoundError, ValueError, OSError):
            raise ReportError(
                f"the report's time zone {time_zone!r} is unknown: use an IANA name such as Europe/Berlin"
                " (on Windows the package tzdata brings them)"
            ) from None
        length = window.end_us - window.start_us
        if length <= HOURLY_UP_TO_US:
            return cls(zone, "hour")
        return cls(zone, "day" if length <= DAILY_UP_TO_US else "week")

    def moment(self, moment_us: int) -> datetime:
        """The local time of a moment."""
        return from_us(moment_us).astimezone(self.zone)

    def clock(self, hours_us: "pd.Series[int]") -> "pd.Series[pd.Timestamp]":
        """Local wall-clock times (naive) of UTC hours."""
        return pd.to_datetime(hours_us, unit="us", utc=True).dt.tz_convert(self.zone).dt.tz_localize(None)

    def periods(self, hours_us: "pd.Series[int]") -> "pd.Series[pd.Timestamp]":
        """The local period (naive start) in which each UTC hour begins."""
        clock = self.clock(hours_us)
        if self.grain == "hour":
            return clock.dt.floor("h")
        days = clock.dt.normalize()
        return days if self.grain == "day" else days - pd.to_timedelta(days.dt.day_of_week, unit="D")

    def expected(self, start_us: int, end_us: int) -> list[datetime]:
        """Every local period that [start, end) touches, so that missing ones can be shown as gaps."""
        hours: NDArray[np.int64] = np.arange(hour_of(start_us), end_us, HOUR_US, dtype=np.int64)
        starts = self.periods(pd.Series(hours)).drop_duplicates()
        return [moment.to_pydatetime() for moment in starts]

    def length(self) -> timedelta:
        """How long one period is on the wall clock."""
        return _LENGTH[self.grain]

    def before(self, window: Window) -> Window:
        """The period before: as many local days where the window is of whole ones, else as long."""
        start, end = self.moment(window.start_us), self.moment(window.end_us)
        if not (_is_midnight(start) and _is_midnight(end)):
            return window.previous()
        first = start.date() - (end.date() - start.date())
        return Window(to_us(datetime.combine(first, time(), self.zone)), window.start_us)

    def midnight_after(self, moment_us: int) -> int:
        """The first local midnight at or after the moment, rounded up to a full UTC hour."""
        moment = self.moment(moment_us)
        midnight = datetime.combine(moment.date(), time(), self.zone)
        if midnight.astimezone(UTC) < moment.astimezone(UTC):
            midnight = datetime.combine(moment.date() + timedelta(days=1), time(), self.zone)
        return next_hour(to_us(midnight))

    def rounding_note(self, window: Window) -> str:
        """How a zone off by part of an hour was rounded; '' where nothing was."""
        offset = self.moment(window.start_us).utcoffset() or timedelta()
        part = offset % _WHOLE_HOUR
        if not part:
            return ""
        minutes = part // timedelta(minutes=1)
        return (
            f"{self.zone.key} is {minutes} minutes off the full hours that rows are kept in: an hour counts "
            f"in the local hour and day in which it begins, so runs up to {minutes} minutes after "
            "midnight count in the day before."
        )

    def window_text(self, window: Window) -> str:
        """The window in local time: days where it runs from midnight to midnight, else with times."""
        start, end = self.moment(window.start_us), self.moment(window.end_us)
        if _is_midnight(start) and _is_midnight(end):
            return formats.days_text(start.date(), end.date() - timedelta(days=1))
        if start.date() == end.date():
            return f"{formats.moment_text(start, year=True)}–{end.hour:02d}:{end.minute:02d}"
        return f"{formats.moment_text(start, year=True)} – {formats.moment_text(end, year=True)}"


@dataclass(frozen=True, slots=True)
class Scope:
    """The periods of a report in whole UTC hours: an hour belongs to the window in which it begins.

    So windows that follow each other share no hour. While the window is not over, `before` is the same
    part of the period before: half a week is not compared with a whole one. `history` is what trends draw
    before the window; `weekly` is what weekdays and hours are compared over, four weeks at least.
    """

    now: Window
    before: Window
    history: Window
    weekly: Window
    unfinished: bool

    @classmethod
    def of(cls, window: Window, as_of_us: int, local: LocalTime) -> "Scope":
        start_us, end_us = next_hour(window.start_us), next_hour(window.end_us)
        if start_us == end_us:  # a window within one hour: the hour that it lies in
            start_us = hour_of(window.start_us)
        elapsed_us = next_hour(as_of_us) - start_us
        unfinished = 0 < elapsed_us < end_us - start_us
        before = local.before(window)
        before_us = min(next_hour(before.start_us), start_us - HOUR_US)
        before_end_us = min(before_us + elapsed_us, start_us) if unfinished else start_us
        weekly_us = local.midnight_after(start_us - HISTORY_US)
        history_us = before_us if local.grain == "hour" else weekly_us
        now = Window(start_us, start_us + elapsed_us if unfinished else end_us)
        return cls(
            now=now,
            before=Window(before_us, before_end_us),
            history=Window(history_us, start_us),
            weekly=Window(weekly_us, now.end_us),
            unfinished=unfinished,
        )

    @property
    def shown(self) -> Window:
        """What trends draw: the history and the window."""
        return Window(self.history.start_us, self.now.end_us)


def within(frame: pd.DataFrame, window: Window) -> pd.DataFrame:
    """The rows whose hour begins in the window."""
    hours = frame["hour_us"]
    return frame[(hours >= window.start_us) & (hours < window.end_us)]


def _is_midnight(moment: datetime) -> bool:
    return (moment.hour, moment.minute, moment.second, moment.microsecond) == (0, 0, 0, 0)
