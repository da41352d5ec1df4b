"""Rollups at scale beside SQL, pandas and DuckDB: same rows, one run, medians.

    python benchmarks/rollup_scale.py [--quick] [--parts month,memory,hour,quantiles,workers,disk]
        [--steps 2000000] [--days 30] [--samples 0] [--rounds 3] [--folder FOLDER]

The rows are those of benchmarks/workload. `--quick` is a tenth of them and takes a few minutes; all of it
about forty and 8 GB of disk. The stores are made in FOLDER, a temporary one by default.
"""

import argparse
import os
import platform
import sqlite3
import sys
import tempfile
import time
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path

from scale import disk, hours, months, quantiles, workers
from scale.children import run
from scale.stores import Server, add_history, mark_steps, postgres
from sqlalchemy import create_engine, text

from analytics_lib.store.engine import SQLITE_FILE
from analytics_lib.windows import DAY_US, day_of, from_us, to_us

PARTS = ("month", "memory", "hour", "quantiles", "workers", "disk")
SEED = 6


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="200,000 steps of 10 days")
    parser.add_argument("--parts", default=",".join(PARTS))
    parser.add_argument("--databases", default="sqlite,postgres")
    parser.add_argument("--steps", type=int)
    parser.add_argument("--days", type=int)
    parser.add_argument("--samples", type=int, default=0)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--folder", type=Path)
    given = parser.parse_args()
    steps = given.steps or (200_000 if given.quick else 2_000_000)
    days = given.days or (10 if given.quick else 30)
    parts, databases = set(given.parts.split(",")), given.databases.split(",")
    if unknown := parts.difference(PARTS):
        parser.error(f"--parts: no {', '.join(sorted(unknown))}; use any of {', '.join(PARTS)}")
    with ExitStack() as stack:
        folder = given.folder or Path(stack.enter_context(tempfile.TemporaryDirectory()))
        folder.mkdir(parents=True, exist_ok=True)
        server = stack.enter_context(postgres(folder)) if "postgres" in databases else None
        describe_machine(server)
        measure(parts, databases, server, folder, steps, days, given.samples, given.rounds)


def describe_machine(server: Server | None) -> None:
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    model = next(
        (line.split(":")[1].strip() for line in lines if line.startswith("model name")), platform.machine()
    )
    versions = [f"Python {platform.python_version()}", f"SQLite {sqlite3.sqlite_version}"]
    if server is not None:
        engine = create_engine(server.database("version"))
        with engine.connect() as connection:
            versions.append("Postgres " + connection.execute(text("SHOW server_version")).scalar_one())
        engine.dispose()
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else float("nan")
    print(f"{os.cpu_count()} CPUs ({model}), {', '.join(versions)}, load before {load:.1f}")


def measure(
    parts: set[str],
    databases: list[str],
    server: Server | None,
    folder: Path,
    steps: int,
    days: int,
    samples: int,
    rounds: int,
) -> None:
    until_us = day_of(to_us(datetime.now(UTC)))
    since_us = until_us - days * DAY_US
    month = {"seed": SEED, "since_us": since_us, "days": days}
    small = steps // 20
    if "month" in parts and "sqlite" in databases:
        location = str(folder / "month")
        _filled(location, steps=steps, samples=samples, **month)
        path = str(Path(location) / SQLITE_FILE)
        months.on_sqlite(location, path, since_us, until_us, rounds, folder)
    if parts & {"month", "workers", "quantiles"} and server is not None:
        location = server.database("month")
        _filled(location, steps=steps, samples=samples, workflows=100, **month)
        if "month" in parts:
            months.on_postgres(server, location, since_us, until_us, rounds)
        if "workers" in parts:
            print("Two workers on disjoint days:")
            workers.measure(location, since_us, until_us, rounds)
        if "quantiles" in parts:
            mark_steps(location, since_us, until_us, forget=True)
            run("contestants.ours", location=location, as_of=from_us(until_us).isoformat())
            print("Quantiles over the whole period:")
            quantiles.measure(location, since_us, until_us, rounds)
            location = server.database("many_steps")
            _filled(location, steps=steps // 2, workflows=500, **month)
            mark_steps(location, since_us, until_us, forget=True)
            run("contestants.ours", location=location, as_of=from_us(until_us).isoformat())
            quantiles.measure(location, since_us, until_us, rounds)
    for database in databases:
        if parts & {"hour", "memory"}:
            _history(parts, database, server, folder, small, until_us, rounds)
        if "disk" in parts:
            location = str(folder / "disk") if database == "sqlite" else _database(server, "disk")
            print("Disk, at default settings:")
            disk.measure(database, location, folder, 2, from_us(until_us))


def _history(
    parts: set[str],
    database: str,
    server: Server | None,
    folder: Path,
    steps: int,
    until_us: int,
    rounds: int,
) -> None:
    """One hour of 5,000 rows after a month and after two years; memory of one month and of twelve."""
    locations = {}
    for name, length in (("1 month", 1), ("24 months", 24)):
        key = name.replace(" ", "_")
        location = str(folder / key) if database == "sqlite" else _database(server, f"history_{key}")
        since_us = until_us - 30 * DAY_US
        _filled(location, seed=SEED, since_us=since_us, days=30, steps=steps)
        add_history(location, length)
        mark_steps(location, since_us - (length - 1) * 30 * DAY_US, until_us, forget=True)
        run("contestants.ours", location=location, as_of=from_us(until_us).isoformat())
        run("stores.add_busy_hour", location=location, hour_us=until_us, steps=5_000)
        locations[f"{name} of {steps:,} steps"] = location
    if "hour" in parts:
        print(f"{database}: one hour rolled up, beyond process start:")
        hours.measure(locations, until_us, max(rounds, 7))
    if "memory" in parts:
        print(f"{database}: peak memory of back-filling:")
        months.peak_memory(location, until_us, DAY_US)


def _database(server: Server | None, name: str) -> str:
    assert server is not None  # noqa: S101  # "postgres" is among the databases
    return server.database(name)


def _filled(location: str, **arguments: int) -> None:
    began = time.perf_counter()
    rows = run("stores.fill", location=location, **arguments)
    took = time.perf_counter() - began
    written = sum(rows.get(kind, 0) for kind in ("execution", "step", "resource"))
    kinds = ", ".join(f"{rows[kind]:,} {kind}" for kind in ("step", "execution", "resource") if kind in rows)
    print(
        f"filled: {kinds} rows of {arguments['days']} days, {rows['workflows']} workflows on "
        f"{rows['hosts']} robots ({written / took:,.0f} rows/s, peak {rows['rss_mib']:.0f} MiB)",
        flush=True,
    )


if __name__ == "__main__":
    sys.exit(main())
