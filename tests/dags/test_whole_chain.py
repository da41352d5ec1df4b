"""All six DAGs, one after the other, on both databases: from raw rows to an insight and a report."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from analytics_lib import TimeSeriesStore
from tests.dags.conftest import RunDag
from tests.make import NOON, execution, step, table_rows

pytestmark = pytest.mark.slow

WEEKS, RUNS = 9, 24
AS_OF = (NOON + timedelta(days=1)).isoformat()
CHAIN = {
    "hourly_aggregation": {"as_of": AS_OF},
    "baseline_recomputation": {"as_of": AS_OF},
    "anomaly_detection": {"as_of": AS_OF},
    "insight_generation": {"as_of": AS_OF},
    "report_rendering": {
        "window_start": (NOON - timedelta(days=6)).isoformat(),
        "window_end": AS_OF,
    },
    "archive_retention": {"as_of": AS_OF, "keep_raw_days": 50, "dry_run": False},
}
DERIVED = (
    "rollup_execution_hourly",
    "rollup_step_hourly",
    "baseline",
    "anomaly",
    "insight",
    "archive_manifest",
)


@pytest.fixture
def store(location: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[TimeSeriesStore]:
    """Nine weeks of runs in the hour before noon, every Monday; today two thirds of them fail."""
    connection = location.replace("postgresql://", "postgres://", 1)
    if connection == location:
        monkeypatch.setenv("RPA_ANALYTICS_STORE", location)
    else:
        monkeypatch.setenv("AIRFLOW_CONN_RPA_STORE", connection)
    monkeypatch.setenv("RPA_ANALYTICS_ARCHIVE", str(tmp_path / "archive"))
    monkeypatch.setenv("RPA_ANALYTICS_REPORTS", str(tmp_path / "reports"))
    records = []
    for week in range(WEEKS):
        for n in range(RUNS):
            ended = NOON - timedelta(weeks=week, minutes=5 + 2 * n)
            failed = week == 0 and n < 16
            records.append(
                execution(
                    f"{week}/{n}",
                    ended,
                    status="failed" if failed else "completed",
                    exception_kind="application" if failed else "",
                    message="SelectorNotFound: button 'Save'" if failed else "",
                    duration_ms=60_000.0 + 100 * n,
                )
            )
            records.append(step(f"{week}/{n}", 1, ended, duration_ms=50_000.0 + 100 * n))
    with TimeSeriesStore(location) as opened:
        opened.write_metrics(records)
        yield opened


def test_the_chain_runs_green_and_a_second_time_leaves_the_same_rows(
    store: TimeSeriesStore, run_dag: RunDag, tmp_path: Path
) -> None:
    results = {}
    for name, params in CHAIN.items():
        run = run_dag(name, **params)
        assert run.state == "success", run.log[-3000:]
        results |= run.results
    assert results["publish"]["rows_read"] == 2 * WEEKS * RUNS
    assert results["recompute_baselines"]["ready"] > 0
    assert results["detect_anomalies"]["anomalies"] > 0
    assert [row for row in table_rows(store.engine, "insight") if "failure_spike" in row]
    assert Path(results["render"]["pdf"]).read_bytes().startswith(b"%PDF-")
    assert results["archive_and_retain"]["rows_deleted"] > 0
    assert list((tmp_path / "archive").rglob("*.parquet"))
    before = {name: table_rows(store.engine, name) for name in DERIVED}
    assert all(before.values())
    for name, params in CHAIN.items():
        assert run_dag(name, **params).state == "success"
    assert {name: table_rows(store.engine, name) for name in DERIVED} == before
