"""What a process recorded, in the operating system's hands before `append` returns; standard library only."""

import threading
import time
from collections import deque
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from analytics_lib.record_values import FIELDS
from collector_agent.machine.loading import loading
from collector_agent.spool.files import REAL, Files
from collector_agent.spool.frames import MAX_PAYLOAD_BYTES, frame_of
from collector_agent.spool.names import header
from collector_agent.spool.own_set import OwnSet, short_write

_MEMORY_BYTES: Final = 16 << 20  # of payloads that wait in memory for a disk that works again
_RETRY_SEC: Final = 1.0
_LEAST_SEGMENT_BYTES: Final = 64 << 10
_STUCK_SEC: Final = 2.0  # nobody waits longer for a sync that a disk does not finish
_CHECK_SEC: Final = 10.0  # between looks at the whole folder's size, at the most
_CHECK_BYTES: Final = 1 << 20


@dataclass(frozen=True, slots=True)
class SpoolLimits:
    """How much the spool folder may hold (all sets together), and what gives way when it is full.

    The cap is kept at each sync, in whole segments: for a flush interval there may be more.
    """

    max_bytes: int = 1 << 30
    when_full: Literal["drop_oldest", "refuse_new"] = "drop_oldest"
    segment_bytes: int = 8 << 20


class SpoolWriter:
    """Appends to a set of this process's own; opens nothing until the first append.

    `append` may be called from any thread, and from signal handlers, destructors and logging handlers
    while another one runs. `sync` belongs to a background thread. A forked child calls
    `reset_after_fork` before anything else, best by os.register_at_fork: until then it keeps its
    parent's lock alive.

    `rows`: accepted so far. `refused`: not accepted, or accepted and lost with the memory at `close`.
    """

    def __init__(
        self,
        folder: Path,
        *,
        limits: SpoolLimits = SpoolLimits(),
        agent_version: str = "",
        host: str = "",
        memory_rows: int = 10_000,
        files: Files = REAL,
    ) -> None:
        self.folder = folder
        self.limits = limits
        self._files = files
        self._write = files.write
        self._agent_version = agent_version
        self._host = host
        self._memory_rows = memory_rows
        # Small caps need small segments: only closed ones can be dropped.
        least = max(_LEAST_SEGMENT_BYTES, limits.max_bytes // 8)
        self._segment_bytes = min(limits.segment_bytes, least)
        self._begin()

    def _begin(self) -> None:
        """What a new writer and a forked child begin with."""
        self.rows = 0
        self.refused = 0
        self.last_error = ""
        self._lock = threading.RLock()  # for an append, or what must not happen during one
        self._sync_lock = threading.RLock()  # for a sync; its holder waits for _lock only briefly
        self._syncing = False
        self._appending = False
        self._draining = False
        self._is_full = False
        self._finished_bytes = 0
        self._checked_bytes = 0
        self._check_at = 0.0
        self._forget_waiting()
        self._forget_set()

    def _forget_waiting(self) -> None:
        self._waiting: deque[bytes] = deque()
        self._waiting_bytes = 0
        self._retry_at = 0.0

    def _forget_set(self) -> None:
        self._set: OwnSet | None = None
        self._handle: int | None = None  # of the segment that is appended to
        self._size = 0  # of that segment; may be wrong after an interruption, and is only a hint then
        self._retired: deque[int] = deque()  # segments that nobody appends to any more, open until synced
        self._synced: tuple[int | None, int] = (None, 0)  # which segment, and its size at that time
        self._sync_failed = False

    @property
    def set_folder(self) -> Path | None:
        """Of the set that is written to."""
        return None if self._set is None else self._set.folder

    @property
    def waiting(self) -> int:
        """Accepted rows that are in this process's memory only, because the disk does not take them."""
        return len(self._waiting)

    def append(self, payload: bytes) -> bool:
        """Whether the payload will be delivered: the operating system has it, or it waits for a disk that
        fails. False: it was refused and counted. Never raises."""
        with self._lock:
            outer = self._appending
            try:
                self._appending = True
                handle = self._handle
                if handle is None or len(payload) > MAX_PAYLOAD_BYTES or not payload:
                    return self._append_slowly(payload)
                frame = frame_of(payload)
                size = self._size
                try:
                    written = self._write(handle, frame)
                except OSError as error:
                    self._give_up_segment(handle, size, 0, error)
                    return self._wait_in_memory(payload)
                if written != len(frame):
                    self._give_up_segment(handle, size, written, short_write(written, len(frame)))
                    return self._wait_in_memory(payload)
                self._size += written
                self.rows += 1
                if self._size >= self._segment_bytes and handle == self._handle:
                    self._retire(handle)
                return True
            except Exception as error:  # noqa: BLE001  # the robot goes on whatever happens to our row
                self.last_error = str(error)
                self.refused += 1
                return False
            finally:
                self._appending = outer

    def offer(self, payload: bytes) -> bool:
        """Whether the operating system has it. If not, it is neither kept nor counted: for what is said
        anew, and better, later. Never raises."""
        with self._lock:
            if self._waiting or self._is_full:
                return False
            refused, taken = self.refused, self.append(payload)
            if not taken:
                self.refused = refused
            elif self._waiting and self._waiting[-1] is payload:
                self._waiting_bytes -= len(self._waiting.pop())
                self.rows -= 1
                return False
            return taken

    def sync(self) -> bool:
        """Whether all that was appended before survives a power cut from now on. Never raises.

        Gives what waits in memory another try, and keeps the spool within its cap. False: `last_error`
        says why; what a disk refused to sync is tried again by the next sync.
        """
        if not self._sync_lock.acquire(timeout=_STUCK_SEC):
            self.last_error = "another sync does not come to its end"
            return False
        if self._syncing:  # a signal handler's, in the middle of one
            self._sync_lock.release()
            return False
        try:
            self._syncing = True
            self._leave_removed_set()
            is_written = self._write_waiting()
            is_synced = self._sync_set()
            if is_written and is_synced:
                self.last_error = ""
            self._keep_cap()
            return is_written and is_synced
        except Exception as error:  # noqa: BLE001  # the thread that syncs lives as long as the robot
            self.last_error = str(error)
            return False
        finally:
            self._syncing = False
            self._sync_lock.release()

    def close(self) -> None:
        """Syncs and gives the set to whoever ships; rows that only memory has are counted as refused.

        Whatever is appended later goes into a new set. Never raises.
        """
        if not self._sync_lock.acquire(timeout=_STUCK_SEC):
            return  # the disk hangs, and the end of the process closes everything
        try:
            self.sync()
            folder = self.set_folder
            if self._syncing or not self._lock.acquire(timeout=_STUCK_SEC):
                return
            try:
                if self._appending:  # a signal handler's close, in the middle of an append
                    return
                self.refused += len(self._waiting)
                self.rows -= len(self._waiting)
                self._forget_waiting()
                self._close_set()
            finally:
                self._lock.release()
            if folder is not None:
                with loading:
                    from collector_agent.spool.reader import remove_if_finished  # here, as in _make_it_fit

                remove_if_finished(folder, self._files)
        except Exception as error:  # noqa: BLE001  # the robot ends as it would have
            self.last_error = str(error)
        finally:
            self._sync_lock.release()

    def reset_after_fork(self) -> None:
        """In a forked child: neither the parent's set nor its rows nor its counters are the child's."""
        for handle in (*self._retired, self._handle):
            if handle is not None:
                self._close(handle)
        if self._set is not None:
            self._set.leave_to_parent()
        self._begin()

    # --- appending -----------------------------------------------------------------------------------

    def _append_slowly(self, payload: bytes) -> bool:
        """There is no segment: none yet, it is full, the disk failed or the spool is at its cap."""
        if not isinstance(payload, bytes) or not 0 < len(payload) <= MAX_PAYLOAD_BYTES:
            self.last_error = f"a payload has from 1 to {MAX_PAYLOAD_BYTES} bytes"
            self.refused += 1
            return False
        if self._is_full:
            self.refused += 1
            return False
        if not self._wait_in_memory(payload):
            return False
        if time.monotonic() >= self._retry_at:
            self._drain()
        return True

    def _wait_in_memory(self, payload: bytes) -> bool:
        if len(self._waiting) >= self._memory_rows or self._waiting_bytes + len(payload) > _MEMORY_BYTES:
            self.refused += 1
            return False
        self._waiting.append(payload)
        self._waiting_bytes += len(payload)
        self.rows += 1
        return True

    def _drain(self) -> None:
        """Writes what waits into a new segment, which then is the one to append to.

        Until then an append that comes in between puts its row behind those that wait.
        """
        if self._draining:
            return
        self._draining = True
        handle, size = None, 0
        try:
            own = self._own_set()
            handle, size = own.new_segment()
            while True:
                while self._waiting:
                    size += self._write_frame(handle, self._waiting[0])
                    self._waiting_bytes -= len(self._waiting.popleft())
                self._handle, self._size = handle, size
                if not self._waiting:  # else one came in just before that
                    return
                self._handle, size = None, self._size
        except OSError as error:
            self._note(error)
            if handle is not None and own.give_up_segment(handle, size):
                self._retired.append(handle)
        except BaseException:  # a KeyboardInterrupt, say
            if handle is not None and handle != self._handle:
                self._retired.append(handle)
            raise
        finally:
            self._draining = False

    def _own_set(self) -> OwnSet:
        if self._set is None:
            self._set = OwnSet(self.folder, header(self._agent_version, self._host, FIELDS), self._files)
            try:
                self._set.make()
            except BaseException:
                self._set = None
                raise
        return self._set

    def _write_frame(self, handle: int, payload: bytes) -> int:
        frame = frame_of(payload)
        written = self._write(handle, frame)
        if written != len(frame):
            raise short_write(written, len(frame))
        return written

    def _give_up_segment(self, handle: int, size: int, written: int, error: OSError) -> None:
        """After a failed or partial write: cuts what was written of the frame, and appends elsewhere."""
        if handle == self._handle:
            self._retire(handle)
        self._note(error)
        try:
            # Not if an append came in between (a signal handler's) and stands behind the part of a frame.
            if written and self._files.size_of(handle) == size + written:
                self._files.truncate(handle, size)
        except OSError:
            return  # whoever reads cuts it

    def _retire(self, handle: int) -> None:
        self._retired.append(handle)  # first: a sync looks at the current handle before it looks here
        self._handle = None
        self._finished_bytes += self._size

    def _note(self, error: OSError) -> None:
        self.last_error = str(error)
        self._retry_at = time.monotonic() + _RETRY_SEC

    def _close(self, handle: int) -> None:
        try:
            self._files.close(handle)
        except OSError as error:
            self.last_error = str(error)

    # --- syncing -------------------------------------------------------------------------------------

    def _leave_removed_set(self) -> None:
        """Where somebody has cleared the spool away under us, what comes next goes into a new set."""
        if self._set is None or not self._set.is_removed(self._handle):
            return
        if not self._lock.acquire(timeout=_STUCK_SEC):
            return
        try:
            if not self._appending:
                self._close_set()
        finally:
            self._lock.release()

    def _write_waiting(self) -> bool:
        if not self._waiting:
            return True
        if not self._lock.acquire(timeout=_STUCK_SEC):
            return False
        try:
            if self._waiting:
                if self._handle is not None:
                    self._retire(self._handle)
                self._drain()
            return not self._waiting
        finally:
            self._lock.release()

    def _sync_set(self) -> bool:
        files, own, handle = self._files, self._set, self._handle
        if own is None:
            return True
        own.make_room_for_cursor()
        retired, folders = list(self._retired), list(own.unsynced_folders)
        try:
            for one in retired:
                files.sync(one)
            if handle is not None and handle not in retired:
                size = files.size_of(handle)
                if (handle, size) != self._synced:
                    files.sync(handle)
                    self._synced = (handle, size)
        except OSError as error:
            self.last_error = str(error)
            # Linux says so once, and calls the next sync of the same file a success: later rows go
            # into another one.
            if not self._sync_failed and handle is not None:
                self._sync_failed = True
                self._stop_appending_to(handle)
            return False
        self._sync_failed = False
        try:
            for folder in dict.fromkeys(folders):
                files.sync_folder(folder)
                if folder == self.folder:
                    files.sync_folders_around(folder)
        except OSError as error:  # no descriptor left to open it with, say: the segment itself is well
            self.last_error = str(error)
            return False
        del own.unsynced_folders[: len(folders)]
        self._close_retired(len(retired))
        return True

    def _close_retired(self, count: int) -> None:
        if not count or not self._lock.acquire(timeout=_STUCK_SEC):
            return
        try:
            if not self._appending:  # an append that a signal handler interrupted may be about to write
                for _ in range(count):
                    handle = self._retired.popleft()
                    if self._synced[0] == handle:
                        self._synced = (None, 0)  # the number is free for another file
                    self._close(handle)
        finally:
            self._lock.release()

    def _stop_appending_to(self, handle: int) -> None:
        if not self._lock.acquire(timeout=_STUCK_SEC):
            return
        try:
            if handle == self._handle:
                self._retire(handle)
        finally:
            self._lock.release()

    def _keep_cap(self) -> None:
        """Looks at the folder when enough was written, or some time has passed, since it last did."""
        now, written = time.monotonic(), self._finished_bytes + self._size
        enough = min(_CHECK_BYTES, self.limits.max_bytes // 64)
        if not self._is_full and now < self._check_at and written - self._checked_bytes < enough:
            return
        self._check_at, self._checked_bytes = now + _CHECK_SEC, written
        try:
            self._make_it_fit()
        except Exception as error:  # noqa: BLE001  # what was synced is synced
            self.last_error = str(error)

    def _make_it_fit(self) -> None:
        # Here: the side that reads takes twice as long to import as all else that recording needs.
        with loading:
            from collector_agent.spool.capacity import drop_oldest, spool_bytes

        handle = self._handle
        if self.limits.when_full == "refuse_new":
            self._is_full = spool_bytes(self.folder, self._files) > self.limits.max_bytes
            if self._is_full and handle is not None:
                self._stop_appending_to(handle)
            return
        too_many = drop_oldest(self.folder, self.limits.max_bytes, self._files)
        if too_many and handle is not None and self._size > self._segment_bytes // 4:
            self._stop_appending_to(handle)  # the next look can drop it

    def _close_set(self) -> None:
        for handle in (*self._retired, self._handle):
            if handle is not None:
                self._close(handle)
        own = self._set
        self._forget_set()
        if own is not None:
            own.release()
