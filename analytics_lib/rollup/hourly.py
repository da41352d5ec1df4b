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
QUEUE_KEY: Final = ["hour_us", "queue", "workflow_id", "environment", "bucket"]
_FAILED: Final = ("failed", "timed_out")
_MOST_GROUPS: Final = 1 << 62


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
    codes, result = groups(frame, EXECUTION_KEY)
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
    codes, result = groups(frame, STEP_KEY)
    names, words = codes_of(frame["step_name"])
    result = result.assign(
        step_name=words[_smallest(codes, names, len(result))],
        depth=_smallest(codes, frame["depth"].to_numpy(dtype=np.int64), len(result)),
        **_status_counts(frame, codes, len(result)),
    )
    rated = (frame["status"] != "skipped").to_numpy()
    return _with_durations(result, codes[rated], frame["duration_ms"].to_numpy(dtype=float)[rated])


def roll_up_queues(rows: pd.DataFrame) -> pd.DataFrame:
    """Rows of rollup_queue_hourly, of the runs that came from a queue.

    rows: queue, workflow_id, environment, bucket, status, exception_kind, queued_at_us (NaN where
    unknown), started_at_us, ended_at_us. Runs that started before they were queued, by clocks that
    differ, are counted and stay out of the waits.
    """
    frame = rows[(rows["queue"] != "").to_numpy()].reset_index(drop=True)
    frame = frame.assign(hour_us=_hour(frame["ended_at_us"]))
    codes, result = groups(frame, QUEUE_KEY)
    counts = _status_counts(frame, codes, len(result))
    waits_ms = (frame["started_at_us"] - frame["queued_at_us"]).to_numpy(dtype=float) / 1000
    known = waits_ms >= 0
    counts["n_wait_negative"] = _count(codes, len(result), waits_ms < 0)
    found = _statistics(codes[known], waits_ms[known], len(result))
    named = {wait_column(name): values for name, values in found.items()}
    return result.assign(**counts, **named)


def wait_column(statistic: str) -> str:
    """The column of a wait's statistic in the rollups of queues."""
    if statistic in ("n", "sketch"):
        return {"n": "n_waited", "sketch": "wait_sketch"}[statistic]
    return f"wait_{statistic}_{'ms2' if statistic == 'sum_squares' else 'ms'}"


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
    codes, result = groups(frame, RESOURCE_KEY)
    statistics = _statistics(codes, frame["value"].to_numpy(dtype=float), len(result))
    return result.assign(**{name if name == "n" else f"value_{name}": v for name, v in statistics.items()})


def _hour(moments: pd.Series) -> pd.Series:
    moments = moments.astype("int64")
    return moments - moments % HOUR_US


def groups(frame: pd.DataFrame, key: Sequence[str]) -> tuple[Ints, pd.DataFrame]:
    """(group of every row, one row of key columns per group, sorted)."""
    combined, size = np.zeros(len(frame), dtype=np.int64), 1
    coded = {name: codes_of(frame[name]) for name in key}
    for codes, words in coded.values():
        if size * max(1, len(words)) > _MOST_GROUPS:  # too many to number before they are looked at
            combined = np.unique(combined, return_inverse=True)[1].astype(np.int64)
            size = len(frame)
        combined = combined * len(words) + codes
        size *= max(1, len(words))
    _, first, group = np.unique(combined, return_index=True, return_inverse=True)
    keys = {name: words[codes[first]] for name, (codes, words) in coded.items()}
    return group.astype(np.int64), pd.DataFrame(keys)


def codes_of(column: pd.Series) -> tuple[Ints, "np.ndarray[Any, Any]"]:
    """(the rank of each value among the distinct ones, the distinct ones in order)."""
    if isinstance(column.dtype, pd.CategoricalDtype):
        words = column.cat.categories.to_numpy(dtype=object)
        order = np.array(sorted(range(len(words)), key=words.__getitem__), dtype=np.int64)
        rank = np.empty(len(order), dtype=np.int64)
        rank[order] = np.arange(len(order))
        return rank[column.cat.codes.to_numpy()], words[order]
    codes, words = pd.factorize(column.to_numpy(), sort=True)
    return codes.astype(np.int64), np.asarray(words)


def _smallest(codes: Ints, values: Ints, n_groups: int) -> Ints:
    """The smallest value of each group; every group has one."""
    smallest = np.full(n_groups, np.iinfo(np.int64).max)
    np.minimum.at(smallest, codes, values)
    return smallest


def _count(codes: Ints, n_groups: int, which: "np.ndarray[Any, np.dtype[np.bool_]]") -> Ints:
    return np.bincount(codes[which], minlength=n_groups).astype(np.int64)


def _status_counts(frame: pd.DataFrame, codes: Ints, n_groups: int) -> dict[str, Ints]:
    status = frame["status"]
    kind = frame["exception_kind"]
    counts = {"n": np.bincount(codes, minlength=n_groups).astype(np.int64)}
    for word in STATUSES:
        counts[f"n_{word}"] = _count(codes, n_groups, (status == word).to_numpy())
    failed = status.isin(_FAILED).to_numpy()
    counts["n_business"] = _count(codes, n_groups, failed & (kind == "business").to_numpy())
    counts["n_application"] = _count(codes, n_groups, failed & (kind == "application").to_numpy())
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
    order = np.argsort(values)
    order = order[np.argsort(codes[order], kind="stable")]
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
