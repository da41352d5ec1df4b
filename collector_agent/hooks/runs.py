"""One execution while it runs."""

import logging
import os
import threading
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

from analytics_lib.records import ID_BYTES, NAME_BYTES
from collector_agent.hooks.attempts import Attempts
from collector_agent.hooks.outcomes import BusinessClasses
from collector_agent.hooks.places import innermost
from collector_agent.hooks.recorded import Recorded
from collector_agent.hooks.steps import Step, Transaction, transaction_of
from collector_agent.hooks.times import given_times
from collector_agent.redaction import clean_name, text_of

if TYPE_CHECKING:
    from collector_agent.metrics_collector import MetricsCollector

MAX_ATTRIBUTES: Final = 64
_STEP_DIMENSIONS: Final = ("workflow_version", "environment", "robot_id", "host", "queue", "source")
_log = logging.getLogger("rpa_agent")


class Run(Recorded):
    """One execution while it runs: its id, its steps, its transactions, its attributes."""

    def __init__(
        self,
        collector: "MetricsCollector",
        workflow_id: str,
        execution_id: str,
        start_fields: dict[str, Any],
        end_fields: dict[str, Any],
        attributes: dict[str, str],
        business_exceptions: BusinessClasses = (),
    ) -> None:
        super().__init__()
        self.workflow_id = workflow_id
        self.execution_id = execution_id
        self.attempt = end_fields.get("attempt", 1)
        self.transaction_id = end_fields.get("transaction_id", "")
        self.attempts = Attempts()  # at its transactions
        self.business_exceptions = business_exceptions
        self.opened_by: object = None
        self._collector = collector
        self._end_fields = end_fields
        self._attributes: dict[str, str] = {}
        self._process_id = os.getpid()
        self._is_finished = False
        self._counts = {"completed": 0, "failed": 0, "total": 0}
        self._lock = threading.RLock()  # a signal handler may set an attribute while its thread does
        for name, value in attributes.items():
            self.set_attribute(name, value)
        collector.record_execution_start(execution_id, workflow_id, **start_fields)
        self._dimensions = {name: value for name, value in start_fields.items() if name in _STEP_DIMENSIONS}

    def step(
        self,
        step_id: str,
        *,
        step_name: str = "",
        step_type: str = "",
        attempt: int = 1,
        parent: Step | None = None,
        **fields: Any,
    ) -> Step:
        """`with run.step("open mailbox"):` — steps nest. `fields`: further ones of `record_step`.

        `attempt`: for a loop that tries again and shows every try as a step of its own. `parent`: the step
        it lies in, where that is open on another thread.
        """
        named = {"step_name": step_name, "step_type": step_type, "attempt": attempt}
        return Step(self, step_id, {**named, **fields}, parent)

    def transaction(
        self,
        transaction_id: object,
        *,
        queue: str = "",
        attempt: int | None = None,
        parent: Step | None = None,
        **fields: Any,
    ) -> Transaction:
        """`with run.transaction("C-106", queue="claims"):` — one work item, recorded as a step.

        `queue`: the run's unless given. `attempt`: counted, where the same item failed before in this run.
        """
        given = fields if attempt is None else {**fields, "attempt": attempt}
        return transaction_of(self, transaction_id, queue or self._queue(), parent, given)

    def add_step(
        self,
        step_id: str,
        *,
        started_at: datetime | None = None,
        ended_at: datetime | None = None,
        duration_ms: float | None = None,
        status: str = "completed",
        error: object = None,
        message: object = "",
        parent: Step | None = None,
        **fields: Any,
    ) -> Step:
        """A step that is over and was timed elsewhere; two of its three times say the third.

        `error`: the exception that it failed with. Its own steps are added with it as their `parent`.
        """
        added = Step(self, step_id, fields, parent)
        try:
            added.run, added._process_id = self, os.getpid()
            added._place_in(self)
            added.set_status(status, message)
            if error is not None:
                added.fail(error)
            times = given_times(started_at, ended_at, duration_ms)
            added._end({"duration_ms": None, **times}, None)
        except Exception as own:  # noqa: BLE001  # odd values: the robot goes on
            _log.warning("a step is not recorded: %s", text_of(own))
        return added

    def set_attribute(self, name: object, value: object) -> None:
        """A searchable word about this run (at most 64 of them), shortened to fit; stored if its name may."""
        key, word = clean_name(name, ID_BYTES) or "unnamed", clean_name(value, NAME_BYTES)
        if os.getpid() != self._process_id:
            return  # after a fork the end of the run is its parent's to record
        with self._lock:
            if key in self._attributes or len(self._attributes) < MAX_ATTRIBUTES:
                self._attributes[key] = word
                return
        _log.warning("a run keeps %d attributes: %r is left out", MAX_ATTRIBUTES, key)

    def finish(self, error: BaseException | None) -> str:
        """Records the end, once; its status. In a forked child nothing: the run is its parent's."""
        self.close()
        if os.getpid() != self._process_id or self._is_finished:
            return ""
        self._is_finished = True
        fields: dict[str, Any] = {**self._end_fields, **self._given_times}
        with self._lock:
            if self._counts["total"]:
                fields |= {f"steps_{name}": n for name, n in self._counts.items()}
            fields["attributes"] = dict(self._attributes)
        said = self._outcome(error)
        self._collector.record_execution_complete(
            self.execution_id, workflow_id=self.workflow_id, **{**fields, **said}
        )
        return str(said["status"])

    def innermost_step(self) -> Step | None:
        """Its innermost step that is open on this thread or in this asyncio task."""
        place = innermost()
        while place is not None:
            if place.is_open and isinstance(place, Step) and place.run is self:
                return place
            place = place.around
        return None

    def next_step_seq(self) -> int:
        return self._collector.next_step_seq(self.execution_id, self.workflow_id)

    def record_step(self, step_id: str, fields: dict[str, Any]) -> None:
        """A step that is over, with all that is known of it."""
        if os.getpid() == self._process_id:
            with self._lock:
                self._counts["total"] += 1
                if fields["status"] in self._counts:
                    self._counts[fields["status"]] += 1
        self._collector.record_step(
            self.execution_id, step_id, **{**self._dimensions, "workflow_id": self.workflow_id, **fields}
        )

    def _business_classes(self) -> BusinessClasses:
        return self.business_exceptions

    def _queue(self) -> str:
        return text_of(self._dimensions.get("queue") or self._collector.queue)
