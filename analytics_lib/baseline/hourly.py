"""Rollup rows as series: one value an hour of each workflow and step, per metric.

Versions of a workflow, and ids that the register made one, share an hour in several rows. Counts are
added, and the median duration is read from the merged sketches: never a median of medians.

- duration_ms: the median of the hour's rated rows, n is how many;
- success_rate: completed / (n - skipped), n is the divisor; cancelled and abandoned runs did not complete;
- runs_per_hour: n - skipped; an hour without a row counts 0 from the first hour in which the series was
  seen to the end of the window, because no row is how silence looks.

When it misleads: the median of an hour with two runs is their mean, and a rate of two runs is 0, 0.5 or 1;
hence n travels with every value.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
import pandas as pd

from analytics_lib.baseline.keys import SERIES, SUBJECT, named, numbered
from analytics_lib.baseline.robust import Floats
from analytics_lib.baseline.spaces import DURATION, METRICS, RUNS_PER_HOUR, SUCCESS_RATE
from analytics_lib.rollup.sketch import Bins
from analytics_lib.seasons import Ints
from analytics_lib.windows import HOUR_US, Window, hour_of, next_hour

POINT_COLUMNS: Final = [*SERIES, "hour_us", "value", "n"]
_COUNTS: Final = ["n", "n_skipped", "n_completed", "n_rated"]
_DURATIONS: Final = ["duration_min_ms", "duration_max_ms", "duration_p50_ms"]
ROLLUP_COLUMNS: Final = [*SUBJECT, "hour_us", *_COUNTS, *_DURATIONS, "duration_sketch"]


def hourly_series(
    executions: pd.DataFrame, steps: pd.DataFrame, window: Window, known: pd.DataFrame | None = None
) -> pd.DataFrame:
    """Points: workflow_id, environment, step_id ('' for the workflow), metric, hour_us, value, n, sorted.

    executions, steps: rows of the hourly rollups with effective environments, in any order; those outside
    the window's whole hours are left out. known: workflow_id, environment, step_id and first_hour_us of
    series seen before, so that they count 0 from the window's start and not from their first row in it.
    The key columns are categorical: in a large fleet their texts would outweigh the numbers.
    """
    first_us, end_us = next_hour(window.start_us), hour_of(window.end_us)
    rows = pd.concat([_needed(executions.assign(step_id="")), _needed(steps)], ignore_index=True)
    rows = rows[(rows["hour_us"] >= first_us) & (rows["hour_us"] < end_us)]
    if known is None:
        known = pd.DataFrame(columns=[*SUBJECT, "first_hour_us"])
    known = known[known["first_hour_us"] < end_us]
    codes, subjects = numbered(pd.concat([rows[SUBJECT], known[SUBJECT]], ignore_index=True))
    hour = (rows["hour_us"].to_numpy(dtype=np.int64) - first_us) // HOUR_US
    merged = _merge(codes[: len(rows)], hour, rows)
    n_hours = max(end_us - first_us, 0) // HOUR_US
    since = np.full(len(subjects), n_hours)
    np.minimum.at(since, merged.subject, merged.hour)
    seen = known["first_hour_us"].to_numpy(dtype=np.int64) - first_us
    np.minimum.at(since, codes[len(rows) :], np.maximum(seen, 0) // HOUR_US)
    subject, metric, hour, value, n = _points(merged, since, n_hours)
    columns: dict[str, object] = dict(named(subject, subjects))
    columns["metric"] = pd.Categorical.from_codes(metric, pd.Index(METRICS, dtype="str"))
    return pd.DataFrame(columns | {"hour_us": first_us + hour * HOUR_US, "value": value, "n": n})


@dataclass(frozen=True, slots=True)
class _Hours:
    """One place for each subject and hour in which it has rows, sorted by both."""

    subject: Ints
    hour: Ints
    n_tried: Ints
    n_completed: Ints
    n_rated: Ints
    p50: Floats


def _needed(rows: pd.DataFrame) -> pd.DataFrame:
    return rows.reindex(columns=ROLLUP_COLUMNS) if rows.empty else rows[ROLLUP_COLUMNS]


def _merge(subject: Ints, hour: Ints, rows: pd.DataFrame) -> _Hours:
    order = np.lexsort((hour, subject))
    subject, hour = subject[order], hour[order]
    opens = np.ones(len(order), dtype=np.bool_)
    opens[1:] = (np.diff(subject) != 0) | (np.diff(hour) != 0)
    starts = np.flatnonzero(opens)
    counts = rows[_COUNTS].to_numpy(dtype=np.int64)[order]
    if len(starts):
        counts = np.add.reduceat(counts, starts, axis=0)
    n, n_skipped, n_completed, n_rated = counts.T
    p50 = _merged_medians(rows.iloc[order], starts, np.cumsum(opens) - 1)
    return _Hours(subject[starts], hour[starts], n - n_skipped, n_completed, n_rated, p50)


def _merged_medians(rows: pd.DataFrame, starts: Ints, group: Ints) -> Floats:
    """The median duration of each group of rows, ms; NaN where none is rated."""
    low, high, p50 = (rows[name].to_numpy(dtype=np.float64, na_value=np.nan) for name in _DURATIONS)
    median = p50[starts]
    several = np.diff(starts, append=len(rows)) > 1
    if several.any():
        at = np.flatnonzero(several[group])
        place = (np.cumsum(several) - 1)[group[at]]
        sketches = [bytes(cell) for cell in rows["duration_sketch"].to_numpy()[at]]
        medians = Bins.of_sketches(place, sketches, int(several.sum())).quantiles([0.5])[:, 0]
        # As in a rollup: a bin is 1 % wide, and no median lies outside the true extremes.
        lowest, highest = np.fmin.reduceat(low, starts), np.fmax.reduceat(high, starts)
        median[several] = np.clip(medians, lowest[several], highest[several])
    return median


def _points(rows: _Hours, since: Ints, n_hours: int) -> tuple[Ints, Ints, Ints, Floats, Ints]:
    """(subject, number of the metric, hour, value, n), sorted by the first three."""
    rated = (rows.n_rated > 0) & ~np.isnan(rows.p50)
    tried = rows.n_tried > 0
    lengths = n_hours - since
    every = np.repeat(np.arange(len(since)), lengths)  # each subject, once for each hour of its span
    before = np.cumsum(lengths) - lengths - since  # add an hour, and it is the hour's place in the span
    runs = np.zeros(len(every), dtype=np.int64)
    runs[before[rows.subject] + rows.hour] = rows.n_tried
    rate = rows.n_completed[tried] / rows.n_tried[tried]
    parts = {
        DURATION: (rows.subject[rated], rows.hour[rated], rows.p50[rated], rows.n_rated[rated]),
        RUNS_PER_HOUR: (every, np.arange(len(every)) - before[every], runs.astype(np.float64), runs),
        SUCCESS_RATE: (rows.subject[tried], rows.hour[tried], rate, rows.n_tried[tried]),
    }
    numbers = range(len(METRICS))
    metric = np.repeat(numbers, [len(parts[number][0]) for number in numbers])
    subject, hour, value, n = (np.concatenate([parts[number][i] for number in numbers]) for i in range(4))
    # Three sorted parts, one after the other: a stable sort merges them and is fast.
    order = np.argsort((subject * len(METRICS) + metric) * max(n_hours, 1) + hour, kind="stable")
    return subject[order], metric[order], hour[order], value[order], n[order]
