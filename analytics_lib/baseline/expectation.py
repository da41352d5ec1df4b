"""What was to be expected of a point: its series' band at this hour, the finest that there is.

The band speaks of hours with as many runs as usual. A point of fewer runs varies more, and whoever judges
it has to allow for that: one failure in an hour with one run is a rate of 0, and still no news.
"""

from collections.abc import Mapping
from typing import Final

import numpy as np
import pandas as pd

from analytics_lib.baseline.keys import SERIES, numbered, zones_of
from analytics_lib.baseline.levels import LEVELS, SLOTS, slots_at
from analytics_lib.baseline.parameters import BaselineParameters
from analytics_lib.baseline.spaces import from_space, metric_numbers
from analytics_lib.seasons import Ints, hour_of_week_by_zone

_FROM: Final = dict(zip(LEVELS, np.cumsum([0, *SLOTS.values()]).tolist(), strict=False))
_WIDTH: Final = sum(SLOTS.values())  # numbers for the slots of all levels of one series


def expect(
    points: pd.DataFrame,
    bands: pd.DataFrame,
    zones: Mapping[str, str],
    default_zone: str,
    parameters: BaselineParameters | None = None,
) -> pd.DataFrame:
    """The points, in their order, with what one version's bands say of them.

    center and scale live in the band's space ('log' or 'linear'); expected, low and high, the centre and
    the band's edges, in the metric's unit. n_baseline is how many hours it was learnt from, active_share
    the share of such hours with runs. No baseline: NaN, '' and n_baseline 0. The key columns are texts.
    """
    parameters = parameters or BaselineParameters()
    result = points.assign(**{name: points[name].astype(str) for name in SERIES})
    hour_us = points["hour_us"].to_numpy(dtype=np.int64)
    subjects, keys = numbered(result[["workflow_id"]])
    zone_of, names = zones_of(keys, zones, default_zone)
    week_slot = hour_of_week_by_zone(hour_us, zone_of[subjects], names)
    bands = _that_matter(bands, week_slot)
    at = _finest_band(result, bands, week_slot)
    found = at >= 0

    def of_band(name: str) -> "np.ndarray[tuple[int], np.dtype[np.float64]]":
        values = np.full(len(points), np.nan)
        values[found] = bands[name].to_numpy(dtype=np.float64)[at[found]]
        return values

    def text_of_band(name: str) -> "pd.Series[str]":
        texts = np.full(len(points), "", dtype=object)
        texts[found] = bands[name].astype(object).to_numpy()[at[found]]
        return pd.Series(texts, index=points.index, dtype="str")

    metric = metric_numbers(result["metric"])
    center, scale = of_band("center"), of_band("scale")
    reach = parameters.edge_sigmas * scale
    return result.assign(
        center=center,
        scale=scale,
        space=text_of_band("space"),
        level=text_of_band("level"),
        n_baseline=np.nan_to_num(of_band("n")).astype(np.int64),
        active_share=of_band("active_share"),
        expected=from_space(center, metric),
        low=from_space(center - reach, metric),
        high=from_space(center + reach, metric),
    )


def _that_matter(bands: pd.DataFrame, week_slot: Ints) -> pd.DataFrame:
    """The bands of the slots that the points lie in: usually few, and only these are matched by text."""
    slot = bands["slot"].to_numpy(dtype=np.int64)
    wanted = np.zeros(len(bands), dtype=np.bool_)
    for level in LEVELS:
        slots = np.unique(slots_at(level, week_slot))
        wanted |= (bands["level"] == level).to_numpy(dtype=np.bool_) & np.isin(slot, slots)
    return bands[wanted]


def _finest_band(points: pd.DataFrame, bands: pd.DataFrame, week_slot: Ints) -> Ints:
    """The place of each point's band, -1 where it has none."""
    keys = pd.concat([points[SERIES], bands[SERIES].astype(str)], ignore_index=True)
    series = numbered(keys)[0]
    start = bands["level"].astype(str).map(_FROM).to_numpy(dtype=np.int64)
    of_band = series[len(points) :] * _WIDTH + start + bands["slot"].to_numpy(dtype=np.int64)
    order = np.argsort(of_band, kind="stable")
    ordered = of_band[order]
    at = np.full(len(points), -1, dtype=np.int64)
    for level in LEVELS if len(bands) else ():
        wanted = series[: len(points)] * _WIDTH + _FROM[level] + slots_at(level, week_slot)
        place = np.minimum(np.searchsorted(ordered, wanted), len(ordered) - 1)
        found = (at < 0) & (ordered[place] == wanted)
        at[found] = order[place[found]]
    return at
