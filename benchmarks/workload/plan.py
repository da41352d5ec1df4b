"""The usual troubles for a fleet, one of each kind, where there is enough work to see them."""

from itertools import pairwise
from typing import Final

import numpy as np

from analytics_lib.windows import DAY_US, HOUR_US, from_us

from .fleet import Fleet, Workflow
from .schedules import HOLIDAYS, is_last_workday, is_workday, local_hours
from .troubles import Trouble

WARM_UP: Final = 0.5  # of the days are quiet, so that there is something normal to compare with


def plan_troubles(fleet: Fleet, *, seed: int, since_us: int, days: int) -> list[Trouble]:
    """Of each kind one, on a workflow or host of its own, and the traps: what is no trouble at all."""
    rng = np.random.default_rng([seed, 6])
    end = since_us + days * DAY_US

    def some(share: float) -> int:
        """A full hour of a working day after this share of the later part of the period."""
        day = since_us + int(days * (WARM_UP + share * (1 - WARM_UP))) * DAY_US
        later = [moment for moment in range(day, end, DAY_US) if is_workday(from_us(moment).date())]
        return min(later[0] if later else day, end - DAY_US) + int(rng.integers(8, 15)) * HOUR_US

    queued = sorted(
        (flow for flow in fleet.workflows if flow.schedule.kind == "queue"),
        key=lambda flow: -flow.schedule.runs_a_day,
    )
    clocked = [flow for flow in fleet.workflows if flow.schedule.kind == "every"]
    busy, hosts = iter(queued[: max(len(queued), 1)]), iter(rng.permutation(len(fleet.hosts)))
    troubles: list[Trouble] = []

    def plant(kind: str, metric: str, at: float, lasts_h: float, effect: float, **more: object) -> None:
        flow = next(busy, None)
        if flow is None:
            return
        where = {"workflow_id": flow.workflow_id, **dict(more.pop("where", {}))}  # type: ignore[call-overload]
        if where.get("step_id") == "longest":
            where["step_id"] = _longest(flow)
        if where.get("queue") == "urgent":
            where["queue"] = flow.queues[-1]
        since = some(at)
        until = end if lasts_h <= 0 else min(since + int(lasts_h * HOUR_US), end)
        troubles.append(Trouble(kind, metric, since, until, effect, where, **more))  # type: ignore[arg-type]

    plant("level shift", "duration", 0.2, 0, 1.5, where={"step_id": "longest"})
    plant("failing", "failures", 0.3, 0, 0.25, where={"step_id": "longest"})
    plant("slow tail", "duration", 0.1, 0, 5.0, where={"step_id": "longest", "queue": "urgent"}, share=0.5)
    plant("release", "version", 0.4, 0, 1.0, where={"workflow_version": "9.0"})
    if troubles and troubles[-1].kind == "release":
        cause = troubles[-1]
        troubles.append(
            Trouble("release", "duration", cause.since_us, cause.until_us, 1.4, {**cause.where}, share=1.0)
        )
    plant("spike", "duration", 0.6, 3, 4.0)
    plant("ramp", "duration", 0.2, 0, 2.0, ramp=True)
    plant("variance burst", "spread", 0.5, 12, 2.5)
    plant("flat line", "spread", 0.5, 24, 0.0)
    plant("dip", "runs", 0.7, 6, 0.2)
    plant("slow tail", "duration", 0.1, 0, 6.0, where={"company": "US01"}, share=0.6)
    plant("slow tail", "duration", 0.1, 0, 6.0, where={"hour": "14"}, share=0.5)
    plant("harmless release", "version", 0.3, 0, 1.0, where={"workflow_version": "8.0"}, benign=True)
    if clocked:
        troubles.append(
            _of_workflow(
                "missing runs", clocked[0], "runs", since := some(0.6), min(since + 12 * HOUR_US, end), 0.0
            )
        )
    if len(clocked) > 1:
        troubles.append(_of_workflow("schedule change", clocked[1], "runs", some(0.5), end, 2.0, benign=True))
    if len(clocked) > 2:
        troubles.append(
            _of_workflow("new workflow", clocked[2], "runs", since_us, some(0.2), 0.0, benign=True)
        )
    names = [fleet.hosts[number] for number in hosts][:3]
    for name, (kind, metric, at, lasts_h, effect) in zip(names, _ON_HOSTS, strict=False):
        since = some(at)
        until = end if lasts_h <= 0 else min(since + int(lasts_h * HOUR_US), end)
        troubles.append(Trouble(kind, metric, since, until, effect, {"host": name}))  # type: ignore[arg-type]
        if kind == "bad host":
            troubles.append(Trouble(kind, "failures", since, until, 0.1, {"host": name}))
    return troubles + calendar(fleet, since_us=since_us, days=days)


_ON_HOSTS: Final = (
    ("bad host", "duration", 0.3, 0, 1.8),
    ("host outage", "host", 0.5, 10, 0.0),
    ("network outage", "delivery", 0.6, 20, 0.0),
)


def calendar(fleet: Fleet, *, since_us: int, days: int) -> list[Trouble]:
    """What the calendar does to the fleet by itself and nobody should be alerted of."""
    found: list[Trouble] = []
    zones = sorted({flow.zone for flow in fleet.workflows})
    for n in range(days):
        day = from_us(since_us + n * DAY_US).date()
        since, until = since_us + n * DAY_US, since_us + (n + 1) * DAY_US
        if (day.month, day.day) in HOLIDAYS:
            found.append(Trouble("holiday", "calendar", since, until, 0.08, benign=True))
        if is_last_workday(day):
            found += [
                Trouble(
                    "month end", "calendar", since, until, 2.5, {"workflow_id": flow.workflow_id}, benign=True
                )
                for flow in fleet.workflows
                if flow.schedule.month_end_peak or flow.schedule.kind == "month_end"
            ]
        for zone in zones:
            hours = local_hours(since, zone)
            for nth, (hour, after) in enumerate(pairwise((*hours, local_hours(until, zone)[0])), 1):
                if hour.utcoffset() != after.utcoffset():
                    moment = since + nth * HOUR_US
                    found.append(
                        Trouble(
                            "clock change",
                            "calendar",
                            moment,
                            moment + DAY_US,
                            1.0,
                            {"zone": zone},
                            benign=True,
                        )
                    )
    return found


def _of_workflow(
    kind: str, flow: Workflow, metric: str, since: int, until: int, effect: float, *, benign: bool = False
) -> Trouble:
    where = {"workflow_id": flow.workflow_id}
    return Trouble(kind, metric, since, until, effect, where, benign=benign)  # type: ignore[arg-type]


def _longest(flow: Workflow) -> str:
    return max((flow.steps[at] for at in flow.leaves), key=lambda step: step.median_ms).step_id
