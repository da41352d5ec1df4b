"""The daemon `rpa-agent run`: samples the machine, ships what its robots recorded, shows that it lives."""

import logging
import signal
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from analytics_lib import __version__
from analytics_lib.errors import RpaAnalyticsError
from collector_agent.daemon.daemon_report import COMPONENT, DaemonReport
from collector_agent.daemon.periodic import Periodic
from collector_agent.daemon.status import write_status
from collector_agent.daemon.stop_signals import stop_signals
from collector_agent.deferred_store import DeferredStore
from collector_agent.forwarder import Forwarder
from collector_agent.forwarding.sifting import reason_of
from collector_agent.machine.activity import Activity
from collector_agent.machine.daemon_lock import DaemonLock, daemon_is_running
from collector_agent.machine.identity import own_identity
from collector_agent.machine.locations import state_folder
from collector_agent.redaction.policy import Redaction
from collector_agent.resource_collector import ResourceCollector
from collector_agent.settings import AgentSettings
from collector_agent.spool.writer import SpoolWriter

if TYPE_CHECKING:
    from collector_agent.importers.uipath_follow import UiPathFollower

__all__ = ["Daemon", "daemon_is_running", "run_daemon"]

STOP_TIMEOUT_SEC: Final = 10.0
UIPATH_STATE: Final = "uipath.json"  # in the state folder: how far each log is read
_UPKEEP_SEC: Final = 1.0
_STATUS_SEC: Final = 2.0
_WAIT_SEC: Final = 3_600.0
_log = logging.getLogger("rpa_agent")


class Daemon:
    """What it samples is in its own set of the spool; it ships all sets, and speaks for the whole machine.

    Each part has a thread of its own, so that a database that hangs holds up neither samples nor the
    end. What it cannot deliver waits in the spool for the next daemon.
    """

    def __init__(self, settings: AgentSettings) -> None:
        self._settings = settings
        identity = own_identity()
        redaction = settings.redaction()
        self._store = DeferredStore(settings.store, COMPONENT)
        self._spool = SpoolWriter(
            settings.spool, limits=settings.spool_limits, agent_version=__version__, host=settings.host
        )
        self._collector = ResourceCollector(
            sample_interval_sec=settings.sample_interval_sec,
            idle_interval_sec=settings.idle_interval_sec,
            sample_host=settings.sample_resources,
            sample_process=False,
            environment=settings.environment,
            robot_id=settings.robot_id,
            host=settings.host,
            queue=settings.queue,
            agent_id=identity.agent_id,
            spool=self._spool,
            redaction=redaction,
        )
        self._forwarder = Forwarder(settings.spool, self._store.write_values)
        self._uipath = _uipath_follower(settings, redaction, self._store) if settings.uipath_logs else None
        self._report = DaemonReport(
            settings, identity, lambda: self._forwarder.state, lambda: self._spool.refused, redaction
        )
        self._activity = Activity()
        self._sync_due_s = self._status_due_s = 0.0
        self._upkeep = Periodic(
            "rpa-agent-upkeep", self._look_after, _UPKEEP_SEC, "the daemon's status is not up to date"
        )
        self._heart = Periodic(
            "rpa-agent-heartbeat",
            self._beat,
            settings.heartbeat_interval_sec,
            "a heartbeat was not stored",
        )

    def run(self, wait: Callable[[float], int | None]) -> int:
        """Until `wait(seconds)` gives a signal's number; gives that number after a last flush.

        The flush takes at most STOP_TIMEOUT_SEC: what is left then is in the spool.
        """
        self._forwarder.look()  # or the first heartbeat would know of no backlog
        self._collector.start()
        self._forwarder.start()
        if self._uipath is not None:
            self._uipath.start()
        self._upkeep.start()
        self._heart.start()
        try:
            while True:
                number = wait(_WAIT_SEC)
                if number is not None:
                    return number
        finally:
            self._stop(time.monotonic() + STOP_TIMEOUT_SEC)

    def _stop(self, until_s: float) -> None:
        """In the order in which rows flow: what each part hands on before it ends reaches the next."""
        self._collector.stop(_left_s(until_s) / 4)
        self._spool.close()
        self._status_due_s = 0.0
        parts = (self._forwarder, self._uipath, self._heart, self._upkeep)
        have_ended = [part.stop(_left_s(until_s)) for part in parts if part is not None]
        if all(have_ended):
            self._store.close()
        else:
            _log.warning("the store did not answer in time: rows wait in the spool")

    def _look_after(self) -> None:
        """Every second, and at the end: nothing in here waits for the database."""
        self._collector.set_busy(self._activity.any_execution_runs())
        self._store.rest_if_idle()
        now_s = time.monotonic()
        if now_s >= self._sync_due_s:
            self._sync_due_s = now_s + self._settings.flush_interval_sec
            self._spool.sync()
        if now_s >= self._status_due_s:
            self._status_due_s = now_s + _STATUS_SEC
            write_status(self._report.status())

    def _beat(self) -> None:
        """A heartbeat, tried once: the next one says more than this one kept."""
        complete_to = min(self._forwarder.state.complete_to, self._collector.complete_to())
        try:
            self._store.write_metrics([self._report.heartbeat(complete_to)])
            self._report.clock_offset_ms = self._store.clock_offset_ms()
        except RpaAnalyticsError as error:  # the store has said so
            self._report.store_error = reason_of(error)
            return
        except Exception as error:
            self._report.store_error = reason_of(error)
            raise
        self._report.store_error = ""


def _uipath_follower(settings: AgentSettings, redaction: Redaction, store: DeferredStore) -> "UiPathFollower":
    """The logs themselves are the queue: what the store does not take is read again."""
    from collector_agent.importers.uipath_follow import UiPathFollower
    from collector_agent.importers.uipath_values import UiPathOptions, failure_kinds

    options = UiPathOptions(
        environment=settings.environment,
        redaction=redaction,
        step_depth=settings.step_depth,
        kinds=failure_kinds(settings.business_exceptions, settings.business_patterns),
    )
    return UiPathFollower(
        settings.uipath_logs, state_folder() / UIPATH_STATE, store.write_values, options=options
    )


def run_daemon(settings: AgentSettings, say: Callable[[str], None]) -> int:
    """Runs until SIGTERM or SIGINT; gives the exit code. Raises RpaAnalyticsError where one runs already."""
    with DaemonLock(), stop_signals() as wait:
        what = (
            f"samples {settings.host} every {settings.sample_interval_sec:g} s while an execution runs, "
            f"else every {settings.idle_interval_sec:g} s"
            if settings.sample_resources
            else f"sends signs of life from {settings.host} (sample_resources is off)"
        )
        say(f"rpa-agent {__version__} {what}; it ships {settings.spool}; Ctrl-C or SIGTERM stops it")
        number = Daemon(settings).run(wait)
        say("rpa-agent has stopped")
    return 130 if number == signal.SIGINT else 0


def _left_s(until_s: float) -> float:
    return max(0.0, until_s - time.monotonic())
