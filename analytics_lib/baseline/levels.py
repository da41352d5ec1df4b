"""Which hours are like each other: by hour of the week, by hour and kind of day, or all of them.

The finest level that has enough hours speaks. Eight weeks give eight Mondays at 09:00; after two weeks
there are ten working days with a 09:00; before that, all hours are taken together.
"""

from typing import Final

from analytics_lib import seasons
from analytics_lib.baseline.parameters import BaselineParameters
from analytics_lib.seasons import Ints

LEVELS: Final = ("hour_of_week", "hour_of_day", "overall")  # finest first: the order of the fallback
SLOTS: Final = {"hour_of_week": seasons.WEEK_SLOTS, "hour_of_day": seasons.DAY_SLOTS, "overall": 1}


def slots_at(level: str, week_slots: Ints) -> Ints:
    """The level's slot of each hour of the week.

    >>> import numpy as np
    >>> [slots_at(level, np.array([24 * 6 + 9])).tolist() for level in LEVELS]  # Sunday 09:00
    [[153], [33], [0]]
    """
    if level == "hour_of_week":
        return week_slots
    return seasons.hour_of_day(week_slots) if level == "hour_of_day" else week_slots * 0


def fewest(level: str, parameters: BaselineParameters) -> int:
    """How many hours a band of the level needs."""
    return {
        "hour_of_week": parameters.min_n_hour_of_week,
        "hour_of_day": parameters.min_n_hour_of_day,
        "overall": parameters.min_n_overall,
    }[level]
