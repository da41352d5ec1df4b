"""What a baseline is computed with; each version is stored together with it."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class BaselineParameters:
    """How much history, how much of it is enough, and how narrow a band may be.

    Five equal hours of the week are the fewest whose median no two strange ones can move; the
    fallbacks mix different hours, so they ask for more.
    """

    history_weeks: int = 8
    min_n_hour_of_week: int = 5
    min_n_hour_of_day: int = 8
    min_n_overall: int = 24
    min_scale_log: float = 0.05  # a robust sigma of a duration is never less than 5 % of it
    edge_sigmas: float = 3.0  # how far from the centre a band's edges lie
