"""Insights in the database, on SQLite and on Postgres: kept over days, killed, doubled, dry.

The suites of kills and of two at once have a negative control: without the protection they must fail.
"""

import contextlib
import multiprocessing
import threading
import time
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from typing import Any

import pandas as pd
import pytest
from sqlalchemy import Connection, Engine, delete, insert, update

from analytics_lib import TimeSeriesStore, schema
from analytics_lib.errors import SettingsError
from analytics_lib.insight.lifecycle import COLUMNS
from analytics_lib.pipeline.insight_generation import generate_insights
from analytics_lib.store import insight_rows, rollup_rows
from analytics_lib.windows import DAY_US, from_us
from tests.databases import CopyOf, with_tables
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
from tests.insight.weeks import END, Raw, anomaly, inputs, runs
from tests.make import table_rows

NOW = from_us(END)
TOMORROW, AFTER_TOMORROW = NOW + timedelta(days=1), NOW + timedelta(days=2)
Patch = Callable[[], None]


def a_spike_until(last: int) -> Raw:
    return runs(15 * 24, 25, n=2) + runs(24, last, n=2, failed=1)


def fill(engine: Engine, raw: Raw, anomalies: tuple[dict[str, Any], ...] = ()) -> None:
    """Rollups of the runs and of one step of each, and anomalies, straight into the tables."""
    given = inputs(raw, [row | {"step_id": "book", "step_name": "book", "depth": 0} for row in raw])
    with engine.begin() as connection:
        for source, rows in (("execution", given.executions), ("step", given.steps)):
            shards = set(zip(rows["hour_us"], rows["bucket"], strict=True))
            rollup_rows.replace_rollups(connection, source, shards, rows)  # type: ignore[arg-type]  # a source
        if anomalies:
            connection.execute(insert(schema.anomaly), list(anomalies))


def two_troubles(location: str) -> None:
    with TimeSeriesStore(location) as store:
        silent = [row | {"workflow_id": "payroll"} for row in runs(20 * 24, 10)]
        gone = tuple(anomaly("missing_runs", ago, workflow_id="payroll") for ago in range(9, -72, -1))
        fill(store.engine, a_spike_until(-72) + silent, gone)


@pytest.fixture
def location(copy_of: CopyOf) -> str:
    """Half of the runs fail for three days, and another workflow goes silent."""
    return copy_of(two_troubles)


@pytest.fixture
def store(location: str) -> Iterator[TimeSeriesStore]:
    with TimeSeriesStore(location) as opened:
        yield opened


def judge(location: str, as_of: datetime = NOW, **more: Any) -> dict[str, Any]:
    return generate_insights(location, as_of=as_of, time_zone="UTC", **more)


def insights(store: TimeSeriesStore) -> list[tuple[Any, ...]]:
    return all_insights(store.engine)


def current(store: TimeSeriesStore, as_of: datetime = NOW) -> pd.DataFrame:
    with store.engine.connect() as connection:
        return insight_rows.read_current(connection, END + int((as_of - NOW) / timedelta(days=1)) * DAY_US)


def test_insights_are_written_and_read_back(store: TimeSeriesStore, location: str) -> None:
    assert judge(location) == {"insights": 2, "new": 2, "ongoing": 0, "resolved": 0, "dry_run": False}
    found = current(store)
    assert list(found.columns) == COLUMNS
    assert list(found["rank"]) == [1, 2]
    assert sorted(found["rule"]) == ["failure_spike", "silent_workflow"]
    assert set(found["found_at_us"]) == {END}


def test_twice_the_rows_are_the_same(store: TimeSeriesStore, location: str) -> None:
    judge(location)
    once = insights(store)
    judge(location)
    assert insights(store) == once


def test_found_at_and_identity_are_kept_until_it_is_resolved(store: TimeSeriesStore, location: str) -> None:
    judge(location)
    ids = set(current(store)["insight_id"])
    assert judge(location, TOMORROW)["ongoing"] == 2
    found = current(store, TOMORROW)
    assert set(found["insight_id"]) == ids
    assert set(found["found_at_us"]) == {END}
    with store.engine.begin() as connection:
        connection.execute(delete(schema.rollup_execution_hourly))
        connection.execute(update(schema.anomaly).values(state="withdrawn"))
    done = judge(location, AFTER_TOMORROW)
    assert done == {"insights": 0, "new": 0, "ongoing": 0, "resolved": 2, "dry_run": False}
    assert judge(location, AFTER_TOMORROW)["resolved"] == 2  # those of this moment, however often
    with store.engine.connect() as connection:
        assert insight_rows.read_insights(connection).empty
        assert set(insight_rows.read_insights(connection, resolved=True)["rank"]) == {0}


def test_a_dry_run_writes_nothing(store: TimeSeriesStore, location: str) -> None:
    done = judge(location, dry_run=True)
    assert (done["new"], done["dry_run"]) == (2, True)
    assert insights(store) == []


def test_an_earlier_moment_changes_nothing(
    store: TimeSeriesStore, location: str, caplog: pytest.LogCaptureFixture
) -> None:
    judge(location, TOMORROW)
    before = insights(store)
    judge(location)
    assert insights(store) == before
    assert "nothing was changed" in caplog.text


def test_an_empty_store_has_no_insights(copy_of: CopyOf) -> None:
    location = copy_of(with_tables)
    assert judge(location) == {"insights": 0, "new": 0, "ongoing": 0, "resolved": 0, "dry_run": False}


def test_an_unknown_time_zone_is_said(location: str) -> None:
    with pytest.raises(SettingsError, match="Mars"):
        generate_insights(location, as_of=NOW, time_zone="Mars/Olympus")


def test_test_environments_are_left_out_and_aliases_count_for_their_workflow(copy_of: CopyOf) -> None:
    location = copy_of(with_tables)
    with TimeSeriesStore(location) as store:
        old, new = a_spike_until(1)[: 14 * 24 * 2], a_spike_until(1)[14 * 24 * 2 :]
        renamed = [row | {"workflow_id": "invoice-v2"} for row in new]
        drill = [row | {"workflow_id": "drill", "environment": "test"} for row in a_spike_until(1)]
        fill(store.engine, [row | {"environment": ""} for row in old + renamed] + drill)
        with store.engine.begin() as connection:
            row = {"alias": "invoice-v2", "workflow_id": "invoice"}
            connection.execute(insert(schema.workflow_alias), [row])
        judge(location)
        found = current(store)
    subjects = found[["rule", "workflow_id", "environment"]].itertuples(index=False, name=None)
    assert list(subjects) == [("failure_spike", "invoice", "production")]


def test_resolved_ones_are_remembered_for_fourteen_days(store: TimeSeriesStore, location: str) -> None:
    judge(location)
    with store.engine.begin() as connection:
        values = {"state": "resolved", "resolved_at_us": END, "rank": 0}
        connection.execute(update(schema.insight).values(**values))
        assert len(insight_rows.read_current(connection, END + 14 * DAY_US)) == 2
        assert insight_rows.read_current(connection, END + 14 * DAY_US + 1).empty


# --- killed and doubled ------------------------------------------------------------------------


def put_back(store: TimeSeriesStore, rows: pd.DataFrame) -> None:
    with store.engine.begin() as connection:
        connection.execute(delete(schema.insight))
        insight_rows.save_insights(connection, rows)


def survives_kills(
    store: TimeSeriesStore, location: str, patch: Patch, points: Points = last_before_each_change
) -> bool:
    """Whether the rows are those of an undisturbed second day, wherever its first attempt was killed."""
    judge(location)
    yesterday = current(store)
    judge(location, TOMORROW)
    undisturbed = insights(store)
    put_back(store, yesterday)
    seen = seen_by_others(lambda: judge(location, TOMORROW), location, all_insights, patch)
    assert len(seen) > 6, f"only {len(seen)} points were found"
    for point in points(seen):
        put_back(store, yesterday)
        assert killed_at(point, lambda: judge(location, TOMORROW), patch) == 9
        assert digest(all_insights(store.engine)) == seen[point - 1]
        judge(location, TOMORROW)
        if insights(store) != undisturbed:
            return False
    return True


def all_insights(engine: Engine) -> list[tuple[Any, ...]]:
    return table_rows(engine, "insight")


def delete_first() -> None:
    """The protection removed: the old rows go in a transaction of their own, before the new ones come."""
    save = insight_rows.save_insights

    def broken(connection: Connection, rows: pd.DataFrame) -> None:
        connection.execute(delete(schema.insight))
        connection.connection.driver_connection.commit()  # type: ignore[union-attr]  # both drivers have it
        save(connection, rows)

    insight_rows.save_insights = broken


def test_killed_wherever_that_leaves_something_else_the_next_run_finishes(
    store: TimeSeriesStore, location: str
) -> None:
    assert survives_kills(store, location, nothing)


@pytest.mark.full_faults
def test_killed_at_any_statement_the_next_run_finishes(store: TimeSeriesStore, location: str) -> None:
    assert survives_kills(store, location, nothing, every_point)


def test_control_rows_deleted_before_the_new_ones_come_lose_their_past(
    store: TimeSeriesStore, location: str
) -> None:
    assert not survives_kills(store, location, delete_first)


def run_two_at_once(location: str, patch: Patch) -> list[int]:
    """Tomorrow's run and the next day's, which both have read when the first one writes; it writes last."""
    barrier = multiprocessing.get_context("fork").Barrier(2)
    save = insight_rows.save_insights

    def work(as_of: datetime) -> None:
        def meet_then_save(connection: Connection, rows: pd.DataFrame) -> None:
            # A broken barrier: the other one waits for the lock, as it should, or is done.
            with contextlib.suppress(threading.BrokenBarrierError):
                barrier.wait(timeout=2.0)
            time.sleep(1.0 if as_of == TOMORROW else 0.0)
            save(connection, rows)

        patch()
        insight_rows.save_insights = meet_then_save
        judge(location, as_of)

    return [exit_code(p) for p in [in_a_process(lambda d=d: work(d)) for d in (TOMORROW, AFTER_TOMORROW)]]


def without_locks() -> None:
    """The protection removed: no advisory lock, and transactions that begin as readers."""
    insight_rows.lock_insights = lambda *_: None  # type: ignore[assignment]  # as intended
    begin = Engine.begin
    Engine.begin = lambda engine: begin(engine.execution_options(reads_only=True))  # type: ignore[method-assign]  # as intended


def two_at_once_are_fine(store: TimeSeriesStore, location: str, patch: Patch) -> bool:
    judge(location)
    yesterday = current(store)
    for day in (TOMORROW, AFTER_TOMORROW):
        judge(location, day)
    undisturbed = insights(store)
    put_back(store, yesterday)
    return run_two_at_once(location, patch) == [0, 0] and insights(store) == undisturbed


def test_two_at_once_leave_the_rows_of_the_later_moment(store: TimeSeriesStore, location: str) -> None:
    assert two_at_once_are_fine(store, location, nothing)


def test_control_without_locks_the_earlier_moment_wins_or_fails(
    store: TimeSeriesStore, location: str
) -> None:
    assert not two_at_once_are_fine(store, location, without_locks)
