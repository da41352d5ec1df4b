"""The thread that takes samples: when one is due, when it is rung for, and once more at the end."""

import contextlib
import threading
import time
from collections.abc import Callable
from queue import Empty, SimpleQueue

from collector_agent.recording.background import waitable_sec

Turn = Callable[[float, bool], float]  # (when a sample is due, whether it is the last) -> when the next is


class SamplingThread(threading.Thread):
    """Takes a turn at once, when it is due and when the bell rings, and a last one when told to finish."""

    def __init__(self, turn: Turn) -> None:
        super().__init__(name="rpa-agent-sampling", daemon=True)
        # A SimpleQueue, because a signal handler may ring while its own thread is ringing.
        self.bell: SimpleQueue[None] = SimpleQueue()
        self._turn = turn
        self._finishing = False

    def run(self) -> None:
        due_s = self._turn(0.0, False)
        while not self._finishing:
            with contextlib.suppress(Empty):  # nobody rang: a sample is due
                self.bell.get(timeout=waitable_sec(due_s - time.monotonic()))
            if not self._finishing:
                due_s = self._turn(due_s, False)
        self._turn(0.0, True)

    def finish(self, timeout_sec: float) -> bool:
        """Whether the last turn was taken within the time."""
        self._finishing = True
        self.bell.put(None)
        if self is not threading.current_thread():
            self.join(waitable_sec(timeout_sec))
        return not self.is_alive()
