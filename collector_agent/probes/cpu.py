"""CPU of the whole machine."""

from typing import Any

from collector_agent.probes import Values
from collector_agent.probes.rates import SHORTEST_SEC


class CpuProbe:
    """`cpu_percent` of all cores together since the reading before; waiting for a disk is not busy.

    Reads the counters itself: psutil.cpu_percent keeps its own "before" per process, which the robot's
    code may be using too.
    """

    def __init__(self, psutil: Any = None) -> None:
        if psutil is None:
            import psutil
        self._psutil = psutil
        self._before: tuple[float, float] | None = None

    def read(self) -> Values:
        times = self._psutil.cpu_times()
        # Linux counts the time of guests twice: in `user` and in `guest`.
        total_s = sum(times) - getattr(times, "guest", 0.0) - getattr(times, "guest_nice", 0.0)
        busy_s = total_s - times.idle - getattr(times, "iowait", 0.0)
        before = self._before
        if before is not None and 0 <= total_s - before[0] < SHORTEST_SEC:
            return {"cpu_percent": None}
        self._before = total_s, busy_s
        if before is None or total_s < before[0]:
            return {"cpu_percent": None}
        share = (busy_s - before[1]) / (total_s - before[0])
        # Linux's iowait may go backwards a little, hence the bounds; further back is a restarted counter.
        return {"cpu_percent": None if share < -0.05 else 100.0 * min(max(share, 0.0), 1.0)}
