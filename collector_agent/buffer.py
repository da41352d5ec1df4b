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

    `lock` is re-entrant, because a signal handler, a destructor or a logging handler may record while
    its own thread is recording. It is held for a few lines and never while anything is delivered.
    """

    def __init__(self, max_rows: int) -> None:
        self.max_rows = max_rows
        self.reset()

    def reset(self) -> None:
        """Empty, with counters at zero and a lock that nobody holds: what a forked child begins with."""
        self.lock = threading.RLock()
        self.recorded = 0
        self.delivered = 0
        self.dropped = 0
        self._in_flight: deque[T] = deque()
        self._waiting: deque[T] = deque()
        self._next_notice = 1

    def __len__(self) -> int:
        return len(self._in_flight) + len(self._waiting)

    @property
    def waiting(self) -> int:
        """How many rows are not in flight."""
        return len(self._waiting)

    def append(self, row: T) -> None:
        with self.lock:
            self.recorded += 1
            self._waiting.append(row)
            # `while`: an append that came in between on the same thread may have left one too many.
            while self._waiting and len(self._in_flight) + len(self._waiting) > self.max_rows:
                # With everything else in flight this is the new row itself.
                self._waiting.popleft()
                self.dropped += 1

    def take(self, n: int) -> list[T]:
        """The next batch of at most `n`: what is in flight already, topped up with what waits longest."""
        with self.lock:
            while self._waiting and len(self._in_flight) < n:
                self._in_flight.append(self._waiting.popleft())
            return list(self._in_flight)[:n]

    def acknowledge(self, n: int) -> None:
        """The first `n` rows in flight are in safe hands and leave the buffer."""
        with self.lock:
            for _ in range(min(n, len(self._in_flight))):
                self._in_flight.popleft()
                self.delivered += 1

    def oldest_waiting(self) -> T | None:
        """The first row that is not in flight."""
        with self.lock:
            return self._waiting[0] if self._waiting else None

    def has_settled(self, recorded: int) -> bool:
        """Whether the first `recorded` rows ever appended were all delivered or dropped."""
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
