"""Recording any Python execution loop: `with collector.execution(...) as run:`, or a decorator.

What the robot raises goes on untouched; recording never raises anything of its own.
"""

import logging
from collections.abc import Callable
from types import TracebackType
from typing import TYPE_CHECKING, Any, NamedTuple, ParamSpec, TypeVar

from analytics_lib.records import ID_BYTES
from collector_agent.hooks.attempts import Attempts
from collector_agent.hooks.decorating import each_call
from collector_agent.hooks.outcomes import BusinessClasses
from collector_agent.hooks.places import innermost
from collector_agent.hooks.runs import Run
from collector_agent.hooks.steps import current_run
from collector_agent.machine.own_names import new_uuid
from collector_agent.redaction import clean_name, text_of

if TYPE_CHECKING:
    from collector_agent.metrics_collector import MetricsCollector

P = ParamSpec("P")
R = TypeVar("R")
_log = logging.getLogger("rpa_agent")


class Plan(NamedTuple):
    """What every run of a loop has in common."""

    workflow_id: str
    start_fields: dict[str, Any]
    attributes: dict[str, str]
    attempt: int | None = None  # counted
    transaction_id: object = ""
    parent: object = None
    retry_of: object = None
    business_exceptions: BusinessClasses = ()


class ExecutionLoop:
    """What `MetricsCollector.execution` gives: a context manager for one run, a decorator for many.

    Entered again, or called again as a decorated function, it begins another run; an execution_id
    that was given is used for the first only, because no two runs share one.
    """

    def __init__(self, collector: "MetricsCollector", execution_id: str | None, plan: Plan) -> None:
        self._collector = collector
        self._execution_id = execution_id
        self._plan = plan
        self._attempts = Attempts()
        self._open: list[Run] = []

    def __enter__(self) -> Run:
        return self._begin((), {})

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        run = self._open_here()
        if run is not None:
            self._end(run, error)

    async def __aenter__(self) -> Run:
        return self.__enter__()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.__exit__(kind, error, trace)

    def __call__(self, function: Callable[P, R]) -> Callable[P, R]:
        """Each call of the function is a run. Works for `async def`; not for generators."""
        return each_call(function, lambda args, kwargs: _Call(self, args, kwargs), "collector.execution(...)")

    def _begin(self, args: Any, kwargs: Any) -> Run:
        execution_id, self._execution_id = self._execution_id or new_uuid(), None
        plan = self._plan
        earlier = plan.retry_of if isinstance(plan.retry_of, Run) else None
        transaction_id = _transaction_of(plan.transaction_id, args, kwargs)
        if not transaction_id and earlier is not None:
            transaction_id = earlier.transaction_id
        attempt = plan.attempt
        if attempt is None and earlier is not None:
            attempt = earlier.attempt + 1 if isinstance(earlier.attempt, int) else None
        if attempt is None:
            attempt = self._attempts.next(transaction_id) if transaction_id else 1
        start_fields = dict(plan.start_fields)
        if parent := _parent_of(plan.parent):
            start_fields.setdefault("parent_execution_id", parent)
        run = Run(
            self._collector,
            plan.workflow_id,
            execution_id,
            start_fields,
            {"attempt": attempt, "transaction_id": transaction_id},
            dict(plan.attributes),
            plan.business_exceptions,
        )
        run.opened_by = self
        run.open_here()
        self._open.append(run)
        return run

    def _end(self, run: Run, error: BaseException | None) -> None:
        if run in self._open:
            self._open.remove(run)
        status = run.finish(error)
        if status and run.transaction_id:
            self._attempts.ended(run.transaction_id, run.attempt, status)

    def _open_here(self) -> Run | None:
        """The run to end: that of this thread and task; else, entered in another context, the latest."""
        place = innermost()
        while place is not None:
            if isinstance(place, Run) and place.is_open and place.opened_by is self:
                return place
            place = place.around
        return self._open[-1] if self._open else None


class _Call:
    """One call of a decorated function: its own run, because calls of one coroutine function overlap."""

    def __init__(self, loop: ExecutionLoop, args: Any, kwargs: Any) -> None:
        self._loop, self._args, self._kwargs = loop, args, kwargs
        self._run: Run | None = None

    def __enter__(self) -> Run:
        self._run = self._loop._begin(self._args, self._kwargs)
        return self._run

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._run is not None:
            self._loop._end(self._run, error)


def _transaction_of(given: object, args: Any, kwargs: Any) -> Any:
    """As given; of a decorated function it may be told from the arguments of the call."""
    if not callable(given):
        return given
    try:
        return clean_name(given(*args, **kwargs), ID_BYTES)
    except Exception as error:  # noqa: BLE001  # the robot's own function; its run goes on without
        _log.warning("a run has no transaction_id: %s: %s", type(error).__name__, text_of(error))
        return ""


def _parent_of(given: object) -> Any:
    """The execution_id of the run that is given or open around; '' for none."""
    if given is None:
        given = current_run()
    return given.execution_id if isinstance(given, Run) else given or ""
