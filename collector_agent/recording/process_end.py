"""What has to happen when the process ends, and in a child that it forks, for whoever delivers in it."""

import atexit
import os
import sys
import time
import weakref
from typing import Final, Protocol

EXIT_TIMEOUT_SEC: Final = 2.0  # what the end of the process may take because of us, all together


class Delivers(Protocol):
    def reset_after_fork(self) -> None: ...

    def end_with_the_process(self, timeout_sec: float) -> None: ...


_all: "weakref.WeakSet[Delivers]" = weakref.WeakSet()
_orphans: set[Delivers] = set()
_exit_deadline_s: float | None = None


def remember(delivers: Delivers) -> None:
    """To be told of forks, and of the process's end if it is still there."""
    _all.add(delivers)


def keep_until_the_end(delivers: Delivers) -> None:
    """Nobody else refers to it any more, and it has something left to deliver."""
    _orphans.add(delivers)


def exit_time_left_s() -> float:
    """What is left of the time that the end of the process may take because of us: a moment at least."""
    global _exit_deadline_s
    if _exit_deadline_s is None:
        _exit_deadline_s = time.monotonic() + EXIT_TIMEOUT_SEC
    return max(0.1, _exit_deadline_s - time.monotonic())


@atexit.register
def end_all() -> None:
    """What is still in memory when the process ends gets one more chance."""
    for delivers in {*_all, *_orphans}:
        delivers.end_with_the_process(exit_time_left_s())


def end_all_in_a_worker_process() -> None:
    """A process of `multiprocessing` that was forked ends without atexit; it has hooks of its own."""
    multiprocessing_util = sys.modules.get("multiprocessing.util")
    parent = getattr(sys.modules.get("multiprocessing.process"), "parent_process", lambda: None)()
    if multiprocessing_util is not None and parent is not None:
        multiprocessing_util.Finalize(None, end_all, exitpriority=0)


def _after_fork_in_child() -> None:
    global _exit_deadline_s
    _exit_deadline_s = None
    _orphans.clear()
    for delivers in list(_all):
        delivers.reset_after_fork()


if hasattr(os, "register_at_fork"):  # not on Windows, which does not fork
    os.register_at_fork(after_in_child=_after_fork_in_child)
