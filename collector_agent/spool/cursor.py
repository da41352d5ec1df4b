"""How far a set is delivered, and what became of its rows; standard library only.

A cursor is small, carries a checksum and a number, and is written over in place, which a full disk
cannot refuse and which costs no journal entry. There are two files: the recent one is written with
every acknowledgement, unsynced. The durable one is written, once the recent one is synced, before
anything is removed: so at any moment one of them is whole, and the one that a power cut brings back
speaks of segments that are still there. A lost or old cursor only delivers some rows again.
"""

import json
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final
from zlib import crc32

from collector_agent.spool.files import Files
from collector_agent.spool.names import CURSOR_DURABLE, CURSOR_RECENT

Position = tuple[int, int]  # segment, offset

_FORMAT: Final = 1
_READ_BYTES: Final = 64 << 10


@dataclass(slots=True)
class Counters:
    """What became of the rows of a set."""

    delivered: int = 0
    quarantined: int = 0  # rows, or stretches of bytes that cannot be read
    dropped: int = 0  # because the spool or the quarantine was full
    torn: int = 0  # unfinished ends of segments: the call that wrote them never returned
    missing: int = 0  # segments that should be there
    superseded: int = 0  # signs of life that waited behind a backlog until there were newer ones

    @property
    def are_clean(self) -> bool:
        """Whether there is nothing but deliveries."""
        return self == Counters(delivered=self.delivered)


@dataclass(slots=True)
class Held:
    """A sign of life that waits until everything before it is delivered."""

    place: Position
    kind: str
    values: dict[str, Any]  # by name: the agent may be another version when it reads this again


@dataclass(slots=True)
class Cursor:
    """Undelivered is what lies from `live` on, in the gaps (each [start, end)), and what is held."""

    set_name: str  # so that another set's is not taken for this one's
    live: Position
    gaps: list[tuple[Position, Position]] = field(default_factory=list)
    held: list[Held] = field(default_factory=list)
    counters: Counters = field(default_factory=Counters)
    number: int = 0  # of times it was saved

    def undelivered(self) -> list[tuple[Position, Position | None]]:
        """What is not delivered, the oldest first; None: to the end, and what is still to come."""
        return [*self.gaps, (self.live, None)]

    def needs(self, segment: int) -> bool:
        """Whether anything undelivered is in the segment, or may still come to be."""
        return segment >= self.live[0] or any(
            start[0] <= segment <= end[0] and end > (segment, 0) for start, end in self.gaps
        )

    def without(self, segment: int) -> "Cursor":
        """As if everything in a segment, and before it, were delivered."""
        behind = (segment + 1, 0)
        gaps = [(max(start, behind), end) for start, end in self.gaps if end > behind]
        return replace(self, live=max(self.live, behind), gaps=gaps, counters=replace(self.counters))


def encode(cursor: Cursor) -> bytes:
    content = {
        "format": _FORMAT,
        "set": cursor.set_name,
        "number": cursor.number,
        "live": cursor.live,
        "gaps": cursor.gaps,
        "held": [[*held.place, held.kind, held.values] for held in cursor.held],
        "counters": {name: getattr(cursor.counters, name) for name in Counters.__slots__},
    }
    text = json.dumps(content, separators=(",", ":")).encode()
    return b"%b\n%08x\n" % (text, crc32(text))  # behind it may be the rest of a longer one


def decode(data: bytes) -> Cursor | None:
    """None where it is no cursor, or a damaged one."""
    text, _, rest = data.partition(b"\n")
    if not rest.startswith(b"%08x\n" % crc32(text)):
        return None
    try:
        content = json.loads(text)
        if content["format"] != _FORMAT:
            return None
        return Cursor(
            set_name=content["set"],
            live=_position(content["live"]),
            gaps=[(_position(start), _position(end)) for start, end in content["gaps"]],
            held=[Held((at, offset), kind, dict(values)) for at, offset, kind, values in content["held"]],
            counters=Counters(**content["counters"]),
            number=int(content["number"]),
        )
    except (ValueError, TypeError, KeyError):
        return None


def load(folder: Path, files: Files) -> Cursor | None:
    """The latest that a set's folder has; None where there is no readable one.

    A readable recent one is never older than the durable one: it was synced first.
    """
    for name in (CURSOR_RECENT, CURSOR_DURABLE):
        try:
            cursor = decode(files.read(folder / name, 0, _READ_BYTES))
        except OSError:
            continue
        if cursor is not None and cursor.set_name == folder.name:
            return cursor
    return None


def save(cursor: Cursor, folder: Path, files: Files, *, durable: bool) -> None:
    """Raises OSError."""
    cursor.number += 1
    data = encode(cursor)
    files.write_over(folder / CURSOR_RECENT, data, durable=durable)
    if durable:  # only now: while one is written over, the other one is whole
        files.write_over(folder / CURSOR_DURABLE, data, durable=True)


def _position(pair: Any) -> Position:
    segment, offset = pair
    if type(segment) is not int or type(offset) is not int or segment < 0 or offset < 0:
        raise ValueError("no position")
    return segment, offset
