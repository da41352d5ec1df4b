"""The time axis of a chart: local wall clock as numbers of a UTC scale, and where its labels stand."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from analytics_lib import formats

_EPOCH: Final = datetime(1970, 1, 1)  # noqa: DTZ001 - local wall clock, naive on purpose
_MILLISECOND: Final = timedelta(milliseconds=1)
_HOUR_STEPS: Final = tuple(timedelta(hours=h) for h in (1, 2, 3, 6, 12, 24, 48))
_DAY_STEPS: Final = tuple(timedelta(days=d) for d in (1, 2, 7, 14, 28, 56, 112, 224, 448, 896, 1792))
_LABEL_WIDTH: Final = 62


def ms_of(moment: datetime) -> int:
    """A naive local time in milliseconds of the scale."""
    return (moment - _EPOCH) // _MILLISECOND


@dataclass(frozen=True, slots=True)
class TimeAxis:
    """The local periods along the x axis; `window_start` is the first of the period reported on."""

    starts: tuple[datetime, ...]
    length: timedelta
    window_start: datetime | None

    def places(self) -> list[dict[str, Any]]:
        """Left edge, middle and right edge of each period, in ms of the scale."""
        return [
            {
                "left": ms_of(start),
                "t": ms_of(start + self.length / 2),
                "right": ms_of(start + self.length),
            }
            for start in self.starts
        ]

    def ticks(self, width: int) -> list[tuple[int, str]]:
        """(place, label) of evenly spaced ticks: as many as fit, at Mondays or round hours."""
        hourly = self.length < timedelta(days=1)
        span = self.starts[-1] - self.starts[0]
        most = max(width // _LABEL_WIDTH - 1, 1)
        steps = [s for s in (_HOUR_STEPS if hourly else _DAY_STEPS) if s >= self.length]
        step = next((s for s in steps if span / s <= most), steps[-1])
        anchor = self.starts[0].replace(hour=0)
        anchor -= timedelta(days=anchor.weekday())
        chosen = [start for start in self.starts if not (start - anchor) % step]
        if hourly:
            return [(ms_of(start), _hour_label(start)) for start in chosen]
        years = span > timedelta(days=400)
        return [(ms_of(s + self.length / 2), formats.day_text(s.date(), year=years)) for s in chosen]


def _hour_label(start: datetime) -> str:
    return f"{start:%H:%M}" if start.hour else formats.day_text(start.date())
