"""A workflow of which most runs fail, however long it has been so.

`failure_spike` says what got worse, and forgets it once the bad weeks are all that it can compare with. This
one compares with nothing: it is found when fewer than half of the runs of the last 7 days completed, of 10
runs or more, and no failure spike says so already. Since when: the first failing hour after the last local
day (of the 28 that are looked at) on which half of the runs or more completed.

Misleads for a workflow whose runs are meant to fail, such as a probe that waits for something.

Impact: failed runs of the 7 days times the mean duration of a run, the time that robots spent for nothing.
"""

from typing import Final

import pandas as pd

from analytics_lib import formats
from analytics_lib.insight.failure_spike import spike_of
from analytics_lib.insight.finding import Finding, anomaly_ids, graded, interval_text, rounded
from analytics_lib.insight.inputs import History, InsightInputs
from analytics_lib.statistics import wilson_interval
from analytics_lib.totals import RunTotals, total
from analytics_lib.windows import DAY_US

RULE: Final = "failing_workflow"
LOOKED_AT_US: Final = 7 * DAY_US
HISTORY_US: Final = 28 * DAY_US
FEWEST_RUNS: Final = 10
ENOUGH_COMPLETE: Final = 0.5


def find(inputs: InsightInputs) -> list[Finding]:
    """One finding for each workflow of which most runs fail."""
    return [finding for history in inputs.histories if (finding := _finding(history)) is not None]


def _finding(history: History) -> Finding | None:
    totals = total(history.runs(history.end_us - LOOKED_AT_US))
    rate = totals.success_rate
    if rate is None or totals.n_tried < FEWEST_RUNS or rate >= ENOUGH_COMPLETE:
        return None
    if spike_of(history) is not None:
        return None
    rows = history.runs(history.end_us - HISTORY_US)
    failing = rows.loc[_failed(rows) > 0, "hour_us"]
    since_us, is_older = _since(history, rows)
    n_failed = totals.n_tried - totals.n_completed
    mean_ms = totals.duration_sum_ms / max(totals.n_rated, 1)
    interval = wilson_interval(totals.n_completed, totals.n_tried)
    at_least = "at least " if is_older else ""
    return Finding(
        rule=RULE,
        workflow_id=history.workflow_id,
        environment=history.environment,
        step_id="",
        title=f"Only {formats.percent_text(rate)} of runs complete" if rate else "No run completes",
        explanation=(
            f"{formats.count_text(totals.n_completed)} of {formats.runs_text(totals.n_tried)} in the last "
            f"7 days completed ({formats.percent_text(rate)}; 95 % interval {interval_text(interval)}). "
            f"It has been so since {at_least}{history.day(since_us)}: {_kinds(totals)}."
        ),
        action=_action(totals),
        evidence={
            "n": totals.n_tried,
            "n_completed": totals.n_completed,
            "n_application": totals.n_application,
            "n_business": totals.n_business,
            "success_rate": round(rate, 6),
            "success_rate_interval": rounded(interval),
            "anomaly_ids": anomaly_ids(history.flagged("failing", history.end_us - LOOKED_AT_US)),
        },
        impact_robot_hours=round(n_failed * mean_ms / formats.HOUR_MS, 4),
        severity=graded(1 - rate / ENOUGH_COMPLETE, 60, 90),
        first_seen_us=since_us,
        last_seen_us=int(failing.max()),
    )


def _failed(rows: pd.DataFrame) -> "pd.Series[int]":
    return rows["n"] - rows["n_skipped"] - rows["n_completed"]


def _since(history: History, rows: pd.DataFrame) -> tuple[int, bool]:
    """(the first failing hour of the stretch of bad days; whether it may have begun before the history)."""
    moments = pd.to_datetime(rows["hour_us"], unit="us", utc=True).dt.tz_convert(history.zone)
    day = moments.dt.tz_localize(None).dt.normalize()
    tried = (rows["n"] - rows["n_skipped"]).groupby(day).sum()
    completed = rows["n_completed"].groupby(day).sum()
    good = tried.index[(tried > 0) & (completed >= ENOUGH_COMPLETE * tried)]
    later = rows[day > good.max()] if len(good) else rows
    return int(later.loc[_failed(later) > 0, "hour_us"].min()), not len(good)


def _kinds(totals: RunTotals) -> str:
    other = totals.n_tried - totals.n_completed - totals.n_application - totals.n_business
    counts = (
        (totals.n_application, "application failures"),
        (totals.n_business, "business failures"),
        (other, "of another end"),
    )
    return ", ".join(f"{formats.count_text(n)} {what}" for n, what in counts if n)


def _action(totals: RunTotals) -> str:
    if totals.n_business > totals.n_application:
        return "Ask whoever sends the data what changed; until it is right, stop the schedule."
    return "Stop its schedule until it is repaired: read the most frequent message of its failed runs first."
