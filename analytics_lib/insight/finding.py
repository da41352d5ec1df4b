"""What a rule finds: one statement about one workflow (or one of its steps), with its evidence."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import pandas as pd

from analytics_lib import formats

MOST_ANOMALY_IDS: Final = 20
NAME_LIMIT: Final = 60
Subject = tuple[str, str, str, str]


@dataclass(frozen=True, slots=True)
class Finding:
    """What holds now. `impact_robot_hours` and `severity` are explained by the rule that sets them."""

    rule: str
    workflow_id: str
    environment: str
    step_id: str
    title: str
    explanation: str
    action: str
    evidence: Mapping[str, Any]
    impact_robot_hours: float
    severity: int
    first_seen_us: int
    last_seen_us: int

    @property
    def subject(self) -> Subject:
        """What it is about: findings of one subject, day after day, are one insight."""
        return self.rule, self.workflow_id, self.environment, self.step_id


def graded(share: float, low: int, high: int) -> int:
    """A severity between low (share 0) and high (share 1 and more).

    >>> graded(0.0, 40, 100), graded(0.5, 40, 100), graded(7.0, 40, 100)
    (40, 70, 100)
    """
    return round(low + (high - low) * min(max(share, 0.0), 1.0))


def named(step: Mapping[str, Any]) -> str:
    """A step's name in quotation marks, on one line and not too long."""
    return f"“{formats.name_text(step['step_name'] or step['step_id'], NAME_LIMIT)}”"


def anomaly_ids(rows: pd.DataFrame) -> list[str]:
    """The ids of the most severe anomalies, at most 20."""
    if rows.empty:
        return []
    order = rows.sort_values(["severity", "anomaly_id"], ascending=[False, True])
    return [str(one) for one in order["anomaly_id"].head(MOST_ANOMALY_IDS)]


def rounded(values: Iterable[float]) -> list[float]:
    """Shares for the evidence: more digits would only differ between machines."""
    return [round(float(value), 6) for value in values]


def interval_text(interval: tuple[float, float]) -> str:
    """An interval of shares.

    >>> interval_text((0.721, 0.834))
    '72–83\\xa0%'
    """
    return f"{interval[0] * 100:.0f}–{interval[1] * 100:.0f}{formats.NBSP}%"
