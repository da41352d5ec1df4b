"""Baselines: hourly rollups in, what is normal for each series and hour out. Pure: frames in, frames out.

`hourly_series` makes points, `compute_baselines` learns bands from eight weeks of them, and `expect` says
of other points what was to be expected.
"""

from analytics_lib.baseline.bands import Baselines, compute_baselines
from analytics_lib.baseline.expectation import expect
from analytics_lib.baseline.hourly import hourly_series
from analytics_lib.baseline.parameters import BaselineParameters

__all__ = ["BaselineParameters", "Baselines", "compute_baselines", "expect", "hourly_series"]
