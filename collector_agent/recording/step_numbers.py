"""The numbers of one execution's steps: the next one without a lock, until somebody brings numbers along."""

from collections.abc import Iterator
from itertools import count, repeat
from typing import Final

_ASK: Final[Iterator[None]] = repeat(None)  # no number: it is to be taken under the lock


class StepNumbers:
    """1, 2, 3 … and none of them twice, whoever asks: other threads, or a signal handler in between.

    `next(numbers.free)` needs no lock: no other code runs between that look-up and that call into C.
    As soon as a step brings a number of its own that is ahead, it gives None, for good, and `take` goes
    on behind that number. The methods are called with the lock held (a re-entrant one, so that a
    signal handler may still come in between two calls, but not between two lines without one).
    """

    __slots__ = ("_counted", "_following", "_reserved", "free")

    def __init__(self) -> None:
        self._counted = count(1)
        self._following = 0  # the next number; 0 as long as `free` counts
        self._reserved = 1  # what is below was handed out by `reserve`: it says nothing new
        self.free: Iterator[int | None] = self._counted

    def take(self) -> int:
        """The next number."""
        number = next(self.free)
        if number is None:
            number = self._following
            self._following = number + 1
        return number

    def reserve(self) -> int:
        """The next number, for a step that comes with it when it ends."""
        number = self.take()
        if number >= self._reserved:
            self._reserved = number + 1
        return number

    def bring(self, number: int) -> None:
        """A step came with a number of its own: the next ones go on behind the highest."""
        if number >= self._reserved:
            self.close()
            if number >= self._following:
                self._following = number + 1

    def close(self) -> None:
        """From now on every number is taken under the lock."""
        if not self._following:
            self.free = _ASK
            following = next(self._counted)
            if not self._following:  # else a signal handler has come this way meanwhile, and gone on
                self._following = following
