"""Hourly step rollups from a frame: `roll_up_steps` beside pandas' own groupby with exact quantiles.

Ours also makes the mergeable sketch of each group, which pandas has no counterpart for.

    python benchmarks/rollup.py [--rows 500000]
"""

import argparse
import statistics
import time
from collections.abc import Callable

import numpy as np
import pandas as pd

from analytics_lib.rollup.hourly import STEP_KEY, roll_up_steps
from analytics_lib.windows import HOUR_US

ROUNDS = 3


def make_rows(count: int) -> pd.DataFrame:
    """A day of a fleet: 40 workflows with 10 steps each, skewed durations."""
    random = np.random.default_rng(7)
    workflow = random.integers(0, 40, count)
    step = random.integers(0, 10, count)
    return pd.DataFrame(
        {
            "workflow_id": [f"workflow-{n}" for n in workflow],
            "step_id": [f"step {n}" for n in step],
            "step_name": [f"Step {n}" for n in step],
            "depth": 0,
            "environment": "production",
            "workflow_version": "1.0",
            "bucket": workflow % 16,
            "status": random.choice(["completed", "failed", "skipped"], count, p=[0.95, 0.04, 0.01]),
            "exception_kind": "",
            "duration_ms": random.lognormal(6, 1, count),
            "ended_at_us": 1_770_000_000_000_000 + random.integers(0, 24 * HOUR_US, count),
        }
    )


def plain_pandas(rows: pd.DataFrame) -> pd.DataFrame:
    frame = rows[rows["status"] != "skipped"]
    frame = frame.assign(hour_us=frame["ended_at_us"] - frame["ended_at_us"] % HOUR_US)
    groups = frame.groupby(STEP_KEY)["duration_ms"]
    result = groups.agg(["count", "sum", "min", "max"])
    return result.join(groups.quantile([0.5, 0.95, 0.99]).unstack())


def seconds(work: Callable[[pd.DataFrame], pd.DataFrame], rows: pd.DataFrame) -> float:
    times = []
    for _ in range(ROUNDS):
        begin = time.perf_counter()
        work(rows)
        times.append(time.perf_counter() - begin)
    return statistics.median(times)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=500_000)
    rows = make_rows(parser.parse_args().rows)
    mine, theirs = seconds(roll_up_steps, rows), seconds(plain_pandas, rows)
    groups = len(roll_up_steps(rows))
    print(
        f"{len(rows):,} rows into {groups:,} groups: roll_up_steps {mine:.2f} s, "
        f"pandas groupby {theirs:.2f} s, ratio {theirs / mine:.2f} (median of {ROUNDS})"
    )


if __name__ == "__main__":
    main()
