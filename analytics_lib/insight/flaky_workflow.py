"""A workflow that fails now and then and completes otherwise, without an end in sight.

Looked at are the local days of the last 14 days. Counted are application failures (the automation
broke): business exceptions are answers, not trouble. It is found when

- there were runs on 7 days and 30 runs or more, with 5 application failures or more,
- their share lies between 3 and 40 %, where recent days count more (half as much every 7 days),
- they are spread: on a third of the days with runs or more, and none has more than half of them,
- one came within the last four days with runs, and no failure spike explains them.

Misleads for a workflow that runs a few times a day: with less than one failure expected a day, they fall
on too few days, so such a one is found late or never.

Impact: application failures of the 14 days times the mean duration of a run, the time that robots
spent on runs to be repeated.
"""

from typing import Any, Final

import pandas as pd

from analytics_lib import formats
from analytics_lib.insight.failure_spike import spike_of
from analytics_lib.insight.finding import Finding, anomaly_ids, graded, interval_text, named, rounded
from analytics_lib.insight.inputs import History, InsightInputs
from analytics_lib.statistics import wilson_interval
from analytics_lib.totals import run_totals, total
from analytics_lib.windows import DAY_US

RULE: Final = "flaky_workflow"
LOOKED_AT_US: Final = 14 * DAY_US
FEWEST_DAYS: Final = 7
FEWEST_RUNS: Final = 30
FEWEST_FAILURES: Final = 5
LOWEST_SHARE: Final = 0.03
HIGHEST_SHARE: Final = 0.40
FAILING_DAYS: Final = 1 / 3
MOST_ON_A_DAY: Final = 0.5
RECENT_DAYS: Final = 4
HALF_LIFE_DAYS: Final = 7.0


def find(inputs: InsightInputs) -> list[Finding]:
    """One finding for each workflow that fails now and then."""
    return [finding for history in inputs.histories if (finding := _finding(history)) is not None]


def _finding(history: History) -> Finding | None:
    rows = history.runs(history.end_us - LOOKED_AT_US)
    totals = total(rows)
    if totals.n_tried < FEWEST_RUNS or totals.n_application < FEWEST_FAILURES:
        return None
    days = _days(history, rows)
    if not _is_spread(days) or not LOWEST_SHARE <= (share := _recent_share(days)) <= HIGHEST_SHARE:
        return None
    if spike_of(history) is not None:
        return None
    failing_days = int((days["n_application"] > 0).sum())
    failing_hours = rows.loc[rows["n_application"] > 0, "hour_us"]
    step = _most_failing_step(history)
    interval = wilson_interval(totals.n_application, totals.n_tried)
    mean_ms = totals.duration_sum_ms / max(totals.n_rated, 1)
    percent = formats.percent_text(totals.n_application / totals.n_tried)
    explanation = (
        f"{formats.count_text(totals.n_application)} of {formats.runs_text(totals.n_tried)} in the last 14 "
        f"days failed with an application exception ({percent}; 95 % interval {interval_text(interval)}), on "
        f"{failing_days} of {formats.runs_text(len(days), 'day')} with runs. "
        "It began on no particular day, and other runs complete."
    )
    if step:
        of_all = f"{formats.count_text(step['n_application'])} of {formats.count_text(totals.n_application)}"
        explanation += f" Step {named(step)} has the most ({of_all})."
    evidence: dict[str, Any] = {
        "n": totals.n_tried,
        "n_application": totals.n_application,
        "n_business": totals.n_business,
        "share": round(totals.n_application / totals.n_tried, 6),
        "share_interval": rounded(interval),
        "recent_share": round(share, 6),
        "n_days": len(days),
        "n_failing_days": failing_days,
        "step": step,
        "anomaly_ids": anomaly_ids(history.flagged("failing", history.end_us - LOOKED_AT_US)),
    }
    return Finding(
        rule=RULE,
        workflow_id=history.workflow_id,
        environment=history.environment,
        step_id="",
        title=f"{percent} of runs fail now and then",
        explanation=explanation,
        action=_action(step),
        evidence=evidence,
        impact_robot_hours=round(totals.n_application * mean_ms / formats.HOUR_MS, 4),
        severity=graded(share / HIGHEST_SHARE, 20, 70),
        first_seen_us=int(failing_hours.min()),
        last_seen_us=int(failing_hours.max()),
    )


def _days(history: History, rows: pd.DataFrame) -> pd.DataFrame:
    """n (without skipped runs) and n_application by local day with runs, oldest first."""
    moments = pd.to_datetime(rows["hour_us"], unit="us", utc=True).dt.tz_convert(history.zone)
    counted = pd.DataFrame(
        {
            "day": moments.dt.tz_localize(None).dt.normalize(),
            "n": rows["n"] - rows["n_skipped"],
            "n_application": rows["n_application"],
        }
    )
    days = counted.groupby("day", as_index=False).sum()
    return days[days["n"] > 0].reset_index(drop=True)


def _is_spread(days: pd.DataFrame) -> bool:
    failures = days["n_application"]
    return bool(
        len(days) >= FEWEST_DAYS
        and (failures > 0).mean() >= FAILING_DAYS
        and failures.max() <= MOST_ON_A_DAY * failures.sum()
        and failures.tail(RECENT_DAYS).sum() > 0
    )


def _recent_share(days: pd.DataFrame) -> float:
    age_days = (days["day"].max() - days["day"]).dt.days
    weights = 0.5 ** (age_days / HALF_LIFE_DAYS)
    return float((weights * days["n_application"]).sum() / (weights * days["n"]).sum())


def _most_failing_step(history: History) -> dict[str, Any] | None:
    rows = history.top_steps(history.end_us - LOOKED_AT_US)
    by_step = {str(key[0]): t for key, t in run_totals(rows, ["step_id"]).items() if t.n_application}
    if not by_step:
        return None
    step_id = min(by_step, key=lambda one: (-by_step[one].n_application, one))
    name = str(rows.loc[rows["step_id"] == step_id, "step_name"].max())
    return {
        "step_id": step_id,
        "step_name": name,
        "n_application": by_step[step_id].n_application,
        "n": by_step[step_id].n,
    }


def _action(step: dict[str, Any] | None) -> str:
    if step is None:
        return "Group the messages of the failed runs, and begin with the most frequent one."
    return (
        f"Begin with step {named(step)}: read what it failed on, let it wait for that, and try once more "
        "before it fails."
    )
