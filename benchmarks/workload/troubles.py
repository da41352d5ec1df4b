"""Troubles planted in a fleet, and what they do to its runs; the truth about them as plain values."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import NDArray

from analytics_lib.windows import from_us, to_us

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
Metric = Literal["duration", "spread", "failures", "runs", "host", "delivery", "version", "calendar"]
# Dimensions that a single run has a value of; workflow_id, step_id and host are looked at elsewhere.
RUN_DIMENSIONS: Final = ("workflow_version", "queue", "hour", "company")


@dataclass(frozen=True, slots=True)
class Trouble:
    """What differs from normal: what, where, in [since, until), how much.

    `effect` by metric: duration: factor; spread: factor of the logarithm's standard deviation, 0 for a
    flat line; failures: share of runs that fail beside those that would anyway; runs: factor of how many
    there are; host: 0, it is switched off; delivery: 0, rows come when it is over; version: no number;
    calendar: factor of the day's work, which the schedules cause and not the trouble.
    `where` names any of workflow_id, step_id, host, workflow_version, queue, hour (local, as text) and
    company; a version trouble's workflow_version is the release that begins. `share` of the runs there
    are affected. `ramp`: the effect grows from nothing to its size. `benign`: nobody should be alerted.
    """

    kind: str
    metric: Metric
    since_us: int
    until_us: int
    effect: float
    where: Mapping[str, str] = field(default_factory=dict)
    share: float = 1.0
    ramp: bool = False
    benign: bool = False

    @classmethod
    def between(cls, kind: str, metric: Metric, since: datetime, until: datetime, **more: Any) -> "Trouble":
        return cls(kind, metric, to_us(since), to_us(until), **more)

    def concerns(self, workflow_id: str) -> bool:
        return self.where.get("workflow_id", workflow_id) == workflow_id

    def weight(self, moments: Ints) -> Floats:
        """How much of the effect there is at each moment: 0 to 1."""
        inside = (moments >= self.since_us) & (moments < self.until_us)
        if not self.ramp:
            return inside.astype(float)
        return np.where(inside, (moments - self.since_us) / (self.until_us - self.since_us), 0.0)

    def hits(self, moments: Ints, dimensions: Mapping[str, NDArray[Any]], luck: Floats) -> Floats:
        """The weight for runs due then that have these dimensions; `luck` (0 to 1) says which share."""
        found = self.weight(moments)
        for name in RUN_DIMENSIONS:
            if name in self.where and self.metric != "version":
                found = np.where(dimensions[name] == self.where[name], found, 0.0)
        return found if self.share >= 1 else np.where(luck < self.share, found, 0.0)


def truth(troubles: Iterable[Trouble]) -> list[dict[str, Any]]:
    """What, where, since, until, effect: as JSON can hold it; in the order of time."""
    return [
        {
            "kind": trouble.kind,
            "metric": trouble.metric,
            "where": dict(trouble.where),
            "since": from_us(trouble.since_us).isoformat(),
            "until": from_us(trouble.until_us).isoformat(),
            "effect": trouble.effect,
            "share": trouble.share,
            "ramp": trouble.ramp,
            "benign": trouble.benign,
        }
        for trouble in sorted(troubles, key=lambda t: (t.since_us, t.kind, sorted(t.where.items())))
    ]
