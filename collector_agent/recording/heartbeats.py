"""Signs of life of the agent and of every running execution, made when they can be delivered.

They never wait in the buffer: with the store away there would be nothing but old heartbeats in it. In a
spool they have their place behind the rows that they speak of.
"""

import contextlib
import time
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple

from analytics_lib import __version__
from analytics_lib.errors import RecordError
from analytics_lib.records import NAME_BYTES, AgentHeartbeat, ExecutionHeartbeat, Record
from collector_agent.recording.active_executions import ActiveExecutions, KnownExecution
from collector_agent.recording.record_builder import RecordBuilder, moment_of, plain
from collector_agent.redaction import clean_name

_DIMENSIONS: Final = ("workflow_version", "environment", "robot_id", "host", "queue")


class Backlog(NamedTuple):
    """What became of the rows, as a heartbeat tells it."""

    recorded: int = 0
    dropped: int = 0
    pending: int = 0  # recorded, and neither with this heartbeat nor before it
    oldest_pending_ns: int | None = None  # by the wall clock
    spool_bytes: int = 0
    oldest_undelivered_at: datetime | None = None  # where no row is pending here, of what the spool holds


class _Seen(NamedTuple):
    """What was true under the lock."""

    now_s: float
    now: datetime
    alive: list[KnownExecution]
    is_agent_due: bool
    backlog: Backlog

    @property
    def oldest_pending_at(self) -> datetime | None:
        oldest_ns = self.backlog.oldest_pending_ns
        return None if oldest_ns is None else moment_of(oldest_ns)


class Heartbeats:
    """Which signs of life are due with the next delivery. Used by the delivery thread alone.

    A step that another thread is recording at this very moment may carry a time by the length of one
    switch of threads before a heartbeat's `complete_to`, and come after it: like any late row.
    """

    def __init__(
        self,
        agent_id: str,
        dimensions: dict[str, Any],
        executions: ActiveExecutions,
        builder: RecordBuilder,
        interval_sec: float,
    ) -> None:
        self._agent_id = agent_id
        self._dimensions = dimensions
        self._executions = executions
        self._builder = builder
        self._interval_s = interval_sec
        self._agent_sign_s: float | None = None
        self._seen = _Seen(0.0, datetime.now(UTC), [], False, Backlog())

    def look(self, limit: int, backlog: Backlog, *, last: bool) -> None:
        """Sees what is due: at most `limit` executions, and the agent itself; `last` insists on that one.

        To be called with the lock held, right after a batch was taken: what is pending now is not in that
        batch, and what was recorded before the oldest of it is delivered with this one.
        """
        now_s, now = time.monotonic(), datetime.now(UTC)
        alive = [known for known in self._executions.all() if self._is_due(known.last_sign_s, now_s)]
        self._seen = _Seen(
            now_s,
            now,
            [known for known in alive if known.has_heartbeat][:limit],
            last or self._is_due(self._agent_sign_s, now_s),
            backlog,
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
        if seen.is_agent_due:
            with contextlib.suppress(RecordError):  # a clock before 1980: the rows say so
                signs.append(self._of_agent(seen, problem))
        return signs

    def were_delivered(self) -> None:
        """What was made last has arrived; the next is due an interval later."""
        for known in self._seen.alive:
            known.last_sign_s = self._seen.now_s
        if self._seen.is_agent_due:
            self._agent_sign_s = self._seen.now_s

    def _is_due(self, last_s: float | None, now_s: float) -> bool:
        return last_s is None or now_s - last_s >= self._interval_s

    def _of_execution(self, known: KnownExecution, now: datetime) -> ExecutionHeartbeat:
        dimensions = {name: plain(known.inherited[name]) for name in _DIMENSIONS}
        return ExecutionHeartbeat(
            execution_id=self._builder.execution_of(known),
            workflow_id=self._builder.workflow_of(known),
            sent_at=now,
            **dimensions,
        )

    def _of_agent(self, seen: _Seen, problem: str) -> AgentHeartbeat:
        backlog, oldest_at = seen.backlog, seen.oldest_pending_at
        return AgentHeartbeat(
            agent_id=self._agent_id,
            sent_at=seen.now,
            complete_to=seen.now if oldest_at is None else min(seen.now, oldest_at),
            agent_version=__version__,
            rows_pending=backlog.pending,
            rows_dropped=backlog.dropped,
            rows_quarantined=self._builder.quarantined,
            problem=clean_name("; ".join(filter(None, (problem, *self._limits()))), NAME_BYTES),
            component="collector",
            rows_recorded=backlog.recorded,
            rows_delivered=backlog.recorded - backlog.dropped - backlog.pending,
            spool_bytes=backlog.spool_bytes,
            oldest_undelivered_at=oldest_at or backlog.oldest_undelivered_at,
            **self._dimensions,
        )

    def _limits(self) -> tuple[str, str, str]:
        n = self._executions.forgotten
        forgotten = f"{n} executions were started and never ended: they are no longer followed" if n else ""
        return forgotten, self._builder.cardinality.problem(), self._builder.redaction.problem()
