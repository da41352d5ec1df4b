"""Hourly rows added up: counts and sums add, extremes compare, sketches merge; nothing is averaged.

A percentile is shown only where enough values stand behind it, because the 95th percentile of six
runs is just their maximum. The thresholds that reports and findings share
are here.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
import pandas as pd

from analytics_lib.rollup.sketch import Bins

Simulated = Literal["", "part", "all"]
P95_FROM_N: Final = 20
P99_FROM_N: Final = 100
SIMULATED: Final = "simulated"
_QUANTILES: Final = (0.5, 0.95, 0.99)


@dataclass(frozen=True, slots=True)
class RunTotals:
    """Runs (or steps) added up. Rates and quantiles are None where nothing, or too little, counts."""

    n: int
    n_completed: int
    n_failed: int
    n_timed_out: int
    n_cancelled: int
    n_skipped: int
    n_business: int
    n_application: int
    n_abandoned: int
    n_rated: int
    n_simulated: int
    duration_sum_ms: float
    duration_p50_ms: float | None
    duration_p95_ms: float | None
    duration_p99_ms: float | None

    @property
    def n_tried(self) -> int:
        """Runs of any end except skipped ones: what the success rate divides by."""
        return self.n - self.n_skipped

    @property
    def success_rate(self) -> float | None:
        return self.n_completed / self.n_tried if self.n_tried else None

    @property
    def n_failures(self) -> int:
        """Failed and timed out; what was cancelled or abandoned is counted apart."""
        return self.n_failed + self.n_timed_out

    @property
    def n_unclassified(self) -> int:
        return max(self.n_failures - self.n_business - self.n_application, 0)

    @property
    def simulated(self) -> Simulated:
        """'' when all rows are real, 'all' when none is, else 'part'."""
        return share_simulated(self.n_simulated, self.n)


NO_RUNS: Final = RunTotals(0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0.0, None, None, None)
_COUNTS: Final = (
    "n",
    "n_completed",
    "n_failed",
    "n_timed_out",
    "n_cancelled",
    "n_skipped",
    "n_business",
    "n_application",
    "n_abandoned",
    "n_rated",
    "n_simulated",
)


def total(frame: pd.DataFrame) -> RunTotals:
    """All rows of the frame added up."""
    return run_totals(frame, []).get((), NO_RUNS)


def run_totals(frame: pd.DataFrame, by: Sequence[str]) -> dict[tuple[object, ...], RunTotals]:
    """Totals of execution or step rows by the values of the columns `by` (none: one total, key ())."""
    if frame.empty:
        return {}
    rows = frame.assign(n_simulated=frame["n"].where(frame["environment"] == SIMULATED, 0))
    if "n_abandoned" not in rows.columns:  # steps are never abandoned, runs are
        rows = rows.assign(n_abandoned=0)
    keys, groups = _groups(rows, by)
    counts = {name: _sum(rows[name], groups, len(keys)) for name in _COUNTS}
    seconds = _sum(rows["duration_sum_ms"], groups, len(keys))
    ends = _extremes(rows["duration_min_ms"], rows["duration_max_ms"], groups, len(keys))
    quantiles = merged_quantiles(rows["duration_sketch"], groups, ends)
    return {
        key: RunTotals(
            **{name: int(counts[name][i]) for name in _COUNTS},
            duration_sum_ms=float(seconds[i]),
            duration_p50_ms=shown(quantiles[i][0], int(counts["n_rated"][i]), 1),
            duration_p95_ms=shown(quantiles[i][1], int(counts["n_rated"][i]), P95_FROM_N),
            duration_p99_ms=shown(quantiles[i][2], int(counts["n_rated"][i]), P99_FROM_N),
        )
        for i, key in enumerate(keys)
    }


@dataclass(frozen=True, slots=True)
class SampleTotals:
    """Samples of one resource metric added up, in the metric's unit."""

    n: int
    n_simulated: int
    mean: float
    largest: float
    p50: float | None
    p95: float | None

    @property
    def simulated(self) -> Simulated:
        return share_simulated(self.n_simulated, self.n)


def sample_totals(frame: pd.DataFrame, by: Sequence[str]) -> dict[tuple[object, ...], SampleTotals]:
    """Totals of resource rows by the values of the columns `by`; the caller keeps metrics apart."""
    if frame.empty:
        return {}
    rows = frame.assign(n_simulated=frame["n"].where(frame["environment"] == SIMULATED, 0))
    keys, groups = _groups(rows, by)
    n = _sum(rows["n"], groups, len(keys))
    simulated = _sum(rows["n_simulated"], groups, len(keys))
    sums = _sum(rows["value_sum"], groups, len(keys))
    ends = _extremes(rows["value_min"], rows["value_max"], groups, len(keys))
    largest = ends[1]
    quantiles = merged_quantiles(rows["value_sketch"], groups, ends)
    return {
        key: SampleTotals(
            n=int(n[i]),
            n_simulated=int(simulated[i]),
            mean=float(sums[i] / n[i]) if n[i] else math.nan,
            largest=float(largest[i]),
            p50=shown(quantiles[i][0], int(n[i]), 1),
            p95=shown(quantiles[i][1], int(n[i]), P95_FROM_N),
        )
        for i, key in enumerate(keys)
    }


def merged_quantiles(
    sketches: "pd.Series[bytes]", groups: np.ndarray, ends: tuple[np.ndarray, np.ndarray]
) -> list[list[float]]:
    """p50, p95 and p99 of each group's merged sketches, never outside the true extremes `ends`."""
    cells = [bytes(cell) for cell in sketches]
    quantiles = Bins.of_sketches(groups, cells, len(ends[0])).quantiles(_QUANTILES)
    return np.clip(quantiles, ends[0][:, None], ends[1][:, None]).tolist()  # type: ignore[no-any-return] # numpy says Any


def share_simulated(n_simulated: int, n: int) -> Simulated:
    """How much of n is simulated: '', 'part' or 'all'."""
    return "" if not n_simulated else "all" if n_simulated == n else "part"


def shown(quantile: float, n: int, from_n: int) -> float | None:
    """The quantile where enough values stand behind it, else None ("too few")."""
    return None if n < from_n or math.isnan(quantile) else quantile


def _groups(rows: pd.DataFrame, by: Sequence[str]) -> tuple[list[tuple[object, ...]], np.ndarray]:
    if not by:
        return [()], np.zeros(len(rows), dtype=np.int64)
    grouped = rows.groupby(list(by), sort=True, dropna=False)
    groups = grouped.ngroup().to_numpy(dtype=np.int64)
    first = np.unique(groups, return_index=True)[1]
    keys = list(rows[list(by)].iloc[first].itertuples(index=False, name=None))
    return keys, groups


def _sum(values: "pd.Series[float]", groups: np.ndarray, n_groups: int) -> np.ndarray:
    return np.bincount(groups, weights=values.to_numpy(dtype=np.float64), minlength=n_groups)


def _extremes(
    low: "pd.Series[float]", high: "pd.Series[float]", groups: np.ndarray, n_groups: int
) -> tuple[np.ndarray, np.ndarray]:
    """Smallest and largest by group; rows without any (all skipped) do not count."""
    smallest, largest = np.full(n_groups, np.inf), np.full(n_groups, -np.inf)
    np.fmin.at(smallest, groups, low.to_numpy(dtype=np.float64, na_value=np.nan))
    np.fmax.at(largest, groups, high.to_numpy(dtype=np.float64, na_value=np.nan))
    return np.where(np.isinf(smallest), np.nan, smallest), np.where(np.isinf(largest), np.nan, largest)
