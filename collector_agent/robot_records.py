"""What the records of a step and a task hold: the same whether recorded live or imported."""

from datetime import UTC, datetime, timedelta, tzinfo
from typing import Any, Final

from collector_agent.recording.whole_steps import StepValues, step_fields_of
from collector_agent.robot_results import FailureKinds, in_utc
from collector_agent.robot_run import Step, Task
from collector_agent.robot_tags import attributes_of

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_LOCAL_EPOCH: Final = datetime(1970, 1, 1)  # noqa: DTZ001  # subtracted from local times


def step_values(step: Step, kinds: FailureKinds, execution_id: str) -> StepValues:
    """What a step's record holds, but for what all of its execution do; the message is not masked yet."""
    started_us = step.started_us
    if started_us is None:
        raise ValueError("what has no start is not told")
    elapsed_us, status, message = step.elapsed_us, step.status, step.message
    kind = step.exception_kind
    if not kind and status == "failed":
        kind = kinds.of_step(status, message)
    return (
        step.seq,
        step.step_id,
        step.step_name,
        status,
        started_us,
        started_us + elapsed_us,
        elapsed_us / 1000,
        step.parent_seq,
        step.depth,
        step.step_type,
        kind,
        message,
        step.retries,
        f"{execution_id}/{step.item}" if step.item else "",
    )


def step_fields(step: Step, kinds: FailureKinds, task: Task) -> dict[str, Any]:
    """Fields of a step's StepMetrics, but for its dimensions and keys; the message is not masked yet."""
    return step_fields_of(step_values(step, kinds, task.execution_id))


def result_fields(task: Task, kinds: FailureKinds, zone: tzinfo | None) -> dict[str, Any]:
    """Fields of a task's ExecutionMetrics, but for its keys and version; the message is not masked yet."""
    if task.started is None:
        raise ValueError("what has no start is not told")
    started_at = in_utc(task.started, zone)
    return {
        "status": task.status,
        "message": task.message,
        "exception_kind": kinds.of_task(task.status, task.message, task.tags),
        "attempt": task.attempt,
        "attributes": attributes_of(task.tags),
        "steps_total": task.steps_total,
        "steps_completed": task.steps_completed,
        "steps_failed": task.steps_failed,
        "started_at": started_at,
        "ended_at": started_at + timedelta(microseconds=task.elapsed_us),
        "duration_ms": task.elapsed_us / 1000,
    }


class LocalTimes:
    """Microseconds UTC of this machine's local times, which Robot Framework has, many of them quickly.

    What a local minute is in UTC is asked only once while times lie in it; the clock is set forward and
    back between minutes.
    """

    def __init__(self) -> None:
        self._window = (0, 0, 0)  # from, before, and what to take away: microseconds

    def us(self, moment: datetime) -> int:
        if moment.tzinfo is not None or moment.fold:  # the second time around, an hour has another offset
            return _us(moment.astimezone(UTC) - _EPOCH)
        local_us = _us(moment - _LOCAL_EPOCH)
        start, end, offset = self._window
        if start <= local_us < end:
            return local_us - offset
        moment_us = _us(moment.astimezone(UTC) - _EPOCH)
        start = local_us - local_us % 60_000_000
        self._window = (start, start + 60_000_000, local_us - moment_us)
        return moment_us


def _us(elapsed: timedelta) -> int:
    return elapsed.days * 86_400_000_000 + elapsed.seconds * 1_000_000 + elapsed.microseconds
