"""What the detectors hand on: one row per series and hour that is not normal, not yet told or weighed."""

import json
from collections.abc import Mapping
from typing import Any, Final

import pandas as pd

from analytics_lib.anomaly.identity import SERIES

FINDING_COLUMNS: Final = [
    *SERIES,
    "kind",
    "hour_us",
    "observed",
    "expected",
    "low",
    "high",
    "score",
    "n",
    "evidence",
]
WHAT: Final = ["workflow_id", "environment", "step_id"]
_TYPES: Final = dict.fromkeys(FINDING_COLUMNS, "float64") | {
    **dict.fromkeys([*SERIES, "kind", "evidence"], "object"),
    "hour_us": "int64",
    "n": "int64",
}


def as_findings(rows: pd.DataFrame) -> pd.DataFrame:
    """The rows with the columns and types of findings, by series and hour."""
    found = rows.reindex(columns=FINDING_COLUMNS)
    found["score"] = found["score"].astype("float64").round(4)  # the same on every machine
    found = found.astype(_TYPES)
    return found.sort_values([*SERIES, "hour_us", "kind"]).reset_index(drop=True)


def no_findings() -> pd.DataFrame:
    """A frame of findings without rows."""
    return as_findings(pd.DataFrame(columns=FINDING_COLUMNS))


def evidence_text(facts: Mapping[str, Any]) -> str:
    """The facts as JSON, numbers short enough to read."""
    short = {name: float(f"{x:.6g}") if isinstance(x, float) else x for name, x in facts.items()}
    return json.dumps(short, ensure_ascii=False, sort_keys=True)
