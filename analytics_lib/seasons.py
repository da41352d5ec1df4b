"""Which hour of the week, or of a working or free day, a UTC hour is where the work is done.

A UTC hour belongs to the local hour in which it begins. In a zone off by half an hour, 10:00 UTC is
15:30 in Kolkata and counts as 15. Daylight saving needs no care: the local hour that happens twice in
autumn is in its slot twice, the one that is left out in spring once less. Working days are Monday to
Friday.

>>> hours = np.array([0, 5], dtype=np.int64) * HOUR_US  # Thursday 1970-01-01, 00:00 and 05:00 UTC
>>> hour_of_week(hours, "Asia/Kolkata").tolist()  # Thursday 05:30 and 10:30
[77, 82]
>>> hour_of_day(hour_of_week(hours, "Asia/Kolkata")).tolist()
[5, 10]
"""

from collections.abc import Sequence
from functools import lru_cache
from typing import Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from analytics_lib.errors import SettingsError
from analytics_lib.windows import HOUR_US

Ints = NDArray[np.int64]
WEEK_SLOTS: Final = 168
DAY_SLOTS: Final = 48
_SATURDAY: Final = 5 * 24  # its first slot in the week
_EPOCH_SLOT: Final = 3 * 24  # 1970-01-01 was a Thursday
_BLOCK_HOURS: Final = 8192  # local time is computed for a whole block at once, about eleven months


def hour_of_week(hours_us: Ints, zone: str) -> Ints:
    """0 to 167 for each UTC hour, 0 is Monday 00:00 in the zone. Raises SettingsError: unknown zone.

    Times within an hour get the slot of that hour's beginning.
    """
    hours = np.asarray(hours_us, dtype=np.int64) // HOUR_US
    if not len(hours):
        return hours
    first, last = int(hours.min()) // _BLOCK_HOURS, int(hours.max()) // _BLOCK_HOURS
    blocks = np.unique(hours // _BLOCK_HOURS) if last - first > 1 else np.arange(first, last + 1)
    local = np.concatenate([_local_hours(zone, int(block)) for block in blocks])
    at = np.searchsorted(blocks, hours // _BLOCK_HOURS) * _BLOCK_HOURS + hours % _BLOCK_HOURS
    slots: Ints = (local[at] + _EPOCH_SLOT) % WEEK_SLOTS
    return slots


def hour_of_day(week_slots: Ints) -> Ints:
    """0 to 47 for hours of the week: 0 to 23 on working days, 24 to 47 on Saturdays and Sundays."""
    slots = np.asarray(week_slots, dtype=np.int64)
    return slots % 24 + 24 * (slots >= _SATURDAY)


def hour_of_week_by_zone(hours_us: Ints, zone_of: Ints, zones: Sequence[str]) -> Ints:
    """Hour of the week of each UTC hour in a zone of its own: `zone_of` gives its place in `zones`."""
    if not len(hours_us):
        return np.zeros(0, dtype=np.int64)
    first = int(hours_us.min()) // HOUR_US
    n_hours = int(hours_us.max()) // HOUR_US - first + 1
    hours = np.arange(first, first + n_hours, dtype=np.int64) * HOUR_US
    table = np.stack([hour_of_week(hours, zone).astype(np.int16) for zone in zones])
    slots: Ints = table[zone_of, hours_us // HOUR_US - first].astype(np.int64)
    return slots


@lru_cache(maxsize=1024)
def _local_hours(zone: str, block: int) -> Ints:
    """Hours since 1970-01-01 00:00 on the zone's clock, rounded down, of each UTC hour of the block."""
    try:
        known = ZoneInfo(zone)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise SettingsError(
            f"the time zone {zone!r} is unknown: use an IANA name such as Europe/Berlin "
            "(on Windows the package tzdata brings them)"
        ) from None
    hours = np.arange(block * _BLOCK_HOURS, (block + 1) * _BLOCK_HOURS, dtype=np.int64)
    moments = pd.DatetimeIndex(hours.astype("datetime64[h]").astype("datetime64[us]"), tz="UTC")
    clock = moments.tz_convert(known).tz_localize(None)
    local: Ints = clock.to_numpy().astype("datetime64[us]").astype(np.int64) // HOUR_US
    local.setflags(write=False)
    return local
