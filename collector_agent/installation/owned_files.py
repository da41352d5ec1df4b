"""The files that are the agent's own in its folders, for who removes them; everything else stays.

Somebody may have put a store into the state folder, or the spool beside other things: so nothing is
removed but what bears the names that the agent gives, and folders that are empty then.
"""

import re
import shutil
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from collector_agent.machine.activity import FOLDER_NAME as RUNNING
from collector_agent.spool.names import LOCK_SUFFIX, QUARANTINE, is_set_name
from collector_agent.spool.reader import open_set, sets_in

_STATE: Final = re.compile(
    r"agent\.json|uipath\.json|daemon-.*\.(lock|status\.json)|.*\.problem\.json|[0-9a-f]{32}\.new"
)
FOLDER_NAME: Final = "rpa-agent"
_BESIDE_SETTINGS: Final = ("agent.env", "agent.toml.new")


@dataclass(frozen=True, slots=True, kw_only=True)
class Undelivered:
    """What a spool holds that no store has got. `writers`: processes that write to it now."""

    sets: int = 0
    bytes: int = 0
    quarantined: int = 0
    writers: int = 0

    @property
    def is_something(self) -> bool:
        return bool(self.sets or self.quarantined)


def undelivered_in(spool: Path) -> Undelivered:
    """What would be lost with the spool. A set that somebody is reading counts as a writer's."""
    sets = total = writers = 0
    for folder in sets_in(spool):
        reader = open_set(folder)
        if reader is None:
            writers += folder.exists()
            continue
        with reader:
            state = reader.state
        writers += state.writer_is_alive
        if state.bytes_undelivered:
            sets += 1
            total += state.bytes_undelivered
    quarantined = len(list((spool / QUARANTINE).glob("*.json")))
    return Undelivered(sets=sets, bytes=total, quarantined=quarantined, writers=writers)


def remove_spool(spool: Path, made: Collection[Path]) -> list[Path]:
    """Removes sets and quarantine; gives what is left because it is not ours."""
    for path in _children(spool):
        if path.is_dir() and not path.is_symlink() and _is_set(path.name):
            shutil.rmtree(path, ignore_errors=True)
        elif path.name.endswith(LOCK_SUFFIX) and is_set_name(path.name.removesuffix(LOCK_SUFFIX)):
            path.unlink(missing_ok=True)
    quarantine = spool / QUARANTINE
    for path in _children(quarantine):
        if path.suffix == ".json":
            path.unlink(missing_ok=True)
    remove_if_empty(quarantine)
    return list(_left(spool, made))


def remove_state(state: Path, made: Collection[Path]) -> list[Path]:
    """Removes identity, locks, status and problem files; gives what is left because it is not ours."""
    running = state / RUNNING
    for path in _children(running):
        if path.is_file():
            path.unlink(missing_ok=True)
    remove_if_empty(running)
    remove_if_empty(state / "spool")  # where it lies unless the settings name another
    for path in _children(state):
        if path.is_file() and _STATE.fullmatch(path.name):
            path.unlink(missing_ok=True)
    return list(_left(state, made))


def remove_settings(file: Path, made: Collection[Path]) -> list[Path]:
    """Removes the settings file and what belongs to it; gives what is left in its folder."""
    file.unlink(missing_ok=True)
    for name in _BESIDE_SETTINGS:
        file.with_name(name).unlink(missing_ok=True)
    return list(_left(file.parent, made))


def _is_set(name: str) -> bool:
    return is_set_name(name) or is_set_name(name.removeprefix(".new-"))


def _left(folder: Path, made: Collection[Path]) -> Iterator[Path]:
    """What is left in it. Removes it where that is nothing, and what is around it and the agent's, too."""
    yield from _children(folder)
    remove_if_empty(folder)
    for around in folder.parents:
        if around in made or around.name == FOLDER_NAME:
            remove_if_empty(around)


def _children(folder: Path) -> list[Path]:
    return sorted(folder.iterdir()) if folder.is_dir() else []


def remove_if_empty(folder: Path) -> None:
    """Removes the folder unless something is in it, or it may not be removed."""
    try:
        folder.rmdir()
    except OSError:
        return
