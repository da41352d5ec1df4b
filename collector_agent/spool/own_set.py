"""The set that this process writes to: its folder, its lock and its newest segment; standard library only."""

from pathlib import Path
from typing import Final

from collector_agent.spool.files import Files
from collector_agent.spool.frames import frame_of
from collector_agent.spool.names import CURSOR_DURABLE, CURSOR_RECENT, lock_of, new_set_name, segment_name

_ATTEMPTS: Final = 5
_CURSOR_ROOM: Final = b" " * 1024


class OwnSet:
    """Nothing is on disk before `make`.

    The lock lies beside the folder, is taken before the folder is made and held while the process lives:
    at no moment there is a set that looks abandoned and is not. (Inside of a folder it would keep
    Windows from renaming the folder into place.)
    """

    def __init__(self, spool_folder: Path, header: bytes, files: Files) -> None:
        self.folder = spool_folder / new_set_name()
        self.unsynced_folders = [spool_folder]  # grows with each segment
        self._header = frame_of(header)
        self._files = files
        self._lock: int | None = None
        self._number = 0
        self._has_room_for_cursor = False

    def make(self) -> None:
        """Raises OSError, and then leaves nothing behind."""
        files = self._files
        files.make_folders(self.folder.parent)
        for _ in range(_ATTEMPTS):
            lock_path = lock_of(self.folder)
            self._lock = files.lock(lock_path)
            if self._lock is not None:
                break
            # Who clears up took it, between our making the file and our locking it, for a dead writer's.
            self.folder = self.folder.with_name(new_set_name())
        else:
            raise OSError(f"{lock_path} cannot be locked")
        try:
            # A second copy of the header: without any, nobody knows what a row's values mean.
            files.write(self._lock, self._header)
            files.make_folder(self.folder)
        except BaseException:
            self.release()
            files.remove(lock_path)
            raise

    def new_segment(self) -> tuple[int, int]:
        """A handle and the size of a segment with nothing but its header in it. Raises OSError."""
        handle = self._files.create(self._path(self._number + 1))
        self._number += 1
        try:
            written = self._files.write(handle, self._header)
            if written != len(self._header):
                raise short_write(written, len(self._header))
        except BaseException:
            self.give_up_segment(handle, 0)
            raise
        self.unsynced_folders.append(self.folder)
        return handle, written

    def give_up_segment(self, handle: int, size: int) -> bool:
        """Cuts the newest segment, that a write to has failed, to whole frames; whether it has any rows.

        Else it is closed and removed.
        """
        try:
            if size > len(self._header):
                self._files.truncate(handle, size)
                return True
            self._files.close(handle)
            self._files.remove(self._path(self._number))
            self._number -= 1
        except OSError:  # whoever reads cuts it, or finds a segment without rows
            return size > len(self._header)
        return False

    def make_room_for_cursor(self) -> None:
        """So that whoever ships can say how far it is when the disk is full."""
        if self._has_room_for_cursor:
            return
        files = self._files
        for name in (CURSOR_RECENT, CURSOR_DURABLE):
            try:
                handle = files.create(self.folder / name)
                try:
                    files.write(handle, _CURSOR_ROOM)
                finally:
                    files.close(handle)
            except FileExistsError:  # the reader was quicker
                continue
            except OSError:
                return  # it is full already: the reader makes them when it can
        self._has_room_for_cursor = True

    def is_removed(self, segment: int | None) -> bool:
        """Whether somebody has removed the lock or the segment that is appended to."""
        kept_open = [handle for handle in (self._lock, segment) if handle is not None]
        return any(self._files.is_removed(handle) for handle in kept_open)

    def release(self) -> None:
        """From now on the set is of a writer that is gone."""
        if self._lock is not None:
            lock, self._lock = self._lock, None
            self._files.unlock(lock)

    def leave_to_parent(self) -> None:
        """In a forked child: the lock stays with the parent, and ends with it."""
        if self._lock is not None:
            lock, self._lock = self._lock, None
            self._files.close(lock)

    def _path(self, number: int) -> Path:
        return self.folder / segment_name(number)


def short_write(written: int, length: int) -> OSError:
    return OSError(f"the disk took {written} of {length} bytes")
