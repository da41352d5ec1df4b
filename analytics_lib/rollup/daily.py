"""Daily rows from hourly rows: counts and sums add up, extremes compare, sketches merge.

Pure: frames in, frames out. A UTC day's rows are those of its hours and nothing else, so a day is as
true as its hours; its quantiles are those of the merged sketch, never means of the hours' own.
"""

from typing import Any

import numpy as np
import pandas as pd

from analytics_lib.rollup.hourly import QUANTILES, groups
from analytics_lib.rollup.sketch import Bins
from analytics_lib.windows import DAY_US

_KEYS = {
    "execution": ["day_us", "workflow_id", "environment", "workflow_version", "bucket"],
    "step": ["day_us", "workflow_id", "step_id", "environment", "workflow_version", "bucket"],
    "resource": ["day_us", "host", "target", "metric", "environment", "bucket"],
    "queue": ["day_us", "queue", "workflow_id", "environment", "bucket"],
}
_MEASURED = {"execution": "duration", "step": "duration", "resource": "value", "queue": "wait"}


def merge_hours(source: str, hourly: pd.DataFrame) -> pd.DataFrame:
    """The daily rows of the source (execution, step, resource, queue) from its hourly rows, by key.

    hourly: all columns of the hourly table, in the order of its key. Raises ValueError for a sketch that
    is none.
    """
    # In the order of the hours, so that sums of the same hours are the same to the last bit.
    hourly = hourly.sort_values("hour_us", kind="stable").reset_index(drop=True)
    hourly = hourly.assign(day_us=hourly["hour_us"] - hourly["hour_us"] % DAY_US).drop(columns="hour_us")
    codes, result = groups(hourly, _KEYS[source])
    by_group = hourly.groupby(codes)
    columns: dict[str, Any] = {}
    for name in hourly.columns.difference(_KEYS[source], sort=False):
        if name == "n" or name.startswith("n_"):
            columns[name] = by_group[name].sum()
        elif "_sum_" in name or name.endswith("_sum"):
            columns[name] = np.bincount(codes, weights=hourly[name].to_numpy(dtype=float))
        elif "_min" in name or name in ("depth", "step_name"):
            columns[name] = by_group[name].min()
        elif "_max" in name:
            columns[name] = by_group[name].max()
    return result.assign(**columns, **_quantiles(_MEASURED[source], hourly, codes, columns, len(result)))


def _quantiles(
    measured: str, hourly: pd.DataFrame, codes: Any, columns: dict[str, Any], n_groups: int
) -> dict[str, Any]:
    bins = Bins.of_sketches(codes, hourly[f"{measured}_sketch"].tolist(), n_groups)
    unit = "" if measured == "value" else "_ms"
    low, high = (columns[f"{measured}_{end}{unit}"].to_numpy(dtype=float) for end in ("min", "max"))
    found = np.clip(bins.quantiles(QUANTILES), low[:, None], high[:, None]).T
    names = (f"{measured}_p{round(q * 100)}{unit}" for q in QUANTILES)
    return {**dict(zip(names, found, strict=True)), f"{measured}_sketch": bins.encode()}
