"""The runs of one workflow that are due on one UTC day, as arrays: what happens in them, on which host.

All of a run is decided here but when it starts and where: that needs the other runs (`robots`).
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from analytics_lib.windows import DAY_US

from .fleet import TEMPLATES, Workflow
from .schedules import MINUTE_US, Ints, due_moments, is_workday, local_hour_of, local_hours
from .troubles import Floats, Trouble

Flags = NDArray[np.bool_]
COMPANIES: Final = np.array(["DE01", "DE02", "FR01", "US01"], dtype=object)
RUN_SPREAD: Final = 0.12  # of the whole run, beside each step's own
LONG_SHARE, LONG_FACTOR = 0.002, 6.0  # of steps, that take so many times as long for no reason
TRIED_AGAIN: Final = 0.01  # of steps: the first attempt failed
TIMED_OUT_US: Final = 120_000_000
NO_REASON, CANCELLED = -1, -2  # instead of a position in TEMPLATES


@dataclass(frozen=True, slots=True)
class Outcome:
    """What happens in the runs, row by row; columns are the workflow's steps."""

    took_us: Ints  # each step's own time, (runs, steps); what it holds is not in it
    first_us: Ints  # of its first attempt, where that failed and the step was tried again, else 0
    stops_at: Ints  # the step in which the run ends without success; else how many steps there are
    reason: Ints  # a position in TEMPLATES, NO_REASON or CANCELLED

    @property
    def total_us(self) -> Ints:
        whole = np.cumsum(self.took_us + self.first_us, axis=1)
        return whole[np.arange(len(whole)), np.minimum(self.stops_at, whole.shape[1] - 1)]


@dataclass(frozen=True, slots=True)
class Draft:
    """A day's runs of a workflow. The first tries come first, then the second ones, by `retry_of`."""

    workflow: Workflow
    day_us: int
    due_us: Ints
    retry_of: Ints  # position of the run that failed; -1 for a first try
    version: NDArray[Any]
    queue: NDArray[Any]
    company: NDArray[Any]
    skipped: Flags  # (runs, steps)
    numbers: Ints  # for messages
    usual: Outcome
    on_host: dict[str, Outcome]  # where a trouble of the host makes a difference


def draw(workflow: Workflow, day_us: int, seed: int, troubles: Sequence[Trouble]) -> Draft | None:
    """None where no run is due. `troubles`: those that concern the workflow."""
    day = day_us // DAY_US
    rng = np.random.default_rng([seed, 1, workflow.number, day])
    luck = np.random.default_rng([seed, 2, workflow.number, day])
    due = due_moments(workflow.schedule, workflow.zone, day_us, rng)
    noise = _Noise.of(workflow, len(due), rng)
    due, kept = _more_or_fewer(due, troubles, luck)
    if not len(due):
        return None
    noise = noise.take(kept)
    version = _versions(workflow, due, troubles)
    names = {
        "workflow_version": version,
        "queue": np.array(workflow.queues, dtype=object)[(noise.queue < 0.2) * (len(workflow.queues) - 1)],
        "company": COMPANIES[(noise.company * len(COMPANIES)).astype(int)],
        "hour": local_hour_of(due, workflow.zone).astype(str).astype(object),
    }
    chances = luck.random((len(troubles), len(due)))
    first = _outcomes(workflow, noise, due, names, troubles, chances)
    failed = np.flatnonzero(_is_application(first[""].reason)) if workflow.retries else np.zeros(0, int)
    retry_of = np.concatenate((np.full(len(due), -1), failed))
    again = _Noise.of(workflow, len(failed), np.random.default_rng([seed, 3, workflow.number, day]))
    second = _outcomes(
        workflow,
        again,
        due[failed],
        {name: values[failed] for name, values in names.items()},
        troubles,
        chances[:, failed],
    )
    both = {host: _joined(first[host], second[host]) for host in first}
    every = np.concatenate((np.arange(len(due)), failed))
    return Draft(
        workflow=workflow,
        day_us=day_us,
        due_us=due[every],
        retry_of=retry_of,
        version=version[every],
        queue=names["queue"][every],
        company=names["company"][every],
        skipped=np.concatenate((noise.skipped, again.skipped)),
        numbers=np.concatenate((noise.numbers, again.numbers)),
        usual=both.pop(""),
        on_host=both,
    )


@dataclass(frozen=True, slots=True)
class _Noise:
    """All the random numbers that runs need, whatever troubles there are."""

    run: Floats
    steps: Floats
    long: Flags
    again: Floats
    fails: Floats
    where: Floats
    how: Floats
    queue: Floats
    company: Floats
    numbers: Ints
    skipped: Flags

    @classmethod
    def of(cls, workflow: Workflow, runs: int, rng: np.random.Generator) -> "_Noise":
        shape = (runs, len(workflow.steps))
        return cls(
            run=rng.standard_normal(runs),
            steps=rng.standard_normal(shape),
            long=rng.random(shape) < LONG_SHARE,
            again=rng.random(shape),
            fails=rng.random(runs),
            where=rng.random(runs),
            how=rng.random(runs),
            queue=rng.random(runs),
            company=rng.random(runs),
            numbers=rng.integers(100, 99_999, runs),
            skipped=rng.random(shape) < [step.optional for step in workflow.steps],
        )

    def take(self, at: Ints) -> "_Noise":
        return _Noise(*(getattr(self, name)[at] for name in self.__slots__))


def _more_or_fewer(due: Ints, troubles: Iterable[Trouble], luck: np.random.Generator) -> tuple[Ints, Ints]:
    """(the runs that there are, which of the drawn ones each is like)."""
    kept = np.arange(len(due))
    moments = due
    for trouble in troubles:
        if trouble.metric != "runs":
            continue
        factor = 1 + (trouble.effect - 1) * trouble.weight(moments)
        chance = luck.random(len(moments))
        copies = np.floor(factor).astype(int) + (chance < factor % 1)
        # What is due more often is due between the times at which it was due before.
        gap = np.min(np.diff(np.unique(moments)), initial=60 * MINUTE_US) if len(moments) > 1 else 0
        nth = np.arange(copies.sum()) - np.repeat(np.cumsum(copies) - copies, copies)
        moments = np.repeat(moments, copies) + nth * gap // np.maximum(np.repeat(copies, copies), 1)
        kept = np.repeat(kept, copies)
    order = np.argsort(moments, kind="stable")
    return moments[order], kept[order]


def _versions(workflow: Workflow, due: Ints, troubles: Iterable[Trouble]) -> NDArray[Any]:
    major = 1 + workflow.number % 5
    minor = np.zeros(len(due), dtype=np.int64)
    if workflow.release_days:
        minor = (due // DAY_US + workflow.number) // workflow.release_days % 100
    texts = np.array([f"{major}.{n}" for n in range(100)], dtype=object)[minor]
    for trouble in troubles:
        if trouble.metric == "version":
            texts = np.where(trouble.weight(due) > 0, trouble.where["workflow_version"], texts)
    return texts


def _outcomes(
    workflow: Workflow,
    noise: _Noise,
    due: Ints,
    names: dict[str, NDArray[Any]],
    troubles: Sequence[Trouble],
    chances: Floats,
) -> dict[str, Outcome]:
    """By host: '' for those of which nothing special is to be said."""
    at = [(trouble, chances[n]) for n, trouble in enumerate(troubles) if trouble.metric in _IN_RUNS]
    hosts = {trouble.where["host"] for trouble, _ in at if "host" in trouble.where}
    return {
        host: _outcome(
            workflow, noise, due, names, [(t, c) for t, c in at if t.where.get("host", host) == host]
        )
        for host in ("", *sorted(hosts))
    }


_IN_RUNS: Final = ("duration", "spread", "failures")


def _outcome(
    workflow: Workflow,
    noise: _Noise,
    due: Ints,
    names: dict[str, NDArray[Any]],
    troubles: Sequence[tuple[Trouble, Floats]],
) -> Outcome:
    steps, runs = workflow.steps, len(due)
    ids = [step.step_id for step in steps]
    spread = np.broadcast_to([step.spread for step in steps], noise.steps.shape).copy()
    factor = np.exp(RUN_SPREAD * noise.run) * (1 + workflow.season * _busy(due, workflow.zone))
    factors = np.repeat(factor[:, None], len(steps), axis=1)
    fails, blamed = np.full(runs, workflow.failure_rate), np.full(runs, -1)
    for trouble, chance in troubles:
        weight = trouble.hits(due, names, chance)
        step = trouble.where.get("step_id")
        columns = [ids.index(step)] if step in ids else range(len(steps)) if step is None else []
        for column in columns:
            if trouble.metric == "duration":
                factors[:, column] *= 1 + (trouble.effect - 1) * weight
            elif trouble.metric == "spread":
                spread[:, column] *= 1 + (trouble.effect - 1) * weight
                if not trouble.effect:  # a flat line is flat
                    factors[weight > 0, column] = 1.0
        if trouble.metric == "failures":
            more = fails + (1 - fails) * trouble.effect * weight
            hit = (noise.fails >= fails) & (noise.fails < more)
            blamed[hit] = columns[0] if step is not None and columns else -1
            fails = more
    medians_us = np.array([step.median_ms * 1000 for step in steps])
    long = np.where(noise.long & (spread > 0), LONG_FACTOR, 1.0)
    took = medians_us * factors * np.exp(spread * noise.steps) * long
    took = np.where(noise.skipped, 0.0, np.maximum(took, 1.0)).astype(np.int64)
    stops_at, reason = _ends(workflow, noise, fails, blamed)
    rows = np.flatnonzero(_timed_out(reason))
    took[rows, stops_at[rows]] += TIMED_OUT_US
    is_leaf = np.isin(np.arange(len(steps)), workflow.leaves)
    again = (noise.again < TRIED_AGAIN) & is_leaf & ~noise.skipped
    return Outcome(took, np.where(again, took // 2 + 1, 0), stops_at, reason)


def _ends(workflow: Workflow, noise: _Noise, fails: Floats, blamed: Ints) -> tuple[Ints, Ints]:
    """(the step in which each run ends, why)."""
    runs = len(fails)
    leaves = workflow.leaves
    # A step that is skipped cannot fail: then it is the one after it, or no one.
    position = np.where(blamed >= 0, blamed, leaves[(noise.where * len(leaves)).astype(int)])
    failed = (noise.fails < fails) & ~noise.skipped[np.arange(runs), position]
    cancelled = ~failed & (noise.fails > 0.999)
    # The first of its templates are the most frequent ones.
    nth = (len(workflow.templates) * noise.how**2).astype(int)
    reason = np.where(failed, np.array(workflow.templates)[nth], NO_REASON)
    reason = np.where(cancelled, CANCELLED, reason)
    return np.where(failed | cancelled, position, len(workflow.steps)), reason


_APPLICATION: Final = np.array([kind == "application" for kind, _ in TEMPLATES])
_TIMEOUT: Final = np.array([message.startswith("TimeoutError") for _, message in TEMPLATES])


def _is_application(reason: Ints) -> Flags:
    return (reason >= 0) & _APPLICATION[np.maximum(reason, 0)]


def _timed_out(reason: Ints) -> Flags:
    return (reason >= 0) & _TIMEOUT[np.maximum(reason, 0)]


def _busy(due: Ints, zone: str) -> Floats:
    """0 in quiet hours, up to 1 at ten and half past two on working days, and a little more on Mondays."""
    days = np.unique(due // DAY_US)
    result = np.zeros(len(due))
    for day in days:
        hours = local_hours(int(day) * DAY_US, zone)
        h = np.array([hour.hour for hour in hours])
        level = np.exp(-(((h - 10) / 1.8) ** 2)) + 0.7 * np.exp(-(((h - 14.5) / 1.6) ** 2))
        level *= [is_workday(hour.date()) * (1.2 if hour.weekday() == 0 else 1.0) for hour in hours]
        at = due // DAY_US == day
        result[at] = level[due[at] % DAY_US // (60 * MINUTE_US)]
    return result


def _joined(a: Outcome, b: Outcome) -> Outcome:
    return Outcome(
        *(
            np.concatenate((getattr(a, n), getattr(b, n)))
            for n in ("took_us", "first_us", "stops_at", "reason")
        )
    )
