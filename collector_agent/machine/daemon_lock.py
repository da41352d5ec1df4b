"""One daemon per machine and state folder, and how others see that it runs; standard library only.

The lock is the operating system's on an open file, so it ends with the process, however that ends; a
file with a process id in it would outlive a crash. The file's name carries the host's, because a home
folder may be shared by several machines.
"""

import json
import os
import time
from pathlib import Path
from typing import Final, Self

from analytics_lib.errors import RpaAnalyticsError, SettingsError
from collector_agent.machine.file_lock import lock, unlock
from collector_agent.machine.locations import STATE_VARIABLE, host_in_file_names, state_folder

_ATTEMPTS: Final = 5  # somebody who just looks holds the lock for a moment
_PAUSE_SEC: Final = 0.1


class DaemonLock:
    """Held while the daemon runs. Raises RpaAnalyticsError when one runs already, SettingsError when the
    state folder cannot be written to."""

    def __init__(self) -> None:
        path = lock_file()
        try:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            # Whoever may look into the folder may see that a daemon runs; it says nothing else.
            mode = 0o600 | (path.parent.stat().st_mode & 0o044)
            flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | getattr(os, "O_BINARY", 0)
            self._file = os.fdopen(os.open(path, flags, mode), "a+b")
        except OSError as error:
            raise SettingsError(
                f"the state folder {path.parent} cannot be written to ({error.strerror}): "
                f"name another by {STATE_VARIABLE}"
            ) from None
        for attempt in range(_ATTEMPTS):
            if lock(self._file.fileno()):
                break
            if attempt < _ATTEMPTS - 1:
                time.sleep(_PAUSE_SEC)
        else:
            self._file.close()
            raise RpaAnalyticsError(
                f"a daemon runs already{_whose()}: stop it first, or give this one a state folder of its "
                f"own by {STATE_VARIABLE} (lock: {path})"
            )
        self._file.truncate(0)
        self._file.write(json.dumps({"pid": os.getpid()}).encode())
        self._file.flush()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.release()

    def release(self) -> None:
        self._file.truncate(0)
        unlock(self._file.fileno())
        self._file.close()


def daemon_is_running() -> bool:
    """Whether a daemon samples this machine (one with the same state folder). Never raises."""
    try:
        with lock_file().open("rb") as file:
            if not lock(file.fileno(), for_itself=False):
                return True
            unlock(file.fileno())
            return False
    except OSError:  # no file, no daemon; or one that we may not see
        return False


def daemon_pid() -> int | None:
    """The daemon's process id, where one runs and says so."""
    if not daemon_is_running():
        return None
    try:
        return int(json.loads(lock_file().read_bytes())["pid"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def lock_file() -> Path:
    return state_folder() / f"daemon-{host_in_file_names()}.lock"


def _whose() -> str:
    pid = daemon_pid()
    return f" on this machine (process {pid})" if pid else " on this machine"
