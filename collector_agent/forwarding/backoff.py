"""How long to wait before a store that failed is tried again; standard library only."""

import random
from collections.abc import Callable
from typing import Final

SHORTEST_SEC: Final = 1.0
LONGEST_SEC: Final = 60.0


class Backoff:
    """Doubles from one failure to the next, up to a minute, each time by chance half of that or more.

    Chance, because a hundred robots that lost their database at one moment must not return at one
    moment. `chance` gives a number from 0 to 1 (tests bring their own).

    >>> backoff = Backoff(lambda: 1.0)
    >>> [backoff.after_failure() for _ in range(7)]
    [2.0, 4.0, 8.0, 16.0, 32.0, 60.0, 60.0]
    >>> backoff.reset()
    >>> Backoff(lambda: 0.0).after_failure(), backoff.after_failure()
    (1.0, 2.0)
    """

    def __init__(self, chance: Callable[[], float] = random.random) -> None:
        self._chance = chance
        self.failures = 0

    def after_failure(self) -> float:
        """Seconds to wait now."""
        self.failures += 1
        longest_s = min(2 * SHORTEST_SEC * 2.0 ** min(self.failures - 1, 30), LONGEST_SEC)
        return longest_s * (0.5 + 0.5 * self._chance())

    def reset(self) -> None:
        self.failures = 0
