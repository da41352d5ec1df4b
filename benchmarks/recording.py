"""What recording costs the robot: its thread's CPU per step, the time until it goes on, and loading us.

    python benchmarks/recording.py [--steps 20000] [--runs 7]

1. In memory: `record_step` beside a span of the OpenTelemetry SDK with its batch processor, whose
   exporter drops everything; so does our storage callback. Both deliver in the background meanwhile,
   and that work is shown apart: the whole process's CPU until everything is delivered.
2. Durably: how long the robot waits for `record_step`, with nothing beside it, and with a flush (an
   fsync of what was recorded) every 20 ms, a hundred times as often as it comes to that.
3. Importing us and making a collector, in an interpreter of its own.

Times are medians of several runs, taken in turns; each run records executions of twenty steps.
"""

import argparse
import gc
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

import psutil
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult

from collector_agent import MetricsCollector

STEPS_PER_RUN = 20
Cost = tuple[float, float]  # microseconds of CPU a step: of the robot's thread, of the process
START = """
import sys, time
print(flush=True); sys.stdin.readline()
began_s = time.perf_counter()
from collector_agent import MetricsCollector
MetricsCollector(print)
print((time.perf_counter() - began_s) * 1e3, flush=True); sys.stdin.readline()
"""


class DropAll(SpanExporter):
    def export(self, spans: object) -> SpanExportResult:
        return SpanExportResult.SUCCESS


def cost_of(record: Callable[[int], None], deliver: Callable[[], object], steps: int) -> Cost:
    gc.collect()
    process_ns, thread_ns = time.process_time_ns(), time.thread_time_ns()
    record(steps)
    thread_ns = time.thread_time_ns() - thread_ns
    deliver()
    return thread_ns / steps / 1e3, (time.process_time_ns() - process_ns) / steps / 1e3


def ours(steps: int) -> Cost:
    collector = MetricsCollector(lambda records: None)
    collector.start()

    def record(count: int) -> None:
        for n in range(count // STEPS_PER_RUN):
            execution_id = f"run-{n}"
            collector.record_execution_start(execution_id, "invoice-intake")
            for _ in range(STEPS_PER_RUN):
                collector.record_step(execution_id, "open mailbox", status="completed", duration_ms=12.5)
            collector.record_execution_complete(execution_id, status="completed")

    def record_without_steps(count: int) -> None:
        for n in range(count // STEPS_PER_RUN):
            execution_id = f"only-{n}"
            collector.record_execution_start(execution_id, "invoice-intake")
            collector.record_execution_complete(execution_id, status="completed")

    def deliver() -> None:
        if not collector.flush(60):
            raise SystemExit("what was recorded was not delivered")

    with_steps = cost_of(record, deliver, steps)
    without = cost_of(record_without_steps, deliver, steps)
    collector.stop()
    return with_steps[0] - without[0], with_steps[1] - without[1]


def opentelemetry(steps: int, *, current: bool) -> Cost:
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(BatchSpanProcessor(DropAll()))
    tracer = provider.get_tracer("robot")

    def start_and_end(count: int) -> None:
        for _ in range(count):
            tracer.start_span("open mailbox").end()

    def as_current(count: int) -> None:
        for _ in range(count):
            with tracer.start_as_current_span("open mailbox"):
                pass

    cost = cost_of(as_current if current else start_and_end, provider.force_flush, steps)
    provider.shutdown()
    return cost


def waits_us(steps: int, folder: Path, flush_every_sec: float | None) -> list[float]:
    """How long each step took, in microseconds, sorted."""
    collector = MetricsCollector(spool_folder=folder, flush_interval_sec=3600, heartbeat_interval_sec=3600)
    collector.start()
    ends = threading.Event()

    def flush() -> None:
        while flush_every_sec is not None and not ends.wait(flush_every_sec):
            collector.flush()

    flushing = threading.Thread(target=flush)
    flushing.start()
    waits = []
    for n in range(steps // STEPS_PER_RUN):
        execution_id = f"run-{n}"
        collector.record_execution_start(execution_id, "invoice-intake")
        for _ in range(STEPS_PER_RUN):
            began_ns = time.perf_counter_ns()
            collector.record_step(execution_id, "open mailbox", status="completed", duration_ms=12.5)
            waits.append((time.perf_counter_ns() - began_ns) / 1e3)
        collector.record_execution_complete(execution_id, status="completed")
    ends.set()
    flushing.join()
    collector.stop()
    if collector.counters.dropped:
        raise SystemExit("the spool did not take everything")
    return sorted(waits)


def show_memory(steps: int, runs: int) -> None:
    ways: dict[str, Callable[[], Cost]] = {
        "record_step": lambda: ours(steps),
        "OpenTelemetry start_span, end": lambda: opentelemetry(steps, current=False),
        "OpenTelemetry start_as_current_span": lambda: opentelemetry(steps, current=True),
    }
    costs: dict[str, list[Cost]] = {way: [] for way in ways}
    for _ in range(runs):
        for way, measure in ways.items():
            costs[way].append(measure())
    medians = {way: [statistics.median(column) for column in zip(*costs[way], strict=True)] for way in ways}
    own = medians["record_step"]
    for way, (thread_us, process_us) in medians.items():
        print(
            f"in memory  {way:36} {thread_us:6.2f} us of the robot's thread (x {thread_us / own[0]:.1f}), "
            f"{process_us:6.2f} us with the work beside it (x {process_us / own[1]:.1f})"
        )


def show_durable(steps: int, runs: int) -> None:
    waits: dict[str, list[list[float]]] = {"nothing beside it": [], "a flush every 20 ms": []}
    for _ in range(runs):
        for beside, every_sec in (("nothing beside it", None), ("a flush every 20 ms", 0.02)):
            with tempfile.TemporaryDirectory(dir=os.environ.get("BENCH_FOLDER")) as folder:
                waits[beside].append(waits_us(steps, Path(folder), every_sec))
    for beside, measured in waits.items():
        shown = [
            f"p{share * 100:g} {statistics.median(run[int(len(run) * share)] for run in measured):7.1f} us"
            for share in (0.5, 0.99, 0.999)
        ]
        print(f"durable    record_step, {beside:20} {'   '.join(shown)}")


def show_start(runs: int) -> None:
    measured = [start_once() for _ in range(runs + 1)][1:]  # the first may compile
    milliseconds, megabytes = (statistics.median(column) for column in zip(*measured, strict=True))
    print(f"start      import and a collector: {milliseconds:.0f} ms, {megabytes:.1f} MB")


def start_once() -> tuple[float, float]:
    """(milliseconds, megabytes), looked at from outside: psutil itself loads much of what we load."""
    with subprocess.Popen(
        [sys.executable, "-c", START], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as child:
        if child.stdin is None or child.stdout is None:
            raise SystemExit("a process without pipes")
        memory = psutil.Process(child.pid).memory_info
        child.stdout.readline()
        before_bytes = memory().rss
        child.stdin.write("\n")
        child.stdin.flush()
        milliseconds = float(child.stdout.readline())
        return milliseconds, (memory().rss - before_bytes) / 1e6


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--steps", type=int, default=20_000)
    parser.add_argument("--runs", type=int, default=7)
    arguments = parser.parse_args()
    os.environ.setdefault("RPA_AGENT_STATE", tempfile.mkdtemp())
    show_memory(arguments.steps, arguments.runs)
    show_durable(arguments.steps, arguments.runs)
    show_start(arguments.runs)


if __name__ == "__main__":
    main()
