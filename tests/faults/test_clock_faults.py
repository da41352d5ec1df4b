"""Clocks that are set back and forth, daylight saving, other time zones: rows keep order, keys, durations."""

import contextlib
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from analytics_lib import TimeSeriesStore
from analytics_lib.record_values import FIELDS, moment_us_of
from analytics_lib.windows import to_us
from collector_agent import MetricsCollector
from collector_agent.forwarder import Forwarder
from collector_agent.recording import heartbeats
from tests.faults.invariant import judge
from tests.faults.numbered_rows import ROWS_PER_RUN, record, row_of_values, rows, rows_in_database
from tests.make import NOON

pytestmark = pytest.mark.portable
Delivered = list[tuple[str, Any]]
SPRING = datetime(2026, 3, 29, 0, 59, 59, tzinfo=UTC)  # a second before Berlin's 2 o'clock becomes 3
AUTUMN = datetime(2026, 10, 25, 0, 59, 59, tzinfo=UTC)  # a second before Berlin's 3 o'clock becomes 2


class Clock:
    """The wall clock of this process, set by hand; it goes on a millisecond at each look."""

    def __init__(self, patch: pytest.MonkeyPatch, now: datetime = NOON) -> None:
        self.set(now)
        patch.setattr(time, "time_ns", self._time_ns)

        class Moment(datetime):
            @classmethod
            def now(cls, tz: Any = None) -> datetime:  # type: ignore[override]  # what it is replaced by
                return clock.now.astimezone(tz)

        clock = self
        patch.setattr(heartbeats, "datetime", Moment)

    def set(self, now: datetime) -> None:
        self._ns = to_us(now) * 1000

    def move(self, **ahead: float) -> None:
        self._ns += round(timedelta(**ahead).total_seconds() * 1e9)

    @property
    def now(self) -> datetime:
        return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=self._ns // 1000)

    def _time_ns(self) -> int:
        self._ns += 1_000_000
        return self._ns


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(monkeypatch)


@contextlib.contextmanager
def recording(spool: Path) -> Iterator[MetricsCollector]:
    collector = MetricsCollector(
        None, spool_folder=spool, host="BOT", flush_interval_sec=3600, heartbeat_interval_sec=0.000_001
    )
    yield collector
    collector.stop()


def ship(spool: Path, store: TimeSeriesStore) -> Delivered:
    """What arrived, in this order."""
    delivered: Delivered = []

    def deliver(batch: Any) -> None:
        store.write_values(batch)
        delivered.extend(batch)

    Forwarder(spool, deliver).run_once()
    return delivered


@pytest.fixture
def store(tmp_path: Path) -> Iterator[TimeSeriesStore]:
    with TimeSeriesStore(str(tmp_path / "store"), clock=lambda: NOON + timedelta(days=365)) as opened:
        yield opened


def value(kind: str, values: Any, name: str) -> Any:
    return values[FIELDS[kind].index(name)]


JUMPS = ({"hours": 1}, {"hours": -3}, {"seconds": -1}, {"days": 30}, {"days": -29}, {"microseconds": -1})


def run_between_jumps(clock: Clock, spool: Path) -> list[datetime]:
    """Whole runs, and one around all of them, with the clock set between; gives what it showed then."""
    shown = []
    with recording(spool) as collector:
        collector.record_execution_start("around", "w")
        for run, jump in enumerate(JUMPS):
            for number in range(run * ROWS_PER_RUN, (run + 1) * ROWS_PER_RUN):
                record(collector, "robot", number)
            assert collector.flush()
            shown.append(clock.now)
            clock.move(**jump)
        clock.set(NOON - timedelta(hours=2))
        collector.record_execution_complete("around", status="completed")
    return shown


def test_rows_keep_their_order_and_each_arrives_once(
    clock: Clock, tmp_path: Path, store: TimeSeriesStore
) -> None:
    run_between_jumps(clock, tmp_path / "spool")
    delivered = ship(tmp_path / "spool", store)
    all_rows = list(rows("robot", len(JUMPS) * ROWS_PER_RUN))
    found = [row for kind, values in delivered if (row := row_of_values(kind, values)) is not None]
    assert [row for row in found if row[0] == "robot"] == all_rows
    assert judge(all_rows, rows_in_database(store.engine, "robot")).complaints == []


def test_a_duration_is_that_of_a_clock_nobody_sets(
    clock: Clock, tmp_path: Path, store: TimeSeriesStore
) -> None:
    run_between_jumps(clock, tmp_path / "spool")
    [end] = [
        values
        for kind, values in ship(tmp_path / "spool", store)
        if kind == "execution" and value(kind, values, "execution_id") == "around"
    ]
    assert 0 <= value("execution", end, "duration_ms") < 60_000
    assert value("execution", end, "clock_skewed")
    assert value("execution", end, "started_at_us") <= value("execution", end, "ended_at_us")


def test_control_a_duration_by_the_wall_clock_does_not_survive(
    clock: Clock, tmp_path: Path, store: TimeSeriesStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(time, "monotonic_ns", time.time_ns)
    run_between_jumps(clock, tmp_path / "spool")
    ends = [
        values
        for kind, values in ship(tmp_path / "spool", store)
        if kind == "execution" and value(kind, values, "execution_id") == "around"
    ]
    assert not ends or not 0 <= value("execution", ends[0], "duration_ms") < 60_000


def test_an_agent_never_says_that_it_is_complete_to_a_moment_that_has_not_come(
    clock: Clock, tmp_path: Path, store: TimeSeriesStore
) -> None:
    """And what it had recorded by then comes before that heartbeat."""
    shown = run_between_jumps(clock, tmp_path / "spool")
    delivered = ship(tmp_path / "spool", store)
    at = [n for n, (kind, _) in enumerate(delivered) if kind == "agent_heartbeat"]
    assert len(at) == len(JUMPS) + 1
    for run, moment in enumerate(shown):
        kind, values = delivered[at[run]]
        assert value(kind, values, "complete_to_us") <= value(kind, values, "sent_at_us") <= to_us(moment)
        before = {row_of_values(*delivered[n]) for n in range(at[run])}
        assert before.issuperset(rows("robot", (run + 1) * ROWS_PER_RUN))


@pytest.mark.parametrize(
    "lost_clock", [datetime(1970, 1, 1, 0, 0, 1, tzinfo=UTC), NOON + timedelta(days=400)]
)
def test_rows_of_a_clock_that_is_plainly_wrong_are_kept_aside_and_the_next_ones_arrive(
    clock: Clock, tmp_path: Path, store: TimeSeriesStore, lost_clock: datetime
) -> None:
    with recording(tmp_path / "spool") as collector:
        clock.set(lost_clock)
        for number in range(4):
            record(collector, "robot", number)
        clock.set(NOON)
        for number in range(ROWS_PER_RUN, 2 * ROWS_PER_RUN):
            record(collector, "robot", number)
    ship(tmp_path / "spool", store)
    found = list(rows_in_database(store.engine))
    # A start that lies ahead is no reason to refuse it: only what ended may not lie in the future.
    assert len([row for row in found if row[0] == "quarantined" or row == ("robot", 0)]) == 4
    arrived = [row for row in found if row[0] == "robot" and row[1] > 3]
    assert judge(rows("robot", 2 * ROWS_PER_RUN, ROWS_PER_RUN), arrived).complaints == []


@pytest.mark.parametrize("change", [SPRING, AUTUMN])
def test_daylight_saving_leaves_times_alone(
    clock: Clock, tmp_path: Path, store: TimeSeriesStore, change: datetime, monkeypatch: pytest.MonkeyPatch
) -> None:
    if hasattr(time, "tzset"):  # not on Windows, where the zone is the machine's
        monkeypatch.setenv("TZ", "Europe/Berlin")
        time.tzset()
    clock.set(change)
    with recording(tmp_path / "spool") as collector:
        for number in range(2 * ROWS_PER_RUN):
            record(collector, "robot", number)
            clock.move(milliseconds=199)
    if hasattr(time, "tzset"):
        monkeypatch.undo()
        time.tzset()
    moments = [
        moment_us_of(kind, values)
        for kind, values in ship(tmp_path / "spool", store)
        if row_of_values(kind, values) is not None
    ]
    assert moments == [to_us(change + timedelta(milliseconds=1 + 200 * n)) for n in range(2 * ROWS_PER_RUN)]
