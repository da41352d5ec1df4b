"""CPU of the whole machine, or of the container that we are in."""

import time
from collections.abc import Callable
from typing import Any

from collector_agent.probes import Values
from collector_agent.probes.limits import Limits
from collector_agent.probes.rates import SHORTEST_SEC, Rates


class CpuProbe:
    """`cpu_percent` of all cores together since the reading before; waiting for a disk is not busy. In a
    container with a limit: of what it may use.

    Reads the counters itself: psutil.cpu_percent keeps its own "before" per process, which the robot's
    code may be using too.
    """

    def __init__(
        self,
        psutil: Any = None,
        limits: Limits | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        if psutil is None:
            import psutil
        self._psutil = psutil
        self._limits = limits or Limits(of_machine=True)
        self._container = Rates(clock)
        self._before: tuple[float, float] | None = None

    def read(self) -> Values:
        cores = self._limits.cores()
        used_s = None if cores is None else self._limits.cpu_used_s()
        if cores is None or used_s is None:
            return {"cpu_percent": self._of_machine()}
        busy = self._container.read({"cpu_s": {"container": used_s}})["cpu_s"]
        return {"cpu_percent": None if busy is None else min(100.0 * busy / cores, 100.0)}

    def _of_machine(self) -> float | None:
        times = self._psutil.cpu_times()
        # Linux counts the time of guests twice: in `user` and in `guest`.
        total_s = sum(times) - getattr(times, "guest", 0.0) - getattr(times, "guest_nice", 0.0)
        busy_s = total_s - times.idle - getattr(times, "iowait", 0.0)
        before = self._before
        if before is not None and 0 <= total_s - before[0] < SHORTEST_SEC:
            return None
        self._before = total_s, busy_s
        if before is None or total_s < before[0]:
            return None
        share = (busy_s - before[1]) / (total_s - before[0])
        # Linux's iowait may go backwards a little, hence the bounds; further back is a restarted counter.
        return None if share < -0.05 else 100.0 * min(max(share, 0.0), 1.0)
