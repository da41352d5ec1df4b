"""Small files of ours that others may not read, replaced as a whole; standard library only.

Mode 0600. Where the folder itself was given to a group (robots and a daemon of several accounts), the
group may read them, too.
"""

import json
import os
import time
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

LARGEST_BYTES: Final = 1 << 20  # no file of ours comes near
_ATTEMPTS: Final = 5  # on Windows a file cannot be replaced while somebody reads it
_PAUSE_SEC: Final = 0.02


def open_private(path: Path, flags: int) -> int:
    """A descriptor of the file, which is made with the mode above. Raises OSError."""
    shared = path.parent.stat().st_mode & 0o040
    descriptor = os.open(path, flags | getattr(os, "O_BINARY", 0), 0o600 | shared)
    if shared and hasattr(os, "fchmod"):  # whatever the umask: who gave the folder away said so
        with suppress(OSError):  # somebody else's
            os.fchmod(descriptor, 0o600 | shared)
    return descriptor


def replace_private(path: Path, content: object) -> None:
    """Writes the content as JSON; whoever reads sees all of the old or all of the new. Raises OSError.

    Makes the folder where it is missing. After a power cut the file may be the old one or, on some file
    systems, empty: readers have to take that for none.
    """
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    data = json.dumps(content).encode()
    new = path.with_name(f"{os.urandom(16).hex()}.new")
    try:
        with open(open_private(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL), "wb") as file:
            file.write(data)
        for attempt in range(_ATTEMPTS):
            try:
                os.replace(new, path)
                return
            except PermissionError:
                if attempt == _ATTEMPTS - 1:
                    raise
                time.sleep(_PAUSE_SEC)
    finally:
        new.unlink(missing_ok=True)


def read_private(path: Path) -> dict[str, Any]:
    """The JSON object that the file holds. Raises OSError, and ValueError for anything else in it."""
    with path.open("rb") as file:
        data = file.read(LARGEST_BYTES + 1)
    if len(data) > LARGEST_BYTES:
        raise ValueError(f"{path.name} is larger than any that we write")
    try:
        content = json.loads(data)
    except (RecursionError, UnicodeDecodeError) as error:
        raise ValueError(f"{path.name} is no JSON: {type(error).__name__}") from None
    if not isinstance(content, dict):
        raise ValueError(f"{path.name} holds {type(content).__name__} and not an object")
    return content
