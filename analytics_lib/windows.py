"""Time: UTC microseconds inside, UTC hours and days as units of work, [start, end) windows.

>>> from datetime import datetime, timezone
>>> to_us(datetime(2026, 11, 23, 9, 30, tzinfo=timezone.utc))
1795426200000000
>>> from_us(hour_of(1795426200000000)).isoformat()
'2026-11-23T09:00:00+00:00'
"""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from analytics_lib.errors import QueryError

MICROSECOND = timedelta(microseconds=1)
SECOND_US = 1_000_000
HOUR_US = 3_600 * SECOND_US
DAY_US = 24 * HOUR_US
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def to_utc(moment: datetime) -> datetime:
    """The same moment in UTC; a naive datetime means this machine's local time."""
    return moment.astimezone(UTC)


def to_us(moment: datetime) -> int:
    """Microseconds since 1970-01-01 UTC, exact (floats of seconds are not); naive means local time."""
    return (to_utc(moment) - _EPOCH) // MICROSECOND


def from_us(moment_us: int) -> datetime:
    """The aware UTC datetime of microseconds since 1970-01-01 UTC."""
    return _EPOCH + timedelta(microseconds=moment_us)


def hour_of(moment_us: int) -> int:
    """The start of the UTC hour that contains the moment, in microseconds."""
    return moment_us - moment_us % HOUR_US


def day_of(moment_us: int) -> int:
    """The start of the UTC day that contains the moment, in microseconds."""
    return moment_us - moment_us % DAY_US


def next_hour(moment_us: int) -> int:
    """The first full UTC hour at or after the moment, in microseconds."""
    return -(-moment_us // HOUR_US) * HOUR_US


@dataclass(frozen=True, slots=True)
class Window:
    """The half-open period [start_us, end_us) in UTC microseconds."""

    start_us: int
    end_us: int

    def __post_init__(self) -> None:
        if self.end_us <= self.start_us:
            raise QueryError(
                f"the window ends ({from_us(self.end_us).isoformat()}) at or before it starts "
                f"({from_us(self.start_us).isoformat()}): swap them, or widen the window"
            )

    @classmethod
    def of(cls, start: datetime, end: datetime) -> "Window":
        """A window of two datetimes; naive ones mean local time. Raises QueryError when end <= start."""
        return cls(to_us(start), to_us(end))

    @property
    def start(self) -> datetime:
        return from_us(self.start_us)

    @property
    def end(self) -> datetime:
        return from_us(self.end_us)

    def previous(self) -> "Window":
        """The period of the same length that ends where this one starts."""
        return Window(self.start_us - (self.end_us - self.start_us), self.start_us)

    def hours(self) -> range:
        """The starts of the UTC hours that the window touches, in microseconds."""
        return range(hour_of(self.start_us), self.end_us, HOUR_US)
