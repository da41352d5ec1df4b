"""Small rollup rows and points: everything has a default, so that a test names what it is about."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pandas as pd

from analytics_lib.baseline.hourly import POINT_COLUMNS, ROLLUP_COLUMNS
from analytics_lib.rollup.sketch import encode
from analytics_lib.windows import HOUR_US, Window, to_us

MONDAY = to_us(datetime(2026, 1, 5, tzinfo=UTC))  # 00:00 UTC
WEEK_US = 168 * HOUR_US


def hour(week: int, day: int, hour_of_day: int) -> int:
    """A UTC hour: weeks after MONDAY, day 0 is Monday."""
    return MONDAY + ((week * 7 + day) * 24 + hour_of_day) * HOUR_US


def weeks(n: int) -> Window:
    return Window(MONDAY, MONDAY + n * WEEK_US)


def row(hour_us: int, durations_ms: Sequence[float] = (1000.0,), **fields: Any) -> dict[str, Any]:
    """A rollup row of completed runs with these durations; counts can be named instead."""
    some = len(durations_ms) > 0
    values: dict[str, Any] = {
        "workflow_id": "invoices",
        "environment": "production",
        "step_id": "",
        "hour_us": hour_us,
        "n": len(durations_ms),
        "n_skipped": 0,
        "n_rated": len(durations_ms),
        "duration_min_ms": min(durations_ms) if some else None,
        "duration_max_ms": max(durations_ms) if some else None,
        "duration_p50_ms": float(np.median(durations_ms)) if some else None,
        "duration_sketch": encode(np.array(durations_ms, dtype=np.float64)),
    }
    values |= fields
    values.setdefault("n_completed", values["n"] - values["n_skipped"])
    return values


def frame(rows: Iterable[Mapping[str, Any]] = ()) -> pd.DataFrame:
    return pd.DataFrame(list(rows), columns=ROLLUP_COLUMNS)


def point(hour_us: int, value: float, n: int = 10, metric: str = "duration_ms", **key: str) -> dict[str, Any]:
    series = {"workflow_id": "invoices", "environment": "production", "step_id": "", "metric": metric} | key
    return series | {"hour_us": hour_us, "value": float(value), "n": n}


def points(rows: Iterable[Mapping[str, Any]] = ()) -> pd.DataFrame:
    made = pd.DataFrame(list(rows), columns=POINT_COLUMNS)
    return made.astype({"hour_us": "int64", "value": "float64", "n": "int64"})
