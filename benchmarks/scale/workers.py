"""Two worker processes on disjoint days against one: the whole work on Postgres, and the computing alone."""

import multiprocessing
import statistics
import time
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any

from analytics_lib.windows import DAY_US, Window, from_us
from scale.stores import mark_steps

COMPUTED_AGAIN = 5  # it is over too soon to be measured once
Job = Callable[..., None]


def measure(location: str, since_us: int, until_us: int, rounds: int) -> None:
    as_of = from_us(until_us)
    for name, job, goal in (("back-fill on Postgres", _aggregate, 1.3), ("computing alone", _compute, 1.7)):
        times: dict[int, list[float]] = {1: [], 2: []}
        for _ in range(rounds):
            for workers in times:
                mark_steps(location, since_us, until_us, forget=True)
                days = list(range(since_us, until_us, DAY_US))
                parts = [days[number::workers] for number in range(workers)]
                times[workers].append(_seconds(job, [(location, part, as_of) for part in parts]))
        one, two = (statistics.median(times[workers]) for workers in (1, 2))
        print(f"  {name}: one worker {one:.2f} s, two {two:.2f} s, ratio {one / two:.2f} (goal {goal})")


def _seconds(job: Job, arguments: Sequence[tuple[Any, ...]]) -> float:
    """From the moment all are ready until the last is done."""
    context = multiprocessing.get_context("spawn")
    ready = context.Barrier(len(arguments) + 1)
    done = context.Barrier(len(arguments) + 1)
    workers = [context.Process(target=job, args=(ready, done, *given)) for given in arguments]
    for worker in workers:
        worker.start()
    ready.wait(300)
    began = time.perf_counter()
    done.wait(1_800)
    took = time.perf_counter() - began
    for worker in workers:
        worker.join()
    return took


def _aggregate(ready: Any, done: Any, location: str, days: Sequence[int], as_of: datetime) -> None:
    from analytics_lib import pipeline
    from analytics_lib.rollup import hourly  # noqa: F401  # imports are not measured
    from analytics_lib.store import rollup_rows  # noqa: F401  # the same

    ready.wait(300)
    pipeline.aggregate_batch(location, [("step", day) for day in days], as_of=as_of)
    done.wait(1_800)


def _compute(ready: Any, done: Any, location: str, days: Sequence[int], as_of: datetime) -> None:
    from analytics_lib.rollup.hourly import roll_up_steps
    from analytics_lib.store import open_store, rollup_rows
    from analytics_lib.store.engine import connect_to_read

    with open_store(location) as store, connect_to_read(store.engine) as connection:
        frames = [rollup_rows.read_raw(connection, "step", Window(day, day + DAY_US)) for day in days]
    roll_up_steps(frames[0])  # the first time is not like the others
    ready.wait(300)
    for _ in range(COMPUTED_AGAIN):
        for frame in frames:
            roll_up_steps(frame)
    done.wait(1_800)
