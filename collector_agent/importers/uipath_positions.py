"""How far each of several growing files was read, whatever they are called by now; standard library only.

A file is the one that it was if its number on its volume and its first bytes are the same. Numbers are
given again to new files, and some shares have none: then the first bytes alone must do, which is also how
a copy is recognized. They hold the first line's time and fingerprint, so no two logs share them.
"""

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from os import stat_result
from typing import Any, Final
from zlib import crc32

from collector_agent.importers.lines import HEAD_BYTES

_TELLING_BYTES: Final = 64  # fewer than this many could be those of any log
KEPT_DAYS: Final = 7  # a file that is not seen may come back: a share that was away


@dataclass(slots=True)
class Position:
    """Where to go on in a file. `head_bytes` of its beginning have the checksum `head_crc`."""

    device: int
    inode: int
    head_bytes: int = 0
    head_crc: int = 0
    offset: int = 0
    number: int = 1  # of the line there
    is_skipping: bool = False  # the line there is too long, and it began before
    seen_day: int = 0

    def fits(self, head: bytes, size: int) -> bool:
        """Whether what was read before is still the beginning of the file."""
        return size >= self.offset and crc32(head[: self.head_bytes]) == self.head_crc


class Positions:
    """Finds the position of each file; new files begin at 0."""

    def __init__(self, known: Iterable[Mapping[str, Any]] = ()) -> None:
        """Raises TypeError for what `state` never gave."""
        self._known = [Position(**position) for position in known]

    def __len__(self) -> int:
        return len(self._known)

    def state(self) -> list[dict[str, Any]]:
        """What another `Positions` begins with. Shares nothing with this one."""
        return [asdict(position) for position in self._known]

    def of(self, head: bytes, status: stat_result, day: int) -> Position:
        """The position in the file that begins with `head` (HEAD_BYTES of it, or all). Never None."""
        own = self._by_number(head, status) or self._by_content(head, status)
        if own is None:
            own = Position(status.st_dev, status.st_ino)
            self._known.append(own)
        if own.head_bytes < min(len(head), HEAD_BYTES):
            own.head_bytes, own.head_crc = len(head), crc32(head)
        own.seen_day = day
        return own

    def forget_unseen(self, day: int) -> bool:
        """Drops files that were not seen for days; whether there were any."""
        kept = [position for position in self._known if position.seen_day > day - KEPT_DAYS]
        has_changed = len(kept) < len(self._known)
        self._known = kept
        return has_changed

    def _by_number(self, head: bytes, status: stat_result) -> Position | None:
        """What has the file's number but another beginning is gone: its number was given again."""
        if not status.st_ino:
            return None
        for position in self._known:
            if (position.device, position.inode) == (status.st_dev, status.st_ino):
                if position.fits(head, status.st_size):
                    return position
                position.inode = 0  # by its content it may still be found elsewhere
        return None

    def _by_content(self, head: bytes, status: stat_result) -> Position | None:
        """A file that was moved to another volume, or copied: it goes on where the other one is."""
        same = [
            position
            for position in self._known
            if position.head_bytes >= _TELLING_BYTES and position.fits(head, status.st_size)
        ]
        if not same:
            return None
        furthest = max(same, key=lambda position: position.offset)
        if not furthest.inode or not status.st_ino:
            furthest.device, furthest.inode = status.st_dev, status.st_ino
            return furthest
        copy = replace(furthest, device=status.st_dev, inode=status.st_ino)
        self._known.append(copy)
        return copy
