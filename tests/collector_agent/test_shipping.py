"""A robot without a daemon: its own process takes the spool to the store, until a daemon comes."""

import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from analytics_lib import TimeSeriesStore
from analytics_lib.records import AgentHeartbeat, ExecutionStart, QuarantinedRecord, Record, StepMetrics
from collector_agent import MetricsCollector
from collector_agent.deferred_store import DeferredStore
from collector_agent.machine.daemon_lock import DaemonLock
from collector_agent.recording.journal import payload_of
from collector_agent.recording.shipping import values_callback_of
from collector_agent.spool.writer import SpoolWriter
from tests.collector_agent.spool_frames import records_in
from tests.collector_agent.waiting import wait_for


class Sink:
    """A storage callback that keeps what it got, and fails while it is told to."""

    def __init__(self) -> None:
        self.rows: list[Record] = []
        self.is_away = False

    def __call__(self, records: list[Record]) -> None:
        if self.is_away:
            raise OSError("the store is away; password=hunter2")
        self.rows.extend(records)

    def starts(self) -> list[str]:
        return [row.execution_id for row in self.rows if isinstance(row, ExecutionStart)]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "spool"


@pytest.fixture
def sink() -> Sink:
    return Sink()


@pytest.fixture
def make(sink: Sink, folder: Path) -> Iterator[Callable[..., MetricsCollector]]:
    made: list[MetricsCollector] = []

    def make_collector(interval_sec: float = 0.02) -> MetricsCollector:
        made.append(MetricsCollector(sink, flush_interval_sec=interval_sec, spool_folder=folder))
        return made[-1]

    yield make_collector
    for collector in made:
        collector.stop(5)


def test_rows_arrive_while_the_robot_runs_and_the_spool_is_empty_after_its_end(
    make: Callable[..., MetricsCollector], sink: Sink, folder: Path
) -> None:
    with make() as collector:
        collector.record_execution_start("e1", "w1")
        wait_for(lambda: sink.starts() == ["e1"])
        collector.record_step("e1", "s", status="exploded", duration_ms=1)
        collector.record_execution_start("e2", "w1")
    assert sink.starts() == ["e1", "e2"]
    assert len([row for row in sink.rows if isinstance(row, QuarantinedRecord)]) == 1
    assert isinstance(sink.rows[-1], AgentHeartbeat)
    assert list(folder.iterdir()) == []


def test_with_the_store_away_rows_stay_and_the_next_robot_takes_them_along(
    make: Callable[..., MetricsCollector], sink: Sink, folder: Path
) -> None:
    sink.is_away = True
    began_s = time.monotonic()
    with make() as collector:
        collector.record_execution_start("e1", "w1")
    assert time.monotonic() - began_s < 5  # it does not insist: the rows are safe
    counters = collector.counters
    assert (counters.delivered, counters.pending, counters.dropped) == (1, 0, 0)
    assert counters.last_error == "StoreError: OSError: the store is away; password=<hidden>"
    assert any(isinstance(record, ExecutionStart) for record in records_in(folder))
    sink.is_away = False
    with make() as collector:
        collector.record_execution_start("e2", "w1")
    assert sorted(sink.starts()) == ["e1", "e2"]
    assert list(folder.iterdir()) == []


def test_a_daemon_that_runs_is_left_to_ship_and_one_that_comes_takes_over(
    make: Callable[..., MetricsCollector], sink: Sink, folder: Path
) -> None:
    collector = make()
    collector.start()
    collector.record_execution_start("e1", "w1")
    wait_for(lambda: sink.starts() == ["e1"])
    with DaemonLock():
        shipping = collector._delivery._shipping  # type: ignore[union-attr]  # it is durable
        wait_for(lambda: shipping is not None and shipping._forwarder is None)
        wait_for(lambda: "rpa-agent-forwarder" not in {thread.name for thread in threading.enumerate()})
        collector.record_execution_start("e2", "w1")
        collector.stop()
        assert sink.starts() == ["e1"]
    assert any(isinstance(record, ExecutionStart) for record in records_in(folder))


def test_a_frame_that_is_no_record_is_quarantined_and_the_rest_arrives(
    make: Callable[..., MetricsCollector], sink: Sink, folder: Path
) -> None:
    with make(3600) as collector:
        collector.record_execution_start("e1", "w1")
        assert collector.spool is not None
        [start] = records_in(folder)
        collector.spool.append(payload_of(start).replace(b'"w1"', b'"w\\u0000"'))
        collector.record_execution_start("e2", "w1")
    assert sink.starts() == ["e1", "e2"]
    [refused] = [row for row in sink.rows if isinstance(row, QuarantinedRecord)]
    assert "NUL" in refused.reason


def test_a_robot_that_wrote_nothing_leaves_nothing(
    make: Callable[..., MetricsCollector], sink: Sink, folder: Path
) -> None:
    make().stop()
    assert list(folder.iterdir()) == []
    assert sink.rows == []


# --- straight into our own store ---------------------------------------------------------------------


class _Filtering(TimeSeriesStore):
    """A store of somebody's own, which has something to say about records."""

    def write_metrics(self, records):  # type: ignore[no-untyped-def]  # as a user may write it
        return super().write_metrics(records)


def test_our_own_stores_take_values_and_other_callbacks_records(tmp_path: Path) -> None:
    with TimeSeriesStore(tmp_path / "a") as store, _Filtering(tmp_path / "b") as filtering:
        deferred = DeferredStore(str(tmp_path / "c"), "test")
        assert values_callback_of(store.write_metrics) == store.write_values
        assert values_callback_of(deferred.write_metrics) == deferred.write_values
        for callback in (print, Sink(), filtering.write_metrics, lambda rows: store.write_metrics(rows)):
            assert values_callback_of(callback) is None


def test_what_was_recorded_durably_stands_in_the_store(tmp_path: Path) -> None:
    with TimeSeriesStore(tmp_path / "store") as store:
        with MetricsCollector(store.write_metrics, spool_folder=tmp_path / "spool") as collector:
            collector.record_execution_start("e1", "w1")
            for number in range(100):
                collector.record_step("e1", f"step {number % 7}", status="completed", duration_ms=number)
            collector.record_execution_complete("e1", status="completed", attributes={"tags": "v"})
        now = datetime.now(UTC)
        rows = store.query_range(now - timedelta(hours=1), now + timedelta(minutes=1))
    assert [len(rows[kind]) for kind in ("execution", "step")] == [1, 100]
    durations = [row.duration_ms for row in rows["step"] if isinstance(row, StepMetrics)]
    assert sorted(durations) == [float(number) for number in range(100)]


def test_a_writer_alone_is_what_others_record_into(make: Callable[..., MetricsCollector]) -> None:
    collector = make()
    assert isinstance(collector.spool, SpoolWriter)
    assert MetricsCollector(print).spool is None
