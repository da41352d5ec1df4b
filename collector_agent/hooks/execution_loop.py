"""Recording any Python execution loop: `with collector.execution(...) as run:`, or a decorator.

What the robot raises goes on untouched; recording never raises anything of its own.
"""

import logging
import os
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from functools import wraps
from inspect import isasyncgenfunction, iscoroutinefunction, isgeneratorfunction
from types import TracebackType
from typing import Any, Final, ParamSpec, TypeVar, cast
from uuid import uuid4

from analytics_lib.records import ID_BYTES, NAME_BYTES
from collector_agent.metrics_collector import MetricsCollector
from collector_agent.recording.record_builder import end_not_before
from collector_agent.redaction import clean_name, text_of

P = ParamSpec("P")
R = TypeVar("R")
MAX_ATTRIBUTES: Final = 64
_log = logging.getLogger("rpa_agent")


class BusinessException(Exception):  # noqa: N818  # the field's own word, as in Robot Framework's RPA
    """The data was wrong, not the automation: raise it, or give your own class this flag."""

    rpa_exception_kind = "business"


def outcome_of(error: BaseException | None) -> dict[str, Any]:
    """status, exception_kind and message of a run or step that ended so."""
    if error is None or (isinstance(error, SystemExit) and not error.code):
        return {"status": "completed"}
    text = text_of(error)
    name = type(error).__name__
    message = f"{name}: {text}" if text else name
    # KeyboardInterrupt, SystemExit, GeneratorExit, asyncio.CancelledError; concurrent.futures has its own.
    if not isinstance(error, Exception) or name == "CancelledError":
        return {"status": "cancelled", "message": message}
    is_business = getattr(type(error), "rpa_exception_kind", "") == "business"
    kind = "business" if is_business else "application"
    return {"status": "failed", "exception_kind": kind, "message": message}


class _Clock:
    """When something began, and where its end lies by both clocks."""

    def __init__(self) -> None:
        self.started_at = datetime.now(UTC)
        self._started_ns = time.monotonic_ns()

    def end(self) -> dict[str, Any]:
        duration_ms = (time.monotonic_ns() - self._started_ns) / 1e6
        ended_at, skewed = end_not_before(self.started_at, datetime.now(UTC), duration_ms)
        times = {"started_at": self.started_at, "ended_at": ended_at, "duration_ms": duration_ms}
        return {**times, "clock_skewed": True} if skewed else times


class Step:
    """One step of a run, as a context manager; an exception that passes through marks it failed."""

    def __init__(self, run: "Run", step_id: str, fields: dict[str, Any]) -> None:
        self.step_id = step_id
        self.step_seq = 0
        self._run = run
        self._fields = fields
        self._times: _Clock | None = None

    def __enter__(self) -> "Step":
        try:
            self._fields |= self._run._open_step(self)
        except Exception as error:  # noqa: BLE001  # odd ids: the robot's step goes on, unrecorded
            _log.warning("a step is not recorded: %s", text_of(error))
            return self
        self._times = _Clock()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._times is None:
            return
        try:
            self._run._close_step(self, {**self._fields, **self._times.end(), **outcome_of(error)})
        except Exception as own:  # noqa: BLE001  # an error of ours must not take the place of the robot's
            _log.warning("a step is not recorded: %s", text_of(own))


class _Open(threading.local):
    """The steps that are open on this thread, outermost first."""

    def __init__(self) -> None:
        self.steps: list[Step] = []


class Run:
    """One execution while it runs: its id, its steps, its attributes."""

    def __init__(
        self,
        collector: MetricsCollector,
        workflow_id: str,
        execution_id: str,
        start_fields: dict[str, Any],
        end_fields: dict[str, Any],
        attributes: dict[str, str],
    ) -> None:
        self.workflow_id = workflow_id
        self.execution_id = execution_id
        self._collector = collector
        self._end_fields = end_fields
        self._attributes: dict[str, str] = {}
        self._process_id = os.getpid()
        self._counts = {"completed": 0, "failed": 0, "total": 0}
        self._lock = threading.RLock()  # a signal handler may set an attribute while its thread does
        self._open = _Open()
        for name, value in attributes.items():
            self.set_attribute(name, value)
        collector.record_execution_start(execution_id, workflow_id, **start_fields)
        self._dimensions = {name: value for name, value in start_fields.items() if name in _STEP_DIMENSIONS}

    def step(self, step_id: str, *, step_name: str = "", step_type: str = "", **fields: Any) -> Step:
        """`with run.step("open mailbox"):` — steps nest. `fields`: further ones of `record_step`."""
        return Step(self, step_id, {"step_name": step_name, "step_type": step_type, **fields})

    def set_attribute(self, name: object, value: object) -> None:
        """A searchable word about this run (at most 64 of them), shortened to fit. Not masked: no secrets."""
        key, word = clean_name(name, ID_BYTES) or "unnamed", clean_name(value, NAME_BYTES)
        if os.getpid() != self._process_id:
            return  # after a fork the end of the run is its parent's to record
        with self._lock:
            if key in self._attributes or len(self._attributes) < MAX_ATTRIBUTES:
                self._attributes[key] = word
                return
        _log.warning("a run keeps %d attributes: %r is left out", MAX_ATTRIBUTES, key)

    def finish(self, error: BaseException | None) -> None:
        """Records the end. In a forked child nothing: the run is its parent's."""
        if os.getpid() != self._process_id:
            return
        fields: dict[str, Any] = dict(self._end_fields)
        with self._lock:
            if self._counts["total"]:
                fields |= {f"steps_{name}": n for name, n in self._counts.items()}
            fields["attributes"] = dict(self._attributes)
        self._collector.record_execution_complete(
            self.execution_id, workflow_id=self.workflow_id, **{**fields, **outcome_of(error)}
        )

    def _open_step(self, step: Step) -> dict[str, Any]:
        step.step_seq = self._collector.next_step_seq(self.execution_id, self.workflow_id)
        around = self._open.steps
        place = {
            "step_seq": step.step_seq,
            "parent_step_seq": around[-1].step_seq if around else None,
            "depth": len(around),
            "_process_id": os.getpid(),
        }
        around.append(step)
        return place

    def _close_step(self, step: Step, fields: dict[str, Any]) -> None:
        if step in self._open.steps:
            self._open.steps.remove(step)  # not always the last: tasks of asyncio share a thread
        if fields.pop("_process_id") != os.getpid():
            return  # opened before a fork: it is the parent's
        if os.getpid() == self._process_id:
            with self._lock:
                self._counts["total"] += 1
                if fields["status"] in self._counts:
                    self._counts[fields["status"]] += 1
        self._collector.record_step(
            self.execution_id, step.step_id, **{**self._dimensions, "workflow_id": self.workflow_id, **fields}
        )


_STEP_DIMENSIONS: Final = ("workflow_version", "environment", "robot_id", "host", "queue", "source")


class _Entered(threading.local):
    def __init__(self) -> None:
        self.runs: list[Run] = []


class ExecutionLoop:
    """What `MetricsCollector.execution` gives: a context manager for one run, a decorator for many.

    Entered again, or called again as a decorated function, it begins another run; an execution_id
    that was given is used for the first only, because no two runs share one.
    """

    def __init__(
        self,
        collector: MetricsCollector,
        workflow_id: str,
        execution_id: str | None,
        start_fields: dict[str, Any],
        end_fields: dict[str, Any],
        attributes: dict[str, str],
    ) -> None:
        self._collector = collector
        self._workflow_id = workflow_id
        self._execution_id = execution_id
        self._start_fields = start_fields
        self._end_fields = end_fields
        self._attributes = attributes
        self._entered = _Entered()

    def __enter__(self) -> Run:
        execution_id, self._execution_id = self._execution_id or str(uuid4()), None
        run = Run(
            self._collector,
            self._workflow_id,
            execution_id,
            self._start_fields,
            self._end_fields,
            dict(self._attributes),
        )
        self._entered.runs.append(run)
        return run

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._entered.runs.pop().finish(error)

    def __call__(self, function: Callable[P, R]) -> Callable[P, R]:
        """Each call of the function is a run. Works for `async def`; not for generators."""
        if isgeneratorfunction(function) or isasyncgenfunction(function):
            raise TypeError(
                f"{text_of(function)} is a generator: its body runs only while somebody iterates, "
                "so write `with collector.execution(...)` inside of it"
            )
        if iscoroutinefunction(function):

            @wraps(function)
            async def run_awaited(*args: P.args, **kwargs: P.kwargs) -> Any:
                with self._another():
                    return await function(*args, **kwargs)

            return cast(Callable[P, R], run_awaited)

        @wraps(function)
        def run_called(*args: P.args, **kwargs: P.kwargs) -> R:
            with self._another():
                return function(*args, **kwargs)

        return run_called

    def _another(self) -> "ExecutionLoop":
        """Of its own, because calls of one coroutine function overlap on one thread."""
        execution_id, self._execution_id = self._execution_id, None
        return ExecutionLoop(
            self._collector,
            self._workflow_id,
            execution_id,
            self._start_fields,
            self._end_fields,
            self._attributes,
        )
