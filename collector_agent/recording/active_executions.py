"""Which executions run at this moment, and what is still worth knowing of those that ended just now."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

from collector_agent.machine.own_names import new_uuid
from collector_agent.recording.step_numbers import StepNumbers

if TYPE_CHECKING:
    from collector_agent.recording.step_frames import StepFrame
    from collector_agent.recording.step_records import Pattern

MAX_ACTIVE: Final = 10_000  # starts that were never completed must not fill the robot's memory
MAX_RECENT: Final = 1_000


@dataclass(slots=True)
class KnownExecution:
    """What the steps, the end and the signs of life of one execution are made from."""

    execution_id: str
    workflow_id: Any  # as it was given: it is checked when a record is built
    recorder_id: str
    inherited: dict[str, Any]  # dimensions and other fields that its records carry unless told otherwise
    recorded_as: Any = None  # the workflow_id of its records, once it is decided (see cardinality.py)
    started_at: datetime | None = None  # where the caller gave it; else:
    started_ns: tuple[int, int] | None = None  # (wall clock, monotonic clock) when its start was recorded
    numbers: StepNumbers = field(default_factory=StepNumbers)
    pattern: "Pattern | None" = None  # the values of one of its ordinary steps, once there was one
    frame: "StepFrame | None" = None  # durable recording: what all frames of its steps have in common
    last_end: tuple[int, int, int] | None = None  # (what was said, wall clock, monotonic clock)
    last_sign_s: float | None = None  # monotonic seconds of its last delivered heartbeat
    is_attended: bool = False  # of a person at a desk: see redaction/policy.py
    has_heartbeat: bool = True  # False where its own start was refused


class ActiveExecutions:
    """The collector's memory of executions. Every method is called with the lock held.

    Methods that cannot make sense of a call answer with the reason, as text. `known`: what is active or
    recent, by execution_id; it may be looked into without the lock.
    """

    def __init__(self) -> None:
        self.known: dict[str, KnownExecution] = {}
        self._active: dict[str, KnownExecution] = {}
        self._recent: dict[str, KnownExecution] = {}
        self.forgotten = 0  # active for so long, and so many of them, that they were no longer followed

    def workflow_by_execution(self) -> dict[str, str]:
        return {known.execution_id: known.workflow_id for known in self._active.values()}

    def all(self) -> list[KnownExecution]:
        return list(self._active.values())

    @property
    def any_active(self) -> bool:
        return bool(self._active)

    def begin(self, new: KnownExecution) -> KnownExecution | str:
        """The execution is active from now on; begun twice, it stays as it was begun first."""
        running = self._active.get(new.execution_id)
        if running is not None:
            return _contradiction(running, new.workflow_id) or new
        earlier = self._recent.pop(new.execution_id, None)
        if earlier is not None:
            # Its step keys stay unique, also where a step of the earlier run is being recorded right now.
            earlier.numbers.close()
            new.numbers = earlier.numbers
        self._active[new.execution_id] = new
        self.known[new.execution_id] = new
        if len(self._active) > MAX_ACTIVE:
            self._retire(next(iter(self._active)))
            self.forgotten += 1
        return new

    def find(
        self,
        execution_id: str,
        workflow_id: object,
        inherited: Callable[[], dict[str, Any]],
        *,
        is_attended: bool = False,
    ) -> KnownExecution | str:
        """The active or recent execution, or one adopted because the caller names its workflow."""
        known = self.known.get(execution_id)
        if known is not None:
            return _contradiction(known, workflow_id) or known
        if workflow_id is None:
            return (
                f"execution {execution_id[:100]!r} was not started here; record its start first, "
                "or pass workflow_id (and for its end started_at or duration_ms)"
            )
        # A fresh recorder_id: whoever numbers this execution's steps elsewhere, the keys do not meet.
        known = KnownExecution(execution_id, workflow_id, new_uuid(), inherited(), is_attended=is_attended)
        self._remember(known)
        return known

    def end(self, known: KnownExecution, said: int, wall_ns: int, mono_ns: int) -> tuple[int, int]:
        """No longer active; the clocks to use: those of the first time when the same is said again."""
        if known.last_end is not None and known.last_end[0] == said:
            return known.last_end[1:]
        known.last_end = (said, wall_ns, mono_ns)
        if self._active.get(known.execution_id) is known:
            self._retire(known.execution_id)
        return wall_ns, mono_ns

    def _retire(self, execution_id: str) -> None:
        self._remember(self._active.pop(execution_id))

    def _remember(self, known: KnownExecution) -> None:
        self._recent[known.execution_id] = known
        self.known[known.execution_id] = known
        if len(self._recent) > MAX_RECENT:
            oldest = next(iter(self._recent))
            del self._recent[oldest], self.known[oldest]


def _contradiction(known: KnownExecution, workflow_id: object) -> str:
    if workflow_id is None or workflow_id == known.workflow_id:
        return ""
    return (
        f"execution {known.execution_id[:100]!r} belongs to workflow {str(known.workflow_id)[:100]!r} "
        f"and not to {str(workflow_id)[:100]!r}; give every execution an id of its own"
    )
