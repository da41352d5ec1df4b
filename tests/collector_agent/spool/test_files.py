"""The files of this machine as the spool uses them, and that the disk in memory behaves like them."""

import errno
import os
import random
import sys
from pathlib import Path
from typing import Any

import pytest

from collector_agent.machine import file_lock
from collector_agent.spool.files import REAL, Files
from tests.collector_agent.spool.disk import ROOT, Disk

posix = pytest.mark.skipif(sys.platform == "win32", reason="Windows keeps rights elsewhere")


class Side:
    """One of two disks that are treated alike."""

    def __init__(self, files: Files, root: Path) -> None:
        self.files = files
        self.root = root
        self.open: list[int] = []
        self.locks: dict[str, int] = {}

    def outcome(self, what: str, *given: Any) -> Any:
        try:
            return getattr(self, what)(*given)
        except OSError as error:
            return type(error)

    def create(self, name: str) -> None:
        self.open.append(self.files.create(self.root / name))

    def write(self, at: int, data: bytes) -> int:
        return self.files.write(self.open[at % len(self.open)], data) if self.open else 0

    def truncate(self, at: int, size: int) -> int:
        if not self.open:
            return 0
        handle = self.open[at % len(self.open)]
        self.files.truncate(handle, min(size, self.files.size_of(handle)))
        return self.files.size_of(handle)

    def is_removed(self) -> list[bool]:
        return [self.files.is_removed(handle) for handle in self.open]

    def read(self, name: str, offset: int, length: int) -> bytes:
        return self.files.read(self.root / name, offset, length)

    def listing(self, name: str) -> dict[str, int]:
        found = self.files.listing((self.root / name).parent).items()
        return {name: size for name, (size, _) in found}

    def folders(self, name: str) -> list[str]:
        return self.files.folders((self.root / name).parent)

    def make_folders(self, name: str) -> None:
        self.files.make_folders((self.root / name).parent)

    def write_over(self, name: str, data: bytes, durable: bool) -> None:
        self.files.write_over(self.root / name, data, durable=durable)

    def write_new(self, name: str, data: bytes) -> None:
        self.files.write_new(self.root / name, data)

    def remove(self, name: str) -> None:
        self.files.remove(self.root / name)

    def remove_folder(self, name: str) -> None:
        self.files.remove_folder((self.root / name).parent)

    def lock(self, name: str, create: bool) -> bool:
        handle = self.files.lock(self.root / name, create=create)
        if handle is not None:
            self.locks[name] = handle
        return handle is not None

    def is_locked(self, name: str) -> bool:
        return self.files.is_locked(self.root / name)

    def unlock(self, name: str) -> None:
        if name in self.locks:
            self.files.unlock(self.locks.pop(name))

    def end(self) -> None:
        for handle in self.open + list(self.locks.values()):
            self.files.close(handle)


@pytest.mark.skipif(sys.platform == "win32", reason="the disk in memory lets open files be removed")
@pytest.mark.parametrize("seed", range(40))
def test_the_disk_in_memory_does_what_a_real_one_does(seed: int, tmp_path: Path) -> None:
    chance = random.Random(seed)  # noqa: S311  # the same each time
    sides = Side(REAL, tmp_path), Side(Disk(), ROOT)
    for _ in range(80):
        name = chance.choice(("a", "b", "f/a", "f/b", "f/g/a"))
        data, number = bytes([chance.randrange(65, 90)]) * chance.randint(1, 9), chance.randrange(8)
        calls = (
            ("create", name),
            ("write", number, data),
            ("write", number, data),
            ("truncate", number, number),
            ("is_removed",),
            ("read", name, number, 5),
            ("listing", name),
            ("folders", name),
            ("make_folders", name),
            ("write_over", name, data, chance.random() < 0.5),
            ("write_new", name, data),
            ("remove", name),
            ("remove_folder", name.rpartition("/")[0] and name),
            ("lock", f"{name}.lock", chance.random() < 0.5),
            ("is_locked", f"{name}.lock"),
            ("unlock", f"{name}.lock"),
        )
        call = chance.choice(calls)
        if call == ("remove_folder", ""):  # of the root itself
            continue
        real, in_memory = (side.outcome(*call) for side in sides)
        assert real == in_memory, call
    for side in sides:
        side.end()


@posix
def test_only_its_owner_may_see_what_is_made(tmp_path: Path) -> None:
    folder = tmp_path / "made" / "spool"
    REAL.make_folders(folder)
    REAL.make_folder(folder / "set")
    REAL.close(REAL.create(folder / "set" / "file"))
    REAL.write_new(folder / "set" / "new", b"x")
    made = [folder.parent, folder, folder / "set", folder / "set" / "file", folder / "set" / "new"]
    assert [path.stat().st_mode & 0o777 for path in made] == [0o700, 0o700, 0o700, 0o600, 0o600]


@posix
@pytest.mark.parametrize("mode", [0o770, 0o750, 0o2770, 0o777])
def test_the_group_may_do_what_the_spool_folder_lets_it_do_whatever_the_umask(
    tmp_path: Path, mode: int
) -> None:
    folder = tmp_path / "spool"
    folder.mkdir()
    folder.chmod(mode)
    before = os.umask(0o077)
    try:
        REAL.make_folder(folder / "set")
        REAL.close(REAL.create(folder / "set" / "file"))
    finally:
        os.umask(before)
    assert (folder / "set").stat().st_mode & 0o7777 == mode & 0o2770
    assert (folder / "set" / "file").stat().st_mode & 0o777 == mode & 0o660


@posix
def test_links_are_not_followed(tmp_path: Path) -> None:
    (tmp_path / "outside").write_bytes(b"secret")
    (tmp_path / "link").symlink_to(tmp_path / "outside")
    for operation in (
        lambda: REAL.read(tmp_path / "link", 0, 10),
        lambda: REAL.write_over(tmp_path / "link", b"x", durable=False),
        lambda: REAL.lock(tmp_path / "link"),
    ):
        with pytest.raises(OSError, match="symbolic link"):
            operation()
    assert (tmp_path / "outside").read_bytes() == b"secret"
    assert "link" not in REAL.listing(tmp_path)


@posix
def test_a_lock_whose_file_was_removed_meanwhile_is_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "lock"
    held = REAL.lock(path)
    assert held is not None
    path.unlink()
    another = REAL.lock(path)  # of a new file
    assert another is not None
    REAL.unlock(held)
    REAL.unlock(another)
    lock = file_lock.lock
    monkeypatch.setattr(file_lock, "lock", lambda of: lock(of) and path.unlink() is None)
    assert REAL.lock(path) is None


@pytest.mark.portable
def test_folders_around_are_synced_where_that_is_allowed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[Path] = []

    def sync(files: Files, path: Path) -> None:
        if path == path.parent:
            raise PermissionError(errno.EACCES, "not yours")
        synced.append(path)

    monkeypatch.setattr(Files, "sync_folder", sync)
    REAL.sync_folders_around(tmp_path / "spool")
    assert synced[0] == tmp_path
    assert Path(tmp_path.anchor) not in synced


@posix
def test_a_file_system_that_syncs_no_folders_is_taken_as_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(error: int) -> None:
        def fsync(_: int) -> None:
            raise OSError(error, os.strerror(error))

        monkeypatch.setattr(os, "fsync", fsync)

    fail(errno.EINVAL)
    REAL.sync_folder(tmp_path)
    fail(errno.EIO)
    with pytest.raises(OSError, match="Input/output"):
        REAL.sync_folder(tmp_path)
    with pytest.raises(OSError, match="Input/output"):
        REAL.sync_folders_around(tmp_path)
