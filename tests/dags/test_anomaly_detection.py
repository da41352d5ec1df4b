"""The detection DAG, run by Airflow: the same rows as without it, and the event that wakes insights up."""

from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import select

from analytics_lib import TimeSeriesStore, pipeline
from tests.anomaly.fleet import AS_OF, HOURS, brief, heartbeats, runs, write_baseline
from tests.dags.conftest import RunDag
from tests.databases import CopyOf
from tests.make import at, table_rows

pytestmark = pytest.mark.slow

SLOW = [("slower", -3)]


def a_slow_hour(location: str) -> None:
    with TimeSeriesStore(location) as store:
        write_baseline(store)
        normal = [hour for hour in HOURS if hour != -3]
        store.write_metrics(runs(normal) + runs([-3], duration_ms=40_000.0) + heartbeats())
        pipeline.aggregate_pending(location, as_of=AS_OF)


@pytest.fixture
def location(copy_of: CopyOf) -> str:
    return copy_of(a_slow_hour)


@pytest.fixture
def store(location: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[TimeSeriesStore]:
    """A fleet with one slow hour, known to Airflow: SQLite by the variable, Postgres by the connection."""
    monkeypatch.setenv("AIRFLOW_CONN_RPA_STORE" if "://" in location else "RPA_ANALYTICS_STORE", location)
    with TimeSeriesStore(location) as opened:
        yield opened


def announced(run_id: str) -> list[Any]:
    from airflow.models.asset import AssetEvent
    from airflow.utils.session import create_session

    with create_session() as session:
        return list(session.scalars(select(AssetEvent.extra).where(AssetEvent.source_run_id == run_id)))


def test_it_judges_what_is_pending_says_so_and_wakes_up_who_comes_next(
    store: TimeSeriesStore, run_dag: RunDag
) -> None:
    run = run_dag("anomaly_detection", as_of=AS_OF.isoformat())
    assert (run.state, run.tasks) == ("success", {"detect_anomalies": "success"})
    done = run.results["detect_anomalies"]
    assert (done["anomalies"], done["new"], brief(store.engine)) == (2, 2, SLOW)
    assert "judged: hours 50, points 250, without a baseline 0, anomalies 2, new 2, withdrawn 0" in run.log
    assert announced(run.run_id) == [done]


def test_running_it_again_changes_nothing_and_a_quiet_hour_is_announced_too(
    store: TimeSeriesStore, run_dag: RunDag
) -> None:
    run_dag("anomaly_detection", as_of=AS_OF.isoformat())
    rows = table_rows(store.engine, "anomaly")
    again = run_dag("anomaly_detection", as_of=AS_OF.isoformat())
    assert (again.state, table_rows(store.engine, "anomaly")) == ("success", rows)
    assert [extra["new"] for extra in announced(again.run_id)] == [0]


def test_a_window_is_judged_again_and_a_dry_run_writes_nothing(
    store: TimeSeriesStore, run_dag: RunDag
) -> None:
    window = {"window_start": at(-180).isoformat(), "window_end": at(-120).isoformat()}
    dry = run_dag("anomaly_detection", as_of=AS_OF.isoformat(), dry_run=True, **window)
    assert (dry.results["detect_anomalies"]["new"], brief(store.engine)) == (2, [])
    run_dag("anomaly_detection", as_of=AS_OF.isoformat(), **window)
    assert brief(store.engine) == SLOW


def test_half_a_window_fails_at_once_and_says_what_to_do(store: TimeSeriesStore, run_dag: RunDag) -> None:
    run = run_dag("anomaly_detection", window_start=at(0).isoformat())
    assert (run.state, run.tries["detect_anomalies"]) == ("failed", 1)
    assert "a window needs both window_start and window_end" in run.log
