"""What lies where in a spool folder, and how a segment begins; standard library only."""

import json
import os
import re
import time
from pathlib import Path
from typing import Any, Final

FORMAT: Final = 1
CURSOR_RECENT: Final = "cursor-recent.json"
CURSOR_DURABLE: Final = "cursor.json"
READER_LOCK: Final = "reader.lock"
QUARANTINE: Final = "quarantine"
LOCK_SUFFIX: Final = ".lock"
SEGMENT_SUFFIX: Final = ".seg"
_SET: Final = re.compile(r"\d{8}T\d{6}-\d+-[0-9a-f]{8}")
_SEGMENT: Final = re.compile(r"\d{8,18}\.seg")


def new_set_name() -> str:
    """Like 20261124T130512-4711-3b5c6f30: sorts by time, never used twice."""
    began = time.strftime("%Y%m%dT%H%M%S", time.gmtime())
    return f"{began}-{os.getpid()}-{os.urandom(4).hex()}"


def is_set_name(name: str) -> bool:
    return _SET.fullmatch(name) is not None


def lock_of(set_folder: Path) -> Path:
    """The file that the set's writer keeps locked while it lives."""
    return set_folder.with_name(set_folder.name + LOCK_SUFFIX)


def segment_name(number: int) -> str:
    return f"{number:08d}{SEGMENT_SUFFIX}"


def segment_number(name: str) -> int | None:
    """The number in a segment's name; None for other names."""
    return int(name.removesuffix(SEGMENT_SUFFIX)) if _SEGMENT.fullmatch(name) else None


def header(agent_version: str, host: str, fields: dict[str, tuple[str, ...]]) -> bytes:
    """The payload of a segment's first frame: who wrote it, and what the values of each kind are called."""
    content = {
        "format": FORMAT,
        "agent_version": agent_version,
        "host": host,
        "pid": os.getpid(),
        "fields": fields,
    }
    return json.dumps(content, separators=(",", ":")).encode()


def fields_of(payload: bytes) -> dict[str, tuple[str, ...]] | None:
    """The names in a header; None where it is none that we can read."""
    try:
        content: Any = json.loads(payload)
        if content["format"] != FORMAT:
            return None
        return {str(kind): tuple(map(str, names)) for kind, names in content["fields"].items()}
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return None
