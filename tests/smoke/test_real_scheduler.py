"""`make up`, a small one: Airflow's real scheduler runs all six DAGs, and every process ends with it."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from living_airflow import LivingAirflow, dag_names, free_port
from processes import Processes, end, marked
from sqlalchemy import create_engine, text

UP = Path(__file__).parents[2] / "examples" / "up.py"
PATIENCE_S = 400.0  # on two busy cores; it takes a third of that when nothing else runs
WOKEN = {"anomaly_detection", "insight_generation"}  # by the asset of the one before; others by hand or clock
FILLED = (
    "execution_metrics",
    "agent_heartbeat",
    "rollup_execution_hourly",
    "rollup_step_hourly",
    "rollup_resource_hourly",
    "baseline_series",
    "anomaly",
    "insight",
)

pytestmark = pytest.mark.smoke


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """Where a living system goes; what a failed test left of it is ended."""
    yield tmp_path / "living"
    end(marked(str(tmp_path / "living")))


def up(folder: Path, *more: str) -> "subprocess.Popen[bytes]":
    # The tests' own Airflow, where one was set up, is not this one's.
    environment = os.environ | {"AIRFLOW_HOME": str(folder / "not-this-one")}
    with said_in(folder).open("wb") as log:
        return subprocess.Popen(
            [sys.executable, str(UP), "--output", str(folder), "--days", "10", *more],
            env=environment,
            stdout=log,
            stderr=subprocess.STDOUT,
        )


def said_in(folder: Path) -> Path:
    return folder.parent / "up.log"


def wait_until_said(words: str, running: "subprocess.Popen[bytes]", folder: Path) -> str:
    deadline_s = time.monotonic() + PATIENCE_S
    while words not in (said := said_in(folder).read_text(encoding="utf-8")):
        assert running.poll() is None, said
        assert time.monotonic() < deadline_s, said
        assert "failed: see" not in said, said
        time.sleep(0.5)
    return said


def listening_elsewhere(processes: list[psutil.Process]) -> set[str]:
    """Addresses besides loopback on which one of them listens."""
    found = {
        connection.laddr.ip
        for process in processes
        for connection in process.net_connections("tcp")
        if connection.status == psutil.CONN_LISTEN
    }
    return found - {"127.0.0.1"}


def test_all_six_dags_run_under_the_real_scheduler_and_no_process_is_left(folder: Path) -> None:
    port = free_port(0)
    running = up(folder, "--port", str(port))
    said = wait_until_said("Each DAG succeeded", running, folder)
    assert f"http://127.0.0.1:{port}" in said
    airflow = LivingAirflow(Processes("", folder, {}), folder / "airflow", port)
    passwords = folder / "airflow" / "passwords.json"
    assert json.loads(passwords.read_text())["admin"] not in said
    assert [path.stat().st_mode & 0o077 for path in (folder, passwords)] == [0, 0]

    dags = airflow.dags()
    assert dags.keys() == dag_names()
    assert not any(dag["is_paused"] or dag["has_import_errors"] for dag in dags.values())
    assert len(dags) == 6
    for dag_id in dags:
        runs = airflow.runs(dag_id)
        assert {run["state"] for run in runs} <= {"success", "running", "queued"}, dag_id
        succeeded = {run["run_type"] for run in runs if run["state"] == "success"}
        assert succeeded == {"asset_triggered"} if dag_id in WOKEN else "manual" in succeeded, dag_id
    rows = row_counts(folder / "store")
    assert [table for table in FILLED if not rows[table]] == []
    assert {path.suffix for path in (folder / "reports").iterdir()} >= {".html", ".pdf"}

    processes = [psutil.Process(running.pid), *psutil.Process(running.pid).children(recursive=True)]
    assert len(processes) > 6, "agent, API server, scheduler and its workers, DAG processor, triggerer"
    assert listening_elsewhere(processes) == set()
    running.send_signal(signal.SIGTERM)
    assert running.wait(60) == 0
    assert [process for process in processes if process.is_running()] == []
    assert marked(str(folder)) == []
    assert "Every process ended (0 were killed)" in said_in(folder).read_text()


def row_counts(store: Path) -> dict[str, int]:
    engine = create_engine(f"sqlite:///{store}/rpa.sqlite")
    with engine.connect() as connection:
        counts = {table: connection.scalar(text(f"SELECT count(*) FROM {table}")) or 0 for table in FILLED}
    engine.dispose()
    return counts
