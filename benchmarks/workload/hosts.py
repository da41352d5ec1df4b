"""What the agents of a fleet measure on a day: samples of host and robot, and their own signs of life."""

from dataclasses import dataclass

import numpy as np

from analytics_lib.windows import DAY_US, SECOND_US

from .columns import Columns
from .schedules import Ints

GIB, MIB = 1024**3, 1024**2


@dataclass(frozen=True, slots=True)
class Sampling:
    """Seconds between samples while a robot works and while it is idle, and between heartbeats; 0: none."""

    working_s: float = 0.0
    idle_s: float = 0.0
    heartbeat_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Spans:
    """When one host's robot worked, ascending, and on what."""

    started: Ints
    ended: Ints
    execution_id: "np.ndarray[tuple[int], np.dtype[np.object_]]"
    workflow_id: "np.ndarray[tuple[int], np.dtype[np.object_]]"


def samples(
    host: str, robot: str, day_us: int, spans: Spans, sampling: Sampling, rng: np.random.Generator
) -> Columns | None:
    """Of the targets host and process (the latter while the robot works), ascending in time."""
    moments, at = _moments(day_us, spans, sampling)
    if not len(moments):
        return None
    works = at >= 0
    load = np.where(works, 1.0, 0.0)
    n = len(moments)
    both = np.concatenate((np.arange(n), np.flatnonzero(works)))
    is_process = np.arange(len(both)) >= n
    days_up = (moments % (7 * DAY_US)) / DAY_US
    cpu = np.clip(rng.normal(5 + 45 * load, 2.5 + 6 * load), 0.4, 100.0)
    memory = ((4.4 + 3.2 * load + 0.15 * days_up + rng.uniform(0, 0.3, n)) * GIB).astype(np.int64)
    none = np.full(len(both), None, dtype=object)
    columns = {
        "agent_id": f"workload/{host}",
        "target": np.where(is_process, "process", "host").astype(object),
        "sampled_at_us": moments[both],
        "workflow_id": _of(spans.workflow_id, at)[both],
        "execution_id": _of(spans.execution_id, at)[both],
        "cpu_percent": np.where(is_process, cpu[both] * 0.8, cpu[both]),
        "memory_used_bytes": np.where(is_process, memory[both] // 6, memory[both]),
        "memory_total_bytes": 16 * GIB,
        "disk_used_bytes": _only(~is_process, ((88 + 1.6 * days_up) * GIB).astype(np.int64)[both], none),
        "disk_total_bytes": _only(~is_process, np.full(len(both), 256 * GIB), none),
        "disk_read_bytes_per_s": (rng.exponential(1, n) * (0.2 + 5 * load) * MIB)[both],
        "disk_written_bytes_per_s": (rng.exponential(1, n) * (0.3 + 3 * load) * MIB)[both],
        "process_count": _only(is_process, rng.integers(1, 6, n)[both], none),
        "thread_count": _only(is_process, rng.integers(8, 40, n)[both], none),
        "host": host,
        "robot_id": robot,
    }
    return Columns("resource", len(both), columns).take(np.argsort(moments[both], kind="stable"))


def heartbeats(host: str, robot: str, day_us: int, sampling: Sampling) -> Columns | None:
    if not sampling.heartbeat_s:
        return None
    moments = np.arange(day_us, day_us + DAY_US, int(sampling.heartbeat_s * SECOND_US))
    columns = {
        "agent_id": f"workload/{host}",
        "sent_at_us": moments,
        "complete_to_us": moments,
        "host": host,
        "robot_id": robot,
    }
    return Columns("agent_heartbeat", len(moments), columns)


def _moments(day_us: int, spans: Spans, sampling: Sampling) -> tuple[Ints, Ints]:
    """(when samples are taken, in which of the spans each lies; -1 for none)."""
    grids = []
    for every_s, while_working in ((sampling.idle_s, False), (sampling.working_s, True)):
        if not every_s:
            continue
        grid = np.arange(day_us, day_us + DAY_US, max(int(every_s * SECOND_US), 1))
        at = np.searchsorted(spans.started, grid, side="right") - 1
        inside = (at >= 0) & (grid < spans.ended[np.maximum(at, 0)]) if len(spans.started) else at >= 0
        grids.append((grid, np.where(inside, at, -1), inside == while_working))
    if not grids:
        return np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64)
    moments = np.concatenate([grid[kept] for grid, _, kept in grids])
    at = np.concatenate([position[kept] for _, position, kept in grids])
    order = np.argsort(moments, kind="stable")
    return moments[order], at[order]


def _of(texts: "np.ndarray[tuple[int], np.dtype[np.object_]]", at: Ints) -> "np.ndarray":
    if not len(texts):
        return np.full(len(at), "", dtype=object)
    return np.where(at >= 0, texts[np.maximum(at, 0)], "")


def _only(which: "np.ndarray", values: "np.ndarray", none: "np.ndarray") -> "np.ndarray":
    """The values there as Python numbers, None elsewhere."""
    return np.where(which, values.astype(object), none)
