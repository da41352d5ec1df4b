"""Hourly rows from raw rows: counts by status, sum, sum of squares, min, max, and the sketch.

Pure: frames in, frames out; columns as in `analytics_lib.schema`. A run or step counts in the UTC hour
in which it ended, a sample in the hour in which it was taken. Skipped rows are counted but stay out
of durations. Values are sorted before they are summed, so the same rows in any order give the same
bits: a rollup that is computed again is identical, not only close.
"""

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import pandas as pd

from analytics_lib.catalog import RESOURCE_METRICS
from analytics_lib.records import STATUSES
from analytics_lib.rollup.sketch import Bins, Floats, Ints
from analytics_lib.windows import HOUR_US

QUANTILES: Final = (0.5, 0.95, 0.99)
EXECUTION_KEY: Final = ["hour_us", "workflow_id", "environment", "workflow_version", "bucket"]
STEP_KEY: Final = ["hour_us", "workflow_id", "step_id", "environment", "workflow_version", "bucket"]
RESOURCE_KEY: Final = ["hour_us", "host", "target", "metric", "environment", "bucket"]
_FAILED: Final = ("failed", "timed_out")


def roll_up_executions(rows: pd.DataFrame, abandoned: pd.DataFrame) -> pd.DataFrame:
    """Rows of rollup_execution_hourly.

    rows: workflow_id, environment, workflow_version, bucket, status, exception_kind, duration_ms,
    ended_at_us. abandoned: workflow_id, environment, workflow_version, bucket, last_seen_at_us, of
    runs whose end never came; they count in n and n_abandoned and nowhere else.
    """
    ended = rows.assign(hour_us=_hour(rows["ended_at_us"]))
    seen = abandoned.assign(hour_us=_hour(abandoned["last_seen_at_us"]), status="abandoned")
    seen = seen.assign(exception_kind="", duration_ms=np.nan)
    columns = [*EXECUTION_KEY, "status", "exception_kind", "duration_ms"]
    frame = ended[columns] if seen.empty else pd.concat([ended[columns], seen[columns]], ignore_index=True)
    codes, result = _groups(frame, EXECUTION_KEY)
    result = result.assign(**_status_counts(frame, codes, len(result)))
    is_abandoned = (frame["status"] == "abandoned").to_numpy()
    result["n_abandoned"] = _count(codes, len(result), is_abandoned)
    result["n_rated"] -= result["n_abandoned"]
    rated = ~is_abandoned & (frame["status"] != "skipped").to_numpy()
    return _with_durations(result, codes[rated], frame["duration_ms"].to_numpy(dtype=float)[rated])


def roll_up_steps(rows: pd.DataFrame) -> pd.DataFrame:
    """Rows of rollup_step_hourly.

    rows: workflow_id, step_id, step_name, depth, environment, workflow_version, bucket, status,
    exception_kind, duration_ms, ended_at_us. A group's step_name is the smallest one, so that it does
    not depend on the order of the rows.
    """
    frame = rows.assign(hour_us=_hour(rows["ended_at_us"]))
    codes, result = _groups(frame, STEP_KEY)
    by_group = frame.groupby(codes)
    result = result.assign(
        step_name=by_group["step_name"].min(),
        depth=by_group["depth"].min(),
        **_status_counts(frame, codes, len(result)),
    )
    rated = (frame["status"] != "skipped").to_numpy()
    return _with_durations(result, codes[rated], frame["duration_ms"].to_numpy(dtype=float)[rated])


def roll_up_resources(rows: pd.DataFrame) -> pd.DataFrame:
    """Rows of rollup_resource_hourly.

    rows: host, target, environment, bucket, sampled_at_us and the catalog's resource metrics (NaN or
    None where not measured); one row per group and metric that was measured at all.
    """
    frame = rows.assign(hour_us=_hour(rows["sampled_at_us"]))
    parts = []
    for metric in RESOURCE_METRICS:
        values = pd.to_numeric(frame[metric]).to_numpy(dtype=float)
        measured = ~np.isnan(values)
        if measured.any():
            part = frame.loc[measured, [k for k in RESOURCE_KEY if k != "metric"]]
            parts.append(part.assign(metric=metric, value=values[measured]))
    if not parts:
        return _resource_statistics(frame.assign(metric="", value=0.0).iloc[:0])
    return _resource_statistics(pd.concat(parts, ignore_index=True))


def _resource_statistics(frame: pd.DataFrame) -> pd.DataFrame:
    codes, result = _groups(frame, RESOURCE_KEY)
    statistics = _statistics(codes, frame["value"].to_numpy(dtype=float), len(result))
    return result.assign(**{name if name == "n" else f"value_{name}": v for name, v in statistics.items()})


def _hour(moments: pd.Series) -> pd.Series:
    moments = moments.astype("int64")
    return moments - moments % HOUR_US


def _groups(frame: pd.DataFrame, key: Sequence[str]) -> tuple[Ints, pd.DataFrame]:
    """(group of every row, one row of key columns per group, sorted)."""
    groups = frame.groupby(list(key), sort=True)
    codes: Ints = groups.ngroup().to_numpy().astype(np.int64)
    keys = frame[list(key)].assign(code=codes).drop_duplicates("code").sort_values("code")
    return codes, keys.drop(columns="code").reset_index(drop=True)


def _count(codes: Ints, n_groups: int, which: "np.ndarray[Any, np.dtype[np.bool_]]") -> Ints:
    return np.bincount(codes[which], minlength=n_groups).astype(np.int64)


def _status_counts(frame: pd.DataFrame, codes: Ints, n_groups: int) -> dict[str, Ints]:
    status = frame["status"].to_numpy()
    kind = frame["exception_kind"].to_numpy()
    counts = {"n": np.bincount(codes, minlength=n_groups).astype(np.int64)}
    for word in STATUSES:
        counts[f"n_{word}"] = _count(codes, n_groups, status == word)
    failed = np.isin(status.astype(str), _FAILED)
    counts["n_business"] = _count(codes, n_groups, failed & (kind == "business"))
    counts["n_application"] = _count(codes, n_groups, failed & (kind == "application"))
    counts["n_rated"] = counts["n"] - counts["n_skipped"]
    return counts


def _with_durations(result: pd.DataFrame, codes: Ints, durations_ms: Floats) -> pd.DataFrame:
    statistics = _statistics(codes, durations_ms, len(result))
    named = {
        "sum": "duration_sum_ms",
        "sum_squares": "duration_sum_squares_ms2",
        "min": "duration_min_ms",
        "max": "duration_max_ms",
        "p50": "duration_p50_ms",
        "p95": "duration_p95_ms",
        "p99": "duration_p99_ms",
        "sketch": "duration_sketch",
    }
    return result.assign(**{column: statistics[name] for name, column in named.items()})


def _statistics(codes: Ints, values: Floats, n_groups: int) -> dict[str, Any]:
    """n, sum, sum_squares, min, max, p50, p95, p99 and sketch per group; NaN where a group is empty."""
    order = np.lexsort((values, codes))
    codes, values = codes[order], values[order]
    n = np.bincount(codes, minlength=n_groups).astype(np.int64)
    filled = n > 0
    ends = np.cumsum(n)
    low = np.full(n_groups, np.nan)
    high = np.full(n_groups, np.nan)
    low[filled] = values[(ends - n)[filled]]
    high[filled] = values[ends[filled] - 1]
    bins = Bins.of_values(codes, values, n_groups)
    # The sketch's bins are 1 % wide; the true extremes are known, so no quantile lies outside them.
    p50, p95, p99 = np.clip(bins.quantiles(QUANTILES), low[:, None], high[:, None]).T
    return {
        "n": n,
        "sum": np.bincount(codes, weights=values, minlength=n_groups),
        "sum_squares": np.bincount(codes, weights=values * values, minlength=n_groups),
        "min": low,
        "max": high,
        "p50": p50,
        "p95": p95,
        "p99": p99,
        "sketch": bins.encode(),
    }
