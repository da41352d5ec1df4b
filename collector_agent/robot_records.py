"""Fields of the records that a step and a task become: the same whether recorded live or imported."""

from datetime import timedelta, tzinfo
from typing import Any

from collector_agent.robot_results import FailureKinds, in_utc
from collector_agent.robot_run import Step, Task


def step_fields(step: Step, kinds: FailureKinds, zone: tzinfo | None) -> dict[str, Any]:
    """Fields of a step's StepMetrics, but for those of its task; the message is not masked yet."""
    return {
        "step_id": step.step_id,
        "step_name": step.step_name,
        "step_type": step.step_type,
        "step_seq": step.seq,
        "parent_step_seq": step.parent_seq,
        "depth": step.depth,
        "status": step.status,
        "message": step.message,
        "exception_kind": kinds.of_step(step.status, step.message),
        **_times(step, zone),
    }


def result_fields(task: Task, kinds: FailureKinds, zone: tzinfo | None) -> dict[str, Any]:
    """Fields of a task's ExecutionMetrics, but for its keys; the message is not masked yet."""
    return {
        "status": task.status,
        "message": task.message,
        "exception_kind": kinds.of_task(task.status, task.message, task.tags),
        "steps_total": task.steps_total,
        "steps_completed": task.steps_completed,
        "steps_failed": task.steps_failed,
        **_times(task, zone),
    }


def _times(timed: Step | Task, zone: tzinfo | None) -> dict[str, Any]:
    if timed.started is None:
        raise ValueError("what has no start is not told")
    started_at = in_utc(timed.started, zone)
    return {
        "started_at": started_at,
        "ended_at": started_at + timedelta(microseconds=timed.elapsed_us),
        "duration_ms": timed.elapsed_us / 1000,
    }
