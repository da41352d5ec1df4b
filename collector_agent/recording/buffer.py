"""A bounded queue of what was recorded and not yet delivered: nothing leaves before it is acknowledged."""

import threading
from collections import deque
from typing import Generic, TypeVar

T = TypeVar("T")


class Buffer(Generic[T]):
    """First in, first out, at most `max_rows`; when it is full the oldest row not in flight is dropped.

    `take` marks a batch as in flight and shows it; only `acknowledge` removes it, so that a batch
    whose delivery failed is shown again, first and in the same order. A row is lost only by an
    overflow, and then it is counted.

    A row is put in without a lock, by one call into C: `put(row)`. Whoever does so compares `len(waiting)`
    with `alarm_at` right after it, and where there are so many, calls `drop_overflow` (or what calls it).

    `lock` is for everything else. It is re-entrant, because a signal handler, a destructor or a logging
    handler may record while its own thread is recording; it is held for a few lines and never while
    anything is delivered.
    """

    def __init__(self, max_rows: int) -> None:
        self.max_rows = max_rows
        self.waiting: deque[T] = deque()  # what is not in flight
        self.put = self.waiting.append
        self.reset()

    def reset(self) -> None:
        """Empty, with counters at zero and a lock that nobody holds: what a forked child begins with."""
        self.lock = threading.RLock()
        self.delivered = 0
        self.dropped = 0
        self._in_flight: deque[T] = deque()
        self.waiting.clear()  # the same object: `put` is known to others
        self._next_notice = 1
        self.ring_at(self.max_rows)

    def __len__(self) -> int:
        return len(self._in_flight) + len(self.waiting)

    @property
    def in_flight(self) -> int:
        return len(self._in_flight)

    @property
    def recorded(self) -> int:
        """How many rows were put in, ever: somebody may put in more at any moment."""
        return self.delivered + self.dropped + len(self)

    def append(self, row: T) -> None:
        """Puts a row in and keeps the bound."""
        self.put(row)
        if len(self.waiting) >= self.alarm_at:
            self.drop_overflow()

    def ring_at(self, rows: int) -> None:
        """From so many waiting rows on somebody wants to know; past the bound it is always so."""
        with self.lock:
            self._ring_at = rows
            self._set_alarm()

    def drop_overflow(self) -> None:
        """Drops the oldest row that is not in flight until the bound is kept."""
        with self.lock:
            # `while`: other threads, or what a row's own destructor records, may have put in more.
            while self.waiting and len(self) > self.max_rows:
                # With everything else in flight this is the new row itself.
                self.waiting.popleft()
                self.dropped += 1

    def take(self, n: int) -> list[T]:
        """The next batch of at most `n`: what is in flight already, topped up with what waits longest."""
        with self.lock:
            while self.waiting and len(self._in_flight) < n:
                self._in_flight.append(self.waiting.popleft())
            self._set_alarm()
            return list(self._in_flight)[:n]

    def acknowledge(self, n: int) -> None:
        """The first `n` rows in flight are in safe hands and leave the buffer."""
        with self.lock:
            for _ in range(min(n, len(self._in_flight))):
                self._in_flight.popleft()
                self.delivered += 1
            self._set_alarm()

    def oldest_waiting(self) -> T | None:
        """The first row that is not in flight."""
        with self.lock:
            return self.waiting[0] if self.waiting else None

    def has_settled(self, recorded: int) -> bool:
        """Whether the first `recorded` rows ever put in were all delivered or dropped."""
        with self.lock:
            return not self._in_flight and self.delivered + self.dropped >= recorded

    def drop_notice(self) -> int | None:
        """How many were dropped, when it is time to say so: at the first, then at each power of ten."""
        with self.lock:
            if self.dropped < self._next_notice:
                return None
            while self._next_notice <= self.dropped:
                self._next_notice *= 10
            return self.dropped

    def _set_alarm(self) -> None:
        self.alarm_at = min(self._ring_at, self.max_rows - len(self._in_flight) + 1)
