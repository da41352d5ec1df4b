"""Pieces of output.xml without most of what is not needed: arguments, documentation, variables, messages.

They are a third to a half of a usual file, and a regular expression passes over them ten times as fast as
a parser that calls a function for each. Only whole elements of plain text are taken out, so that what is
left is well-formed where the file is. No text or attribute of XML has a bare `<` in it; in a comment or a
CDATA section, which Robot Framework does not write, one might, and then such text is shorter.
"""

import re
from collections.abc import Iterator
from typing import BinaryIO, Final

PIECE_BYTES: Final = 256 * 1024
_NOT_NEEDED: Final = re.compile(
    rb"<(?:(?:arg|doc|var(?: [^>]*)?)>[^<]*</(?:arg|doc|var)>"
    rb'|msg [^>]*level="(?!FAIL)[A-Z]+"[^>]*>[^<]*</msg>)\n?'
)
_BUT_ARGUMENTS: Final = re.compile(_NOT_NEEDED.pattern.replace(b"arg|", b""))
# The keyword whose arguments are looked at (see robot_items.py); a name that begins with any letter is slow.
_WANTS_ARGUMENTS: Final = re.compile(rb"elease[ _]?[Ii]nput[ _]?[Ww]ork[ _]?[Ii]tem")
_END: Final = b"</kw>"


def pieces_of(file: BinaryIO) -> Iterator[tuple[int, bytes]]:
    """Whole lines, where they are short enough, and how many bytes of the file are read with them."""
    read, rest = 0, b""
    while chunk := file.read(PIECE_BYTES):
        data = rest + chunk
        end = data.rfind(b"\n") + 1 or len(data)
        piece, rest = data[:end], data[end:]
        read += len(piece)
        yield read, piece
    if rest:
        yield read + len(rest), rest


class LeanPieces:
    """Takes one piece of a file after the other, and gives what is left of each."""

    def __init__(self) -> None:
        self._is_inside = False  # of a keyword whose arguments are needed, where the piece before ended

    def of(self, piece: bytes) -> bytes:
        parts: list[bytes] = []
        at = 0
        if self._is_inside:
            at = self._keep(piece, 0, parts)
        while (found := _WANTS_ARGUMENTS.search(piece, at)) is not None:
            parts.append(_NOT_NEEDED.sub(b"", piece[at : found.start()]))
            at = self._keep(piece, found.start(), parts)
        parts.append(_NOT_NEEDED.sub(b"", piece[at:] if at else piece))
        return b"".join(parts) if len(parts) > 1 else parts[0]

    def _keep(self, piece: bytes, start: int, parts: list[bytes]) -> int:
        """Gives the place up to which arguments are left in."""
        end = piece.find(_END, start)
        self._is_inside = end < 0
        end = end if end >= 0 else len(piece)
        parts.append(_BUT_ARGUMENTS.sub(b"", piece[start:end]))
        return end
