"""Which anomalies of before were judged again, so that those not found again have become normal.

- Durations and success rates: the hour has news. Where its row has gone altogether, nothing is abnormal
  about it any more; where the series has lost its baseline, nothing is known, and the old verdict stays.
- Numbers of runs: the hour was looked at, its data was complete and there was an expectation.
- No data: the hour was looked at.
"""

from typing import Any

import numpy as np
import pandas as pd

from analytics_lib.anomaly.identity import FAMILY, SERIES

Flags = np.ndarray[Any, np.dtype[np.bool_]]


def judged_again(
    previous: pd.DataFrame,
    *,
    value_hours: frozenset[int],
    without_baseline: pd.DataFrame,
    runs_judged: pd.DataFrame,
    all_hours: frozenset[int],
) -> Flags:
    """For each row of previous, whether it was.

    without_baseline: series and hour_us of points of value_hours that had no expectation. runs_judged:
    series and hour_us of the numbers of runs that were judged. all_hours: the hours that were looked at.
    """
    family = previous["kind"].map(FAMILY)
    is_value = family.isin(["duration", "success"]) & previous["hour_us"].isin(list(value_hours))
    again = (
        (is_value & ~_is_among(previous, without_baseline))
        | ((family == "runs") & _is_among(previous, runs_judged))
        | ((family == "data") & previous["hour_us"].isin(list(all_hours)))
    )
    return again.to_numpy(dtype=np.bool_)


def _is_among(rows: pd.DataFrame, keys: pd.DataFrame) -> Flags:
    names = [*SERIES, "hour_us"]
    near = keys.loc[keys["hour_us"].isin(rows["hour_us"]), names]  # few: the others need not become texts
    known = set(near.astype(dict.fromkeys(SERIES, "object")).itertuples(index=False, name=None))
    ours = rows[names].itertuples(index=False, name=None)
    return np.fromiter((key in known for key in ours), dtype=np.bool_, count=len(rows))
