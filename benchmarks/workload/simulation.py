"""Day by day, the rows of a fleet as its agents deliver them: late ones come with the day they came on."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from analytics_lib.windows import DAY_US

from .columns import Columns, concatenated
from .draws import draw
from .fleet import Fleet
from .hosts import Sampling, Spans, heartbeats, samples
from .robots import Robots
from .runs import rows_of_runs
from .schedules import Ints
from .troubles import Trouble


@dataclass(frozen=True)
class Simulation:
    """A fleet from `since_us` (a UTC midnight) for some days, with its troubles. Same values, same rows."""

    fleet: Fleet
    seed: int
    since_us: int
    days: int
    troubles: Sequence[Trouble] = ()
    sampling: Sampling = field(default_factory=Sampling)

    @property
    def until_us(self) -> int:
        return self.since_us + self.days * DAY_US

    def delivered(self) -> Iterator[tuple[int, list[Columns]]]:
        """(day, what is delivered on it) in order: runs that have ended by then, samples, heartbeats.

        What has not ended, or not been delivered, by the end of the last day never comes.
        """
        robots = Robots(self.fleet, self.troubles, self.since_us)
        parcels: list[_Parcel] = []
        at_work = [_NO_SPANS] * len(self.fleet.hosts)
        for day_us in range(self.since_us, self.until_us, DAY_US):
            fresh, at_work = self._day(day_us, robots, at_work)
            parcels += fresh
            yield day_us, _handed_over(parcels, day_us + DAY_US)
            parcels = [late for late in (parcel.after(day_us + DAY_US) for parcel in parcels) if late]

    def _day(self, day_us: int, robots: Robots, at_work: list[Spans]) -> tuple[list["_Parcel"], list[Spans]]:
        drafts = []
        for workflow in self.fleet.workflows:
            concerning = [t for t in self.troubles if t.concerns(workflow.workflow_id)]
            if (draft := draw(workflow, day_us, self.seed, concerning)) is not None:
                drafts.append(draft)
        rng = np.random.default_rng([self.seed, 4, day_us // DAY_US])
        places = robots.assign(drafts, rng)
        parcels = []
        of_runs: list[tuple[Ints, Ints, Columns]] = []
        for draft, (hosts, started) in zip(drafts, places, strict=True):
            executions, steps, run_ended = rows_of_runs(draft, self.fleet, hosts, started, self.seed)
            of_runs.append((hosts, started, executions))
            parcels.append(self._parcel(executions, executions.column("ended_at_us")))
            parcels.append(self._parcel(steps, run_ended))
        spans = _spans(of_runs, at_work, day_us)
        for number, host in enumerate(self.fleet.hosts):
            more = np.random.default_rng([self.seed, 5, number, day_us // DAY_US])
            robot = self.fleet.robot_of(host)
            for rows, moment in (
                (samples(host, robot, day_us, spans[number], self.sampling, more), "sampled_at_us"),
                (heartbeats(host, robot, day_us, self.sampling), "sent_at_us"),
            ):
                if rows is not None:
                    rows = self._while_on(rows, host, moment)
                    parcels.append(self._parcel(rows, rows.column(moment)))
        return parcels, spans

    def _while_on(self, rows: Columns, host: str, moment: str) -> Columns:
        """Without what a machine that is switched off cannot measure."""
        for trouble in self.troubles:
            if trouble.metric == "host" and trouble.where["host"] == host:
                rows = rows.take(trouble.weight(rows.column(moment)) == 0)
        return rows

    def _parcel(self, rows: Columns, ready: Ints) -> "_Parcel":
        """With the moment at which each row reaches the store: when it is ready, or the network is back."""
        arrives = ready.astype(np.int64)
        for trouble in self.troubles:
            if trouble.metric == "delivery":
                there = rows.column("host") == trouble.where["host"]
                held = there & (arrives >= trouble.since_us) & (arrives < trouble.until_us)
                arrives = np.where(held, trouble.until_us, arrives)
        return _Parcel(rows, arrives)


@dataclass(frozen=True, slots=True)
class _Parcel:
    """Rows of one kind, and when each of them reaches the store."""

    rows: Columns
    arrives: Ints

    def before(self, moment_us: int) -> "_Parcel":
        return self._where(self.arrives < moment_us)

    def after(self, moment_us: int) -> "_Parcel | None":
        kept = self.arrives >= moment_us
        return self._where(kept) if kept.any() else None

    def _where(self, kept: "np.ndarray[tuple[int], np.dtype[np.bool_]]") -> "_Parcel":
        return self if kept.all() else _Parcel(self.rows.take(kept), self.arrives[kept])


def _handed_over(parcels: Sequence[_Parcel], before_us: int) -> list[Columns]:
    """What arrives by then, in the order of arrival, a run's steps together; executions before steps."""
    by_kind: dict[str, list[_Parcel]] = {}
    for parcel in parcels:
        arrived = parcel.before(before_us)
        if arrived.rows.count:
            by_kind.setdefault(arrived.rows.kind, []).append(arrived)
    handed = []
    for of_kind in by_kind.values():
        order = np.argsort(np.concatenate([parcel.arrives for parcel in of_kind]), kind="stable")
        handed.append(concatenated([parcel.rows for parcel in of_kind]).take(order))
    return handed


def _empty() -> Spans:
    none = np.zeros(0, dtype=object)
    return Spans(np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64), none, none)


_NO_SPANS = _empty()


def _spans(
    of_runs: Sequence[tuple[Ints, Ints, Columns]], before: Sequence[Spans], day_us: int
) -> list[Spans]:
    """Of each host, when it works from this day on: the day's runs and those of before that go on."""
    if not of_runs:
        return list(before)
    hosts = np.concatenate([hosts for hosts, _, _ in of_runs])
    started = np.concatenate([started for _, started, _ in of_runs])
    ended = np.concatenate([rows.column("ended_at_us") for _, _, rows in of_runs]).astype(np.int64)
    runs = np.concatenate([rows.column("execution_id") for _, _, rows in of_runs])
    workflows = np.concatenate([rows.column("workflow_id") for _, _, rows in of_runs])
    order = np.lexsort((started, hosts))
    bounds = np.searchsorted(hosts[order], np.arange(len(before) + 1))
    result = []
    for number, old in enumerate(before):
        mine = order[bounds[number] : bounds[number + 1]]
        goes_on = old.ended > day_us
        result.append(
            Spans(
                np.concatenate((old.started[goes_on], started[mine])),
                np.concatenate((old.ended[goes_on], ended[mine])),
                np.concatenate((old.execution_id[goes_on], runs[mine])),
                np.concatenate((old.workflow_id[goes_on], workflows[mine])),
            )
        )
    return result
