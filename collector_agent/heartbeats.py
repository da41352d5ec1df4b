"""Signs of life of the agent and of every running execution, made when they can be delivered.

They never wait in the buffer: with the store away there would be nothing but old heartbeats in it.
"""

import contextlib
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from analytics_lib import __version__
from analytics_lib.errors import RecordError
from analytics_lib.records import NAME_BYTES, AgentHeartbeat, ExecutionHeartbeat, Record
from collector_agent.active_executions import ActiveExecutions, KnownExecution
from collector_agent.buffer import Buffer
from collector_agent.record_builder import Item, RecordBuilder, moment_of, plain
from collector_agent.redaction import clean_name

_DIMENSIONS: Final = ("workflow_version", "environment", "robot_id", "host", "queue")


@dataclass(frozen=True, slots=True)
class _Seen:
    """What was true under the lock."""

    now_s: float
    now: datetime
    alive: list[KnownExecution]
    complete_to: datetime | None  # None: the agent's own heartbeat is not due
    waiting: int
    dropped: int


class Heartbeats:
    """Which signs of life are due with the next delivery. Used by the delivery thread alone."""

    def __init__(
        self,
        agent_id: str,
        dimensions: dict[str, Any],
        executions: ActiveExecutions,
        buffer: Buffer[Item],
        builder: RecordBuilder,
        interval_sec: float,
    ) -> None:
        self._agent_id = agent_id
        self._dimensions = dimensions
        self._executions = executions
        self._buffer = buffer
        self._builder = builder
        self._interval_s = interval_sec
        self._agent_sign_s: float | None = None
        self._seen = _Seen(0.0, datetime.now(UTC), [], None, 0, 0)

    def look(self, limit: int, *, last: bool) -> None:
        """Sees what is due: at most `limit` executions, and the agent itself; `last` insists on that one.

        To be called with the buffer's lock held, right after a batch was taken: what waits now is not
        in that batch, and what was recorded before the oldest of it is delivered with this one.
        """
        now_s, now = time.monotonic(), datetime.now(UTC)
        alive = [known for known in self._executions.all() if self._is_due(known.last_sign_s, now_s)]
        oldest = self._buffer.oldest_waiting()
        self._seen = _Seen(
            now_s,
            now,
            [known for known in alive if known.has_heartbeat][:limit],
            (now if oldest is None else min(now, moment_of(oldest[3])))
            if last or self._is_due(self._agent_sign_s, now_s)
            else None,
            self._buffer.waiting,
            self._buffer.dropped,
        )

    def make(self, problem: str) -> list[Record]:
        """The records of what `look` saw."""
        seen = self._seen
        signs: list[Record] = []
        for known in seen.alive:
            try:
                signs.append(self._of_execution(known, seen.now))
            except Exception:  # noqa: BLE001  # its start is refused for the same reason, and said so
                known.has_heartbeat = False
        if seen.complete_to is not None:
            with contextlib.suppress(RecordError):  # a clock before 1980: the rows say so
                signs.append(self._of_agent(seen, seen.complete_to, problem))
        return signs

    def were_delivered(self) -> None:
        """What was made last has arrived; the next is due an interval later."""
        for known in self._seen.alive:
            known.last_sign_s = self._seen.now_s
        if self._seen.complete_to is not None:
            self._agent_sign_s = self._seen.now_s

    def _is_due(self, last_s: float | None, now_s: float) -> bool:
        return last_s is None or now_s - last_s >= self._interval_s

    def _of_execution(self, known: KnownExecution, now: datetime) -> ExecutionHeartbeat:
        dimensions = {name: plain(known.inherited[name]) for name in _DIMENSIONS}
        return ExecutionHeartbeat(
            execution_id=plain(known.execution_id),
            workflow_id=plain(known.workflow_id),
            sent_at=now,
            **dimensions,
        )

    def _of_agent(self, seen: _Seen, complete_to: datetime, problem: str) -> AgentHeartbeat:
        return AgentHeartbeat(
            agent_id=self._agent_id,
            sent_at=seen.now,
            complete_to=complete_to,
            agent_version=__version__,
            rows_pending=seen.waiting,
            rows_dropped=seen.dropped,
            rows_quarantined=self._builder.quarantined,
            problem=clean_name(problem or self._forgotten(), NAME_BYTES),
            **self._dimensions,
        )

    def _forgotten(self) -> str:
        n = self._executions.forgotten
        return f"{n} executions were started and never ended: they are no longer followed" if n else ""
