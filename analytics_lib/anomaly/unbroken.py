"""Since when: the first hour of the unbroken row that an anomaly stands in.

A row of hours of the same series and kind is broken by an hour in which the series had rows and which is not
such an anomaly. Hours in which nothing ran break nothing: a workflow that runs at nine and is slow
every morning is slow since the first of them. For no_data there are no such hours, and any gap breaks.
"""

import numpy as np
import pandas as pd

from analytics_lib.anomaly.findings import WHAT
from analytics_lib.anomaly.identity import SERIES
from analytics_lib.windows import HOUR_US


def unbroken_since(anomalies: pd.DataFrame, active: pd.DataFrame, begins_us: int = 0) -> "pd.Series[int]":
    """since_us of each anomaly, by its index.

    anomalies: series, kind and hour_us of all open ones since begins_us; known_since_us, where it was known
    before, else NaN, tells of rows that began earlier than that. active: workflow_id, environment, step_id
    and hour_us of the hours in which something ran.

    >>> key = {"workflow_id": "w", "environment": "", "step_id": ""}
    >>> slow = pd.DataFrame([{**key, "metric": "duration_ms", "kind": "slower", "hour_us": h * HOUR_US}
    ...                      for h in (1, 3, 6)])
    >>> ran = pd.DataFrame([{**key, "hour_us": h * HOUR_US} for h in (1, 3, 5, 6)])
    >>> (unbroken_since(slow, ran) // HOUR_US).tolist()
    [1, 1, 6]
    """
    since = pd.Series(anomalies["hour_us"], dtype="int64")
    ran = {key: np.unique(rows) for key, rows in active.groupby(WHAT)["hour_us"]}
    none = np.empty(0, dtype=np.int64)
    for key, rows in anomalies.groupby([*SERIES, "kind"]):
        ordered = rows["hour_us"].sort_values()
        hours = ordered.to_numpy(dtype=np.int64)
        if key[4] == "no_data":
            is_broken = np.diff(hours) > HOUR_US
        else:
            others = np.setdiff1d(ran.get(key[:3], none), hours)
            is_broken = np.diff(np.searchsorted(others, hours)) > 0
        first = np.concatenate([[0], np.flatnonzero(is_broken) + 1])
        row = np.concatenate([[0], np.cumsum(is_broken)])
        begun = hours[first]
        if "known_since_us" in rows:
            known = rows.loc[ordered.index, "known_since_us"].to_numpy(dtype=float)[first]
            began_earlier = known < begins_us  # which NaN is not
            begun[began_earlier] = known[began_earlier].astype(np.int64)
        since.loc[ordered.index] = begun[row]
    return since
