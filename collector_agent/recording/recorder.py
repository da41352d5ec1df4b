"""From a call of the recording API to an item: which execution it belongs to, its number and its times."""

import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final, Protocol

from collector_agent.machine.own_names import new_uuid
from collector_agent.recording.active_executions import ActiveExecutions, KnownExecution
from collector_agent.recording.background import Background, Outlet
from collector_agent.recording.record_builder import Item, Said
from collector_agent.redaction import KEPT_CHARACTERS, text_of

if TYPE_CHECKING:
    from collector_agent.redaction.policy import Redaction

DIMENSIONS: Final = ("workflow_version", "environment", "robot_id", "host", "queue")
_INHERITED: Final = (*DIMENSIONS, "source", "queued_at", "parent_execution_id", "suite")


class ItemOutlet(Outlet, Protocol):
    """Where the items go."""

    @property
    def put(self) -> Callable[[Item], object]: ...


class Recorder:
    """The executions of one process and what is said of them. Raises nothing but interrupts.

    What costs the robot time is done here and no more: the rest waits for whoever builds the record.
    """

    def __init__(
        self,
        outlet: ItemOutlet,
        background: Background,
        inherited: Mapping[str, Any],
        redaction: "Redaction",
        recorder_id: str = "",
    ) -> None:
        self.executions = ActiveExecutions()
        self._outlet = outlet
        self._background = background
        self._every_record_carries = inherited
        self._redaction = redaction
        self._recorder_id = recorder_id or new_uuid()

    def record(self, kind: str, execution_id: Any, fields: dict[str, Any]) -> None:
        """Under a lock that is held for two clocks and a look-up; building and writing come after it."""
        try:
            if message := fields.get("message"):
                # Its text as it is now, and no more of it than will be looked at.
                fields["message"] = text_of(message)[: 2 * KEPT_CHARACTERS]
            if isinstance(attributes := fields.get("attributes"), dict):
                fields["attributes"] = dict(attributes)  # the robot may go on filling its own
            with self._outlet.lock:
                item = self._item(kind, execution_id, fields, time.time_ns(), time.monotonic_ns())
        except Exception as error:  # noqa: BLE001  # a foreign object's __eq__, __hash__, __repr__: never the robot's problem
            reason = f"{type(error).__name__} while it was recorded: {text_of(error)}"
            given = {"execution_id": execution_id, **fields}
            item = (kind, time.time_ns(), reason, given, time.monotonic_ns())
        self._outlet.put(item)
        if len(self._outlet.waiting) >= self._outlet.alarm_at:
            self._background.notice()

    def next_step_seq(self, execution_id: Any, workflow_id: Any) -> int:
        """The number of a step that begins now; 1 where whatever is recorded of it will be refused."""
        if not isinstance(execution_id, str):
            return 1
        try:
            with self._outlet.lock:
                is_attended = self._is_attended({})
                known = self.executions.find(
                    execution_id,
                    workflow_id,
                    lambda: self._inherited({}, is_attended),
                    is_attended=is_attended,
                )
                return 1 if isinstance(known, str) else known.numbers.reserve()
        except Exception:  # noqa: BLE001  # as in `record`, which will say so
            return 1

    def _item(self, kind: str, execution_id: Any, fields: dict[str, Any], wall_ns: int, mono_ns: int) -> Said:
        known: KnownExecution | str
        is_attended = self._is_attended(fields)
        if not isinstance(execution_id, str):
            known = f"execution_id is {type(execution_id).__name__}, not text; pass a str"
        elif kind == "execution_start":
            was_idle = not self.executions.any_active
            known = self.executions.begin(self._started(execution_id, fields, wall_ns, mono_ns, is_attended))
            if was_idle:
                self._background.wake()
        else:
            known = self.executions.find(
                execution_id,
                fields.get("workflow_id"),
                lambda: self._inherited(fields, is_attended),
                is_attended=is_attended,
            )
        if isinstance(known, str):
            return kind, wall_ns, known, {"execution_id": execution_id, **fields}, mono_ns
        if kind == "step":
            number = fields.get("step_seq")
            if number is None:
                fields["step_seq"] = known.numbers.take()
            elif type(number) is int:
                known.numbers.bring(number)
        elif kind == "execution":
            wall_ns, mono_ns = self.executions.end(known, hash(repr(fields)), wall_ns, mono_ns)
        return kind, wall_ns, known, fields, mono_ns

    def _started(
        self, execution_id: str, fields: dict[str, Any], wall_ns: int, mono_ns: int, is_attended: bool
    ) -> KnownExecution:
        started_at, recorder_id = fields.get("started_at"), fields.get("recorder_id")
        return KnownExecution(
            execution_id,
            fields["workflow_id"],
            self._recorder_id if recorder_id is None else recorder_id,
            self._inherited(fields, is_attended),
            is_attended=is_attended,
            started_at=started_at,
            started_ns=(wall_ns, mono_ns) if started_at is None else None,
        )

    def _is_attended(self, fields: dict[str, Any]) -> bool:
        said = fields.pop("attended", None)
        if said is not None:
            return bool(said)
        environment = fields.get("environment")
        return self._redaction.is_attended(
            self._every_record_carries.get("environment") if environment is None else environment
        )

    def _inherited(self, fields: Mapping[str, Any], is_attended: bool) -> dict[str, Any]:
        """As it may be stored."""
        given = {name: fields[name] for name in _INHERITED if fields.get(name) is not None}
        return {
            name: self._redaction.text(name, text_of(value), is_attended=is_attended)
            if isinstance(value, str)
            else value
            for name, value in {**self._every_record_carries, **given}.items()
        }
