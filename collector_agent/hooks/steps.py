"""The steps of a run: context managers and decorators, sync and async."""

import logging
import os
from collections.abc import Callable
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, ParamSpec, Self, TypeVar

from analytics_lib.records import ID_BYTES, NAME_BYTES
from collector_agent.hooks.decorating import each_call
from collector_agent.hooks.outcomes import BusinessClasses
from collector_agent.hooks.places import Place, innermost
from collector_agent.hooks.recorded import Recorded
from collector_agent.hooks.times import Clock, step_times
from collector_agent.redaction import clean_name, text_of

if TYPE_CHECKING:
    from collector_agent.hooks.runs import Run

P = ParamSpec("P")
R = TypeVar("R")
TRANSACTION: Final = "TRANSACTION"  # step_type of the step that processes a work item
_log = logging.getLogger("rpa_agent")


class Step(Recorded):
    """One step, while it is open; an exception that passes through marks it failed and goes on untouched.

    `with run.step("open mailbox"):`, `async with`, or a decorator: then each call is a step. Steps lie in
    what is open on their thread or in their asyncio task; `parent` says it where that is elsewhere.
    """

    __slots__ = (
        *("_clock", "_fields", "_ignored", "_of_run", "_parent", "_parent_seq", "_process_id"),
        *("attempt", "depth", "queue", "retries", "run", "step_id", "step_seq", "transaction_id"),
    )

    def __init__(
        self, run: "Run | None", step_id: str, fields: dict[str, Any], parent: "Step | None" = None
    ) -> None:
        """`run` None: of the run that is open where the step begins; outside of all nothing is recorded."""
        super().__init__()
        self.step_id = step_id
        self.step_seq = 0
        self.depth = 0
        self.attempt = 1
        self.retries = 0
        self.transaction_id: Any = ""
        self.queue: Any = ""
        self.run: Run | None = None
        self._of_run = run
        self._fields = fields
        self._parent = parent if isinstance(parent, Step) else None
        self._clock: Clock | None = None
        self._process_id = 0
        self._ignored = 0

    def __enter__(self) -> Self:
        if self._clock is not None:
            self._ignored += 1
            _log.warning("a step is not recorded: %r is open already; make one for each", self.step_id)
            return self
        try:
            self._begin()
        except Exception as error:  # noqa: BLE001  # odd ids: the robot's step goes on, unrecorded
            _log.warning("a step is not recorded: %s", text_of(error))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._ignored:
            self._ignored -= 1
            return
        clock, self._clock = self._clock, None
        if clock is None:
            return
        try:
            self.close()
            self._end(step_times(clock, self._given_times), error)
        except Exception as own:  # noqa: BLE001  # an error of ours must not take the place of the robot's
            _log.warning("a step is not recorded: %s", text_of(own))

    async def __aenter__(self) -> Self:
        return self.__enter__()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.__exit__(kind, error, trace)

    def __call__(self, function: Callable[P, R]) -> Callable[P, R]:
        """Each call of the function is such a step. Works for `async def`; not for generators."""
        return each_call(function, lambda args, kwargs: self._another(), "run.step(...)")

    def _another(self) -> "Step":
        return Step(self._of_run, self.step_id, self._fields, self._parent)

    def count_retry(self, *_: object) -> None:
        """What the step does is tried again. Takes, and ignores, whatever a retrying library hands over:
        `@tenacity.retry(before_sleep=step.count_retry)`."""
        self.retries += 1

    def _business_classes(self) -> BusinessClasses:
        return self.run.business_exceptions if self.run is not None else ()

    def _begin(self) -> None:
        run = self._of_run if self._of_run is not None else current_run()
        if run is None:
            return
        if self.run is not None:  # the same one again
            self._begin_anew()
            self.retries = 0
        self.run = run
        self._place_in(run)
        self._process_id = os.getpid()
        self.open_here(self._parent if self._parent is not None and self._parent.is_open else None)
        self._clock = Clock()

    def _place_in(self, run: "Run") -> None:
        """Its number, and what it has from the step around it."""
        around = self._parent if self._parent is not None else run.innermost_step()
        self.step_seq = run.next_step_seq()
        self.depth = 0 if around is None else around.depth + 1
        get = self._fields.get
        self.transaction_id = get("transaction_id") or ("" if around is None else around.transaction_id)
        self.queue = get("queue") or ("" if around is None else around.queue)
        self.attempt = get("attempt", 1)
        self._parent_seq = None if around is None else around.step_seq

    def _end(self, times: dict[str, Any], error: BaseException | None) -> str:
        """Records it; its status."""
        if self._process_id != os.getpid() or self.run is None:
            return ""  # opened before a fork: it is the parent's
        said = self._outcome(error)
        fields = {**self._fields, **times, **said}
        fields["step_seq"], fields["parent_step_seq"] = self.step_seq, self._parent_seq
        fields["depth"], fields["attempt"] = self.depth, self.attempt
        if self.retries:
            fields["retries"] = self.retries
        if self.transaction_id:
            fields["transaction_id"] = self.transaction_id
        if self.queue:
            fields["queue"] = self.queue
        self.run.record_step(self.step_id, fields)
        return str(said["status"])


class Transaction(Step):
    """One work item of a queue, as a step; steps within carry its transaction_id and queue.

    The same item again after it failed is its next attempt.
    """

    __slots__ = ()

    def _another(self) -> "Transaction":
        return Transaction(self._of_run, self.step_id, self._fields, self._parent)

    def _place_in(self, run: "Run") -> None:
        super()._place_in(run)
        if self._fields.get("attempt") is None:
            self.attempt = run.attempts.next((self.queue, self.transaction_id))

    def _end(self, times: dict[str, Any], error: BaseException | None) -> str:
        status = super()._end(times, error)
        if status and self.run is not None:
            self.run.attempts.ended((self.queue, self.transaction_id), self.attempt, status)
        return status


def transaction_of(
    run: "Run", transaction_id: object, queue: str, parent: Step | None, fields: dict[str, Any]
) -> Transaction:
    """Named as imports name it: by its queue."""
    named = {
        "step_name": queue,
        "step_type": TRANSACTION,
        "transaction_id": clean_name(transaction_id, ID_BYTES),
        **({"queue": queue} if queue else {}),
    }
    step_id = clean_name(f"transaction of {queue}" if queue else "transaction", NAME_BYTES)
    return Transaction(run, fields.pop("step_id", step_id), {**named, **fields}, parent)


def run_of(place: Place | None) -> "Run | None":
    """The run that a place is, or belongs to."""
    return place.run if isinstance(place, Step) else place  # type: ignore[return-value]  # there are only these two


def current_run() -> "Run | None":
    """The run that is open on this thread or in this asyncio task; None outside of every run."""
    return run_of(innermost())


def current_step() -> Step | None:
    """The innermost step that is open on this thread or in this asyncio task."""
    place = innermost()
    return place if isinstance(place, Step) else None


def step(step_id: str, *, step_name: str = "", step_type: str = "", **fields: Any) -> Step:
    """`@step("open mailbox")` or `with step("open mailbox"):` — a step of the run that is open around it.

    For functions that are not handed the run. Outside of every run they work and nothing is recorded.
    """
    return Step(None, step_id, {"step_name": step_name, "step_type": step_type, **fields})


def count_retry(*_: object) -> None:
    """What the innermost open step does is tried again: `@tenacity.retry(before_sleep=count_retry)`."""
    open_step = current_step()
    if open_step is not None:
        open_step.count_retry()
