"""Where the values of a metric are compared, and how small their spread can be at least.

Durations live in log space: twice as slow is as far from normal as twice as fast, and a sigma is a share
and no number of milliseconds. Rates and counts stay linear.

Every scale has a floor, because equal values do not mean that nothing will ever vary:
- durations: a share that nobody would act on (`BaselineParameters.min_scale_log`);
- success_rate: the chance of n runs. s = sqrt(q (1 - q) / n) with q = (p n + 2) / (n + 4), the Agresti–Coull
  shrinkage: eight hours of 100 % on one run each do not make a single failure impossible.
  Source: Agresti and Coull, "Approximate is better than exact for interval estimation of binomial
  proportions", The American Statistician 52 (2), 1998. It misleads where failures come in bursts;
- runs_per_hour: s = sqrt(center + 1), what independent arrivals (Poisson) vary anyway; + 1 so that
  one run in a quiet hour is not infinitely far.
A fallback level mixes hours of which only some are busy, so the MAD of their counts is often 0: there a
count that the history holds already stays within the band. When it misleads: one burst in a short history
hides the next one, until the hours of the week have their own bands.

>>> rate_scale(np.array([1.0, 1.0, 0.5]), np.array([1.0, 100.0, 100.0])).round(3).tolist()
[0.49, 0.014, 0.05]
"""

from typing import Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from analytics_lib.baseline.parameters import BaselineParameters
from analytics_lib.baseline.robust import Floats, Spread
from analytics_lib.errors import QueryError
from analytics_lib.seasons import Ints

METRICS: Final = ("duration_ms", "runs_per_hour", "success_rate")  # a metric's place here is its number
DURATION, RUNS_PER_HOUR, SUCCESS_RATE = range(len(METRICS))
SPACES: Final = ("linear", "log")
SHORTEST_MS: Final = 1.0  # less than a timer tells apart, zero included, counts as this much


def metric_numbers(names: "pd.Series[str]") -> Ints:
    """The number of each metric. Raises QueryError for one that no baseline is made of."""
    numbers: Ints = pd.Index(METRICS).get_indexer(pd.Index(names.astype(str))).astype(np.int64)
    if (numbers < 0).any():
        unknown = ", ".join(sorted(set(names[numbers < 0].astype(str))))
        raise QueryError(f"no baseline is made of {unknown}: use {', '.join(METRICS)}")
    return numbers


def is_log(metric: Ints) -> NDArray[np.bool_]:
    """Whether values of each metric are compared by their logarithm."""
    return np.equal(metric, DURATION)


def to_space(values: Floats, metric: Ints) -> Floats:
    """Values as they are compared: in log space the logarithm, with a floor for zeros."""
    return np.where(is_log(metric), np.log(np.maximum(values, SHORTEST_MS)), values)


def from_space(values: Floats, metric: Ints) -> Floats:
    """The way back into the metric's own unit, and into what it can be: 0 to 1, or at least 0."""
    back = values.copy()
    back[is_log(metric)] = np.exp(values[is_log(metric)])
    return np.clip(back, 0.0, np.where(metric == SUCCESS_RATE, 1.0, np.inf))


def rate_scale(rate: Floats, runs: Floats) -> Floats:
    """How much the success rate of so many runs varies by chance."""
    shrunk = (rate * runs + 2) / (runs + 4)
    return np.sqrt(shrunk * (1 - shrunk) / np.maximum(runs, 1))


def floored_scale(
    spread: Spread, metric: Ints, runs: Floats, level: str, parameters: BaselineParameters
) -> Floats:
    """The scale of each group with the floor of its metric. `runs`: how many an hour of it stands for."""
    arrivals = np.sqrt(np.maximum(spread.center, 0) + 1)
    if level != "hour_of_week":
        arrivals = np.maximum(arrivals, spread.reach / parameters.edge_sigmas)
    floor = np.where(metric == SUCCESS_RATE, rate_scale(np.clip(spread.center, 0, 1), runs), arrivals)
    return np.maximum(spread.scale, np.where(is_log(metric), parameters.min_scale_log, floor))
