"""Durable recording: what is in the spool's frames, and when."""

import json
import logging
import os
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from analytics_lib.records import (
    STATUSES,
    AgentHeartbeat,
    ExecutionHeartbeat,
    ExecutionMetrics,
    ExecutionStart,
    QuarantinedRecord,
    Record,
    StepMetrics,
)
from collector_agent import MetricsCollector
from collector_agent.machine.problems import read_problems
from collector_agent.recording.active_executions import KnownExecution
from collector_agent.recording.cardinality import OVERFLOW, Cardinality
from collector_agent.recording.journal import payload_of
from collector_agent.recording.record_builder import RecordBuilder
from collector_agent.recording.step_frames import StepFrame, short_step_payload, step_frame, step_payload
from collector_agent.redaction.policy import Redaction
from tests.collector_agent.spool_frames import records_in, records_of
from tests.collector_agent.test_metrics_collector import BAD_INPUT

NOON_NS = 1_795_435_200 * 10**9
NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)


# --- an ordinary step, written by hand ---------------------------------------------------------------


def execution(builder: RecordBuilder, **inherited: str) -> tuple[KnownExecution, StepFrame]:
    """An execution whose start is recorded, and what the frames of its steps have in common."""
    carried = dict.fromkeys(("workflow_version", "environment", "robot_id", "host", "queue"), "")
    known = KnownExecution("e1", "Ablage „Nord“", "r1", {**carried, "source": "live", **inherited})
    start = builder(("execution_start", NOON_NS, known, {"workflow_id": known.workflow_id}, 0))
    assert isinstance(start, ExecutionStart)
    frame = step_frame(known, start, builder.cardinality)
    assert frame is not None
    return known, frame


DURATIONS = st.one_of(
    st.floats(0, 1e9),
    st.integers(0, 10**9),
    st.integers(0, 10**9).map(lambda n: n / 2000),  # between two microseconds: which way it is rounded
)
WALL_NS = st.integers(NOON_NS, NOON_NS + 10**18)
NAMES = st.text(st.characters(codec="utf-8", categories=["L", "N", "P", "S"]) | st.just(" "), max_size=20)
MOMENTS = st.datetimes(datetime(2020, 1, 1), datetime(2090, 1, 1), timezones=st.just(UTC))
COUNTS = st.integers(0, 1000)
USUAL = {
    "step_name": NAMES,
    "step_type": NAMES,
    "transaction_id": NAMES,
    "message": st.one_of(NAMES, st.text(max_size=100), st.just("to ada@example.org, password=hunter2")),
    "exception_kind": st.sampled_from(["", "business", "application"]),
    "attempt": COUNTS,
    "depth": COUNTS,
    "retries": COUNTS,
    "parent_step_seq": COUNTS,
    "workflow_id": st.just("Ablage „Nord“"),
    "recorder_id": st.just("r1"),
    "queue": st.just(""),
}


@st.composite
def usual_steps(draw: st.DrawFn) -> dict[str, Any]:
    """Fields of a step that a robot might well record."""
    fields: dict[str, Any] = draw(
        st.fixed_dictionaries({}, optional={name: st.none() | values for name, values in USUAL.items()})
    )
    fields |= {"step_id": "known", "step_seq": draw(COUNTS), "status": draw(st.sampled_from(STATUSES))}
    started_at = draw(st.none() | MOMENTS)
    lasted = timedelta(microseconds=draw(st.integers(0, 10**12)))
    duration_ms = draw(DURATIONS)
    if started_at is None:
        times = draw(st.sampled_from([{}, {"ended_at": NOON}]))
    else:
        times = draw(st.sampled_from([{}, {"ended_at": started_at + lasted}])) | {"started_at": started_at}
        if "ended_at" in times and draw(st.booleans()):
            duration_ms = None
    return {**fields, **times, "duration_ms": duration_ms}


@given(usual_steps(), WALL_NS)
def test_a_usual_step_is_written_as_its_record_would_be(fields: dict[str, Any], wall_ns: int) -> None:
    builder = RecordBuilder("h1")
    known, frame = execution(builder, host="h1", queue="")
    first = builder(("step", wall_ns, known, {**fields, "step_id": "known"}, 0))
    payload = step_payload(frame, wall_ns, fields)
    assert payload is not None
    assert payload == payload_of(first)


@given(DURATIONS, WALL_NS, st.sampled_from(STATUSES), COUNTS)
def test_the_shortest_step_is_written_as_its_record_would_be(
    duration_ms: float, wall_ns: int, status: str, number: int
) -> None:
    builder = RecordBuilder("h1")
    known, frame = execution(builder, environment="prod", robot_id="r\\1")
    step = builder((known, wall_ns, number, "known", status, duration_ms))
    payload = short_step_payload(frame, (known, wall_ns, number, "known", status, duration_ms))
    assert payload == payload_of(step)


class _Word(str):
    """Text of a class of its own."""


ANYTHING = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(),
    st.text(min_size=60, max_size=700),
    st.text().map(_Word),
    st.binary(),
    st.lists(st.integers(), max_size=2),
    st.datetimes(timezones=st.none() | st.just(UTC) | st.just(timezone(timedelta(hours=3)))),
    st.sampled_from([*STATUSES, "business", "known", "a\nb", "a\0", "\ud800", 10**400, -1]),
)
_NAMES_OF_FIELDS = [*USUAL, "step_seq", "step_id", "status", "duration_ms", "started_at", "ended_at"]


@given(
    usual_steps(),
    st.dictionaries(st.sampled_from([*_NAMES_OF_FIELDS, "source", "colour", "clock_skewed"]), ANYTHING),
    WALL_NS,
)
def test_whatever_a_step_is_given_it_is_written_as_its_record_or_left_to_it(
    usual: dict[str, Any], odd: dict[str, Any], wall_ns: int
) -> None:
    builder = RecordBuilder("h1")
    known, frame = execution(builder)
    fields = {**usual, **odd}
    builder((known, wall_ns, 1, "known", "completed", 1))
    try:
        payload = step_payload(frame, wall_ns, fields)
    except Exception:  # noqa: BLE001  # as the journal does: what fails is left to the record
        payload = None
    if payload is not None:
        logging.disable(logging.WARNING)
        record = builder(("step", wall_ns, known, fields, 0))
        logging.disable(logging.NOTSET)
        assert isinstance(record, StepMetrics)
        assert payload == payload_of(record)


@pytest.mark.parametrize("duration_ms", [-1, float("nan"), float("inf"), True, "5", None, 1e300])
def test_a_short_step_that_is_not_plainly_valid_is_left_to_its_record(duration_ms: Any) -> None:
    builder = RecordBuilder("h1")
    known, frame = execution(builder)
    builder((known, NOON_NS, 1, "known", "completed", 1))
    assert short_step_payload(frame, (known, NOON_NS, 1, "known", "completed", 5)) is not None
    assert short_step_payload(frame, (known, NOON_NS, 1, "known", "completed", duration_ms)) is None
    assert short_step_payload(frame, (known, NOON_NS, 1, "new", "completed", 5)) is None
    assert short_step_payload(frame, (known, NOON_NS, 1, "known", "running", 5)) is None
    assert short_step_payload(frame, (known, 10**9, 1, "known", "completed", 5)) is None  # 1970


def test_steps_above_the_cap_are_written_by_hand_too() -> None:
    builder = RecordBuilder("h1", Cardinality(max_steps=1))
    known, frame = execution(builder)
    for step_id in ("known", "one too many"):
        builder((known, NOON_NS, 1, step_id, "completed", 1))
    payload = short_step_payload(frame, (known, NOON_NS, 1, "another", "completed", 5))
    assert payload is not None
    assert OVERFLOW in json.loads(payload)
    assert "step_id of 'Ablage „Nord“' 2 times" in builder.cardinality.problem()


# --- the collector -----------------------------------------------------------------------------------


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "spool"


@pytest.fixture
def collector(folder: Path) -> Iterator[MetricsCollector]:
    made = MetricsCollector(
        spool_folder=folder,
        host="h1",
        queue="q1",
        flush_interval_sec=3600,
        redaction=Redaction(attributes=["*"]),
    )
    yield made
    made.stop(5)


def record_a_run(collector: MetricsCollector) -> None:
    collector.record_execution_start("e1", "w1", queue="q2")
    collector.record_step("e1", "s", status="completed", duration_ms=5)
    collector.record_step("e1", "s", status="failed", duration_ms=5, message="to ada@example.org")
    collector.record_execution_complete("e1", status="failed", attributes={"k": "v"})


def test_each_record_is_in_the_spool_before_the_robot_goes_on(
    collector: MetricsCollector, folder: Path
) -> None:
    record_a_run(collector)
    start, first, second, end = records_in(folder)  # nothing was flushed
    assert isinstance(start, ExecutionStart)
    assert isinstance(end, ExecutionMetrics)
    for step in (first, second):
        assert isinstance(step, StepMetrics)
        assert (step.workflow_id, step.queue, step.host, step.recorder_id) == (
            "w1",
            "q2",
            "h1",
            start.recorder_id,
        )
    assert [step.step_seq for step in (first, second) if isinstance(step, StepMetrics)] == [1, 2]
    assert dict(end.attributes) == {"k": "v"}
    counters = collector.counters
    assert (counters.recorded, counters.delivered, counters.pending, counters.dropped) == (4, 4, 0, 0)


def test_no_secret_reaches_the_disk(collector: MetricsCollector, folder: Path) -> None:
    collector.record_execution_start("e1", "w1")
    for fields in ({}, {"message_truncated": False}, {"status": "password=hunter2"}):
        given = {"status": "failed", "duration_ms": 1, "message": "mail ada@example.org; password=hunter2"}
        collector.record_step("e1", "s", **{**given, **fields})  # type: ignore[arg-type]  # a bad status, too
    written = b"".join(segment.read_bytes() for segment in folder.glob("*/*.seg"))
    assert b"hunter2" not in written
    assert b"ada@" not in written
    assert written.count(b"<mail>") == 3


def test_what_is_refused_is_quarantined_in_the_spool_with_its_reason(
    collector: MetricsCollector, folder: Path
) -> None:
    collector.record_execution_start("e1", "w1")
    collector.record_step("e1", "s", status="exploded", duration_ms=1)
    collector.record_step("unknown", "s", status="completed", duration_ms=1)
    collector.record_step([], "s", status="completed", duration_ms=1)  # type: ignore[arg-type]  # bad on purpose
    collector.record_step("e1", "s", status="completed", duration_ms=1)
    *refused, good = records_in(folder)[1:]
    reasons = [record.reason for record in refused if isinstance(record, QuarantinedRecord)]
    for reason, expected in zip(reasons, ("use one of", "was not started", "is list"), strict=True):
        assert expected in reason
    assert isinstance(good, StepMetrics)
    assert collector.counters.quarantined == 3


@pytest.mark.parametrize(("call", "reason"), [case[1:] for case in BAD_INPUT], ids=[c[0] for c in BAD_INPUT])
def test_bad_input_is_quarantined_as_it_is_in_memory(
    collector: MetricsCollector,
    folder: Path,
    caplog: pytest.LogCaptureFixture,
    call: Callable[[MetricsCollector], None],
    reason: str,
) -> None:
    collector.record_execution_start("known", "w1")
    call(collector)
    collector.record_step("known", "good", status="completed", duration_ms=1)
    _start, refused, good = records_in(folder)
    assert isinstance(refused, QuarantinedRecord)
    assert reason in refused.reason
    assert isinstance(good, StepMetrics)
    assert len(caplog.messages) == 1


def test_a_flush_adds_signs_of_life_behind_the_rows_they_speak_of(
    collector: MetricsCollector, folder: Path
) -> None:
    collector.record_execution_start("e1", "w1")
    assert collector.flush()
    record_a_run(collector)
    start, of_execution, of_agent, *rest = records_in(folder)
    assert isinstance(of_execution, ExecutionHeartbeat)
    assert isinstance(of_agent, AgentHeartbeat)
    assert isinstance(start, ExecutionStart)
    assert start.started_at <= of_agent.complete_to == of_agent.sent_at
    assert (of_agent.component, of_agent.rows_recorded, of_agent.rows_delivered) == ("collector", 1, 1)
    assert len(rest) == 4
    assert collector.counters.recorded == 5  # signs of life are no rows of the robot


def test_stop_gives_the_set_away_and_what_is_recorded_later_begins_another(folder: Path) -> None:
    with MetricsCollector(spool_folder=folder, flush_interval_sec=3600) as collector:
        record_a_run(collector)
        assert collector.spool is not None
        assert collector.spool.set_folder is not None
    assert collector.spool.set_folder is None
    last = records_in(folder)[-1]
    assert isinstance(last, AgentHeartbeat)
    assert (last.rows_recorded, last.rows_pending) == (4, 0)
    collector.record_execution_start("e2", "w1")
    collector.stop()
    assert len({path.parent for path in folder.glob("*/*.seg")}) == 2
    assert sum(isinstance(record, ExecutionStart) for record in records_in(folder)) == 2


def test_the_interval_syncs_without_being_asked(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    collector = MetricsCollector(spool_folder=folder, flush_interval_sec=0.01)
    assert collector.spool is not None
    synced: list[bool] = []
    sync: Callable[[], bool] = collector.spool.sync
    monkeypatch.setattr(collector.spool, "sync", lambda: synced.append(sync()) or synced[-1])
    collector.record_execution_start("e1", "w1")
    assert synced == []
    with collector:
        deadline = time.monotonic() + 30
        while len(synced) < 2:
            assert time.monotonic() < deadline
            time.sleep(0.005)
    assert set(synced) == {True}


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
def test_a_forked_child_writes_into_a_set_of_its_own(collector: MetricsCollector, folder: Path) -> None:
    record_a_run(collector)
    pid = os.fork()
    if pid == 0:
        collector.record_step("e1", "s", status="completed", duration_ms=1)  # its parent's: not known here
        collector.record_execution_start("childs", "w1")
        is_well = collector.counters.recorded == 2 and collector.counters.quarantined == 1
        os._exit(0 if is_well else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    collector.record_execution_start("parents", "w1")
    starts = {
        tuple(record.execution_id for record in records_of(segment) if isinstance(record, ExecutionStart))
        for segment in folder.glob("*/*.seg")
    }
    assert starts == {("e1", "parents"), ("childs",)}


# --- where there is no spool -------------------------------------------------------------------------


def test_where_no_spool_can_be_made_rows_are_recorded_in_memory_and_that_is_said(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").touch()
    rows: list[Record] = []
    collector = MetricsCollector(rows.extend, spool_folder=tmp_path / "file" / "spool")
    record_a_run(collector)
    assert rows == []
    collector.stop()
    assert len(rows) >= 4
    assert collector.spool is None
    assert len([line for line in caplog.messages if "no spool can be made" in line]) == 1
    assert [problem.component for problem in read_problems()] == ["spool"]


def test_without_a_spool_and_without_a_callback_rows_wait_and_go_when_there_is_one(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").touch()
    collector = MetricsCollector(spool_folder=tmp_path / "file")
    record_a_run(collector)
    assert not collector.flush()
    assert (collector.counters.recorded, collector.counters.pending) == (4, 4)
    (tmp_path / "file").unlink()
    assert collector.flush()
    assert (collector.counters.delivered, collector.counters.pending) == (4, 0)
    assert len(records_in(tmp_path / "file")) >= 4
    assert read_problems() == []
    collector.stop()


def test_rows_that_even_memory_cannot_hold_are_counted_and_said(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").touch()
    collector = MetricsCollector(spool_folder=tmp_path / "file")
    assert collector.spool is not None
    collector.spool._memory_rows = 2
    record_a_run(collector)
    collector.flush()
    counters = collector.counters
    assert (counters.recorded, counters.pending, counters.dropped) == (4, 2, 2)
    assert [line for line in caplog.messages if "2 rows were refused" in line]
    collector.stop(1)
    assert collector.counters.dropped == 4  # what only memory had ends with it
