"""Whether an execution runs on this machine, seen by the daemon without asking any robot; stdlib only.

A process with an active execution holds the lock of a file of its own in the folder `running` of the
state folder. The lock ends with the process, however that ends; the file that it leaves then is removed
by whoever looks next.
"""

import logging
import os
import threading
import weakref
from contextlib import suppress
from pathlib import Path
from typing import Final

from collector_agent.machine.file_lock import lock, unlock
from collector_agent.machine.locations import host_in_file_names, state_folder
from collector_agent.machine.private_file import open_private

FOLDER_NAME: Final = "running"
_SEPARATOR: Final = "~"  # not in a host's name as files carry it
_ATTEMPTS: Final = 5
_log = logging.getLogger("rpa_agent")


class Activity:
    """This process's own sign, and a look at those of all. Nothing is raised: a sign is worth no robot."""

    def __init__(self, folder: Path | None = None) -> None:
        self._given_folder = folder
        self._begin()
        _activities.add(self)

    def _begin(self) -> None:
        self._changing = threading.Lock()
        self._file: Path | None = None
        self._descriptor = -1

    def set(self, active: bool) -> None:
        """Whether this process has an active execution. Cheap where nothing changes."""
        if active is (self._file is not None):
            return
        try:
            with self._changing:
                if active and self._file is None:
                    self._show()
                elif not active and self._file is not None:
                    self._hide()
        except Exception as error:  # noqa: BLE001  # the daemon samples less often then, and that is all
            _log.debug("that an execution runs could not be shown: %s", error)

    def any_execution_runs(self) -> bool:
        """Whether a process on this machine has one (those with the same state folder)."""
        try:
            names = os.listdir(self._folder)
        except OSError:
            return False  # no robot ever ran, or we may not see
        mine = host_in_file_names() + _SEPARATOR
        return any(_is_held(self._folder / name) for name in names if name.startswith(mine))

    def reset_after_fork(self) -> None:
        """The child has no execution yet; its copy of the descriptor would keep the parent's lock alive."""
        if self._descriptor >= 0:
            with suppress(OSError):
                os.close(self._descriptor)
        self._begin()

    @property
    def _folder(self) -> Path:
        return (self._given_folder or state_folder()) / FOLDER_NAME

    def _show(self) -> None:
        folder = self._folder
        if not folder.is_dir():
            folder.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            folder.mkdir(mode=0o700, exist_ok=True)
            with suppress(OSError):  # as the state folder: who was given that may make and remove signs here
                folder.chmod(0o700 | (folder.parent.stat().st_mode & 0o2070))
        name = _SEPARATOR.join((host_in_file_names(), str(os.getpid()), os.urandom(8).hex()))
        for _ in range(_ATTEMPTS):
            descriptor = open_private(folder / name, os.O_RDWR | os.O_CREAT)
            # Somebody who looks may lock the new file first, take it for a leftover and remove it.
            if lock(descriptor) and _is_there(folder / name, descriptor):
                self._file, self._descriptor = folder / name, descriptor
                return
            os.close(descriptor)

    def _hide(self) -> None:
        file, descriptor = self._file, self._descriptor
        self._file, self._descriptor = None, -1
        with suppress(OSError):
            unlock(descriptor)
        os.close(descriptor)  # first, because Windows removes no open file
        if file is not None:
            file.unlink(missing_ok=True)


def _is_there(file: Path, descriptor: int) -> bool:
    try:
        return os.path.samestat(os.stat(file), os.fstat(descriptor))
    except OSError:
        return False


def _is_held(file: Path) -> bool:
    """Whether its process lives; removes it where it does not."""
    try:
        descriptor = os.open(file, os.O_RDONLY)
    except FileNotFoundError:
        return False
    except OSError:  # another account's: then the process id in its name has to tell
        return _process_exists(file)
    try:
        if not lock(descriptor, for_itself=False):
            return True
        with suppress(OSError):
            file.unlink()  # while it is locked: nobody can have taken it meanwhile (on Windows, see below)
        unlock(descriptor)
    except OSError:
        return False
    finally:
        os.close(descriptor)
    if os.name == "nt":
        with suppress(OSError):
            file.unlink(missing_ok=True)  # refused while anybody has it open
    return False


def _process_exists(file: Path) -> bool:
    if os.name != "posix":
        return True  # os.kill would end it there
    try:
        os.kill(int(file.name.split(_SEPARATOR)[1]), 0)
    except PermissionError:
        return True
    except (OSError, ValueError, IndexError, OverflowError):
        return False
    return True


_activities: "weakref.WeakSet[Activity]" = weakref.WeakSet()


def _after_fork_in_child() -> None:
    for activity in list(_activities):
        activity.reset_after_fork()


if hasattr(os, "register_at_fork"):  # not on Windows, which does not fork
    os.register_at_fork(after_in_child=_after_fork_in_child)
