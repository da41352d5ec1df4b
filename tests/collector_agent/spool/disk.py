"""A disk in memory: it records what is done to it, loses power, and lets single operations fail.

What a power cut may do is what a file system promises no better than: bytes that were not synced may
be there, be missing, be zeros or end half-way, each write for itself; names that were made or removed
without a sync of their folder may be as they were before, each for itself. What was synced stays.
"""

import errno
import random
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from collector_agent.spool.files import Files

Operation = tuple[Any, ...]
ROOT = Path("/disk")
_FOLDER = -1


class Tree:
    """Folders with names, and contents: what operations make of them."""

    def __init__(self) -> None:
        self.entries: dict[str, dict[str, int]] = {str(ROOT): {}}
        self.contents: dict[int, bytearray] = {}

    def apply(self, operation: Operation) -> None:
        what, *given = operation
        if what in ("create", "mkdir", "remove"):
            path, number = given
            folder, _, name = path.rpartition("/")
            if what == "remove":
                self.entries[folder].pop(name, None)
                self.entries.pop(path, None)
            else:
                self.entries[folder][name] = number
            if what == "create":
                self.contents.setdefault(number, bytearray())
            elif what == "mkdir":
                self.entries.setdefault(path, {})
        elif what == "rename":
            old, new = given
            folder, _, name = new.rpartition("/")
            self.entries[folder][name] = self.entries[folder].pop(old.rpartition("/")[2])
        elif what == "write":
            number, offset, data = given
            content = self.contents[number]
            if len(content) < offset:
                content.extend(bytes(offset - len(content)))
            content[offset : offset + len(data)] = data
        elif what == "truncate":
            number, size = given
            del self.contents[number][size:]


class Disk(Files):
    """`Files` in memory, under ROOT. `trace` is what was done; `fault` is asked before each operation."""

    def __init__(self, tree: Tree | None = None) -> None:
        self.tree = tree or Tree()
        self.trace: list[Operation] = []
        self.fault: Callable[[str], int | None] = lambda what: None
        self.removes_open_files = True  # Windows does not
        self.is_old = False  # whether all that was not written just now was written long ago
        self._next = max(self.tree.contents, default=0) + 1
        self._handles: dict[int, int] = {}  # handle -> number of the content
        self._locks: dict[int, int] = {}  # handle -> number of the content that is locked
        self._modified: dict[int, int] = {}

    # --- what tests do with it -----------------------------------------------------------------------

    def note(self, *what: Any) -> None:
        """Something to find in the trace again."""
        self.trace.append(("note", *what))

    def content(self, path: Path) -> bytes:
        return bytes(self.tree.contents[self._number(path)])

    def put(self, path: Path, data: bytes) -> None:
        """As if it had always been there."""
        self.tree.contents[self._number(path)] = bytearray(data)

    # --- Files ---------------------------------------------------------------------------------------

    def write(self, handle: int, data: bytes) -> int:  # type: ignore[override]  # static where it is real
        most = self._may("write")
        data = data if most is None else data[: min(most, len(data) - 1)]
        number = self._handles[handle]
        self._do("write", number, len(self.tree.contents[number]), bytes(data))
        return len(data)

    def create(self, path: Path) -> int:
        self._may("create")
        if path.name in self._folder(path.parent):
            raise FileExistsError(errno.EEXIST, "it exists", str(path))
        return self._open_new(path)

    def truncate(self, handle: int, size: int) -> None:
        self._may("truncate")
        self._do("truncate", self._handles[handle], size)

    def sync(self, handle: int) -> None:
        self._may("sync")
        self._do("sync", self._handles[handle])

    def close(self, handle: int) -> None:
        self._free(handle)
        self._may("close")

    def size_of(self, handle: int) -> int:
        self._may("size_of")
        return len(self.tree.contents[self._handles[handle]])

    def is_removed(self, handle: int) -> bool:
        number = self._handles[handle]
        return not any(number in names.values() for names in self.tree.entries.values())

    def read(self, path: Path, offset: int, length: int) -> bytes:
        self._may("read")
        return bytes(self.tree.contents[self._number(path)][offset : offset + length])

    def listing(self, folder: Path) -> dict[str, tuple[int, int]]:
        self._may("listing")
        contents = self.tree.contents
        before_ns = 0 if self.is_old else time.time_ns()
        return {
            name: (len(contents[number]), self._modified.get(number, before_ns))
            for name, number in self._folder(folder).items()
            if number != _FOLDER
        }

    def folders(self, folder: Path) -> list[str]:
        self._may("folders")
        return sorted(name for name, number in self._folder(folder).items() if number == _FOLDER)

    def make_folder(self, path: Path) -> None:
        self._may("make_folder")
        if path.name in self._folder(path.parent):
            raise FileExistsError(errno.EEXIST, "it exists", str(path))
        self._do("mkdir", str(path), _FOLDER)

    def make_folders(self, path: Path) -> None:
        if str(path) not in self.tree.entries:
            self.make_folders(path.parent)
            self.make_folder(path)

    def write_new(self, path: Path, data: bytes) -> None:
        self._may("write_new")
        new = path.with_name(path.name + ".new")
        handle = self._open_new(new)
        try:
            if self.write(handle, data) != len(data):
                raise OSError(errno.ENOSPC, "short")
            self.sync(handle)
        finally:
            self._free(handle)
        self._may("rename")
        self._do("rename", str(new), str(path))
        self.sync_folder(path.parent)

    def write_over(self, path: Path, data: bytes, *, durable: bool) -> None:
        most = self._may("write_over")
        is_new = path.name not in self._folder(path.parent)
        if is_new:
            self._free(self._open_new(path))
        number = self._number(path)
        self._do("write", number, 0, bytes(data if most is None else data[:most]))
        if most is not None:
            raise OSError(errno.ENOSPC, "short")
        if durable:
            self._may("sync")
            self._do("sync", number)
            if is_new:
                self.sync_folder(path.parent)

    def remove(self, path: Path) -> None:
        self._may("remove")
        if path.name in self.tree.entries.get(str(path.parent), ()):
            if not self.removes_open_files and self._number(path) in self._handles.values():
                raise PermissionError(errno.EACCES, "it is open", str(path))
            self._do("remove", str(path), 0)

    def remove_folder(self, path: Path) -> None:
        self._may("remove_folder")
        if self._folder(path):
            raise OSError(errno.ENOTEMPTY, "not empty", str(path))
        self._do("remove", str(path), _FOLDER)

    def sync_folder(self, path: Path) -> None:
        self._may("sync_folder")
        self._do("sync_folder", str(path))

    def sync_folders_around(self, path: Path) -> None:
        for folder in path.parents:
            if str(folder) in self.tree.entries:
                self.sync_folder(folder)

    def lock(self, path: Path, *, create: bool = True) -> int | None:
        self._may("lock")
        if create and path.name not in self._folder(path.parent):
            self._free(self._open_new(path))
        number = self._number(path)
        if number in self._locks.values():
            return None
        handle = self._handle(number)
        self._locks[handle] = number
        return handle

    def is_locked(self, path: Path) -> bool:
        self._may("is_locked")
        return self.tree.entries.get(str(path.parent), {}).get(path.name) in self._locks.values()

    def unlock(self, handle: int) -> None:
        self._free(handle)

    # --- inside --------------------------------------------------------------------------------------

    def _may(self, what: str) -> int | None:
        return self.fault(what)

    def _do(self, *operation: Any) -> None:
        self.tree.apply(operation)
        self.trace.append(operation)
        if operation[0] == "write":
            self._modified[operation[1]] = time.time_ns() + len(self.trace)  # no two at once

    def _folder(self, path: Path) -> dict[str, int]:
        try:
            return self.tree.entries[str(path)]
        except KeyError:
            raise FileNotFoundError(errno.ENOENT, "no such folder", str(path)) from None

    def _number(self, path: Path) -> int:
        try:
            return self._folder(path.parent)[path.name]
        except KeyError:
            raise FileNotFoundError(errno.ENOENT, "no such file", str(path)) from None

    def _open_new(self, path: Path) -> int:
        self._folder(path.parent)
        number, self._next = self._next, self._next + 1
        self._do("create", str(path), number)
        return self._handle(number)

    def _handle(self, number: int) -> int:
        handle, self._next = self._next, self._next + 1
        self._handles[handle] = number
        return handle

    def _free(self, handle: int) -> None:
        del self._handles[handle]
        self._locks.pop(handle, None)


@dataclass
class _File:
    synced: bytes = b""
    since: list[Operation] = field(default_factory=list)


class Platter:
    """Follows a trace, and says what a power cut at this moment may leave."""

    def __init__(self) -> None:
        self._names: dict[str, dict[str, int]] = {str(ROOT): {}}  # as synced
        self._changes: dict[str, list[Operation]] = {}  # of names, by folder, not synced
        self._files: dict[int, _File] = {}

    def follow(self, operation: Operation) -> None:
        what, *given = operation
        if what == "create":
            self._files[given[1]] = _File()
        if what in ("create", "mkdir", "remove", "rename"):
            self._changes.setdefault(given[-1 if what == "rename" else 0].rpartition("/")[0], []).append(
                operation
            )
        elif what in ("write", "truncate"):
            self._files[given[0]].since.append(operation)
        elif what == "sync":
            file = self._files[given[0]]
            file.synced, file.since = _applied(file.synced, file.since), []
        elif what == "sync_folder":
            names = self._names.setdefault(given[0], {})
            for change in self._changes.pop(given[0], []):
                _rename(names, change)

    def after_a_power_cut(self, chance: random.Random, how: str) -> Disk:
        """`lost`: nothing but what is synced; `kept`: everything; `any`: by chance, each for itself."""
        tree = Tree()
        every = {
            folder: self._left_names(folder, chance, how)
            for folder in self._names.keys() | self._changes.keys()
        }
        reached = [str(ROOT)]
        while reached:
            folder = reached.pop()
            tree.entries[folder] = every.get(folder, {})
            for name, number in tree.entries[folder].items():
                if number == _FOLDER:
                    reached.append(f"{folder}/{name}")
                else:
                    tree.contents[number] = bytearray(self._left_content(number, chance, how))
        return Disk(tree)

    def _left_names(self, folder: str, chance: random.Random, how: str) -> dict[str, int]:
        names = dict(self._names.get(folder, {}))
        changes = self._changes.get(folder, [])
        if how == "any":
            # A journal loses the last changes, a file system without one loses any.
            kept = chance.randint(0, len(changes))
            in_order = chance.random() < 0.5
            changes = [
                change
                for at, change in enumerate(changes)
                if (at < kept if in_order else chance.random() < 0.5)
            ]
        for change in changes if how != "lost" else []:
            _rename(names, change)
        return names

    def _left_content(self, number: int, chance: random.Random, how: str) -> bytes:
        file = self._files[number]
        if how == "lost":
            return file.synced
        if how == "kept" or not file.since:
            return _applied(file.synced, file.since)
        left = []
        for operation in file.since:
            fate = chance.choice(("whole", "whole", "lost", "torn", "zeros"))
            if operation[0] == "write" and fate in ("torn", "zeros"):
                _, of, offset, data = operation
                kept = chance.randint(0, len(data))
                rest = bytes(len(data) - kept) if fate == "zeros" else b""
                left.append(("write", of, offset, data[:kept] + rest))
            elif fate != "lost":
                left.append(operation)
        return _applied(file.synced, left)


def _rename(names: dict[str, int], change: Operation) -> None:
    what, *given = change
    if what == "rename":
        old, new = (path.rpartition("/")[2] for path in given)
        if old in names:
            names[new] = names.pop(old)
    elif what == "remove":
        names.pop(given[0].rpartition("/")[2], None)
    else:
        names[given[0].rpartition("/")[2]] = given[1]


def _applied(content: bytes, operations: list[Operation]) -> bytes:
    tree = Tree()
    for operation in operations:
        number = operation[1]
        if number not in tree.contents:
            tree.contents[number] = bytearray(content)
        tree.apply(operation)
    return bytes(next(iter(tree.contents.values()), content))
