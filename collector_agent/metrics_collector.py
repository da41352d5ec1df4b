"""MetricsCollector: the recording API. It never raises into the robot and never waits for the store."""

import math
import os
import time
import weakref
from collections.abc import Callable, Mapping, Sized
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

from analytics_lib.errors import SettingsError
from collector_agent.machine.own_names import host_name, new_uuid
from collector_agent.recording.buffer import Buffer
from collector_agent.recording.cardinality import MAX_ATTRIBUTE_VALUES, MAX_STEPS, MAX_WORKFLOWS, Cardinality
from collector_agent.recording.delivery import Delivery, StorageCallback
from collector_agent.recording.heartbeats import Heartbeats
from collector_agent.recording.record_builder import Item, RecordBuilder
from collector_agent.recording.recorder import DIMENSIONS, Recorder
from collector_agent.redaction import clean_name, is_name
from collector_agent.redaction.policy import Redaction

if TYPE_CHECKING:
    from pathlib import Path
    from typing import Unpack

    from collector_agent.hooks.attached_loop import Attachment, ObservableLoop
    from collector_agent.hooks.execution_loop import ExecutionLoop
    from collector_agent.hooks.outcomes import BusinessClasses
    from collector_agent.hooks.runs import Run
    from collector_agent.recording.call_fields import EndFields, StartFields, StepFields
    from collector_agent.recording.journal import Journal
    from collector_agent.recording.spool_delivery import SpoolDelivery
    from collector_agent.recording.whole_steps import StepValues
    from collector_agent.spool.writer import SpoolLimits, SpoolWriter


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

    In memory (without `spool_folder`): `record_*` put an item into a bounded buffer and return; a thread
    builds the records and hands over a batch every `flush_interval_sec`, or as soon as `buffer_size`
    rows wait. The callback may raise: rows are kept and sent again, so each arrives at least once. Past
    `max_buffered_rows` the oldest are dropped and counted.

    Durably (with `spool_folder`): each record is in the spool before `record_*` returns, and safe from
    a power cut after the next flush. The daemon ships it; where none runs, this process does, if it has
    a `storage_callback`. Where no spool can be made, rows are recorded in memory, and that is reported.

    A value that is not valid becomes a quarantined row with its reason and a line in the log
    "rpa_agent"; whatever is passed, nothing is raised into the robot. What may be stored says `redaction`:
    attributes that are not on its list are dropped, texts are masked, persons left out. Above
    `max_workflows`, `max_steps` (a workflow) and `max_attribute_values` (an attribute) different ones go by
    the name `__overflow__`.

    What is recorded before `start` waits for it; `flush` and `stop` work without it; what is left at
    the end of the process is flushed then. After a fork the child begins empty. Dimensions given here
    are carried by every record, unless the execution or the step is told otherwise.

    The constructor does raise (SettingsError): it is called when the robot is set up.
    """

    def __init__(
        self,
        storage_callback: StorageCallback | None = None,
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
        spool_folder: "Path | str | None" = None,
        spool_limits: "SpoolLimits | None" = None,
        max_workflows: int = MAX_WORKFLOWS,
        max_steps: int = MAX_STEPS,
        max_attribute_values: int = MAX_ATTRIBUTE_VALUES,
        redaction: Redaction | None = None,
    ) -> None:
        _check_callback(storage_callback, spool_folder)
        _check_number("buffer_size", buffer_size)
        _check_number("max_buffered_rows", max_buffered_rows)
        _check_number("max_workflows", max_workflows)
        _check_number("max_steps", max_steps)
        _check_number("max_attribute_values", max_attribute_values)
        _check_interval("flush_interval_sec", flush_interval_sec)
        _check_interval("heartbeat_interval_sec", heartbeat_interval_sec)
        given = (
            workflow_version,
            environment,
            robot_id,
            host_name() if host is None else host,
            queue,
        )
        self._dimensions = dict(zip(DIMENSIONS, given, strict=True))
        for name, value in {**self._dimensions, "source": source}.items():
            if not is_name(value, 200):
                raise SettingsError(f"{name} is {value!r}: give printable text of at most 200 bytes")
        self._every_record_carries = {**self._dimensions, "source": source}
        self._redaction = redaction or Redaction()
        is_attended = self._redaction.is_attended(environment)
        self._dimensions = {
            name: self._redaction.text(name, value, is_attended=is_attended)
            for name, value in self._dimensions.items()
        }
        self._heartbeat_interval_s = heartbeat_interval_sec
        interval_s = min(flush_interval_sec, heartbeat_interval_sec)
        cardinality = Cardinality(max_workflows, max_steps, max_attribute_values)
        self._builder = RecordBuilder(self._dimensions["host"], cardinality, self._redaction)
        self._outlet: Buffer[Item] | Journal
        self._delivery: Delivery | SpoolDelivery
        durable = None
        if spool_folder is not None:
            from collector_agent.recording.durable import (
                durable_delivery,  # here: in memory nobody needs a spool
            )

            durable = durable_delivery(
                spool_folder,
                spool_limits,
                self._builder,
                storage_callback,
                host=self._dimensions["host"],
                interval_sec=interval_s,
            )
        if durable is not None:
            self._outlet, self._delivery = durable
        elif storage_callback is not None:
            self._outlet = buffer = Buffer[Item](max_buffered_rows)
            batch_rows = min(buffer_size, max_buffered_rows)
            self._delivery = Delivery(
                storage_callback, buffer, self._builder, batch_rows=batch_rows, interval_sec=interval_s
            )
        self._put: Callable[[Item], object] = self._outlet.put
        self._waiting: Sized = self._outlet.waiting
        self._agent_id = agent_id
        self._begin(agent_id or self._new_agent_id(), recorder_id or "")
        weakref.finalize(self, self._delivery.let_go).atexit = False  # the delivery has its own hook
        _collectors.add(self)

    def _begin(self, agent_id: str, recorder_id: str) -> None:
        self._recorder = Recorder(
            self._outlet, self._delivery, self._every_record_carries, self._redaction, recorder_id
        )
        executions = self._recorder.executions
        self._known = executions.known
        self._delivery.executions = executions
        self._delivery.heartbeats = Heartbeats(
            agent_id, self._dimensions, executions, self._builder, self._heartbeat_interval_s
        )

    def _new_agent_id(self) -> str:
        return clean_name(f"{self._dimensions['host'][:100]}/{os.getpid()}/{new_uuid()}", 200)

    def _reset_after_fork(self) -> None:
        self._builder.reset()
        self._redaction.reset()
        own = f"{self._agent_id[:150]}/{os.getpid()}" if self._agent_id else self._new_agent_id()
        self._begin(clean_name(own, 200), "")

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
    def spool(self) -> "SpoolWriter | None":
        """Where rows are recorded durably: others in this process may record there, too, until `stop`."""
        return None if isinstance(self._outlet, Buffer) else self._outlet.spool

    @property
    def active_executions(self) -> dict[str, str]:
        """workflow_id by execution_id of what was started and has not ended: a copy."""
        with self._outlet.lock:
            return self._recorder.executions.workflow_by_execution()

    @property
    def counters(self) -> Counters:
        with self._outlet.lock:
            counts = self._delivery.counts()
            return Counters(
                recorded=counts.recorded,
                delivered=counts.delivered,
                dropped=counts.dropped,
                quarantined=self._builder.quarantined,
                failed_flushes=self._delivery.failed_flushes,
                last_error=self._delivery.last_error,
                pending=counts.pending,
            )

    def record_execution_start(
        self, execution_id: str, workflow_id: str, **fields: "Unpack[StartFields]"
    ) -> None:
        """A run begins, now or at `started_at`; it is active until its end is recorded.

        Dimensions that are given here are carried by its steps and its end, too.
        """
        self._recorder.record("execution_start", execution_id, {"workflow_id": workflow_id, **fields})

    def record_execution_complete(
        self, execution_id: str, *, status: str, **fields: "Unpack[EndFields]"
    ) -> None:
        """A run ended. Without times given: now, with the duration by a monotonic clock since its start.

        For a run that was not started here pass workflow_id and its times.
        """
        self._recorder.record("execution", execution_id, {"status": status, **fields})

    def record_step(
        self,
        execution_id: str,
        step_id: str,
        *,
        status: str,
        duration_ms: float | None,
        message: str = "",
        **fields: "Unpack[StepFields]",
    ) -> None:
        """A step ended: now, unless a time is given. Without `step_seq` it is the execution's next one.

        For an execution that was not started here pass workflow_id. `duration_ms` may be None where
        started_at says it.
        """
        # What most steps say takes this short way: one clock, one number, one append, no lock.
        number = None
        try:
            if not fields and not message:
                known = self._known[execution_id]
                number = next(known.numbers.free)
        except Exception:  # noqa: BLE001  # not known, or no text at all: the recorder says what is wrong
            number = None
        if number is None:
            given = {"step_id": step_id, "status": status, "duration_ms": duration_ms, "message": message}
            self._recorder.record("step", execution_id, {**given, **fields})
            return
        self._put((known, time.time_ns(), number, step_id, status, duration_ms))
        if len(self._waiting) >= self._outlet.alarm_at:
            self._delivery.notice()

    def whole_steps(
        self, execution_id: str, workflow_id: str, values_of: "Callable[[Any], StepValues]"
    ) -> Callable[[Any], None]:
        """A function that records a step of a started execution, made by `values_of` from what it is given.

        For a hook that knows everything of its steps and numbers them itself; see recording/whole_steps.py.
        A quarter of what `record_step` costs the robot.
        """
        recorder, outlet, put, clock_ns = self._recorder, self._outlet, self._put, time.time_ns
        with outlet.lock:
            known = recorder.executions.find(execution_id, workflow_id, dict)
        if isinstance(known, str):
            raise ValueError(known)
        waiting = self._waiting
        put_whole = None if isinstance(outlet, Buffer) else outlet.put_whole

        def record(what: Any) -> None:
            if self._recorder is not recorder:
                return  # a forked child: the steps are its parent's
            if put_whole is not None and put_whole(known, values_of, what):
                return
            put((known, clock_ns(), values_of, what))
            if len(waiting) >= outlet.alarm_at:
                self._delivery.notice()

        return record

    def next_step_seq(self, execution_id: str, workflow_id: str) -> int:
        """Reserves the number of a step that begins now, for `record_step(step_seq=…)` at its end."""
        return self._recorder.next_step_seq(execution_id, workflow_id)

    def execution(
        self,
        workflow_id: str,
        *,
        execution_id: str | None = None,
        attempt: int | None = None,
        transaction_id: "str | Callable[..., object]" = "",
        attributes: Mapping[str, str] | None = None,
        parent: "Run | str | None" = None,
        retry_of: "Run | None" = None,
        business_exceptions: "BusinessClasses" = (),
        **start_fields: Any,
    ) -> "ExecutionLoop":
        """`with collector.execution("invoices") as run:`, `async with`, or a decorator: one run each time.

        An exception marks the run failed and goes on untouched. `transaction_id`: the work item, which a
        decorated function may tell from its call's arguments (a function of them); the same item again
        after it failed is its next `attempt`. `parent`: the run, or its execution_id, that this one belongs
        to; by default the one that is open around it, '' for none. `retry_of`: the run that this one tries
        again. `business_exceptions`: classes of others' exceptions that mean that the data was wrong.
        `start_fields`: those of `record_execution_start`. See `collector_agent.hooks.execution_loop`.
        """
        from collector_agent.hooks.execution_loop import ExecutionLoop, Plan

        words = dict(attributes) if isinstance(attributes, Mapping) else {}
        return ExecutionLoop(
            self,
            execution_id,
            Plan(
                workflow_id,
                start_fields,
                words,
                attempt,
                transaction_id,
                parent,
                retry_of,
                business_exceptions,
            ),
        )

    def attach(self, loop: "ObservableLoop") -> "Attachment":
        """Records what a loop tells its listeners, until `detach` of what this gives, a context manager.

        Raises TypeError for a loop that takes no listeners. See `collector_agent.hooks.attached_loop`.
        """
        from collector_agent.hooks.attached_loop import Attachment

        return Attachment(self, loop)

    @property
    def queue(self) -> str:
        """The queue that every record carries unless told otherwise."""
        return self._dimensions["queue"]


def _check_callback(storage_callback: object, spool_folder: object) -> None:
    if callable(storage_callback) or (storage_callback is None and spool_folder is not None):
        return
    raise SettingsError(
        f"storage_callback is {type(storage_callback).__name__}: pass a function that takes a list of "
        "records, such as store.write_metrics, or a spool_folder that a daemon ships"
    )


def _check_number(name: str, value: object) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise SettingsError(f"{name} is {value!r}: give a whole number, at least 1")


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
