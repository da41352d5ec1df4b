"""What detection decides by: how improbable, how large, when a run is owed, when a host is silent."""

from dataclasses import dataclass

from analytics_lib.windows import DAY_US, HOUR_US, SECOND_US

MINUTE_US = 60 * SECOND_US


@dataclass(frozen=True, slots=True)
class AnomalyParameters:
    """The thresholds, with the false alerts to expect of them.

    An hour must be improbable *and* matter. |score| >= 4 alone would be passed by normal noise once in
    16,000 hours: 0.05 false alerts per series-month of 730 hours, fewer with the minimum effects. Heavier
    tails than the normal ones give more.

    `missing_chance` is what a row of owed hours without a run may have as its chance: with it, at most
    730 * 0.0001 = 0.07 false alerts per series-month. `longest_wait` is how many such hours in a row
    may be needed; a cadence that would need more is not steady, and its silence is left to the insights.
    """

    min_score: float = 4.0
    min_duration_change: float = 0.2  # of what is expected
    min_duration_change_ms: float = 1_000.0
    min_rate_drop: float = 0.1  # ten percentage points
    min_failed: int = 3
    min_runs_change: float = 0.5  # of what is expected
    min_runs_difference: int = 3

    owed_share: float = 0.9  # of the hours like this one had a run
    owed_min_hours_of_week: int = 5
    owed_min_hours_of_day: int = 20
    missing_chance: float = 1e-4
    longest_wait: int = 3

    min_host_share: float = 0.05  # of a workflow's runs, for the workflow to wait for the host's data
    agent_alive_us: int = 5 * MINUTE_US  # ten heartbeats
    agent_owes_us: int = DAY_US  # rows of an agent that died are waited for so long
    host_silent_us: int = 2 * HOUR_US
    host_retired_us: int = 7 * DAY_US  # a host that was silent for longer is no longer missed
    steady_hours: int = 20  # of the 24 before its last heartbeat: then its silence says something

    @property
    def steady_chance(self) -> float:
        """The largest chance of a silent hour with which a row of `longest_wait` hours is improbable.

        >>> round(AnomalyParameters().steady_chance, 4)
        0.0464
        """
        return float(self.missing_chance ** (1 / self.longest_wait))
