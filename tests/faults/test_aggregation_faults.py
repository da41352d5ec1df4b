"""Aggregation killed at any statement, run twice at once, and overtaken by late rows: the same rows.

Each suite has a negative control: with the protection taken away it must fail.
"""

import contextlib
import multiprocessing
import threading
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pandas as pd
import pytest
from sqlalchemy import Connection, Engine, delete, func, insert, select

from analytics_lib import TimeSeriesStore, pipeline, schema
from analytics_lib.pipeline import hourly_aggregation
from analytics_lib.records import Record
from analytics_lib.store import ledger, rollup_rows
from analytics_lib.windows import hour_of, to_us
from tests.databases import CopyOf
from tests.faults.processes import (
    Points,
    digest,
    every_point,
    exit_code,
    in_a_process,
    killed_at,
    last_before_each_change,
    nothing,
    seen_by_others,
)
from tests.make import NOON, at, execution, pending_marks, rollups, sample, step, table_rows

LATER = NOON + timedelta(days=2)
Patch = Callable[[], None]


def fleet() -> list[Record]:
    records: list[Record] = []
    for n in range(6):
        ended = at(n * 290 - 900)  # on two days
        waited = {"queue": "mails", "queued_at": ended - timedelta(minutes=n)}
        records += [execution(f"e{n}", ended, workflow_id=f"w{n % 3}", duration_ms=n + 0.1, **waited)]
        records += [step(f"e{n}", 1, ended, workflow_id=f"w{n % 3}"), sample(ended, host=f"BOT-{n % 2}")]
    return records


def the_fleet(location: str) -> None:
    with TimeSeriesStore(location, clock=lambda: LATER) as store:
        store.write_metrics(fleet())


@pytest.fixture
def location(copy_of: CopyOf) -> str:
    return copy_of(the_fleet)


@pytest.fixture
def store(location: str) -> Iterator[TimeSeriesStore]:
    with TimeSeriesStore(location, clock=lambda: LATER) as opened:
        yield opened


def aggregate(location: str) -> dict[str, Any]:
    return pipeline.aggregate_pending(location, as_of=LATER)


def forget_rollups(store: TimeSeriesStore, marks: list[dict[str, Any]]) -> None:
    with store.engine.begin() as connection:
        for table in (*schema.ROLLUP_TABLES.values(), *schema.DAILY_TABLES.values(), schema.pending):
            connection.execute(delete(table))
        connection.execute(insert(schema.pending), marks)


def read_marks(store: TimeSeriesStore) -> list[dict[str, Any]]:
    with store.engine.connect() as connection:
        return [dict(row) for row in connection.execute(select(schema.pending)).mappings()]


def survives_kills(
    store: TimeSeriesStore, location: str, patch: Patch, points: Points = last_before_each_change
) -> bool:
    """Whether the rows are those of an undisturbed run, wherever the first attempt was killed."""
    marks = read_marks(store)
    aggregate(location)
    undisturbed = rollups(store.engine)
    assert all(undisturbed.values())
    forget_rollups(store, marks)
    seen = seen_by_others(lambda: aggregate(location), location, rollups_and_marks, patch)
    assert len(seen) > 30, f"only {len(seen)} points were found"
    for point in points(seen):
        forget_rollups(store, marks)
        assert killed_at(point, lambda: aggregate(location), patch) == 9
        assert digest(rollups_and_marks(store.engine)) == seen[point - 1]
        aggregate(location)
        if rollups(store.engine) != undisturbed or pending_marks(store.engine):
            return False
    return True


def rollups_and_marks(engine: Engine) -> list[Any]:
    return [rollups(engine), table_rows(engine, "pending", without=("id",))]


def delete_marks_first() -> None:
    """The protection removed: marks go in a transaction of their own, before the rows are written."""
    whole = hourly_aggregation._roll_up_day

    def broken(engine: Engine, unit: ledger.PendingDay, closed_before_us: int, *rest: Any) -> set[int]:
        with engine.begin() as connection:
            marks = ledger.read_marks(connection, "hourly_rollup", unit, closed_before_us)
        with engine.begin() as connection:
            ledger.delete_marks(connection, marks)
        keep, ledger.read_marks = ledger.read_marks, lambda *_: marks
        hours = whole(engine, unit, closed_before_us, *rest)
        ledger.read_marks = keep
        return hours

    hourly_aggregation._roll_up_day = broken


def test_killed_wherever_that_leaves_something_else_the_next_run_finishes(
    store: TimeSeriesStore, location: str
) -> None:
    assert survives_kills(store, location, nothing)


@pytest.mark.full_faults
def test_killed_at_any_statement_the_next_run_finishes(store: TimeSeriesStore, location: str) -> None:
    assert survives_kills(store, location, nothing, every_point)


def test_control_marks_deleted_before_the_rows_are_lost_by_a_kill(
    store: TimeSeriesStore, location: str
) -> None:
    assert not survives_kills(store, location, delete_marks_first)


def rollups_seen_while_replaced(store: TimeSeriesStore, location: str, patch: Patch) -> set[str]:
    """What others saw of the rollups while all of them were computed again."""
    aggregate(location)
    pipeline.mark_window(location, window_start=at(-3000), window_end=at(3000))
    seen = seen_by_others(lambda: aggregate(location), location, rollups, patch)
    assert len(seen) > 30
    assert pending_marks(store.engine) == []
    return set(seen)


def in_two_transactions() -> None:
    """The protection removed: the old rows go before the new ones come."""
    whole = rollup_rows.replace_rollups

    def broken(connection: Connection, source: Any, shards: Any, rows: pd.DataFrame) -> None:
        whole(connection, source, shards, rows[:0])
        connection.connection.driver_connection.commit()  # type: ignore[union-attr]  # both drivers have it
        whole(connection, source, shards, rows)

    rollup_rows.replace_rollups = broken


def test_a_reader_never_sees_an_hour_without_its_rows(store: TimeSeriesStore, location: str) -> None:
    assert len(rollups_seen_while_replaced(store, location, nothing)) == 1


def test_control_in_two_transactions_a_reader_sees_hours_without_rows(
    store: TimeSeriesStore, location: str
) -> None:
    assert len(rollups_seen_while_replaced(store, location, in_two_transactions)) > 1


def run_two_at_once(location: str, patch: Patch) -> list[int]:
    """Exit codes of two aggregations; each waits a moment for the other just before it writes."""
    barrier = multiprocessing.get_context("fork").Barrier(2)
    write = rollup_rows.replace_rollups

    def meet_then_write(*arguments: Any) -> None:
        # A broken barrier: the other one waits for the lock, as it should, or is done.
        with contextlib.suppress(threading.BrokenBarrierError):
            barrier.wait(timeout=1.0)
        write(*arguments)

    def work() -> None:
        patch()
        rollup_rows.replace_rollups = meet_then_write  # type: ignore[assignment]  # the meeting point
        aggregate(location)

    return [exit_code(pid) for pid in [in_a_process(work), in_a_process(work)]]


def without_locks() -> None:
    """The protection removed: no advisory lock, and transactions that begin as readers."""
    ledger.lock_shard = lambda *_: None  # type: ignore[assignment]  # as intended
    begin = Engine.begin
    Engine.begin = lambda engine: begin(engine.execution_options(reads_only=True))  # type: ignore[method-assign]  # as intended


def test_two_at_once_leave_the_rows_of_one(store: TimeSeriesStore, location: str) -> None:
    marks = read_marks(store)
    aggregate(location)
    undisturbed = rollups(store.engine)
    forget_rollups(store, marks)
    assert run_two_at_once(location, nothing) == [0, 0]
    assert rollups(store.engine) == undisturbed
    assert pending_marks(store.engine) == []


def test_control_without_locks_two_at_once_disturb_each_other(store: TimeSeriesStore, location: str) -> None:
    assert sorted(run_two_at_once(location, without_locks)) != [0, 0]


def overtake(monkeypatch: pytest.MonkeyPatch, location: str, forget: Callable[..., None]) -> None:
    """While a run's hour is computed, and just before its marks go, an agent commits one more run."""
    late = [execution("late", at(-29), workflow_id="w0", duration_ms=5.0)]  # the hour and workflow of e3
    hour_us = hour_of(to_us(late[0].ended_at))

    def delete_marks(connection: Connection, marks: ledger.Marks) -> None:
        if hour_us in {hour for hour, _ in marks.shards}:
            with TimeSeriesStore(location, clock=lambda: LATER) as agent:
                agent.write_metrics(late)
        forget(connection, marks)

    monkeypatch.setattr(ledger, "delete_marks", delete_marks)


def counted(store: TimeSeriesStore) -> int:
    table = schema.rollup_execution_hourly
    with store.engine.connect() as connection:
        return int(connection.execute(select(func.sum(table.c.n))).scalar_one())


def aggregate_overtaken(
    postgres_location: str, monkeypatch: pytest.MonkeyPatch, forget: Callable[..., None]
) -> int:
    """How many runs are counted in the end, of 7."""
    with TimeSeriesStore(postgres_location, clock=lambda: LATER) as store:
        store.write_metrics(fleet())
        overtake(monkeypatch, postgres_location, forget)
        aggregate(postgres_location)
        monkeypatch.undo()
        aggregate(postgres_location)
        return counted(store)


# On SQLite nobody can commit in the middle of a unit: BEGIN IMMEDIATE has made it the one writer.
def test_a_row_that_arrives_while_its_hour_is_computed_is_counted(
    postgres_location: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert aggregate_overtaken(postgres_location, monkeypatch, ledger.delete_marks) == 7


def test_control_forgetting_all_marks_of_the_day_loses_that_row(
    postgres_location: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def forget_the_hours(connection: Connection, marks: ledger.Marks) -> None:
        hours = {hour for hour, _ in marks.shards}
        connection.execute(delete(schema.pending).where(schema.pending.c.hour_us.in_(hours)))

    assert aggregate_overtaken(postgres_location, monkeypatch, forget_the_hours) == 6
