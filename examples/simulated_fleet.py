"""Weeks of runs of a made-up company's robots, with three troubles planted at known places.

    python examples/simulated_fleet.py --store FOLDER [--days 60] [--seed 7] [--end 2026-11-24T08:00]

Every row says environment "simulated" and source "simulation". The same arguments give the same rows,
to the microsecond.
"""

import argparse
import math
import random
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from datetime import time as time_of_day
from itertools import islice
from typing import Any, Final, Literal

from simulated_hosts import ENVIRONMENT, HOSTS, SOURCE, ZONE, Host, first_at_or_after
from simulated_workflows import WORKFLOWS, Failure, SimulatedWorkflow

from analytics_lib import TimeSeriesStore
from analytics_lib.records import ExecutionMetrics, Record, StepMetrics
from analytics_lib.windows import to_utc

SLOT: Final = timedelta(minutes=15)
FIRST_RELEASE: Final = date(2025, 1, 7)  # a Tuesday, as all that follow
BATCH_ROWS: Final = 1_000


@dataclass(frozen=True, slots=True)
class PlantedTrouble:
    """What is wrong with a workflow, since when, and what a good analysis should find.

    `before` and `after` are, for "slower", the median duration of completed runs relative to before;
    for "failing", the share of runs that fail; for "silent", runs a day.
    """

    kind: Literal["slower", "failing", "silent"]
    workflow_id: str
    since: datetime
    before: float
    after: float
    step_id: str = ""
    workflow_version: str = ""  # the release that came at the same moment
    message: str = ""


def planted_troubles(end: datetime) -> list[PlantedTrouble]:
    """The truth about the fleet that `simulate_fleet` makes up to this end."""
    last_day = to_utc(end).astimezone(ZONE).date()
    return [
        PlantedTrouble(
            "slower", "invoice-intake", _local(last_day, -9, 6), before=1.0, after=1.35, step_id="post in ERP"
        ),
        PlantedTrouble(
            "failing",
            "order-entry",
            _local(last_day, -5, 6),
            before=0.03,
            after=0.22,
            step_id="enter order",
            workflow_version="4.2",
            message="StaleElement: the order form was loaded anew while it was filled in",
        ),
        PlantedTrouble("silent", "price-updates", to_utc(end) - timedelta(days=3), before=16.0, after=0.0),
    ]


def simulate_fleet(*, end: datetime, days: int = 60, seed: int = 7) -> Iterator[Record]:
    """Runs that ended, their steps, and samples of the hosts, of the `days` before the end.

    Day by day (local days of Europe/Berlin), and within a day first runs with their steps, then
    samples. Each day has random numbers of its own, so that a shorter history is nearly the end of a
    longer one. A naive end means local time.
    """
    until = to_utc(end)
    since = until - timedelta(days=days)
    troubles = {trouble.workflow_id: trouble for trouble in planted_troubles(until)}
    fleet = {name: Host(name, free_at=since) for name in HOSTS}
    day, last_day = since.astimezone(ZONE).date(), until.astimezone(ZONE).date()
    while day <= last_day:
        rng = random.Random(f"{seed}/{day}")  # noqa: S311  # to be repeated, not to be secret
        begins, ends = max(_local(day), since), min(_local(day, 1), until)
        for due, workflow, number in _due_runs(begins, ends):
            trouble = troubles.get(workflow.workflow_id)
            if trouble is None or trouble.since > due:
                trouble = None
            elif trouble.kind == "silent":
                continue
            host = _free_host(rng, fleet, due)
            started = max(due, host.free_at) + timedelta(seconds=rng.uniform(1, 20))
            rows = _run(rng, workflow, trouble, seed, number, due, started, host)
            host.works(started, rows[0].ended_at)
            if rows[0].ended_at < until:
                yield from rows
        for host in fleet.values():
            yield from host.samples(f"{seed}/{day}", begins, ends)
        day += timedelta(days=1)


def _due_runs(begins: datetime, ends: datetime) -> Iterator[tuple[datetime, SimulatedWorkflow, int]]:
    """By real quarter hours, so that a day of 23 or 25 hours needs no care."""
    slot = first_at_or_after(begins, SLOT)
    while slot < ends:
        local = slot.astimezone(ZONE)
        for workflow in WORKFLOWS:
            if workflow.cadence.is_due(local):
                for number in range(1, workflow.cadence.runs + 1):
                    yield slot, workflow, number
        slot += SLOT


def _free_host(rng: random.Random, fleet: dict[str, Host], due: datetime) -> Host:
    """Any that is free, else the one that will be first: what is due together waits."""
    free = [host for host in fleet.values() if host.free_at <= due]
    return rng.choice(free) if free else min(fleet.values(), key=lambda host: host.free_at)


def _run(
    rng: random.Random,
    workflow: SimulatedWorkflow,
    trouble: PlantedTrouble | None,
    seed: int,
    number: int,
    due: datetime,
    started: datetime,
    host: Host,
) -> tuple[ExecutionMetrics, *tuple[StepMetrics, ...]]:
    """The execution and its steps up to the one that failed; they follow each other without a gap."""
    failure = _failure(rng, workflow, trouble)
    execution_id = f"simulated-{seed}/{workflow.workflow_id}/{due:%Y%m%dT%H%MZ}/{number}"
    dimensions: dict[str, Any] = {
        "workflow_id": workflow.workflow_id,
        "workflow_version": _version(workflow, trouble, due),
        "environment": ENVIRONMENT,
        "robot_id": host.robot_id,
        "host": host.name,
        "queue": workflow.queue,
        "source": SOURCE,
    }
    steps: list[StepMetrics] = []
    moment = started
    for step_id, duration in _step_durations(rng, workflow, trouble, due).items():
        outcome: dict[str, Any] = {"status": "completed"}
        if failure is not None and failure.step_id == step_id:
            duration += timedelta(seconds=failure.waited_s)
            outcome = _outcome(rng, failure)
        steps.append(
            StepMetrics(
                execution_id=execution_id,
                recorder_id=SOURCE,
                step_seq=len(steps) + 1,
                step_id=step_id,
                step_name=step_id,
                started_at=moment,
                ended_at=moment + duration,
                duration_ms=duration / timedelta(milliseconds=1),
                **outcome,
                **dimensions,
            )
        )
        moment += duration
        if outcome["status"] != "completed":
            break
    last = steps[-1]
    execution = ExecutionMetrics(
        execution_id=execution_id,
        status=last.status,
        exception_kind=last.exception_kind,
        message=last.message,
        queued_at=due,
        started_at=started,
        ended_at=moment,
        duration_ms=(moment - started) / timedelta(milliseconds=1),
        steps_total=len(workflow.shares),
        steps_completed=len(steps) - (failure is not None),
        steps_failed=int(failure is not None),
        recorder_id=SOURCE,
        **dimensions,
    )
    return execution, *steps


def _step_durations(
    rng: random.Random, workflow: SimulatedWorkflow, trouble: PlantedTrouble | None, due: datetime
) -> dict[str, timedelta]:
    """Log-normal times season for the whole run, its parts by their shares, each a little different."""
    whole_s = workflow.median_s * _season(due.astimezone(ZONE)) * math.exp(rng.gauss(0, workflow.spread))
    parts_s = {step: whole_s * share * math.exp(rng.gauss(0, 0.1)) for step, share in workflow.shares.items()}
    if trouble is not None and trouble.kind == "slower":
        share = workflow.shares[trouble.step_id]
        parts_s[trouble.step_id] *= 1 + (trouble.after - trouble.before) / share
    return {step: timedelta(microseconds=round(part_s * 1e6)) for step, part_s in parts_s.items()}


def _season(local: datetime) -> float:
    """How much slower than at a quiet hour: two humps on working days, and Mondays a little more.

    >>> round(_season(datetime(2026, 11, 23, 10)), 2), round(_season(datetime(2026, 11, 22, 10)), 2)
    (1.35, 1.0)
    """
    if local.weekday() > 4:
        return 1.0
    hour = local.hour + local.minute / 60
    humps = 0.24 * math.exp(-(((hour - 10) / 1.8) ** 2)) + 0.16 * math.exp(-(((hour - 14.5) / 1.6) ** 2))
    return (1 + humps) * (1.09 if local.weekday() == 0 else 1.0)


def _failure(
    rng: random.Random, workflow: SimulatedWorkflow, trouble: PlantedTrouble | None
) -> Failure | None:
    if trouble is not None and trouble.kind == "failing":
        more = (trouble.after - trouble.before) / (1 - trouble.before)
        if rng.random() < more:
            return Failure(trouble.step_id, "application", trouble.message)
    if rng.random() >= workflow.failure_rate:
        return None
    weights = [failure.weight for failure in workflow.failures]
    return rng.choices(workflow.failures, weights)[0]


def _outcome(rng: random.Random, failure: Failure) -> dict[str, Any]:
    message = failure.message.format(n=rng.randint(100, 99_999))
    return {"status": failure.status, "exception_kind": failure.kind, "message": message}


def _version(workflow: SimulatedWorkflow, trouble: PlantedTrouble | None, due: datetime) -> str:
    if trouble is not None and trouble.workflow_version:
        return trouble.workflow_version
    if not workflow.release_days:
        return workflow.version
    minor = (due.astimezone(ZONE).date() - FIRST_RELEASE).days // workflow.release_days
    return f"{workflow.version.split('.')[0]}.{max(minor, 0)}"


def _local(day: date, more_days: int = 0, hour: int = 0) -> datetime:
    """The moment of this local day and hour, in UTC."""
    return datetime.combine(day + timedelta(days=more_days), time_of_day(hour), ZONE).astimezone(UTC)


def write_fleet(store: TimeSeriesStore, *, end: datetime, days: int = 60, seed: int = 7) -> Counter[str]:
    """Writes what `simulate_fleet` makes; gives the rows by kind: 'execution', 'step', 'resource'.

    What is stored already is left as it is, and not counted.
    """
    records = simulate_fleet(end=end, days=days, seed=seed)
    written: Counter[str] = Counter()
    while batch := list(islice(records, BATCH_ROWS)):
        for kind, count in store.write_metrics(batch).by_kind.items():
            written[kind] += count.inserted
    return written


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--store", required=True, metavar="FOLDER", help="where the rows go")
    parser.add_argument("--days", type=int, default=60)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--end", type=datetime.fromisoformat, metavar="ISO", help="default: now")
    arguments = parser.parse_args()
    now = datetime.now(UTC)
    end = to_utc(arguments.end or now)
    if arguments.days < 1:
        parser.error("--days: give at least 1")
    if end > now:
        parser.error("--end lies in the future: the store would not take such rows")
    began_s = time.perf_counter()
    with TimeSeriesStore(arguments.store) as store:
        written = write_fleet(store, end=end, days=arguments.days, seed=arguments.seed)
    took_s = time.perf_counter() - began_s
    rows = ", ".join(f"{written[kind]:,} {kind} rows" for kind in ("execution", "step", "resource"))
    print(f"{rows} of {arguments.days} simulated days in {arguments.store} ({took_s:.1f} s)")
    for trouble in planted_troubles(end):
        since = trouble.since.astimezone(ZONE)
        print(f"planted: {trouble.workflow_id} {trouble.kind} since {since:%a %d %b %H:%M %Z}")


if __name__ == "__main__":
    main()
