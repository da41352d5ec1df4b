"""Every operation that the spool does on files, in one place; standard library only.

Tests put their own in place of `REAL`: one that records what was written and replays it as a power
cut, one that lets each operation fail. All raise OSError. What this knows about platforms: Windows
has no folders to sync, and neither removes nor replaces a file that somebody has open (the spool then
tries again later); macOS keeps data in the drive's cache unless it is asked for more than an fsync.
"""

import errno
import os
import stat
import sys
from pathlib import Path
from typing import Final

from collector_agent.machine import file_lock

_BINARY: Final = getattr(os, "O_BINARY", 0)  # Windows would translate line ends
_NO_LINKS: Final = getattr(os, "O_NOFOLLOW", 0)  # a link in a folder of a group leads who knows where
_KNOWS_NO_FOLDER_SYNC: Final = (errno.EINVAL, getattr(errno, "ENOTSUP", errno.EINVAL))  # some file systems
_NOT_OURS: Final = (errno.EACCES, errno.EPERM, errno.EROFS)  # so nobody has made it for us
_OWN: Final = 0o700
_GROUP: Final = 0o070
_HANDS_ITS_GROUP_ON: Final = 0o2000

try:
    from fcntl import F_FULLFSYNC, fcntl  # type: ignore[attr-defined, unused-ignore]  # macOS only

    def _sync(handle: int) -> None:
        try:
            fcntl(handle, F_FULLFSYNC)
        except OSError:  # network drives do not know it
            os.fsync(handle)

except ImportError:

    def _sync(handle: int) -> None:
        os.fsync(handle)


class Files:
    """The files of this machine. A handle is a descriptor."""

    write = staticmethod(os.write)
    """write(handle, data) -> bytes written, at the end of a file from `create`."""

    def create(self, path: Path) -> int:
        """A handle of a new, empty file that is written at its end. FileExistsError where there is one."""
        return self._open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_EXCL)

    def truncate(self, handle: int, size: int) -> None:
        os.ftruncate(handle, size)

    def sync(self, handle: int) -> None:
        """What was written to the file survives a power cut (its name may need `sync_folder`)."""
        _sync(handle)

    def close(self, handle: int) -> None:
        os.close(handle)

    def size_of(self, handle: int) -> int:
        return os.fstat(handle).st_size

    def is_removed(self, handle: int) -> bool:
        """Whether the file has no name any more."""
        return os.fstat(handle).st_nlink == 0

    def read(self, path: Path, offset: int, length: int) -> bytes:
        """At most so many bytes; none at the file's end."""
        handle = os.open(path, os.O_RDONLY | _BINARY | _NO_LINKS)
        try:
            os.lseek(handle, offset, os.SEEK_SET)
            return os.read(handle, length)
        finally:
            os.close(handle)

    def listing(self, folder: Path) -> dict[str, tuple[int, int]]:
        """The files (not the folders) in a folder: name -> (bytes, modified at, in ns)."""
        found = {}
        with os.scandir(folder) as entries:
            for entry in entries:
                try:
                    if entry.is_file(follow_symlinks=False):
                        facts = entry.stat(follow_symlinks=False)
                        found[entry.name] = (facts.st_size, facts.st_mtime_ns)
                except FileNotFoundError:  # removed while we looked
                    continue
        return found

    def folders(self, folder: Path) -> list[str]:
        """The names of the folders in a folder."""
        with os.scandir(folder) as entries:
            return sorted(entry.name for entry in entries if entry.is_dir(follow_symlinks=False))

    def make_folder(self, path: Path) -> None:
        """For its owner alone, and for the group as far as the folder around it is. May not exist yet."""
        os.mkdir(path, _OWN)
        around = os.stat(path.parent).st_mode
        if sys.platform != "win32" and around & _GROUP:
            os.chmod(path, around & (_HANDS_ITS_GROUP_ON | _GROUP) | _OWN)

    def make_folders(self, path: Path) -> None:
        """The folder with those around it, for their owner alone; nothing where it is there."""
        missing = []
        while not path.is_dir():
            missing.append(path)
            path = path.parent
        for folder in reversed(missing):
            try:
                os.mkdir(folder, _OWN)
            except FileExistsError:  # another process was quicker
                continue

    def write_new(self, path: Path, data: bytes) -> None:
        """A durable file that appears as a whole, in place of what may have been there."""
        new = path.with_name(path.name + ".new")
        handle = self._open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        try:
            if os.write(handle, data) != len(data):
                raise OSError(f"{new} could not be written wholly")
            _sync(handle)
        finally:
            os.close(handle)
        os.replace(new, path)
        self.sync_folder(path.parent)

    def write_over(self, path: Path, data: bytes, *, durable: bool) -> None:
        """Puts this over what a small file holds (whose rest stays); makes the file where there is none.

        Needs no room on a full disk where the file is there, and no journal entry; may end half-way.
        """
        handle, is_new = self._open_or_create(path, os.O_WRONLY)
        try:
            if os.write(handle, data) != len(data):
                raise OSError(f"{path} could not be written wholly")
            if durable:
                _sync(handle)
        finally:
            os.close(handle)
        if durable and is_new:
            self.sync_folder(path.parent)

    def remove(self, path: Path) -> None:
        """There is no such file (any more)."""
        path.unlink(missing_ok=True)

    def remove_folder(self, path: Path) -> None:
        """Removes an empty folder."""
        os.rmdir(path)

    def sync_folder(self, path: Path) -> None:
        """New, replaced and removed names in the folder survive a power cut."""
        if sys.platform == "win32":  # Windows has journaled them, and opens no folders
            return
        handle = os.open(path, os.O_RDONLY)
        try:
            os.fsync(handle)
        except OSError as error:
            if error.errno not in _KNOWS_NO_FOLDER_SYNC:
                raise
        finally:
            os.close(handle)

    def sync_folders_around(self, path: Path) -> None:
        """The folder's own name, and those around it: whoever made them, it may have been just now."""
        for folder in path.absolute().parents:
            try:
                self.sync_folder(folder)
            except OSError as error:
                if error.errno not in _NOT_OURS:
                    raise

    def lock(self, path: Path, *, create: bool = True) -> int | None:
        """A handle that holds the file's lock until `unlock`; None where somebody else has it.

        Raises FileNotFoundError where the file is not there and not to be created.
        """
        flags = os.O_RDWR | os.O_APPEND
        handle = self._open_or_create(path, flags)[0] if create else self._open(path, flags)
        try:
            # Whoever had the lock before may have removed the file, and a lock on what is no longer
            # there keeps nobody out.
            if file_lock.lock(handle) and not self.is_removed(handle):
                return handle
        except BaseException:
            os.close(handle)
            raise
        os.close(handle)
        return None

    def is_locked(self, path: Path) -> bool:
        """Whether somebody holds the file's lock; False where there is no such file."""
        try:
            handle = os.open(path, os.O_RDONLY | _BINARY | _NO_LINKS)
        except FileNotFoundError:
            return False
        try:
            if not file_lock.lock(handle, for_itself=False):
                return True
            file_lock.unlock(handle)
            return False
        finally:
            os.close(handle)

    def unlock(self, handle: int) -> None:
        """Gives the lock up, forked children's copies of it included, and closes the file."""
        try:
            file_lock.unlock(handle)
        finally:
            os.close(handle)

    def _open(self, path: Path, flags: int) -> int:
        handle = os.open(path, flags | _BINARY | _NO_LINKS, 0o600)
        if flags & os.O_CREAT and sys.platform != "win32":
            # As far as the folder lets its group in, whatever the umask.
            wanted = os.stat(path.parent).st_mode & 0o060 | 0o600
            if stat.S_IMODE(os.fstat(handle).st_mode) != wanted:
                os.fchmod(handle, wanted)
        return handle

    def _open_or_create(self, path: Path, flags: int) -> tuple[int, bool]:
        """A handle, and whether the file is new."""
        try:
            return self._open(path, flags), False
        except FileNotFoundError:
            return self._open(path, flags | os.O_CREAT), True


REAL: Final = Files()
