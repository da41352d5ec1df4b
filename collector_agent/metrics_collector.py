"""MetricsCollector: the recording API. It never raises into the robot and never waits for the store."""

import math
import os
import socket
import time
import weakref
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final, Self
from uuid import uuid4

from analytics_lib.errors import SettingsError
from collector_agent.active_executions import ActiveExecutions, KnownExecution
from collector_agent.buffer import Buffer
from collector_agent.delivery import Delivery, StorageCallback
from collector_agent.heartbeats import Heartbeats
from collector_agent.record_builder import Item, RecordBuilder
from collector_agent.redaction import KEPT_CHARACTERS, clean_name, text_of

if TYPE_CHECKING:
    from collector_agent.hooks.execution_loop import ExecutionLoop

DIMENSIONS: Final = ("workflow_version", "environment", "robot_id", "host", "queue")
_INHERITED: Final = (*DIMENSIONS, "source", "queued_at", "parent_execution_id", "suite")


@dataclass(frozen=True, slots=True)
class Counters:
    """What became of the rows since the collector was made: recorded = delivered + dropped + pending."""

    recorded: int
    delivered: int  # quarantined rows are delivered too
    dropped: int  # the buffer was full
    quarantined: int  # not valid: kept aside with the reason
    failed_flushes: int
    last_error: str  # of the last attempt to deliver; '' when it worked
    pending: int


class MetricsCollector:
    """Records executions and steps, and delivers them in the background to `storage_callback`.

    `record_*` put an item into a bounded buffer and return; a thread builds the records and hands over
    a batch every `flush_interval_sec`, or as soon as `buffer_size` rows wait. The callback may raise:
    rows are kept and sent again, so each arrives at least once. Past `max_buffered_rows` the oldest
    are dropped and counted. A value that is not valid becomes a quarantined row with its reason and a
    line in the log "rpa_agent"; whatever is passed, nothing is raised into the robot.

    What is recorded before `start` waits for it; `flush` and `stop` work without it; what is left at
    the end of the process is flushed then. After a fork the child begins empty. Dimensions given here
    are carried by every record, unless the execution or the step is told otherwise.

    The constructor does raise (SettingsError): it is called when the robot is set up.
    """

    def __init__(
        self,
        storage_callback: StorageCallback,
        buffer_size: int = 1000,
        flush_interval_sec: float = 5.0,
        *,
        max_buffered_rows: int = 100_000,
        heartbeat_interval_sec: float = 30.0,
        workflow_version: str = "",
        environment: str = "",
        robot_id: str = "",
        host: str | None = None,
        queue: str = "",
        source: str = "live",
        agent_id: str | None = None,
        recorder_id: str | None = None,
    ) -> None:
        _check_settings(storage_callback, buffer_size, max_buffered_rows)
        _check_interval("flush_interval_sec", flush_interval_sec)
        _check_interval("heartbeat_interval_sec", heartbeat_interval_sec)
        given = (
            workflow_version,
            environment,
            robot_id,
            socket.gethostname() if host is None else host,
            queue,
        )
        self._dimensions = dict(zip(DIMENSIONS, given, strict=True))
        for name, value in {**self._dimensions, "source": source}.items():
            if not isinstance(value, str) or clean_name(value, 200) != value:
                raise SettingsError(f"{name} is {value!r}: give printable text of at most 200 bytes")
        self._source = source
        self._heartbeat_interval_s = heartbeat_interval_sec
        self._buffer: Buffer[Item] = Buffer(max_buffered_rows)
        self._builder = RecordBuilder(self._dimensions["host"])
        self._delivery = Delivery(
            storage_callback,
            self._buffer,
            self._builder,
            batch_rows=min(buffer_size, max_buffered_rows),
            interval_sec=min(flush_interval_sec, heartbeat_interval_sec),
        )
        self._agent_id = agent_id
        self._begin(agent_id or self._new_agent_id(), recorder_id or str(uuid4()))
        weakref.finalize(self, self._delivery.let_go).atexit = False  # the delivery has its own hook
        _collectors.add(self)

    def _begin(self, agent_id: str, recorder_id: str) -> None:
        self._recorder_id = recorder_id
        self._executions = ActiveExecutions()
        self._builder.quarantined = 0
        self._delivery.heartbeats = Heartbeats(
            agent_id,
            self._dimensions,
            self._executions,
            self._buffer,
            self._builder,
            self._heartbeat_interval_s,
        )

    def _new_agent_id(self) -> str:
        return clean_name(f"{self._dimensions['host'][:100]}/{os.getpid()}/{uuid4()}", 200)

    def _reset_after_fork(self) -> None:
        own = f"{self._agent_id[:150]}/{os.getpid()}" if self._agent_id else self._new_agent_id()
        self._begin(clean_name(own, 200), str(uuid4()))

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        """Begins to deliver in the background; started twice is started once."""
        self._delivery.start()

    def flush(self, timeout_sec: float = 10.0) -> bool:
        """Delivers now what was recorded so far; whether it arrived. Tries once."""
        return self._delivery.flush(timeout_sec)

    def stop(self, timeout_sec: float = 10.0) -> None:
        """Delivers what was recorded, trying again until the time is over, and ends the thread.

        What remains is said in the log and by `counters`.
        """
        self._delivery.stop(timeout_sec)

    @property
    def active_executions(self) -> dict[str, str]:
        """workflow_id by execution_id of what was started and has not ended: a copy."""
        with self._buffer.lock:
            return self._executions.workflow_by_execution()

    @property
    def counters(self) -> Counters:
        with self._buffer.lock:
            buffer = self._buffer
            return Counters(
                recorded=buffer.recorded,
                delivered=buffer.delivered,
                dropped=buffer.dropped,
                quarantined=self._builder.quarantined,
                failed_flushes=self._delivery.failed_flushes,
                last_error=self._delivery.last_error,
                pending=len(buffer),
            )

    def record_execution_start(
        self,
        execution_id: str,
        workflow_id: str,
        *,
        started_at: datetime | None = None,
        queued_at: datetime | None = None,
        parent_execution_id: str = "",
        suite: str = "",
        recorder_id: str | None = None,
        **dimensions: Any,
    ) -> None:
        """A run begins; it is active until its end is recorded. `dimensions`: those of the constructor."""
        fields = {
            "workflow_id": workflow_id,
            "started_at": started_at,
            "queued_at": queued_at,
            "parent_execution_id": parent_execution_id,
            "suite": suite,
            "recorder_id": recorder_id,
            **dimensions,
        }
        self._record("execution_start", execution_id, fields)

    def record_execution_complete(
        self,
        execution_id: str,
        *,
        status: str,
        steps_total: int | None = None,
        steps_completed: int | None = None,
        steps_failed: int | None = None,
        message: str = "",
        exception_kind: str = "",
        started_at: datetime | None = None,
        ended_at: datetime | None = None,
        duration_ms: float | None = None,
        attempt: int = 1,
        transaction_id: str = "",
        attributes: Mapping[str, str] | None = None,
        **further: Any,
    ) -> None:
        """A run ended. Without times given: now, with the duration by a monotonic clock since its start.

        `further`: any other field of ExecutionMetrics. For a run that was not started here pass
        workflow_id and its times.
        """
        fields = {
            "status": status,
            "steps_total": steps_total,
            "steps_completed": steps_completed,
            "steps_failed": steps_failed,
            "message": message,
            "exception_kind": exception_kind,
            "started_at": started_at,
            "ended_at": ended_at,
            "duration_ms": duration_ms,
            "attempt": attempt,
            "transaction_id": transaction_id,
            "attributes": attributes,
            **further,
        }
        self._record("execution", execution_id, fields)

    def record_step(
        self,
        execution_id: str,
        step_id: str,
        *,
        status: str,
        duration_ms: float | None,
        step_name: str = "",
        started_at: datetime | None = None,
        ended_at: datetime | None = None,
        step_seq: int | None = None,
        parent_step_seq: int | None = None,
        depth: int = 0,
        step_type: str = "",
        attempt: int = 1,
        retries: int = 0,
        message: str = "",
        exception_kind: str = "",
        transaction_id: str = "",
        recorder_id: str | None = None,
        **further: Any,
    ) -> None:
        """A step ended: now, unless a time is given. Without `step_seq` it is the execution's next one.

        `further`: any other field of StepMetrics. For an execution that was not started here pass
        workflow_id. `duration_ms` may be None where started_at says it.
        """
        fields = {
            "step_id": step_id,
            "status": status,
            "duration_ms": duration_ms,
            "step_name": step_name,
            "started_at": started_at,
            "ended_at": ended_at,
            "step_seq": step_seq,
            "parent_step_seq": parent_step_seq,
            "depth": depth,
            "step_type": step_type,
            "attempt": attempt,
            "retries": retries,
            "message": message,
            "exception_kind": exception_kind,
            "transaction_id": transaction_id,
            "recorder_id": recorder_id,
            **further,
        }
        self._record("step", execution_id, fields)

    def next_step_seq(self, execution_id: str, workflow_id: str) -> int:
        """Reserves the number of a step that begins now, for `record_step(step_seq=…)` at its end."""
        if not isinstance(execution_id, str):
            return 1  # refused too, when it is recorded
        try:
            with self._buffer.lock:
                known = self._executions.find(execution_id, workflow_id, lambda: self._inherited({}))
                if isinstance(known, str):
                    return 1  # whatever is recorded for it will be refused, with the reason
                known.next_step_seq += 1
                return known.next_step_seq - 1
        except Exception:  # noqa: BLE001  # as in _record, which will say so
            return 1

    def execution(
        self,
        workflow_id: str,
        *,
        execution_id: str | None = None,
        attempt: int = 1,
        transaction_id: str = "",
        attributes: Mapping[str, str] | None = None,
        **start_fields: Any,
    ) -> "ExecutionLoop":
        """`with collector.execution("invoice-intake") as run:`, or a decorator: one run each time.

        An exception marks the run failed and goes on untouched. `start_fields`: those of
        `record_execution_start`. See `collector_agent.hooks.execution_loop`.
        """
        from collector_agent.hooks.execution_loop import ExecutionLoop

        words = dict(attributes) if isinstance(attributes, Mapping) else {}
        end_fields = {"attempt": attempt, "transaction_id": transaction_id}
        return ExecutionLoop(self, workflow_id, execution_id, start_fields, end_fields, words)

    def _record(self, kind: str, execution_id: Any, fields: dict[str, Any]) -> None:
        """The whole cost to the robot: two clocks, a look-up and an append, under a lock held for those."""
        try:
            if message := fields.get("message"):
                # Its text as it is now, and no more of it than will be looked at.
                fields["message"] = text_of(message)[: 2 * KEPT_CHARACTERS]
            if isinstance(attributes := fields.get("attributes"), dict):
                fields["attributes"] = dict(attributes)  # the robot may go on filling its own
            with self._buffer.lock:
                wall_ns, mono_ns = time.time_ns(), time.monotonic_ns()
                self._buffer.append(self._item(kind, execution_id, fields, wall_ns, mono_ns))
        except Exception as error:  # noqa: BLE001  # a foreign object's __eq__, __hash__, __repr__: never the robot's problem
            reason = f"{type(error).__name__} while it was recorded: {text_of(error)}"
            item = (
                kind,
                reason,
                {"execution_id": execution_id, **fields},
                time.time_ns(),
                time.monotonic_ns(),
            )
            self._buffer.append(item)
        self._delivery.notice()

    def _item(self, kind: str, execution_id: Any, fields: dict[str, Any], wall_ns: int, mono_ns: int) -> Item:
        known: KnownExecution | str
        if not isinstance(execution_id, str):
            known = f"execution_id is {type(execution_id).__name__}, not text; pass a str"
        elif kind == "execution_start":
            known = self._executions.begin(self._started(execution_id, fields, wall_ns, mono_ns))
        else:
            known = self._executions.find(
                execution_id, fields.get("workflow_id"), lambda: self._inherited(fields)
            )
        if isinstance(known, str):
            return kind, known, {"execution_id": execution_id, **fields}, wall_ns, mono_ns
        if kind == "step":
            if fields["step_seq"] is None:
                fields["step_seq"] = known.next_step_seq
            if type(fields["step_seq"]) is int:
                known.next_step_seq = max(known.next_step_seq, fields["step_seq"] + 1)
        elif kind == "execution":
            wall_ns, mono_ns = self._executions.end(known, hash(repr(fields)), wall_ns, mono_ns)
        return kind, known, fields, wall_ns, mono_ns

    def _started(
        self, execution_id: str, fields: dict[str, Any], wall_ns: int, mono_ns: int
    ) -> KnownExecution:
        started_at = fields["started_at"]
        return KnownExecution(
            execution_id,
            fields["workflow_id"],
            self._recorder_id if fields["recorder_id"] is None else fields["recorder_id"],
            self._inherited(fields),
            started_at=started_at,
            started_ns=(wall_ns, mono_ns) if started_at is None else None,
        )

    def _inherited(self, fields: Mapping[str, Any]) -> dict[str, Any]:
        inherited = {**self._dimensions, "source": self._source}
        inherited.update({name: fields[name] for name in _INHERITED if fields.get(name) is not None})
        return inherited


def _check_settings(storage_callback: object, buffer_size: object, max_buffered_rows: object) -> None:
    if not callable(storage_callback):
        raise SettingsError(
            f"storage_callback is {type(storage_callback).__name__}: pass a function that takes a list of "
            "records, such as store.write_metrics"
        )
    for name, value in {"buffer_size": buffer_size, "max_buffered_rows": max_buffered_rows}.items():
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise SettingsError(f"{name} is {value!r}: give a whole number of rows, at least 1")


def _check_interval(name: str, value: object) -> None:
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if not is_number or not math.isfinite(value) or value <= 0:  # type: ignore[arg-type, operator]  # is_number says so
        raise SettingsError(f"{name} is {value!r}: give a number of seconds above 0")


_collectors: "weakref.WeakSet[MetricsCollector]" = weakref.WeakSet()


def _after_fork_in_child() -> None:  # after the deliveries' own hook: modules register in import order
    for collector in list(_collectors):
        collector._reset_after_fork()


if hasattr(os, "register_at_fork"):  # not on Windows, which does not fork
    os.register_at_fork(after_in_child=_after_fork_in_child)
