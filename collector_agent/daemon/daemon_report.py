"""What the daemon says of itself: in heartbeats to the store, and in its status beside itself."""

import os
import time
from collections import deque
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Final

from analytics_lib import __version__
from analytics_lib.records import NAME_BYTES, AgentHeartbeat
from analytics_lib.store.engine import describe
from collector_agent.daemon.status import DaemonStatus
from collector_agent.forwarder import ForwarderState
from collector_agent.machine.identity import Identity
from collector_agent.redaction import clean_name
from collector_agent.redaction.policy import Redaction
from collector_agent.settings import AgentSettings

COMPONENT: Final = "daemon"
_MINUTE_SEC: Final = 60.0


class DaemonReport:
    """`state`: of the forwarder. `refused`: how many of its own rows the daemon's spool did not take.

    `store_error` and `clock_offset_ms` are what the last heartbeat met with.
    """

    def __init__(
        self,
        settings: AgentSettings,
        identity: Identity,
        state: Callable[[], ForwarderState],
        refused: Callable[[], int],
        redaction: Redaction | None = None,
    ) -> None:
        self.store_error = ""
        self.clock_offset_ms: float | None = None
        self._settings = settings
        self._identity = identity
        self._state = state
        self._refused = refused
        self._store = describe(settings.store)
        redaction = redaction or settings.redaction()
        is_attended = redaction.is_attended(settings.environment)
        self._dimensions: dict[str, Any] = {
            "environment": settings.environment,
            "robot_id": redaction.person("robot_id", settings.robot_id, is_attended=is_attended),
            "host": redaction.person("host", settings.host),
            "queue": settings.queue,
        }
        self._started_at = datetime.now(UTC)
        self._error_since: datetime | None = None
        self._delivered_before = 0
        self._minute: deque[tuple[float, int]] = deque()  # (monotonic clock, rows delivered by then)

    def heartbeat(self, complete_to: datetime) -> AgentHeartbeat:
        """`complete_to`: every row that any process on this machine recorded before is delivered."""
        state = self._state()
        return AgentHeartbeat(
            agent_id=self._identity.agent_id,
            sent_at=max(datetime.now(UTC), complete_to),
            complete_to=complete_to,
            agent_version=__version__,
            rows_pending=state.rows_pending,
            rows_dropped=state.dropped + self._refused(),
            rows_quarantined=state.quarantined,
            problem=clean_name(state.last_error, NAME_BYTES),
            component=COMPONENT,
            rows_recorded=self._recorded(state),
            rows_delivered=state.delivered,
            spool_bytes=state.spool_bytes,
            oldest_undelivered_at=state.oldest_undelivered_at,
            clock_offset_ms=self.clock_offset_ms,
            **self._dimensions,
        )

    def status(self) -> DaemonStatus:
        state = self._state()
        error = state.last_error or self.store_error
        self._error_since = (self._error_since or datetime.now(UTC)) if error else None
        delivered_before, self._delivered_before = self._delivered_before, state.delivered
        return DaemonStatus(
            pid=os.getpid(),
            version=__version__,
            agent_id=self._identity.agent_id,
            cloned_from=self._identity.cloned_from,
            host=self._settings.host,
            started_at=self._started_at,
            written_at=datetime.now(UTC),
            store=self._store,
            store_error=error,
            store_error_since=state.failing_since or self._error_since,
            clock_offset_ms=self.clock_offset_ms,
            recording_mode="durable" if self._settings.is_durable else "memory",
            spool_folder=str(self._settings.spool),
            spool_bytes=state.spool_bytes,
            spool_max_bytes=self._settings.spool_max_bytes,
            sets=state.sets,
            undelivered=state.rows_pending,
            oldest_undelivered_at=state.oldest_undelivered_at,
            recorded=self._recorded(state),
            delivered=state.delivered,
            delivered_before=delivered_before,
            delivered_last_minute=self._last_minute(state.delivered),
            last_progress_at=state.last_progress_at,
            quarantined=state.quarantined,
            dropped=state.dropped + self._refused(),
            torn=state.torn,
        )

    def _recorded(self, state: ForwarderState) -> int:
        """Every row that was in the spool since the daemon started, each counted where it is now."""
        return state.delivered + state.quarantined + state.dropped + self._refused() + state.rows_pending

    def _last_minute(self, delivered: int) -> int:
        now_s = time.monotonic()
        self._minute.append((now_s, delivered))
        while len(self._minute) > 1 and self._minute[1][0] <= now_s - _MINUTE_SEC:
            self._minute.popleft()
        return delivered - (self._minute[0][1] if self._minute[0][0] <= now_s - _MINUTE_SEC else 0)
