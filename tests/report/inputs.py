"""Inputs for reports, made of raw rows by the real rollups. No clock, no chance: the same every time."""

from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd

from analytics_lib.catalog import RESOURCE_METRICS
from analytics_lib.report.model import ReportInputs
from analytics_lib.rollup.hourly import roll_up_executions, roll_up_resources, roll_up_steps
from analytics_lib.windows import DAY_US, HOUR_US, SECOND_US, Window, to_us

GIB = 1024**3
FAILURE_COLUMNS = [
    "workflow_id",
    "environment",
    "host",
    "exception_kind",
    "status",
    "message",
    "ended_at_us",
    "execution_id",
]


def us(text: str, zone: str = "UTC") -> int:
    """Microseconds of a local ISO time."""
    return to_us(datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone)))


def run(
    ended_at_us: int, workflow_id: str = "invoice", status: str = "completed", **more: Any
) -> dict[str, Any]:
    """One raw run."""
    return {
        "workflow_id": workflow_id,
        "environment": "production",
        "workflow_version": "1.0",
        "bucket": 0,
        "status": status,
        "exception_kind": "",
        "duration_ms": 60_000.0,
        "ended_at_us": ended_at_us,
        "host": "bot-01",
        "message": "",
        "execution_id": f"{workflow_id}-{ended_at_us}",
        **more,
    }


def step(ended_at_us: int, step_id: str, **more: Any) -> dict[str, Any]:
    """One raw step."""
    return {"step_id": step_id, "step_name": step_id, "depth": 0} | run(ended_at_us) | more


def sample(
    sampled_at_us: int, host: str = "bot-01", target: str = "host", **metrics: float
) -> dict[str, Any]:
    """One raw sample."""
    empty = dict.fromkeys(RESOURCE_METRICS, np.nan)
    key = {"host": host, "target": target, "environment": "production", "bucket": 0}
    return {**key, "sampled_at_us": sampled_at_us, **empty, **metrics}


def abandoned(last_seen_at_us: int, workflow_id: str = "invoice") -> dict[str, Any]:
    """One raw run that fell silent."""
    row = run(last_seen_at_us, workflow_id)
    return row | {"last_seen_at_us": last_seen_at_us}


def report_inputs(
    window: Window,
    runs: Iterable[dict[str, Any]] = (),
    steps: Iterable[dict[str, Any]] = (),
    samples: Iterable[dict[str, Any]] = (),
    abandoned: Iterable[dict[str, Any]] = (),
    **more: Any,
) -> ReportInputs:
    """Inputs made of raw rows; unless told otherwise in UTC and as of the window's end."""
    run_rows, step_rows, sample_rows = list(runs), list(steps), list(samples)
    raw = pd.DataFrame(run_rows, columns=list(run(0)))
    silent = pd.DataFrame(list(abandoned), columns=[*run(0), "last_seen_at_us"])
    in_window = raw[(raw["ended_at_us"] >= window.start_us) & (raw["ended_at_us"] < window.end_us)]
    failed = in_window[in_window["status"].isin(["failed", "timed_out"])]
    values: dict[str, Any] = {
        "executions": roll_up_executions(raw, silent) if len(raw) or len(silent) else pd.DataFrame(),
        "steps": roll_up_steps(pd.DataFrame(step_rows)) if step_rows else pd.DataFrame(),
        "resources": roll_up_resources(pd.DataFrame(sample_rows)) if sample_rows else pd.DataFrame(),
        "failures": failed.sort_values("ended_at_us", ascending=False)[FAILURE_COLUMNS],
        "failures_truncated": False,
        "window": window,
        "time_zone": "UTC",
        "data_through_us": window.end_us,
        "pending_hours": 0,
        "row_counts": {"execution": len(in_window), "step": len(step_rows), "resource": len(sample_rows)},
        "generated_as_of_us": window.end_us,
        "title": "How the robots are doing",
    }
    return ReportInputs(**values | more)


_MESSAGES = {
    "application": [
        "Element 'id=inv-{n}' not found after {s}.5 s",
        "Could not connect to https://erp.example/api/v2/orders/{n}: timed out after {s} s",
        "PermissionError: [Errno 13] Permission denied: '/srv/robots/in/batch-{n}.csv'",
    ],
    "business": ["Invoice {n} has no purchase order", "Supplier {n} is blocked since 2026-0{m}-14"],
}


def fleet(
    *, days: int = 7, workflows: int = 12, zone: str = "Europe/Berlin", seed: int = 5, runs_a_day: int = 24
) -> ReportInputs:
    """A fleet that works: office hours, a weak Monday morning, one slow release, one new, one silent."""
    rng = np.random.default_rng(seed)
    end = datetime(2026, 11, 23, tzinfo=ZoneInfo(zone))
    end_us, window = to_us(end), Window(to_us(end - timedelta(days=days)), to_us(end))
    first_us = window.start_us - max(28, days) * DAY_US
    names = [
        "Invoice intake",
        "Bank statement load",
        "Order confirmation",
        "Supplier onboarding.Check of the master data against the register of companies",
        "Payroll export",
        "Claims triage",
        "Dunning run",
        "Travel expenses",
    ]
    names += [f"Workflow {i:02d}" for i in range(len(names), workflows)]
    runs: list[dict[str, Any]] = []
    steps: list[dict[str, Any]] = []
    for i, name in enumerate(names[:workflows]):
        for day_us in range(first_us, end_us, DAY_US):
            in_window = day_us >= window.start_us
            if (name == "Bank statement load" and not in_window) or (name == "Dunning run" and in_window):
                continue
            for moment in day_us + (rng.beta(3, 3, runs_a_day) * DAY_US).astype(np.int64):
                local = datetime.fromtimestamp(moment / 1e6, UTC).astimezone(ZoneInfo(zone))
                if local.weekday() == 6 and i % 3:
                    continue
                slow = name == "Invoice intake" and in_window
                duration_ms = float(rng.lognormal(11.2 + (i % 5) * 0.35, 0.45) * (1.3 if slow else 1))
                weak = local.weekday() == 0 and local.hour in (8, 9)
                chance = 0.28 if weak else 0.13 if name == "Order confirmation" and in_window else 0.022
                failed = bool(rng.random() < chance)
                kind = ("business" if rng.random() < 0.4 else "application") if failed else ""
                message = ""
                if failed:
                    texts = _MESSAGES[kind]
                    message = texts[int(rng.integers(len(texts)))].format(
                        n=int(rng.integers(10_000)), s=int(rng.integers(5, 40)), m=int(rng.integers(1, 9))
                    )
                runs.append(
                    run(
                        int(moment),
                        name,
                        "failed" if failed else "completed",
                        environment="simulated" if i % 4 == 3 else "production",
                        workflow_version="4.2.1" if slow else "4.2.0",
                        exception_kind=kind,
                        message=message,
                        duration_ms=duration_ms,
                        host=f"bot-{i % 3 + 1:02d}",
                        execution_id=f"{i:02d}{int(moment):x}",
                    )
                )
                if day_us >= window.previous().start_us:
                    steps += _steps(runs[-1], duration_ms)
    samples = [
        sample(
            hour_us + k * 1200 * SECOND_US,
            f"bot-{b:02d}",
            cpu_percent=float(
                np.clip(rng.normal(28 + 12 * b + 15 * np.sin(hour_us / DAY_US * 6.28), 6), 0, 100)
            ),
            memory_used_bytes=float((2 + b + rng.random()) * GIB),
            memory_total_bytes=float(8 * GIB),
        )
        for hour_us in range(window.start_us, end_us, HOUR_US)
        for k in range(3)
        for b in (1, 2, 3)
    ]
    counts = {"execution": sum(r["ended_at_us"] >= window.start_us for r in runs), "step": len(steps)}
    return report_inputs(
        window,
        runs,
        steps,
        samples,
        time_zone=zone,
        title="Finance robots, week 47",
        row_counts=counts | {"resource": len(samples)},
    )


def _steps(of: dict[str, Any], duration_ms: float) -> list[dict[str, Any]]:
    shares = (
        ("Open the mailbox", 0, 0.15),
        ("Read invoices", 0, 0.6),
        ("Extract PDF", 1, 0.5),
        ("Book", 0, 0.2),
    )
    status = of["status"]
    return [
        {**of, "step_id": f"s{k}", "step_name": name, "depth": depth, "duration_ms": duration_ms * share}
        | {"status": status if name == "Book" else "completed", "exception_kind": ""}
        for k, (name, depth, share) in enumerate(shares)
    ]


def insight(workflow_id: str = "invoice", **more: Any) -> dict[str, Any]:
    """One row of the table insight."""
    first_us = us("2026-11-18T06:00")
    row: dict[str, Any] = {
        "insight_id": f"{workflow_id}-{more.get('rule', 'failure_spike')}",
        "rule": "failure_spike",
        "workflow_id": workflow_id,
        "environment": "production",
        "step_id": "",
        "state": "ongoing",
        "first_seen_us": first_us,
        "last_seen_us": first_us + 4 * DAY_US,
        "resolved_at_us": None,
        "severity": 70,
        "impact_robot_hours": 12.34,
        "rank": 1,
        "title": "28 % of runs fail since 18 Nov",
        "explanation": "72.0 % of 118 runs completed since 18 Nov, 06:00, 98.1 % of 340 runs before.",
        "action": "Read the messages of the runs that failed since 18 Nov.",
        "evidence": '{"n": 118, "n_before": 340, "chance": 1.2e-20, "anomaly_ids": ["a", "b"]}',
        "found_at_us": first_us,
        "judged_at_us": first_us + 4 * DAY_US,
    }
    return row | more


def anomaly(hour_us: int, workflow_id: str = "invoice", **more: Any) -> dict[str, Any]:
    """One row of the table anomaly."""
    row: dict[str, Any] = {
        "anomaly_id": f"{workflow_id}-{hour_us}-{more.get('kind', 'slower')}",
        "workflow_id": workflow_id,
        "environment": "production",
        "step_id": "",
        "metric": "duration_ms",
        "kind": "slower",
        "hour_us": hour_us,
        "since_us": hour_us,
        "observed": 90_000.0,
        "expected": 60_000.0,
        "low": 50_000.0,
        "high": 70_000.0,
        "score": 6.1,
        "n": 20,
        "severity": 60,
        "severity_improbability": 0.5,
        "severity_effect": 0.5,
        "severity_duration": 0.5,
        "severity_reach": 0.5,
        "sentence": "slower",
        "evidence": "{}",
        "baseline_id": "b",
        "state": "open",
        "found_at_us": hour_us,
        "judged_at_us": hour_us,
    }
    return row | more


def with_findings(inputs: ReportInputs) -> ReportInputs:
    """The fleet with what its pipeline would have found: insights of every state, marks of every shape."""
    start_us, hour = inputs.window.start_us, HOUR_US
    insights = [
        insight(
            "Order confirmation",
            severity=72,
            rank=1,
            explanation="86.9 % of 168 runs completed since 16 Nov, 00:00, 97.9 % of 336 runs in the 14 days "
            "before (95 % intervals 81–91 % and 96–99 %). Step “Book” failed 22 times.",
            title="13 % of runs fail since 16 Nov",
        ),
        insight(
            "Invoice intake",
            rule="slower_than_normal",
            severity=55,
            rank=2,
            state="new",
            title="31 % slower since 16 Nov",
            explanation="The median run takes 1 min 34 s since 16 Nov, 00:00, 1 min 12 s in the 14 days "
            "before. This coincides with release 4.2.1, first seen on 16 Nov, 00:00.",
            action="Compare releases 4.2.0 and 4.2.1 on one case, first in step “Extract PDF”.",
            impact_robot_hours=1064.2,
            evidence='{"n": 168, "n_before": 336, "z": 9.13}',
        ),
        insight(
            "Dunning run",
            rule="silent_workflow",
            severity=90,
            rank=3,
            title="No run since 15 Nov",
            explanation="The last run ended in the hour from 15 Nov, 22:00. 168 runs were due since then and "
            "none came (672 runs ended in the last 28 days).",
            action="Check whether its schedule, trigger or queue was switched off, then start one run.",
            evidence='{"n": 168}',
        ),
        insight(
            "Supplier onboarding.Check of the master data against the register of companies",
            environment="simulated",
            rule="bottleneck_step",
            severity=22,
            rank=4,
            impact_robot_hours=0.8,
            title="Step “Read invoices” takes 63 % of the time",
            evidence="not JSON",
        ),
        insight(
            "Payroll export",
            rule="flaky_workflow",
            state="resolved",
            rank=0,
            impact_robot_hours=0.0,
            resolved_at_us=start_us + 60 * hour,
            title="4 % of runs fail now and then",
        ),
    ]
    anomalies = [anomaly(start_us + (9 + k) * hour, "Invoice intake") for k in range(3)]
    anomalies += [
        anomaly(
            start_us + 33 * hour, "Order confirmation", kind="failing", metric="success_rate", severity=80
        ),
        anomaly(start_us + 34 * hour, "Order confirmation"),
        anomaly(
            start_us + 80 * hour, "Dunning run", kind="missing_runs", metric="runs_per_hour", severity=66
        ),
        anomaly(start_us + 82 * hour, "", kind="no_data", metric="hosts"),
        anomaly(start_us + 82 * hour, "Order confirmation", severity=20),
    ]
    return replace(inputs, insights=pd.DataFrame(insights), anomalies=pd.DataFrame(anomalies))
