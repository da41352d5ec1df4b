"""When a long task started, found in output.xml before the task has been read: it stands at its end."""

import re
from datetime import datetime
from pathlib import Path
from typing import Final

from collector_agent.robot_results import parse_time

_END: Final = b"</test>"  # never in a text or an attribute: they have &lt; for <
_STATUS: Final = b"<status "
_START: Final = re.compile(rb'<status [^>]*?\bstart(?:time)?="([^"]{1,40})"[^>]*?(?:/>|>[^<]*</status>)\s*\Z')
_PIECE_BYTES: Final = 1 << 20


def task_start_ahead(path: Path, byte: int) -> datetime | None:
    """The start, as written, of the task in which this byte lies; None where the file has no end of it.

    What is before the byte is read, and no end of that task stands wholly in it.
    """
    before = b""
    with path.open("rb") as file:
        file.seek(max(0, byte - len(_END) + 1))
        while piece := file.read(_PIECE_BYTES):
            text = before + piece
            end = text.find(_END)
            if end >= 0:
                return _start_in(text[:end])
            before = text[-_PIECE_BYTES:]
    return None


def _start_in(text: bytes) -> datetime | None:
    """The start that the last status of the text tells."""
    found = _START.match(text, max(0, text.rfind(_STATUS)))
    try:
        return parse_time(found[1].decode()) if found else None
    except ValueError:
        return None
