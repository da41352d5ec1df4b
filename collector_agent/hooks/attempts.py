"""Which attempt at a work item this is: the same item again, after it failed, is the next one."""

from collections.abc import Hashable
from contextlib import suppress
from typing import Final

_MAX_FAILED: Final = 10_000


class Attempts:
    """Remembers the items that failed, the latest of very many; one that is done begins anew.

    Without a lock, because a forked child must not wait for one: threads that fail on the same item at
    the same time may count it once.
    """

    def __init__(self) -> None:
        self._failed: dict[Hashable, int] = {}  # the last attempt

    def next(self, item: Hashable) -> int:
        """The number of the attempt that begins now."""
        return self._failed.get(item, 0) + 1

    def ended(self, item: Hashable, attempt: int, status: str) -> None:
        self._failed.pop(item, None)
        if status == "completed":
            return
        self._failed[item] = attempt
        if len(self._failed) > _MAX_FAILED:
            with suppress(RuntimeError, KeyError):  # another thread is at it, too
                del self._failed[next(iter(self._failed))]
