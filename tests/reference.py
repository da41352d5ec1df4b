"""The rollups once more: slow, obvious, from records; what the fast ones are compared with."""

import math
import zlib
from collections import defaultdict
from collections.abc import Callable, Iterable
from datetime import datetime, timedelta
from typing import Any

from analytics_lib.catalog import RESOURCE_METRICS
from analytics_lib.records import ExecutionMetrics, ResourceMetrics, StepMetrics

Period = Callable[[datetime], datetime]
MILLISECOND = timedelta(milliseconds=1)
Rows = dict[tuple[Any, ...], dict[str, Any]]


def quantile(values: list[float], q: float) -> float:
    """Linear interpolation between the two nearest ranks, as numpy's default."""
    ordered = sorted(values)
    rank = q * (len(ordered) - 1)
    low, high = math.floor(rank), math.ceil(rank)
    return ordered[low] + (ordered[high] - ordered[low]) * (rank - low)


def hour_of(moment: datetime) -> datetime:
    return moment.replace(minute=0, second=0, microsecond=0)


def day_of(moment: datetime) -> datetime:
    return moment.replace(hour=0, minute=0, second=0, microsecond=0)


def execution_rollup(records: Iterable[ExecutionMetrics], period: Period = hour_of) -> Rows:
    """By (hour, workflow_id, environment, workflow_version)."""
    groups: dict[tuple[Any, ...], list[Any]] = defaultdict(list)
    for r in records:
        groups[period(r.ended_at), r.workflow_id, r.environment, r.workflow_version].append(r)
    return {key: _runs(of_key) for key, of_key in groups.items()}


def step_rollup(records: Iterable[StepMetrics], period: Period = hour_of) -> Rows:
    """By (hour, workflow_id, step_id, environment, workflow_version)."""
    groups: dict[tuple[Any, ...], list[Any]] = defaultdict(list)
    for r in records:
        groups[period(r.ended_at), r.workflow_id, r.step_id, r.environment, r.workflow_version].append(r)
    return {
        key: _runs(of_key) | {"step_name": min(r.step_name for r in of_key)} for key, of_key in groups.items()
    }


def queue_rollup(records: Iterable[ExecutionMetrics], period: Period = hour_of) -> Rows:
    """By (hour, queue, workflow_id, environment)."""
    groups: dict[tuple[Any, ...], list[ExecutionMetrics]] = defaultdict(list)
    for r in records:
        if r.queue:
            groups[period(r.ended_at), r.queue, r.workflow_id, r.environment].append(r)
    rows = {}
    for key, of_key in groups.items():
        waits_ms = [(r.started_at - r.queued_at) / MILLISECOND for r in of_key if r.queued_at is not None]
        known = [wait for wait in waits_ms if wait >= 0]
        counts = {name: value for name, value in _runs(of_key).items() if not name.startswith("duration_")}
        waited = {"n_waited": len(known), "n_wait_negative": len(waits_ms) - len(known)}
        rows[key] = counts | waited | _statistics(known, "wait_", "_ms")
    return rows


def resource_rollup(records: Iterable[ResourceMetrics], period: Period = hour_of) -> Rows:
    """By (hour, host, target, metric, environment)."""
    groups: dict[tuple[Any, ...], list[float]] = defaultdict(list)
    for r in records:
        for metric in RESOURCE_METRICS:
            value = getattr(r, metric)
            if value is not None:
                groups[period(r.sampled_at), r.host, r.target, metric, r.environment].append(float(value))
    return {key: _statistics(values, "value_", "") | {"n": len(values)} for key, values in groups.items()}


def _runs(records: list[Any]) -> dict[str, Any]:
    failed = [r for r in records if r.status in ("failed", "timed_out")]
    rated = [r for r in records if r.status != "skipped"]
    row: dict[str, Any] = {
        "n": len(records),
        "n_rated": len(rated),
        "n_business": sum(r.exception_kind == "business" for r in failed),
        "n_application": sum(r.exception_kind == "application" for r in failed),
        "bucket": zlib.crc32(records[0].workflow_id.encode()) % 16,
    }
    for status in ("completed", "failed", "cancelled", "timed_out", "skipped"):
        row[f"n_{status}"] = sum(r.status == status for r in records)
    return row | _statistics([r.duration_ms for r in rated], "duration_", "_ms")


def _statistics(values: list[float], prefix: str, unit: str) -> dict[str, Any]:
    squares = f"{prefix}sum_squares" + (f"{unit}2" if unit else "")
    if not values:
        empty = {f"{prefix}{name}{unit}": None for name in ("min", "max", "p50", "p95", "p99")}
        return {f"{prefix}sum{unit}": 0.0, squares: 0.0} | empty
    return {
        f"{prefix}sum{unit}": math.fsum(values),
        squares: math.fsum(v * v for v in values),
        f"{prefix}min{unit}": min(values),
        f"{prefix}max{unit}": max(values),
        f"{prefix}p50{unit}": quantile(values, 0.5),
        f"{prefix}p95{unit}": quantile(values, 0.95),
        f"{prefix}p99{unit}": quantile(values, 0.99),
    }
