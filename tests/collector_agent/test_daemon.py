"""The daemon `rpa-agent run`, as a process of its own, and the lock that lets only one run."""

import logging
import os
import signal
import sqlite3
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from analytics_lib import TimeSeriesStore
from analytics_lib.errors import RpaAnalyticsError, SchemaVersionError, SettingsError, StoreError
from analytics_lib.windows import to_us
from collector_agent import MetricsCollector, __version__
from collector_agent.agent import Daemon
from collector_agent.daemon.status import read_status, status_file
from collector_agent.deferred_store import DeferredStore
from collector_agent.machine.activity import Activity
from collector_agent.machine.daemon_lock import DaemonLock, daemon_is_running, daemon_pid, lock_file
from collector_agent.machine.identity import known_identity
from collector_agent.machine.problems import read_problems, report_problem
from collector_agent.settings import AgentSettings, state_folder
from collector_agent.spool.frames import read_frames
from collector_agent.spool.reader import sets_in
from collector_agent.spool.writer import SpoolWriter
from tests.collector_agent.robots import own_environment
from tests.collector_agent.spooled import put
from tests.collector_agent.uipath_robot import Robot, guid
from tests.collector_agent.waiting import wait_for
from tests.make import NOON, execution, step

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
            "RPA_AGENT_IDLE_INTERVAL_SEC": "0.1",
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
    segments = state_folder() / "spool"  # each begins with a header, which is no sample
    wait_for(lambda: any(len(read_frames(f.read_bytes(), 0, 2)[0]) > 1 for f in segments.glob("*/*.seg")))
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


@pytest.fixture(autouse=True)
def _quickly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("collector_agent.agent._UPKEEP_SEC", 0.02)
    monkeypatch.setattr("collector_agent.agent._STATUS_SEC", 0.0)


def until(*conditions: Callable[[], bool]) -> Callable[[float], int | None]:
    """What the daemon waits with: SIGTERM when one after the other has come true."""

    def wait(seconds: float) -> int | None:
        for condition in conditions:
            wait_for(condition)
        return signal.SIGTERM

    return wait


def settings(folder: Path, **fields: Any) -> AgentSettings:
    return AgentSettings(
        **{"store": str(folder / "store"), "host": "h1", "environment": "test", "idle_interval_sec": 3_600.0}
        | {"heartbeat_interval_sec": 0.05, "sample_resources": False}
        | fields
    )


def last_sign(folder: Path) -> dict[str, Any]:
    """The newest heartbeat."""
    connection = sqlite3.connect(folder / "store" / "rpa.sqlite")
    connection.row_factory = sqlite3.Row
    try:
        rows = connection.execute("SELECT * FROM agent_heartbeat ORDER BY sent_at_us DESC LIMIT 1").fetchall()
        return dict(rows[0])
    finally:
        connection.close()


def signs(folder: Path) -> int:
    return len(query(folder / "store", "SELECT 1 FROM agent_heartbeat"))


def test_signs_of_life_come_at_each_interval_and_a_last_one_at_the_end(tmp_path: Path) -> None:
    daemon = Daemon(settings(tmp_path, robot_id="r7"))
    assert daemon.run(until(lambda: signs(tmp_path) >= 3)) == signal.SIGTERM
    last = last_sign(tmp_path)
    assert (last["component"], last["host"], last["environment"], last["robot_id"]) == (
        "daemon",
        "h1",
        "test",
        "r7",
    )
    assert last["complete_to_us"] <= last["sent_at_us"]
    assert last["agent_version"] == __version__
    daemon = Daemon(settings(tmp_path, heartbeat_interval_sec=3_600.0))
    before = signs(tmp_path)
    daemon.run(until(lambda: signs(tmp_path) == before + 1))
    assert signs(tmp_path) == before + 2


def test_an_agent_is_the_same_one_after_a_restart(tmp_path: Path) -> None:
    for _ in range(2):
        Daemon(settings(tmp_path, sample_resources=True)).run(until(lambda: signs(tmp_path) > 0))
    named = query(
        tmp_path / "store", "SELECT agent_id FROM agent_heartbeat UNION SELECT agent_id FROM resource_metrics"
    )
    identity = known_identity()
    assert identity is not None
    assert named == [(identity.agent_id,)]


def test_the_machine_is_sampled_often_while_any_robot_runs_and_seldom_else(tmp_path: Path) -> None:
    robot = Activity()

    def samples() -> int:
        return daemon._collector.counters.recorded

    def watch(seconds: float) -> int:
        wait_for(lambda: samples() == 1)
        robot.set(True)
        wait_for(lambda: samples() >= 5)
        robot.set(False)
        wait_for(lambda: not daemon._collector._is_busy)
        before = samples()
        time.sleep(0.3)
        assert samples() <= before + 1
        return signal.SIGTERM

    daemon = Daemon(settings(tmp_path, sample_resources=True, sample_interval_sec=0.02))
    daemon.run(watch)
    stored = query(tmp_path / "store", "SELECT COUNT(*), MIN(target), MAX(target) FROM resource_metrics")
    assert stored == [(samples(), "host", "host")]


def test_what_robots_left_behind_is_delivered_and_their_sets_go(tmp_path: Path) -> None:
    spool = settings(tmp_path).spool
    robots = [SpoolWriter(spool), SpoolWriter(spool)]
    for number, robot in enumerate(robots):
        put(robot, step(f"e{number}", 1))
    robots[0].close()
    daemon = Daemon(settings(tmp_path))
    daemon.run(until(lambda: len(query(tmp_path / "store", "SELECT 1 FROM step_metrics")) == 2))
    assert len(sets_in(spool)) == 1  # of the robot that still runs; the daemon's own is gone, too
    last = last_sign(tmp_path)
    assert (last["rows_delivered"], last["rows_recorded"], last["rows_pending"]) == (2, 2, 0)
    assert (last["spool_bytes"], last["oldest_undelivered_at_us"], last["problem"]) == (0, None, "")
    robots[1].close()


def test_the_logs_of_a_uipath_robot_are_followed_to_the_end(start: Start, tmp_path: Path) -> None:
    logs, robot = tmp_path / "Logs", Robot()
    logs.mkdir()
    log = logs / "2024-03-01_Execution.log"
    log.write_text(robot.start(guid(1)) + "\n", encoding="utf-8")
    process = start(RPA_AGENT_UIPATH_LOGS=str(logs), RPA_AGENT_SAMPLE_RESOURCES="false")
    started = "SELECT execution_id, workflow_id, host FROM execution_start"
    wait_for(lambda: query(tmp_path / "store", started) == [(guid(1), "Invoices", "RPA-01")])
    with log.open("a", encoding="utf-8") as file:
        file.write(robot.end() + "\n")
    wait_for(lambda: query(tmp_path / "store", "SELECT status FROM execution_metrics") == [("completed",)])
    assert ended(process, signal.SIGTERM)[0] == 0


def test_a_sign_of_life_promises_nothing_that_waits_for_delivery_in_whatever_set(tmp_path: Path) -> None:
    def refuse(batch: object) -> None:
        raise StoreError("this table is locked")

    robot = SpoolWriter(settings(tmp_path).spool)
    put(robot, step("e1", 1), step("e1", 2))
    robot.close()
    daemon = Daemon(settings(tmp_path))
    daemon._forwarder._dispatch._deliver = refuse
    daemon.run(until(lambda: signs(tmp_path) >= 3))
    rows = query(tmp_path / "store", "SELECT complete_to_us, oldest_undelivered_at_us FROM agent_heartbeat")
    assert set(rows) == {(to_us(NOON), to_us(NOON))}  # from the first one on
    last = last_sign(tmp_path)
    assert last["rows_pending"] > 0
    assert last["spool_bytes"] > 0
    assert last["problem"] == "StoreError: this table is locked"


def test_an_error_in_the_loop_leaves_no_sample_behind(tmp_path: Path) -> None:
    def fail(seconds: float) -> int | None:
        wait_for(lambda: bool(daemon._collector.counters.recorded))
        raise KeyboardInterrupt

    daemon = Daemon(settings(tmp_path, sample_resources=True))
    with pytest.raises(KeyboardInterrupt):
        daemon.run(fail)
    assert len(query(tmp_path / "store", "SELECT 1 FROM resource_metrics")) == 2


def test_a_sign_of_life_that_cannot_be_sent_ends_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    def surprise(records: object) -> None:
        raise ZeroDivisionError("a driver's surprise")

    daemon = Daemon(settings(tmp_path, sample_resources=True))
    daemon._store.write_metrics = surprise  # type: ignore[method-assign, assignment]  # its samples go another way
    with caplog.at_level(logging.WARNING, "rpa_agent"):
        assert daemon.run(until(lambda: bool(caplog.messages))) == signal.SIGTERM
    assert caplog.messages == ["a heartbeat was not stored: ZeroDivisionError: a driver's surprise"]
    assert query(tmp_path / "store", "SELECT 1 FROM resource_metrics")


def test_a_store_that_hangs_holds_up_neither_samples_nor_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    released = threading.Event()

    def hang(rows: object) -> None:
        released.wait(60)

    monkeypatch.setattr("collector_agent.agent.STOP_TIMEOUT_SEC", 0.2)
    daemon = Daemon(settings(tmp_path, sample_resources=True, sample_interval_sec=0.02))
    daemon._store.write_metrics = hang  # type: ignore[method-assign, assignment]  # as a database does
    daemon._forwarder._dispatch._deliver = hang
    robot = Activity()
    robot.set(True)
    ending: list[float] = []

    def watch(seconds: float) -> int:
        wait_for(lambda: daemon._collector.counters.recorded >= 5)
        ending.append(time.monotonic())
        return signal.SIGTERM

    daemon.run(watch)
    assert time.monotonic() - ending[0] < 5
    assert "the store did not answer in time: rows wait in the spool" in caplog.messages
    robot.set(False)
    released.set()
    wait_for(lambda: not any(t.name.startswith("rpa-agent") for t in threading.enumerate()))


def test_the_daemon_says_how_it_stands_in_a_file_that_is_its_owners(tmp_path: Path) -> None:
    url = "postgresql://rpa:geheim@127.0.0.1:1/rpa"
    daemon = Daemon(settings(tmp_path, store=url, spool_max_bytes=5_000_000))
    daemon.run(until(lambda: bool((status := read_status()) and status.store_error)))
    status = read_status()
    assert status is not None
    assert (status.pid, status.version, status.host) == (os.getpid(), __version__, "h1")
    assert (status.spool_max_bytes, status.recording_mode) == (5_000_000, "memory")
    assert "geheim" not in status_file().read_text()
    assert "127.0.0.1" in status.store
    if os.name == "posix":
        files = [path for path in state_folder().rglob("*") if path.is_file()]
        assert {stat.S_IMODE(path.stat().st_mode) for path in files} == {0o600}


# --- a store that opens when there is something to write --------------------------------------------


def test_a_store_is_opened_by_the_first_write_and_not_before(tmp_path: Path) -> None:
    store = DeferredStore(str(tmp_path / "store"), "daemon")
    assert not (tmp_path / "store").exists()
    store.close()
    assert store.write_metrics([execution("e1")]).inserted == 1
    store.close()
    assert store.write_metrics([execution("e1")]).duplicates == 1
    store.close()


def test_beside_a_robot_sqlite_keeps_little_in_memory(tmp_path: Path) -> None:
    store = DeferredStore(str(tmp_path / "store"), "daemon")
    store.write_metrics([execution("e1")])
    with store._opened().engine.connect() as connection:
        assert connection.exec_driver_sql("PRAGMA cache_size").scalar() == -2_048
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
