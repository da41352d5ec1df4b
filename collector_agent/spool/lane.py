"""Reads the rows of a set from one position on, whatever has happened to the files.

A row is a whole frame with the right checksum and nothing else; the bytes between such frames are
damage, except for an unfinished frame or zeros at the end of a segment that nobody appends to any more
(a torn end). At the end of one that is still appended to it waits. Each byte is read once, except for
what looks damaged: it may have been read while it was being written, so it is read again after there
was something behind it.
"""

from dataclasses import dataclass, field
from itertools import repeat
from typing import Final

from collector_agent.spool.cursor import Position
from collector_agent.spool.frames import (
    HEAD,
    MARKER,
    MAX_FRAME_BYTES,
    is_partial,
    next_frame,
    read_frames,
)
from collector_agent.spool.segments import Segments

_CHUNK_BYTES: Final = 256 << 10
_LEAST_BYTES: Final = 16 << 10
_MOST_BYTES: Final = 8 << 20  # loaded for one answer, whatever a file is full of


@dataclass(slots=True)
class Found:
    """What a lane came across."""

    payloads: list[bytes] = field(default_factory=list)
    places: list[Position] = field(default_factory=list)  # of each payload's frame
    damages: list[tuple[Position, bytes]] = field(default_factory=list)
    torn: int = 0
    missing: int = 0

    def is_empty(self) -> bool:
        return not (self.payloads or self.damages or self.torn or self.missing)


class Lane:
    """From a position to an end (of a gap), or to what there is."""

    def __init__(self, segments: Segments, start: Position, end: Position | None = None) -> None:
        self._segments = segments
        self._end = end
        self._loaded = 0
        self._go_to(*start)

    def _go_to(self, segment: int, offset: int) -> None:
        self._segment = segment
        self._base = offset  # where in the segment the buffer begins
        self._data = b""
        self._at = 0  # how far the buffer is read
        self._is_closed = False  # nothing was appended since before the buffer was filled
        self._suspect: Position | None = None  # what looked damaged, and was read again since

    @property
    def position(self) -> Position:
        return self._segment, self._base + self._at

    def read(self, limit: int) -> Found:
        """The next rows, at most so many. Raises OSError where the file cannot be read just now."""
        found = Found()
        self._loaded = 0
        while len(found.payloads) < limit and self._loaded < _MOST_BYTES and not self._is_at_end():
            payloads, starts, at = read_frames(self._data, self._at, limit - len(found.payloads))
            try:
                if payloads:
                    self._at = at
                    self._take(found, payloads, starts)
                elif not (is_partial(self._data, self._at) and self._load()) and not self._pass(found):
                    break
            except OSError:
                if found.is_empty():
                    raise
                break  # what was found is past this lane: it is given out before the error
        return found

    def _is_at_end(self) -> bool:
        return self._end is not None and self.position >= self._end

    def _take(self, found: Found, payloads: list[bytes], starts: list[int]) -> None:
        if self._base + starts[0] == 0 and payloads[0].startswith(b"{"):
            self._segments.put_header(self._segment, payloads[0])
            del payloads[0], starts[0]
        found.payloads += payloads
        base = self._base
        found.places += zip(repeat(self._segment), [base + at for at in starts] if base else starts)

    def _load(self) -> bool:
        """Appends to the buffer what the file has more; whether that was anything."""
        end = self._base + len(self._data)
        # Reading costs by how much is asked for, and mostly there are a few new rows or none.
        known = self._segments.sizes.get(self._segment, 0) - end
        length = min(max(known, _LEAST_BYTES), _CHUNK_BYTES)
        if self._end is not None and self._segment == self._end[0]:
            length = min(length, self._end[1] - end)
        if length <= 0:
            return False
        try:
            more = self._segments.files.read(self._segments.path(self._segment), end, length)
        except FileNotFoundError:
            return False
        self._data = self._data[self._at :] + more
        self._base += self._at
        self._at = 0
        self._loaded += len(more)
        return bool(more)

    def _pass(self, found: Found) -> bool:
        """Gets past what is no frame, or into the next segment; False where it has to wait."""
        if self._at < len(self._data):
            at, is_whole = next_frame(self._data, self._at + 1)
            while not is_whole and at - self._at <= MAX_FRAME_BYTES:
                read_before = self._at
                if not self._load():
                    return self._finish_segment(found)
                at, is_whole = next_frame(self._data, max(at - read_before, 1))
            if self._is_closed or self._suspect == self.position:
                self._set_aside(found, self._data[self._at : at])
                self._at = at
            else:
                self._suspect = self.position
                self._read_rest_again()
            return True
        return self._finish_segment(found)

    def _finish_segment(self, found: Found) -> bool:
        """Everything that is there is in the buffer, with no whole frame in what is left of it."""
        segments, segment = self._segments, self._segment
        if not self._is_closed:
            is_last_of_gap = self._end is not None and segment == self._end[0]
            is_gone = is_last_of_gap or segments.writer_is_gone()  # asked before we look for the last time
            segments.look()
            self._read_rest_again()  # with what was appended until now
            self._is_closed = is_gone or segments.after(segment) is not None
            return self._is_closed
        rest = self._data[self._at :].rstrip(b"\0")
        if rest and is_partial(rest, 0) and rest.find(MARKER, HEAD.size) < 0:
            found.torn += 1
        elif self._at < len(self._data):
            self._set_aside(found, self._data[self._at :])
        self._at = len(self._data)
        following = segments.after(segment)
        if self._end is not None and (following is None or following > self._end[0]):
            found.missing += self._end[0] - segment + (segment not in segments.sizes)
            self._go_to(*self._end)
        elif following is not None:
            found.missing += following - segment - (segment in segments.sizes)
            self._go_to(following, 0)
        elif segment not in segments.sizes and self.position[1] > 0:
            found.missing += 1
            self._go_to(segment + 1, 0)
        else:
            return False
        return True

    def _read_rest_again(self) -> None:
        self._base += self._at
        self._data = b""
        self._at = 0

    def _set_aside(self, found: Found, damage: bytes) -> None:
        """What begins where the buffer is read to; zeros say nothing that is worth keeping."""
        if damage.strip(b"\0"):
            found.damages.append((self.position, damage))
        else:
            found.torn += 1
