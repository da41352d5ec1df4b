"""One daemon per machine and state folder, and how others see that it runs; standard library only.

The lock is the operating system's on an open file, so it ends with the process, however that ends; a
file with a process id in it would outlive a crash. The file's name carries the host's, because a home
folder may be shared by several machines.
"""

import json
import os
import re
import socket
import sys
import time
from pathlib import Path
from typing import IO, Final, Self

from analytics_lib.errors import RpaAnalyticsError, SettingsError
from collector_agent.locations import STATE_VARIABLE, state_folder

_ATTEMPTS: Final = 5  # somebody who just looks holds the lock for a moment
_PAUSE_SEC: Final = 0.1

if sys.platform == "win32":
    import msvcrt

    _OFFSET: Final = 1 << 20  # locked bytes cannot be read: lock one far behind the text

    def _lock(file: IO[bytes], *, for_itself: bool) -> None:
        file.seek(_OFFSET)
        msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)

    def _unlock(file: IO[bytes]) -> None:
        file.seek(_OFFSET)
        msvcrt.locking(file.fileno(), msvcrt.LK_UNLCK, 1)

else:
    import fcntl

    def _lock(file: IO[bytes], *, for_itself: bool) -> None:
        fcntl.flock(file, (fcntl.LOCK_EX if for_itself else fcntl.LOCK_SH) | fcntl.LOCK_NB)

    def _unlock(file: IO[bytes]) -> None:
        fcntl.flock(file, fcntl.LOCK_UN)


class DaemonLock:
    """Held while the daemon runs. Raises RpaAnalyticsError when one runs already, SettingsError when the
    state folder cannot be written to."""

    def __init__(self) -> None:
        path = lock_file()
        try:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._file = path.open("a+b")
        except OSError as error:
            raise SettingsError(
                f"the state folder {path.parent} cannot be written to ({error.strerror}): "
                f"name another by {STATE_VARIABLE}"
            ) from None
        for attempt in range(_ATTEMPTS):
            try:
                _lock(self._file, for_itself=True)
                break
            except OSError:
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
        _unlock(self._file)
        self._file.close()


def daemon_is_running() -> bool:
    """Whether a daemon samples this machine (one with the same state folder). Never raises."""
    try:
        with lock_file().open("rb") as file:
            try:
                _lock(file, for_itself=False)
            except OSError:
                return True
            _unlock(file)
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
    host = re.sub(r"[^\w.-]", "_", socket.gethostname())[:100]
    return state_folder() / f"daemon-{host}.lock"


def _whose() -> str:
    pid = daemon_pid()
    return f" on this machine (process {pid})" if pid else " on this machine"
