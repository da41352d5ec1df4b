"""The metrics and dimensions that may be asked for, with unit, source and what "better" means."""

from dataclasses import dataclass
from typing import Final, Literal

from analytics_lib.errors import QueryError

Better = Literal["lower", "higher", ""]
Source = Literal["execution", "step", "resource"]


@dataclass(frozen=True, slots=True)
class Metric:
    """One measurable quantity. `column` is its column in the raw table of `source`."""

    name: str
    source: Source
    column: str
    unit: str
    better: Better
    description: str


def _metrics() -> dict[str, Metric]:
    rows: list[tuple[str, Source, str, str, Better, str]] = [
        ("duration_ms", "execution", "duration_ms", "ms", "lower", "how long a run took"),
        ("steps_total", "execution", "steps_total", "steps", "", "steps planned or seen in a run"),
        ("steps_completed", "execution", "steps_completed", "steps", "higher", "steps completed in a run"),
        ("steps_failed", "execution", "steps_failed", "steps", "lower", "steps failed in a run"),
        ("step_duration_ms", "step", "duration_ms", "ms", "lower", "how long a step took"),
        ("step_retries", "step", "retries", "retries", "lower", "how often a step was tried again"),
        ("cpu_percent", "resource", "cpu_percent", "%", "lower", "CPU in use, 100 is all of it"),
        ("memory_used_bytes", "resource", "memory_used_bytes", "bytes", "lower", "memory in use"),
        ("memory_total_bytes", "resource", "memory_total_bytes", "bytes", "", "memory that may be used"),
        ("disk_used_bytes", "resource", "disk_used_bytes", "bytes", "lower", "disk in use"),
        ("disk_total_bytes", "resource", "disk_total_bytes", "bytes", "", "size of the disk"),
        ("disk_read_bytes_per_s", "resource", "disk_read_bytes_per_s", "bytes/s", "", "disk reads"),
        ("disk_written_bytes_per_s", "resource", "disk_written_bytes_per_s", "bytes/s", "", "disk writes"),
        (
            "network_received_bytes_per_s",
            "resource",
            "network_received_bytes_per_s",
            "bytes/s",
            "",
            "network in",
        ),
        ("network_sent_bytes_per_s", "resource", "network_sent_bytes_per_s", "bytes/s", "", "network out"),
        ("gpu_utilization_percent", "resource", "gpu_utilization_percent", "%", "", "GPU in use"),
        ("gpu_memory_used_bytes", "resource", "gpu_memory_used_bytes", "bytes", "", "GPU memory in use"),
        ("gpu_memory_total_bytes", "resource", "gpu_memory_total_bytes", "bytes", "", "GPU memory"),
        ("process_count", "resource", "process_count", "processes", "", "the robot and its children"),
        ("thread_count", "resource", "thread_count", "threads", "", "threads of the robot"),
        ("handle_count", "resource", "handle_count", "handles", "", "open handles or file descriptors"),
    ]
    return {row[0]: Metric(*row) for row in rows}


METRICS: Final = _metrics()
RESOURCE_METRICS: Final = tuple(m.name for m in METRICS.values() if m.source == "resource")
TIME_COLUMN: Final[dict[Source, str]] = {
    "execution": "ended_at_us",
    "step": "ended_at_us",
    "resource": "sampled_at_us",
}
_SHARED = ("workflow_id", "workflow_version", "environment", "robot_id", "host", "queue", "execution_id")
_PERIODS = ("hour", "day")
DIMENSIONS: Final[dict[Source, tuple[str, ...]]] = {
    "execution": (*_SHARED, "status", "exception_kind", "suite", "source", *_PERIODS),
    "step": (*_SHARED, "step_id", "step_name", "step_type", "status", "exception_kind", "source", *_PERIODS),
    "resource": (*_SHARED, "agent_id", "target", "source", *_PERIODS),
}
AGGREGATIONS: Final = ("avg", "sum", "count", "min", "max")


def metric(name: str) -> Metric:
    """The metric of that name; raises QueryError that lists the valid ones."""
    try:
        return METRICS[name]
    except (KeyError, TypeError):
        raise QueryError(f"unknown metric {name!r}: use one of {', '.join(METRICS)}") from None


def check_dimensions(source: Source, names: list[str]) -> None:
    """Raises QueryError that lists the dimensions of the metric's source when one is unknown."""
    for name in names:
        if name not in DIMENSIONS[source]:
            raise QueryError(
                f"cannot group {source} metrics by {name!r}: use any of {', '.join(DIMENSIONS[source])}"
            )


def check_aggregation(name: str) -> None:
    """Raises QueryError that lists the aggregations when the name is unknown."""
    if name not in AGGREGATIONS:
        raise QueryError(f"unknown aggregation {name!r}: use one of {', '.join(AGGREGATIONS)}")
