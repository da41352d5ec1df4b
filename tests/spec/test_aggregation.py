"""What hourly aggregation promises: the rollups are what a slow reader of all raw rows would say."""

import math
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import delete, update

from analytics_lib import TimeSeriesStore, pipeline, schema
from analytics_lib.errors import QueryError
from analytics_lib.pipeline import hourly_aggregation
from analytics_lib.records import STATUSES, Record
from analytics_lib.store import rollup_rows
from analytics_lib.windows import Window, from_us, to_us
from tests import reference
from tests.databases import CopyOf, with_tables
from tests.make import NOON, at, execution, heartbeat, pending_marks, rollups, sample, start, step

LATER = NOON + timedelta(days=2)


@pytest.fixture
def location(copy_of: CopyOf) -> str:
    return copy_of(with_tables)


@pytest.fixture
def store(location: str) -> Iterator[TimeSeriesStore]:
    with TimeSeriesStore(location, clock=lambda: LATER) as opened:
        yield opened


def rolled_up(
    store: TimeSeriesStore, source: rollup_rows.RollupSource, *, daily: bool = False
) -> dict[tuple[Any, ...], dict[str, Any]]:
    """Rollup rows by key (bucket left out), times as datetimes, NaN as None."""
    tables, read = (
        (schema.DAILY_TABLES, rollup_rows.read_daily)
        if daily
        else (schema.ROLLUP_TABLES, rollup_rows.read_rollups)
    )
    names = [c.name for c in tables[source].primary_key.columns]
    window = Window.of(NOON - timedelta(days=9), LATER)
    with store.engine.connect() as connection:
        frame = read(connection, source, window)
    rows = {}
    for row in frame.astype(object).where(frame.notna(), None).to_dict("records"):
        rows[tuple(from_us(row[name]) if name in ("hour_us", "day_us") else row[name] for name in names)] = (
            row
        )
    return rows


def agree(found: dict[tuple[Any, ...], dict[str, Any]], expected: reference.Rows) -> None:
    assert set(found) == set(expected)
    for key, row in expected.items():
        for name, value in row.items():
            where = f"{name} of {key}"
            if value is None or isinstance(value, (str, int)):
                assert found[key][name] == value, where
            else:
                loose = 0.0101 if name.split("_")[1] in ("p50", "p95", "p99") else 1e-9
                assert math.isclose(found[key][name], value, rel_tol=loose, abs_tol=1e-9), where


def fleet() -> list[Record]:
    records: list[Record] = []
    for n in range(120):
        status = STATUSES[n % 7 % 5]
        kind = ("", "business", "application")[n % 3] if status in ("failed", "timed_out") else ""
        fields: dict[str, Any] = {
            "workflow_id": f"workflow {n % 5}",
            "environment": ("production", "test")[n % 2],
            "workflow_version": f"1.{n % 2}",
            "status": status,
            "exception_kind": kind,
            "duration_ms": float(n * n) + 0.125,
        }
        # Some waited, some started before they were queued (two clocks), of some it is not known.
        queued_at = at(n * 7 - 400 - n % 9 + 2) - timedelta(milliseconds=fields["duration_ms"])
        queue = {"queue": ("", "mails", "forms")[n % 3], "queued_at": queued_at if n % 4 else None}
        records.append(execution(f"e{n}", at(n * 7 - 400), **fields, **queue))
        records += [step(f"e{n}", s, at(n * 7 - 400 - s), step_id=f"s{s}", **fields) for s in range(3)]
        records.append(sample(at(n * 7 - 400), memory_used_bytes=n << 20, host=f"BOT-{n % 3}"))
    return records


def test_rollups_are_what_a_slow_reader_of_all_rows_would_say(store: TimeSeriesStore, location: str) -> None:
    records = fleet()
    store.write_metrics(records)
    done = pipeline.aggregate_pending(location, as_of=LATER)
    of: dict[str, list[Any]] = {"execution": [], "step": [], "resource": []}
    for record in records:
        of[record.kind].append(record)
    agree(rolled_up(store, "execution"), reference.execution_rollup(of["execution"]))
    agree(rolled_up(store, "step"), reference.step_rollup(of["step"]))
    agree(rolled_up(store, "resource"), reference.resource_rollup(of["resource"]))
    agree(rolled_up(store, "queue"), reference.queue_rollup(of["execution"]))
    assert done["rows_read"] == len(records)
    assert (done["late_rows"], done["pending_hours"]) == (0, 0)
    assert pending_marks(store.engine) == []


def test_days_are_what_a_slow_reader_of_all_rows_would_say(store: TimeSeriesStore, location: str) -> None:
    records = fleet()
    store.write_metrics(records)
    pipeline.aggregate_pending(location, as_of=LATER)
    of: dict[str, list[Any]] = {"execution": [], "step": [], "resource": []}
    for record in records:
        of[record.kind].append(record)
    day = reference.day_of
    agree(rolled_up(store, "execution", daily=True), reference.execution_rollup(of["execution"], day))
    agree(rolled_up(store, "step", daily=True), reference.step_rollup(of["step"], day))
    agree(rolled_up(store, "resource", daily=True), reference.resource_rollup(of["resource"], day))
    agree(rolled_up(store, "queue", daily=True), reference.queue_rollup(of["execution"], day))
    assert pending_marks(store.engine, "daily_rollup") == []


def test_a_late_row_reaches_its_day(store: TimeSeriesStore, location: str) -> None:
    store.write_metrics([execution("e1", at(5))])
    pipeline.aggregate_pending(location, as_of=LATER)
    store.write_metrics([execution("e2", at(90))])
    pipeline.aggregate_pending(location, as_of=LATER)
    [day] = rolled_up(store, "execution", daily=True).values()
    assert (day["n"], day["duration_sum_ms"]) == (2, 2000.0)


def test_a_day_keeps_its_rows_where_its_hours_are_gone(store: TimeSeriesStore, location: str) -> None:
    store.write_metrics([execution("e1", at(5)), execution("e2", at(90))])
    pipeline.aggregate_pending(location, as_of=LATER)
    before = rolled_up(store, "execution", daily=True)
    with store.engine.begin() as connection:
        hours = schema.rollup_execution_hourly
        connection.execute(delete(hours).where(hours.c.hour_us == to_us(NOON)))
    pipeline.mark_window(location, window_start=at(60), window_end=at(120))
    done = pipeline.aggregate_pending(location, as_of=LATER)
    assert (done["refused_days"], done["daily_rows"]) == (1, 0)
    assert rolled_up(store, "execution", daily=True) == before
    assert len(pending_marks(store.engine, "daily_rollup")) == 1
    pipeline.mark_window(location, window_start=at(0), window_end=at(60))
    assert pipeline.aggregate_pending(location, as_of=LATER)["refused_days"] == 0
    assert rolled_up(store, "execution", daily=True) == before


def test_a_sketch_that_is_none_is_named_and_the_day_waits(store: TimeSeriesStore, location: str) -> None:
    store.write_metrics([execution("e1", at(5)), execution("e2", at(90))])
    pipeline.aggregate_pending(location, as_of=LATER)
    with store.engine.begin() as connection:
        hours = schema.rollup_execution_hourly
        connection.execute(update(hours).where(hours.c.hour_us == to_us(NOON)).values(duration_sketch=b"??"))
    pipeline.mark_window(location, window_start=at(60), window_end=at(120))
    assert pipeline.aggregate_pending(location, as_of=LATER)["refused_days"] == 1
    pipeline.mark_window(location, window_start=at(0), window_end=at(60))
    assert pipeline.aggregate_pending(location, as_of=LATER)["refused_days"] == 0


def test_in_batches_side_by_side_the_rows_are_the_same(
    store: TimeSeriesStore, location: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.write_metrics(fleet())
    monkeypatch.setattr(hourly_aggregation, "ROWS_AT_ONCE", 7)
    batches = pipeline.plan_aggregation(location, as_of=LATER)
    assert len(batches) == (1 if store.engine.dialect.name == "sqlite" else 3)
    with ThreadPoolExecutor(3) as pool:
        done = list(pool.map(lambda batch: pipeline.aggregate_batch(location, batch, as_of=LATER), batches))
    summed = pipeline.finish_aggregation(location, done, as_of=LATER)
    in_parts = rollups(store.engine)
    assert (summed["rows_read"], summed["pending_hours"]) == (len(fleet()), 0)
    monkeypatch.undo()
    pipeline.mark_window(location, window_start=at(-500), window_end=at(500))
    pipeline.aggregate_pending(location, as_of=LATER)
    assert rollups(store.engine) == in_parts


def test_aggregating_again_changes_nothing(store: TimeSeriesStore, location: str) -> None:
    store.write_metrics(fleet())
    pipeline.aggregate_pending(location, as_of=LATER)
    before = rollups(store.engine)
    again = pipeline.aggregate_pending(location, as_of=LATER)
    assert (again["rows_read"], rollups(store.engine)) == (0, before)


def test_a_window_computed_again_gives_the_same_bytes(store: TimeSeriesStore, location: str) -> None:
    store.write_metrics(fleet())
    pipeline.aggregate_pending(location, as_of=LATER)
    before = rollups(store.engine)
    marked = pipeline.mark_window(location, window_start=at(-500), window_end=at(500))
    again = pipeline.aggregate_pending(location, as_of=LATER)
    assert marked["marks"] > 0
    assert again["rows_read"] == len(fleet())
    assert again["late_rows"] == 0
    assert rollups(store.engine) == before


def test_rows_in_any_order_and_any_batches_give_the_same_bytes(
    store: TimeSeriesStore, location: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    store.write_metrics(fleet())
    pipeline.aggregate_pending(location, as_of=LATER)
    other = str(tmp_path_factory.mktemp("other"))
    with TimeSeriesStore(other, clock=lambda: LATER) as piecemeal:
        for number, record in enumerate(reversed(fleet())):
            piecemeal.write_metrics([record])
            if number % 97 == 0:
                pipeline.aggregate_pending(other, as_of=LATER)
        pipeline.aggregate_pending(other, as_of=LATER)
        assert rollups(piecemeal.engine) == rollups(store.engine)


def test_a_late_row_reopens_its_hour_and_is_counted(store: TimeSeriesStore, location: str) -> None:
    store.write_metrics([execution("e1", at(5)), execution("other", at(5), workflow_id="payroll")])
    pipeline.aggregate_pending(location, as_of=LATER)
    store.write_metrics([execution("e2", at(6))])
    done = pipeline.aggregate_pending(location, as_of=LATER)
    assert done["late_rows"] == 1
    assert done["rows_read"] == 2  # the other workflow's bucket was left alone
    assert rolled_up(store, "execution")[NOON, "invoices", "", ""]["n"] == 2


def test_a_row_in_an_hour_without_rollups_is_not_late(store: TimeSeriesStore, location: str) -> None:
    store.write_metrics([execution("e1", at(5))])
    pipeline.aggregate_pending(location, as_of=LATER)
    store.write_metrics([execution("e2", at(-500))])
    assert pipeline.aggregate_pending(location, as_of=LATER)["late_rows"] == 0


def test_an_open_hour_keeps_its_marks(store: TimeSeriesStore, location: str) -> None:
    store.write_metrics([execution("e1", at(5)), execution("e2", at(65))])
    done = pipeline.aggregate_pending(location, as_of=at(70))
    assert list(rolled_up(store, "execution")) == [(NOON, "invoices", "", "")]
    assert (done["pending_hours"], len(pending_marks(store.engine))) == (0, 1)
    assert pipeline.aggregate_pending(location, as_of=at(119))["hours"] == 0
    assert pipeline.aggregate_pending(location, as_of=at(120))["hours"] == 1


def test_a_budget_takes_the_newest_day_first_and_leaves_the_rest(
    store: TimeSeriesStore, location: str
) -> None:
    store.write_metrics([execution(f"e{n}", NOON - timedelta(days=n)) for n in range(3)])
    done = pipeline.aggregate_pending(location, as_of=LATER, max_days=2)
    assert (done["days"], done["pending_hours"]) == (2, 1)
    assert min(key[0] for key in rolled_up(store, "execution")) == NOON - timedelta(days=1)


def test_a_silent_run_becomes_abandoned_and_its_late_end_overrules_that(
    store: TimeSeriesStore, location: str
) -> None:
    store.write_metrics([start("e1", at(1)), heartbeat("e1", at(1)), heartbeat("e1", at(10))])
    assert pipeline.sweep_abandoned(location, as_of=at(20)) == {"abandoned": 0}
    assert pipeline.sweep_abandoned(location, as_of=at(200)) == {"abandoned": 1}
    assert pipeline.sweep_abandoned(location, as_of=at(300)) == {"abandoned": 0}
    pipeline.aggregate_pending(location, as_of=LATER)
    row = rolled_up(store, "execution")[NOON, "invoices", "", ""]
    assert (row["n"], row["n_abandoned"], row["n_rated"], row["duration_p50_ms"]) == (1, 1, 0, None)

    store.write_metrics([execution("e1", at(130))])
    pipeline.aggregate_pending(location, as_of=LATER)
    assert {key[0]: row["n_abandoned"] for key, row in rolled_up(store, "execution").items()} == {at(120): 0}


def test_runs_that_overrule_each_others_hours_are_counted_once_and_the_aggregation_ends(
    store: TimeSeriesStore, location: str
) -> None:
    store.write_metrics([start("e1", at(1)), heartbeat("e1", at(10))])  # last seen at 12, ends at 13
    store.write_metrics([start("e2", at(1)), heartbeat("e2", at(65))])  # ends at 12, last seen at 13
    pipeline.sweep_abandoned(location, as_of=at(200))
    pipeline.aggregate_pending(location, as_of=LATER)
    for late in (execution("e1", at(70)), execution("e2", at(50))):
        store.write_metrics([late])
        done = pipeline.aggregate_pending(location, as_of=LATER, max_days=9)
        assert (done["days"], done["pending_hours"]) == (2, 0)
    assert pipeline.sweep_abandoned(location, as_of=at(300)) == {"abandoned": 0}
    counted = {key[0]: (row["n"], row["n_abandoned"]) for key, row in rolled_up(store, "execution").items()}
    assert counted == {NOON: (1, 0), at(60): (1, 0)}


def test_a_window_is_computed_again_where_nothing_but_abandoned_runs_is_left(
    store: TimeSeriesStore, location: str
) -> None:
    store.write_metrics([start("e1", at(1)), heartbeat("e1", at(10))])
    pipeline.sweep_abandoned(location, as_of=at(200))
    pipeline.aggregate_pending(location, as_of=LATER)
    before = rolled_up(store, "execution")
    with store.engine.begin() as connection:
        connection.execute(delete(schema.rollup_execution_hourly))
    pipeline.mark_window(location, window_start=at(0), window_end=at(60))
    assert pipeline.aggregate_pending(location, as_of=LATER)["hours"] == 1
    assert rolled_up(store, "execution") == before


def test_an_hour_of_runs_steps_and_samples_is_one_hour(store: TimeSeriesStore, location: str) -> None:
    store.write_metrics([execution("e1", at(10)), step("e1", 1, at(10)), sample(at(10))])
    assert pipeline.aggregate_pending(location, as_of=LATER)["hours"] == 1


def test_a_run_without_heartbeats_is_never_abandoned(store: TimeSeriesStore, location: str) -> None:
    store.write_metrics([start("imported", at(1))])
    assert pipeline.sweep_abandoned(location, as_of=LATER) == {"abandoned": 0}


def test_a_window_that_ends_before_it_starts_is_refused(location: str) -> None:
    with pytest.raises(QueryError, match="swap them"):
        pipeline.mark_window(location, window_start=at(1), window_end=at(0))


def test_an_empty_store_aggregates_to_nothing(location: str) -> None:
    TimeSeriesStore(location).close()
    assert set(pipeline.aggregate_pending(location, as_of=LATER).values()) == {0}


moments = st.integers(to_us(at(-200)), to_us(at(200))).map(from_us)
runs = st.lists(
    st.tuples(moments, st.sampled_from(STATUSES), st.floats(0, 1e9), st.sampled_from(["a", "b", "ü"])),
    max_size=40,
)


@settings(max_examples=25)
@given(runs, st.data())
def test_any_fleet_in_any_batches_agrees_with_the_reference(
    tmp_path_factory: pytest.TempPathFactory, fleet: list[Any], data: st.DataObject
) -> None:
    location = str(tmp_path_factory.mktemp("any"))
    records = [
        execution(f"e{n}", ended, status=status, duration_ms=ms, workflow_id=workflow)
        for n, (ended, status, ms, workflow) in enumerate(fleet)
    ]
    with TimeSeriesStore(location, clock=lambda: LATER) as store:
        rest = list(records)
        while rest:
            cut = data.draw(st.integers(1, len(rest)))
            store.write_metrics(rest[:cut])
            rest = rest[cut:]
            if data.draw(st.booleans()):
                pipeline.aggregate_pending(location, as_of=data.draw(moments))
        pipeline.aggregate_pending(location, as_of=LATER)
        agree(rolled_up(store, "execution"), reference.execution_rollup(records))
