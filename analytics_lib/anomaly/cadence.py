"""Runs missing from a steady cadence: hours in which a run was owed, and none ended and none was running.

A run is owed in an hour when nine of ten hours like it had one: of at least five same hours of the week,
else of at least twenty same hours of working or of free days. An owed hour is silent when
- the data of all hosts that the workflow normally uses is complete to the hour's end,
- no run ended in it and none was running,
- and no run came a little early or late: a run in a neighbouring hour counts for this one when the neighbour
  is not owed itself. While such an hour is to come, the verdict waits for it.

Cadences are seldom perfect. With q = silent share of the series' owed hours, a row of k silent ones has the
chance q^k, independence taken for granted; it is reported from q^k <= `missing_chance` on, all of its hours
at once: after the first hour where none was ever silent, after at most `longest_wait` for q <= 4.6 %. A
cadence less steady than that owes nothing.

A baseline that was learnt while a workflow was silent already must not take that silence for normal: of the
hours behind a band, and of q, a silent hour that is judged itself is left out where it lies in the history.

When it misleads: holidays look like missing runs; a run due near the turn of an hour that now ends before
it, now after it, is owed in neither; silence comes in bursts, which makes q too small a chance.

score: sigmas of q^k for the k-th hour of the row (the third, for later ones: how long it lasts is told
apart), with q at least 1 / (hours + 2): forty mornings do not prove the forty-first (Laplace).
"""

from typing import Final

import numpy as np
import pandas as pd

from analytics_lib.anomaly.chance import sigmas_of
from analytics_lib.anomaly.findings import WHAT, as_findings, evidence_text, no_findings
from analytics_lib.anomaly.parameters import AnomalyParameters
from analytics_lib.windows import HOUR_US, Window

Flags = np.ndarray[tuple[int], np.dtype[np.bool_]]
RUNS: Final = "runs_per_hour"


def missing_runs(
    points: pd.DataFrame,
    bands: pd.DataFrame,
    running: pd.DataFrame,
    complete_to: pd.DataFrame,
    history: Window | None = None,
    parameters: AnomalyParameters | None = None,
) -> pd.DataFrame:
    """Findings of kind missing_runs, one for each silent hour.

    points: runs_per_hour of workflows as `baseline.expect` leaves them, every hour from some days before
    those in question (for the rows that begin there) to the open one (for whether it is owed). bands: those
    that they were compared with. running: workflow_id, environment, started_at_us, until_us of runs
    that went on past an hour's end. complete_to: as `workflows_complete_to` gives it; a workflow that is not
    in it is not judged, and neither should attended ones be handed in. history: what the bands were
    learnt from.
    """
    parameters = parameters or AnomalyParameters()
    hours = points[(points["metric"] == RUNS) & (points["step_id"] == "")]
    hours = hours.astype({"workflow_id": "object", "environment": "object", "level": "object"})
    hours = hours.merge(complete_to, on=["workflow_id", "environment"])
    if hours.empty:
        return no_findings()
    hours = hours.sort_values([*WHAT, "hour_us"]).reset_index(drop=True)
    has_run = (hours["value"] > 0).to_numpy()
    hours["learnt"] = False
    if history is not None:
        is_past = hours["hour_us"].between(history.start_us, history.end_us - HOUR_US)
        hours["learnt"] = is_past & ~has_run
    hours["owed"] = _is_owed(
        hours["level"],
        # Without this hour, which had no run, as many had one among one less.
        hours["active_share"] * hours["n_baseline"] / (hours["n_baseline"] - hours["learnt"]).clip(lower=1),
        hours["n_baseline"] - hours["learnt"],
        parameters,
    )
    is_active = has_run | _was_running(hours, running)
    is_silent = _is_silent(hours, is_active)
    series = hours.groupby(WHAT, sort=False).ngroup().to_numpy()
    # A row of silence goes on until a run breaks it; hours in which nothing is owed do not.
    row = np.cumsum(is_active | (np.diff(series, prepend=series[:1]) != 0))
    found = hours[is_silent].assign(row=row[is_silent])
    found["k"] = found.groupby("row").cumcount() + 1
    found["length"] = found.groupby("row")["k"].transform("max")
    found = _with_silent_share(found, bands, parameters)
    share = found["silent_share"]
    steady = share <= parameters.steady_chance
    found["k"] = found["k"].clip(upper=parameters.longest_wait)
    return _as_findings(found[steady & (share ** found["length"] <= parameters.missing_chance)])


def _is_owed(
    level: "pd.Series[str]", share: "pd.Series[float]", n: "pd.Series[float]", parameters: AnomalyParameters
) -> Flags:
    enough = ((level == "hour_of_week") & (n >= parameters.owed_min_hours_of_week)) | (
        (level == "hour_of_day") & (n >= parameters.owed_min_hours_of_day)
    )
    return (enough & (share >= parameters.owed_share)).to_numpy()


def _was_running(hours: pd.DataFrame, running: pd.DataFrame) -> Flags:
    """Whether a run was under way in each hour; both its first and its last hour count."""
    flags = np.zeros(len(hours), dtype=np.bool_)
    places = hours.groupby(["workflow_id", "environment"]).indices
    starts = hours["hour_us"].to_numpy(dtype=np.int64)
    for run in running.to_dict("records"):
        at = places.get((run["workflow_id"], run["environment"]))
        if at is not None:
            under_way = (starts[at] + HOUR_US > run["started_at_us"]) & (starts[at] <= run["until_us"])
            flags[at[under_way]] = True
    return flags


def _is_silent(hours: pd.DataFrame, is_active: Flags) -> Flags:
    """Owed, known to be complete, without a run, and without one in a neighbouring hour that is not owed."""
    owed = hours["owed"].to_numpy(dtype=bool)
    is_complete = (hours["hour_us"] + HOUR_US <= hours["complete_to_us"]).to_numpy()
    before, after = _neighbour(hours, -1), _neighbour(hours, 1)
    came_early = (before >= 0) & (is_active & ~owed)[before]
    came_late = (after >= 0) & (is_active & ~owed)[after]
    is_final = (after >= 0) & (owed | is_complete)[after]
    is_silent: Flags = owed & is_complete & is_final & ~is_active & ~came_early & ~came_late
    return is_silent


def _neighbour(hours: pd.DataFrame, offset: int) -> "np.ndarray[tuple[int], np.dtype[np.int64]]":
    """Where the hour before or after lies; -1 where the frame does not hold it."""
    at = np.arange(len(hours)) + offset
    within = np.clip(at, 0, len(hours) - 1)
    hour, series = hours["hour_us"].to_numpy(), hours.groupby(WHAT, sort=False).ngroup().to_numpy()
    is_next = (hour[within] == hour + offset * HOUR_US) & (series[within] == series)
    return np.where((at == within) & is_next, within, -1)


def _with_silent_share(
    found: pd.DataFrame, bands: pd.DataFrame, parameters: AnomalyParameters
) -> pd.DataFrame:
    """With silent_share and n_owed: of the owed hours behind the series' bands, how many had no run."""
    owed = bands[(bands["metric"] == RUNS) & (bands["step_id"] == "")]
    owed = owed[_is_owed(owed["level"], owed["active_share"], owed["n"], parameters)]
    key = [*WHAT, "level"]
    owed = owed.astype(dict.fromkeys(key, "object"))
    sums = (
        owed.assign(silent=owed["n"] * (1 - owed["active_share"]), n_owed=owed["n"])
        .groupby(key, as_index=False)[["silent", "n_owed"]]
        .sum()
    )
    found = found.merge(sums, on=key)
    counted = found["learnt"] & (found["active_share"] >= parameters.owed_share)
    own = counted.groupby([found[name] for name in key]).transform("sum")
    found["n_owed"] = found["n_owed"] - own
    found["silent_share"] = (found["silent"] - own).round(6).clip(lower=0) / found["n_owed"].clip(lower=1)
    return found


def _as_findings(found: pd.DataFrame) -> pd.DataFrame:
    least = np.maximum(found["silent_share"], 1 / (found["n_owed"] + 2))
    score = [-sigmas_of(chance) for chance in (least ** found["k"]).tolist()]
    evidence = [
        evidence_text({name: row[name] for name in ("level", "n_owed", "silent_share")})
        for row in found.to_dict("records")
    ]
    return as_findings(
        found.assign(
            kind="missing_runs",
            observed=0.0,
            score=score,
            n=np.maximum(np.rint(found["expected"]), 1),
            evidence=evidence,
        )
    )
