"""Detection killed at any statement, run twice at once, and overtaken by late rows: the same anomalies.

Each suite has a negative control: with the protection taken away it must fail.
"""

import contextlib
import multiprocessing
import os
import threading
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import Connection, Engine, delete, event, insert, select, text

from analytics_lib import TimeSeriesStore, pipeline, schema
from analytics_lib.pipeline import anomaly_detection
from analytics_lib.store import anomaly_rows, ledger
from tests.anomaly.fleet import AS_OF, HOURS, heartbeats, runs, write_baseline
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
from tests.make import NOON, pending_marks, table_rows

Rows = list[tuple[Any, ...]]


def troubles(location: str) -> None:
    with TimeSeriesStore(location, clock=lambda: NOON + timedelta(days=2)) as store:
        write_baseline(store)
        normal = [hour for hour in HOURS if hour not in (-5, -3)]
        store.write_metrics(runs(normal) + runs([-3], duration_ms=40_000.0) + heartbeats())
        store.write_metrics(heartbeats("BOT-02", until_min=-240))
        pipeline.aggregate_pending(location, as_of=AS_OF)


@pytest.fixture
def location(copy_of: CopyOf) -> str:
    """An hour slow, one without runs, one host dead, and the marks of the last day."""
    return copy_of(troubles)


@pytest.fixture
def store(location: str) -> Iterator[TimeSeriesStore]:
    with TimeSeriesStore(location, clock=lambda: NOON + timedelta(days=2)) as opened:
        yield opened


def detect(location: str) -> dict[str, Any]:
    return pipeline.detect_anomalies(location, as_of=AS_OF, time_zone="UTC")


def anomalies(store: TimeSeriesStore) -> Rows:
    return table_rows(store.engine, "anomaly")


def marks_of(store: TimeSeriesStore) -> list[dict[str, Any]]:
    with store.engine.connect() as connection:
        return [dict(row) for row in connection.execute(select(schema.pending)).mappings()]


def begin_again(store: TimeSeriesStore, marks: list[dict[str, Any]], kept: Rows) -> None:
    """The store as it was before: those marks, those anomalies."""
    names = [column.name for column in schema.anomaly.columns]
    with store.engine.begin() as connection:
        for table in (schema.anomaly, schema.pending):
            connection.execute(delete(table))
        connection.execute(insert(schema.pending), marks)
        if kept:
            connection.execute(insert(schema.anomaly), [dict(zip(names, row, strict=True)) for row in kept])


def survives_kills(
    store: TimeSeriesStore,
    location: str,
    patch: Callable[[], None],
    points: Points = last_before_each_change,
) -> bool:
    """Whether the rows are those of an undisturbed run, wherever the first attempt was killed.

    The attempt has to withdraw an anomaly, too: late rows have come since it was found.
    """
    detect(location)
    kept = anomalies(store)
    store.write_metrics(runs([-5], name="late") + runs([-9], name="more", n=5, duration_ms=40_000.0))
    pipeline.aggregate_pending(location, as_of=AS_OF)
    marks = marks_of(store)
    detect(location)
    undisturbed = anomalies(store)
    assert {row[-3] for row in undisturbed} == {"open", "withdrawn"}
    begin_again(store, marks, kept)
    seen = seen_by_others(lambda: detect(location), location, anomalies_and_marks, patch)
    assert len(seen) > 15, f"only {len(seen)} points were found"
    for point in points(seen):
        begin_again(store, marks, kept)
        assert killed_at(point, lambda: detect(location), patch) == 9
        assert digest(anomalies_and_marks(store.engine)) == seen[point - 1]
        if anomalies(store) != kept or len(marks_of(store)) != len(marks):
            return False
        detect(location)
        if anomalies(store) != undisturbed or pending_marks(store.engine, "anomaly_detection"):
            return False
    return True


def anomalies_and_marks(engine: Engine) -> list[Any]:
    return [table_rows(engine, "anomaly"), table_rows(engine, "pending", without=("id",))]


def delete_marks_first() -> None:
    """The protection removed: marks go in a transaction of their own, before anything is judged."""
    read = anomaly_rows.read_marks

    def read_and_delete(connection: Connection, closed_before_us: int) -> ledger.Marks:
        marks = read(connection, closed_before_us)
        ledger.delete_marks(connection, marks)
        connection.connection.driver_connection.commit()  # type: ignore[union-attr]  # both drivers have it
        return marks

    anomaly_rows.read_marks = read_and_delete


def test_killed_wherever_that_leaves_something_else_the_next_run_finishes(
    store: TimeSeriesStore, location: str
) -> None:
    assert survives_kills(store, location, nothing)


@pytest.mark.full_faults
def test_killed_at_any_statement_the_next_run_finishes(store: TimeSeriesStore, location: str) -> None:
    assert survives_kills(store, location, nothing, every_point)


def test_control_marks_deleted_before_the_verdicts_are_lost_by_a_kill(
    store: TimeSeriesStore, location: str
) -> None:
    assert not survives_kills(store, location, delete_marks_first)


def run_two_at_once(location: str, patch: Callable[[], None]) -> list[int]:
    """Exit codes of two detections; each waits a moment for the other just before it saves."""
    barrier = multiprocessing.get_context("fork").Barrier(2)
    save = anomaly_rows.save_anomalies

    def meet_then_save(*arguments: Any) -> None:
        # A broken barrier: the other one waits for the lock, as it should, or is done.
        with contextlib.suppress(threading.BrokenBarrierError):
            barrier.wait(timeout=1.0)
        save(*arguments)

    def work() -> None:
        patch()
        anomaly_rows.save_anomalies = meet_then_save  # the meeting point
        detect(location)

    return [exit_code(pid) for pid in [in_a_process(work), in_a_process(work)]]


def test_two_at_once_leave_the_rows_of_one(store: TimeSeriesStore, location: str) -> None:
    marks = marks_of(store)
    detect(location)
    undisturbed = anomalies(store)
    assert len(undisturbed) > 3
    begin_again(store, marks, [])
    assert run_two_at_once(location, nothing) == [0, 0]
    assert anomalies(store) == undisturbed
    assert pending_marks(store.engine, "anomaly_detection") == []


def somebody_waits(store: TimeSeriesStore) -> bool:
    """Whether a process stands before an advisory lock of Postgres."""
    query = text("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted")
    with store.engine.connect() as connection:
        return bool(connection.execute(query).scalar_one())


def late_row_overtakes(
    store: TimeSeriesStore, location: str, monkeypatch: pytest.MonkeyPatch, lock: Callable[[Connection], None]
) -> list[Any]:
    """States of the missing hour when its late row arrives while an older verdict waits to be saved.

    The first detection saw no row, and is about to save; the late row and a second detection come in.
    """
    save = anomaly_rows.save_anomalies
    second: list[int] = []

    def overtaken(connection: Connection, rows: Any) -> None:
        if not second:
            second.append(0)  # which saves and overtakes nobody
            with TimeSeriesStore(location, clock=lambda: NOON + timedelta(days=2)) as agent:
                agent.write_metrics(runs([-5], name="late"))
            pipeline.aggregate_pending(location, as_of=AS_OF)
            second[0] = in_a_process(lambda: detect(location))
            with contextlib.suppress(ChildProcessError):
                for _ in range(600):  # until the second one has ended, or has to wait
                    if os.waitpid(second[0], os.WNOHANG)[0] or somebody_waits(store):
                        break
                    threading.Event().wait(0.1)
        save(connection, rows)

    monkeypatch.setattr(anomaly_rows, "save_anomalies", overtaken)
    monkeypatch.setattr(anomaly_rows, "lock_anomalies", lock)
    detect(location)
    with contextlib.suppress(ChildProcessError):
        os.waitpid(second[0], 0)
    table = schema.anomaly
    with store.engine.connect() as connection:
        query = select(table.c.state).where(table.c.kind == "missing_runs")
        return list(connection.execute(query).scalars())


# On SQLite nobody can commit in the middle of a detection: BEGIN IMMEDIATE has made it the one writer.
def test_an_older_verdict_never_overwrites_a_newer_one(
    postgres_location: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with _overtaking(postgres_location) as store:
        lock = anomaly_rows.lock_anomalies
        assert late_row_overtakes(store, postgres_location, monkeypatch, lock) == ["withdrawn"]


def test_control_without_the_lock_an_older_verdict_stays(
    postgres_location: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with _overtaking(postgres_location) as store:
        states = late_row_overtakes(store, postgres_location, monkeypatch, lambda _: None)
        assert states == ["open"]


@contextlib.contextmanager
def _overtaking(location: str) -> Iterator[TimeSeriesStore]:
    with TimeSeriesStore(location, clock=lambda: NOON + timedelta(days=2)) as store:
        write_baseline(store)
        store.write_metrics(runs([hour for hour in HOURS if hour != -5]) + heartbeats())
        pipeline.aggregate_pending(location, as_of=AS_OF)
        yield store


def test_the_stage_has_one_transaction(store: TimeSeriesStore, location: str) -> None:
    commits: list[int] = []
    event.listen(Engine, "commit", counted := lambda *_: commits.append(1))
    try:
        detect(location)
    finally:
        event.remove(Engine, "commit", counted)
    assert len(commits) == 1
    assert anomaly_detection.ANOMALIES_ASSET == "rpa_anomalies"
