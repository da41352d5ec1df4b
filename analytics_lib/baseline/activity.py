"""How many hours like this one a series has lived through: what the hours with runs are a share of.

This tells "it never runs on Sunday nights" from "it has always run at nine and today it did not".

>>> calendar = Calendar(np.array([0]), ["UTC"], np.array([0]), 4 * 168 * HOUR_US)  # one series, four weeks
>>> calendar.hours_like("hour_of_week", np.array([0]), np.array([9])).tolist()
[4]
>>> calendar.hours_like("hour_of_day", np.array([0]), np.array([9])).tolist()
[20]
"""

from dataclasses import dataclass

import numpy as np

from analytics_lib.baseline.levels import slots_at
from analytics_lib.seasons import Ints, hour_of_week
from analytics_lib.windows import HOUR_US


@dataclass(frozen=True, slots=True)
class Calendar:
    """The hours from each series' first one to the end of the history, in its time zone."""

    zone_of: Ints  # of each series, its place in `zones`
    zones: list[str]
    first_hour_us: Ints  # of each series
    end_us: int

    def hours_like(self, level: str, series: Ints, slot: Ints) -> Ints:
        """How many of its series' hours lie in the slot, for each pair of series and slot."""
        total = np.zeros(len(series), dtype=np.int64)
        for zone in np.unique(self.zone_of[series]).tolist():
            of_zone = np.flatnonzero(self.zone_of[series] == zone)
            first_us = self.first_hour_us[series[of_zone]]
            start_us = int(first_us.min())
            hours = np.arange(start_us, self.end_us, HOUR_US, dtype=np.int64)
            slots = slots_at(level, hour_of_week(hours, self.zones[zone]))
            # Every hour as one number, slot first: the hours of a slot after a moment are one stretch.
            ordered = np.sort(slots * len(hours) + np.arange(len(hours)))
            begin = slot[of_zone] * len(hours) + (first_us - start_us) // HOUR_US
            end = np.searchsorted(ordered, (slot[of_zone] + 1) * len(hours))
            total[of_zone] = end - np.searchsorted(ordered, begin)
        return total
