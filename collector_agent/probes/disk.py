"""Disks of the whole machine: the space of one volume, the traffic of all disks."""

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from collector_agent.probes import Values
from collector_agent.probes.rates import Rates


class DiskSpaceProbe:
    """`disk_used_bytes` and `disk_total_bytes` of the volume at the root of the working folder."""

    def __init__(self, psutil: Any = None, folder: Path | None = None) -> None:
        if psutil is None:
            import psutil
        self._psutil = psutil
        self._folder = folder or _root()

    def read(self) -> Values:
        usage = self._psutil.disk_usage(str(self._folder))
        return {"disk_used_bytes": usage.used, "disk_total_bytes": usage.total}


class DiskTrafficProbe:
    """Bytes read and written per second by all disks; None on a machine without disks of its own."""

    def __init__(self, psutil: Any = None, clock: Callable[[], float] = time.monotonic) -> None:
        if psutil is None:
            import psutil
        self._psutil = psutil
        self._rates = Rates(clock)

    def read(self) -> Values:
        # nowrap would patch counters from a state that the robot's own use of psutil shares.
        counters = self._psutil.disk_io_counters(nowrap=False)
        return {
            **self._rates.read(
                {
                    "disk_read_bytes_per_s": counters and {"all": counters.read_bytes},
                    "disk_written_bytes_per_s": counters and {"all": counters.write_bytes},
                }
            )
        }


def _root() -> Path:
    try:
        return Path(Path.cwd().anchor)
    except OSError:  # the working folder was removed
        return Path(os.path.abspath(os.sep))
