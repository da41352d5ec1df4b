"""What a reading costs: CPU time per reading of each probe, beside psutil called directly for the same.

    python benchmarks/probes.py [--readings 200] [--children 3]

The peer is what a sampler in a few lines does, and Telegraf's or OpenTelemetry's Python ones do: psutil,
with `children(recursive=True)` for a process tree. Both read this machine and a process of ours with some
children. CPU is that of this process, user and system, medians of five turns, taken in turns. The idle
cost is that of the whole sampler at its interval, as a share of one core.
"""

import argparse
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any, Final

import psutil

from collector_agent.probes.cpu import CpuProbe
from collector_agent.probes.disk import DiskSpaceProbe, DiskTrafficProbe
from collector_agent.probes.gpu import find_gpus
from collector_agent.probes.limits import Limits
from collector_agent.probes.memory import MemoryProbe
from collector_agent.probes.network import NetworkProbe
from collector_agent.probes.process import ProcessProbe
from collector_agent.sampling.sampler import HOST, Sampler

TURNS: Final = 5
INTERVALS_SEC: Final = (1.0, 60.0)  # while an execution runs, and while none does
CHILD: Final = [sys.executable, "-c", "input()"]


def cpu_us(read: Callable[[], object], readings: int) -> float:
    began_s = time.process_time()
    for _ in range(readings):
        read()
    return (time.process_time() - began_s) / readings * 1e6


def whole_tree() -> dict[str, Any]:
    """A process tree by psutil alone, without what is hard about it (children that ended, rates)."""
    root = psutil.Process()
    found = {"rss": 0, "threads": 0, "handles": 0, "cpu_s": 0.0, "read": 0, "written": 0}
    for process in [root, *root.children(recursive=True)]:
        with process.oneshot():
            found["cpu_s"] += sum(process.cpu_times()[:4])
            found["rss"] += process.memory_info().rss
            found["threads"] += process.num_threads()
            found["handles"] += process.num_fds() if hasattr(process, "num_fds") else process.num_handles()
            io = process.io_counters()
            found["read"] += io.read_bytes
            found["written"] += io.write_bytes
    found["machine"] = psutil.virtual_memory().total
    return found


def compare(readings: int) -> None:
    pairs: list[tuple[str, Callable[[], object], Callable[[], object] | None]] = [
        ("cpu", CpuProbe().read, lambda: psutil.cpu_percent(None)),
        ("memory", MemoryProbe().read, psutil.virtual_memory),
        ("disk space", DiskSpaceProbe().read, lambda: psutil.disk_usage("/")),
        ("disk traffic", DiskTrafficProbe().read, psutil.disk_io_counters),
        ("network", NetworkProbe().read, lambda: psutil.net_io_counters(pernic=True)),
        ("process tree", ProcessProbe().read, whole_tree),
        ("limits, looked for", lambda: Limits().cores(), None),
        *((target, probe.read, None) for target, probe in find_gpus().items()),
    ]
    print(f"{'CPU per reading':<20}{'ours µs':>10}{'psutil µs':>11}{'ratio':>8}")
    for name, ours, peer in pairs:
        turns = [(cpu_us(ours, readings), cpu_us(peer, readings) if peer else 0.0) for _ in range(TURNS)]
        ours_us, peer_us = (statistics.median(values) for values in zip(*turns, strict=True))
        shown = f"{peer_us:>11.0f}{ours_us / peer_us:>8.2f}" if peer else ""
        print(f"{name:<20}{ours_us:>10.0f}{shown}")


def idle_cost(readings: int) -> None:
    sampler = Sampler(HOST)
    sampler.read()
    whole_us = statistics.median(cpu_us(sampler.read, readings) for _ in range(TURNS))
    shares = ", ".join(
        f"{whole_us / seconds / 1e4:.4f} % of a core every {seconds:g} s" for seconds in INTERVALS_SEC
    )
    print(f"one sample of the host: {whole_us:.0f} µs of CPU: {shares}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--readings", type=int, default=200)
    parser.add_argument("--children", type=int, default=3)
    given = parser.parse_args()
    children = [subprocess.Popen(CHILD, stdin=subprocess.PIPE) for _ in range(given.children)]
    try:
        processes = len(psutil.pids())
        print(
            f"{processes} processes on this machine, {given.children} children; psutil {psutil.__version__}"
        )
        compare(given.readings)
        idle_cost(given.readings)
    finally:
        for child in children:
            child.kill()
            child.wait()


if __name__ == "__main__":
    main()
