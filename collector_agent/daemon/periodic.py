"""Something that is done every so many seconds, in a thread of its own that nothing else waits for."""

import logging
import threading
from collections.abc import Callable

from collector_agent.forwarding.sifting import reason_of

_log = logging.getLogger("rpa_agent")


class Periodic:
    """Does the work at once, then after each interval, and a last time when it is stopped.

    What the work raises is logged after the words `failed`, when it is not the same as the time before.
    """

    def __init__(self, name: str, work: Callable[[], object], interval_sec: float, failed: str) -> None:
        self._work = work
        self._interval_s = interval_sec
        self._failed = failed
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._said = ""

    def start(self) -> None:
        self._thread.start()

    def stop(self, timeout_sec: float) -> bool:
        """Whether the last time was over within the timeout. If not, it ends in the background."""
        self._stopping.set()
        if not self._thread.is_alive():
            return True
        self._thread.join(max(0.0, timeout_sec))
        return not self._thread.is_alive()

    def _run(self) -> None:
        while not self._stopping.is_set():
            self._do()
            self._stopping.wait(min(self._interval_s, threading.TIMEOUT_MAX))
        self._do()

    def _do(self) -> None:
        try:
            self._work()
        except Exception as error:  # noqa: BLE001  # the next time may go better
            reason = reason_of(error)
            if reason != self._said:
                _log.warning("%s: %s", self._failed, reason)
            self._said = reason
        else:
            self._said = ""
