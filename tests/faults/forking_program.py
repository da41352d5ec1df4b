"""A robot with threads that record while it forks; run as a program by `test_fork_faults`.

    python -m tests.faults.forking_program FOLDER FORKS memory|durable [unprotected]

Each child records an execution of its own and ends; then the parent ends, too. What was
delivered is in the folder: a line `process execution_id step_seq` for each step. Exit code 0: every
child did what it should, within its time.
"""

import os
import signal
import sys
import threading
import time
from pathlib import Path

if "unprotected" in sys.argv:
    os.register_at_fork = lambda **_: None  # type: ignore[attr-defined, assignment, unused-ignore]  # the negative control

from analytics_lib.records import Record, StepMetrics
from collector_agent import MetricsCollector

CHILD_SEC = 2.0 if "unprotected" in sys.argv else 20.0  # a child that waits for a lock of its parent's
THREADS = 2


def main() -> int:
    folder, forks, mode = Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
    delivered = os.open(folder / "delivered", os.O_WRONLY | os.O_APPEND | os.O_CREAT)

    def store(records: list[Record]) -> None:
        """One write: a child that is born meanwhile has no half of it in a buffer."""
        lines = [
            f"{os.getpid()} {record.execution_id} {record.step_seq}\n"
            for record in records
            if isinstance(record, StepMetrics)
        ]
        os.write(delivered, "".join(lines).encode())

    collector = MetricsCollector(
        store if mode == "memory" else None,
        50,
        0.01,
        spool_folder=folder / "spool" if mode == "durable" else None,
    )
    collector.start()
    ends = threading.Event()

    def record(execution_id: str) -> None:
        collector.record_execution_start(execution_id, "w")
        while not ends.is_set():
            collector.record_step(execution_id, "s", status="completed", duration_ms=1)
            time.sleep(0.0002)

    threads = [threading.Thread(target=record, args=(f"parent-{n}",), daemon=True) for n in range(THREADS)]
    for thread in threads:
        thread.start()
    failed = 0
    for number in range(forks):
        pid = os.fork()
        if pid == 0:
            signal.alarm(int(CHILD_SEC))
            # What is in the spool needs no flush; now and then one shows that the child has a thread for it.
            os._exit(0 if child(collector, flushes=mode == "memory" or number % 25 == 0) else 1)
        failed += os.waitpid(pid, 0)[1] != 0
    ends.set()
    for thread in threads:
        thread.join()
    recorded = collector.counters.recorded
    collector.stop()
    (folder / "recorded").write_text(str(recorded))
    return 1 if failed or collector.counters.pending else 0


def child(collector: MetricsCollector, *, flushes: bool) -> bool:
    """Whether the child has nothing of its parent's, and what it records arrives."""
    if collector.counters.recorded or collector.active_executions:
        return False
    execution_id = f"child-{os.getpid()}"
    collector.record_execution_start(execution_id, "w")
    for _ in range(3):
        collector.record_step(execution_id, "s", status="completed", duration_ms=1)
    return collector.flush(CHILD_SEC / 4) if flushes else collector.counters.delivered == 4


if __name__ == "__main__":
    sys.exit(main())
