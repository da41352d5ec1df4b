"""Weeks of runs for the rules, made by the real rollups: one line for a run of so many hours."""

from collections.abc import Iterable
from typing import Any

import pandas as pd

from analytics_lib.insight.inputs import InsightInputs
from analytics_lib.rollup.hourly import roll_up_executions, roll_up_steps
from analytics_lib.schema import metadata
from analytics_lib.windows import HOUR_US
from tests.report.inputs import run, step, us

END = us("2026-11-23T00:00")  # a Monday
Raw = list[dict[str, Any]]


def hour(before_end: int) -> int:
    """The start of the hour so many hours before the end."""
    return END - before_end * HOUR_US


def runs(first: int, last: int, *, every: int = 1, n: int = 1, failed: int = 0, **more: Any) -> Raw:
    """n runs in every so many hours, from `first` to `last` hours before the end; some of them failed."""
    failure = {"status": "failed", "exception_kind": "application"}
    made: Raw = []
    for ago in range(first, last - 1, -every):
        made += [run(hour(ago) + k, **{**(failure if k < failed else {}), **more}) for k in range(n)]
    return made


def steps(first: int, last: int, step_id: str, duration_ms: float, **more: Any) -> Raw:
    """One time of a step in every hour."""
    return [step(hour(ago), step_id, duration_ms=duration_ms, **more) for ago in range(first, last - 1, -1)]


def anomaly(kind: str, ago: int, **more: Any) -> dict[str, Any]:
    """One open anomaly of the hour so many hours before the end."""
    columns = metadata.tables["anomaly"].columns
    row: dict[str, Any] = {c.name: "" if c.type.python_type is str else 0 for c in columns}
    row |= {
        "anomaly_id": f"{kind}-{ago:04d}",
        "workflow_id": "invoice",
        "environment": "production",
        "kind": kind,
        "hour_us": hour(ago),
        "since_us": hour(ago),
        "expected": 1.0,
        "n": 1,
        "severity": 50,
        "state": "open",
        "evidence": "{}",
    }
    return row | more


def inputs(
    raw: Iterable[dict[str, Any]] = (),
    step_rows: Iterable[dict[str, Any]] = (),
    anomalies: Iterable[dict[str, Any]] = (),
    **more: Any,
) -> InsightInputs:
    """As of the end and in UTC, unless told otherwise."""
    executions, all_steps = pd.DataFrame(list(raw), columns=list(run(0))), pd.DataFrame(list(step_rows))
    silent = pd.DataFrame(columns=[*run(0), "last_seen_at_us"])
    values: dict[str, Any] = {
        "anomalies": pd.DataFrame(list(anomalies)),
        "executions": roll_up_executions(executions, silent) if len(executions) else pd.DataFrame(),
        "steps": roll_up_steps(all_steps) if len(all_steps) else pd.DataFrame(),
        "as_of_us": END,
        "zone": "UTC",
    }
    return InsightInputs(**values | more)
