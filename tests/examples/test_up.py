"""`make up`: how it refuses, how its parts behave. The whole of it runs in tests/smoke."""

import fcntl
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from living_airflow import AirflowError, LivingAirflow, airflow_settings, dag_names, free_port
from living_fleet import LivingFleet, fleet_since
from living_robots import Every
from processes import ProcessError, Processes, end, marked
from simulated_fleet import simulate_fleet

from analytics_lib import TimeSeriesStore
from analytics_lib.records import ExecutionMetrics, StepMetrics

UP = Path(__file__).parents[2] / "examples" / "up.py"
NOW = datetime(2026, 3, 4, 12, 10, tzinfo=UTC)  # a Wednesday at work
FORKING = """
import os, subprocess, sys, time
subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"], start_new_session=True)
time.sleep(60)
"""
STUBBORN = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(60)"


def up(*arguments: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, str(UP), *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


@pytest.fixture
def mark(tmp_path: Path) -> Iterator[str]:
    yield str(tmp_path)
    end(marked(str(tmp_path)))


def wait_until(count: int, mark: str) -> None:
    deadline_s = time.monotonic() + 20
    while len(marked(mark)) != count:
        assert time.monotonic() < deadline_s, marked(mark)
        time.sleep(0.05)


def check_for(duration_s: float, processes: Processes) -> None:
    deadline_s = time.monotonic() + duration_s
    while time.monotonic() < deadline_s:
        processes.check()
        time.sleep(0.05)


@pytest.mark.slow
def test_what_it_cannot_do_it_says_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("years of work")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        refused = {
            "holds something that `make up` did not make": up("--output", str(tmp_path)),
            f"port {port} is taken: leave --port out": up("--output", str(tmp_path / "new"), "--port", port),
            "'70000' is no whole number from 1 to 65535": up("--port", "70000"),
            "'soon' is no whole number from 1 to 730": up("--days", "soon"),
        }
    for sentence, done in refused.items():
        assert sentence in done.stderr.splitlines()[-1]
        assert done.returncode in (1, 2)
    assert [path.name for path in tmp_path.iterdir() if path.name != "new"] == ["thesis.txt"]


@pytest.mark.slow
def test_it_does_not_start_twice_in_a_folder(tmp_path: Path) -> None:
    marker = tmp_path / "made-by-make-up"
    marker.write_text("process 4711")
    with marker.open() as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        done = up("--output", str(tmp_path))
    assert (done.returncode, done.stderr) == (
        1,
        f"up: it is running already in {tmp_path} (process 4711): end that one first\n",
    )


def test_a_taken_port_gives_way_to_a_free_one() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert free_port(port) not in (port, 0)


def test_what_a_child_forked_ends_with_it(tmp_path: Path, mark: str) -> None:
    processes = Processes(mark, tmp_path, {})
    processes.start("forking", ["-c", FORKING])
    wait_until(2, mark)
    processes.check()
    assert processes.stop(grace_s=0.2) == 0
    assert marked(mark) == []


def test_a_child_that_will_not_end_is_killed(tmp_path: Path, mark: str) -> None:
    processes = Processes(mark, tmp_path, {})
    processes.begin("stubborn", ["-c", STUBBORN])
    wait_until(1, mark)
    time.sleep(0.3)  # until it ignores the signal
    assert processes.stop(grace_s=0.2) == 1
    assert marked(mark) == []


def test_a_child_that_ends_by_itself_is_noticed(tmp_path: Path) -> None:
    processes = Processes(str(tmp_path), tmp_path, {})
    processes.start("agent", ["-c", "print('no disk'); raise SystemExit(3)"])
    with pytest.raises(ProcessError, match=r"agent ended by itself \(exit code 3\): see .*agent\.log"):
        check_for(20, processes)
    assert (tmp_path / "agent.log").read_text() == "no disk\n"


def test_airflow_listens_on_loopback_only_and_keeps_to_its_folder(tmp_path: Path) -> None:
    settings = airflow_settings(tmp_path, 8123)
    assert settings["AIRFLOW__API__HOST"] == "127.0.0.1"
    urls = [value for value in settings.values() if value.startswith("http")]
    assert all(value.startswith("http://127.0.0.1:8123") for value in urls)
    assert len(urls) == 2
    assert "/var/lib" not in "".join(settings.values())
    assert int(settings["AIRFLOW__CORE__PARALLELISM"]) <= 4
    assert len(dag_names()) == 6


def test_an_airflow_that_is_not_there_is_a_sentence(tmp_path: Path) -> None:
    airflow = LivingAirflow(Processes("", tmp_path, {}), tmp_path, free_port(0))
    with pytest.raises(AirflowError, match="Airflow lets nobody in yet"):
        airflow.dags()


def test_the_fleet_goes_on_where_its_history_ends(tmp_path: Path) -> None:
    half_an_hour_ago = NOW - timedelta(minutes=30)
    fleet = LivingFleet(tmp_path / "store", tmp_path / "fleet.json", days=3)
    assert "3 days of history" in fleet.catch_up(half_an_hour_ago)
    new = list(fleet_since(half_an_hour_ago, NOW))
    ended = {record.execution_id for record in new if isinstance(record, ExecutionMetrics)}
    assert ended == {
        record.execution_id
        for record in simulate_fleet(end=NOW, days=3)
        if isinstance(record, ExecutionMetrics) and record.ended_at >= half_an_hour_ago
    }
    assert {record.execution_id for record in new if isinstance(record, StepMetrics)} == ended
    assert f": {len(new):,} rows" in fleet.catch_up(NOW)
    assert fleet.catch_up(NOW).endswith(": 0 rows")
    with TimeSeriesStore(tmp_path / "store") as store:
        assert store.write_metrics(new).inserted == 0


def test_a_state_that_cannot_be_read_begins_anew_and_doubles_nothing(tmp_path: Path) -> None:
    fleet = LivingFleet(tmp_path / "store", tmp_path / "fleet.json", days=1)
    fleet.catch_up(NOW)
    (tmp_path / "fleet.json").write_text("{")
    assert fleet.catch_up(NOW) == "simulated fleet, 1 day of history: 0 rows"


def test_what_was_late_is_not_made_up_for(monkeypatch: pytest.MonkeyPatch) -> None:
    now_s, done = [1000.0], []
    monkeypatch.setattr(time, "monotonic", lambda: now_s[0])
    every = Every(10, lambda: done.append(now_s[0]))
    for now_s[0] in (1000.0, 1005.0, 1035.0, 1036.0, 1044.0, 1046.0):
        every.tick()
    assert done == [1000.0, 1035.0, 1046.0]
