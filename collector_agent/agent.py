"""The daemon `rpa-agent run`: samples the machine once for all robots on it, and says that it lives."""

import logging
import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from queue import Empty, SimpleQueue
from typing import Any, Final

from analytics_lib import __version__
from analytics_lib.errors import RpaAnalyticsError
from analytics_lib.records import NAME_BYTES, AgentHeartbeat
from collector_agent.daemon_lock import DaemonLock, daemon_is_running
from collector_agent.deferred_store import DeferredStore
from collector_agent.redaction import clean_message, clean_name
from collector_agent.resource_collector import ResourceCollector
from collector_agent.settings import AgentSettings

__all__ = ["Daemon", "daemon_is_running", "run_daemon"]

COMPONENT: Final = "daemon"
# On Windows a wait cannot be interrupted by a signal: look often enough.
_LONGEST_WAIT_SEC: Final = 1.0 if os.name == "nt" else 3600.0
_log = logging.getLogger("rpa_agent")


class Daemon:
    """Samples the host at `sample_interval_sec` and sends a heartbeat every `heartbeat_interval_sec`.

    It knows of no executions, so it does not slow down when none runs. A database that is down is tried
    again at growing intervals, up to one a minute, and reported for `rpa-agent check`.
    """

    def __init__(self, settings: AgentSettings) -> None:
        self._settings = settings
        self._store = DeferredStore(settings.store, COMPONENT)
        self._dimensions: dict[str, Any] = {
            "environment": settings.environment,
            "robot_id": settings.robot_id,
            "host": settings.host,
            "queue": settings.queue,
        }
        self._collector = ResourceCollector(
            self._store.write_metrics,
            settings.sample_interval_sec,
            idle_interval_sec=settings.sample_interval_sec,
            sample_host=settings.sample_resources,
            sample_process=False,
            **self._dimensions,
        )

    def run(self, wait: Callable[[float], int | None]) -> int:
        """Until `wait(seconds)` gives a signal's number; gives that number after a last flush."""
        self._collector.start()
        due_s = time.monotonic()
        try:
            while True:
                if time.monotonic() >= due_s:
                    self._send_heartbeat()
                    due_s = time.monotonic() + self._settings.heartbeat_interval_sec
                number = wait(max(0.0, due_s - time.monotonic()))
                if number is not None:
                    return number
        finally:
            self._collector.stop()
            self._send_heartbeat()
            self._store.close()

    def _send_heartbeat(self) -> None:
        """Tried once: the next one says more than this one kept."""
        try:
            self._store.write_metrics([self._heartbeat()])
        except RpaAnalyticsError as error:  # the store has reported it
            _log.debug("a heartbeat was not stored: %s", error)
        except Exception as error:  # noqa: BLE001  # a driver's surprise must not end the daemon
            _log.warning("a heartbeat was not stored: %s: %s", type(error).__name__, clean_message(error))

    def _heartbeat(self) -> AgentHeartbeat:
        complete_to = self._collector.complete_to()
        counters = self._collector.counters
        return AgentHeartbeat(
            agent_id=self._collector.agent_id,
            sent_at=max(datetime.now(UTC), complete_to),
            complete_to=complete_to,
            agent_version=__version__,
            rows_pending=counters.pending,
            rows_dropped=counters.dropped,
            rows_quarantined=counters.quarantined,
            problem=clean_name(counters.last_error, NAME_BYTES),
            **self._dimensions,
        )


def run_daemon(settings: AgentSettings, say: Callable[[str], None]) -> int:
    """Runs until SIGTERM or SIGINT; gives the exit code. Raises RpaAnalyticsError where one runs already."""
    with DaemonLock(), _signals() as wait:
        what = (
            f"samples {settings.host} every {settings.sample_interval_sec:g} s"
            if settings.sample_resources
            else f"sends signs of life from {settings.host} (sample_resources is off)"
        )
        say(f"rpa-agent {__version__} {what}; Ctrl-C or SIGTERM stops it")
        number = Daemon(settings).run(wait)
        say("rpa-agent has stopped")
    return 130 if number == signal.SIGINT else 0


@contextmanager
def _signals() -> Iterator[Callable[[float], int | None]]:
    """A function that waits for SIGTERM or SIGINT; once one came, a second one ends the process."""
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
