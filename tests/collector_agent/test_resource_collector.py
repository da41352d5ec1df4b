"""ResourceCollector beside a robot: when it samples, for whom, and that it never gets in the way."""

import math
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from analytics_lib import TimeSeriesStore
from analytics_lib.errors import SettingsError
from analytics_lib.records import QuarantinedRecord, Record, ResourceMetrics
from collector_agent import MetricsCollector, ResourceCollector
from collector_agent.probes import Probe, Values
from collector_agent.recording.cardinality import OVERFLOW
from collector_agent.resource_collector import BURST
from collector_agent.sampling.sample_records import Context, SampleRecords, without_means
from collector_agent.sampling.sampler import Sampler
from collector_agent.sampling.sampling_thread import SamplingThread
from collector_agent.spool.writer import SpoolWriter
from tests.collector_agent.spool_frames import records_in
from tests.collector_agent.waiting import wait_for

NOON = datetime(2025, 11, 24, 12, tzinfo=UTC)
NEVER = 3600.0  # seconds; what has to happen in a test does not wait for it


class Fake:
    """A probe that gives what it is told to, or raises it."""

    def __init__(self, values: Values | None = None) -> None:
        self.values: Values = {"cpu_percent": 50.0, "memory_used_bytes": 1} if values is None else values
        self.error: Exception | None = None
        self.read_count = 0

    def read(self) -> Values:
        self.read_count += 1
        if self.error is not None:
            raise self.error
        return dict(self.values)


def sampler_of(**probes: Probe) -> Sampler:
    def source(target: str, probe: Probe) -> Callable[[], dict[str, Probe]]:
        return lambda: {target: probe}

    return Sampler([(target, source(target, probe)) for target, probe in probes.items()])


class Sink:
    """A storage callback that keeps what it got, and fails while it is told to."""

    def __init__(self) -> None:
        self.rows: list[Record] = []
        self.is_away = False

    def __call__(self, records: list[Record]) -> None:
        if self.is_away:
            raise OSError("the store is away")
        self.rows.extend(records)

    @property
    def samples(self) -> list[ResourceMetrics]:
        return [row for row in self.rows if isinstance(row, ResourceMetrics)]

    @property
    def refused(self) -> list[QuarantinedRecord]:
        return [row for row in self.rows if isinstance(row, QuarantinedRecord)]


@pytest.fixture
def sink() -> Sink:
    return Sink()


@pytest.fixture
def probe() -> Fake:
    return Fake()


@pytest.fixture
def collector(sink: Sink, probe: Fake) -> Iterator[ResourceCollector]:
    made = ResourceCollector(
        sink, NEVER, idle_interval_sec=NEVER, host="h1", queue="q1", sampler=sampler_of(host=probe)
    )
    yield made
    made.stop(5)


def turn(collector: ResourceCollector) -> float:
    """One turn of the sampling thread, taken here; in how many seconds the next is due."""
    return collector._turn(0.0, False) - time.monotonic()


# --- when, and for whom ----------------------------------------------------------------------------


def test_a_sample_is_taken_at_the_start_and_at_the_end(
    collector: ResourceCollector, sink: Sink, probe: Fake
) -> None:
    collector.start()
    collector.start()  # twice is once
    wait_for(lambda: collector.counters.recorded == 1)
    probe.values["cpu_percent"] = 75.0
    collector.stop()
    assert [sample.cpu_percent for sample in sink.samples] == [50.0, 75.0]
    first, last = sink.samples
    assert first.sampled_at < last.sampled_at
    assert {(s.target, s.host, s.queue, s.source, s.agent_id) for s in sink.samples} == {
        ("host", "h1", "q1", "live", collector.agent_id)
    }
    collector.stop()  # and once more is harmless
    assert len(sink.samples) == 2


def test_a_stopped_collector_can_be_started_again(collector: ResourceCollector, sink: Sink) -> None:
    for n in (1, 2):
        collector.start()
        wait_for(lambda n=n: collector.counters.recorded == 2 * n - 1)  # type: ignore[misc]  # n is bound
        collector.stop()
    assert len(sink.samples) == 4


def test_a_context_manager_starts_and_stops(sink: Sink, probe: Fake) -> None:
    with ResourceCollector(sink, NEVER, sampler=sampler_of(host=probe)) as collector:
        wait_for(lambda: collector.counters.recorded == 1)
    assert len(sink.samples) == 2


def test_a_new_context_closes_the_one_before_and_begins_without_means(
    collector: ResourceCollector, sink: Sink
) -> None:
    """CPU and rates say what was since the sample before: they belong to who ran meanwhile."""
    collector.start()
    wait_for(lambda: collector.counters.recorded == 1)
    for n, change in enumerate(
        [
            lambda: collector.set_context("w1", "e1"),
            lambda: collector.set_context("w2", "e2"),
            collector.clear_context,
        ]
    ):
        change()
        wait_for(lambda n=n: collector.counters.recorded == (2, 4, 5)[n])  # type: ignore[misc]  # n is bound
    collector.stop()
    assert [(s.workflow_id, s.execution_id, s.cpu_percent, s.memory_used_bytes) for s in sink.samples] == [
        ("", "", 50.0, 1),
        ("w1", "e1", None, 1),
        ("w1", "e1", 50.0, 1),
        ("w2", "e2", None, 1),
        ("w2", "e2", 50.0, 1),
        ("", "", 50.0, 1),
    ]


def test_a_context_given_before_the_start_is_that_of_the_first_sample(
    collector: ResourceCollector, sink: Sink
) -> None:
    collector.set_context("w1", "e1")
    collector.start()
    wait_for(lambda: collector.counters.recorded == 1)
    collector.stop()
    assert {(sample.workflow_id, sample.execution_id) for sample in sink.samples} == {("w1", "e1")}


def test_the_same_context_again_is_no_change(collector: ResourceCollector, probe: Fake) -> None:
    for _ in range(3):
        collector.set_context("w1", "e1")
        turn(collector)
        collector._seen = collector._wanted
    collector.set_context("w1", "e1")
    assert collector._wanted is collector._seen


def test_intervals_are_short_while_an_execution_runs_and_long_while_none_does(sink: Sink) -> None:
    collector = ResourceCollector(sink, 10.0, idle_interval_sec=1000.0, sampler=sampler_of(host=Fake()))
    idle = turn(collector)
    collector.set_context("w1", "e1")
    active = turn(collector)
    collector.clear_context()
    idle_again = turn(collector)
    assert active <= 10.0 < 900.0 < idle <= 1000.0
    assert 900.0 < idle_again <= 1000.0


def test_without_being_told_it_samples_once_a_minute_when_idle(sink: Sink) -> None:
    assert 50.0 < turn(ResourceCollector(sink, 1.0, sampler=sampler_of(host=Fake()))) <= 60.0


def test_samples_go_on_by_themselves_while_an_execution_runs(sink: Sink, probe: Fake) -> None:
    with ResourceCollector(sink, 0.01, idle_interval_sec=NEVER, sampler=sampler_of(host=probe)) as collector:
        collector.set_context("w1", "e1")
        wait_for(lambda: collector.counters.recorded >= 10)
    moments = [sample.sampled_at for sample in sink.samples]
    assert moments == sorted(set(moments))  # the moment is the key


def test_thousands_of_short_tasks_are_not_slowed_down_by_being_measured(
    collector: ResourceCollector, sink: Sink, probe: Fake, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(time, "monotonic", lambda: collector._allowed_at_s)  # no time passes
    for n in range(1000):
        collector.set_context("w", f"e{n}")
        collector._turn(math.inf, False)
    assert probe.read_count == BURST
    monkeypatch.undo()
    collector.stop()
    assert sink.samples[-1].execution_id == f"e{BURST - 1}"
    collector.start()
    wait_for(lambda: collector.counters.recorded == 2 * BURST)
    collector.stop()
    assert sink.samples[-1].execution_id == "e999"  # what runs is known all the same


def test_an_interval_longer_than_the_system_can_wait_is_waited_for(sink: Sink, probe: Fake) -> None:
    collector = ResourceCollector(sink, 1e300, idle_interval_sec=1e300, sampler=sampler_of(host=probe))
    collector.start()
    wait_for(lambda: collector.counters.recorded == 1)
    collector.set_context("w1", "e1")
    wait_for(lambda: collector.counters.recorded == 2)
    collector.stop(math.inf)
    assert [sample.execution_id for sample in sink.samples] == ["", "e1", "e1"]


def test_one_sample_can_be_asked_for_and_is_not_delivered(collector: ResourceCollector, sink: Sink) -> None:
    collector.set_context("w1", "e1")
    [sample] = collector.sample_once()
    assert (sample.execution_id, sample.cpu_percent) == ("e1", 50.0)
    assert collector.counters.recorded == 0


# --- what goes wrong -------------------------------------------------------------------------------


def test_a_probe_that_fails_is_counted_said_once_and_the_others_go_on(
    sink: Sink, probe: Fake, caplog: pytest.LogCaptureFixture
) -> None:
    broken = Fake()
    broken.error = OSError("/proc is not mounted; token=abcdefgh")
    collector = ResourceCollector(sink, NEVER, sampler=sampler_of(host=probe, process=broken))
    for _ in range(3):
        turn(collector)
    collector.stop()
    assert {sample.target for sample in sink.samples} == {"host"}
    assert (collector.counters.failed_probes, collector.counters.recorded) == (3, 3)
    assert len(caplog.messages) == 1
    assert "process of process could not be read and stays empty (said once): OSError" in caplog.text
    assert "abcdefgh" not in caplog.text


def test_without_psutil_nothing_is_sampled_and_nothing_raised(
    sink: Sink, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "psutil", None)
    monkeypatch.setitem(sys.modules, "pynvml", None)
    collector = ResourceCollector(sink, NEVER)
    turn(collector)
    assert collector.sample_once() == []
    collector.stop()
    assert sink.samples == []
    assert collector.counters.failed_probes == 6


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ({"cpu_percent": math.nan}, "cpu_percent is nan"),
        ({"disk_read_bytes_per_s": math.inf}, "disk_read_bytes_per_s is inf"),
        ({"memory_used_bytes": -1}, "memory_used_bytes is negative"),
        ({"thread_count": 1.5}, "thread_count is 1.5, not a whole number"),
    ],
)
def test_a_value_that_is_not_valid_is_quarantined_and_the_other_targets_stored(
    sink: Sink, probe: Fake, values: Values, reason: str
) -> None:
    collector = ResourceCollector(
        sink, NEVER, host="h1", sampler=sampler_of(host=Fake(values), process=probe)
    )
    turn(collector)
    collector.stop()
    [refused] = sink.refused
    assert reason in refused.reason
    assert (refused.record_kind, refused.host) == ("resource", "h1")
    assert [sample.target for sample in sink.samples] == ["process"]
    assert collector.counters.quarantined == 1


class _Evil(str):
    """Text whose every method fails."""

    def __str__(self) -> str:
        raise RuntimeError("no text")

    __repr__ = __str__
    __hash__ = __str__  # type: ignore[assignment]  # that is what makes it evil

    def __eq__(self, other: object) -> bool:
        raise RuntimeError("no comparison")


@pytest.mark.parametrize(
    ("ids", "reason"),
    [
        (("w" * 10_240, "e1"), "workflow_id is 10240 bytes long"),
        (("a\nb", "e1"), "control characters"),
        (("w1", "e\0"), "NUL"),
        (("w1", "e\ud800"), "lone surrogate"),
        ((None, "e1"), "workflow_id is NoneType, not text"),
        (("w1", 5), "execution_id is int, not text"),
        ((_Evil("a\nb"), "e1"), "control characters"),
    ],
)
def test_a_context_that_is_not_valid_is_quarantined_and_sampling_goes_on_without(
    collector: ResourceCollector, sink: Sink, ids: tuple[Any, Any], reason: str
) -> None:
    collector.start()
    collector.set_context(*ids)
    wait_for(lambda: collector.counters.quarantined == 1)
    collector.set_context("w1", "good")
    wait_for(lambda: any(row.execution_id == "good" for row in collected(collector, sink)))
    collector.stop()
    [refused] = sink.refused
    assert reason in refused.reason
    assert refused.reason.endswith("(resources are sampled without context)")
    assert {sample.execution_id for sample in sink.samples} == {"", "good"}


def collected(collector: ResourceCollector, sink: Sink) -> list[ResourceMetrics]:
    collector.flush()
    return sink.samples


def test_a_context_with_methods_of_its_own_is_stored_as_plain_text(tmp_path: Path, probe: Fake) -> None:
    with TimeSeriesStore(tmp_path) as store:
        collector = ResourceCollector(store.write_metrics, NEVER, sampler=sampler_of(host=probe))
        collector.set_context(_Evil("w1"), _Evil("e1"))
        turn(collector)
        assert collector.flush(30)
        now = datetime.now(UTC)
        [row] = store.query_range(now - timedelta(hours=1), now + timedelta(minutes=1))["resource"]
        assert isinstance(row, ResourceMetrics)
        assert (row.workflow_id, row.execution_id) == ("w1", "e1")


def test_samples_are_kept_while_the_store_is_away_and_past_the_bound_the_oldest_go(
    sink: Sink, probe: Fake, caplog: pytest.LogCaptureFixture
) -> None:
    collector = ResourceCollector(sink, NEVER, max_buffered_rows=5, sampler=sampler_of(host=probe))
    sink.is_away = True
    for n in range(8):
        probe.values["memory_used_bytes"] = n
        turn(collector)
    assert not collector.flush()
    counters = collector.counters
    assert (counters.recorded, counters.dropped, counters.pending, counters.failed_flushes) == (8, 3, 5, 1)
    assert counters.last_error == "OSError: the store is away"
    sink.is_away = False
    collector.stop()
    assert [sample.memory_used_bytes for sample in sink.samples] == [3, 4, 5, 6, 7]
    assert collector.counters.pending == 0


def test_a_probe_that_hangs_does_not_hold_stop(sink: Sink, caplog: pytest.LogCaptureFixture) -> None:
    released = threading.Event()

    class Hanging:
        def read(self) -> Values:
            released.wait(60)
            return {"cpu_percent": 1.0}

    collector = ResourceCollector(sink, NEVER, sampler=sampler_of(host=Hanging()))
    collector.start()
    collector.set_context("w1", "e1")  # waits for nothing
    collector.stop(0.05)
    assert "a probe did not answer within 0.05 s" in caplog.text
    released.set()
    wait_for(lambda: not [t for t in threading.enumerate() if t.name == "rpa-agent-sampling"])


@pytest.mark.parametrize(
    "arguments",
    [
        {"storage_callback": None},
        {"sample_interval_sec": 0},
        {"sample_interval_sec": math.nan},
        {"sample_interval_sec": True},
        {"idle_interval_sec": "60"},
        {"max_buffered_rows": 0},
        {"max_buffered_rows": 1.5},
        {"max_workflows": 0},
        {"environment": None},
        {"host": "a\nb"},
        {"queue": "q" * 201},
    ],
)
def test_a_collector_that_cannot_work_says_so_when_it_is_made(arguments: dict[str, Any]) -> None:
    with pytest.raises(SettingsError, match=next(iter(arguments))):
        ResourceCollector(**{"storage_callback": print, **arguments})


# --- into a spool ----------------------------------------------------------------------------------


def test_a_sample_is_in_the_spool_as_soon_as_it_is_taken(tmp_path: Path, probe: Fake) -> None:
    spool = SpoolWriter(tmp_path)
    collector = ResourceCollector(
        None, NEVER, idle_interval_sec=NEVER, host="h1", spool=spool, sampler=sampler_of(host=probe)
    )
    collector.set_context("w1", "e1")
    turn(collector)
    [sample] = records_in(tmp_path)
    assert isinstance(sample, ResourceMetrics)
    assert (sample.workflow_id, sample.execution_id, sample.host) == ("w1", "e1", "h1")
    assert sample.sampled_at <= collector.complete_to()
    collector.set_context("a\nb", "e2")
    turn(collector)
    assert [record.kind for record in records_in(tmp_path)] == ["resource", "quarantine", "resource"]
    counters = collector.counters
    assert (counters.recorded, counters.delivered, counters.pending, counters.quarantined) == (3, 3, 0, 1)
    collector.start()
    wait_for(lambda: collector.counters.recorded == 4)
    collector.stop()
    assert len(records_in(tmp_path)) == 5  # the last one when it stops
    assert spool.set_folder is not None  # to close it is its owner's
    spool.close()


def test_a_spool_that_takes_nothing_is_counted_and_said_by_the_counters(tmp_path: Path, probe: Fake) -> None:
    (tmp_path / "file").touch()
    spool = SpoolWriter(tmp_path / "file", memory_rows=1)
    collector = ResourceCollector(None, NEVER, spool=spool, sampler=sampler_of(host=probe))
    for _ in range(3):
        turn(collector)
    assert not collector.flush()
    counters = collector.counters
    assert (counters.recorded, counters.pending, counters.dropped, counters.failed_flushes) == (3, 1, 2, 1)
    assert counters.last_error


def test_workflows_above_the_cap_are_sampled_under_one_name(sink: Sink, probe: Fake) -> None:
    collector = ResourceCollector(sink, NEVER, max_workflows=1, sampler=sampler_of(host=probe))
    for workflow_id in ("w1", "w2", "w1"):
        collector.set_context(workflow_id, f"of {workflow_id}")
        turn(collector)
    collector.stop()
    assert [sample.workflow_id for sample in sink.samples] == ["w1", "w1", OVERFLOW, OVERFLOW, "w1"]


# --- up to when everything is delivered --------------------------------------------------------------


def test_everything_is_delivered_up_to_the_oldest_sample_that_waits(
    collector: ResourceCollector, sink: Sink
) -> None:
    turn(collector)
    turn(collector)
    assert collector.complete_to() == collector.complete_to()
    collector.flush()
    assert sink.samples[0].sampled_at < sink.samples[1].sampled_at <= collector.complete_to()


def test_a_quarantined_row_that_waits_hides_no_sample_behind_it(
    collector: ResourceCollector, sink: Sink
) -> None:
    sink.is_away = True
    collector.set_context("a\nb", "e1")
    turn(collector)  # one row for the quarantine, then a sample
    assert collector.counters.pending == 2
    complete_to = collector.complete_to()
    sink.is_away = False
    collector.flush()
    assert complete_to <= sink.refused[0].received_at <= sink.samples[0].sampled_at


# --- the end of things -----------------------------------------------------------------------------

PROGRAM = """
import os, sys, threading
from collector_agent import ResourceCollector
from collector_agent.sampling.sampler import Sampler

class Probe:
    def read(self):
        return {"memory_used_bytes": 1}

def store(records):
    with open(sys.argv[1], "a") as file:
        for record in records:
            print(os.getpid(), record.agent_id, file=file)

def names():
    return sorted(t.name for t in threading.enumerate() if t.name.startswith("rpa"))

sampler = Sampler([("p", lambda: {"host": Probe()})])
collector = ResourceCollector(store, 3600, idle_interval_sec=3600, sampler=sampler)
"""


def run_program(body: str, tmp_path: Path) -> list[tuple[str, str]]:
    """What a program of its own delivered: process and agent_id of each row."""
    out = tmp_path / "delivered"
    out.touch()
    ran = subprocess.run(
        [sys.executable, "-c", PROGRAM + body, str(out)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (ran.returncode, ran.stderr) == (0, "")
    return [(line.split()[0], line.split()[1]) for line in out.read_text().splitlines()]


def test_the_end_of_the_process_takes_the_last_sample_and_delivers(tmp_path: Path) -> None:
    body = "collector.start()\nwhile not collector.counters.recorded: pass\n"
    assert len(run_program(body, tmp_path)) == 2


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
def test_a_forked_child_samples_only_when_it_is_started_there(tmp_path: Path) -> None:
    delivered = run_program(
        """
collector.start()
while not collector.counters.recorded: pass
parents = collector.agent_id
with collector._sampling, collector._rows.buffer.lock:  # held while it forks: the child has locks of its own
    if os.fork() == 0:
        assert names() == [], names()
        assert (collector.counters.recorded, collector.counters.pending) == (0, 0)
        assert collector.agent_id != parents
        collector.set_context("w", "e")
        assert names() == [], names()
        collector.start()
        while not collector.counters.recorded: pass
        collector.stop()
        os._exit(0)
pid, status = os.wait()
assert status == 0, status
if os.fork() == 0:
    sys.exit()  # ends by atexit, and was never started
pid, status = os.wait()
assert status == 0, status
collector.stop()
""",
        tmp_path,
    )
    by_process: dict[str, set[str]] = {}
    for pid, agent_id in delivered:
        by_process.setdefault(pid, set()).add(agent_id)
    assert len(delivered) == 4
    assert [len(agents) for agents in by_process.values()] == [1, 1]
    assert len(set.union(*by_process.values())) == 2


# --- its parts -------------------------------------------------------------------------------------


def test_the_thread_takes_a_turn_at_once_when_rung_and_once_more_at_the_end() -> None:
    turns: list[bool] = []

    def take(due_s: float, is_last: bool) -> float:
        turns.append(is_last)
        return time.monotonic() + NEVER

    thread = SamplingThread(take)
    thread.start()
    wait_for(lambda: turns == [False])
    thread.bell.put(None)
    wait_for(lambda: turns == [False, False])
    assert thread.finish(60)
    assert turns == [False, False, True]


def test_the_thread_may_be_told_to_finish_by_its_own_turn() -> None:
    answers: list[bool] = []

    def take(due_s: float, is_last: bool) -> float:
        if not is_last:
            answers.append(thread.finish(60))
        return 0.0

    thread = SamplingThread(take)
    thread.start()
    thread.join(60)
    assert answers == [False]  # not yet; it ends right after
    assert not thread.is_alive()


def test_a_target_without_any_value_gives_no_row() -> None:
    records = SampleRecords("a1", {"host": "h1"})
    values: dict[str, Values] = {"host": {"cpu_percent": None}, "process": {}, "gpu:0": {"cpu_percent": 0.0}}
    assert [row.target for row in records.of(values, None, NOON) if isinstance(row, ResourceMetrics)] == [
        "gpu:0"
    ]


def test_only_text_is_compared_to_tell_contexts_apart() -> None:
    context = Context("w1", "e1")
    assert context.is_same("w1", "e1")
    assert not context.is_same("w1", "e2")
    assert not context.is_same(_Evil("w1"), "e1")


def test_means_are_left_out_of_what_holds_at_one_moment() -> None:
    values: dict[str, Values] = {
        "host": {
            "cpu_percent": 1.0,
            "network_sent_bytes_per_s": 2.0,
            "memory_used_bytes": 3,
            "thread_count": 4,
        }
    }
    assert without_means(values) == {"host": {"memory_used_bytes": 3, "thread_count": 4}}


def test_both_collectors_write_into_one_store_as_the_readme_says(tmp_path: Path) -> None:
    store = TimeSeriesStore(tmp_path)
    metrics = MetricsCollector(storage_callback=store.write_metrics)
    resources = ResourceCollector(storage_callback=store.write_metrics, sample_interval_sec=0.2)
    metrics.start()
    resources.start()
    metrics.record_execution_start("e1", "w1")
    resources.set_context("w1", "e1")
    wait_for(lambda: resources.counters.recorded >= 6)
    metrics.record_execution_complete("e1", status="completed")
    metrics.stop()
    resources.stop()
    now = datetime.now(UTC)
    found = store.query_range(now - timedelta(hours=1), now + timedelta(minutes=1), workflow_id="w1")
    store.close()
    assert len(found["execution"]) == 1
    targets = {row.target for row in found["resource"] if isinstance(row, ResourceMetrics)}
    assert {"host", "process"} <= targets
