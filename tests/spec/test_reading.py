"""What `query_range` and `aggregate` promise, on SQLite and on Postgres alike."""

import statistics
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from analytics_lib import TimeSeriesStore, catalog
from analytics_lib.errors import QueryError, StoreError
from analytics_lib.schema import execution_metrics
from analytics_lib.store import engine, open_store
from tests.databases import CopyOf
from tests.make import NOON, at, execution, sample, step

FLEET = [
    execution("a1", at(1), duration_ms=1000.0, workflow_id="a", host="BOT-01"),
    execution("a2", at(2), duration_ms=3000.0, workflow_id="a", host="BOT-02", status="failed"),
    execution("a3", at(61), duration_ms=5000.0, workflow_id="a", host="BOT-02"),
    execution("a4", at(62), duration_ms=99999.0, workflow_id="a", status="skipped"),
    execution("b1", at(3), duration_ms=7000.0, workflow_id="b", environment="test", steps_total=4),
]


def the_fleet(location: str) -> None:
    with TimeSeriesStore(location, clock=lambda: at(180)) as store:
        store.write_metrics([*FLEET, step("a1", 1, at(1)), sample(at(1)), sample(at(2), cpu_percent=None)])


@pytest.fixture
def location(copy_of: CopyOf) -> str:
    return copy_of(the_fleet)


@pytest.fixture
def store(location: str) -> Iterator[TimeSeriesStore]:
    with TimeSeriesStore(location, clock=lambda: at(180)) as opened:
        yield opened


def ids(found: dict[str, list[Any]]) -> list[str]:
    return [record.execution_id for record in found["execution"]]


def test_a_window_holds_its_start_and_not_its_end(store: TimeSeriesStore) -> None:
    assert ids(store.query_range(at(1), at(3))) == ["a1", "a2"]


def test_naive_datetimes_mean_local_time(store: TimeSeriesStore) -> None:
    start, end = (moment.astimezone().replace(tzinfo=None) for moment in (at(1), at(3)))
    assert ids(store.query_range(start, end)) == ["a1", "a2"]


def test_filters_and_limit_narrow_what_comes_back(store: TimeSeriesStore) -> None:
    assert ids(store.query_range(at(0), at(90), workflow_id="a", host="BOT-02")) == ["a2", "a3"]
    assert ids(store.query_range(at(0), at(90), limit=2)) == ["a1", "a2"]
    assert list(store.query_range(at(0), at(90), sources=["step"])) == ["step"]


def test_opening_and_reading_do_not_wait_for_a_writer(
    location: str, store: TimeSeriesStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine, "BUSY_TIMEOUT_MS", 0)
    with store.engine.begin() as writer, TimeSeriesStore(location) as reader:
        writer.execute(execution_metrics.delete())
        assert ids(reader.query_range(at(1), at(2))) == ["a1"]


@pytest.mark.parametrize(
    ("ask", "message"),
    [
        (lambda s: s.query_range(at(2), at(1)), "swap them"),
        (lambda s: s.query_range(at(1), at(1)), "widen the window"),
        (lambda s: s.query_range(at(1), at(2), colour="red"), "use any of workflow_id"),
        (lambda s: s.query_range(at(1), at(2), sources=["steps"]), "use any of execution, step"),
        (lambda s: s.query_range(at(1), at(2), limit=0), "positive"),
        (lambda s: s.query_range(at(1), at(2), host=3), "give text"),
        (lambda s: s.aggregate("speed", "avg", [], at(1), at(2)), "use one of duration_ms"),
        (lambda s: s.aggregate("duration_ms", "median", [], at(1), at(2)), "use one of avg, sum"),
        (lambda s: s.aggregate("duration_ms", "avg", ["colour"], at(1), at(2)), "use any of workflow_id"),
        (lambda s: s.aggregate("duration_ms", "avg", ["step_id"], at(1), at(2)), "cannot group execution"),
        (lambda s: s.aggregate("duration_ms", "avg", [], at(2), at(1)), "swap them"),
    ],
)
def test_a_question_that_cannot_be_asked_lists_what_can(
    store: TimeSeriesStore, ask: Callable[[TimeSeriesStore], object], message: str
) -> None:
    with pytest.raises(QueryError, match=message):
        ask(store)


def test_aggregate_gives_one_row_per_group_with_its_number_of_rows(store: TimeSeriesStore) -> None:
    assert store.aggregate("duration_ms", "avg", ["workflow_id"], at(0), at(90)) == [
        {"workflow_id": "a", "value": 3000.0, "n": 3},  # the skipped run took no time
        {"workflow_id": "b", "value": 7000.0, "n": 1},
    ]


def test_hours_and_days_group_by_utc(store: TimeSeriesStore) -> None:
    by_hour = store.aggregate("duration_ms", "count", ["hour"], at(0), at(90), workflow_id="a")
    assert by_hour == [{"hour": NOON, "value": 2, "n": 2}, {"hour": at(60), "value": 1, "n": 1}]
    [day] = store.aggregate("duration_ms", "max", ["day"], at(0), at(90))
    assert day["day"] == NOON.replace(hour=0)


def test_what_was_never_measured_has_no_value(store: TimeSeriesStore) -> None:
    [row] = store.aggregate("steps_total", "avg", [], at(0), at(90), workflow_id="a")
    assert row == {"value": None, "n": 0}
    assert store.aggregate("duration_ms", "avg", ["host"], at(100), at(110)) == []


def test_samples_without_the_metric_do_not_count(store: TimeSeriesStore) -> None:
    assert store.aggregate("cpu_percent", "avg", ["host"], at(0), at(90)) == [
        {"host": "BOT-01", "value": 50.0, "n": 1}
    ]


@pytest.mark.parametrize("dimension", catalog.DIMENSIONS["execution"])
@pytest.mark.parametrize("aggregation", catalog.AGGREGATIONS)
def test_every_documented_dimension_agrees_with_plain_python(
    store: TimeSeriesStore, dimension: str, aggregation: str
) -> None:
    def key(record: Any) -> Any:
        if dimension == "hour":
            return record.ended_at.replace(minute=0, second=0, microsecond=0)
        if dimension == "day":
            return record.ended_at.replace(hour=0, minute=0, second=0, microsecond=0)
        return getattr(record, dimension)

    of: dict[str, Callable[[list[float]], float]] = {
        "avg": statistics.fmean,
        "sum": sum,
        "count": len,
        "min": min,
        "max": max,
    }
    rated = [record for record in FLEET if record.status != "skipped"]
    expected = {
        k: of[aggregation]([r.duration_ms for r in rated if key(r) == k]) for k in {key(r) for r in rated}
    }
    found = store.aggregate("duration_ms", aggregation, [dimension], at(-60), at(180))
    assert {row[dimension]: row["value"] for row in found} == expected
    assert all(isinstance(row["n"], int) for row in found)


@pytest.mark.parametrize("metric", catalog.METRICS.values(), ids=lambda metric: metric.name)
def test_every_metric_can_be_asked_by_every_dimension_of_its_source(
    store: TimeSeriesStore, metric: catalog.Metric
) -> None:
    for dimension in catalog.DIMENSIONS[metric.source]:
        rows = store.aggregate(metric.name, "max", [dimension], at(-60), at(180))
        assert rows, f"{metric.name} by {dimension} finds no rows of the fleet"
        assert all(set(row) == {dimension, "value", "n"} for row in rows)


def test_the_order_of_rows_is_the_same_on_every_call(store: TimeSeriesStore) -> None:
    tied: list[Any] = [execution(f"t{n:02d}", datetime(2026, 3, 1, tzinfo=NOON.tzinfo)) for n in range(20)]
    store.write_metrics(reversed(tied))
    found = store.query_range(NOON - timedelta(days=2), at(0))
    assert ids(found) == [record.execution_id for record in tied]


def test_whoever_analyses_makes_no_store(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="there is no store in"):
        open_store(tmp_path / "sotre")
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_is_no_database_is_called_that(tmp_path: Path) -> None:
    (tmp_path / "rpa.sqlite").write_text("years of work, but no database" * 100)
    with pytest.raises(StoreError, match="the file is damaged or no database"):
        TimeSeriesStore(tmp_path)
