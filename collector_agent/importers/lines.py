"""Lines of a text file that may be huge, half-written or in the wrong encoding, with where each stands.

Memory holds one block and the longest line that is allowed, whatever the file does. What is said about a
line names its number and its byte, both as an editor and `dd` would count them.
"""

import codecs
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO, Final

from analytics_lib.errors import ImportFileError

BLOCK_BYTES: Final = 256 * 1024
LINE_BYTES: Final = 4 << 20
HEAD_BYTES: Final = 1024

_BOMS: Final = (
    (codecs.BOM_UTF32_LE, "utf-32"),  # before UTF-16, whose mark it begins with
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)


class Skips:
    """What was left out of a file: how often for each reason, and where first."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self.total = 0
        self._last = ""
        self._first: dict[str, str] = {}

    def add(self, reason: str, place: str = "") -> None:
        self.total += 1
        self.counts[reason] += 1
        self._last = reason
        if place:
            self._first.setdefault(reason, place)

    def locate(self, place: str) -> None:
        """Where the last one stands that was added without a place."""
        self._first.setdefault(self._last, place)

    def told(self) -> Iterator[str]:
        """One line for each reason, the most frequent first."""
        for reason, n in self.counts.most_common():
            first = self._first.get(reason)
            yield f"{n:,} {reason}" + (f" ({'first ' if n > 1 else ''}at {first})" if first else "")


def encoding_of(head: bytes) -> tuple[str, int]:
    """(encoding, length of its mark) by a file's first bytes: UTF-8 unless they show UTF-16.

    Raises ImportFileError for UTF-32.

    >>> encoding_of(b"\\xff\\xfeh\\0i\\0"), encoding_of(b"h\\0i\\0"), encoding_of(b"hi")
    (('utf-16-le', 2), ('utf-16-le', 0), ('utf-8', 0))
    """
    for mark, encoding in _BOMS:
        if head.startswith(mark):
            if encoding == "utf-32":
                raise ImportFileError("is UTF-32: save it as UTF-8")
            return encoding, len(mark)
    pairs = head[: len(head) // 2 * 2][:64]
    if pairs and not any(pairs[1::2]) and all(pairs[::2]):
        return "utf-16-le", 0
    if pairs and not any(pairs[::2]) and all(pairs[1::2]):
        return "utf-16-be", 0
    return "utf-8", 0


@dataclass(slots=True)
class Block:
    """Complete lines, without their ends; None for one that was left out."""

    lines: list[str | None]
    number: int  # of the first of them, counted from 1
    start: int  # its byte
    end: int  # the byte behind the last of them
    newline: bytes
    data: bytes

    def place(self, at: int) -> str:
        """Where a line stands, in words."""
        byte = self.start
        width = len(self.newline)
        before = 0
        for _ in range(at):
            before = _find(self.data, self.newline, before) + width
        return f"line {self.number + at:,}, byte {byte + before:,}"


class Lines:
    """The lines of an open binary file from a byte on, block by block.

    `is_skipping`: the byte lies inside a line that is too long. Afterwards `rest` is the unfinished last
    line, and `offset`, `number` and `is_skipping` say where to go on.
    """

    def __init__(
        self,
        file: BinaryIO,
        encoding: str,
        skips: Skips,
        *,
        offset: int = 0,
        number: int = 1,
        is_skipping: bool = False,
        line_bytes: int = LINE_BYTES,
    ) -> None:
        self.offset = offset
        self.number = number
        self.is_skipping = is_skipping
        self.rest = b""
        self._file = file
        self._encoding = encoding
        self._skips = skips
        self._line_bytes = line_bytes
        self._newline = "\n".encode(encoding)

    def blocks(self) -> Iterator[Block]:
        """Until the end of the file. When it gives a block, `offset` is behind that block already."""
        self._file.seek(self.offset)
        while chunk := self._file.read(BLOCK_BYTES):
            if self.is_skipping:
                chunk = self._skip(chunk)
            data = self.rest + chunk if self.rest else chunk
            end = _find_last(data, self._newline) + len(self._newline)
            if end >= len(self._newline):
                whole, self.rest = data[:end], data[end:]
                yield self._block(whole)
            else:
                self.rest = data
            if len(self.rest) > self._line_bytes:
                self._skips.add(f"lines longer than {self._line_bytes:,} bytes", self.place)
                self.offset += len(self.rest) // len(self._newline) * len(self._newline)
                self._file.seek(self.offset)
                self.rest, self.is_skipping = b"", True

    @property
    def place(self) -> str:
        """Where the unfinished last line begins, in words."""
        return f"line {self.number:,}, byte {self.offset:,}"

    def take_rest(self) -> str | None:
        """The unfinished last line as text; None where its bytes are no text."""
        try:
            return self.rest.decode(self._encoding)
        except UnicodeDecodeError:
            return None

    def finish(self) -> None:
        """The unfinished last line was taken as it is."""
        self.offset += len(self.rest)
        self.rest = b""

    def _skip(self, chunk: bytes) -> bytes:
        """What follows the line that is too long."""
        at = _find(chunk, self._newline)
        if at < 0:
            self.offset += len(chunk)
            return b""
        self.is_skipping = False
        self.number += 1
        self.offset += at + len(self._newline)
        return chunk[at + len(self._newline) :]

    def _block(self, data: bytes) -> Block:
        try:
            lines: list[str | None] = list(data[: -len(self._newline)].decode(self._encoding).split("\n"))
        except UnicodeDecodeError:
            lines = self._one_by_one(data)
        block = Block(lines, self.number, self.offset, self.offset + len(data), self._newline, data)
        self.number += len(lines)
        self.offset = block.end
        return block

    def _one_by_one(self, data: bytes) -> list[str | None]:
        lines: list[str | None] = []
        at = 0
        while at < len(data):
            end = _find(data, self._newline, at)
            try:
                lines.append(data[at:end].decode(self._encoding))
            except UnicodeDecodeError as error:
                number, byte = self.number + len(lines), self.offset + at + error.start
                self._skips.add(
                    f"lines that are not {self._encoding.upper()}", f"line {number:,}, byte {byte:,}"
                )
                lines.append(None)
            at = end + len(self._newline)
        return lines


def _find(data: bytes, newline: bytes, start: int = 0) -> int:
    """Where the next newline begins, at a whole character; -1 for nowhere."""
    at = data.find(newline, start)
    while at >= 0 and at % len(newline):
        at = data.find(newline, at + 1)
    return at


def _find_last(data: bytes, newline: bytes) -> int:
    """Where the last newline begins, at a whole character; minus its length for nowhere."""
    at = data.rfind(newline)
    while at >= 0 and at % len(newline):
        at = data.rfind(newline, 0, at + len(newline) - 1)
    return at if at >= 0 else -len(newline)
