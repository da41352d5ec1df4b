"""Is it different, or is that chance? Rates, quantiles, counts of rare things; pure arithmetic.

A difference is called clear when it is large enough to matter *and* chance alone would show one as
large in fewer than one of a thousand comparisons (|z| >= 3.29, two-sided): hundreds of numbers are
compared, and crying wolf over every third of them would teach people to look away. The tests treat
runs as independent; where runs fail in bursts they call a difference clear somewhat too easily.
"""

import math
from typing import Final

import numpy as np
from numpy.typing import ArrayLike

from analytics_lib.totals import RunTotals

CLEAR_Z: Final = 3.29
SMALLEST_RATE_CHANGE: Final = 0.005
SMALLEST_DURATION_CHANGE: Final = 0.05
FEW_RUNS: Final = 20  # below, on either side, nothing is compared
# Standard error of a log quantile of log-normal values, in units of their spread over sqrt(n):
# sqrt(q (1 - q)) / density of the standard normal at its q-quantile.
_ERROR_OF_MEDIAN: Final = 1.2533
_ERROR_OF_P95: Final = 2.1132
_P95_IN_SPREADS: Final = 1.6449


def rate_z(now: RunTotals, before: RunTotals) -> float:
    """z of the difference of two success rates, pooled (two-proportion test); 0 without runs.

    >>> from dataclasses import replace
    >>> from analytics_lib.totals import NO_RUNS
    >>> round(rate_z(replace(NO_RUNS, n=100, n_completed=80), replace(NO_RUNS, n=100, n_completed=95)), 2)
    -3.21
    """
    if not now.n_tried or not before.n_tried:
        return 0.0
    pooled = (now.n_completed + before.n_completed) / (now.n_tried + before.n_tried)
    error = math.sqrt(pooled * (1 - pooled) * (1 / now.n_tried + 1 / before.n_tried))
    difference = now.n_completed / now.n_tried - before.n_completed / before.n_tried
    return difference / error if error else 0.0


def median_z(now: RunTotals, before: RunTotals) -> float:
    """z of the log ratio of two medians; the spread of log durations is read off p50 and p95.

    0 where either side has too few runs for a p95. Misleads for a workflow with two very different
    kinds of runs, whose durations are far from log-normal.
    """
    return _quantile_z(now, before, now.duration_p50_ms, before.duration_p50_ms, _ERROR_OF_MEDIAN)


def p95_z(now: RunTotals, before: RunTotals) -> float:
    """As median_z, for the 95th percentile."""
    return _quantile_z(now, before, now.duration_p95_ms, before.duration_p95_ms, _ERROR_OF_P95)


def is_clear_rate(now: RunTotals, before: RunTotals) -> bool:
    if now.success_rate is None or before.success_rate is None:
        return False
    large = abs(now.success_rate - before.success_rate) >= SMALLEST_RATE_CHANGE
    return large and abs(rate_z(now, before)) >= CLEAR_Z


def is_clear_median(now: RunTotals, before: RunTotals) -> bool:
    return is_clear_quantile(now.duration_p50_ms, before.duration_p50_ms, median_z(now, before))


def is_clear_p95(now: RunTotals, before: RunTotals) -> bool:
    return is_clear_quantile(now.duration_p95_ms, before.duration_p95_ms, p95_z(now, before))


def is_clear_quantile(value: float | None, value_before: float | None, z: float) -> bool:
    if not value or not value_before:
        return False
    return abs(value / value_before - 1) >= SMALLEST_DURATION_CHANGE and abs(z) >= CLEAR_Z


def rank_z(now: ArrayLike, before: ArrayLike) -> float:
    """z of "now is larger than before" by ranks alone: outliers and the shape of the values do not matter.

    U / (n m) is how often a value of now exceeds one of before (ties count half); under chance U has
    mean n m / 2 and variance n m (n + m + 1) / 12. Ties make the true variance smaller, so z errs on the
    quiet side; for fewer than about five values on a side the normal approximation is crude. 0 without
    values. Source: Mann, Whitney, "On a test of whether one of two random variables is stochastically
    larger than the other", Annals of Mathematical Statistics 18, 1947.

    >>> round(rank_z([7, 8, 9, 10, 11], range(7)), 2), rank_z([1, 1], [1, 1]), rank_z([], [1])
    (2.84, 0.0, 0.0)
    """
    ours = np.asarray(now, dtype=np.float64)
    theirs = np.sort(np.asarray(before, dtype=np.float64))
    n, m = len(ours), len(theirs)
    if not n or not m:
        return 0.0
    below = np.searchsorted(theirs, ours, side="left")
    not_above = np.searchsorted(theirs, ours, side="right")
    exceeds = float((below + not_above).sum()) / 2
    return (exceeds - n * m / 2) / math.sqrt(n * m * (n + m + 1) / 12)


def wilson_interval(n_completed: int, n: int, z: float = 1.96) -> tuple[float, float]:
    """The range in which the true success rate lies with 95 % confidence (z = 1.96); (0, 1) without runs.

    Unlike p +- z sqrt(p(1-p)/n) it stays within 0 and 1 and keeps its promise for few runs and rates
    near 1. Source: Wilson, "Probable inference, the law of succession, and statistical inference",
    JASA 22, 1927.

    >>> [round(x, 4) for x in wilson_interval(9, 10)], wilson_interval(0, 0)
    ([0.5958, 0.9821], (0.0, 1.0))
    """
    if not n:
        return 0.0, 1.0
    rate = n_completed / n
    middle = rate + z * z / (2 * n)
    spread = z * math.sqrt(rate * (1 - rate) / n + z * z / (4 * n * n))
    scale = 1 + z * z / n
    return max((middle - spread) / scale, 0.0), min((middle + spread) / scale, 1.0)


def chance_of_as_many(k: int, n: int, share: float) -> float:
    """The chance of k or more out of n, where each comes with probability `share` (binomial tail).

    Exact, since near 0 and 1 the normal approximation calls rare things far too rare.

    >>> round(chance_of_as_many(3, 4, 0.05), 6), chance_of_as_many(0, 3, 0.5), chance_of_as_many(1, 3, 0.0)
    (0.000481, 1.0, 0.0)
    """
    if k <= 0 or share >= 1:
        return 1.0
    if share <= 0:
        return 0.0
    log_share, log_rest = math.log(share), math.log1p(-share)
    total = 0.0
    for i in range(k, n + 1):
        ways = math.lgamma(n + 1) - math.lgamma(i + 1) - math.lgamma(n - i + 1)
        term = math.exp(ways + i * log_share + (n - i) * log_rest)
        total += term
        if i > n * share and term < total * 1e-12:
            break
    return min(total, 1.0)


def _quantile_z(
    now: RunTotals, before: RunTotals, value: float | None, value_before: float | None, factor: float
) -> float:
    spread, spread_before = _spread(now), _spread(before)
    if not value or not value_before or spread is None or spread_before is None:
        return 0.0
    error = factor * math.sqrt(spread**2 / now.n_rated + spread_before**2 / before.n_rated)
    return math.log(value / value_before) / error


def _spread(totals: RunTotals) -> float | None:
    """Standard deviation of log durations, at least the sketch's own error of 1 %."""
    if not totals.duration_p50_ms or not totals.duration_p95_ms:
        return None
    return max(math.log(totals.duration_p95_ms / totals.duration_p50_ms) / _P95_IN_SPREADS, 0.01)
