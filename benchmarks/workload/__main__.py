"""Writes the rows of a made-up fleet with known truth into a store, and tells how fast that went.

python -m benchmarks.workload --store FOLDER --seed 1 --days 30 --steps 2000000 [--samples 5000000]
    [--workflows 40] [--hosts N] [--end 2026-11-01] [--quiet] [--heartbeat 300] [--truth truth.json]
"""

import argparse
import json
import resource
import time
from datetime import UTC, datetime
from pathlib import Path

from analytics_lib import TimeSeriesStore
from analytics_lib.windows import DAY_US, day_of, from_us, to_us

from .fleet import make_fleet
from .hosts import Sampling
from .plan import calendar, plan_troubles
from .simulation import Simulation
from .troubles import truth
from .writing import write_workload


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--store", required=True, metavar="LOCATION", help="a folder or a database URL")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--days", type=int, default=30)
    parser.add_argument("--end", type=datetime.fromisoformat, metavar="DATE", help="default: today, 0:00 UTC")
    parser.add_argument("--steps", type=int, default=2_000_000, help="about so many step rows")
    parser.add_argument("--samples", type=int, default=0, help="about so many resource rows")
    parser.add_argument("--workflows", type=int, default=40)
    parser.add_argument("--hosts", type=int, help="default: as many as the work needs")
    parser.add_argument(
        "--heartbeat", type=float, default=0.0, metavar="SECONDS", help="of the agents; 0: none"
    )
    parser.add_argument("--quiet", action="store_true", help="plant no trouble")
    parser.add_argument("--truth", type=Path, metavar="FILE", help="where what is planted goes, as JSON")
    given = parser.parse_args()
    end = given.end or datetime.now(UTC)
    until_us = day_of(to_us(end if end.tzinfo else end.replace(tzinfo=UTC)))
    since_us = until_us - given.days * DAY_US
    fleet = make_fleet(
        seed=given.seed,
        since_us=since_us,
        days=given.days,
        steps=given.steps,
        workflows=given.workflows,
        hosts=given.hosts,
    )
    plan = calendar if given.quiet else plan_troubles
    seeded = {} if given.quiet else {"seed": given.seed}
    troubles = plan(fleet, since_us=since_us, days=given.days, **seeded)
    every_s = given.days * 86_400 * len(fleet.hosts) * 1.3 / given.samples if given.samples else 0.0
    sampling = Sampling(every_s, every_s, given.heartbeat)
    simulation = Simulation(fleet, given.seed, since_us, given.days, troubles, sampling)
    if given.truth:
        given.truth.write_text(json.dumps(truth(troubles), indent=1) + "\n")
    began, began_cpu = time.perf_counter(), time.process_time()
    with TimeSeriesStore(given.store) as store:
        written = write_workload(store, simulation)
    took, cpu = time.perf_counter() - began, time.process_time() - began_cpu
    rows = ", ".join(f"{count:,} {kind}" for kind, count in sorted(written.items()))
    peak_mib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(
        f"{rows} rows of {given.days} days up to {from_us(until_us):%Y-%m-%d} "
        f"({len(fleet.workflows)} workflows, {len(fleet.hosts)} hosts, {len(troubles)} lines of truth): "
        f"{sum(written.values()) / took:,.0f} rows/s ({took:.1f} s, CPU {cpu:.1f} s), peak {peak_mib:.0f} MiB"
    )


if __name__ == "__main__":
    main()
