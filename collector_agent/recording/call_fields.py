"""What may be said of an execution or a step beside its keys, by name and type: for editors and mypy.

Nothing is checked here: what is not valid is quarantined with the reason when its record is built.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import TypedDict


class _Common(TypedDict, total=False):
    workflow_version: str
    environment: str
    robot_id: str
    host: str
    queue: str
    source: str
    recorder_id: str | None


class StartFields(_Common, total=False):
    """Of an ExecutionStart."""

    started_at: datetime | None
    queued_at: datetime | None
    parent_execution_id: str
    suite: str
    attended: bool  # a person works with it: see `Redaction`; without it the environment says so


class EndFields(_Common, total=False):
    """Of an ExecutionMetrics; workflow_id for a run that was not started here."""

    workflow_id: str | None
    steps_total: int | None
    steps_completed: int | None
    steps_failed: int | None
    message: str
    exception_kind: str
    started_at: datetime | None
    ended_at: datetime | None
    duration_ms: float | None
    attempt: int
    transaction_id: str
    attributes: Mapping[str, str] | None
    queued_at: datetime | None
    parent_execution_id: str
    suite: str
    message_truncated: bool
    clock_skewed: bool


class StepFields(_Common, total=False):
    """Of a StepMetrics; workflow_id for a step of an execution that was not started here."""

    workflow_id: str | None
    step_name: str
    started_at: datetime | None
    ended_at: datetime | None
    step_seq: int | None
    parent_step_seq: int | None
    depth: int
    step_type: str
    attempt: int
    retries: int
    exception_kind: str
    transaction_id: str
    message_truncated: bool
    clock_skewed: bool
