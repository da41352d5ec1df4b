"""When a run or a step began and ended: by both clocks, or as the robot says where it was timed elsewhere."""

import time
from datetime import UTC, datetime
from typing import Any

from collector_agent.recording.record_builder import end_not_before


class Clock:
    """When something began, and where its end lies by both clocks."""

    __slots__ = ("_started_ns", "started_at")

    def __init__(self) -> None:
        self.started_at = datetime.now(UTC)
        self._started_ns = time.monotonic_ns()

    def end(self) -> dict[str, Any]:
        duration_ms = (time.monotonic_ns() - self._started_ns) / 1e6
        ended_at, skewed = end_not_before(self.started_at, datetime.now(UTC), duration_ms)
        times = {"started_at": self.started_at, "ended_at": ended_at, "duration_ms": duration_ms}
        return {**times, "clock_skewed": True} if skewed else times


def given_times(
    started_at: datetime | None, ended_at: datetime | None, duration_ms: float | None
) -> dict[str, Any]:
    """Those that are given; the record tells the others from them."""
    times = {"started_at": started_at, "ended_at": ended_at, "duration_ms": duration_ms}
    return {name: value for name, value in times.items() if value is not None}


def step_times(clock: Clock, given: dict[str, Any]) -> dict[str, Any]:
    """All times of a step that has ended now."""
    if not given:
        return clock.end()
    times = {"duration_ms": None, **given}
    if "started_at" not in given and "duration_ms" not in given:
        times["started_at"] = clock.started_at
    return times
