"""Points, bands and heartbeats small enough to check on paper. Hours are counted from Monday noon."""

from typing import Any

import pandas as pd

from analytics_lib.windows import HOUR_US, SECOND_US, to_us
from tests.make import NOON

NOON_US = to_us(NOON)
MINUTE_US = 60 * SECOND_US
SERIES = {"workflow_id": "invoices", "environment": "production", "step_id": ""}


def hour(n: float) -> int:
    return int(NOON_US + n * HOUR_US)


def point(
    n: int, value: float, *, metric: str = "duration_ms", runs: int = 10, **fields: Any
) -> dict[str, Any]:
    """A point as `expect` leaves it: by default a duration of normally 10 s, a sigma of 10 %, ten runs."""
    row: dict[str, Any] = {**SERIES, "metric": metric, "hour_us": hour(n), "value": value, "n": runs}
    if metric == "duration_ms":
        band = {"center": 9.21034037, "scale": 0.1, "space": "log"}  # ln 10,000
        edges = {"expected": 10_000.0, "low": 7_408.0, "high": 13_499.0}
    elif metric == "success_rate":
        band = {"center": 0.98, "scale": 0.05, "space": "linear"}
        edges = {"expected": 0.98, "low": 0.83, "high": 1.0}
    else:
        band = {"center": 10.0, "scale": 3.0, "space": "linear"}
        edges = {"expected": 10.0, "low": 1.0, "high": 19.0}
    learnt = {"level": "hour_of_week", "n_baseline": 8, "active_share": 1.0}
    return row | band | edges | learnt | fields


def without_baseline(row: dict[str, Any]) -> dict[str, Any]:
    nothing = dict.fromkeys(("center", "scale", "active_share", "expected", "low", "high"), float("nan"))
    return row | nothing | {"space": "", "level": "", "n_baseline": 0}


def frame(*rows: dict[str, Any]) -> pd.DataFrame:
    return pd.DataFrame(list(rows))


def usual(**fields: Any) -> pd.DataFrame:
    """What is usual for a series; without fields, nothing is known."""
    columns = ["workflow_id", "environment", "step_id", "metric", "level", "usual_scale", "usual_center"]
    if not fields:
        return pd.DataFrame(columns=columns)
    return pd.DataFrame(
        [{**SERIES, "metric": "duration_ms", "level": "hour_of_week"} | fields], columns=columns
    )


def heartbeat(host: str, n: float, **fields: Any) -> dict[str, Any]:
    """An agent's last word of an hour, with everything before it delivered."""
    row = {"host": host, "agent_id": f"daemon of {host}", "sent_at_us": hour(n), "complete_to_us": hour(n)}
    row |= {"rows_pending": 0} | fields
    return row | {"hour_us": row["sent_at_us"] - row["sent_at_us"] % HOUR_US}
