"""A UiPath run that is open: what is known of it, as plain JSON can hold it, and the rows it makes."""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Final

from collector_agent.importers.plain_rows import Row, plain_row
from collector_agent.importers.uipath_values import made_id

SOURCE: Final = "uipath-log"
_TOTAL_TOLERANCE_US: Final = 2_000_000  # the robot's own total is of whole seconds

# Positions in an open activity, which is a list: many are open, put down and taken up.
SEQ, PARENT, DEPTH, STEP_ID, NAME, TYPE, STARTED_US, TRANSACTION = range(8)


@dataclass(slots=True)
class Run:
    """A run that is open.

    `is_whole`: its start was seen; else what is known begins in the middle. `transactions`: id -> step_seq,
    queue, started_us.
    """

    execution_id: str
    parent: str
    workflow_id: str
    process: str
    version: str
    environment: str
    robot: str
    host: str
    started: str  # as written
    started_us: int
    last_seen_us: int
    is_whole: bool = False
    told_silent_us: int = 0  # of which moment a last sign of life was given
    error: str = ""  # the last message of the robot's own errors, masked
    has_error: bool = False
    queue: str = ""  # of its first transaction
    transaction: str = ""  # that it is at
    next_seq: int = 1
    steps_total: int = 0
    steps_completed: int = 0
    steps_failed: int = 0
    activities: list[list[Any]] = field(default_factory=list)
    transactions: dict[str, list[Any]] = field(default_factory=dict)
    fixed: dict[str, Any] = field(init=False, repr=False, compare=False)  # of all its rows

    def __post_init__(self) -> None:
        self.fixed = {
            "execution_id": self.execution_id,
            "recorder_id": made_id(self.execution_id),
            "workflow_id": self.workflow_id,
            "workflow_version": self.version,
            "environment": self.environment,
            "robot_id": self.robot,
            "host": self.host,
            "source": SOURCE,
        }

    def put_down(self) -> dict[str, Any]:
        """Everything as plain JSON; shares nothing with the run."""
        put = {name: getattr(self, name) for name in _KEPT}
        put["activities"] = [list(activity) for activity in self.activities]
        put["transactions"] = {key: list(begun) for key, begun in self.transactions.items()}
        return put

    @classmethod
    def taken_up(cls, put: Mapping[str, Any]) -> "Run":
        """The run that was put down. Raises TypeError for anything else."""
        activities = [list(activity) for activity in put.get("activities", ())]
        transactions = {key: list(begun) for key, begun in put.get("transactions", {}).items()}
        return cls(**{**put, "activities": activities, "transactions": transactions})

    def start_row(self) -> Row:
        given = {"started_at_us": self.started_us, "parent_execution_id": self.parent}
        return plain_row("execution_start", self.fixed, given)

    def sign_of_life(self) -> Row:
        return plain_row("execution_heartbeat", self.fixed, {"sent_at_us": self.last_seen_us})

    def step_row(self, started_us: int, ended_us: int, status: str, given: Mapping[str, Any]) -> Row:
        started_us = min(started_us, ended_us)  # a clock that was set back
        timed = {
            "started_at_us": started_us,
            "ended_at_us": ended_us,
            "duration_ms": (ended_us - started_us) / 1000,
            "status": status,
        }
        return plain_row("step", self.fixed, timed, given)

    def count_step(self, status: str) -> None:
        self.steps_total += 1
        self.steps_completed += status == "completed"
        self.steps_failed += status == "failed"

    def end_row(self, ended_us: int, total_us: int | None, exception_kind: str) -> Row:
        has_steps = self.steps_total > 0
        given = {
            "status": "failed" if self.has_error else "completed",
            "exception_kind": exception_kind,
            "message": self.error,
            "steps_total": self.steps_total if has_steps else None,
            "steps_completed": self.steps_completed if has_steps else None,
            "steps_failed": self.steps_failed if has_steps else None,
            "parent_execution_id": self.parent,
            "queue": self.queue,
        }
        return plain_row("execution", self.fixed, self._span(ended_us, total_us), given)

    def _span(self, ended_us: int, total_us: int | None) -> dict[str, Any]:
        """By the lines' times, which are finer than the robot's own total; that one knows better where the
        start was not seen or the clock was set."""
        started_us, took_us = self.started_us, ended_us - self.started_us
        if total_us is not None and (not self.is_whole or abs(took_us - total_us) > _TOTAL_TOLERANCE_US):
            took_us = total_us
        if not self.is_whole or took_us < 0 or started_us > ended_us:
            took_us = max(0, took_us)
            started_us = ended_us - took_us
        return {"started_at_us": started_us, "ended_at_us": ended_us, "duration_ms": took_us / 1000}


_KEPT: Final = tuple(f.name for f in fields(Run) if f.init)
