"""`rpa-agent status`: says "delivering" only where rows progress, and why they do not where they do not."""

import dataclasses
import json
import os
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from analytics_lib import __version__
from collector_agent import cli
from collector_agent.daemon.status import DaemonStatus, read_status, state_of, status_file, write_status
from collector_agent.forwarder import ForwarderState
from collector_agent.machine.daemon_lock import DaemonLock
from collector_agent.machine.identity import Identity
from collector_agent.machine.problems import clear_problem, report_problem
from collector_agent.settings import AgentSettings
from collector_agent.spool.quarantine import LocalQuarantine
from collector_agent.spool.writer import SpoolWriter
from tests.collector_agent.spooled import put
from tests.make import step

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)


@pytest.fixture(autouse=True)
def _its_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("RPA_AGENT_SPOOL_FOLDER", str(tmp_path / "spool"))


def status(written_at: datetime = NOON, **fields: Any) -> DaemonStatus:
    return DaemonStatus(
        **{
            "pid": os.getpid(),
            "version": __version__,
            "agent_id": "agent-1",
            "host": "r7",
            "started_at": written_at - timedelta(hours=3),
            "written_at": written_at,
            "store": "postgresql://rpa@db/rpa",
            "recording_mode": "durable",
            "spool_folder": "/spool",
        }
        | fields
    )


def live(**fields: Any) -> DaemonStatus:
    """Of this process, and just written."""
    return status(datetime.now(UTC), **fields)


def shown(capsys: pytest.CaptureFixture[str]) -> tuple[int, str]:
    """The exit code of `rpa-agent status`, and what it prints."""
    code = cli.main(["status"])
    return code, capsys.readouterr().out


# --- what is delivered -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "state", "why"),
    [
        ({"undelivered": 0, "delivered": 10}, "nothing to deliver", ""),
        ({"undelivered": 5, "delivered": 10, "delivered_before": 9}, "delivering", ""),
        (
            {"undelivered": 5, "delivered": 10, "delivered_before": 10, "last_progress_at": NOON},
            "not delivering",
            "since 2026-03-02 12:00:00 UTC (10 s): rows wait, and none has arrived",
        ),
        (
            {"undelivered": 5, "store_error": "no route to host", "store_error_since": NOON},
            "not delivering",
            "since 2026-03-02 12:00:00 UTC (10 s): no route to host",
        ),
        ({"undelivered": 5, "written_at": NOON - timedelta(minutes=5)}, "not delivering", "does not answer"),
        ({"written_at": NOON - timedelta(minutes=5)}, "not delivering", "does not answer"),
    ],
)
def test_rows_that_wait_are_being_delivered_only_where_some_of_them_were(
    fields: dict[str, Any], state: str, why: str
) -> None:
    found, said = state_of(dataclasses.replace(status(), **fields), True, NOON + timedelta(seconds=10))
    assert found == state
    assert why in said


def test_a_daemon_that_does_not_run_delivers_nothing_whatever_it_said_last() -> None:
    said = status(undelivered=5, delivered=10, delivered_before=9)
    assert state_of(said, False, NOON)[0] == "not running"
    assert state_of(None, False, NOON)[0] == "not running"
    assert state_of(None, True, NOON)[0] == "starting"


# --- its file --------------------------------------------------------------------------------------


def test_a_status_is_read_as_it_was_written() -> None:
    assert read_status() is None
    said = status(clock_offset_ms=-1.5, oldest_undelivered_at=NOON, dropped=3, cloned_from="agent-0")
    write_status(said)
    assert read_status() == said


@pytest.mark.parametrize(
    "change",
    [
        {"pid": "1"},
        {"started_at": None},
        {"pid": None},
        {"written_at": "yesterday"},
        {"written_at": 5},
        {"delivered": True},
        {"delivered": 1.5},
        {"store": 5},
        {"clock_offset_ms": "late"},
    ],
)
def test_a_file_of_something_else_is_said_to_be_none(change: dict[str, Any]) -> None:
    write_status(status())
    content = json.loads(status_file().read_text()) | change
    status_file().write_text(json.dumps(content))
    with pytest.raises(ValueError, match=r"not what a daemon writes|isoformat"):
        read_status()


def test_a_status_of_another_version_is_read_with_what_it_has() -> None:
    write_status(status())
    content = json.loads(status_file().read_text()) | {"new_in_2030": 1}
    del content["torn"], content["cloned_from"], content["last_progress_at"]
    status_file().write_text(json.dumps(content))
    assert read_status() == status()


def test_a_status_says_what_was_delivered_since_the_one_before_and_in_the_last_minute(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from collector_agent.daemon import daemon_report

    seconds = 0.0
    monkeypatch.setattr(daemon_report.time, "monotonic", lambda: seconds)
    now = ForwarderState(complete_to=NOON)
    settings = AgentSettings(store="/s", host="r7")
    report = daemon_report.DaemonReport(settings, Identity("agent-1"), lambda: now, lambda: 2)
    delivered = []
    for seconds in (1.0, 20.0, 40.0, 60.0, 80.0, 100.0):  # noqa: B007  # the clock
        now = ForwarderState(delivered=now.delivered + 10, dropped=1, rows_pending=4, complete_to=NOON)
        said = report.status()
        delivered.append((said.delivered, said.delivered_before, said.delivered_last_minute))
    assert delivered == [(10, 0, 10), (20, 10, 20), (30, 20, 30), (40, 30, 40), (50, 40, 30), (60, 50, 30)]
    assert (said.recorded, said.dropped) == (60 + 3 + 4, 3)


# --- the page --------------------------------------------------------------------------------------


def test_without_a_daemon_it_says_so_and_what_waits_in_the_spool(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_status(status())  # of a daemon that has ended
    writer = SpoolWriter(tmp_path / "spool")
    put(writer, step("e1", 1))
    code, said = shown(capsys)
    assert code == 1
    assert said.startswith(f"rpa-agent {__version__}: not running\n")
    assert "!! daemon           does not run: start it by `rpa-agent run`" in said
    assert "in 1 sets" in said
    assert "ok recording        durable" in said
    assert "agent-1" not in said
    writer.close()


def test_a_problem_that_a_robot_left_needs_attention(capsys: pytest.CaptureFixture[str]) -> None:
    report_problem("robot-listener", "this run is not recorded: no store is named")
    code, out = shown(capsys)
    assert code == 1
    assert "!! robot-listener   this run is not recorded: no store is named" in out
    clear_problem("robot-listener")
    assert "robot-listener" not in shown(capsys)[1]


def test_a_daemon_with_nothing_to_do_is_fine(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with DaemonLock():
        write_status(live(delivered=1_234, delivered_before=1_234, delivered_last_minute=100, torn=1))
        code, said = shown(capsys)
    assert code == 0
    assert said.startswith(f"rpa-agent {__version__}: nothing to deliver\n")
    assert f"process {os.getpid()}, version {__version__}" in said
    assert "(3 h)" in said
    assert "ok agent            agent-1 on r7" in said
    assert "ok store            postgresql://rpa@db/rpa took what it was given last" in said
    assert "ok delivered        1,234 rows, 100 of them in the last minute" in said
    assert "ok lost             1 torn" in said
    assert "!!" not in said


@pytest.mark.parametrize(
    ("fields", "line"),
    [
        ({"dropped": 7}, "!! lost             7 dropped because the spool was full"),
        ({"clock_offset_ms": 5_001.0}, "!! clock            5.00 s behind that of the database"),
        (
            {"store_error": "no rights"},
            "!! store            postgresql://rpa@db/rpa takes not all: no rights",
        ),
        ({"undelivered": 9, "store_error": "no rights"}, "!! daemon           runs since"),
    ],
)
def test_what_needs_attention_is_marked_and_the_exit_code(
    fields: dict[str, Any], line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with DaemonLock():
        write_status(live(**fields))
        code, said = shown(capsys)
    assert code == 1
    assert line in said


def test_a_clock_that_is_nearly_right_and_a_clone_are_said_and_are_fine(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with DaemonLock():
        write_status(live(clock_offset_ms=-120.0, cloned_from="agent-0"))
        code, said = shown(capsys)
    assert code == 0
    assert "ok clock            0.12 s ahead of that of the database" in said
    assert "agent-1 on r7, copied from that of agent-0" in said


def test_a_spool_that_is_nearly_full_and_a_quarantine_need_attention(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("RPA_AGENT_SPOOL_MAX_BYTES", "1000000")
    writer = SpoolWriter(tmp_path / "spool")
    put(writer, *(step("e1", n, message="x" * 8_000) for n in range(110)))
    LocalQuarantine(tmp_path / "spool" / "quarantine").add("why", where="s/1/2", raw=b"x")
    with DaemonLock():
        write_status(live())
        code, said = shown(capsys)
    assert code == 1
    assert "!! spool            " in said
    assert "0.9 MB of at most 1 MB" in said
    assert "about 3," in said  # so many rows it could be
    assert "!! quarantine       1 rows are kept aside: see `rpa-agent quarantine list`" in said
    writer.close()


def later(write: Callable[[], None]) -> threading.Thread:
    """What the daemon writes next."""

    def run() -> None:
        time.sleep(0.1)
        write()

    thread = threading.Thread(target=run)
    thread.start()
    return thread


@pytest.mark.parametrize(("delivered", "state", "code"), [(11, "delivering", 0), (10, "not delivering", 1)])
def test_where_only_the_next_status_tells_whether_rows_move_it_is_waited_for(
    delivered: int, state: str, code: int, capsys: pytest.CaptureFixture[str]
) -> None:
    """Rows that were recorded just now wait for the next pass: that is neither progress nor a failure."""
    with DaemonLock():
        write_status(live(undelivered=3, delivered=10, delivered_before=10))
        thread = later(
            lambda: write_status(live(undelivered=1, delivered=delivered, delivered_before=10)),
        )
        found, said = shown(capsys)
        thread.join()
    assert said.startswith(f"rpa-agent {__version__}: {state}")
    assert found == code


def test_a_daemon_that_has_just_started_is_not_judged_by_the_one_before(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with DaemonLock():
        write_status(status(pid=1, store_error="of an earlier one"))
        _, said = shown(capsys)
    assert "runs, and has not said anything yet" in said
    assert "of an earlier one" not in said
    assert said.splitlines()[0].endswith(": starting")


def test_a_file_that_lacks_what_must_be_there_is_none_of_ours() -> None:
    write_status(status())
    content = json.loads(status_file().read_text())
    del content["pid"]
    status_file().write_text(json.dumps(content))
    with pytest.raises(ValueError, match="pid"):
        read_status()


def test_a_status_that_cannot_be_read_is_one_message(capsys: pytest.CaptureFixture[str]) -> None:
    with DaemonLock():
        status_file().write_text("[]")
        assert cli.main(["status"]) == 1
    said = capsys.readouterr()
    assert said.err.startswith("rpa-agent: it cannot be seen how it stands: ")
    assert said.err.count("\n") == 1


def test_machines_get_the_same_as_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with DaemonLock():
        write_status(live(undelivered=3, delivered=10, delivered_before=9, dropped=1))
        assert cli.main(["status", "--json"]) == 1
    said = json.loads(capsys.readouterr().out)
    assert (said["state"], said["why"], said["needs_attention"]) == ("delivering", "", ["lost"])
    assert (said["daemon_runs"], said["daemon"]["agent_id"], said["daemon"]["undelivered"]) == (
        True,
        "agent-1",
        3,
    )
    assert said["spool"] == {
        "folder": str(tmp_path / "spool"),
        "sets": 0,
        "bytes": 0,
        "max_bytes": 1 << 30,
        "undelivered": 0,
        "oldest_undelivered_at": None,
        "quarantined": 0,
    }
