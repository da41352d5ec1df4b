"""What to look at first."""

import math
from collections.abc import Mapping, Sequence
from typing import Any, Final

NEW_COUNTS: Final = 1.25  # news first, when all else is equal


def importance(severity: int, impact_robot_hours: float, state: str) -> float:
    """severity * (1 + log2(1 + impact in robot hours)), a quarter more for new ones.

    The logarithm, since the largest workflow of a fleet would else outrank every small one that is
    broken: 3 hours count three times as much as none, 63 hours seven times.

    >>> importance(80, 0.0, "ongoing"), importance(40, 3.0, "ongoing"), importance(80, 0.0, "new")
    (80.0, 120.0, 100.0)
    """
    return severity * (1 + math.log2(1 + impact_robot_hours)) * (NEW_COUNTS if state == "new" else 1.0)


def ranks(rows: Sequence[Mapping[str, Any]]) -> list[int]:
    """1 for the most important row of the table `insight`, 2 for the next; 0 for resolved ones."""
    lasting = [i for i, row in enumerate(rows) if row["state"] != "resolved"]
    lasting.sort(key=lambda i: _key(rows[i]))
    found = [0] * len(rows)
    for rank, i in enumerate(lasting, start=1):
        found[i] = rank
    return found


def _key(row: Mapping[str, Any]) -> tuple[float, str, str, str, str]:
    value = importance(row["severity"], row["impact_robot_hours"], row["state"])
    return -value, row["workflow_id"], row["environment"], row["rule"], row["step_id"]
