"""How a robot's process may end, and where it may record from: its own output and end never change."""

import gc
import json
import logging
import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from analytics_lib.records import QuarantinedRecord, Record, StepMetrics
from collector_agent import MetricsCollector
from tests.collector_agent.spool_frames import records_in

PROGRAM = """
import os, signal, sys, time
MODE, FOLDER, ENDING = sys.argv[1:]

def nothing(*args, **kwargs):
    pass

start = step = end = flush = nothing
if MODE != "without us":
    from collector_agent import MetricsCollector

    def store(records):
        with open(os.path.join(FOLDER, "delivered"), "a") as file:
            for record in records:
                print(record.kind, getattr(record, "step_id", ""), file=file)

    spool = os.path.join(FOLDER, "spool") if MODE == "durable" else None
    collector = MetricsCollector(None if spool else store, flush_interval_sec=3600, spool_folder=spool)
    collector.start()
    start, step = collector.record_execution_start, collector.record_step
    flush = collector.flush

def work():
    print("the robot works")
    start("e1", "w1")
    step("e1", "before the flush", status="completed", duration_ms=1)
    flush()
    step("e1", "after the flush", status="completed", duration_ms=1)
    step("e1", "refused", status="exploded", duration_ms=1)
    print("the robot warns", file=sys.stderr)
    sys.stdout.flush()
    if ENDING == "os._exit":
        os._exit(5)
    if ENDING == "sys.exit":
        sys.exit(3)
    if ENDING == "sys.exit with a text":
        sys.exit("the robot gives up")
    if ENDING == "an exception":
        raise ValueError("the robot's own")
    if ENDING == "SIGTERM":
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(60)
    if ENDING == "Ctrl-C":
        raise KeyboardInterrupt

work()
"""
ENDINGS = ["its last line", "os._exit", "sys.exit", "sys.exit with a text", "an exception", "Ctrl-C"]
if os.name == "posix":
    ENDINGS.append("SIGTERM")  # on Windows os.kill ends a process as os._exit does
SUDDEN = ("os._exit", "SIGTERM")


def run(mode: str, folder: Path, ending: str, program: str = PROGRAM) -> tuple[int, str, str]:
    ran = subprocess.run(
        [sys.executable, "-c", program, mode, str(folder), ending],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    return ran.returncode, ran.stdout, ran.stderr


@pytest.mark.portable
@pytest.mark.parametrize("ending", ENDINGS)
def test_a_robots_end_and_output_are_its_own_and_its_rows_arrive(tmp_path: Path, ending: str) -> None:
    plain = run("without us", tmp_path, ending)
    assert plain[1] == "the robot works\n"
    assert run("memory", tmp_path, ending) == plain
    assert run("durable", tmp_path, ending) == plain
    in_memory = Counter(line.split(" ")[0] for line in (tmp_path / "delivered").read_text().splitlines())
    # In memory a sudden end takes what was not flushed; in the spool is everything, always.
    assert (in_memory["step"], in_memory["quarantine"]) == ((1, 0) if ending in SUDDEN else (2, 1))
    durable = Counter(record.kind for record in records_in(tmp_path / "spool"))
    assert (durable["execution_start"], durable["step"], durable["quarantine"]) == (1, 2, 1)
    assert durable["agent_heartbeat"] == (1 if ending in SUDDEN else 2)


HANGING = """
import sys, threading, time
from collector_agent import MetricsCollector

spool = sys.argv[2] if sys.argv[1] == "durable" else None
collectors = [
    MetricsCollector(lambda records: threading.Event().wait(), spool_folder=spool) for _ in range(3)
]
for collector in collectors:
    collector.start()
    collector.record_execution_start("e1", "w1")
import atexit
import collector_agent.recording.process_end
atexit.unregister(collector_agent.recording.process_end.end_all)  # to measure it
began = time.monotonic()
collector_agent.recording.process_end.end_all()
print(time.monotonic() - began)
"""


@pytest.mark.portable
@pytest.mark.parametrize("mode", ["memory", "durable"])
def test_a_store_that_hangs_holds_the_end_of_the_process_two_seconds_in_all(
    tmp_path: Path, mode: str
) -> None:
    code, said, complained = run(mode, tmp_path / "spool", "", HANGING)
    assert (code, complained) == (0, "")
    assert 1.5 < float(said) < 3.0
    if mode == "durable":
        assert len(records_in(tmp_path / "spool")) >= 3  # what is left stays


# --- recording from odd places -----------------------------------------------------------------------


class Kept:
    """A collector of either kind, and what it recorded."""

    def __init__(self, mode: str, folder: Path) -> None:
        self.rows: list[Record] = []
        self._folder = folder
        callback = self.rows.extend if mode == "memory" else None
        spool = folder if mode == "durable" else None
        self.collector = MetricsCollector(callback, spool_folder=spool, flush_interval_sec=3600)
        self.collector.record_execution_start("e1", "w1")

    def step(self, step_id: str, **fields: Any) -> None:
        given: dict[str, Any] = {"status": "completed", "duration_ms": 1, **fields}
        self.collector.record_step("e1", step_id, **given)

    def of(self, kind: type[Record]) -> list[Any]:
        assert self.collector.flush(30)
        return [row for row in self.rows or records_in(self._folder) if isinstance(row, kind)]


@pytest.fixture(params=["memory", "durable"])
def kept(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Kept]:
    made = Kept(request.param, tmp_path)
    yield made
    made.collector.stop(5)


@pytest.mark.portable
def test_a_destructor_may_record(kept: Kept) -> None:
    class RecordsWhenItGoes:
        def __init__(self) -> None:
            self.itself = self  # so that only the garbage collector frees it, whenever that comes

        def __del__(self) -> None:
            kept.step("from a destructor")

    for _ in range(1_000):
        RecordsWhenItGoes()
        kept.step("loop")
    gc.collect()
    steps = Counter(step.step_id for step in kept.of(StepMetrics))
    assert steps == {"from a destructor": 1_000, "loop": 1_000}
    assert len({step.step_seq for step in kept.of(StepMetrics)}) == 2_000


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="this system has no interval timer")
def test_a_signal_handler_may_record_into_the_spool_in_the_middle_of_a_record(tmp_path: Path) -> None:
    kept = Kept("durable", tmp_path)
    handled = 0

    def handler(*_: object) -> None:
        nonlocal handled
        handled += 1
        kept.step("signal", step_type="with a field")

    earlier = signal.signal(signal.SIGALRM, handler)
    signal.setitimer(signal.ITIMER_REAL, 0.0003, 0.0003)
    recorded = 0
    try:
        while handled < 100:
            kept.step("loop")
            kept.step("odd", status="exploded")
            kept.step("numbered", step_seq=10 * recorded)
            recorded += 1
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, earlier)
    steps = Counter(step.step_id for step in kept.of(StepMetrics))
    assert steps == {"loop": recorded, "numbered": recorded, "signal": handled}
    assert len(kept.of(QuarantinedRecord)) == recorded
    given = [step.step_seq for step in kept.of(StepMetrics) if step.step_id != "numbered"]
    assert len(set(given)) == len(given)  # no number was given twice
    kept.collector.stop()


class Recording(logging.Handler):
    """A robot that sends its whole log into a step each, the agent's own log too."""

    def __init__(self, kept: Kept, **fields: Any) -> None:
        super().__init__()
        self.kept, self.fields, self.lines = kept, fields, 0

    def emit(self, record: logging.LogRecord) -> None:
        self.lines += 1
        self.kept.step("logged", message=record.getMessage(), **self.fields)


@pytest.mark.portable
@pytest.mark.parametrize("fields", [{}, {"status": "exploded"}], ids=["well", "badly"])
def test_a_handler_of_our_own_log_may_record_without_end_or_loop(kept: Kept, fields: dict[str, Any]) -> None:
    """A row that is quarantined is said in the log, and that line recorded as another bad row …"""
    handler = Recording(kept, **fields)
    logging.getLogger("rpa_agent").addHandler(handler)
    try:
        for _ in range(10):
            kept.step("bad", status="exploded")
        for _ in range(200):  # each flush may find rows of the lines that the one before has logged
            assert kept.collector.flush()
    finally:
        logging.getLogger("rpa_agent").removeHandler(handler)
    assert 10 <= handler.lines <= 101
    before = kept.collector.counters.recorded
    assert kept.collector.flush()
    assert kept.collector.counters.recorded == before  # it has come to an end
    assert kept.collector.counters.dropped == 0


@pytest.mark.portable
def test_a_bad_row_is_said_the_first_hundred_times_and_then_at_each_power_of_ten(
    kept: Kept, caplog: pytest.LogCaptureFixture
) -> None:
    for _ in range(1_500):
        kept.step("bad", status="exploded")
    assert kept.collector.flush(30)
    assert len(caplog.messages) == 101
    assert caplog.messages[-1].startswith("1000 rows are quarantined by now, the last of kind step: ")


@pytest.mark.portable
def test_a_payload_in_the_spool_can_be_read_as_json_of_nothing_but_scalars(tmp_path: Path) -> None:
    kept = Kept("durable", tmp_path)
    kept.step("s", message="Größe: 5 µm\n\x00\ud800")
    [step] = kept.of(StepMetrics)
    assert json.dumps(step.message) == '"Gr\\u00f6\\u00dfe: 5 \\u00b5m\\n\\ufffd\\ufffd"'
    kept.collector.stop()
