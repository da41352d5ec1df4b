"""The segments of a set: which there are, whether more may come, and what their values are called."""

from pathlib import Path

from analytics_lib.record_values import FIELDS
from collector_agent.spool.cursor import Position
from collector_agent.spool.files import Files
from collector_agent.spool.frames import read_frames
from collector_agent.spool.layouts import Names
from collector_agent.spool.names import fields_of, lock_of, segment_name, segment_number

_HEADER_BYTES = 64 << 10


class Segments:
    """What is known of a set's files; `look` brings it up to date."""

    def __init__(self, folder: Path, files: Files) -> None:
        self.folder = folder
        self.files = files
        self.sizes: dict[int, int] = {}
        self.modified_ns: dict[int, int] = {}
        self._lock_path = lock_of(folder)
        self._writer_is_gone = False
        self._headers: dict[int, Names] = {}

    def look(self) -> None:
        """Lists the folder. Raises OSError."""
        try:
            listing = self.files.listing(self.folder)
        except FileNotFoundError:  # somebody removed the whole set
            listing = {}
        found = {segment_number(name): facts for name, facts in listing.items()}
        self.sizes = {number: found[number][0] for number in sorted(n for n in found if n is not None)}
        self.modified_ns = {number: found[number][1] for number in self.sizes}

    def writer_is_gone(self) -> bool:
        """Whether nothing can be appended any more. What is then found is all there is."""
        if not self._writer_is_gone:
            self._writer_is_gone = not self.files.is_locked(self._lock_path)
        return self._writer_is_gone

    def after(self, number: int) -> int | None:
        """The next segment that there is."""
        return min((other for other in self.sizes if other > number), default=None)

    def first(self) -> int:
        return min(self.sizes, default=1)

    def last(self) -> int:
        return max(self.sizes, default=0)

    def last_modified_ns(self) -> int:
        return max(self.modified_ns.values(), default=0)

    def bytes_in(self, start: Position, end: Position | None) -> int:
        """How much there is from one position to another, or to the end."""
        found = 0
        for number, size in self.sizes.items():
            if number >= start[0] and (end is None or number <= end[0]):
                stop = end[1] if end is not None and number == end[0] else size
                found += max(0, stop - (start[1] if number == start[0] else 0))
        return found

    def path(self, number: int) -> Path:
        return self.folder / segment_name(number)

    def put_header(self, number: int, payload: bytes) -> None:
        """What a segment's first frame says."""
        names = fields_of(payload)
        if names is not None:
            self._headers[number] = FIELDS if names == FIELDS else names

    def names_in(self, number: int) -> Names | None:
        """What the values in a segment are called: by its own header, by another's of the set, or by the
        copy beside the folder. `FIELDS` itself where they are today's. None: nothing says so.

        Raises OSError where a file cannot be read just now.
        """
        for other in (number, *self.sizes):
            if other not in self._headers:
                self._read_header(other, self.path(other))
            if other in self._headers:
                return self._headers[other]
        self._read_header(0, self._lock_path)
        return self._headers.get(0)

    def _read_header(self, number: int, path: Path) -> None:
        try:
            data = self.files.read(path, 0, _HEADER_BYTES)
        except FileNotFoundError:
            return
        payloads, _, _ = read_frames(data, 0, 1)
        if payloads:
            self.put_header(number, payloads[0])
