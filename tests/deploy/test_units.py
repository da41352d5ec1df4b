"""The units of systemd and the tasks of Windows: what is in them, and what the installer makes of them."""

import configparser
import os
import shutil
import stat
import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from collector_agent.cli import build_parser
from deploy.agent.installer import programs, rights, service, settings_file
from deploy.agent.installer.places import Places, places_for_all
from deploy.agent.installer.switching import command_file
from deploy.agent.installer.systemd import Systemd
from deploy.agent.installer.venvs import Venv
from deploy.agent.installer.windows_task import WindowsTask

HERE = Path(service.__file__).parents[1]
TASKS = "{http://schemas.microsoft.com/windows/2004/02/mit/task}"
UNITS = ("rpa-agent.service", "rpa-agent-user.service")


def read(text: str) -> configparser.ConfigParser:
    unit = configparser.RawConfigParser(strict=False, allow_no_value=False)
    unit.optionxform = str  # type: ignore[assignment, method-assign]  # keys keep their case
    unit.read_string(text)
    return unit


def parsed(task: bytes) -> ET.Element:
    return ET.fromstring(task.decode("utf-16"))  # noqa: S314  # what our own installer wrote


@pytest.fixture
def windows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Places:
    """A machine whose schtasks, setx and icacls write down what they are asked."""
    for name in ("schtasks", "setx", "icacls"):
        script = f"""#!/bin/sh\nprintf '%s\\n' "{name} $*" >> "{tmp_path}/calls"\n"""
        (tmp_path / name).write_text(script)
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    data = tmp_path / "Program Data"
    prefix = tmp_path / "Program Files"
    return Places(
        True, prefix, data / "agent.toml", data, data / "state", data / "spool", prefix / "task.xml", None
    )


@pytest.mark.parametrize("name", UNITS)
def test_a_unit_starts_a_command_that_there_is(name: str) -> None:
    unit = read((HERE / name).read_text())
    program, *words = unit["Service"]["ExecStart"].split()
    assert program.endswith("/bin/rpa-agent")
    assert build_parser().parse_args(words).config is not None
    assert unit["Service"]["Restart"] == "on-failure"
    assert unit["Service"]["NoNewPrivileges"] == "yes"


@pytest.mark.parametrize("name", UNITS)
def test_systemd_finds_no_fault_in_a_unit(name: str, tmp_path: Path) -> None:
    if not shutil.which("systemd-analyze"):
        pytest.skip("there is no systemd-analyze")
    text = (HERE / name).read_text()
    [start] = [line for line in text.splitlines() if line.startswith("ExecStart=")]
    (tmp_path / name).write_text(text.replace(start, f"ExecStart={sys.executable} run"))
    # The user's manager needs a session's folder; what is checked is the same.
    command = ["systemd-analyze", "verify", "--man=no", str(tmp_path / name)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


def test_the_machine_s_unit_may_write_where_this_installation_writes(tmp_path: Path) -> None:
    places = places_for_all(tmp_path / "My Agent", tmp_path)
    unit = read(Systemd(places, HERE).written(Venv(tmp_path), [Path("/srv/rows 100%")]).decode())["Service"]
    assert unit["ReadWritePaths"] == f'{tmp_path}/var/lib/rpa-agent "-/srv/rows 100%%"'
    assert unit["ExecStart"] == (
        f'"{tmp_path}/My Agent/bin/rpa-agent" run --config {tmp_path}/etc/rpa-agent/agent.toml'
    )
    assert unit["ProtectSystem"] == "strict"


def test_the_command_keeps_a_state_folder_that_was_named(tmp_path: Path) -> None:
    python = tmp_path / "it's new" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text('#!/bin/sh\necho "$RPA_AGENT_STATE" "$@"\n')
    python.chmod(0o755)
    places = places_for_all(None, tmp_path)
    (tmp_path / "agent").write_bytes(command_file(Venv(tmp_path / "it's new"), places))
    (tmp_path / "agent").chmod(0o755)
    for given, expected in (({}, str(places.state)), ({"RPA_AGENT_STATE": "/other"}, "/other")):
        environment = {"PATH": os.environ["PATH"], **given}
        command = [tmp_path / "agent", "import", "a b"]
        done = subprocess.run(command, capture_output=True, text=True, env=environment, check=True)
        assert done.stdout == f"{expected} -I -m collector_agent.cli import a b\n"


def test_a_task_names_the_version_s_own_python(windows: Places) -> None:
    venv = Venv(windows.prefix / "venv-1")
    task = parsed(WindowsTask(windows, HERE).written(venv, []))
    assert task.findtext(f".//{TASKS}Command") == f'"{venv.python}"'
    words = f'-I -m collector_agent.cli run --config "{windows.settings_file}"'
    assert task.findtext(f".//{TASKS}Arguments") == words
    assert task.findtext(f".//{TASKS}UserId") == "S-1-5-19"
    assert task.findtext(f".//{TASKS}MultipleInstancesPolicy") == "IgnoreNew"
    assert task.findtext(f".//{TASKS}ExecutionTimeLimit") == "PT0S"


def test_an_account_s_task_runs_as_that_account_without_a_window(
    windows: Places, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("USERDOMAIN", "OFFICE")
    monkeypatch.setenv("USERNAME", "müller & co")
    places = Places(False, *(getattr(windows, name) for name in Places.__slots__[1:]))
    made = WindowsTask(places, HERE)
    task = parsed(made.written(Venv(windows.prefix / "venv-1"), []))
    assert task.findtext(f".//{TASKS}UserId") == "OFFICE\\müller & co"
    assert "pythonw.exe" in str(task.findtext(f".//{TASKS}Command"))
    assert made.said()["name"] == "RPA Agent (müller & co)"


def test_a_task_is_made_started_and_found_by_its_name(windows: Places, tmp_path: Path) -> None:
    made = WindowsTask(windows, HERE)
    made.register()
    made.start()
    assert (tmp_path / "calls").read_text().splitlines() == [
        f"schtasks /Create /TN RPA Agent /XML {windows.service_file} /F",
        f"setx RPA_AGENT_STATE {windows.state} /M",
        "schtasks /End /TN RPA Agent",
        "schtasks /Run /TN RPA Agent",
    ]


def test_on_windows_folders_are_closed_to_all_but_the_service_and_robots(
    windows: Places, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rights.sys, "platform", "win32")
    made = rights.make_folders(windows, [windows.data, windows.state])
    rights.share(windows, ["OFFICE\\robot1"])
    windows.settings_file.touch()
    rights.protect_settings(windows, secret=True)
    monkeypatch.undo()
    assert made == [windows.data, windows.state]
    calls = (tmp_path / "calls").read_text().splitlines()
    assert calls[0] == (
        f"icacls {windows.data} /inheritance:r /grant:r *S-1-5-18:(OI)(CI)F *S-1-5-32-544:(OI)(CI)F "
        "*S-1-5-19:(OI)(CI)M *S-1-5-32-545:(RX)"
    )
    assert f"icacls {windows.spool} /grant OFFICE\\robot1:(OI)(CI)M" in calls
    assert "S-1-5-32-545" not in calls[-1]  # no other account reads a password


def test_on_linux_robots_of_the_group_may_write_to_spool_and_state(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rights.shutil, "chown", lambda *_: None)
    places = places_for_all(None, tmp_path)
    store = tmp_path / "srv" / "rows"
    rights.make_folders(places, [places.data, places.state, places.spool, store])
    modes = [stat.S_IMODE(path.stat().st_mode) for path in (places.data, places.state, places.spool, store)]
    assert modes == [0o750, 0o2770, 0o2770, 0o750]
    places.spool.chmod(0o700)
    assert rights.make_folders(places, [places.spool]) == []  # what is there keeps its rights
    assert stat.S_IMODE(places.spool.stat().st_mode) == 0o700


@pytest.mark.parametrize(("secret", "mode"), [(True, 0o600), (False, 0o644)])
def test_only_settings_without_a_password_are_for_all_accounts(
    secret: bool, mode: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rights.shutil, "chown", lambda *_: None)
    places = places_for_all(None, tmp_path)
    settings_file.write_new(places.settings_file, "")
    rights.protect_settings(places, secret=secret)
    assert stat.S_IMODE(places.settings_file.stat().st_mode) == mode


def test_a_program_that_is_not_there_is_an_answer_and_no_crash() -> None:
    code, _, complaint = programs.call(["no-such-program"])
    assert code == 127
    assert "cannot be started" in complaint
