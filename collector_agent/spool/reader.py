"""The sets of a spool folder, and who reads them; standard library only."""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from collector_agent.spool.batch import Record
from collector_agent.spool.files import REAL, Files
from collector_agent.spool.names import LOCK_SUFFIX, READER_LOCK, is_set_name
from collector_agent.spool.set_reader import SetReader, SetState, remove_lock

__all__ = ["SetReader", "SetState", "look_at", "open_set", "remove_if_finished", "sets_in", "undelivered_in"]

_MAKING_NS: Final = 60 * 1_000_000_000  # a set is made in less
_SMALL_BYTES: Final = 64 << 10


def look_at(folder: Path, files: Files = REAL) -> SetState:
    """Where a set stands, without keeping anybody from reading it. Raises OSError where it may not."""
    return SetReader(folder, files, None).state


def undelivered_in(folder: Path, files: Files = REAL) -> Iterator[Record]:
    """The rows of a set that are still to be delivered; it is only looked at. Raises OSError."""
    return SetReader(folder, files, None).undelivered()


def remove_if_finished(folder: Path, files: Files = REAL) -> None:
    """Removes a set that was closed with nothing left to deliver and nothing to report. Never raises."""
    try:
        reader = open_set(folder, files)
        if reader is None:
            return
        with reader:
            if reader.state.bytes_undelivered > _SMALL_BYTES:
                return
            has_rows = reader.next_batch(1, live=True) or reader.next_batch(1, live=False)
            if not has_rows and reader.state.counters.are_clean:
                reader.remove()
    except OSError:
        return  # whoever ships removes it


def sets_in(folder: Path, files: Files = REAL) -> list[Path]:
    """The sets of a spool folder, the oldest first. Raises OSError where it cannot be listed.

    Locks of writers that died before they had a set are cleared away.
    """
    try:
        names = [name for name in files.folders(folder) if is_set_name(name)]
        locks = files.listing(folder)
    except FileNotFoundError:
        return []
    long_ago_ns = time.time_ns() - _MAKING_NS
    for lock_name, (_, modified_ns) in locks.items():
        name = lock_name.removesuffix(LOCK_SUFFIX)
        if is_set_name(name) and name not in names and modified_ns < long_ago_ns:
            remove_lock(folder / name, files)
    return [folder / name for name in names]


def open_set(folder: Path, files: Files = REAL) -> "SetReader | None":
    """The set's reader; None where somebody else reads it, or it is gone. Raises OSError where it may not."""
    try:
        handle = files.lock(folder / READER_LOCK)
    except FileNotFoundError:
        return None
    if handle is None:
        return None
    try:
        return SetReader(folder, files, handle)
    except BaseException:
        files.unlock(handle)
        raise
