"""The installer in a home folder of its own, with a stand-in for the agent and one for systemctl."""

import json
import os
import shutil
import stat
import subprocess
import sys
import tomllib
from dataclasses import dataclass
from pathlib import Path

import pip
import pytest

from collector_agent.machine import locations
from collector_agent.setting_table import SETTINGS
from collector_agent.settings import has_password
from deploy.agent.installer import installation, main, places, settings_file, systemd, venvs
from deploy.agent.installer.bundle import Bundle, open_bundle
from deploy.agent.installer.errors import ArgumentsError, BundleDamagedError
from deploy.agent.installer.venvs import Venv
from tests.deploy.stand_in import (
    PYTHON,
    SYSTEMCTL,
    agent_wheel,
    bundle_of,
    environment_by_hand,
    record,
    tampered,
)

TEMPLATE = Path(main.__file__).parents[1] / "agent.toml"


@dataclass
class Machine:
    """A home folder with an installer's view of it."""

    home: Path
    wheels: Path
    log: Path

    @property
    def prefix(self) -> Path:
        return self.home / ".local/share/rpa-agent"

    @property
    def command(self) -> Path:
        return self.home / ".local/bin/rpa-agent"

    @property
    def settings(self) -> Path:
        return self.home / ".config/rpa-agent/agent.toml"

    @property
    def state(self) -> Path:
        return self.home / ".local/state/rpa-agent"

    def bundle(self, version: str, **how: object) -> Path:
        return bundle_of(self.wheels, agent_wheel(self.wheels, version, **how))  # type: ignore[arg-type]

    def install(self, bundle: Path, *words: str) -> int:
        return main.main(["--user", "--silent", *words], bundle)

    @property
    def running(self) -> str:
        """The version that runs; '' for none."""
        return (self.state / "runs").read_text() if (self.state / "runs").exists() else ""

    @property
    def environments(self) -> list[str]:
        return sorted(path.name.split("-")[1] for path in self.prefix.glob("venv-*"))

    def says_version(self) -> str:
        done = subprocess.run([self.command, "--version"], capture_output=True, text=True, check=True)
        return done.stdout.split()[-1]


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    home, wheels, tools = (tmp_path / name for name in ("home", "wheels", "tools"))
    for folder in (home, wheels, tools):
        folder.mkdir()
    made = Machine(home, wheels, tmp_path / "systemctl.log")
    fake = SYSTEMCTL.format(log=made.log, state=made.state, command=made.prefix / "bin/rpa-agent")
    for name in ("systemctl", "loginctl"):
        (tools / name).write_text(fake if name == "systemctl" else "#!/bin/sh\n")
        (tools / name).chmod(0o755)
    for name in ("XDG_CONFIG_HOME", "XDG_STATE_HOME", "RPA_AGENT_STATE", "RPA_AGENT_STORE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("PATH", f"{tools}:{os.environ['PATH']}")
    monkeypatch.setattr(systemd, "_BOOTED", tools)  # systemd is in charge, as far as the installer sees

    def built(bundle: Bundle, venv: Venv) -> None:
        venvs.remove(venv)
        environment_by_hand(bundle.folder, venv.folder)
        venvs._mark(venv, bundle, complete=True)

    monkeypatch.setattr(installation.venvs, "build", built)
    monkeypatch.setattr(installation, "_RUNS_WITHIN_SEC", 0.2)
    monkeypatch.setattr("deploy.agent.installer.proving._PAUSE_SEC", 0.01)
    return made


def test_a_first_installation_writes_settings_and_starts_the_service(
    machine: Machine, capsys: pytest.CaptureFixture[str]
) -> None:
    bundle = machine.bundle("0.1.0")
    assert machine.install(bundle, "--store", "postgresql://rpa@db/rpa", "--robot-id", 'robot "7"') == 0
    assert tomllib.loads(machine.settings.read_text()) == {
        "store": "postgresql://rpa@db/rpa",
        "robot_id": 'robot "7"',
        "spool_folder": str(machine.state / "spool"),
    }
    assert stat.S_IMODE(machine.settings.stat().st_mode) == 0o600
    assert stat.S_IMODE((machine.state / "spool").stat().st_mode) == 0o700
    assert machine.running == machine.says_version() == "0.1.0"
    unit = (machine.home / ".config/systemd/user/rpa-agent.service").read_text()
    assert f"\nExecStart={machine.prefix}/bin/rpa-agent run --config {machine.settings}\n" in unit
    assert f"\nEnvironment=PYTHONOPTIMIZE=2 RPA_AGENT_STATE={machine.state}\n" in unit
    assert "--user enable rpa-agent.service" in machine.log.read_text()
    said = capsys.readouterr().out
    assert "installed: rpa-agent 0.1.0" in said
    assert (machine.prefix / "install.log").read_text().endswith(said.splitlines()[-1] + "\n")


def test_a_second_run_changes_nothing_and_leaves_the_service_alone(
    machine: Machine, capsys: pytest.CaptureFixture[str]
) -> None:
    bundle = machine.bundle("0.1.0")
    assert machine.install(bundle, "--store", "postgresql://db/rpa") == 0
    before = {path: path.read_bytes() for path in machine.home.rglob("*") if path.is_file()}
    machine.log.unlink()
    assert machine.install(bundle, "--store", "another") == 0
    after = {path: path.read_bytes() for path in machine.home.rglob("*") if path.is_file()}
    log = machine.prefix / "install.log"
    assert {**before, log: b""} == {**after, log: b""}
    assert "restart" not in machine.log.read_text()
    said = capsys.readouterr().out
    assert "installed already: rpa-agent 0.1.0" in said
    assert "what the command line says of settings is not used" in said


def test_an_upgrade_keeps_settings_and_spool_and_removes_the_old_programs(machine: Machine) -> None:
    machine.install(machine.bundle("0.1.0"), "--store", "postgresql://db/rpa")
    machine.settings.write_text('store = "postgresql://db/rpa"\nqueue = "mine"\n')
    (machine.state / "spool" / "rows").write_text("undelivered")
    assert machine.install(machine.bundle("0.2.0")) == 0
    assert machine.running == machine.says_version() == "0.2.0"
    assert machine.environments == ["0.2.0"]
    assert machine.settings.read_text() == 'store = "postgresql://db/rpa"\nqueue = "mine"\n'
    assert (machine.state / "spool" / "rows").read_text() == "undelivered"


@pytest.mark.parametrize(
    ("broken", "says"),
    [
        ({"store": "breaks"}, "the check broke"),
        ({"store": "attention"}, "what worked needs attention with 0.2.0: store: the store of 0.2.0"),
        ({"known": "store"}, "0.2.0 says: unknown setting spool_folder"),
        ({"runs": False}, "the service was started and does not run; `journalctl --user"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_a_version_that_does_not_work_leaves_the_old_one_running(
    broken: dict[str, object], says: str, machine: Machine, capsys: pytest.CaptureFixture[str]
) -> None:
    machine.install(machine.bundle("0.1.0"), "--store", "postgresql://db/rpa")
    before = record(machine.prefix)
    assert machine.install(machine.bundle("0.2.0", **broken)) == 5
    said = capsys.readouterr().out
    assert "rpa-agent: 0.1.0 stays: " in said
    assert says in said
    assert machine.running == machine.says_version() == "0.1.0"
    assert machine.environments == ["0.1.0"]
    assert record(machine.prefix) == before
    assert machine.install(machine.bundle("0.3.0")) == 0  # and a good one can still come
    assert machine.running == "0.3.0"


def test_what_was_amiss_before_does_not_stop_an_upgrade(machine: Machine) -> None:
    """A database that is down is nothing that the new version did."""
    assert machine.install(machine.bundle("0.1.0", store="attention"), "--store", "postgresql://db/rpa") == 0
    assert machine.install(machine.bundle("0.2.0", store="attention")) == 0
    assert machine.running == "0.2.0"


def test_a_first_installation_that_fails_leaves_nothing_behind(machine: Machine) -> None:
    assert machine.install(machine.bundle("0.1.0", store="breaks"), "--store", "postgresql://db/rpa") == 5
    assert machine.install(machine.bundle("0.2.0", known="nothing"), "--store", "postgresql://db/rpa") == 2
    assert not machine.settings.exists()
    assert machine.environments == []
    assert not machine.command.exists()
    assert not machine.state.exists()


def test_a_service_that_does_not_start_is_another_exit_code(machine: Machine) -> None:
    assert machine.install(machine.bundle("0.1.0", runs=False), "--store", "postgresql://db/rpa") == 6
    assert machine.says_version() == "0.1.0"


def test_an_image_of_a_machine_gets_an_agent_that_does_not_run_yet(
    machine: Machine, capsys: pytest.CaptureFixture[str]
) -> None:
    assert machine.install(machine.bundle("0.1.0"), "--store", "postgresql://db/rpa", "--no-start") == 0
    assert machine.running == ""
    assert "enable rpa-agent.service" in machine.log.read_text()
    assert "rpa-agent.service starts with the machine" in capsys.readouterr().out


def test_an_interrupted_installation_is_begun_anew(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    bundle = machine.bundle("0.1.0")
    opened = open_bundle(bundle)
    venv = venvs.venv_for(opened, machine.prefix)
    (venv.folder / "lib").mkdir(parents=True)
    venvs._mark(venv, opened, complete=False)
    assert machine.install(bundle, "--store", "postgresql://db/rpa") == 0
    assert machine.says_version() == "0.1.0"


def test_an_environment_whose_python_was_removed_is_made_anew(machine: Machine) -> None:
    bundle = machine.bundle("0.1.0")
    machine.install(bundle, "--store", "postgresql://db/rpa")
    [python] = machine.prefix.glob("venv-*/bin/python")
    python.unlink()
    python.symlink_to("/nowhere/python3.11")
    assert machine.install(bundle) == 0
    assert machine.says_version() == "0.1.0"


def test_another_bundle_of_the_same_version_is_an_upgrade(machine: Machine) -> None:
    bundle = machine.bundle("0.1.0")
    machine.install(bundle, "--store", "postgresql://db/rpa")
    before = record(machine.prefix)
    tampered(bundle, "agent.toml")
    assert machine.install(bundle) == 0
    assert record(machine.prefix)["venv"] != before["venv"]
    assert machine.environments == ["0.1.0"]


def test_a_foreign_command_of_the_same_name_is_left_alone(machine: Machine) -> None:
    machine.command.parent.mkdir(parents=True)
    machine.command.write_text("somebody else's")
    assert machine.install(machine.bundle("0.1.0"), "--store", "postgresql://db/rpa") == 0
    assert machine.command.read_text() == "somebody else's"


# --- settings --------------------------------------------------------------------------------------------


def test_a_password_is_taken_from_no_command_line(
    machine: Machine, capsys: pytest.CaptureFixture[str]
) -> None:
    assert machine.install(machine.bundle("0.1.0"), "--store", "postgresql://rpa:geheim@db/rpa") == 2
    said = capsys.readouterr().out
    assert "a password does not belong on the command line" in said
    assert "geheim" not in said
    assert not machine.prefix.exists()


def test_a_password_comes_from_the_variable_and_is_shown_nowhere(
    machine: Machine, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("RPA_AGENT_STORE", "postgresql://rpa:geheim@db/rpa")
    assert machine.install(machine.bundle("0.1.0")) == 0
    assert tomllib.loads(machine.settings.read_text())["store"] == "postgresql://rpa:geheim@db/rpa"
    assert stat.S_IMODE(machine.settings.stat().st_mode) == 0o600
    assert "geheim" not in capsys.readouterr().out
    holders = [path for path in machine.home.rglob("*") if path.is_file() and b"geheim" in path.read_bytes()]
    assert holders == [machine.settings]


def test_a_file_that_was_prepared_is_taken_as_it_is(machine: Machine, tmp_path: Path) -> None:
    (tmp_path / "site.toml").write_bytes(b'\xef\xbb\xbf# ours\nstore = "rows"\n')
    assert machine.install(machine.bundle("0.1.0"), "--config", str(tmp_path / "site.toml")) == 0
    assert machine.settings.read_text() == '# ours\nstore = "rows"\n'
    assert (machine.settings.parent / "rows").is_dir()  # beside the file, as the agent reads it


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ((), "no store is named"),
        (("--config", "/nowhere.toml"), "cannot be read: No such file"),
        (("--config", "/x.toml", "--queue", "q"), "a settings file by --config or single settings, not both"),
        (
            ("--store", "postgresql://db/rpa", "--robot-account", "r"),
            "--robot-account is for an installation of the machine",
        ),
    ],
)
def test_what_is_missing_or_contradicts_itself_is_said_before_anything_is_done(
    words: tuple[str, ...], says: str, machine: Machine, capsys: pytest.CaptureFixture[str]
) -> None:
    assert machine.install(machine.bundle("0.1.0"), *words) == 2
    assert says in capsys.readouterr().out
    assert list(machine.home.iterdir()) == []


def test_the_template_shows_every_setting_with_its_default() -> None:
    text = TEMPLATE.read_text()
    assert tomllib.loads(text) == {}
    lines = [line.removeprefix("# ") for line in text.splitlines() if " = " in line and line.startswith("# ")]
    shown = tomllib.loads("\n".join(lines))
    assert set(shown) == {setting.name for setting in SETTINGS}
    for setting in SETTINGS:
        assert setting.check(shown[setting.name]) is not None
        if setting.default and setting.name != "host":
            assert tomllib.loads(f"it = {setting.default}")["it"] == shown[setting.name], setting.name


@pytest.mark.parametrize("value", ["C:\\rpa\\new", 'a "name"', "Zürich", "it's"])
def test_what_is_filled_in_is_what_the_agent_reads(value: str) -> None:
    filled = settings_file.filled_in(TEMPLATE.read_text(), {"store": value, "queue": ""})
    assert tomllib.loads(filled) == {"store": value}


def test_a_value_with_a_line_break_cannot_smuggle_in_a_setting() -> None:
    with pytest.raises(ArgumentsError, match="not printable"):
        settings_file.filled_in(TEMPLATE.read_text(), {"queue": 'x"\nstore = "y'})


@pytest.mark.parametrize(
    "location",
    [
        "postgresql://rpa:geheim@db/rpa",
        "postgresql://rpa@db/rpa",
        "postgresql://db/rpa?password=x",
        "/data/rpa",
        "C:\\rpa",
    ],
)
def test_installer_and_agent_agree_on_what_a_password_is(location: str) -> None:
    assert settings_file.has_password(location) == has_password(location)


# --- places ----------------------------------------------------------------------------------------------


def test_an_account_s_files_lie_where_the_agent_looks(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in (None, "XDG_CONFIG_HOME", "XDG_STATE_HOME"):
        if name:
            monkeypatch.setenv(name, str(machine.home / name))
        found = places.places_for_me(None, machine.home)
        assert found.settings_file == locations.default_settings_file()
        assert found.state == locations.state_folder()


def test_the_machine_s_settings_lie_where_the_agent_looks(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = places.places_for_all(None, Path("/"))
    monkeypatch.setattr(Path, "is_file", lambda path: path == found.settings_file)
    assert locations.default_settings_file() == found.settings_file


# --- the bundle ------------------------------------------------------------------------------------------


def test_a_bundle_that_is_not_whole_is_refused(machine: Machine, capsys: pytest.CaptureFixture[str]) -> None:
    bundle = machine.bundle("0.1.0")
    [wheel] = (bundle / "wheels").iterdir()
    content = wheel.read_bytes()
    wheel.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    assert machine.install(bundle, "--store", "postgresql://db/rpa") == 4
    assert f"{wheel} is not as it was packed" in capsys.readouterr().out
    wheel.unlink()
    assert machine.install(bundle, "--store", "postgresql://db/rpa") == 4
    wheel.write_bytes(content)
    stranger = shutil.copy(wheel, wheel.with_name("rpa_analytics-9.9.9-py3-none-any.whl"))
    assert machine.install(bundle, "--store", "postgresql://db/rpa") == 4
    assert f"{stranger} does not belong to this bundle" in capsys.readouterr().out
    assert list(machine.home.iterdir()) == []


@pytest.mark.parametrize("name", ["../outside", "/etc/passwd", "wheels/../../x", "C:/x"])
def test_a_manifest_names_nothing_outside_its_folder(name: str, machine: Machine) -> None:
    bundle = machine.bundle("0.1.0")
    (bundle / "SHA256SUMS").write_text(f"{'0' * 64}  {name}\n")
    with pytest.raises(BundleDamagedError, match="SHA256SUMS is damaged"):
        open_bundle(bundle)


def test_a_bundle_of_another_platform_is_refused(
    machine: Machine, capsys: pytest.CaptureFixture[str]
) -> None:
    bundle = machine.bundle("0.1.0")
    said = json.loads((bundle / "bundle.json").read_text())
    (bundle / "bundle.json").write_text(json.dumps({**said, "platform": "win_amd64"}))
    tampered(bundle, "bundle.json")
    assert machine.install(bundle, "--store", "postgresql://db/rpa") == 3
    assert "this bundle is for win_amd64" in capsys.readouterr().out


def test_pip_installs_from_the_bundle_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The one test with a real venv and pip; PIP_ settings of whoever installs must not lead it elsewhere."""
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:1/")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "elsewhere"))
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "elsewhere"))
    # This environment's pip, alone: its own wheel would have to be compiled in each run.
    (tmp_path / "pip").mkdir()
    (tmp_path / "pip" / "pip").symlink_to(Path(pip.__file__).parent)
    monkeypatch.setattr(Bundle, "wheel_of", lambda *_: tmp_path / "pip")
    bundle = open_bundle(bundle_of(tmp_path, agent_wheel(tmp_path, "0.1.0")))
    venv = venvs.venv_for(bundle, tmp_path / "prefix")
    venvs.build(bundle, venv)
    assert venvs.is_usable(venv)
    done = subprocess.run([*venv.command, "--version"], capture_output=True, text=True, check=True)
    assert done.stdout == "rpa-agent 0.1.0\n"
    assert venvs.remove(venv)
    assert list((tmp_path / "prefix").iterdir()) == []


def test_the_launcher_starts_the_installer_of_its_folder(machine: Machine) -> None:
    command = [sys.executable, str(machine.bundle("0.1.0") / "install.py"), "--help"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "--robot-account" in done.stdout
    assert not list(machine.wheels.rglob("__pycache__"))
    assert PYTHON in ("3.11", "3.12", "3.13")
