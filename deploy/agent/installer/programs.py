"""Other programs: started with arguments of their own, never through a shell."""

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

_LONGEST_SEC: Final = 1800.0  # a virus scanner looks at each file that pip writes


def call(
    command: Sequence[str | Path],
    *,
    account: str | None = None,
    environment: Mapping[str, str] | None = None,
    timeout_sec: float = _LONGEST_SEC,
) -> tuple[int, str, str]:
    """The exit code, what it said and what it complained of. `account`: whose program it is (POSIX, as root).

    A program that is not there or may not be started gives 127, as in a shell.
    """
    words = [str(word) for word in command]
    who: dict[str, Any] = {}
    if account is not None and sys.platform != "win32":
        import grp
        import pwd

        entry = pwd.getpwnam(account)
        groups = [group.gr_gid for group in grp.getgrall() if account in group.gr_mem]
        who = {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": groups, "cwd": "/"}
    try:
        done = subprocess.run(
            words,
            capture_output=True,
            text=True,
            errors="replace",
            stdin=subprocess.DEVNULL,
            timeout=timeout_sec,
            env={**os.environ} if environment is None else dict(environment),
            check=False,
            **who,
        )
    except subprocess.TimeoutExpired:
        return 124, "", f"{words[0]} did not end within {timeout_sec:g} s"
    except OSError as error:
        return 127, "", f"{words[0]} cannot be started: {error.strerror}"
    return done.returncode, done.stdout, done.stderr


def last_lines(text: str, count: int = 5) -> str:
    """The end of what a program said, for a message."""
    return "\n".join(line for line in text.strip().splitlines()[-count:])
