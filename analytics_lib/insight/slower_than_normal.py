"""Runs take longer than before, since a moment, up to now.

Compared are the runs since s with those of the 14 days before s, by their medians. For s there are two
sources, as in `failure_spike`: the hour from which log durations are highest, long enough ago to hold a
day's hours, and the hours from which the duration was flagged as abnormal for its hour of the week. It
is found when

- the median rose by at least 10 %, and
- the hourly medians since s are higher than those before by their ranks (Mann-Whitney z >= 4.5, since the
  split was chosen for its looks; >= 3.29 where it was flagged). An hour counts once, however many runs
  it has, because runs of one hour are seldom independent;
- the same hours a week before were not as slow;
- it has not ended: the last day (12 hours with runs at least) is not back below the middle of the two
  medians and like the time before.

A slow drift is found late, and dated to its middle.

Impact: the rise of the median times the runs since then. What the slowest runs took beyond it is
left out, since a few outliers would decide the number.
"""

import math
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pandas as pd

from analytics_lib import formats
from analytics_lib.insight.change_point import worse_since
from analytics_lib.insight.finding import Finding, anomaly_ids, graded, named
from analytics_lib.insight.inputs import History, InsightInputs
from analytics_lib.insight.releases import Release, release_near
from analytics_lib.statistics import CLEAR_Z, rank_z
from analytics_lib.totals import RunTotals, run_totals, total
from analytics_lib.windows import DAY_US

RULE: Final = "slower_than_normal"
SMALLEST_RISE: Final = 0.10
SCANNED_Z: Final = 4.5
COMPARED_US: Final = 14 * DAY_US
WEEK_US: Final = 7 * DAY_US
TAIL_HOURS: Final = 12
LIKE_BEFORE_Z: Final = 1.64
LARGE_RISE: Final = 1.0  # twice as long counts as a severity of 85
MOST_OF_IT: Final = 0.5  # of the increase: then one step is named as its place


@dataclass(frozen=True, slots=True)
class Slowdown:
    """A rise of the median duration that lasts."""

    since_us: int
    now: RunTotals
    before: RunTotals
    z: float

    @property
    def rise(self) -> float:
        return _median(self.now) / _median(self.before) - 1


def find(inputs: InsightInputs) -> list[Finding]:
    """One finding for each workflow whose runs take longer than before."""
    found = ((history, _slowdown_of(history)) for history in inputs.histories)
    return [_finding(history, slowdown) for history, slowdown in found if slowdown is not None]


def _slowdown_of(history: History) -> Slowdown | None:
    earliest_us, latest_us = history.end_us - COMPARED_US, history.day_long_start_us()
    scanned_us = None if latest_us is None else _highest_since(history.executions, earliest_us, latest_us)
    flagged = sorted({int(since) for since in history.flagged("slower", earliest_us)["since_us"]})
    starts = [(scanned_us, False)] if scanned_us is not None else []
    starts += [(since_us, True) for since_us in flagged]
    found = [_judge(history, since_us, is_flagged) for since_us, is_flagged in starts]
    return max((s for s in found if s is not None), key=lambda s: (s.z, -s.since_us), default=None)


def _judge(history: History, since_us: int, is_flagged: bool) -> Slowdown | None:
    rows, rows_before = history.runs(since_us), history.runs(since_us - COMPARED_US, since_us)
    now, before = total(rows), total(rows_before)
    if not _median(now) or not _median(before) or _median(now) / _median(before) - 1 < SMALLEST_RISE:
        return None
    hours, hours_before = _hourly_medians(rows), _hourly_medians(rows_before)
    z = rank_z(hours, hours_before)
    halfway = math.sqrt(_median(now) * _median(before))
    smallest_z = CLEAR_Z if is_flagged else SCANNED_Z
    if z < smallest_z or _has_ended(history, since_us, rows, hours_before, halfway):
        return None
    if not is_flagged and _is_usual(history, since_us, halfway):
        return None
    slowdown = Slowdown(since_us, now, before, z)
    return slowdown if is_flagged else _dated(history, slowdown, hours_before, halfway)


def _highest_since(rows: pd.DataFrame, earliest_us: int, latest_us: int) -> int | None:
    """The hour from which log durations are highest."""
    rated = _rated(rows)
    values = np.log(rated["duration_p50_ms"])
    return worse_since(
        rated["hour_us"], values, rated["n_rated"], earliest_us=earliest_us, latest_us=latest_us
    )


def _dated(history: History, slowdown: Slowdown, hours_before: np.ndarray, halfway: float) -> Slowdown:
    """The slowdown from a later hour on, where the first part of a whole day was still as before."""
    since_us = slowdown.since_us
    later_us = _highest_since(history.runs(since_us), since_us + 1, history.end_us)
    if later_us is None or not _is_as_before(history.runs(since_us, later_us), hours_before, halfway):
        return slowdown
    now, before = total(history.runs(later_us)), total(history.runs(later_us - COMPARED_US, later_us))
    return Slowdown(later_us, now, before, slowdown.z)


def _is_as_before(rows: pd.DataFrame, hours_before: np.ndarray, halfway: float) -> bool:
    """Whether a part of the time is nearer to the time before, and not clearly above it."""
    return _median(total(rows)) < halfway and rank_z(_hourly_medians(rows), hours_before) < LIKE_BEFORE_Z


def _has_ended(
    history: History, since_us: int, rows: pd.DataFrame, hours_before: np.ndarray, halfway: float
) -> bool:
    """Whether the last day, or the last 12 hours with runs, are again as before."""
    hours = np.unique(_rated(rows)["hour_us"].to_numpy())
    if len(hours) < TAIL_HOURS:
        return False
    last = history.runs(max(min(int(hours[-TAIL_HOURS]), history.end_us - DAY_US), since_us))
    return _is_as_before(last, hours_before, halfway)


def _is_usual(history: History, since_us: int, halfway: float) -> bool:
    """Whether the same hours a week before were as slow; unknown where they are part of it."""
    if history.end_us - since_us >= WEEK_US:
        return False
    week_before = total(history.runs(since_us - WEEK_US, history.end_us - WEEK_US))
    return _median(week_before) >= halfway


def _finding(history: History, slowdown: Slowdown) -> Finding:
    now, before = slowdown.now, slowdown.before
    since = history.moment(slowdown.since_us)
    release = release_near(history, slowdown.since_us)
    step = _slowest_growth(history, slowdown)
    extra_ms = _median(now) - _median(before)
    rise = formats.signed_percent_text(slowdown.rise)
    explanation = (
        f"The median run takes {formats.duration_text(_median(now))} since {since} "
        f"({formats.runs_text(now.n_rated)}), {formats.duration_text(_median(before))} in the 14 days before "
        f"({formats.runs_text(before.n_rated)}): {rise}."
    )
    explanation += _step_sentence(step)
    explanation += release.sentence() if release else ""
    evidence: dict[str, Any] = {
        "since_us": slowdown.since_us,
        "n": now.n_rated,
        "duration_p50_ms": round(_median(now), 3),
        "n_before": before.n_rated,
        "duration_p50_before_ms": round(_median(before), 3),
        "rise": round(slowdown.rise, 6),
        "z": round(slowdown.z, 2),
        "step": step,
        "release": release.as_evidence() if release else None,
        "anomaly_ids": anomaly_ids(history.flagged("slower", slowdown.since_us)),
    }
    return Finding(
        rule=RULE,
        workflow_id=history.workflow_id,
        environment=history.environment,
        step_id="",
        title=f"{rise.lstrip('+')} slower since {history.day(slowdown.since_us)}",
        explanation=explanation,
        action=_action(since, release, step),
        evidence=evidence,
        impact_robot_hours=round(extra_ms * now.n_rated / formats.HOUR_MS, 4),
        severity=graded(slowdown.rise / LARGE_RISE, 30, 85),
        first_seen_us=slowdown.since_us,
        last_seen_us=int(history.runs(slowdown.since_us)["hour_us"].max()),
    )


def _slowest_growth(history: History, slowdown: Slowdown) -> dict[str, Any] | None:
    """The top-level step whose time per run rose most; its share of all steps' rise."""
    since_us = slowdown.since_us
    rows, rows_before = history.top_steps(since_us), history.top_steps(since_us - COMPARED_US, since_us)
    if rows.empty or rows_before.empty:
        return None
    now, before = _ms_per_run(rows, slowdown.now.n_rated), _ms_per_run(rows_before, slowdown.before.n_rated)
    rises = {step_id: now.get(step_id, 0.0) - before.get(step_id, 0.0) for step_id in {*now, *before}}
    step_id = min(rises, key=lambda one: (-rises[one], one))
    whole_ms = sum(rises.values())
    if rises[step_id] <= 0 or whole_ms <= 0:
        return None
    names = pd.concat([rows, rows_before])
    name = str(names.loc[names["step_id"] == step_id, "step_name"].max())
    return {
        "step_id": step_id,
        "step_name": name,
        "ms_per_run": round(now.get(step_id, 0.0), 3),
        "ms_per_run_before": round(before.get(step_id, 0.0), 3),
        "share_of_rise": round(min(rises[step_id] / whole_ms, 1.0), 6),  # others may have become faster
    }


def _ms_per_run(rows: pd.DataFrame, n_runs: int) -> dict[str, float]:
    totals = run_totals(rows, ["step_id"])
    return {str(key[0]): t.duration_sum_ms / max(n_runs, 1) for key, t in totals.items()}


def _step_sentence(step: dict[str, Any] | None) -> str:
    if step is None:
        return " No steps were recorded that could say where the time goes."
    if step["share_of_rise"] < MOST_OF_IT:
        return " No single step accounts for most of it."
    return (
        f" Step {named(step)} accounts for {formats.percent_text(step['share_of_rise'], 0)} of the "
        f"increase: {formats.duration_text(step['ms_per_run'])} a run, "
        f"{formats.duration_text(step['ms_per_run_before'])} before."
    )


def _action(since: str, release: Release | None, step: dict[str, Any] | None) -> str:
    if step is not None and step["share_of_rise"] >= MOST_OF_IT:
        text = f"Look at what step {named(step)} waits for, and what changed there at about {since}."
    else:
        text = (
            f"Look at what all steps share and what changed at about {since}: host, network, amount of data."
        )
    if release:
        text += f" Time one case with release {release.before} beside {release.version}."
    return text


def _rated(rows: pd.DataFrame) -> pd.DataFrame:
    return rows[(rows["n_rated"] > 0) & (rows["duration_p50_ms"] > 0)]


def _hourly_medians(rows: pd.DataFrame) -> np.ndarray:
    """One median for each hour with runs; releases of one hour are merged."""
    totals = run_totals(_rated(rows), ["hour_us"])
    return np.array([t.duration_p50_ms for t in totals.values() if t.duration_p50_ms], dtype=np.float64)


def _median(totals: RunTotals) -> float:
    return totals.duration_p50_ms or 0.0
