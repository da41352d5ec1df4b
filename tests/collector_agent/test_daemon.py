"""The daemon `rpa-agent run`, as a process of its own, and the lock that lets only one run."""

import logging
import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from analytics_lib import TimeSeriesStore
from analytics_lib.errors import RpaAnalyticsError, SchemaVersionError, SettingsError, StoreError
from collector_agent import MetricsCollector
from collector_agent.agent import Daemon
from collector_agent.daemon_lock import DaemonLock, daemon_is_running, daemon_pid, lock_file
from collector_agent.deferred_store import DeferredStore
from collector_agent.problems import read_problems, report_problem
from collector_agent.settings import AgentSettings
from tests.collector_agent.robots import own_environment
from tests.collector_agent.waiting import wait_for
from tests.make import execution

ROOT = Path(__file__).parents[2]
Start = Callable[..., "subprocess.Popen[str]"]


def query(folder: Path, sql: str) -> list[Any]:
    """The rows; none while the store is not there yet."""
    if not (folder / "rpa.sqlite").exists():
        return []
    connection = sqlite3.connect(folder / "rpa.sqlite", timeout=60)
    try:
        return connection.execute(sql).fetchall()
    except sqlite3.OperationalError:  # its tables are not there yet
        return []
    finally:
        connection.close()


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Starts a daemon on tmp_path/store with settings of one's own; it ends with the test."""
    started: list[subprocess.Popen[str]] = []

    def run(**settings: str) -> "subprocess.Popen[str]":
        variables = {
            "RPA_AGENT_STORE": str(tmp_path / "store"),
            "RPA_AGENT_STATE": os.environ["RPA_AGENT_STATE"],
            "RPA_AGENT_HOST": "h1",
            "RPA_AGENT_SAMPLE_INTERVAL_SEC": "0.1",
            "RPA_AGENT_HEARTBEAT_INTERVAL_SEC": "0.1",
            "XDG_CONFIG_HOME": str(tmp_path),
        }
        process = subprocess.Popen(
            [sys.executable, "-m", "collector_agent.cli", "run"],
            env=own_environment(**(variables | settings)),
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        return process

    yield run
    for process in started:
        process.kill()
        process.communicate()


def ended(process: "subprocess.Popen[str]", number: int) -> tuple[int, str, str]:
    """Exit code and output after a signal."""
    process.send_signal(number)
    out, err = process.communicate(timeout=120)
    return process.returncode, out, err


# --- a process of its own --------------------------------------------------------------------------


def test_the_daemon_samples_the_host_shows_life_and_flushes_when_it_is_told_to_end(
    start: Start, tmp_path: Path
) -> None:
    process, store = start(), tmp_path / "store"
    wait_for(lambda: len(query(store, "SELECT 1 FROM agent_heartbeat")) >= 3)
    assert daemon_pid() == process.pid
    code, out, err = ended(process, signal.SIGTERM)
    assert code == 0
    assert "WARNING" not in err
    assert out.splitlines()[0].startswith("rpa-agent 0.1.0 samples h1 every 0.1 s")
    assert out.splitlines()[-1] == "rpa-agent has stopped"
    samples = query(store, "SELECT DISTINCT target, host, workflow_id, agent_id FROM resource_metrics")
    assert [(target, host, workflow) for target, host, workflow, _ in samples] == [("host", "h1", "")]
    columns = "rows_pending, problem, complete_to_us, agent_id"
    last = query(store, f"SELECT {columns} FROM agent_heartbeat ORDER BY sent_at_us DESC")[0]
    assert last[:2] == (0, "")
    [(newest,)] = query(store, "SELECT MAX(sampled_at_us) FROM resource_metrics")
    assert newest <= last[2]  # everything is there, the sample that the end took included
    assert last[3] == samples[0][3]
    assert not daemon_is_running()
    assert read_problems() == []


def test_a_second_daemon_refuses_and_says_which_one_runs(start: Start, tmp_path: Path) -> None:
    first = start()
    wait_for(lambda: daemon_pid() == first.pid)
    second = start()
    out, err = second.communicate(timeout=120)
    assert (second.returncode, out) == (1, "")
    assert err.startswith(
        f"rpa-agent: a daemon runs already on this machine (process {first.pid}): stop it first"
    )
    assert err.count("\n") == 1
    assert first.poll() is None
    elsewhere = start(RPA_AGENT_STATE=str(tmp_path / "other"), RPA_AGENT_STORE=str(tmp_path / "other-store"))
    wait_for(lambda: bool(query(tmp_path / "other-store", "SELECT 1 FROM agent_heartbeat")))
    assert ended(elsewhere, signal.SIGTERM)[0] == 0


def test_ctrl_c_ends_it_with_the_usual_exit_code(start: Start, tmp_path: Path) -> None:
    process = start()
    wait_for(lambda: bool(query(tmp_path / "store", "SELECT 1 FROM agent_heartbeat")))
    code, out, err = ended(process, signal.SIGINT)
    assert code == 130
    assert out.endswith("rpa-agent has stopped\n")
    assert "Traceback" not in err


def test_a_store_that_is_down_is_reported_and_tried_again_and_no_sample_is_lost(
    start: Start, tmp_path: Path
) -> None:
    (tmp_path / "place").touch()  # a file where the store's folder should be made
    process = start(RPA_AGENT_STORE=str(tmp_path / "place" / "store"))
    wait_for(lambda: [problem.component for problem in read_problems()] == ["daemon"])
    [problem] = read_problems()
    assert "rows wait, because the store does not take them" in problem.text
    (tmp_path / "place").unlink()
    store = tmp_path / "place" / "store"
    wait_for(lambda: bool(query(store, "SELECT 1 FROM agent_heartbeat")))
    wait_for(lambda: read_problems() == [])
    [(first_sign,)] = query(store, "SELECT MIN(sent_at_us) FROM agent_heartbeat")
    code, _, err = ended(process, signal.SIGTERM)
    assert code == 0
    [(oldest,)] = query(store, "SELECT MIN(sampled_at_us) FROM resource_metrics")
    assert oldest < first_sign  # it was taken while the store was down
    assert err.count("the store does not take rows") == 1  # the change is said, and not each attempt
    assert err.count("the store takes rows again") == 1


def test_a_daemon_without_sampling_shows_life_all_the_same(start: Start, tmp_path: Path) -> None:
    process = start(RPA_AGENT_SAMPLE_RESOURCES="no")
    wait_for(lambda: len(query(tmp_path / "store", "SELECT 1 FROM agent_heartbeat")) >= 2)
    code, out, _ = ended(process, signal.SIGTERM)
    assert code == 0
    assert "sends signs of life from h1 (sample_resources is off)" in out
    assert query(tmp_path / "store", "SELECT COUNT(*) FROM resource_metrics") == [(0,)]


def test_a_daemon_that_is_killed_leaves_nothing_that_keeps_the_next_one_out(
    start: Start, tmp_path: Path
) -> None:
    first = start()
    wait_for(lambda: daemon_pid() == first.pid)
    first.kill()
    first.wait()
    assert lock_file().read_bytes()  # what a lock by process id would stumble over
    assert (daemon_is_running(), daemon_pid()) == (False, None)
    second = start()
    wait_for(lambda: daemon_pid() == second.pid)


# --- the lock --------------------------------------------------------------------------------------


def test_one_lock_at_a_time() -> None:
    with DaemonLock():
        assert daemon_is_running()
        assert daemon_pid() == os.getpid()
        with pytest.raises(
            RpaAnalyticsError, match=rf"runs already on this machine \(process {os.getpid()}\)"
        ):
            DaemonLock()
    assert not daemon_is_running()
    DaemonLock().release()


@pytest.mark.parametrize("content", [b"", b"{}", b"[]", b'{"pid": null}', b"\xff"])
def test_a_lock_that_does_not_say_whose_it_is_is_a_lock(content: bytes) -> None:
    with DaemonLock():
        lock_file().write_bytes(content)
        assert daemon_is_running()
        assert daemon_pid() is None
        with pytest.raises(RpaAnalyticsError, match="runs already on this machine: stop it first"):
            DaemonLock()


def test_where_no_lock_can_be_made_the_folder_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("RPA_AGENT_STATE", str(tmp_path / "file" / "state"))
    assert not daemon_is_running()
    with pytest.raises(SettingsError, match="name another by RPA_AGENT_STATE"):
        DaemonLock()


# --- inside ----------------------------------------------------------------------------------------


def waits(*answers: int | None) -> Callable[[float], int | None]:
    """What the daemon waits with: a signal's number at the end."""
    left = list(answers)
    return lambda seconds: left.pop(0)


def settings(folder: Path, **fields: Any) -> AgentSettings:
    return AgentSettings(
        **{"store": str(folder), "host": "h1", "environment": "test", "heartbeat_interval_sec": 0.0} | fields
    )


def test_a_sign_of_life_is_sent_at_each_interval_and_at_the_end(tmp_path: Path) -> None:
    assert Daemon(settings(tmp_path)).run(waits(None, None, signal.SIGTERM)) == signal.SIGTERM
    signs = query(
        tmp_path, "SELECT agent_id, host, environment, sent_at_us >= complete_to_us FROM agent_heartbeat"
    )
    assert len(signs) == 4
    assert len(set(signs)) == 1
    assert signs[0][1:] == ("h1", "test", 1)


def test_an_error_in_the_loop_leaves_no_sample_behind(tmp_path: Path) -> None:
    def fail(seconds: float) -> int | None:
        wait_for(lambda: bool(daemon._collector.counters.recorded))
        raise KeyboardInterrupt

    daemon = Daemon(settings(tmp_path))
    with pytest.raises(KeyboardInterrupt):
        daemon.run(fail)
    assert daemon._collector.counters.pending == 0
    assert len(query(tmp_path, "SELECT 1 FROM resource_metrics")) == 2


def test_a_sign_of_life_that_cannot_be_sent_ends_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    def surprise(records: object) -> None:
        raise ZeroDivisionError("a driver's surprise")

    daemon = Daemon(settings(tmp_path))
    daemon._store.write_metrics = surprise  # type: ignore[method-assign, assignment]  # its samples go another way
    with caplog.at_level(logging.WARNING, "rpa_agent"):
        assert daemon.run(waits(None, signal.SIGTERM)) == signal.SIGTERM
    assert "a heartbeat was not stored: ZeroDivisionError: a driver's surprise" in caplog.text
    assert query(tmp_path, "SELECT 1 FROM resource_metrics")


# --- a store that opens when there is something to write --------------------------------------------


def test_a_store_is_opened_by_the_first_write_and_not_before(tmp_path: Path) -> None:
    store = DeferredStore(str(tmp_path / "store"), "daemon")
    assert not (tmp_path / "store").exists()
    store.close()
    assert store.write_metrics([execution("e1")]).inserted == 1
    store.close()
    assert store.write_metrics([execution("e1")]).duplicates == 1
    store.close()


def test_an_outage_is_said_once_left_for_check_and_cleared_when_rows_arrive(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    report_problem("daemon", "of an earlier process")
    (tmp_path / "place").touch()
    store = DeferredStore(str(tmp_path / "place" / "store"), "daemon")
    for _ in range(3):
        with pytest.raises(StoreError):
            store.write_metrics([execution("e1")])
    assert len(caplog.messages) == 1
    assert "choose one you may write to" in read_problems()[0].text
    (tmp_path / "place").unlink()
    assert store.write_metrics([execution("e1")]).inserted == 1
    assert caplog.messages[1:] == ["the store takes rows again"]
    assert read_problems() == []
    store.close()


def test_rows_for_a_database_of_an_older_schema_wait_with_the_reason_until_it_is_migrated(
    tmp_path: Path,
) -> None:
    with TimeSeriesStore(tmp_path) as opened, opened.engine.begin() as connection:
        [(version,)] = connection.exec_driver_sql("SELECT version_num FROM rpa_schema_version").fetchall()
        connection.exec_driver_sql("UPDATE rpa_schema_version SET version_num = '0000'")
    store = DeferredStore(str(tmp_path), "robot")
    collector = MetricsCollector(store.write_metrics)
    collector.record_execution_start("e1", "w1")
    assert not collector.flush(30)
    assert "rows are held back; run `rpa-analytics migrate`" in read_problems()[0].text
    with pytest.raises(SchemaVersionError):
        store.write_metrics([execution("e2")])
    connection_ = sqlite3.connect(tmp_path / "rpa.sqlite")
    with connection_:
        connection_.execute("UPDATE rpa_schema_version SET version_num = ?", (version,))
    connection_.close()
    assert collector.flush(30)
    assert read_problems() == []
    assert query(tmp_path, "SELECT execution_id FROM execution_start") == [("e1",)]
    store.close()


def test_the_rows_of_a_robot_wait_for_a_folder_that_cannot_be_written_to(tmp_path: Path) -> None:
    (tmp_path / "place").touch()
    store = DeferredStore(str(tmp_path / "place" / "store"), "robot")
    collector = MetricsCollector(store.write_metrics)
    collector.record_execution_start("e1", "w1")
    collector.record_execution_complete("e1", status="completed")
    assert not collector.flush(30)
    assert collector.counters.pending == 2
    (tmp_path / "place").unlink()
    collector.stop(60)
    assert collector.counters.pending == 0
    assert query(tmp_path / "place" / "store", "SELECT status FROM execution_metrics") == [("completed",)]
    store.close()
