"""What is normal for each series at an hour: robust centre and spread of the hours that are like it.

For each series and level (hour of the week, hour and kind of day, overall) the points are put into slots;
a slot with enough points becomes a band: median and 1.4826 MAD in the metric's space, the scale floored.
A series without a single band says what it lacks. Hours that were strange themselves are not left out:
the median bears up to half of them.

When it misleads: a trend within the eight weeks widens the band and lags behind; a month's end looks
strange, since no slot knows it; a change of the schedule is normal only when half of the history has it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
import pandas as pd

from analytics_lib.baseline.activity import Calendar
from analytics_lib.baseline.keys import SERIES, named, numbered, zones_of
from analytics_lib.baseline.levels import LEVELS, SLOTS, fewest, slots_at
from analytics_lib.baseline.parameters import BaselineParameters
from analytics_lib.baseline.robust import Floats, spread_by_group
from analytics_lib.baseline.spaces import (
    RUNS_PER_HOUR,
    SPACES,
    floored_scale,
    is_log,
    metric_numbers,
    to_space,
)
from analytics_lib.seasons import Ints, hour_of_week_by_zone
from analytics_lib.windows import hour_of

SERIES_COLUMNS: Final = [*SERIES, "time_zone", "n_hours", "first_hour_us", "last_hour_us", "missing"]
BAND_COLUMNS: Final = [*SERIES, "level", "slot", "n", "space", "center", "scale", "active_share"]


@dataclass(frozen=True, slots=True)
class Baselines:
    """One version: rows of the tables baseline_series and baseline, without their baseline_id."""

    series: pd.DataFrame
    bands: pd.DataFrame

    @property
    def n_ready(self) -> int:
        """How many series have a baseline."""
        return int((self.series["missing"] == "").sum())


@dataclass(frozen=True, slots=True)
class _Points:
    """Points sorted by series and hour; values in their metric's space."""

    series: Ints
    hour_us: Ints
    week_slot: Ints
    value: Floats
    n: Ints


def compute_baselines(
    series: pd.DataFrame,
    zones: Mapping[str, str],
    default_zone: str,
    as_of_us: int,
    parameters: BaselineParameters | None = None,
) -> Baselines:
    """The baselines of `hourly_series` points in hours that ended by as_of_us; later ones are not looked at.

    zones: IANA names by workflow_id, default_zone for all others. Rows are sorted by key, level (finest
    first) and slot. The texts of the bands are categorical. Raises SettingsError: unknown zone.
    """
    parameters = parameters or BaselineParameters()
    end_us = hour_of(as_of_us)
    past = series[series["hour_us"] < end_us]
    codes, keys = numbered(past[SERIES])
    zone_of, zone_names = zones_of(keys, zones, default_zone)
    metric_of = metric_numbers(keys["metric"])
    points = _points(past, codes, metric_of, zone_of, zone_names)
    n_hours = np.bincount(points.series, minlength=len(keys)).astype(np.int64)
    last = np.cumsum(n_hours) - 1
    first_hour_us = points.hour_us[last - n_hours + 1]
    calendar = Calendar(zone_of, zone_names, first_hour_us, end_us)
    bands = pd.concat([_bands(level, points, metric_of, calendar, parameters) for level in LEVELS])
    bands = bands.sort_values("series", kind="stable", ignore_index=True)
    of_series = bands["series"].to_numpy(dtype=np.int64)
    bands = bands.assign(
        **named(of_series, keys),
        level=pd.Categorical.from_codes(bands["level"].to_numpy(), pd.Index(LEVELS, dtype="str")),
        space=pd.Categorical.from_codes(
            is_log(metric_of[of_series]).astype(int), pd.Index(SPACES, dtype="str")
        ),
    )
    looked_at = keys.assign(
        time_zone=pd.Series([zone_names[place] for place in zone_of], dtype="str"),
        n_hours=n_hours,
        first_hour_us=first_hour_us,
        last_hour_us=points.hour_us[last],
        missing=_missing(metric_of, n_hours, np.bincount(of_series, minlength=len(keys)), parameters),
    )
    return Baselines(series=looked_at[SERIES_COLUMNS], bands=bands[BAND_COLUMNS])


def _points(frame: pd.DataFrame, codes: Ints, metric_of: Ints, zone_of: Ints, zones: list[str]) -> _Points:
    hour_us = frame["hour_us"].to_numpy(dtype=np.int64)
    value = frame["value"].to_numpy(dtype=np.float64)
    n = frame["n"].to_numpy(dtype=np.int64)
    if (np.diff(codes) * 2 + np.sign(np.diff(hour_us)) <= 0).any():
        # Not as hourly_series leaves them: sorted by all, so that no order of rows changes a bit.
        order = np.lexsort((n, value, hour_us, codes))
        codes, hour_us, value, n = codes[order], hour_us[order], value[order], n[order]
    week_slot = hour_of_week_by_zone(hour_us, zone_of[codes], zones)
    return _Points(codes, hour_us, week_slot, to_space(value, metric_of[codes]), n)


def _bands(
    level: str, points: _Points, metric_of: Ints, calendar: Calendar, parameters: BaselineParameters
) -> pd.DataFrame:
    """The level's bands, sorted by series and slot; series, level and space as numbers."""
    n_slots = SLOTS[level]
    group = points.series * n_slots + slots_at(level, points.week_slot)
    n_groups = len(metric_of) * n_slots
    spread = spread_by_group(group, points.value, n_groups)
    # A rate varies as 1 / n: an hour stands for the harmonic mean of the runs in such hours.
    inverse_n = np.bincount(group, weights=1 / np.maximum(points.n, 1), minlength=n_groups)
    n_active = np.bincount(group[points.n > 0], minlength=n_groups)

    enough = np.flatnonzero(spread.n >= fewest(level, parameters))
    spread = spread.of(enough)
    series, slot = np.divmod(enough, n_slots)
    runs = spread.n / inverse_n[enough]
    share = n_active[enough] / np.maximum(calendar.hours_like(level, series, slot), 1)
    return pd.DataFrame(
        {
            "series": series,
            "level": LEVELS.index(level),
            "slot": slot,
            "n": spread.n,
            "center": spread.center,
            "scale": floored_scale(spread, metric_of[series], runs, level, parameters),
            "active_share": np.minimum(share, 1.0),  # an hour that came twice does not make it more
        }
    )


def _missing(metric_of: Ints, n_hours: Ints, n_bands: Ints, parameters: BaselineParameters) -> list[str]:
    """What each series still needs, in words; '' where it has a band."""
    kinds = ["hours since its first run" if m == RUNS_PER_HOUR else "hours with runs" for m in metric_of]
    return [
        "" if has_band else f"{parameters.min_n_overall} {kind}, has {n}"
        for kind, n, has_band in zip(kinds, n_hours.tolist(), n_bands.tolist(), strict=True)
    ]
