"""What is written where, on each platform, for all accounts of the machine or for one."""

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_NAME: Final = "rpa-agent"
STATE_VARIABLE: Final = "RPA_AGENT_STATE"


@dataclass(frozen=True, slots=True)
class Places:
    """The folders and files of one installation."""

    for_all: bool  # of the machine, or of the account that installs
    prefix: Path  # the programs
    settings_file: Path
    data: Path  # what the agent writes: the two below
    state: Path
    spool: Path
    service_file: Path  # what the service manager reads
    on_path: Path | None  # where the command is found without its folder

    @property
    def command(self) -> Path:
        """Starts the installed version; stays the same over upgrades."""
        return self.prefix / f"{_NAME}.cmd" if sys.platform == "win32" else self.prefix / "bin" / _NAME

    @property
    def record(self) -> Path:
        """Says what is installed, and what the installer made."""
        return self.prefix / "installed.json"


def places_for_all(prefix: Path | None, root: Path, environment: Mapping[str, str] = os.environ) -> Places:
    """Of the machine. `root`: the root folder (on Windows not used)."""
    if sys.platform == "win32":
        programs = Path(
            environment.get("ProgramW6432") or environment.get("ProgramFiles", r"C:\Program Files")
        )
        data = Path(environment.get("PROGRAMDATA", r"C:\ProgramData")) / _NAME
        folder = prefix or programs / _NAME
        return Places(
            True, folder, data / "agent.toml", data, data / "state", data / "spool", folder / "task.xml", None
        )
    data = root / "var/lib" / _NAME
    return Places(
        True,
        prefix or root / "opt" / _NAME,
        root / "etc" / _NAME / "agent.toml",
        data,
        data / "state",
        data / "spool",
        root / "etc/systemd/system" / f"{_NAME}.service",
        None if prefix else root / "usr/local/bin" / _NAME,
    )


def places_for_me(prefix: Path | None, home: Path, environment: Mapping[str, str] = os.environ) -> Places:
    """Of the account that installs: where the agent looks by itself, so that no variable is needed."""
    if sys.platform == "win32":
        roaming = _folder(environment, "APPDATA", home / "AppData" / "Roaming")
        data = _folder(environment, "LOCALAPPDATA", home / "AppData" / "Local") / _NAME
        folder = prefix or data.with_name("Programs") / _NAME
        file = roaming / _NAME / "agent.toml"
        return Places(False, folder, file, data, data, data / "spool", folder / "task.xml", None)
    config = _folder(environment, "XDG_CONFIG_HOME", home / ".config")
    data = _folder(environment, "XDG_STATE_HOME", home / ".local" / "state") / _NAME
    return Places(
        False,
        prefix or home / ".local" / "share" / _NAME,
        config / _NAME / "agent.toml",
        data,
        data,
        data / "spool",
        config / "systemd/user" / f"{_NAME}.service",
        None if prefix else home / ".local/bin" / _NAME,
    )


def _folder(environment: Mapping[str, str], variable: str, otherwise: Path) -> Path:
    given = Path(environment.get(variable, ""))
    return given if given.is_absolute() else otherwise
