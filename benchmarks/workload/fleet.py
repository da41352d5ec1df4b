"""A made-up company's workflows, their steps, and the robots that run them; sized to a number of steps."""

from dataclasses import dataclass, replace
from datetime import time
from functools import cached_property
from typing import Final

import numpy as np

from analytics_lib.windows import DAY_US

from .schedules import Schedule, expected_runs

AREAS: Final = ("Finance", "Purchasing", "Sales", "Service", "Logistics", "People", "Claims", "IT")
OBJECTS: Final = (
    "Invoices",
    "Orders",
    "Tickets",
    "Contracts",
    "Statements",
    "Shipments",
    "Payrolls",
    "Claims",
)
VERBS: Final = (
    "Open",
    "Read",
    "Check",
    "Match",
    "Enter",
    "Post",
    "Confirm",
    "File",
    "Compare",
    "Send",
    "Export",
)
THINGS: Final = ("mailbox", "form", "order", "customer", "account", "table", "document", "portal", "ledger")
SUBJECTS: Final = (
    "the button 'Post'", "the field 'Quantity'", "the mail server", "the customer portal", "the bank's page",
    "the print queue", "the ledger", "order {n}", "customer {n}", "invoice {n}", "document {n}", "user u{n}",
    "the share '/in/{n}'", "the session {n}", "article {n}", "the export {n}", "the form 'F-{n}'", "the VPN",
    "the database", "the archive",
)  # fmt: skip
PROBLEMS: Final = (
    ("application", "SelectorNotFound: {} was not found after 30 s"),
    ("application", "TimeoutError: {} did not answer within {n} ms"),
    ("application", "ConnectionError: {} refused the connection"),
    ("application", "StaleElement: {} was loaded anew while it was used"),
    ("application", "LoginFailed: {} shows 'maintenance'"),
    ("business", "BusinessException: {} has no purchase order"),
    ("business", "BusinessException: {} is blocked since day {n}"),
    ("business", "ValidationError: {} exceeds its limit by {n} EUR"),
    ("business", "ValidationError: {} exists twice"),
    ("business", "BusinessException: {} is no longer valid"),
)
# 200 templates; {n} differs each time. Their order is part of the truth: a message tells its template.
TEMPLATES: Final = tuple(
    (kind, problem.replace("{}", subject, 1)) for subject in SUBJECTS for kind, problem in PROBLEMS
)
ZONES: Final = ("Europe/Berlin", "Europe/Berlin", "Europe/Berlin", "America/New_York", "Asia/Kolkata")
HOST_LOAD: Final = 0.3  # of the time that robots work; at peak hours it is three times as much


@dataclass(frozen=True, slots=True)
class Step:
    """Durations are log-normal. `parent`: the position of the enclosing step, which takes what is in it."""

    step_id: str
    parent: int | None
    depth: int
    median_ms: float
    spread: float
    optional: float = 0.0  # the share of runs that skip it


@dataclass(frozen=True)
class Workflow:
    number: int
    workflow_id: str
    zone: str
    schedule: Schedule
    steps: tuple[Step, ...]
    queues: tuple[str, ...]
    season: float  # how much longer runs take at busy hours: .3 is 30 %
    failure_rate: float
    templates: tuple[int, ...]  # of `TEMPLATES`: how it fails, the first most often
    retries: int  # how often a run that failed by an application exception is tried again
    release_days: int  # 0: no releases

    @cached_property
    def leaves(self) -> "np.ndarray[tuple[int], np.dtype[np.int64]]":
        """Positions of the steps that hold no others."""
        inner = {step.parent for step in self.steps}
        return np.array([at for at in range(len(self.steps)) if at not in inner])

    @cached_property
    def last_inside(self) -> "np.ndarray[tuple[int], np.dtype[np.int64]]":
        """For each step the position of the last one inside it, itself where it holds none."""
        last = list(range(len(self.steps)))
        for at in reversed(range(len(self.steps))):
            if (parent := self.steps[at].parent) is not None:
                last[parent] = max(last[parent], last[at])
        return np.array(last)

    @property
    def median_s(self) -> float:
        return sum(self.steps[at].median_ms for at in self.leaves) / 1000

    @property
    def mean_steps(self) -> float:
        """Step rows of a run on average: one that fails is not finished, some steps are tried again."""
        return len(self.steps) * (1 - 0.5 * self.failure_rate) + 0.01 * len(self.leaves)


@dataclass(frozen=True, slots=True)
class Fleet:
    workflows: tuple[Workflow, ...]
    hosts: tuple[str, ...]

    def robot_of(self, host: str) -> str:
        return host.split(".")[0].replace("bot", "robot")


def make_fleet(
    *, seed: int, since_us: int, days: int, steps: int, workflows: int = 40, hosts: int | None = None
) -> Fleet:
    """A fleet that leaves about so many step rows in the days from `since_us` on.

    A tenth of the workflows runs every five minutes, a fifth hourly, a quarter daily, a tenth weekly,
    one in twenty at the month's end; the others work on queues, a few of them on most of the work.
    Where so many would leave too many rows, there are fewer of the frequent ones, or none.
    """
    rng = np.random.default_rng([seed, 0])
    runs_a_day = steps / 10 / days
    kinds = ["5 min"] * min(max(workflows // 10, 1), round(0.25 * runs_a_day / 288))
    kinds += ["hourly"] * min(max(workflows // 5, 1), max(int(0.2 * runs_a_day / 20), 1))
    kinds += ["daily"] * min(max(workflows // 4, 1), max(int(0.1 * runs_a_day), 1))
    kinds += ["weekly"] * max(workflows // 10, 1) + ["month_end"] * max(workflows // 20, 1)
    kinds = (kinds + ["queue"] * max(workflows - len(kinds), 1))[: max(workflows, 6)]
    made = [_workflow(number, kind, rng) for number, kind in enumerate(kinds)]
    made = _sized(made, range(since_us, since_us + days * DAY_US, DAY_US), steps)
    if hosts is None:
        work_s = sum(
            flow.median_s
            * 1.3
            * expected_runs(flow.schedule, flow.zone, day)
            * (flow.schedule.runs_a_day or 1)
            for flow in made
            for day in range(since_us, since_us + days * DAY_US, DAY_US)
        )
        hosts = max(int(work_s / (days * 86_400) / HOST_LOAD) + 1, 4)
    return Fleet(tuple(made), tuple(f"bot-{n:03d}.example.org" for n in range(1, hosts + 1)))


def _sized(made: list[Workflow], days: range, steps: int) -> list[Workflow]:
    """With as much work in the queues as is missing; the busiest gets it by Zipf's law."""
    expected = [sum(expected_runs(flow.schedule, flow.zone, day) for day in days) for flow in made]
    missing = steps - sum(
        runs * flow.mean_steps
        for runs, flow in zip(expected, made, strict=True)
        if flow.schedule.kind != "queue"
    )
    queued = [flow.number for flow in made if flow.schedule.kind == "queue"]
    shares = 1 / np.arange(2, len(queued) + 2)
    sized = list(made)
    for number, share in zip(queued, shares / shares.sum(), strict=True):
        rate = max(missing, 0.0) * share / (expected[number] * made[number].mean_steps)
        sized[number] = replace(made[number], schedule=replace(made[number].schedule, runs_a_day=float(rate)))
    return sized


def _schedule(kind: str, rng: np.random.Generator) -> Schedule:
    if kind == "5 min":
        return Schedule("every", every_min=5)
    if kind == "hourly":
        return Schedule("every", every_min=60, office_hours=bool(rng.random() < 0.3))
    if kind == "daily":
        return Schedule("daily", at=time(int(rng.choice([2, 5, 9, 9, 9, 20, 23])), int(rng.choice([0, 30]))))
    if kind == "weekly":
        return Schedule("weekly", weekday=int(rng.integers(0, 5)), runs=int(rng.integers(1, 4)))
    if kind == "month_end":
        return Schedule("month_end", at=time(18), runs=int(rng.integers(4, 12)))
    return Schedule("queue", month_end_peak=bool(rng.random() < 0.4))


_MEDIAN_S: Final = {"5 min": 25, "hourly": 90, "daily": 900, "weekly": 1200, "month_end": 1800, "queue": 120}


def _workflow(number: int, kind: str, rng: np.random.Generator) -> Workflow:
    area, thing = AREAS[number % len(AREAS)], OBJECTS[int(rng.integers(len(OBJECTS)))]
    queue = f"{area.lower()}-{thing.lower()}"
    return Workflow(
        number=number,
        workflow_id=f"{area}.{thing}.{VERBS[int(rng.integers(len(VERBS)))]} {thing.lower()} {number:04d}",
        zone=ZONES[int(rng.integers(len(ZONES)))],
        schedule=_schedule(kind, rng),
        steps=_steps(_MEDIAN_S[kind] * 1000 * float(rng.lognormal(0, 0.3)), rng),
        queues=(queue, f"{queue}-urgent") if kind == "queue" else (area.lower(),),
        season=float(rng.uniform(0, 0.35)),
        failure_rate=float(rng.uniform(0.005, 0.06)),
        templates=tuple(int(n) for n in rng.choice(len(TEMPLATES), 5, replace=False)),
        retries=int(kind == "queue"),
        release_days=int(rng.choice([0, 14, 21, 28, 42])),
    )


def _steps(median_ms: float, rng: np.random.Generator) -> tuple[Step, ...]:
    """Ten steps on average; about a third of them lie inside another, at most two deep."""
    count = int(rng.integers(7, 14))
    words = rng.choice(len(VERBS) * len(THINGS), count, replace=False)
    parents: list[int | None] = [None]
    for last in range(count - 1):
        around = parents[last]
        deep = around is not None and parents[around] is not None
        turn = rng.random()
        parents.append(last if turn < 0.25 and not deep else around if turn < 0.7 else None)
    depths: list[int] = []
    for parent in parents:
        depths.append(0 if parent is None else depths[parent] + 1)
    shares = rng.dirichlet(np.full(count, 1.2))
    inner = {parent for parent in parents if parent is not None}
    leaves_share = sum(share for at, share in enumerate(shares) if at not in inner)
    return tuple(
        Step(
            step_id=f"{VERBS[word // len(THINGS)]} {THINGS[word % len(THINGS)]}",
            parent=parents[at],
            depth=depths[at],
            median_ms=2.0 if at in inner else max(float(shares[at] / leaves_share * median_ms), 5.0),
            spread=0.1 if at in inner else float(rng.uniform(0.15, 0.7)),
            optional=0.1 if at not in inner and at > 0 and rng.random() < 0.1 else 0.0,
        )
        for at, word in enumerate(words)
    )
