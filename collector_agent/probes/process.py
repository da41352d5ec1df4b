"""One process and all its children: what the robot itself uses."""

import os
import time
from collections.abc import Callable, Hashable
from typing import Any, Final

from collector_agent.probes import Values
from collector_agent.probes.children import tree_of
from collector_agent.probes.limits import Limits
from collector_agent.probes.rates import Rates

_Counters = dict[str, dict[Hashable, float]]
_TIMES: Final = ("user", "system", "children_user", "children_system")


class ProcessProbe:
    """A robot's process tree; raises psutil.NoSuchProcess when the robot itself is gone.

    `cpu_percent`: 100 is all cores of the machine, or those that control groups leave to the robot.
    `memory_used_bytes`: the sum of the resident sets; pages that processes share count for each of them.
    `memory_total_bytes`: the machine's memory, or what control groups leave of it.

    A child that ended between two readings counts through its parent where the system adds it there
    (Linux: time and I/O of children that were waited for). Where the tree's sum fell because nobody
    did, the rate is that of the processes which were there at both readings.
    """

    def __init__(
        self,
        pid: int | None = None,
        psutil: Any = None,
        clock: Callable[[], float] = time.monotonic,
        limits: Limits | None = None,
    ) -> None:
        if psutil is None:
            import psutil
        self._psutil = psutil
        self._pid = os.getpid() if pid is None else pid
        self._root: Any = None
        self._whole, self._parts = Rates(clock), Rates(clock)
        self._limits = limits or Limits(pid=pid)
        self._machine_cores = psutil.cpu_count() or 1
        self._machine_bytes = psutil.virtual_memory().total

    def read(self) -> Values:
        if self._root is None:
            self._root = self._psutil.Process(self._pid)
        processes = tree_of(self._root, self._psutil)
        levels: Values = {"memory_used_bytes": 0, "process_count": 0, "thread_count": 0, "handle_count": 0}
        counters: _Counters = {"cpu_s": {}, "disk_read_bytes_per_s": {}, "disk_written_bytes_per_s": {}}
        refused: set[str] = set()
        for process in processes:
            self._add(process, levels, counters, refused)
        rates = self._rates({name: parts for name, parts in counters.items() if name not in refused})
        busy = rates.pop("cpu_s", None)
        cores = self._limits.cores() or self._machine_cores
        return {
            **levels,
            **dict.fromkeys(refused),
            **rates,
            "memory_total_bytes": self._limits.memory_bytes(self._machine_bytes) or self._machine_bytes,
            "cpu_percent": None if busy is None else min(100.0 * busy / cores, 100.0),
        }

    def _add(self, process: Any, levels: Values, counters: _Counters, refused: set[str]) -> None:
        """One process's share. `refused`: what could not be read of all, so that no sum can be given."""
        try:
            with process.oneshot():
                key = process.pid, process.create_time()
                times = process.cpu_times()
                busy_s = sum(getattr(times, name, 0.0) for name in _TIMES)
                # A zombie has ended, but its time is not in its parent's yet.
                has_ended = process.status() == self._psutil.STATUS_ZOMBIE
                resident, threads = (
                    (0, 0) if has_ended else (process.memory_info().rss, process.num_threads())
                )
        except self._psutil.NoSuchProcess:
            if process is self._root:
                raise
            return
        counters["cpu_s"][key] = busy_s
        if has_ended:
            return
        levels["memory_used_bytes"] = _plus(levels["memory_used_bytes"], resident)
        levels["thread_count"] = _plus(levels["thread_count"], threads)
        levels["process_count"] = _plus(levels["process_count"], 1)
        self._add_handles_and_io(process, key, levels, counters, refused)

    def _add_handles_and_io(
        self, process: Any, key: Hashable, levels: Values, counters: _Counters, refused: set[str]
    ) -> None:
        """What not every system gives, nor of processes of another account."""
        try:
            levels["handle_count"] = _plus(levels["handle_count"], self._handles(process))
        except (self._psutil.AccessDenied, OSError):
            refused.add("handle_count")
        except self._psutil.NoSuchProcess:
            return
        try:
            io = process.io_counters()  # not on macOS
            counters["disk_read_bytes_per_s"][key] = io.read_bytes
            counters["disk_written_bytes_per_s"][key] = io.write_bytes
        except (self._psutil.AccessDenied, OSError, AttributeError, NotImplementedError):
            refused |= {"disk_read_bytes_per_s", "disk_written_bytes_per_s"}
        except self._psutil.NoSuchProcess:
            return

    def _handles(self, process: Any) -> int:
        return int(process.num_handles() if hasattr(process, "num_handles") else process.num_fds())

    def _rates(self, counters: _Counters) -> dict[str, float | None]:
        sums: _Counters = {name: {"tree": sum(parts.values())} for name, parts in counters.items()}
        whole = self._whole.read(sums)
        parts = self._parts.read(counters)
        return {name: parts[name] if whole[name] is None else whole[name] for name in counters}


def _plus(value: float | int | None, more: int) -> int:
    return int(value or 0) + more
