"""A workflow that used to run does not run any more.

Made of the hours in which runs were owed and none came (anomalies of kind missing_runs, which are
judged only as far as the data of all its hosts is complete). It is found when such an hour lies behind
the last run and within the last 8 days, so that a weekly job is not forgotten on its second day.

Nothing is found where a host of its fell silent after its last missing hour: that is told already, and the
runs may have taken place. Which hosts are its own is not known here, but a host whose data ends before
a missing hour was not waited for, and so is none of them. A silence of a day or more before the host
fell silent stays.

Impact: the runs that were owed times the median duration of its runs of the last 28 days: the work
that was not done.
"""

import json
from typing import Any, Final

import pandas as pd

from analytics_lib import formats
from analytics_lib.insight.finding import Finding, anomaly_ids, graded
from analytics_lib.insight.inputs import History, InsightInputs
from analytics_lib.totals import total
from analytics_lib.windows import DAY_US, HOUR_US

RULE: Final = "silent_workflow"
LOOKED_AT_US: Final = 14 * DAY_US
RECENT_US: Final = 8 * DAY_US
LONG_US: Final = 3 * DAY_US  # so long a silence counts as a severity of 90


def find(inputs: InsightInputs) -> list[Finding]:
    """One finding for each workflow whose runs are missing up to now."""
    silent_hosts = inputs.no_data
    found = (_finding(history, silent_hosts) for history in inputs.histories)
    return [finding for finding in found if finding is not None]


def _finding(history: History, silent_hosts: pd.DataFrame) -> Finding | None:
    ran = history.executions.loc[history.executions["n"] > 0, "hour_us"]
    last_run_us = int(ran.max()) if len(ran) else None
    start_us = max(history.end_us - LOOKED_AT_US, (last_run_us or 0) + HOUR_US)
    missing = history.flagged("missing_runs", start_us)
    if missing.empty or int(missing["hour_us"].max()) < history.end_us - RECENT_US:
        return None
    if _may_have_run_unseen(missing, silent_hosts):
        return None
    first_us = max(int(missing["since_us"].min()), start_us)
    owed = max(round(float(missing["expected"].sum())), 1)
    totals = total(history.executions)
    impact = owed * (totals.duration_p50_ms or 0.0) / formats.HOUR_MS
    runs = f"{formats.count_text(owed)} run{' was' if owed == 1 else 's were'} due since then and none came"
    if last_run_us is None:
        title, begin = "No run in the last 28 days", "No run ended in the last 28 days"
    else:
        title = f"No run since {history.day(last_run_us)}"
        begin = f"The last run ended in the hour from {history.moment(last_run_us)}"
    typical = f" ({formats.runs_text(totals.n)} ended in the last 28 days)" if totals.n else ""
    evidence: dict[str, Any] = {
        "n": owed,
        "last_run_hour_us": last_run_us,
        "first_missing_hour_us": first_us,
        "n_missing_hours": len(missing),
        "n_runs_in_28_days": totals.n,
        "anomaly_ids": anomaly_ids(missing),
    }
    return Finding(
        rule=RULE,
        workflow_id=history.workflow_id,
        environment=history.environment,
        step_id="",
        title=title,
        explanation=f"{begin}. {runs}{typical}.",
        action="Check whether its schedule, trigger or queue was switched off, then start one run by hand.",
        evidence=evidence,
        impact_robot_hours=round(impact, 4),
        severity=graded((history.end_us - first_us) / LONG_US, 55, 90),
        first_seen_us=first_us,
        last_seen_us=int(missing["hour_us"].max()),
    )


def _may_have_run_unseen(missing: pd.DataFrame, silent_hosts: pd.DataFrame) -> bool:
    """Whether a host that may be its own has sent no data since its last missing hour."""
    first_us, last_us = int(missing["hour_us"].min()), int(missing["hour_us"].max())
    later = silent_hosts[silent_hosts["hour_us"] >= last_us]
    if later.empty or last_us - first_us >= DAY_US:
        return False
    row = later.sort_values("hour_us").iloc[-1]
    ends: dict[str, int] = json.loads(str(row["evidence"]) or "{}").get("complete_to_us", {})
    # Of many hosts those are not named whose data ends last.
    return int(row["n"]) > len(ends) or any(end_us >= last_us + HOUR_US for end_us in ends.values())
