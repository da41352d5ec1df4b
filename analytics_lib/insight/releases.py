"""A release that came at about the same time: a coincidence is stated, a cause never."""

from dataclasses import dataclass
from typing import Any

from analytics_lib import formats
from analytics_lib.insight.inputs import History
from analytics_lib.windows import DAY_US

NEAR_US = DAY_US  # the moment of a change is known about as well


@dataclass(frozen=True, slots=True)
class Release:
    """A version that ran for the first time, and the one that ran before it."""

    version: str
    before: str
    first_seen_us: int
    first_seen: str

    def sentence(self) -> str:
        """For the explanation, with a space before it."""
        return f" This coincides with release {self.version}, first seen on {self.first_seen}."

    def as_evidence(self) -> dict[str, Any]:
        return {"version": self.version, "before": self.before, "first_seen_us": self.first_seen_us}


def release_near(history: History, since_us: int) -> Release | None:
    """The version first seen within a day of the moment, the nearest; None where none was.

    Only where another named version ran before: the first version ever seen is no release.
    """
    rows = history.executions
    named = rows[rows["workflow_version"] != ""]
    first = named.groupby("workflow_version")["hour_us"].min()
    candidates = sorted(
        (abs(int(hour) - since_us), str(version), int(hour))
        for version, hour in first.items()
        if abs(int(hour) - since_us) <= NEAR_US
    )
    for _, version, hour in candidates:
        earlier = named[named["hour_us"] < hour]
        if not earlier.empty:
            before = str(earlier["workflow_version"].iloc[-1])
            return Release(
                formats.shortened(version, 40), formats.shortened(before, 40), hour, history.moment(hour)
            )
    return None
