"""`rpa-agent uninstall`: what goes, what stays, and what it refuses."""

import json
import os
from pathlib import Path

import pytest

from analytics_lib.errors import RpaAnalyticsError, SettingsError
from collector_agent import cli
from collector_agent.installation import owned_files
from collector_agent.installation import uninstall as module
from collector_agent.installation.uninstall import MARKER, RECORD, Installation, find_installation, uninstall
from collector_agent.machine.daemon_lock import DaemonLock
from collector_agent.recording.journal import payload_of
from collector_agent.spool.writer import SpoolWriter
from tests.make import step


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Laid out as the installer lays it out; systemctl only writes down what it was asked."""
    tools = tmp_path / "tools"
    tools.mkdir()
    (tools / "systemctl").write_text(f'#!/bin/sh\necho "$*" >> "{tmp_path}/systemctl.log"\n')
    (tools / "systemctl").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tools}:{os.environ['PATH']}")
    for name in ("old", "new"):
        (tmp_path / f"opt/venv-{name}/bin").mkdir(parents=True)
        (tmp_path / f"opt/venv-{name}" / MARKER).write_text('{"format": 1}')
    for folder in ("opt/bin", "state/running", "state/spool/quarantine", "etc"):
        (tmp_path / folder).mkdir(parents=True)
    for file in (
        "opt/bin/rpa-agent",
        "opt/install.log",
        "etc/agent.toml",
        "etc/rpa-agent.service",
        "state/agent.json",
        "state/daemon-r7.lock",
        "state/daemon-r7.status.json",
        "state/listener.problem.json",
        "state/running/r7~4711~abc",
    ):
        (tmp_path / file).touch()
    said = {
        "for_all": False,
        "settings_file": str(tmp_path / "etc/agent.toml"),
        "state": str(tmp_path / "state"),
        "spool": str(tmp_path / "state/spool"),
        "commands": [str(tmp_path / "opt/bin/rpa-agent")],
        "service": {
            "kind": "systemd",
            "name": "rpa-agent.service",
            "file": str(tmp_path / "etc/rpa-agent.service"),
            "for_all": False,
        },
        "made": [str(tmp_path / name) for name in ("state", "state/spool")],
    }
    (tmp_path / "opt" / RECORD).write_text(json.dumps(said))
    return tmp_path


def removed(machine: Path, *, purge: bool = False, discard_undelivered: bool = False) -> str:
    """Uninstalls; gives what was said."""
    said: list[str] = []
    uninstall(
        find_installation(machine / "opt/venv-new"),
        purge=purge,
        discard_undelivered=discard_undelivered,
        say=said.append,
    )
    return "\n".join(said)


def undelivered(machine: Path) -> SpoolWriter:
    writer = SpoolWriter(machine / "state/spool")
    assert writer.append(payload_of(step("e1", 1)))
    return writer


def test_settings_state_and_spool_stay_unless_they_are_purged(machine: Path) -> None:
    undelivered(machine).close()
    said = removed(machine)
    assert not (machine / "opt").exists()
    assert not (machine / "etc/rpa-agent.service").exists()
    assert (machine / "etc/agent.toml").exists()
    assert (machine / "state/agent.json").exists()
    assert len(list((machine / "state/spool").glob("*/*.seg"))) == 1
    assert f"kept: settings {machine}/etc/agent.toml" in said
    assert (machine / "systemctl.log").read_text().splitlines() == [
        "--user stop rpa-agent.service",
        "--user disable rpa-agent.service",
        "--user daemon-reload",
    ]


def test_a_purge_leaves_nothing_of_ours(machine: Path) -> None:
    removed(machine, purge=True)
    assert {path.name for path in machine.iterdir()} == {"systemctl.log", "tools"}


def test_a_purge_refuses_while_rows_are_undelivered_and_says_how_many_bytes(machine: Path) -> None:
    undelivered(machine).close()
    with pytest.raises(RpaAnalyticsError, match=r"\([\d,]+ bytes of 1 processes undelivered\): let it"):
        removed(machine, purge=True)
    assert (machine / "opt/venv-new").exists()
    assert (machine / "etc/agent.toml").exists()
    assert (machine / "systemctl.log").read_text().splitlines()[-1] == "--user start rpa-agent.service"
    removed(machine, purge=True, discard_undelivered=True)
    assert not (machine / "state").exists()


def test_a_spool_that_moved_after_the_installation_is_looked_at(machine: Path) -> None:
    (machine / "etc/agent.toml").write_text(f'store = "x"\nspool_folder = "{machine}/moved"\n')
    (machine / "state/spool").rename(machine / "moved")
    SpoolWriter(machine / "moved").append(payload_of(step("e1", 1)))
    with pytest.raises(RpaAnalyticsError, match=f"{machine}/moved"):
        removed(machine, purge=True)


def test_a_purge_refuses_while_a_robot_writes(machine: Path) -> None:
    writer = undelivered(machine)
    with pytest.raises(RpaAnalyticsError, match=r"robots write to .* \(processes: 1\): stop them"):
        removed(machine, purge=True, discard_undelivered=True)
    writer.close()
    removed(machine, purge=True, discard_undelivered=True)


def test_what_is_in_quarantine_counts_as_undelivered(machine: Path) -> None:
    (machine / "state/spool/quarantine/one.json").write_text("{}")
    with pytest.raises(RpaAnalyticsError, match="1 rows in quarantine"):
        removed(machine, purge=True)


def test_an_agent_that_still_runs_is_not_pulled_away(machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_ENDS_WITHIN_SEC", 0.0)
    monkeypatch.setenv("RPA_AGENT_STATE", str(machine / "state"))
    with DaemonLock(), pytest.raises(RpaAnalyticsError, match=rf"still runs \(process {os.getpid()}\)"):
        removed(machine)
    assert (machine / "opt/bin/rpa-agent").exists()


@pytest.mark.parametrize(
    "place", ["state/rpa.sqlite", "state/spool/rpa.sqlite", "state/spool/notes/today.txt"]
)
def test_what_somebody_else_put_into_our_folders_stays(place: str, machine: Path) -> None:
    (machine / place).parent.mkdir(exist_ok=True)
    (machine / place).write_text("not ours")
    said = removed(machine, purge=True)
    assert (machine / place).read_text() == "not ours"
    assert f"left, because it is not the agent's: {machine}/{Path(place).parent}" in said


def test_a_folder_that_the_spool_only_points_to_is_not_emptied(machine: Path) -> None:
    elsewhere = machine / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "file").touch()
    (machine / "state/spool/20261124T130512-4711-3b5c6f30").symlink_to(elsewhere)
    owned_files.remove_spool(machine / "state/spool", [])
    assert (elsewhere / "file").exists()


def test_an_environment_without_our_mark_stays(machine: Path) -> None:
    (machine / "opt/venv-mine/bin").mkdir(parents=True)
    removed(machine)
    assert [path.name for path in (machine / "opt").iterdir()] == ["venv-mine"]


def test_an_agent_that_came_by_pip_is_told_pip_s_command(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"-m pip uninstall rpa-analytics`"):
        find_installation(tmp_path)


def test_the_command_asks_unless_it_is_told_not_to(
    machine: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["uninstall", "--yes"]) == 2  # these tests' own agent came by pip
    monkeypatch.setattr(module, "find_installation", lambda: find_installation(machine / "opt/venv-new"))
    assert cli.main(["uninstall"]) == 2
    assert cli.main(["uninstall", "--discard-undelivered", "--yes"]) == 2
    said = capsys.readouterr().err
    assert "pip uninstall rpa-analytics" in said
    assert "nobody is here to be asked: say --yes" in said
    assert "--discard-undelivered belongs to --purge" in said
    assert (machine / "opt").exists()
    assert cli.main(["uninstall", "--yes"]) == 0
    assert not (machine / "opt").exists()


def test_a_record_that_cannot_be_read_is_no_reason_to_guess(machine: Path) -> None:
    (machine / "opt" / RECORD).write_text("{")
    with pytest.raises(SettingsError, match="run the installer of a bundle once more"):
        find_installation(machine / "opt/venv-new")


def test_the_machine_s_agent_is_removed_by_administrators_only(
    machine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    record = machine / "opt" / RECORD
    record.write_text(json.dumps(json.loads(record.read_text()) | {"for_all": True}))
    monkeypatch.setattr(module, "_is_privileged", lambda: False)
    with pytest.raises(SettingsError, match="as administrator"):
        removed(machine)
    assert not (machine / "systemctl.log").exists()


def test_a_task_of_windows_is_ended_and_deleted(machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("schtasks", "reg"):
        (machine / "tools" / name).write_text(f'#!/bin/sh\necho "{name} $*" >> "{machine}/calls"\n')
        (machine / "tools" / name).chmod(0o755)
    record = machine / "opt" / RECORD
    task = {
        "kind": "scheduled task",
        "name": "RPA Agent",
        "file": str(machine / "opt/task.xml"),
        "for_all": True,
    }
    record.write_text(json.dumps(json.loads(record.read_text()) | {"service": task}))
    (machine / "opt/task.xml").touch()
    monkeypatch.setenv("RPA_AGENT_STATE", str(machine / "state"))
    removed(machine)
    assert (machine / "calls").read_text().splitlines() == [
        "schtasks /End /TN RPA Agent",
        "schtasks /Delete /TN RPA Agent /F",
        f"reg delete {_VARIABLES} /v RPA_AGENT_STATE /f",
    ]
    assert not (machine / "opt").exists()


_VARIABLES = r"HKLM\SYSTEM\CurrentControlSet\Control\Session Manager\Environment"


def test_the_installer_s_record_is_what_uninstall_reads() -> None:
    """Both sides name the same things: the installer may not import the agent, so nothing else binds them."""
    from deploy.agent.installer import installation, venvs

    assert venvs.MARKER == MARKER
    source = Path(installation.__file__).read_text()
    written = {name for name in Installation.__dataclass_fields__ if name not in ("prefix", "venv")}
    assert all(f'"{name}": ' in source for name in written)
