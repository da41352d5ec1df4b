"""Linux control groups: which ones a process is in, and what their files say. Versions 2 and 1.

A group may be limited itself or by any group around it, and by several: the tightest counts. What stands
above the mount of a container is not seen in there; the container's own group is the mount's root.
"""

import re
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final, NamedTuple

_ESCAPED: Final = re.compile(r"\\([0-7]{3})")
_PARTS: Final = re.compile(r"(\d+)(?:-(\d+))?")


class Group(NamedTuple):
    """The folder of a control group, for one controller."""

    folder: Path
    version: int

    def number(self, name: str) -> int | None:
        """What the file says; None where there is none, and for `max`."""
        with suppress(OSError, ValueError):
            return int((self.folder / name).read_bytes())
        return None

    def field(self, name: str, key: str) -> int | None:
        """One line of a file of `key value` lines."""
        with suppress(OSError, ValueError):
            for line in (self.folder / name).read_bytes().splitlines():
                words = line.split()
                if words and words[0] == key.encode():
                    return int(words[1])
        return None

    def cpu_cores(self) -> float | None:
        """Of so many cores it may use the whole time; None without a limit."""
        with suppress(OSError, ValueError, IndexError, ZeroDivisionError):
            if self.version == 2:
                quota, period = (self.folder / "cpu.max").read_bytes().split()
                return None if quota == b"max" else _above_zero(int(quota) / int(period))
            quota_us, period_us = self.number("cpu.cfs_quota_us"), self.number("cpu.cfs_period_us")
            if quota_us is not None and period_us is not None:
                return _above_zero(quota_us / period_us)  # -1: no limit
        return None

    def cpuset_cores(self) -> int | None:
        """So many cores it may run on."""
        names = ("cpuset.cpus.effective",) if self.version == 2 else ("cpuset.effective_cpus", "cpuset.cpus")
        for name in names:
            with suppress(OSError, ValueError):
                listed = (self.folder / name).read_text("ascii")
                return sum(int(b or a) - int(a) + 1 for a, b in _PARTS.findall(listed)) or None
        return None

    def cpu_used_s(self) -> float | None:
        """CPU time of all processes that are or were in it."""
        if self.version == 2:
            used_us = self.field("cpu.stat", "usage_usec")
            return None if used_us is None else used_us / 1e6
        used_ns = self.number("cpuacct.usage")
        return None if used_ns is None else used_ns / 1e9

    def memory_limit_bytes(self) -> int | None:
        limit = self.number("memory.max" if self.version == 2 else "memory.limit_in_bytes")
        return None if limit is None or limit <= 0 else limit

    def memory_used_bytes(self) -> int | None:
        """Without the files' contents that were not touched lately: those give way (as Kubernetes counts)."""
        current = self.number("memory.current" if self.version == 2 else "memory.usage_in_bytes")
        if current is None:
            return None
        idle = self.field("memory.stat", "inactive_file" if self.version == 2 else "total_inactive_file")
        return max(0, current - (idle or 0))


def _above_zero(cores: float) -> float | None:
    return cores if cores > 0 else None


class _Mount(NamedTuple):
    group: str  # that is its root, by its path
    folder: Path
    version: int
    controllers: frozenset[str]


class Hierarchies:
    """The groups that a process (None: this one) is in. `root`: where proc and sys are, for tests."""

    def __init__(self, pid: int | None = None, root: Path = Path("/")) -> None:
        self._mounts: list[_Mount] = []
        self._paths: dict[str, str] = {}
        with suppress(OSError, ValueError):  # this system has no control groups, or the process is gone
            self._paths = _paths(root, "self" if pid is None else str(pid))
            self._mounts = sorted(_mounts(root), key=lambda mount: mount.version)

    def groups(self, controller: str) -> list[Group]:
        """Those for 'cpu', 'cpuacct', 'memory' or 'cpuset', the process's own first and the outermost that
        is visible last; [] where there are none."""
        for mount in self._mounts:  # a controller is in one hierarchy
            if mount.version == 1 and controller not in mount.controllers:
                continue
            path = self._paths.get(controller if mount.version == 1 else "")
            if path is None:
                continue
            folders = [mount.folder]
            for part in _below(path, mount.group):
                folders.append(folders[-1] / part)
            return [Group(folder, mount.version) for folder in reversed(folders)]
        return []


def _mounts(root: Path) -> Iterator[_Mount]:
    for line in (root / "proc/self/mountinfo").read_text("utf-8", "surrogateescape").splitlines():
        if " - cgroup" not in line:
            continue
        about, _, filesystem = line.partition(" - ")
        kind, _, options = filesystem.partition(" ")
        if kind not in ("cgroup", "cgroup2"):
            continue
        words = about.split(" ")
        group, point = (_ESCAPED.sub(lambda octal: chr(int(octal[1], 8)), word) for word in words[3:5])
        controllers = frozenset(options.rpartition(" ")[2].split(","))
        yield _Mount(group, root / point.lstrip("/"), 2 if kind == "cgroup2" else 1, controllers)


def _paths(root: Path, process: str) -> dict[str, str]:
    """The path of its group by controller; by '' that of version 2."""
    paths: dict[str, str] = {}
    for line in (root / "proc" / process / "cgroup").read_text("utf-8", "surrogateescape").splitlines():
        _, controllers, path = line.split(":", 2)
        paths |= dict.fromkeys(controllers.split(","), path)
    return paths


def _below(path: str, mounted: str) -> list[str]:
    """The way from the group that is mounted to the one at `path`; [] where that is not below it."""
    parts, above = path.strip("/").split("/"), mounted.strip("/")
    if above:
        names = above.split("/")
        if parts[: len(names)] != names:
            return []  # as in a container that sees its whole path, and not the groups along it
        parts = parts[len(names) :]
    return [] if ".." in parts else [part for part in parts if part]
