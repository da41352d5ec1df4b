"""A robot that opens files and never closes them, until the system gives it no more: SPOOL WHO_SHIPS ID."""

import contextlib
import os
import sys
import time
from pathlib import Path
from typing import Any

from collector_agent import MetricsCollector

STEPS = 20


def nobody(_records: list[Any]) -> None:
    """A storage callback that is never reached: its forwarder cannot open a file."""
    raise OSError("not reached")


def main() -> None:
    import resource  # here: not on Windows, where this module is at least looked at

    resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
    callback = nobody if sys.argv[2] == "alone" else None
    collector = MetricsCollector(callback, spool_folder=Path(sys.argv[1]), flush_interval_sec=0.05)
    collector.start()
    collector.record_execution_start(sys.argv[3], "invoices")
    with contextlib.suppress(OSError):
        while True:
            os.open(os.devnull, os.O_RDONLY)
    for number in range(STEPS):
        collector.record_step(
            sys.argv[3], f"step {number}", status="failed", duration_ms=1.0, message="token=geheim"
        )
        time.sleep(0.01)
    print("I have no file left")
    sys.exit(7)


if __name__ == "__main__":
    main()
