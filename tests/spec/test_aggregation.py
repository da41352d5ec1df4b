"""What hourly aggregation promises: the rollups are what a slow reader of all raw rows would say."""

import math
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import delete

from analytics_lib import TimeSeriesStore, pipeline, schema
from analytics_lib.catalog import Source
from analytics_lib.errors import QueryError
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


def rolled_up(store: TimeSeriesStore, source: Source) -> dict[tuple[Any, ...], dict[str, Any]]:
    """Rollup rows by key (bucket left out), times as datetimes, NaN as None."""
    names = [c.name for c in schema.ROLLUP_TABLES[source].primary_key.columns]
    window = Window.of(NOON - timedelta(days=9), LATER)
    with store.engine.connect() as connection:
        frame = rollup_rows.read_rollups(connection, source, window)
    rows = {}
    for row in frame.astype(object).where(frame.notna(), None).to_dict("records"):
        rows[tuple(from_us(row[name]) if name == "hour_us" else row[name] for name in names)] = row
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
        records.append(execution(f"e{n}", at(n * 7 - 400), **fields))
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
    assert done["rows_read"] == len(records)
    assert (done["late_rows"], done["pending_hours"]) == (0, 0)
    assert pending_marks(store.engine) == []


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
