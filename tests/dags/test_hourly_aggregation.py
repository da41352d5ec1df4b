"""The hourly DAG, run by Airflow: the same rows as without it, whatever is asked of it."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import delete, select, text

from analytics_lib import TimeSeriesStore, pipeline, schema
from analytics_lib.records import Record
from tests.dags.conftest import HOME, RunDag
from tests.make import NOON, at, execution, heartbeat, pending_marks, rollups, sample, start, step

pytestmark = pytest.mark.slow

TASKS = ("mark_window", "sweep_abandoned", "plan", "aggregate_batch", "publish")
ALL_GREEN = dict.fromkeys(TASKS, "success")
NORMAL = {**ALL_GREEN, "mark_window": "skipped"}
QUIET = {**NORMAL, "aggregate_batch": "skipped"}  # nothing to map over


def fleet() -> list[Record]:
    records: list[Record] = []
    for n in range(6):
        ended = at(n * 290 - 900)  # on two days
        records += [execution(f"e{n}", ended, workflow_id=f"w{n % 3}", duration_ms=n + 0.1)]
        records += [step(f"e{n}", 1, ended, workflow_id=f"w{n % 3}"), sample(ended, host=f"BOT-{n % 2}")]
    return [*records, execution("e6", at(10)), start("silent", at(5)), heartbeat("silent", at(6))]


@pytest.fixture
def store(location: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[TimeSeriesStore]:
    """A store with raw rows, known to Airflow: SQLite by the variable, Postgres by the connection."""
    name = "AIRFLOW_CONN_RPA_STORE" if "://" in location else "RPA_ANALYTICS_STORE"
    monkeypatch.setenv(name, location)
    with TimeSeriesStore(location) as opened:
        opened.write_metrics(fleet())
        yield opened


@pytest.fixture
def sqlite_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[TimeSeriesStore]:
    monkeypatch.setenv("RPA_ANALYTICS_STORE", str(tmp_path / "store"))
    with TimeSeriesStore(tmp_path / "store") as opened:
        yield opened


def asset_events(run_id: str) -> list[Any]:
    from airflow.models.asset import AssetEvent
    from airflow.utils.session import create_session

    with create_session() as session:
        return list(session.scalars(select(AssetEvent.extra).where(AssetEvent.source_run_id == run_id)))


def test_it_gives_the_rows_that_the_pipeline_gives_without_airflow(
    store: TimeSeriesStore, run_dag: RunDag, tmp_path: Path
) -> None:
    with TimeSeriesStore(tmp_path / "plain") as plain:
        plain.write_metrics(fleet())
        pipeline.sweep_abandoned(tmp_path / "plain", as_of=at(5000))
        expected = pipeline.aggregate_pending(tmp_path / "plain", as_of=at(5000))
        rows = rollups(plain.engine)

    run = run_dag("hourly_aggregation")

    assert (run.state, run.tasks) == ("success", NORMAL)
    assert run.results["sweep_abandoned"] == {"abandoned": 1}
    assert run.results["publish"] == expected
    assert rollups(store.engine) == rows
    assert "rolled up: rows read 20, late rows 0, hours " in run.log
    assert asset_events(run.run_id) == [expected]


def test_running_it_again_changes_nothing(store: TimeSeriesStore, run_dag: RunDag) -> None:
    run_dag("hourly_aggregation")
    rows = rollups(store.engine)
    again = run_dag("hourly_aggregation")
    assert (again.state, again.tasks) == ("success", QUIET)
    assert set(again.results["publish"].values()) == {0}
    assert rollups(store.engine) == rows


def test_a_quiet_hour_is_green_and_announced_too(sqlite_store: TimeSeriesStore, run_dag: RunDag) -> None:
    run = run_dag("hourly_aggregation")
    assert (run.state, run.tasks) == ("success", QUIET)
    [extra] = asset_events(run.run_id)
    assert set(extra.values()) == {0}


def test_late_rows_are_counted(sqlite_store: TimeSeriesStore, run_dag: RunDag) -> None:
    sqlite_store.write_metrics([execution("early", NOON)])
    assert run_dag("hourly_aggregation").results["publish"]["late_rows"] == 0
    sqlite_store.write_metrics([execution("late", at(1)), execution("later", at(2))])
    run = run_dag("hourly_aggregation")
    assert run.results["publish"]["late_rows"] == 2
    assert "late rows 2" in run.log


def test_a_window_is_computed_again(store: TimeSeriesStore, run_dag: RunDag) -> None:
    run_dag("hourly_aggregation")
    rows = rollups(store.engine)
    with store.engine.begin() as connection:
        for table in (*schema.ROLLUP_TABLES.values(), *schema.DAILY_TABLES.values()):
            connection.execute(delete(table))

    run = run_dag(
        "hourly_aggregation", window_start="2026-03-01T00:00:00Z", window_end="2026-03-04T00:00:00Z"
    )

    assert (run.state, run.tasks) == ("success", ALL_GREEN)
    assert rollups(store.engine) == rows


def test_a_dry_run_counts_and_writes_nothing(sqlite_store: TimeSeriesStore, run_dag: RunDag) -> None:
    sqlite_store.write_metrics(fleet())
    marks = len(pending_marks(sqlite_store.engine))
    run = run_dag(
        "hourly_aggregation",
        window_start="2026-03-01T00:00:00Z",
        window_end="2026-03-04T00:00:00Z",
        dry_run=True,
    )
    assert (run.state, run.tasks) == ("success", {**ALL_GREEN, "aggregate_batch": "skipped"})
    assert run.results["publish"]["pending_hours"] > 0
    assert run.results["sweep_abandoned"] == {"abandoned": 1}
    assert len(pending_marks(sqlite_store.engine)) == marks
    assert not any(rollups(sqlite_store.engine).values())
    assert "dry run, nothing was changed" in run.log


def test_another_moment_for_now_leaves_later_hours_open(
    sqlite_store: TimeSeriesStore, run_dag: RunDag
) -> None:
    sqlite_store.write_metrics([execution("e1", NOON), execution("e2", at(60))])
    run = run_dag("hourly_aggregation", as_of="2026-03-02T13:30:00Z")
    assert run.results["publish"]["hours"] == 1
    assert run_dag("hourly_aggregation").results["publish"]["hours"] == 1


@pytest.mark.parametrize(
    ("params", "sentence"),
    [
        ({"window_start": "2026-03-02T12:00:00Z"}, "a window needs both window_start and window_end"),
        ({"window_start": "2026-03-03T00:00:00Z", "window_end": "2026-03-02T00:00:00Z"}, "swap them"),
        ({"window_start": "soon", "window_end": "later"}, "'soon' is no date or time: write 2026-11-23"),
    ],
)
def test_a_bad_window_fails_at_once_with_a_sentence(
    sqlite_store: TimeSeriesStore, run_dag: RunDag, params: dict[str, str], sentence: str
) -> None:
    run = run_dag("hourly_aggregation", **params)
    assert (run.state, run.tasks["mark_window"], run.tasks["publish"]) == (
        "failed",
        "failed",
        "upstream_failed",
    )
    assert run.tries["mark_window"] == 1
    assert sentence in run.log
    assert asset_events(run.run_id) == []


def test_without_a_store_it_says_which_setting_is_missing(run_dag: RunDag) -> None:
    run = run_dag("hourly_aggregation")
    assert (run.state, run.tries["sweep_abandoned"]) == ("failed", 1)
    assert "no store is named" in run.log


def test_a_newer_schema_fails_at_once(sqlite_store: TimeSeriesStore, run_dag: RunDag) -> None:
    with sqlite_store.engine.begin() as connection:
        connection.execute(text(f"UPDATE {schema.VERSION_TABLE} SET version_num = '9999'"))
    run = run_dag("hourly_aggregation")
    assert (run.state, run.tries["sweep_abandoned"]) == ("failed", 1)
    assert "the database has schema version 9999" in run.log


def test_a_store_that_is_not_there_is_tried_again_and_then_red(
    run_dag: RunDag, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RPA_ANALYTICS_STORE", str(tmp_path / "store"))
    run = run_dag("hourly_aggregation", retries=1)
    assert (run.state, run.tries["sweep_abandoned"]) == ("failed", 2)
    assert "make one there with `rpa-analytics migrate`" in run.log
    assert not (tmp_path / "store").exists()


def test_a_password_is_seen_nowhere(run_dag: RunDag, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_RPA_STORE", "postgres://robot:hunter2hunter2@127.0.0.1:1/rpa")
    run = run_dag("hourly_aggregation", retries=0)
    assert run.state == "failed"
    assert "cannot be opened" in run.log
    assert "hunter2" not in run.log
    assert b"hunter2" not in (HOME / "airflow.db").read_bytes()
