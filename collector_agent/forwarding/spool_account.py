"""What stands in a spool folder, summed over its sets after each look; standard library only."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Final

from collector_agent.spool.reader import SetState

ROW_BYTES: Final = 300  # about: what is undelivered is counted in bytes
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_YEARS_AGO_US: Final = 315_532_800_000_000  # 1980, the earliest that a record takes: nothing is known yet
_COUNTED: Final = ("quarantined", "dropped", "torn", "missing")
_NAME_TIME: Final = "%Y%m%dT%H%M%S"  # a set's name begins with when it began


@dataclass(slots=True)
class Look:
    """One look at all sets. `began_at_us`: rows recorded from then on may have been missed."""

    began_at_us: int
    sets: int = 0
    bytes_undelivered: int = 0
    rows_pending: int = 0
    oldest_at_us: int | None = None
    complete_to_us: int = field(init=False)

    def __post_init__(self) -> None:
        self.complete_to_us = self.began_at_us

    @property
    def oldest_undelivered_at(self) -> datetime | None:
        return None if self.oldest_at_us is None else moment_of_us(self.oldest_at_us)


class SpoolAccount:
    """Adds up the looks, and counts what became of rows since it was made, each row once.

    A set's own counters run since the set began: of a set that was there before, only what is added
    counts.
    """

    def __init__(self, now: Callable[[], datetime]) -> None:
        self._now = now
        self._began = now().strftime(_NAME_TIME)
        self._seen: dict[str, dict[str, int]] = {}  # of each set, its counters as they were last
        self.counts: dict[str, int] = dict.fromkeys(_COUNTED, 0)
        self.look = Look(_YEARS_AGO_US)

    def begin(self) -> Look:
        """Before the sets are listed."""
        return Look((self._now() - _EPOCH) // timedelta(microseconds=1))

    def add(self, look: Look, name: str, state: SetState) -> None:
        """What a set says after it was read, or instead."""
        counters = {what: getattr(state.counters, what) for what in _COUNTED}
        is_new = name[: len(self._began)] > self._began
        before = self._seen.get(name) or (dict.fromkeys(_COUNTED, 0) if is_new else counters)
        for what, count in counters.items():
            self.counts[what] += max(0, count - before[what])
        self._seen[name] = counters
        look.sets += 1
        if not state.bytes_undelivered:
            return
        look.bytes_undelivered += state.bytes_undelivered
        look.rows_pending += -(-state.bytes_undelivered // ROW_BYTES)
        oldest_us = state.oldest_undelivered_at_us
        if oldest_us is None:  # it cannot be read just now
            self.add_unread(look, name)
        else:
            look.oldest_at_us = oldest_us if look.oldest_at_us is None else min(look.oldest_at_us, oldest_us)
            look.complete_to_us = min(look.complete_to_us, oldest_us)

    def add_unread(self, look: Look, name: str) -> None:
        """Nothing is known of what a set still holds: it may be as old as the set."""
        try:
            began = datetime.strptime(name[:15], _NAME_TIME).replace(tzinfo=UTC)
        except ValueError:
            return
        look.complete_to_us = min(look.complete_to_us, (began - _EPOCH) // timedelta(microseconds=1))

    def end(self, look: Look, names: set[str]) -> None:
        """All sets were looked at; others are gone."""
        self.look = look
        self._seen = {name: counters for name, counters in self._seen.items() if name in names}


def moment_of_us(moment_us: int) -> datetime:
    return _EPOCH + timedelta(microseconds=moment_us)


def utc_now() -> datetime:
    return datetime.fromtimestamp(time.time(), UTC)
