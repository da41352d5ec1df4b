"""Takes an agent off the machine that the installer of a bundle put there, and nothing that is not its own.

The installer leaves a mark in the virtual environment that it made, and a record of what else it made
beside it. Settings, state and spool stay unless they are to be purged; rows that nobody has delivered
yet go only where somebody said so.
"""

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from analytics_lib.errors import RpaAnalyticsError, SettingsError
from collector_agent.installation.installed_service import InstalledService
from collector_agent.installation.owned_files import (
    Undelivered,
    remove_if_empty,
    remove_settings,
    remove_spool,
    remove_state,
    undelivered_in,
)
from collector_agent.machine.daemon_lock import daemon_is_running, daemon_pid
from collector_agent.machine.locations import STATE_VARIABLE
from collector_agent.settings import load_settings

MARKER: Final = "rpa-agent-installed.json"  # in the virtual environment
RECORD: Final = "installed.json"  # beside it
_ENDS_WITHIN_SEC: Final = 15.0
_PAUSE_SEC: Final = 0.2
# Windows removes no program that runs: another Python does it as soon as this one has ended.
_REMOVE_LATER: Final = """
import os, shutil, sys, time
prefix, folders = sys.argv[1], sys.argv[2:]
for _ in range(120):
    for folder in folders:
        shutil.rmtree(folder, ignore_errors=True)
    if not any(map(os.path.exists, folders)):
        break
    time.sleep(0.5)
try:
    os.rmdir(prefix)
except OSError:
    pass
"""


@dataclass(frozen=True, slots=True)
class Installation:
    """What the installer recorded of itself."""

    prefix: Path
    venv: Path
    for_all: bool
    settings_file: Path
    state: Path
    spool: Path
    commands: tuple[Path, ...]
    service: Mapping[str, Any] | None
    made: frozenset[Path]


def find_installation(environment: Path | None = None) -> Installation:
    """The installation that this Python belongs to. Raises SettingsError where no installer made it."""
    venv = environment or Path(sys.prefix)
    try:
        if json.loads((venv / MARKER).read_bytes())["format"] != 1:
            raise ValueError("another format")
        said = json.loads((venv.parent / RECORD).read_bytes())
        return Installation(
            prefix=venv.parent,
            venv=venv,
            for_all=bool(said["for_all"]),
            settings_file=Path(said["settings_file"]),
            state=Path(said["state"]),
            spool=Path(said["spool"]),
            commands=tuple(Path(path) for path in said["commands"]),
            service=said["service"],
            made=frozenset(Path(path) for path in said["made"]),
        )
    except FileNotFoundError:
        raise SettingsError(
            f"no installer put this agent here, pip did: `{sys.executable} -m pip uninstall rpa-analytics` "
            "(with uv: `uv pip uninstall rpa-analytics`); settings and state stay where `rpa-agent check` "
            "shows them"
        ) from None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise SettingsError(
            f"the installer's record in {venv.parent} cannot be read ({error}): run the installer of a "
            "bundle once more, then uninstall"
        ) from None


def uninstall(
    installation: Installation, *, purge: bool, discard_undelivered: bool, say: Callable[[str], None]
) -> None:
    """Stops and removes service, commands and programs; with `purge` settings, state and spool, too.

    Raises RpaAnalyticsError where something must be decided first: then nothing was removed.
    """
    if installation.for_all and not _is_privileged():
        raise SettingsError(
            "it was installed for this machine: run `rpa-agent uninstall` as administrator (sudo)"
        )
    os.environ[STATE_VARIABLE] = str(installation.state)  # where its daemon is to be looked for
    installation = replace(installation, spool=_spool_of(installation))
    service = InstalledService(installation.service, say)
    service.stop()
    try:
        _check_that_nobody_needs_it(installation, purge=purge, discard_undelivered=discard_undelivered)
    except RpaAnalyticsError:
        service.start()
        raise
    service.remove(installation.state)
    if purge:
        for kept in (
            *remove_spool(installation.spool, installation.made),
            *remove_state(installation.state, installation.made),
            *remove_settings(installation.settings_file, installation.made),
        ):
            say(f"left, because it is not the agent's: {kept}")
        say("removed: settings, state and spool")
    else:
        say(
            f"kept: settings {installation.settings_file}, state {installation.state}, "
            f"spool {installation.spool}"
        )
    for command in installation.commands:
        command.unlink(missing_ok=True)
    remove_if_empty(installation.prefix / "bin")
    for name in (RECORD, "install.log"):
        (installation.prefix / name).unlink(missing_ok=True)
    _remove_programs(installation, say)


def _spool_of(installation: Installation) -> Path:
    """Where the settings have it now; where they cannot be read, where it was when it was installed."""
    try:
        return load_settings(installation.settings_file).spool
    except RpaAnalyticsError:
        return installation.spool


def _check_that_nobody_needs_it(
    installation: Installation, *, purge: bool, discard_undelivered: bool
) -> None:
    until_s = time.monotonic() + (_ENDS_WITHIN_SEC if installation.service else 0)
    while daemon_is_running():
        if time.monotonic() >= until_s:
            raise RpaAnalyticsError(
                f"the agent still runs (process {daemon_pid() or 'unknown'}): stop it first"
            )
        time.sleep(_PAUSE_SEC)
    if not purge:
        return
    try:
        left = undelivered_in(installation.spool)
    except OSError as error:
        raise RpaAnalyticsError(f"{installation.spool} cannot be looked into: {error.strerror}") from None
    if left.writers:
        raise RpaAnalyticsError(
            f"robots write to {installation.spool} at this moment (processes: {left.writers}): stop them, "
            "then purge"
        )
    if left.is_something and not discard_undelivered:
        raise RpaAnalyticsError(
            f"{installation.spool} holds what the store has not got{_so_much(left)}: let it be delivered "
            "(`rpa-agent status`), uninstall without --purge, or say --discard-undelivered"
        )


def _so_much(left: Undelivered) -> str:
    """
    >>> _so_much(Undelivered(sets=2, bytes=12_000, quarantined=1)), _so_much(Undelivered())
    (' (12,000 bytes of 2 processes undelivered, 1 rows in quarantine)', '')
    """
    parts = [
        f"{left.bytes:,} bytes of {left.sets} processes undelivered" if left.sets else "",
        f"{left.quarantined} rows in quarantine" if left.quarantined else "",
    ]
    said = ", ".join(part for part in parts if part)
    return f" ({said})" if said else ""


def _remove_programs(installation: Installation, say: Callable[[str], None]) -> None:
    found = [path.parent for path in installation.prefix.glob(f"venv-*/{MARKER}")]
    say(f"removed: {', '.join(map(str, found))}")
    if os.name == "nt":
        base = getattr(sys, "_base_executable", sys.executable)
        words = [base, "-I", "-c", _REMOVE_LATER, str(installation.prefix), *map(str, found)]
        flags = getattr(subprocess, "DETACHED_PROCESS", 0) | getattr(subprocess, "CREATE_NO_WINDOW", 0)
        subprocess.Popen(words, cwd=os.environ.get("TEMP"), creationflags=flags, close_fds=True)  # noqa: S603  # our own Python
        return
    for folder in found:
        shutil.rmtree(folder, ignore_errors=True)
    remove_if_empty(installation.prefix)


def _is_privileged() -> bool:
    if sys.platform == "win32":
        import ctypes

        return bool(ctypes.windll.shell32.IsUserAnAdmin())
    return os.geteuid() == 0
