"""Waiting for somebody to end the process: SIGTERM, SIGINT or, on Windows, Ctrl-Break."""

import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from queue import Empty, SimpleQueue
from typing import Final

# On Windows a wait cannot be interrupted by a signal: look often enough.
_LONGEST_WAIT_SEC: Final = 1.0 if os.name == "nt" else 3600.0


@contextmanager
def stop_signals() -> Iterator[Callable[[float], int | None]]:
    """A function that waits for one of them, and gives its number or, after so many seconds, None.

    Once one came, a second one ends the process.
    """
    # A SimpleQueue, because a handler may interrupt the very wait that it ends.
    arrived: SimpleQueue[int] = SimpleQueue()
    numbers = [signal.SIGTERM, signal.SIGINT, *([signal.SIGBREAK] if hasattr(signal, "SIGBREAK") else [])]
    before = {number: signal.getsignal(number) for number in numbers}

    def restore() -> None:
        for number, handler in before.items():
            signal.signal(number, handler)

    def wait(seconds: float) -> int | None:
        until_s = time.monotonic() + seconds
        while True:
            left_s = until_s - time.monotonic()
            try:
                number = arrived.get(timeout=min(max(0.0, left_s), _LONGEST_WAIT_SEC))
            except Empty:
                if left_s <= _LONGEST_WAIT_SEC:
                    return None
            else:
                restore()
                return number

    for number in numbers:
        signal.signal(number, lambda received, _frame: arrived.put(received))
    try:
        yield wait
    finally:
        restore()
