"""Following a loop that tells what it does: `collector.attach(loop)` where the loop takes listeners.

What such a loop must have is `ObservableLoop`, what it may call is `LoopListener`. A loop that tells
things by other names needs a few lines in between: see examples/attached_loop.py.
"""

import logging
from collections.abc import Callable, Hashable
from typing import TYPE_CHECKING, Any, Final, Protocol, Self

from collector_agent.hooks.attempts import Attempts
from collector_agent.hooks.outcomes import message_of
from collector_agent.hooks.places import innermost
from collector_agent.hooks.recorded import Recorded
from collector_agent.hooks.runs import Run
from collector_agent.hooks.steps import Step
from collector_agent.machine.own_names import new_uuid
from collector_agent.redaction import text_of

if TYPE_CHECKING:
    from collector_agent.metrics_collector import MetricsCollector

_MAX_OPEN: Final = 10_000  # runs that never end, and steps of one run
_log = logging.getLogger("rpa_agent")


class LoopListener(Protocol):
    """What a loop calls, on whichever thread; nothing is ever raised, nothing waited for.

    `run` and `step` are what the loop tells its runs and steps apart by: any hashable objects. `fields`:
    further ones of `MetricsCollector.record_execution_start` and `record_step`. `error`: the exception
    that ended it; or `status` says how it ended. A step lies in the innermost one that is open in its
    run, unless `parent` names another.
    """

    def execution_started(self, run: Hashable, workflow_id: str, **fields: Any) -> None: ...

    def execution_ended(
        self, run: Hashable, error: BaseException | None = None, *, status: str = "", message: object = ""
    ) -> None: ...

    def step_started(
        self, run: Hashable, step: Hashable, step_id: str, *, parent: Hashable = None, **fields: Any
    ) -> None: ...

    def step_ended(
        self,
        run: Hashable,
        step: Hashable,
        error: BaseException | None = None,
        *,
        status: str = "",
        message: object = "",
    ) -> None: ...

    def step_retried(self, run: Hashable, step: Hashable) -> None: ...

    def transaction_started(
        self, run: Hashable, step: Hashable, transaction_id: object, *, queue: str = "", **fields: Any
    ) -> None:
        """A work item; it ends by `step_ended`."""


class ObservableLoop(Protocol):
    """What a loop must have. It may also have `remove_listener(listener)`, or give a function that does
    so: then `detach` calls it."""

    def add_listener(self, listener: LoopListener, /) -> object: ...


class Attachment:
    """What `attach` gives: the listener that the loop calls, until `detach`; also a context manager."""

    def __init__(self, collector: "MetricsCollector", loop: ObservableLoop) -> None:
        add = getattr(loop, "add_listener", None)
        if not callable(add):
            raise TypeError(
                f"{type(loop).__name__} has no method add_listener(listener): attach needs a loop with it "
                "(see collector_agent.hooks.attached_loop.ObservableLoop), or write "
                "`with collector.execution(...)` where it runs"
            )
        self._collector = collector
        self._loop = loop
        self._runs: dict[Hashable, tuple[Run, dict[Hashable, Step]]] = {}
        self._attempts = Attempts()
        self._is_attached = True
        self._said: set[str] = set()
        self.failures = 0  # calls that made no sense; the first of each kind is in the log
        self._remove: object = add(self)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.detach()

    def detach(self) -> None:
        """The loop is no longer followed. Runs that are open end as cancelled. Never raises."""
        if not self._is_attached:
            return
        self._is_attached = False
        remove = getattr(self._loop, "remove_listener", None)
        try:
            if callable(remove):
                remove(self)
            elif callable(self._remove):
                self._remove()
        except Exception as error:  # noqa: BLE001  # the loop's own
            self._note_failure("detach", error)
        for run in list(self._runs):
            self._guarded("detach", self._end_run, run, None, "cancelled", "no longer followed")

    # --- what the loop calls ---

    def execution_started(self, run: Hashable, workflow_id: str, **fields: Any) -> None:
        if self._is_attached:
            self._guarded("execution_started", self._start_run, run, workflow_id, fields)

    def execution_ended(
        self, run: Hashable, error: BaseException | None = None, *, status: str = "", message: object = ""
    ) -> None:
        if self._is_attached:
            self._guarded("execution_ended", self._end_run, run, error, status, message)

    def step_started(
        self, run: Hashable, step: Hashable, step_id: str, *, parent: Hashable = None, **fields: Any
    ) -> None:
        if self._is_attached:
            self._guarded("step_started", self._start_step, run, step, step_id, parent, fields)

    def step_ended(
        self,
        run: Hashable,
        step: Hashable,
        error: BaseException | None = None,
        *,
        status: str = "",
        message: object = "",
    ) -> None:
        if self._is_attached:
            self._guarded("step_ended", self._end_step, run, step, error, status, message)

    def step_retried(self, run: Hashable, step: Hashable) -> None:
        if self._is_attached:
            self._guarded("step_retried", self._retry_step, run, step)

    def transaction_started(
        self, run: Hashable, step: Hashable, transaction_id: object, *, queue: str = "", **fields: Any
    ) -> None:
        if self._is_attached:
            self._guarded(
                "transaction_started", self._start_transaction, run, step, transaction_id, queue, fields
            )

    # --- how it works ---

    def _guarded(self, what: str, call: Callable[..., None], *arguments: Any) -> None:
        try:
            call(*arguments)
        except LookupError:
            self._note_failure(what, "of a run or step that did not start here")
        except Exception as error:  # noqa: BLE001  # keys without a hash …: the loop goes on
            self._note_failure(what, error)

    def _note_failure(self, what: str, why: object) -> None:
        self.failures += 1
        if what not in self._said:
            self._said.add(what)
            _log.warning(
                "%s of %s is not recorded (said once): %s", what, type(self._loop).__name__, text_of(why)
            )

    def _start_run(self, key: Hashable, workflow_id: str, fields: dict[str, Any]) -> None:
        if key in self._runs:
            raise ValueError("the run has started already")
        named = {name: fields.pop(name, None) for name in ("execution_id", "attributes", "attempt")}
        transaction_id = fields.pop("transaction_id", "")
        attempt = named["attempt"] or (self._attempts.next(transaction_id) if transaction_id else 1)
        run = Run(
            self._collector,
            workflow_id,
            named["execution_id"] or new_uuid(),
            {"parent_execution_id": self._execution_around(), **fields},
            {"attempt": attempt, "transaction_id": transaction_id},
            dict(named["attributes"] or {}),
        )
        run.opened_by = self
        run.open_here()
        self._runs[key] = run, {}
        if len(self._runs) > _MAX_OPEN:
            del self._runs[next(iter(self._runs))]

    def _execution_around(self) -> str:
        """Not one of the loop's own: they run beside each other, whichever thread tells of them."""
        place = innermost()
        while place is not None:
            if isinstance(place, Run) and place.is_open and place.opened_by is not self:
                return place.execution_id
            place = place.around
        return ""

    def _end_run(self, key: Hashable, error: BaseException | None, status: str, message: object) -> None:
        run, steps = self._runs.pop(key)
        for step in reversed(list(steps.values())):
            _end_step(step, error, status, message)
        ended = run.finish(_said(run, error, status, message))
        if run.transaction_id:
            self._attempts.ended(run.transaction_id, run.attempt, ended)

    def _start_step(
        self, key: Hashable, step_key: Hashable, step_id: str, parent: Hashable, fields: dict[str, Any]
    ) -> None:
        run, steps = self._runs[key]
        self._open(steps, step_key, run.step(step_id, parent=_around(steps, parent), **fields))

    def _start_transaction(
        self, key: Hashable, step_key: Hashable, transaction_id: object, queue: str, fields: dict[str, Any]
    ) -> None:
        run, steps = self._runs[key]
        opened = run.transaction(transaction_id, queue=queue, parent=_around(steps, None), **fields)
        self._open(steps, step_key, opened)

    def _open(self, steps: dict[Hashable, Step], key: Hashable, opened: Step) -> None:
        if key in steps or len(steps) >= _MAX_OPEN:
            raise ValueError("the step has started already")
        steps[key] = opened.__enter__()

    def _end_step(
        self, key: Hashable, step_key: Hashable, error: BaseException | None, status: str, message: object
    ) -> None:
        _end_step(self._runs[key][1].pop(step_key), error, status, message)

    def _retry_step(self, key: Hashable, step_key: Hashable) -> None:
        self._runs[key][1][step_key].count_retry()


def _around(steps: dict[Hashable, Step], parent: Hashable) -> Step | None:
    """The open step that was named, else the one that began last."""
    if parent is not None:
        return steps[parent]
    return next(reversed(steps.values()), None)


def _end_step(step: Step, error: BaseException | None, status: str, message: object) -> None:
    step.__exit__(None, _said(step, error, status, message), None)


def _said(what: Recorded, error: BaseException | None, status: str, message: object) -> BaseException | None:
    """Says how it ends; gives the exception where that alone says it."""
    if not status:
        return error
    if status == "failed":
        what.fail(message or "" if error is None else error)
    else:
        what.set_status(status, message or ("" if error is None else message_of(error)))
    return None
