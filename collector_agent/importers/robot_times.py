"""Times of Robot Framework's results as microseconds UTC, many of them quickly."""

from datetime import datetime, tzinfo
from typing import Final

from analytics_lib.windows import to_us
from collector_agent.robot_results import in_utc, parse_time

_KNOWN_SECONDS: Final = 10_000
_NEW_LENGTH: Final = len("2025-03-13T00:21:34.742556")
_OLD_LENGTH: Final = len("20250313 00:21:34.742")


class RobotTimes:
    """Reads times as written; those without an offset are of the zone, or of this machine's for None.

    A run's times share their seconds, and what a second is in UTC is asked of the zone only once.

    >>> from datetime import UTC
    >>> times = RobotTimes(UTC)
    >>> times.us("1970-01-01T00:00:01.000002"), times.us("19700101 00:00:02.003"), times.us("N/A")
    (1000002, 2003000, None)
    """

    def __init__(self, zone: tzinfo | None) -> None:
        self._zone = zone
        self._seconds: dict[str, int] = {}

    def us(self, text: str | None) -> int | None:
        """None where no time was written. Raises ValueError or OverflowError where it is none."""
        if not text:
            return None
        # Only these two forms are cut: whatever else is written goes the slow way, and fails there.
        if len(text) == _NEW_LENGTH and text[19] == ".":
            second, fraction, unit = text[:19], text[20:], 1
        elif len(text) == _OLD_LENGTH and text[17] == ".":
            second, fraction, unit = text[:17], text[18:], 1_000
        else:
            moment = parse_time(text)
            return None if moment is None else to_us(in_utc(moment, self._zone))
        if not fraction.isdecimal():
            raise ValueError(f"{text[:50]!r} is no time")
        known = self._seconds.get(second)
        return (self._second(second) if known is None else known) + int(fraction) * unit

    def _second(self, text: str) -> int:
        if len(self._seconds) >= _KNOWN_SECONDS:
            self._seconds.clear()
        second = self._seconds[text] = to_us(in_utc(datetime.fromisoformat(text), self._zone))
        return second
