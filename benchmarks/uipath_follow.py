"""Following logs of UiPath robots: lines a second and peak memory, beside json.loads alone.

    python benchmarks/uipath_follow.py [--lines 100000] [--runs 3]

`Information` is what robots log by default; `Verbose` has every activity, of which each pair of lines
becomes a step. Each measurement is a process of its own; seconds are of CPU, for the machine may be busy.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from pathlib import Path

START = datetime(2024, 3, 1, 8, 0, tzinfo=timezone(timedelta(hours=1)))
NAME = "2024-03-01_Execution.log"


def write_log(path: Path, lines: int, *, verbose: bool) -> None:
    """A log of about so many lines: jobs of 20 transactions, one of ten of which fails."""
    count, moment = 0, START
    with path.open("w", encoding="utf-8") as file:

        def write(level: str, job: int, message: str, **more: object) -> None:
            nonlocal count, moment
            count += 1
            moment += timedelta(milliseconds=37)
            event = {
                "message": message,
                "level": level,
                "logType": "User" if level == "Information" and "user" in more else "Default",
                "timeStamp": moment.strftime("%Y-%m-%dT%H:%M:%S.%f") + "0+01:00",
                "fingerprint": f"d5f1e4a0-7a58-4b5b-9c3e-{count:012x}",
                "windowsIdentity": "CORP\\robot",
                "machineName": "RPA-01",
                "processName": "Invoices_Production",
                "processVersion": "1.4.2",
                "jobId": f"11111111-2222-4333-8444-{job:012x}",
                "robotName": "robot-7",
                "machineId": 42,
                "organizationUnitId": 3,
                "fileName": "Process",
            }
            short = {"Information": "Info", "Verbose": "Trace", "Error": "Error"}[level]
            prefix = f"{moment:%H:%M:%S}.{moment.microsecond // 100:04} {short} "
            file.write(prefix + json.dumps(event | more, separators=(",", ":")) + "\r\n")

        job = 0
        while count < lines:
            job += 1
            write("Information", job, "Invoices_Production execution started")
            for item in range(20):
                queue = {
                    "queueName": "Invoices",
                    "transactionID": f"{job:08x}-{item:04x}-4333-8444-0123456789ab",
                }
                write("Information", job, "Transaction Started", transactionState="Started", **queue)
                for step in range(4):
                    if verbose:
                        info = {"DisplayName": f"Click {step}", "Activity": "UiPath.Core.Activities.Click"}
                        write("Verbose", job, "Executing", activityInfo=info | {"State": "Executing"})
                        write("Verbose", job, "Closed", activityInfo=info | {"State": "Closed"})
                    write("Information", job, f"Invoice {item} of job {job}: part {step} is done", user=1)
                status = "Failed" if item % 10 == 9 else "Successful"
                kind = {"processingExceptionType": "Business", "processingExceptionReason": "no supplier"}
                ended = {
                    "transactionState": "Ended",
                    "transactionStatus": status,
                    "transactionExecutionTime": 1,
                }
                write(
                    "Information",
                    job,
                    "Transaction Ended",
                    **queue,
                    **ended,
                    **kind if status == "Failed" else {},
                )
            write(
                "Information",
                job,
                "Invoices_Production execution ended",
                totalExecutionTimeInSeconds=9,
                totalExecutionTime="00:00:09",
            )


def with_json_alone(path: Path, folder: Path) -> int:
    with path.open(encoding="utf-8") as file:
        return sum(bool(json.loads(line[line.index("{") :])) for line in file)


def follow(path: Path, folder: Path) -> int:
    return _follow(path, folder, lambda rows: None)


def follow_into_store(path: Path, folder: Path) -> int:
    from analytics_lib.store import TimeSeriesStore

    with TimeSeriesStore(folder / "store") as store:
        return _follow(path, folder, store.write_values)


def _follow(
    path: Path, folder: Path, deliver: Callable[[list[tuple[str, tuple[object, ...]]]], object]
) -> int:
    from collector_agent.importers.uipath_follow import UiPathFollower

    follower = UiPathFollower(path.parent, folder / "state.json", deliver)
    events = 0
    while (polled := follower.poll()).has_more or polled.events:
        events += polled.events
    return events


WAYS: dict[str, Callable[[Path, Path], int]] = {
    "json.loads": with_json_alone,
    "follow": follow,
    "follow, SQLite": follow_into_store,
}


def measure(way: str, path: Path) -> dict[str, float]:
    """CPU seconds and peak memory of one way, in a process of its own."""
    command = [sys.executable, __file__, "--way", way, str(path)]
    finished = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    measured: dict[str, float] = json.loads(finished.stdout)
    return measured


def _measure_here(way: str, path: Path) -> None:
    import resource

    with tempfile.TemporaryDirectory() as folder:
        started = time.process_time()
        events = WAYS[way](path, Path(folder))
        seconds = time.process_time() - started
    peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({"seconds": seconds, "peak_mb": peak_mb, "events": events}))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--lines", type=int, default=100_000)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--way", choices=list(WAYS), help=argparse.SUPPRESS)
    parser.add_argument("path", nargs="?", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.way:
        _measure_here(arguments.way, arguments.path)
        return
    for level in ("Information", "Verbose"):
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / NAME
            write_log(path, arguments.lines, verbose=level == "Verbose")
            print(f"level {level}: {path.stat().st_size / 1e6:.1f} MB, best of {arguments.runs} runs")
            for way in WAYS:
                runs = [measure(way, path) for _ in range(arguments.runs)]
                best = min(runs, key=lambda run: run["seconds"])
                lines_s, peak_mb = best["events"] / best["seconds"], best["peak_mb"]
                print(f"{way:>16}: {lines_s:9,.0f} lines/s  peak {peak_mb:4.0f} MB")


if __name__ == "__main__":
    main()
