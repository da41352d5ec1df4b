"""Rows and bytes that cannot be delivered by themselves, kept aside with the reason; standard library only.

One JSON file each, named by where in the spool it came from, so that nothing is kept twice. A person
looks through them, lets them be delivered after all, or discards them.
"""

import json
import time
from binascii import a2b_base64, b2a_base64
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Protocol

from analytics_lib.record_values import FIELDS
from collector_agent.spool.files import REAL, Files
from collector_agent.spool.layouts import todays_values

MAX_ENTRIES: Final = 10_000
MAX_BYTES: Final = 256 << 20
_SUFFIX: Final = ".json"
_READ_BYTES: Final = 64 << 20


@dataclass(frozen=True, slots=True)
class Entry:
    """A row (its kind, values and what they are called) or the bytes that could not be read."""

    name: str  # of its file
    where: str  # set/segment/offset
    reason: str
    added_at_us: int
    kind: str = ""
    values: tuple[Any, ...] = ()
    names: tuple[str, ...] = ()
    raw: bytes | None = None


class Appendable(Protocol):
    """What takes rows for delivery: a SpoolWriter."""

    def append(self, payload: bytes) -> bool: ...
    def sync(self) -> bool: ...


class LocalQuarantine:
    """The quarantine of one spool folder."""

    def __init__(self, folder: Path, files: Files = REAL) -> None:
        self.folder = folder
        self._files = files
        self._held: dict[str, int] | None = None  # file name -> bytes

    def add(
        self,
        reason: str,
        *,
        where: str,
        record: tuple[str, Sequence[Any]] | None = None,
        names: Sequence[str] | None = None,
        raw: bytes | None = None,
    ) -> bool:
        """Whether it is kept, for good when this returns; False where the quarantine is full.

        `names` says what the values are called where they do not come in today's order. Raises OSError.
        """
        content: dict[str, Any] = {"where": where, "reason": reason, "added_at_us": time.time_ns() // 1000}
        if record is not None:
            kind, values = record
            content |= {"kind": kind, "values": list(values), "names": names or FIELDS.get(kind, ())}
        if raw is not None:
            content["raw"] = b2a_base64(raw, newline=False).decode()
        try:
            data = json.dumps(content, separators=(",", ":")).encode()
        except (ValueError, TypeError, RecursionError):
            content |= {"values": [], "names": (), "raw": b2a_base64(repr(record).encode()).decode()}
            data = json.dumps(content).encode()
        name = where.replace("/", "_") + _SUFFIX
        held = self._held
        if held is None or _is_full(held, len(data)):
            held = self._held = self._look()
        if name in held:
            return True
        if _is_full(held, len(data)):
            return False
        self._files.write_new(self.folder / name, data)
        held[name] = len(data)
        return True

    def entries(self) -> list[Entry]:
        """All that is kept, the oldest first. Raises OSError where the folder cannot be read."""
        try:
            names = [name for name in self._files.listing(self.folder) if name.endswith(_SUFFIX)]
        except FileNotFoundError:
            return []
        found = [self._read(name) for name in names]
        return sorted((entry for entry in found if entry), key=lambda entry: (entry.added_at_us, entry.name))

    def retry(self, entry: Entry, writer: Appendable) -> bool:
        """Whether the row went into the spool again, and so out of here; bytes never do."""
        values, _ = todays_values(entry.kind, entry.values, {entry.kind: entry.names})
        if values is None:
            return False
        payload = json.dumps([entry.kind, *values], separators=(",", ":")).encode()
        if not (writer.append(payload) and writer.sync()):
            return False
        self.discard(entry)
        return True

    def discard(self, entry: Entry) -> None:
        """It is gone. Raises OSError."""
        self._files.remove(self.folder / entry.name)
        if self._held is not None:
            self._held.pop(entry.name, None)

    def _look(self) -> dict[str, int]:
        try:
            listing = self._files.listing(self.folder)
        except FileNotFoundError:
            self._files.make_folders(self.folder.parent)
            try:
                self._files.make_folder(self.folder)
                self._files.sync_folder(self.folder.parent)
            except FileExistsError:  # another process was quicker
                pass
            listing = self._files.listing(self.folder)
        return {name: facts[0] for name, facts in listing.items() if name.endswith(_SUFFIX)}

    def _read(self, name: str) -> Entry | None:
        """None where it was removed while we looked."""
        try:
            content = json.loads(self._files.read(self.folder / name, 0, _READ_BYTES))
            return Entry(
                name=name,
                where=str(content["where"]),
                reason=str(content["reason"]),
                added_at_us=int(content["added_at_us"]),
                kind=str(content.get("kind", "")),
                values=tuple(content.get("values", ())),
                names=tuple(content.get("names", ())),
                raw=a2b_base64(content["raw"]) if "raw" in content else None,
            )
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
            return Entry(name=name, where="", reason=f"this entry cannot be read: {error}", added_at_us=0)


def _is_full(held: dict[str, int], more_bytes: int) -> bool:
    return len(held) >= MAX_ENTRIES or sum(held.values()) + more_bytes > MAX_BYTES
