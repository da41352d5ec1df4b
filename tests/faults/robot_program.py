"""The robots and daemons that fault tests kill: forked on request from a process that has loaded all before.

Run as a program it reads one JSON request a line and answers each with `[its number, the answer]`:
`{"do": …}` starts a process and gives its id, `{"wait": id}` gives its exit code. A forked child has the
environment and the files that the request names. `tests.faults.robots` speaks with this program.
"""

import contextlib
import gc
import io
import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from analytics_lib.store import TimeSeriesStore
from collector_agent import MetricsCollector
from collector_agent.agent import run_daemon
from collector_agent.forwarder import Forwarder
from collector_agent.recording import durable
from collector_agent.settings import load_settings
from tests.faults import broken, numbered_rows
from tests.faults.tally import BEGUN, DROPPED, GO, PENDING, READY, RETURNED, Tally

EXIT_CODE: Final = 7  # of a robot that has done its work: its own, and not to be changed by us
Request = dict[str, Any]


def robot(request: Request) -> int:
    """Records its rows as fast as it can, or `rows_per_sec`; tells its tally of each call."""
    tally = Tally(Path(request["tally"]))
    collector = _collector(request)
    name, last, moments = request["name"], request["rows"], tally.moments
    pause_rows = max(1, int(request.get("rows_per_sec", 0) * 0.005))
    if request.get("waits"):
        tally.wait_for(GO)
    collector.start()
    began_s = time.monotonic()
    for number in range(last):
        tally[BEGUN] = number + 1
        numbered_rows.record(collector, name, number)
        tally[RETURNED] = number + 1
        if moments:
            moments[number] = time.monotonic_ns()
        if "rows_per_sec" in request and number % pause_rows == 0:
            time.sleep(max(0.0, began_s + number / request["rows_per_sec"] - time.monotonic()))
    _end(collector, tally)
    return EXIT_CODE


def scripted_robot(request: Request) -> int:
    """A small robot that speaks, and whose rows are shipped meanwhile, with a fault somewhere in it.

    All that the forwarder of a daemon does is done here, too, between two of its rows, so that each
    system call of both can be counted off. It speaks by writev, which no fault is injected into.
    """
    sys.stderr = _ByWritev(2)
    tally = Tally(Path(request["tally"]))
    name = request["name"]
    store = TimeSeriesStore(request["store"])
    forwarder = Forwarder(Path(request["spool"]), store.write_values)
    tally[READY] = 1
    tally.wait_for(GO)
    collector = _collector(request)
    collector.start()
    for number in range(request["rows"]):
        tally[BEGUN] = number + 1
        numbered_rows.record(collector, name, number)
        tally[RETURNED] = number + 1
        if number % 6 == 3:
            os.writev(1, [f"row {number}\n".encode()])
            collector.flush()
        if number % 12 == 9:
            with contextlib.suppress(Exception):  # the daemon's problem: it is another process
                forwarder.run_once()
    _end(collector, tally)
    with contextlib.suppress(Exception):
        forwarder.run_once()
    os.writev(1, [b"done\n"])
    return EXIT_CODE


class _ByWritev(io.TextIOBase):
    """A stream that no fault in `write` keeps from saying what is said."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def write(self, text: str) -> int:
        os.writev(self._descriptor, [text.encode()])
        return len(text)


def _end(collector: MetricsCollector, tally: Tally) -> None:
    collector.stop()
    counters = collector.counters
    tally[DROPPED], tally[PENDING] = counters.dropped, counters.pending


def _collector(request: Request) -> MetricsCollector:
    """Which `mode`: memory; durable with a daemon that ships; alone: durable, and it ships itself."""
    mode, keywords = request["mode"], {"flush_interval_sec": request.get("flush_interval_sec", 0.5)}
    if mode in ("durable", "alone"):
        keywords["spool_folder"] = request["spool"]
    if "limits" in request:
        keywords["spool_limits"] = durable.SpoolLimits(**request["limits"])
    callback = None if mode == "durable" else TimeSeriesStore(request["store"]).write_metrics
    return MetricsCollector(callback, host="BOT", **keywords)


def daemon(request: Request) -> int:
    """`rpa-agent run`, without its samples."""
    settings = load_settings(
        store=request["store"],
        spool_folder=request["spool"],
        sample_resources="false",
        flush_interval_sec=str(request.get("flush_interval_sec", 0.5)),
        heartbeat_interval_sec="1",
    )
    return run_daemon(settings, lambda _: None)


WORK: Final[dict[str, Callable[[Request], int]]] = {
    "robot": robot,
    "scripted robot": scripted_robot,
    "daemon": daemon,
}


def _become(request: Request) -> None:
    for at, name in enumerate((os.devnull, request["stdout"], request["stderr"])):
        os.dup2(os.open(name, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600), at)
    os.environ.update(request.get("environment", {}))
    time.tzset()
    if "largest_file_bytes" in request:
        import resource  # here: not on Windows, where this module is at least looked at

        resource.setrlimit(resource.RLIMIT_FSIZE, (request["largest_file_bytes"], resource.RLIM_INFINITY))
    if "control" in request:
        broken.BY_NAME[request["control"]]()


def main() -> None:
    gc.freeze()  # or each child would copy the whole heap when its collector looks through it
    while line := sys.stdin.readline():
        request = json.loads(line)
        if "wait" in request:
            answer = os.waitstatus_to_exitcode(os.waitpid(request["wait"], 0)[1])
        elif (answer := os.fork()) == 0:
            _become(request)
            code = WORK[request["do"]](request)
            if request["do"] == "scripted robot":
                sys.exit(code)  # with all that the interpreter does at its end, which takes its time
            os._exit(code)
        print(json.dumps([request["number"], answer]), flush=True)


if __name__ == "__main__":
    main()
