import gc
import json
import logging
import math
import os
import signal
import subprocess
import sys
import threading
import time
import weakref
from collections import Counter, UserDict
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar

import pytest

from analytics_lib import TimeSeriesStore
from analytics_lib.errors import SchemaVersionError, SettingsError
from analytics_lib.records import (
    AgentHeartbeat,
    ExecutionHeartbeat,
    ExecutionMetrics,
    ExecutionStart,
    QuarantinedRecord,
    Record,
    StepMetrics,
)
from collector_agent import MetricsCollector
from collector_agent.machine.activity import Activity
from collector_agent.recording import active_executions as memory
from collector_agent.recording import heartbeats
from collector_agent.recording.buffer import Buffer
from collector_agent.recording.delivery import Delivery
from collector_agent.recording.record_builder import Item, RecordBuilder
from collector_agent.redaction.policy import Redaction
from tests.make import table_rows

R = TypeVar("R", bound=Record)
NOON = datetime(2025, 11, 24, 12, tzinfo=UTC)


class Sink:
    """A storage callback that keeps what it got, and fails when told to."""

    def __init__(self, failures: int = 0, error: Exception | None = None) -> None:
        self.batches: list[list[Record]] = []
        self.failures = failures
        self.attempts = 0
        self.error = error or OSError("the store is away")

    def __call__(self, records: list[Record]) -> None:
        self.attempts += 1
        if self.failures:
            self.failures -= 1
            raise self.error
        self.batches.append(list(records))

    def of(self, kind: type[R]) -> list[R]:
        return [record for batch in self.batches for record in batch if isinstance(record, kind)]


@pytest.fixture
def sink() -> Sink:
    return Sink()


@pytest.fixture
def collector(sink: Sink) -> Iterator[MetricsCollector]:
    any_attribute = Redaction(attributes=["*"])
    made = MetricsCollector(sink, host="h1", environment="test", robot_id="r1", redaction=any_attribute)
    yield made
    made.stop(1)


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.005)


# --- what is recorded ------------------------------------------------------------------------------


def test_an_execution_becomes_a_start_and_an_end_with_its_dimensions(
    collector: MetricsCollector, sink: Sink
) -> None:
    collector.record_execution_start("e1", "w1", queue="q1", workflow_version="2", suite="s", queued_at=NOON)
    assert collector.active_executions == {"e1": "w1"}
    collector.record_execution_complete("e1", status="completed", steps_total=3, attributes={"k": "v"})
    assert collector.active_executions == {}
    assert collector.flush()
    [start], [end] = sink.of(ExecutionStart), sink.of(ExecutionMetrics)
    for record in (start, end):
        assert (record.execution_id, record.workflow_id) == ("e1", "w1")
        assert (record.host, record.environment, record.robot_id) == ("h1", "test", "r1")
        assert (record.queue, record.workflow_version, record.suite) == ("q1", "2", "s")
        assert (record.source, record.queued_at) == ("live", NOON)
        assert record.recorder_id == start.recorder_id != ""
    assert end.started_at == start.started_at
    assert end.ended_at >= end.started_at
    assert end.duration_ms >= 0
    assert (end.steps_total, end.steps_completed, dict(end.attributes)) == (3, None, {"k": "v"})


def test_steps_inherit_from_their_execution_and_are_numbered(collector: MetricsCollector, sink: Sink) -> None:
    collector.record_execution_start("e1", "w1", queue="q1")
    collector.record_step("e1", "open", status="completed", duration_ms=5)
    collector.record_step(
        "e1", "read", status="failed", duration_ms=5, step_seq=7, message="to ada@example.org"
    )
    collector.record_step("e1", "read", status="skipped", duration_ms=0, queue="q2")
    collector.flush()
    steps = sink.of(StepMetrics)
    assert [step.step_seq for step in steps] == [1, 7, 8]
    assert [step.queue for step in steps] == ["q1", "q1", "q2"]
    assert {step.workflow_id for step in steps} == {"w1"}
    assert steps[1].message == "to <mail>"
    assert len({step.recorder_id for step in steps}) == 1
    assert steps[0].ended_at - steps[0].started_at == timedelta(milliseconds=5)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"started_at": NOON}, (NOON, NOON + timedelta(seconds=1), 1000.0)),
        ({"ended_at": NOON}, (NOON - timedelta(seconds=1), NOON, 1000.0)),
        (
            {"started_at": NOON, "ended_at": NOON + timedelta(seconds=2), "duration_ms": None},
            (NOON, NOON + timedelta(seconds=2), 2000.0),
        ),
    ],
)
def test_a_step_needs_two_of_start_end_and_duration(
    collector: MetricsCollector, sink: Sink, given: dict[str, Any], expected: tuple[Any, ...]
) -> None:
    collector.record_execution_start("e1", "w1")
    collector.record_step("e1", "s", status="completed", **{"duration_ms": 1000, **given})
    collector.flush()
    [step] = sink.of(StepMetrics)
    assert (step.started_at, step.ended_at, step.duration_ms) == expected


def test_explicit_times_win_and_naive_ones_are_local(collector: MetricsCollector, sink: Sink) -> None:
    naive = datetime(2025, 11, 24, 12)
    collector.record_execution_start("e1", "w1", started_at=naive)
    collector.record_execution_complete("e1", status="completed", ended_at=naive + timedelta(seconds=90))
    collector.flush()
    [end] = sink.of(ExecutionMetrics)
    assert end.started_at == naive.astimezone(UTC)
    assert end.duration_ms == 90_000


def test_an_end_without_a_start_is_taken_where_it_says_everything(
    collector: MetricsCollector, sink: Sink
) -> None:
    collector.record_execution_complete(
        "e1",
        status="failed",
        workflow_id="w1",
        started_at=NOON,
        ended_at=NOON + timedelta(seconds=3),
        clock_skewed=False,
    )
    collector.record_step("e1", "s", status="completed", duration_ms=1)
    collector.record_step("e2", "s", status="completed", duration_ms=1, workflow_id="w2")
    collector.flush()
    [end], steps = sink.of(ExecutionMetrics), sink.of(StepMetrics)
    assert end.duration_ms == 3000
    assert [(step.execution_id, step.workflow_id) for step in steps] == [("e1", "w1"), ("e2", "w2")]
    assert not sink.of(QuarantinedRecord)


def test_a_wall_clock_that_goes_backwards_loses_no_row(
    collector: MetricsCollector, sink: Sink, monkeypatch: pytest.MonkeyPatch
) -> None:
    collector.record_execution_start("e1", "w1")
    an_hour_ago = time.time_ns() - 3600 * 10**9
    with monkeypatch.context() as patched:
        patched.setattr(time, "time_ns", lambda: an_hour_ago)
        collector.record_execution_complete("e1", status="completed")
    collector.flush()
    [end] = sink.of(ExecutionMetrics)
    assert end.clock_skewed
    assert end.ended_at - end.started_at == timedelta(milliseconds=end.duration_ms)
    assert end.duration_ms < 3_600_000


def test_a_wall_clock_that_jumps_ahead_is_flagged_and_the_duration_stays_true(
    collector: MetricsCollector, sink: Sink, monkeypatch: pytest.MonkeyPatch
) -> None:
    collector.record_execution_start("e1", "w1")
    in_an_hour = time.time_ns() + 3600 * 10**9
    with monkeypatch.context() as patched:
        patched.setattr(time, "time_ns", lambda: in_an_hour)
        collector.record_execution_complete("e1", status="completed")
    collector.flush()
    [end] = sink.of(ExecutionMetrics)
    assert end.clock_skewed
    assert end.ended_at - end.started_at > timedelta(minutes=59)
    assert end.duration_ms < 3_600_000


def test_saying_the_same_end_twice_gives_the_same_row_twice(collector: MetricsCollector, sink: Sink) -> None:
    collector.record_execution_start("e1", "w1")
    collector.record_execution_complete("e1", status="completed", steps_total=1)
    collector.record_execution_complete("e1", status="completed", steps_total=1)
    collector.flush()
    first, second = sink.of(ExecutionMetrics)
    assert first == second


def test_saying_another_end_is_a_conflict_that_the_store_keeps_aside(tmp_path: Any) -> None:
    store = TimeSeriesStore(tmp_path)
    results: list[Any] = []
    collector = MetricsCollector(lambda records: results.append(store.write_metrics(records)))
    collector.record_execution_start("e1", "w1")
    collector.record_execution_complete("e1", status="completed")
    collector.record_execution_complete("e1", status="completed")
    collector.record_execution_complete("e1", status="failed", message="no, it failed")
    collector.stop()
    assert sum(result.conflicts for result in results) == 1
    assert sum(result.duplicates for result in results) == 1
    now = datetime.now(UTC)
    rows = store.query_range(now - timedelta(hours=1), now + timedelta(minutes=1))["execution"]
    assert [row.status for row in rows if isinstance(row, ExecutionMetrics)] == ["completed"]
    store.close()


def test_an_id_started_again_after_its_end_goes_on_numbering_steps(
    collector: MetricsCollector, sink: Sink
) -> None:
    for _ in range(2):
        collector.record_execution_start("e1", "w1")
        collector.record_step("e1", "s", status="completed", duration_ms=1)
        collector.record_execution_complete("e1", status="completed")
    collector.flush()
    assert [step.step_seq for step in sink.of(StepMetrics)] == [1, 2]


def test_runs_that_never_end_are_followed_up_to_a_bound(
    collector: MetricsCollector, sink: Sink, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(memory, "MAX_ACTIVE", 3)
    for n in range(5):
        collector.record_execution_start(f"e{n}", "w1")
    assert list(collector.active_executions) == ["e2", "e3", "e4"]
    collector.record_execution_complete("e0", status="completed")  # late, and still known
    collector.flush()
    assert sink.of(ExecutionMetrics)[0].execution_id == "e0"
    assert "2 executions were started and never ended" in sink.of(AgentHeartbeat)[0].problem


# --- bad input -------------------------------------------------------------------------------------


class _Evil(str):
    """Every method a collector may call on it fails."""

    def __str__(self) -> str:
        raise RuntimeError("no text")

    __repr__ = __str__
    __hash__ = __str__  # type: ignore[assignment]  # that is what makes it evil

    def __eq__(self, other: object) -> bool:
        raise RuntimeError("no comparison")


def start(collector: MetricsCollector, *args: Any, **fields: Any) -> None:
    collector.record_execution_start(*args, **fields)


def end(collector: MetricsCollector, execution_id: Any = "known", **fields: Any) -> None:
    collector.record_execution_complete(execution_id, **{"status": "completed", **fields})


def step(collector: MetricsCollector, *args: Any, **fields: Any) -> None:
    collector.record_step(*args, **{"status": "completed", "duration_ms": 1, **fields})


BAD_INPUT: list[tuple[str, Callable[[MetricsCollector], None], str]] = [
    ("unknown status", lambda c: end(c, status="running"), "use one of 'completed', 'failed'"),
    ("status of another type", lambda c: end(c, status=None), "status is None"),
    ("NaN", lambda c: step(c, "known", "s", duration_ms=math.nan), "duration_ms is nan"),
    ("infinity", lambda c: end(c, duration_ms=math.inf), "duration_ms is inf"),
    ("negative duration", lambda c: step(c, "known", "s", duration_ms=-1), "duration_ms is negative"),
    ("a duration in nanoseconds", lambda c: step(c, "known", "s", duration_ms=10**18), "milliseconds"),
    ("no duration", lambda c: step(c, "known", "s", duration_ms=None), "duration_ms is None"),
    ("text as duration", lambda c: step(c, "known", "s", duration_ms="5"), "not a number"),
    (
        "end before start",
        lambda c: end(c, started_at=NOON, ended_at=NOON - timedelta(seconds=1)),
        "is before started_at",
    ),
    ("no date", lambda c: end(c, ended_at="yesterday"), "not a datetime"),
    ("end without start", lambda c: end(c, "unknown"), "record its start first"),
    ("end with a workflow and no time", lambda c: end(c, "unknown", workflow_id="w"), "has no start"),
    ("step without start", lambda c: step(c, "unknown", "s"), "record its start first"),
    (
        "step of another workflow",
        lambda c: step(c, "known", "s", workflow_id="w9"),
        "belongs to workflow 'w1'",
    ),
    ("start under another workflow", lambda c: start(c, "known", "w9"), "belongs to workflow 'w1'"),
    ("workflow id of 10 KB", lambda c: start(c, "e", "w" * 10_240), "is 10240 bytes long"),
    ("workflow id with control characters", lambda c: start(c, "e", "a\nb"), "control characters"),
    ("workflow id with NUL", lambda c: start(c, "e", "a\0b"), "NUL"),
    ("workflow id with a lone surrogate", lambda c: start(c, "e", "a\ud800"), "lone surrogate"),
    ("no workflow id", lambda c: start(c, "e", None), "workflow_id is NoneType"),
    ("execution id of 1 MB", lambda c: start(c, "e" * 1_000_000, "w"), "bytes long"),
    ("empty execution id", lambda c: start(c, "", "w"), "execution_id is empty"),
    ("execution id that is a number", lambda c: start(c, 5, "w"), "execution_id is int, not text"),
    ("execution id that is a list", lambda c: step(c, [], "s"), "execution_id is list, not text"),
    ("execution id that fails", lambda c: end(c, _Evil("e")), "RuntimeError while it was recorded"),
    ("workflow id that fails", lambda c: start(c, "known", _Evil("w")), "RuntimeError while it was recorded"),
    ("unknown field", lambda c: step(c, "known", "s", colour="red"), "has no field 'colour'"),
    ("unknown field of a start", lambda c: start(c, "e", "w", colour="red"), "has no field 'colour'"),
    ("attributes of another type", lambda c: end(c, attributes=[1]), "not a mapping"),
    ("attribute of another type", lambda c: end(c, attributes={"n": 1}), "attributes['n'] is int"),
    ("a step number that is none", lambda c: step(c, "known", "s", step_seq="1"), "not a whole number"),
]


@pytest.mark.parametrize(("call", "reason"), [case[1:] for case in BAD_INPUT], ids=[c[0] for c in BAD_INPUT])
def test_bad_input_is_quarantined_with_its_reason_and_one_line_in_the_log(
    collector: MetricsCollector,
    sink: Sink,
    caplog: pytest.LogCaptureFixture,
    call: Callable[[MetricsCollector], None],
    reason: str,
) -> None:
    collector.record_execution_start("known", "w1")
    call(collector)
    collector.record_step("known", "good", status="completed", duration_ms=1)
    assert collector.flush()
    bad = sink.of(QuarantinedRecord)
    assert reason in bad[0].reason
    assert len(bad) == 1 == collector.counters.quarantined
    lines = [line for line in caplog.records if line.name == "rpa_agent"]
    assert [line.levelno for line in lines] == [logging.WARNING]
    assert all("\n" not in line.getMessage() for line in lines)
    for row in bad:
        assert isinstance(json.loads(row.payload), (dict, str))
        assert row.host == "h1"
    assert sink.of(StepMetrics)[-1].step_id == "good"
    assert collector.counters.recorded == collector.counters.delivered == 3


def test_what_was_quarantined_can_be_stored(tmp_path: Any) -> None:
    store = TimeSeriesStore(tmp_path)
    collector = MetricsCollector(store.write_metrics)
    collector.record_execution_start("known", "w1")
    for _, call, _ in BAD_INPUT:
        call(collector)
    collector.stop()
    assert collector.counters.pending == 0
    assert collector.counters.failed_flushes == 0
    store.close()


def test_the_payload_of_a_quarantined_row_holds_no_secret(collector: MetricsCollector, sink: Sink) -> None:
    collector.record_execution_start("e1", "w1")
    secrets = ["hunter2secret", "ada@example.org", "4111111111111111", "tok-99-zz", "pa55wort"]
    collector.record_step(
        "e1",
        "ada@example.org",
        status="exploded password=hunter2secret",
        duration_ms=4111111111111111,
        message="login ada@example.org with password=hunter2secret",
        password="pa55wort",
        nested={
            "api_key": "tok-99-zz",
            "list": ["4111111111111111", {"token": "tok-99-zz"}],
            4: (None, 1.5, True),
        },
    )
    collector.flush()
    [row] = sink.of(QuarantinedRecord)
    assert not [secret for secret in secrets if secret in row.payload + row.reason]
    payload = json.loads(row.payload)
    assert (payload["nested"], payload["password"]) == ("<hidden>", "<hidden>")  # no record has such fields
    assert payload["step_id"] == "<mail>"
    assert payload["execution_id"] == "e1"


def test_a_payload_is_cut_to_what_a_row_may_hold(collector: MetricsCollector, sink: Sink) -> None:
    nested: dict[str, Any] = {"end": object()}
    for _ in range(500):
        nested = {"in": nested}
    collector.record_execution_start("e1", "w1", words=["ä\0" * 5_000] * 10_000, nested=nested)
    collector.flush()
    [row] = sink.of(QuarantinedRecord)
    assert len(row.payload.encode()) <= 64 * 1024


def test_text_with_methods_of_its_own_is_stored_as_plain_text(tmp_path: Any) -> None:
    store = TimeSeriesStore(tmp_path)
    collector = MetricsCollector(store.write_metrics)
    collector.record_execution_start("e1", "w1")
    collector.record_step(
        "e1", _Evil("evil step"), status="completed", duration_ms=1, message=_Evil("evil text")
    )
    collector.stop()
    now = datetime.now(UTC)
    [row] = store.query_range(now - timedelta(hours=1), now + timedelta(minutes=1))["step"]
    assert isinstance(row, StepMetrics)
    assert (row.step_id, row.message) == ("evil step", "evil text")
    store.close()


def test_ids_with_methods_of_their_own_do_not_stop_the_delivery(tmp_path: Any) -> None:
    """The sign of life of such a run is made from them too."""
    with TimeSeriesStore(tmp_path) as store:
        collector = MetricsCollector(store.write_metrics)
        collector.record_execution_start("e1", _Evil("w1"), queue=_Evil("q1"))
        collector.record_execution_start("e2", _Evil("w\n2"))
        collector.record_execution_start("e3", "w3")
        assert collector.flush(30)
        assert {row[0] for row in table_rows(store.engine, "execution_start")} == {"e1", "e3"}
        assert len(table_rows(store.engine, "execution_heartbeat")) == 2


class _Unwilling(dict[str, str]):
    """A mapping that fails, with more to say about it than a reason holds."""

    def keys(self) -> Any:
        raise ValueError("schlecht: " + "ä" * 5_000)

    __iter__ = items = keys


class _OnlyMapping(UserDict[str, str]):
    def __iter__(self) -> Any:
        raise ValueError("schlecht: " + "ä" * 5_000)

    items = __iter__


@pytest.mark.parametrize("attributes", [_Unwilling(a="b"), _OnlyMapping(a="b")])
def test_a_mapping_that_fails_neither_reaches_the_robot_nor_stops_the_delivery(
    collector: MetricsCollector, sink: Sink, attributes: Any
) -> None:
    collector.record_execution_start("e1", "w1")
    collector.record_execution_complete("e1", status="completed", attributes=attributes)
    collector.record_execution_start("e2", "w1")
    assert collector.flush(30)
    [refused] = sink.of(QuarantinedRecord)
    assert "ValueError while" in refused.reason
    assert len(sink.of(ExecutionStart)) == 2


def test_numbering_a_step_never_raises(collector: MetricsCollector) -> None:
    collector.record_execution_start("e1", "w1")
    for execution_id, workflow_id in (("e1", _Evil("w1")), (_Evil("e1"), "w1"), ([], "w1"), ("e9", None)):
        assert collector.next_step_seq(execution_id, workflow_id) == 1  # type: ignore[arg-type]  # bad on purpose
    assert collector.next_step_seq("e1", "w1") == 1


def test_a_machine_that_has_lost_its_clock_delivers_once_it_has_it_again(
    collector: MetricsCollector, sink: Sink, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(time, "time_ns", lambda: 5 * 10**9)  # 1970
        collector.record_execution_start("e1", "w1")
    collector.record_execution_start("e2", "w1")
    assert collector.flush(30)
    [refused] = sink.of(QuarantinedRecord)
    assert "check the clock" in refused.reason
    assert [start.execution_id for start in sink.of(ExecutionStart)] == ["e2"]


def test_no_sign_of_life_is_made_without_a_clock(
    collector: MetricsCollector, sink: Sink, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Lost(datetime):
        @classmethod
        def now(cls, tz: Any = None) -> datetime:
            return datetime(1970, 1, 1, tzinfo=tz)

    monkeypatch.setattr(heartbeats, "datetime", Lost)
    collector.record_execution_start("e1", "w1")
    assert collector.flush(30)
    assert (len(sink.of(ExecutionStart)), sink.of(AgentHeartbeat)) == (1, [])


def test_interrupts_of_the_robot_pass(collector: MetricsCollector) -> None:
    class Interrupting:
        def __str__(self) -> str:
            raise KeyboardInterrupt

    collector.record_execution_start("e1", "w1")
    with pytest.raises(KeyboardInterrupt):
        collector.record_step("e1", "s", status="failed", duration_ms=1, message=Interrupting())  # type: ignore[arg-type]  # a message of any type
    assert collector.flush()


def test_a_message_is_taken_as_it_was_when_it_was_recorded(collector: MetricsCollector, sink: Sink) -> None:
    words = ["first"]
    collector.record_execution_start("e1", "w1")
    attributes = {"k": "before"}
    collector.record_execution_complete("e1", status="failed", message=words, attributes=attributes)  # type: ignore[arg-type]  # a message of any type
    words.append("later")
    attributes["k"] = "after"
    collector.flush()
    [ended] = sink.of(ExecutionMetrics)
    assert ended.message == "['first']"
    assert dict(ended.attributes) == {"k": "before"}


@pytest.mark.parametrize(
    "arguments",
    [
        {"storage_callback": None},
        {"buffer_size": 0},
        {"buffer_size": True},
        {"max_buffered_rows": 1.5},
        {"max_workflows": 0},
        {"max_steps": 1.5},
        {"max_attribute_values": True},
        {"flush_interval_sec": 0},
        {"flush_interval_sec": math.nan},
        {"heartbeat_interval_sec": "30"},
        {"environment": None},
        {"robot_id": "a\nb"},
        {"queue": "q" * 300},
    ],
)
def test_a_collector_that_cannot_work_says_so_when_it_is_made(arguments: dict[str, Any]) -> None:
    name = next(iter(arguments))
    with pytest.raises(SettingsError, match=name):
        MetricsCollector(**{"storage_callback": print, **arguments})


# --- delivery --------------------------------------------------------------------------------------


def test_a_full_batch_is_delivered_at_once_and_the_rest_by_the_interval(sink: Sink) -> None:
    with MetricsCollector(
        sink, buffer_size=10, flush_interval_sec=3600, heartbeat_interval_sec=3600
    ) as collector:
        collector.record_execution_start("e1", "w1")
        for _ in range(9):
            collector.record_step("e1", "s", status="completed", duration_ms=1)
        wait_for(lambda: len(sink.of(StepMetrics)) == 9)
        collector.record_step("e1", "s", status="completed", duration_ms=1)
        assert collector.counters.pending == 1
    assert len(sink.of(StepMetrics)) == 10


def test_the_interval_delivers_without_being_asked(sink: Sink) -> None:
    with MetricsCollector(sink, flush_interval_sec=0.01) as collector:
        collector.start()  # twice is once
        collector.record_execution_start("e1", "w1")
        wait_for(lambda: len(sink.of(ExecutionStart)) == 1)


def test_recording_before_start_waits_and_stop_without_start_delivers(
    collector: MetricsCollector, sink: Sink
) -> None:
    collector.record_execution_start("e1", "w1")
    assert sink.batches == []
    collector.stop()
    assert [start.execution_id for start in sink.of(ExecutionStart)] == ["e1"]
    collector.stop()  # and once more is harmless
    assert not [t for t in threading.enumerate() if t.name == "rpa-agent-delivery"]


def test_a_stopped_collector_can_be_started_again(sink: Sink) -> None:
    collector = MetricsCollector(sink, flush_interval_sec=0.01)
    for n in range(3):
        collector.start()
        collector.record_execution_start(f"e{n}", "w1")
        collector.stop()
    assert [start.execution_id for start in sink.of(ExecutionStart)] == ["e0", "e1", "e2"]


def test_batches_are_no_larger_than_asked(sink: Sink) -> None:
    collector = MetricsCollector(sink, buffer_size=7)
    for n in range(20):
        collector.record_execution_start(f"e{n}", "w1")
    assert collector.flush()
    starts = [[r for r in batch if isinstance(r, ExecutionStart)] for batch in sink.batches]
    assert [len(batch) for batch in starts] == [7, 7, 6]


def check_at_least_once(buffer: Buffer[Item]) -> None:
    sink = Sink(failures=3)
    delivery = Delivery(sink, buffer, RecordBuilder("h"), batch_rows=4, interval_sec=3600)
    known = memory.KnownExecution("e", "w", "r", {})
    for n in range(10):
        buffer.append((known, time.time_ns(), n, "s", "completed", 1))
    assert not delivery.flush(10)
    assert delivery.stop(30)
    assert [step.step_seq for step in sink.of(StepMetrics)] == list(range(10))


class _RemovesBeforeAcknowledgement(Buffer[Item]):
    def take(self, n: int) -> list[Item]:
        batch = super().take(n)
        super().acknowledge(len(batch))
        return batch

    def acknowledge(self, n: int) -> None:
        pass


def test_a_callback_that_fails_several_times_gets_every_row_in_order() -> None:
    check_at_least_once(Buffer(100))


def test_that_check_catches_a_buffer_that_removes_too_early() -> None:
    with pytest.raises(AssertionError):
        check_at_least_once(_RemovesBeforeAcknowledgement(100))


def test_rows_survive_failures_and_the_log_tells_only_the_change(
    caplog: pytest.LogCaptureFixture,
) -> None:
    sink = Sink(failures=3, error=SchemaVersionError("the database waits; postgresql://u:pw@db/x"))
    collector = MetricsCollector(sink)
    collector.record_execution_start("e1", "w1")
    for _ in range(3):
        assert not collector.flush()
    counters = collector.counters
    assert (counters.failed_flushes, counters.delivered, counters.pending) == (3, 0, 1)
    assert counters.last_error == "SchemaVersionError: the database waits; postgresql://<hidden>@db/x"
    assert collector.flush()
    assert collector.counters.last_error == ""
    assert collector.counters.pending == 0
    assert [("not taken" in m, "works again" in m) for m in caplog.messages] == [(True, False), (False, True)]
    assert sink.of(AgentHeartbeat)[0].problem.startswith("SchemaVersionError")


def test_retries_get_rarer_up_to_a_minute() -> None:
    delivery = Delivery(print, Buffer(1), RecordBuilder("h"), batch_rows=1, interval_sec=5)
    pauses = []
    for failures in (0, 1, 2, 3, 4, 5, 6, 1000):
        delivery._failures = failures
        pauses.append(delivery._pause_s())
    assert pauses == [5, 5, 10, 20, 40, 60, 60, 60]


def test_intervals_and_patience_longer_than_the_system_can_wait_are_waited_for(sink: Sink) -> None:
    collector = MetricsCollector(sink, flush_interval_sec=1e300, heartbeat_interval_sec=1e300)
    collector.start()
    collector.record_execution_start("e1", "w1")
    assert collector.flush(math.inf)
    assert not collector.flush(math.nan)
    collector.record_execution_start("e2", "w1")
    collector.stop(math.inf)
    assert len(sink.of(ExecutionStart)) == 2


def test_a_store_that_is_away_is_not_asked_for_every_row(sink: Sink) -> None:
    sink.failures = 1_000_000
    with MetricsCollector(
        sink, buffer_size=5, flush_interval_sec=3600, heartbeat_interval_sec=3600
    ) as collector:
        for n in range(500):
            collector.record_execution_start(f"e{n}", "w1")
        wait_for(lambda: sink.attempts == 1)
        for n in range(500):
            collector.record_execution_start(f"f{n}", "w1")
        assert sink.attempts == 1
        sink.failures = 0
    assert len(sink.of(ExecutionStart)) == 1000


def test_past_the_bound_the_oldest_are_dropped_counted_and_said(
    sink: Sink, caplog: pytest.LogCaptureFixture
) -> None:
    collector = MetricsCollector(sink, max_buffered_rows=10)
    for n in range(25):
        collector.record_execution_start(f"e{n}", "w1")
    collector.stop()
    assert [start.execution_id for start in sink.of(ExecutionStart)] == [f"e{n}" for n in range(15, 25)]
    assert (collector.counters.recorded, collector.counters.dropped) == (25, 15)
    assert [m for m in caplog.messages if "15 rows were dropped" in m]
    assert sink.of(AgentHeartbeat)[-1].rows_dropped == 15


def test_stop_in_vain_returns_says_what_remains_and_keeps_it(caplog: pytest.LogCaptureFixture) -> None:
    sink = Sink(failures=1_000_000)
    collector = MetricsCollector(sink, flush_interval_sec=0.01)
    collector.start()
    collector.record_execution_start("e1", "w1")
    collector.stop(timeout_sec=0.3)
    assert collector.counters.pending == 1
    assert "1 rows that were not delivered within 0.3 s (OSError: the store is away)" in caplog.text
    sink.failures = 0
    collector.stop()
    assert len(sink.of(ExecutionStart)) == 1


def test_a_store_that_hangs_holds_neither_the_robot_nor_stop(caplog: pytest.LogCaptureFixture) -> None:
    released = threading.Event()
    arrived: list[Record] = []

    def hang(records: list[Record]) -> None:
        released.wait(60)
        arrived.extend(records)

    collector = MetricsCollector(hang, flush_interval_sec=0.01)
    collector.start()
    collector.record_execution_start("e1", "w1")
    assert not collector.flush(0.05)
    collector.stop(0.05)
    assert "the store did not answer" in caplog.text
    collector.record_execution_start("e2", "w1")
    released.set()
    assert collector.flush(30)
    assert [r.execution_id for r in arrived if isinstance(r, ExecutionStart)] == ["e1", "e2"]


def test_a_callback_that_flushes_does_not_wait_for_itself() -> None:
    answers: list[bool] = []
    collector = MetricsCollector(lambda records: answers.append(collector.flush()))
    collector.record_execution_start("e1", "w1")
    assert collector.flush(30)
    assert answers == [False]


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_callback_that_kills_its_thread_loses_nothing() -> None:
    sink = Sink()
    failing = [SystemExit("the callback ends its thread")]

    def callback(records: list[Record]) -> None:
        if failing:
            raise failing.pop()
        sink(records)

    collector = MetricsCollector(callback)
    collector.record_execution_start("e1", "w1")
    assert not collector.flush()
    assert collector.flush()
    assert len(sink.of(ExecutionStart)) == 1
    wait_for(lambda: not [t for t in threading.enumerate() if t.name == "rpa-agent-delivery"])


def test_eight_threads_record_and_every_row_arrives_once(sink: Sink) -> None:
    with MetricsCollector(sink, buffer_size=100, flush_interval_sec=0.01) as collector:
        for n in range(8):
            collector.record_execution_start(f"e{n}", "w1")

        def record(execution_id: str) -> None:
            for _ in range(1000):
                collector.record_step(execution_id, "s", status="completed", duration_ms=1)

        threads = [threading.Thread(target=record, args=(f"e{n}",)) for n in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    counts = Counter((step.execution_id, step.step_seq) for step in sink.of(StepMetrics))
    assert len(counts) == 8000
    assert set(counts.values()) == {1}
    assert collector.counters.delivered == collector.counters.recorded == 8008


def test_threads_that_record_faster_than_rows_are_taken_lose_rows_only_to_the_counter(sink: Sink) -> None:
    def slowly(records: list[Record]) -> None:
        time.sleep(0.002)
        sink(records)

    collector = MetricsCollector(slowly, 20, 0.01, max_buffered_rows=100)
    collector.start()
    collector.record_execution_start("e1", "w1")
    highest = 0

    def record() -> None:
        for _ in range(2_000):
            collector.record_step("e1", "s", status="completed", duration_ms=1)

    threads = [threading.Thread(target=record) for _ in range(4)]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        counters = collector.counters
        assert counters.recorded == counters.delivered + counters.dropped + counters.pending
        highest = max(highest, counters.pending)
        time.sleep(0.001)
    collector.stop()
    counters = collector.counters
    arrived = [step.step_seq for step in sink.of(StepMetrics)]
    assert len(set(arrived)) == len(arrived)
    assert (counters.recorded, counters.pending) == (8_001, 0)
    assert counters.dropped == 8_001 - len(arrived) - len(sink.of(ExecutionStart)) > 0
    assert highest <= 100 + len(threads)  # each may have put in one that is not looked at yet


def test_a_signal_handler_may_record_while_the_robot_records(sink: Sink) -> None:
    collector = MetricsCollector(sink, max_buffered_rows=1_000_000)
    collector.record_execution_start("e1", "w1")
    handled = 0

    def handler(*_: object) -> None:
        nonlocal handled
        handled += 1
        collector.record_step("e1", "signal", status="completed", duration_ms=1)

    earlier = signal.signal(signal.SIGALRM, handler)
    signal.setitimer(signal.ITIMER_REAL, 0.0005, 0.0005)
    recorded = 0
    try:
        while handled < 100:
            collector.record_step("e1", "loop", status="completed", duration_ms=1)
            recorded += 1
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, earlier)
    assert collector.flush(60)
    seqs = [step.step_seq for step in sink.of(StepMetrics)]
    assert len(seqs) == recorded + handled


# --- signs of life ---------------------------------------------------------------------------------


def test_every_running_execution_shows_life_with_the_first_flush_and_then_by_interval(sink: Sink) -> None:
    collector = MetricsCollector(sink, heartbeat_interval_sec=0.05, queue="q0")
    collector.record_execution_start("e1", "w1", queue="q1")
    collector.record_execution_start("ended", "w1")
    collector.record_execution_complete("ended", status="completed")
    collector.flush()
    collector.flush()
    assert [(h.execution_id, h.workflow_id, h.queue) for h in sink.of(ExecutionHeartbeat)] == [
        ("e1", "w1", "q1")
    ]
    time.sleep(0.06)
    collector.flush()
    assert [h.execution_id for h in sink.of(ExecutionHeartbeat)] == ["e1", "e1"]
    assert len(sink.of(AgentHeartbeat)) == 2
    assert collector.counters.recorded == 3  # signs of life are no rows of the robot


def test_the_agent_says_up_to_when_it_has_delivered_everything() -> None:
    sink = Sink()
    collector = MetricsCollector(sink, buffer_size=2, heartbeat_interval_sec=1e-9, agent_id="a1")
    for n in range(5):
        collector.record_execution_start(f"e{n}", "w1")
    collector.flush()
    signs = [(batch, sign) for batch in sink.batches for sign in batch if isinstance(sign, AgentHeartbeat)]
    starts = sink.of(ExecutionStart)
    assert [sign.rows_pending for _, sign in signs] == [3, 1, 0]
    assert [sign.complete_to for _, sign in signs[:2]] == [starts[2].started_at, starts[4].started_at]
    assert signs[2][1].complete_to >= starts[4].started_at
    assert {sign.agent_id for _, sign in signs} == {"a1"}


def test_an_agent_says_good_bye_with_nothing_pending(sink: Sink) -> None:
    with MetricsCollector(sink, flush_interval_sec=3600, heartbeat_interval_sec=3600) as collector:
        assert collector.flush()
        collector.record_execution_start("e1", None)  # type: ignore[arg-type]  # quarantined
    last = sink.of(AgentHeartbeat)[-1]
    assert (last.rows_pending, last.rows_quarantined, last.complete_to) == (0, 1, last.sent_at)
    assert len(sink.of(AgentHeartbeat)) == 2


def test_a_dead_store_is_not_met_with_a_heap_of_heartbeats() -> None:
    sink = Sink(failures=50)
    collector = MetricsCollector(sink, heartbeat_interval_sec=1e-9)
    collector.record_execution_start("e1", "w1")
    for _ in range(50):
        collector.flush()
    assert collector.flush()
    assert Counter(r.kind for r in sink.batches[0]) == {
        "execution_start": 1,
        "execution_heartbeat": 1,
        "agent_heartbeat": 1,
    }


def test_an_execution_whose_start_was_refused_sends_no_heartbeats(
    collector: MetricsCollector, sink: Sink
) -> None:
    collector.record_execution_start("e1", "w\n1")
    collector.flush()
    assert sink.of(ExecutionHeartbeat) == []
    assert len(sink.of(QuarantinedRecord)) == 1


@pytest.mark.parametrize("mode", ["memory", "durable"])
def test_the_daemon_sees_while_an_execution_runs(sink: Sink, tmp_path: Path, mode: str) -> None:
    looking = Activity()
    spool = tmp_path / "spool" if mode == "durable" else None
    with MetricsCollector(sink, flush_interval_sec=0.05, spool_folder=spool) as collector:
        assert not looking.any_execution_runs()
        collector.record_execution_start("e1", "w1")
        wait_for(looking.any_execution_runs)
        collector.record_execution_start("e2", "w1")
        collector.record_execution_complete("e1", status="completed")
        collector.flush()
        assert looking.any_execution_runs()
        collector.record_execution_complete("e2", status="completed")
        wait_for(lambda: not looking.any_execution_runs())
        collector.record_execution_start("e3", "w1")
        wait_for(looking.any_execution_runs)
    assert not looking.any_execution_runs()


def test_the_start_of_an_execution_is_shown_at_once_and_not_with_the_next_flush(sink: Sink) -> None:
    looking = Activity()
    with MetricsCollector(sink, flush_interval_sec=3600, heartbeat_interval_sec=3600) as collector:
        collector.record_execution_start("e1", "w1")
        wait_for(looking.any_execution_runs)
        assert sink.batches == []


# --- the end of things -----------------------------------------------------------------------------


def test_a_collector_nobody_refers_to_goes_and_its_rows_are_delivered(sink: Sink) -> None:
    collector = MetricsCollector(sink, flush_interval_sec=3600)
    collector.start()
    collector.record_execution_start("e1", "w1")
    gone = weakref.ref(collector)
    del collector
    gc.collect()
    assert gone() is None
    wait_for(lambda: len(sink.of(ExecutionStart)) == 1)
    wait_for(lambda: not [t for t in threading.enumerate() if t.name == "rpa-agent-delivery"])


PROGRAM = """
import os, sys, threading
from collector_agent import MetricsCollector

def store(records):
    with open(sys.argv[1], "a") as file:
        for record in records:
            print(os.getpid(), record.kind, getattr(record, "execution_id", ""), file=file)

"""


def run_program(body: str, tmp_path: Any) -> list[tuple[int, str, str]]:
    """What a program of its own delivered: process, kind, execution."""
    out = tmp_path / "delivered"
    out.touch()
    ran = subprocess.run(
        [sys.executable, "-W", "error::RuntimeWarning", "-c", PROGRAM + body, str(out)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    lines = [line.split(" ") for line in out.read_text().splitlines()]
    return [(int(pid), kind, execution) for pid, kind, execution in lines]


@pytest.mark.parametrize("prepare", ["collector.start()", "pass"])
def test_what_is_left_at_the_end_of_the_process_is_delivered(prepare: str, tmp_path: Any) -> None:
    delivered = run_program(
        f"""
collector = MetricsCollector(store, flush_interval_sec=3600)
{prepare}
collector.record_execution_start("e1", "w1")
""",
        tmp_path,
    )
    assert [kind for _, kind, _ in delivered].count("execution_start") == 1


def test_rows_of_a_collector_that_is_gone_are_delivered_at_the_end_of_the_process(tmp_path: Any) -> None:
    delivered = run_program("MetricsCollector(store).record_execution_start('e1', 'w1')", tmp_path)
    assert [kind for _, kind, _ in delivered].count("execution_start") == 1


def test_a_store_that_hangs_does_not_hold_the_end_of_the_process(tmp_path: Any) -> None:
    delivered = run_program(
        """
import collector_agent.recording.process_end as process_end
process_end.EXIT_TIMEOUT_SEC = 0.2
collector = MetricsCollector(lambda records: threading.Event().wait())
collector.start()
collector.record_execution_start("e1", "w1")
""",
        tmp_path,
    )
    assert delivered == []


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
def test_after_a_fork_the_child_owns_nothing_and_starts_its_own_when_it_records(tmp_path: Any) -> None:
    delivered = run_program(
        """
collector = MetricsCollector(store, flush_interval_sec=3600)
collector.start()
collector.record_execution_start("parents", "w1")
agent_id = collector._delivery.heartbeats._agent_id
with collector._outlet.lock:  # held by the parent while it forks: the child has a lock of its own
    if os.fork() == 0:
        assert collector.counters.pending == 0 == collector.counters.recorded
        assert collector.active_executions == {}
        assert agent_id != collector._delivery.heartbeats._agent_id
        assert threading.active_count() == 1
        collector.record_execution_start("childs", "w1")
        assert threading.active_count() == 2
        assert collector.flush()
        os._exit(0)
pid, status = os.wait()
assert status == 0, status
if os.fork() == 0:
    sys.exit()  # ends by atexit and has recorded nothing
pid, status = os.wait()
assert status == 0, status
collector.stop()
""",
        tmp_path,
    )
    parents = {pid for pid, _, execution in delivered if execution == "parents"}
    assert len(parents) == 1
    starts = [(pid in parents, execution) for pid, kind, execution in delivered if kind == "execution_start"]
    assert sorted(starts) == [(False, "childs"), (True, "parents")]
    assert len({pid for pid, _, _ in delivered}) == 2


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
def test_a_forked_process_of_multiprocessing_delivers_before_it_ends(tmp_path: Any) -> None:
    delivered = run_program(
        """
import multiprocessing
collector = MetricsCollector(store, flush_interval_sec=3600)
collector.start()
def work():
    collector.record_execution_start("childs", "w1")
process = multiprocessing.get_context("fork").Process(target=work)
process.start(); process.join()
assert process.exitcode == 0
""",
        tmp_path,
    )
    assert [execution for _, kind, execution in delivered if kind == "execution_start"] == ["childs"]
