import sys
from pathlib import Path

import pytest

from collector_agent.machine import locations
from collector_agent.machine.daemon_lock import daemon_is_running
from collector_agent.machine.locations import default_settings_file, state_folder


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A person on a machine where nothing else is set."""
    for name in (
        "RPA_AGENT_STATE",
        "XDG_CONFIG_HOME",
        "XDG_STATE_HOME",
        "APPDATA",
        "LOCALAPPDATA",
        "PROGRAMDATA",
    ):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(Path, "home", lambda: tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("platform", "settings", "state"),
    [
        ("linux", ".config/rpa-agent/agent.toml", ".local/state/rpa-agent"),
        (
            "darwin",
            "Library/Application Support/rpa-agent/agent.toml",
            "Library/Application Support/rpa-agent/state",
        ),
        ("win32", "AppData/Roaming/rpa-agent/agent.toml", "AppData/Local/rpa-agent"),
    ],
)
def test_each_platform_has_its_places(
    platform: str, settings: str, state: str, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "platform", platform)
    assert default_settings_file() == home / settings
    assert state_folder() == home / state


def test_the_places_of_the_desktop_count_where_they_are_absolute(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(home / "elsewhere"))
    monkeypatch.setenv("XDG_STATE_HOME", "relative")
    assert default_settings_file() == home / "elsewhere" / "rpa-agent" / "agent.toml"
    assert state_folder() == home / ".local" / "state" / "rpa-agent"


def test_the_machines_file_counts_where_the_person_has_none(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "platform", "win32")
    monkeypatch.setenv("PROGRAMDATA", str(home / "all"))
    shared = home / "all" / "rpa-agent" / "agent.toml"
    shared.parent.mkdir(parents=True)
    shared.touch()
    assert default_settings_file() == shared
    own = home / "AppData" / "Roaming" / "rpa-agent" / "agent.toml"
    own.parent.mkdir(parents=True)
    own.touch()
    assert default_settings_file() == own


def test_a_folder_that_may_not_be_looked_into_hides_the_machines_file_and_not_the_persons(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "platform", "win32")
    monkeypatch.setenv("PROGRAMDATA", str(home / "all"))

    def is_file(path: Path) -> bool:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, "is_file", is_file)
    assert default_settings_file() == home / "all" / "rpa-agent" / "agent.toml"


def test_the_state_folder_can_be_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("RPA_AGENT_STATE", "state")
    assert state_folder() == tmp_path / "state"


def test_an_account_without_a_home_has_a_state_folder_too(monkeypatch: pytest.MonkeyPatch) -> None:
    def nowhere() -> Path:
        raise RuntimeError("no home")

    monkeypatch.setattr(Path, "home", nowhere)
    monkeypatch.delenv("RPA_AGENT_STATE")
    monkeypatch.delenv("XDG_STATE_HOME", raising=False)
    assert state_folder().is_absolute()


def test_a_home_that_nobody_has_stops_nothing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("RPA_AGENT_STATE", "~nobody-has-this-name/state")
    assert state_folder() == tmp_path / "~nobody-has-this-name" / "state"
    assert daemon_is_running() is False
    assert locations.expanded(Path("~nobody-has-this-name")) == Path("~nobody-has-this-name")
