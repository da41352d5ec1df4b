"""Findings become anomalies: with an identity, since when, how bad, and a sentence that says it all.

The anomalies that are kept from before go through the same again, because an hour that late rows made
normal, or no longer so, changes since when the hours after it are what they are.
"""

import json
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any, Final
from zoneinfo import ZoneInfo

import pandas as pd

from analytics_lib.anomaly.findings import FINDING_COLUMNS
from analytics_lib.anomaly.identity import SERIES, anomaly_id
from analytics_lib.anomaly.sentences import sentence_of
from analytics_lib.anomaly.severity import severity_of
from analytics_lib.anomaly.unbroken import unbroken_since
from analytics_lib.windows import HOUR_US, from_us

ANOMALY_COLUMNS: Final = [
    "anomaly_id",
    *SERIES,
    "kind",
    "hour_us",
    "since_us",
    "observed",
    "expected",
    "low",
    "high",
    "score",
    "n",
    "severity",
    "severity_improbability",
    "severity_effect",
    "severity_duration",
    "severity_reach",
    "sentence",
    "evidence",
    "baseline_id",
]
_TOLD: Final = [name for name in ANOMALY_COLUMNS if name.startswith("severity") or name == "sentence"]
_IDENTITY: Final = ["workflow_id", "environment", "step_id", "kind", "hour_us"]
_NOT_PREFERRED: Final = {"fewer_runs": 1}  # where an owed hour had no run, that says more


def account_for(
    findings: pd.DataFrame,
    kept: pd.DataFrame,
    active: pd.DataFrame,
    *,
    begins_us: int,
    display_name: Callable[[str], str],
    time_zone: str,
) -> pd.DataFrame:
    """Rows of the table anomaly, without their state and moments, by id.

    findings: with baseline_id. kept: anomalies since begins_us that still hold; where a finding has the
    same id, the finding counts. active: see `unbroken_since`. Of two findings of one id the one
    that says more counts. display_name: what people call a workflow. time_zone: of the sentences' times.
    """
    columns = [*FINDING_COLUMNS, "baseline_id"]
    rows = pd.concat(
        [f[columns] for f in (findings, kept) if len(f)] or [findings[columns]], ignore_index=True
    )
    rows["anomaly_id"] = [anomaly_id(*key) for key in rows[_IDENTITY].itertuples(index=False, name=None)]
    rows["is_kept"] = [False] * len(findings) + [True] * len(kept)
    rows["known_since_us"] = [float("nan")] * len(findings) + kept["since_us"].tolist()
    rows["less"] = rows["kind"].map(_NOT_PREFERRED).fillna(0)
    rows = (
        rows.sort_values(["anomaly_id", "is_kept", "less"])
        .drop_duplicates("anomaly_id")
        .reset_index(drop=True)
    )
    rows["since_us"] = unbroken_since(rows, active, begins_us)
    zone = ZoneInfo(time_zone)
    told = [_told(row, display_name, zone) for row in rows.to_dict("records")]
    return pd.concat([rows, pd.DataFrame(told, index=rows.index, columns=_TOLD)], axis=1)[ANOMALY_COLUMNS]


def _told(row: dict[Any, Any], display_name: Callable[[str], str], zone: ZoneInfo) -> dict[str, Any]:
    concerned = max(row["n"], round(row["expected"])) if row["kind"] == "fewer_runs" else row["n"]
    severity = severity_of(
        kind=row["kind"],
        observed=row["observed"],
        expected=row["expected"],
        score=row["score"],
        hours=(row["hour_us"] - row["since_us"]) // HOUR_US + 1,
        n=concerned,
    )
    sentence = sentence_of(
        kind=row["kind"],
        names=_names(row, display_name),
        **{name: row[name] for name in ("observed", "expected", "low", "high", "n")},
        hour=_local(row["hour_us"], zone),
        since=_local(row["since_us"], zone),
    )
    return {
        "severity": severity.total,
        "severity_improbability": severity.improbability,
        "severity_effect": severity.effect,
        "severity_duration": severity.duration,
        "severity_reach": severity.reach,
        "sentence": sentence,
    }


def _names(row: dict[Any, Any], display_name: Callable[[str], str]) -> Sequence[str]:
    if row["kind"] == "no_data":
        return list(json.loads(row["evidence"])["complete_to_us"])
    workflow = display_name(row["workflow_id"])
    return [row["step_id"], workflow] if row["step_id"] else [workflow]


def _local(moment_us: int, zone: ZoneInfo) -> datetime:
    return from_us(int(moment_us)).astimezone(zone)
