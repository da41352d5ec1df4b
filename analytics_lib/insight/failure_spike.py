"""Far fewer runs complete than before, since a moment, up to now.

Compared are the runs since s with those of the 14 days before s. For s there are two sources: the hour
from which the rate is lowest (`change_point`), long enough ago to hold as many hours with runs as a day
usually has; and the hours from which the success rate was flagged as abnormal for its hour of the week,
however short ago. It is found when

- the rate fell by at least 5 percentage points, with 3 failures in 5 runs or more, after 14 or more, and
- so many failures have a chance below 1 in 10 000 even if the earlier failure rate was at the upper end
  of its 95 % interval (Wilson): the earlier rate is only known as well as its runs allow, and the split
  was chosen for its looks;
- the same hours a week before were not as bad (a robot that fails every weekend is no news);
- it has not ended: the last day (20 runs at least) is not clearly better and halfway back.

Runs are treated as independent: failures that come in bursts are found somewhat too easily.

Impact: failures beyond what the earlier rate explains, times the mean duration of a run: robots were
busy for nothing that long, and the work is still to be done.
"""

from dataclasses import dataclass
from typing import Any, Final

import pandas as pd

from analytics_lib import formats
from analytics_lib.insight.change_point import worse_since
from analytics_lib.insight.finding import Finding, anomaly_ids, graded, interval_text, named, rounded
from analytics_lib.insight.inputs import History, InsightInputs
from analytics_lib.insight.releases import Release, release_near
from analytics_lib.statistics import FEW_RUNS, chance_of_as_many, rate_z, wilson_interval
from analytics_lib.totals import RunTotals, run_totals, total
from analytics_lib.windows import DAY_US

RULE: Final = "failure_spike"
SMALLEST_FALL: Final = 0.05
FEWEST_RUNS: Final = 5
FEWEST_FAILURES: Final = 3
FEWEST_RUNS_BEFORE: Final = 14  # two weeks of one run a day
HIGHEST_CHANCE: Final = 1e-4
COMPARED_US: Final = 14 * DAY_US
WEEK_US: Final = 7 * DAY_US
LARGE_FALL: Final = 0.5  # the fall that counts as a severity of 100
BUSINESS_SHARE: Final = 0.5


@dataclass(frozen=True, slots=True)
class Spike:
    """A fall of the success rate that lasts."""

    since_us: int
    now: RunTotals
    before: RunTotals
    chance: float

    @property
    def fall(self) -> float:
        return (self.before.success_rate or 0.0) - (self.now.success_rate or 0.0)


def find(inputs: InsightInputs) -> list[Finding]:
    """One finding for each workflow of which far fewer runs complete than before."""
    found = ((history, spike_of(history)) for history in inputs.histories)
    return [_finding(history, spike) for history, spike in found if spike is not None]


def spike_of(history: History) -> Spike | None:
    """The clearest fall of the workflow's success rate that lasts up to now; None for none."""
    earliest_us, latest_us = history.end_us - COMPARED_US, history.day_long_start_us()
    scanned_us = None if latest_us is None else _lowest_since(history.executions, earliest_us, latest_us)
    flagged = sorted({int(since) for since in history.flagged("failing", earliest_us)["since_us"]})
    starts = [(scanned_us, False)] if scanned_us is not None else []
    starts += [(since_us, True) for since_us in flagged]
    spikes = [_judge(history, since_us, is_flagged) for since_us, is_flagged in starts]
    return min(
        (s for s in spikes if s is not None),
        key=lambda s: (rate_z(s.now, s.before), s.since_us),
        default=None,
    )


def _judge(history: History, since_us: int, is_flagged: bool) -> Spike | None:
    now, before = total(history.runs(since_us)), total(history.runs(since_us - COMPARED_US, since_us))
    if now.success_rate is None or before.success_rate is None:
        return None
    failures = now.n_tried - now.n_completed
    if now.n_tried < FEWEST_RUNS or failures < FEWEST_FAILURES or before.n_tried < FEWEST_RUNS_BEFORE:
        return None
    if before.success_rate - now.success_rate < SMALLEST_FALL:
        return None
    likeliest = 1 - wilson_interval(before.n_completed, before.n_tried)[0]
    chance = chance_of_as_many(failures, now.n_tried, likeliest)
    halfway = (before.success_rate + now.success_rate) / 2
    if chance > HIGHEST_CHANCE or _has_ended(history, since_us, now, halfway):
        return None
    if not is_flagged and _is_usual(history, since_us, halfway):
        return None
    spike = Spike(since_us, now, before, chance)
    return spike if is_flagged else _dated(history, spike, halfway)


def _lowest_since(rows: pd.DataFrame, earliest_us: int, latest_us: int) -> int | None:
    """The hour from which the success rate is lowest."""
    tried = rows[rows["n"] > rows["n_skipped"]]
    n = tried["n"] - tried["n_skipped"]
    failing = 1 - tried["n_completed"] / n
    return worse_since(tried["hour_us"], failing, n, earliest_us=earliest_us, latest_us=latest_us)


def _dated(history: History, spike: Spike, halfway: float) -> Spike:
    """The spike from a later hour on, where the first part of a whole day was still good."""
    rows = history.runs(spike.since_us)
    later_us = _lowest_since(rows, spike.since_us + 1, history.end_us)
    if later_us is None or not _is_good(total(history.runs(spike.since_us, later_us)), spike.now, halfway):
        return spike
    now, before = total(history.runs(later_us)), total(history.runs(later_us - COMPARED_US, later_us))
    return Spike(later_us, now, before, spike.chance)


def _is_good(part: RunTotals, whole: RunTotals, halfway: float) -> bool:
    """Whether a part of the time went clearly better than all of it."""
    rate, rate_of_all = part.success_rate or 0.0, whole.success_rate or 0.0
    return rate >= halfway and chance_of_as_many(part.n_completed, part.n_tried, rate_of_all) < 0.01


def _has_ended(history: History, since_us: int, now: RunTotals, halfway: float) -> bool:
    """Whether the last day, or the last 20 runs, went much better than the whole since then."""
    hours = history.runs(since_us).groupby("hour_us")[["n", "n_skipped"]].sum()
    counted = (hours["n"] - hours["n_skipped"])[::-1].cumsum()
    enough = counted[counted >= FEW_RUNS]
    if enough.empty:
        return False
    last = total(history.runs(max(min(int(enough.index[0]), history.end_us - DAY_US), since_us)))
    return _is_good(last, now, halfway)


def _is_usual(history: History, since_us: int, halfway: float) -> bool:
    """Whether the same hours a week before were as bad; unknown where they are part of it."""
    if history.end_us - since_us >= WEEK_US:
        return False
    week_before = total(history.runs(since_us - WEEK_US, history.end_us - WEEK_US))
    rate = week_before.success_rate
    return rate is not None and week_before.n_tried >= FEWEST_RUNS and rate <= halfway


def _finding(history: History, spike: Spike) -> Finding:
    now, before = spike.now, spike.before
    failures = now.n_tried - now.n_completed
    since = history.moment(spike.since_us)
    release = release_near(history, spike.since_us)
    step = _failing_step(history, spike.since_us)
    interval, interval_before = (wilson_interval(t.n_completed, t.n_tried) for t in (now, before))
    expected = (1 - (before.success_rate or 0.0)) * now.n_tried
    mean_ms = now.duration_sum_ms / now.n_rated if now.n_rated else 0.0
    impact = max(failures - expected, 0.0) * mean_ms / formats.HOUR_MS
    business = bool(now.n_failures) and now.n_business / now.n_failures > BUSINESS_SHARE
    flagged = history.flagged("failing", spike.since_us)
    failing = formats.percent_text(failures / now.n_tried, 0)
    explanation = (
        f"{formats.percent_text(now.success_rate)} of {formats.runs_text(now.n_tried)} completed since "
        f"{since}, {formats.percent_text(before.success_rate)} of {formats.runs_text(before.n_tried)} in the "
        f"14 days before (95 % intervals {interval_text(interval)} and {interval_text(interval_before)})."
    )
    explanation += release.sentence() if release else ""
    if step:
        explanation += f" Step {named(step)} failed {formats.count_text(step['n_failed'])} times."
    explanation += " Most failures are business exceptions." if business else ""
    evidence: dict[str, Any] = {
        "since_us": spike.since_us,
        "n": now.n_tried,
        "n_failures": failures,
        "success_rate": round(now.success_rate or 0.0, 6),
        "success_rate_interval": rounded(interval),
        "n_before": before.n_tried,
        "success_rate_before": round(before.success_rate or 0.0, 6),
        "success_rate_before_interval": rounded(interval_before),
        "chance": float(f"{spike.chance:.3g}"),
        "n_business": now.n_business,
        "n_application": now.n_application,
        "release": release.as_evidence() if release else None,
        "step": step,
        "anomaly_ids": anomaly_ids(flagged),
    }
    return Finding(
        rule=RULE,
        workflow_id=history.workflow_id,
        environment=history.environment,
        step_id="",
        title=f"{failing} of runs fail since {history.day(spike.since_us)}",
        explanation=explanation,
        action=_action(since, release, step, business),
        evidence=evidence,
        impact_robot_hours=round(impact, 4),
        severity=graded(spike.fall / LARGE_FALL, 40, 100),
        first_seen_us=spike.since_us,
        last_seen_us=int(history.runs(spike.since_us)["hour_us"].max()),
    )


def _failing_step(history: History, since_us: int) -> dict[str, Any] | None:
    """The innermost of the steps that fail most: a step that contains it fails as often."""
    rows = history.steps[history.steps["hour_us"] >= since_us]
    if rows.empty:
        return None
    by_step = {str(key[0]): t for key, t in run_totals(rows, ["step_id"]).items() if t.n_failures}
    most = max((t.n_failures for t in by_step.values()), default=0)
    if not most:
        return None
    names = rows.groupby("step_id")["step_name"].max().to_dict()
    depths = rows.groupby("step_id")["depth"].max().to_dict()
    likely = [step_id for step_id, t in by_step.items() if t.n_failures >= 0.8 * most]
    step_id = min(likely, key=lambda one: (-depths[one], -by_step[one].n_failures, one))
    return {
        "step_id": step_id,
        "step_name": str(names[step_id]),
        "n_failed": by_step[step_id].n_failures,
        "n": by_step[step_id].n,
    }


def _action(since: str, release: Release | None, step: dict[str, Any] | None, business: bool) -> str:
    first = f", first where step {named(step)} failed" if step else ""
    if business:
        text = f"Check the data that came in since {since}: read the messages of the failed runs{first}."
    else:
        text = f"Read the messages of the runs that failed since {since}{first}."
    if release:
        text += f" Run one case with release {release.before}: if it completes, go back to it."
    return text
