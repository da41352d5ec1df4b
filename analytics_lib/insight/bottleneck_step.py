"""One top-level step takes most of a workflow's time, and much of that need not be.

Looked at are the top-level steps (they stand beside each other, so their times add up) of the last
seven days, beside those of the seven days before. It is found when a step that ran 20 times or more,
in a workflow of several,

- takes at least 40 % of the time of all of them, and
- is uneven (its 95th percentile is at least 2.5 times its median) or has grown (its median is clearly
  and at least 20 % above that of the week before), and
- at least 15 % of its time, and a quarter of a robot hour, would be saved at its median.

Impact: sum of its times minus count times median, which is what would be saved in these seven days if
each time took the median (that of the week before, where it has grown). It is an upper limit: some
cases are larger than others and always will be.
"""

from dataclasses import dataclass
from typing import Any, Final

from analytics_lib import formats
from analytics_lib.insight.finding import Finding, anomaly_ids, graded, named
from analytics_lib.insight.inputs import History, InsightInputs
from analytics_lib.statistics import CLEAR_Z, FEW_RUNS, median_z
from analytics_lib.totals import NO_RUNS, RunTotals, run_totals
from analytics_lib.windows import DAY_US

RULE: Final = "bottleneck_step"
LARGE_SHARE: Final = 0.40
LARGE_SPREAD: Final = 2.5
LARGE_GROWTH: Final = 0.20
LARGE_SAVING: Final = 0.15
SMALLEST_SAVING_HOURS: Final = 0.25
WEEK_US: Final = 7 * DAY_US


@dataclass(frozen=True, slots=True)
class _Bottleneck:
    step_id: str
    now: RunTotals
    before: RunTotals
    share: float
    has_grown: bool
    median_ms: float  # what each time would take without the trouble

    @property
    def saved_ms(self) -> float:
        return self.now.duration_sum_ms - self.now.n_rated * self.median_ms


def find(inputs: InsightInputs) -> list[Finding]:
    """At most one finding for each workflow: the step that would save most."""
    found = ((history, _bottleneck_of(history)) for history in inputs.histories)
    return [_finding(history, bottleneck) for history, bottleneck in found if bottleneck is not None]


def _bottleneck_of(history: History) -> _Bottleneck | None:
    """The step that would save most, of those that qualify."""
    middle_us = history.end_us - WEEK_US
    now = run_totals(history.top_steps(middle_us), ["step_id"])
    before = run_totals(history.top_steps(middle_us - WEEK_US, middle_us), ["step_id"])
    whole_ms = sum(totals.duration_sum_ms for totals in now.values())
    if len(now) < 2 or not whole_ms:
        return None
    judged = (
        _judge(str(key[0]), totals, before.get(key, NO_RUNS), totals.duration_sum_ms / whole_ms)
        for key, totals in now.items()
    )
    found = [one for one in judged if one is not None]
    return min(found, key=lambda one: (-one.saved_ms, one.step_id), default=None)


def _judge(step_id: str, now: RunTotals, before: RunTotals, share: float) -> _Bottleneck | None:
    median_ms, p95_ms = now.duration_p50_ms, now.duration_p95_ms
    if share < LARGE_SHARE or now.n_rated < FEW_RUNS or not median_ms or not p95_ms:
        return None
    median_before_ms = before.duration_p50_ms or median_ms
    has_grown = median_ms / median_before_ms - 1 >= LARGE_GROWTH and median_z(now, before) >= CLEAR_Z
    if p95_ms < LARGE_SPREAD * median_ms and not has_grown:
        return None
    usual_ms = median_before_ms if has_grown else median_ms
    found = _Bottleneck(step_id, now, before, share, has_grown, usual_ms)
    large_ms = max(LARGE_SAVING * now.duration_sum_ms, SMALLEST_SAVING_HOURS * formats.HOUR_MS)
    return found if found.saved_ms >= large_ms else None


def _finding(history: History, found: _Bottleneck) -> Finding:
    now, before = found.now, found.before
    start_us = history.end_us - WEEK_US
    rows = history.top_steps(start_us)
    rows = rows[rows["step_id"] == found.step_id]
    name = named({"step_id": found.step_id, "step_name": str(rows["step_name"].max())})
    share, saved = formats.percent_text(found.share, 0), formats.work_text(found.saved_ms)
    p95 = formats.duration_text(now.duration_p95_ms)
    explanation = (
        f"In the last 7 days step {name} took {formats.work_text(now.duration_sum_ms)}, {share} of the time "
        f"of all top-level steps ({formats.count_text(now.n_rated)} times). Its median is "
        f"{formats.duration_text(now.duration_p50_ms)}, and one time in twenty it takes longer than {p95}."
    )
    if found.has_grown:
        explanation += (
            f" In the 7 days before, the median was {formats.duration_text(before.duration_p50_ms)}."
            f" If each time took that, {saved} would be saved in 7 days."
        )
    else:
        explanation += f" If each time took the median, {saved} would be saved in 7 days."
    anomalies = history.anomalies
    anomalies = anomalies[(anomalies["step_id"] == found.step_id) & (anomalies["hour_us"] >= start_us)]
    evidence: dict[str, Any] = {
        "n": now.n_rated,
        "share": round(found.share, 6),
        "duration_sum_ms": round(now.duration_sum_ms, 3),
        "duration_p50_ms": round(now.duration_p50_ms or 0.0, 3),
        "duration_p95_ms": round(now.duration_p95_ms or 0.0, 3),
        "n_before": before.n_rated,
        "duration_p50_before_ms": round(before.duration_p50_ms or 0.0, 3),
        "has_grown": found.has_grown,
        "saved_ms": round(found.saved_ms, 3),
        "anomaly_ids": anomaly_ids(anomalies),
    }
    return Finding(
        rule=RULE,
        workflow_id=history.workflow_id,
        environment=history.environment,
        step_id=found.step_id,
        title=f"Step {name} takes {share} of the time",
        explanation=explanation,
        action=_action(name, p95, found),
        evidence=evidence,
        impact_robot_hours=round(found.saved_ms / formats.HOUR_MS, 4),
        severity=graded(found.saved_ms / now.duration_sum_ms, 10, 60),
        first_seen_us=int(rows["hour_us"].min()),
        last_seen_us=int(rows["hour_us"].max()),
    )


def _action(name: str, p95: str, found: _Bottleneck) -> str:
    if found.has_grown:
        return f"Find out what step {name} waits for now that it did not wait for a week ago."
    return f"Compare runs in which step {name} took longer than {p95} with quick ones: host, hour, data."
