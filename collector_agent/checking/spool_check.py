"""Whether the spool can be written to and has the room that it may need; nothing is made to see that."""

import os
import shutil
from pathlib import Path
from typing import Final

from collector_agent.settings import AgentSettings
from collector_agent.spool.capacity import spool_bytes

LEAST_FREE_BYTES: Final = 1_000_000_000
_MB: Final = 1_000_000


def unwritable(folder: Path, variable: str) -> str:
    """Why nothing could be written to a folder, which may not be there yet; '' where it could.

    `variable`: what names it.
    """
    there = next(path for path in (folder, *folder.parents) if path.exists())
    if there.is_dir() and os.access(there, os.W_OK | os.X_OK):
        return ""
    return f"{folder} cannot be written to: change its owner, or name another by {variable}"


def too_little_room(settings: AgentSettings) -> str:
    """What the spool's disk lacks; '' where it lacks nothing.

    It needs room for what the spool may still grow by, and never less than a GB.
    """
    folder = settings.spool
    there = next(path for path in (folder, *folder.parents) if path.exists())
    try:
        free, used = shutil.disk_usage(there).free, spool_bytes(folder)
    except OSError as error:
        return f"{folder} cannot be looked at: {error}"
    needed = max(0, settings.spool_max_bytes - used)
    if free >= max(needed, LEAST_FREE_BYTES):
        return ""
    return (
        f"the disk of {folder} has {free // _MB:,} MB free; the spool may still take {needed // _MB:,} MB, "
        f"and {LEAST_FREE_BYTES // _MB:,} MB should be free in any case: make room, or lower spool_max_bytes"
    )
