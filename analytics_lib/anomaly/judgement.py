"""Hours whose durations, success rates or numbers of runs are not normal: improbable, and large enough.

score = (value - center) / scale in the metric's space, the scale widened as `chance` says; for success rates
the exact chance of as many failures, in sigmas. An anomaly needs |score| >= min_score and:
- duration_ms: 20 % and one second, up "slower", down "faster";
- success_rate: ten points down and three runs that did not complete, "failing"; up is no trouble;
- runs_per_hour of a workflow: half of what is expected and three runs, down "fewer_runs", up "more_runs".
  Steps have none: where a workflow runs less, all of its steps do.

A point without an expectation (too little history) is not judged: that is an answer, not a zero.
When it misleads: an effect that is small beside one hour's noise is never found here, however long it
lasts; a change of the schedule is an anomaly until half of the history has it.
"""

from typing import Any, Final

import numpy as np
import pandas as pd

from analytics_lib.anomaly import chance
from analytics_lib.anomaly.findings import WHAT, as_findings, evidence_text, no_findings
from analytics_lib.anomaly.identity import SERIES
from analytics_lib.anomaly.parameters import AnomalyParameters

_KEY: Final = [*SERIES, "level"]


def judge(
    points: pd.DataFrame, usual: pd.DataFrame, parameters: AnomalyParameters | None = None
) -> pd.DataFrame:
    """Findings among points as `baseline.expect` leaves them.

    usual: series, level, usual_scale and usual_center, the means over the bands of the level. A series
    that is not in it is measured by its band alone, which never finds less: so it need hold only
    those in which something was found without it. The points of an hour should be handed in together: how
    many runs an hour usually has, the other metrics learn from its runs_per_hour.
    """
    parameters = parameters or AnomalyParameters()
    known = points[points["expected"].notna()]
    if known.empty:
        return no_findings()
    known = _with_what_is_usual(known, points, usual)
    found = [
        _durations(known[known["metric"] == "duration_ms"], parameters),
        _success_rates(known[known["metric"] == "success_rate"], parameters),
        _numbers_of_runs(known[(known["metric"] == "runs_per_hour") & (known["step_id"] == "")], parameters),
    ]
    rows = pd.concat([rows for rows in found if len(rows)] or [no_findings()], ignore_index=True)
    return as_findings(rows)


def _with_what_is_usual(known: pd.DataFrame, points: pd.DataFrame, usual: pd.DataFrame) -> pd.DataFrame:
    """The points with usual_scale and usual_center of their series, and usual_n runs of their hour."""
    columns = [*_KEY, "usual_scale", "usual_center"]
    of_series = usual[columns].astype(dict.fromkeys(_KEY, "object"))
    plain = known.astype(dict.fromkeys(_KEY, "object")).merge(of_series, on=_KEY, how="left")
    runs = points.loc[points["metric"] == "runs_per_hour", [*WHAT, "hour_us", "expected"]]
    runs = runs.astype(dict.fromkeys(WHAT, "object")).rename(columns={"expected": "usual_n"})
    return plain.merge(runs, on=[*WHAT, "hour_us"], how="left")


def _durations(points: pd.DataFrame, parameters: AnomalyParameters) -> pd.DataFrame:
    value, expected = points["value"].to_numpy(float), points["expected"].to_numpy(float)
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = value / expected
    score = _score(points, np.log(np.maximum(value, 1.0)))
    large = np.abs(value - expected) >= parameters.min_duration_change_ms
    least = 1 + parameters.min_duration_change
    slower = large & (score >= parameters.min_score) & (ratio >= least)
    faster = large & (score <= -parameters.min_score) & (ratio <= 1 / least)
    return _found(points, score, np.where(slower, "slower", np.where(faster, "faster", "")))


def _success_rates(points: pd.DataFrame, parameters: AnomalyParameters) -> pd.DataFrame:
    value, n = points["value"].to_numpy(float), points["n"].to_numpy(float)
    failed = np.rint((1 - value) * n)
    drop = points["expected"].to_numpy(float) - value
    # 1e-9: 0.9 - 0.8 is a little less than 0.1.
    suspect = points[(drop >= parameters.min_rate_drop - 1e-9) & (failed >= parameters.min_failed)]
    suspect = suspect.assign(
        usual_center=suspect["usual_center"].fillna(suspect["center"]),
        usual_n=suspect["usual_n"].fillna(suspect["n"]),
    )
    sigmas = [
        chance.failing_sigmas(
            _failed(row),
            int(row["n"]),
            center=row["center"],
            usual_center=row["usual_center"],
            scale=row["scale"],
            n_hours=row["n_baseline"],
            usual_runs=row["usual_n"],
        )
        for row in suspect.to_dict("records")
    ]
    score = -np.array(sigmas, dtype=float)
    return _found(suspect, score, np.where(score <= -parameters.min_score, "failing", ""))


def _failed(row: dict[Any, Any]) -> int:
    """How many runs of a success rate's point did not complete."""
    failed: int = round((1 - row["value"]) * row["n"])
    return failed


def _numbers_of_runs(points: pd.DataFrame, parameters: AnomalyParameters) -> pd.DataFrame:
    value, expected = points["value"].to_numpy(float), points["expected"].to_numpy(float)
    score = _score(points, value)
    change = value - expected
    least = np.maximum(parameters.min_runs_difference, parameters.min_runs_change * expected)
    kind = np.where(change < 0, "fewer_runs", "more_runs")
    return _found(
        points,
        score,
        np.where((np.abs(change) >= least) & (np.abs(score) >= parameters.min_score), kind, ""),
    )


def _score(points: pd.DataFrame, in_space: chance.Floats) -> chance.Floats:
    scale = chance.widened_scale(points)
    away = in_space - points["center"].to_numpy(float)
    # A scale of zero (a baseline without a floor) says nothing about how far is far.
    score: chance.Floats = np.divide(away, scale, out=np.zeros(len(points)), where=scale > 0)
    return score


def _found(points: pd.DataFrame, score: chance.Floats, kind: Any) -> pd.DataFrame:
    rows = points.assign(score=score, kind=kind)
    rows = rows[rows["kind"] != ""]
    evidence = [
        evidence_text(
            {"level": row["level"], "n_baseline": int(row["n_baseline"])}
            | ({"failed": _failed(row)} if row["metric"] == "success_rate" else {})
        )
        for row in rows.to_dict("records")
    ]
    return rows.assign(evidence=evidence, observed=rows["value"])
