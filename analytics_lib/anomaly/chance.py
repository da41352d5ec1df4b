"""How far from normal, in sigmas: what the runs of this hour and the hours behind a band let one say.

Eight hours make a median and a MAD that are themselves uncertain: of normal values, the MAD of eight
is less than half of the true spread once in seven times, and a plain z would then cry out at noise. So
- the scale is widened by the error of the centre, sqrt(1 + pi / (2 n)) for a median of n hours;
- of durations, it is never smaller than the usual one of its series, the mean over the bands of its level,
  and widened again by sqrt(usual runs / runs of this hour), at least 1: the median of a single run varies
  more than the median of forty. Numbers of runs have the floor of their band, independent arrivals.

A success rate is judged by the exact chance of as many failures in as many runs, never by a normal
approximation: of five runs, rates are 0, 0.2, 0.4 … The usual failure rate is the larger of the
slot's and the series', shrunk (Agresti and Coull 1998), because the median of small rates hides rare
failures; where the slot varies more than chance does, sigmas are divided by how much more.

When it misleads: a series that is quiet at night and wild by day is judged mildly at night; runs that
fail in bursts are less independent than the binomial takes them for.
Sources: variance of the median, Kendall and Stuart, "The Advanced Theory of Statistics" I, 10.10;
quasi-binomial dispersion, McCullagh and Nelder, "Generalized Linear Models", 4.5.
"""

import math
from statistics import NormalDist
from typing import Any, Final

import numpy as np
import pandas as pd

from analytics_lib.statistics import chance_of_as_many

Floats = np.ndarray[Any, np.dtype[np.float64]]
_NORMAL: Final = NormalDist()
_SMALLEST: Final = 1e-300  # sigmas of less would be infinite


def sigmas_of(chance: float) -> float:
    """The one-sided distance with that chance.

    >>> [round(sigmas_of(p), 2) for p in (0.5, 0.00135, 0.0)]
    [0.0, 3.0, 37.05]
    """
    return 0.0 - _NORMAL.inv_cdf(min(max(chance, _SMALLEST), 1 - 1e-15))


def widened_scale(points: pd.DataFrame) -> Floats:
    """The scale that a point is measured by. Needs scale, usual_scale, n, usual_n, n_baseline, metric."""
    band = points["scale"].to_numpy(float)
    fewer = np.fmax(points["usual_n"].to_numpy(float) / np.maximum(points["n"].to_numpy(float), 1), 1)
    of_median = np.fmax(band, points["usual_scale"].to_numpy(float)) * np.sqrt(fewer)
    scale = np.where((points["metric"] == "duration_ms").to_numpy(), of_median, band)
    widened: Floats = scale * np.sqrt(1 + math.pi / 2 / np.maximum(points["n_baseline"].to_numpy(float), 1))
    return widened


def failing_sigmas(
    failed: int,
    runs: int,
    *,
    center: float,
    usual_center: float,
    scale: float,
    n_hours: float,
    usual_runs: float,
) -> float:
    """How improbable so many failures are, in sigmas; 0 and less: no more than usual.

    center, usual_center, scale: success rates of the band and of its series; n_hours: hours behind the
    band; usual_runs: runs that such an hour has.

    >>> of_four = {"center": 1.0, "usual_center": 0.97, "scale": 0.1, "n_hours": 8, "usual_runs": 4}
    >>> [round(failing_sigmas(failed, 4, **of_four), 1) for failed in (1, 3, 4)]
    [0.8, 3.2, 4.3]
    """
    usual_runs = max(usual_runs, 1.0)
    rate = max(_shrunk(1 - center, n_hours * usual_runs), 1 - usual_center)
    in_an_hour = _shrunk(1 - center, usual_runs)
    by_chance = math.sqrt(max(rate * (1 - rate), in_an_hour * (1 - in_an_hour)) / usual_runs)
    sigmas = sigmas_of(chance_of_as_many(failed, runs, rate))
    return sigmas / max(scale / by_chance, 1.0) if sigmas > 0 else sigmas


def _shrunk(rate: float, runs: float) -> float:
    return (rate * runs + 2) / (runs + 4)
