"""One hour of 5,000 rows rolled up, with a short history and a long one, in processes that are up already."""

import statistics
import time
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from analytics_lib.windows import HOUR_US, from_us
from scale.children import Answer, run


def measure(locations: Mapping[str, str], hour_us: int, rounds: int) -> None:
    """`locations`: by how long their history is, the short one first."""
    found = run("hours.take_turns", locations=dict(locations), hour_us=hour_us, rounds=rounds)
    for name, times in found["times"].items():
        first, *later = times
        middle, cpu = statistics.median(later), statistics.median(found["cpu"][name][1:])
        print(
            f"  {name}: {middle:.0f} ms ({min(later):.0f}–{max(later):.0f}), CPU {cpu:.0f} ms, "
            f"the first time {first:.0f} ms; {found['rows'][name]:,} rows"
        )
    short, long = (statistics.median(found["times"][name][1:]) for name in locations)
    print(f"  the long history takes {long / short:.2f} times as long as the short one (goals: 100 ms, 1.2)")


def take_turns(locations: Mapping[str, str], hour_us: int, rounds: int) -> Answer:
    """Milliseconds of each round, and the rows of the hour: 'times', 'cpu', 'rows', each by name."""
    import pandas  # noqa: F401  # belongs to the process's start

    from analytics_lib import pipeline
    from analytics_lib.rollup import daily, hourly  # noqa: F401  # the same
    from analytics_lib.store import rollup_rows  # noqa: F401  # the same
    from scale.stores import mark_steps

    times: dict[str, list[float]] = {name: [] for name in locations}
    cpu: dict[str, list[float]] = {name: [] for name in locations}
    rows: dict[str, Any] = {}
    for number in range(rounds + 1):
        for name, location in locations.items():
            mark_steps(location, hour_us, hour_us + HOUR_US, forget=False)
            began, began_cpu = time.perf_counter(), time.process_time()
            done = pipeline.aggregate_pending(location, as_of=_after(hour_us))
            times[name].append((time.perf_counter() - began) * 1000)
            cpu[name].append((time.process_time() - began_cpu) * 1000)
            rows[name] = done["rows_read"]
            if done["hours"] != 1:
                raise RuntimeError(f"round {number}: {done}")
    return {"times": times, "cpu": cpu, "rows": rows}


def _after(hour_us: int) -> datetime:
    return from_us(hour_us + 2 * HOUR_US)
