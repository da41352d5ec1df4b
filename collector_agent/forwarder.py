"""From the spool to the store: the newest rows first, backlogs in slices, and nothing lost when it fails.

A batch is acknowledged after the store has committed it, so each row arrives at least once; the store
keeps one of each. Everything is tried again for as long as it takes. Several forwarders may work on one
folder at once (a robot's own and the daemon's): each set is read by one at a time.
"""

import logging
import os
import random
import threading
import time
import weakref
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final

from collector_agent.forwarding.dispatch import Dispatch
from collector_agent.forwarding.sifting import Deliver, reason_of
from collector_agent.forwarding.spool_account import Look, SpoolAccount, moment_of_us, utc_now
from collector_agent.spool.files import REAL, Files
from collector_agent.spool.reader import SetReader, look_at, open_set, sets_in

BATCH_ROWS: Final = 1_000
INTERVAL_SEC: Final = 1.0
SLICE_SEC: Final = 1.0
_LOOK_SEC: Final = 5.0  # so often the spool is looked at while the store is left alone
_log = logging.getLogger("rpa_agent")


@dataclass(frozen=True, slots=True)
class Pass:
    """What one pass did. `pause_s`: so long there is nothing to do; 0.0 where a backlog waits."""

    delivered: int
    pause_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ForwarderState:
    """Where the spool stands as of the last pass, and what became of rows since the forwarder was made.

    `rows_pending`: estimated by bytes. `complete_to`: every row that any set got before that moment is
    delivered; years ago before the first look. `failing_since`: since when the store takes nothing.
    `last_error`: '' where all goes well.
    """

    delivered: int = 0
    quarantined: int = 0
    dropped: int = 0
    torn: int = 0
    missing: int = 0
    sets: int = 0
    spool_bytes: int = 0
    rows_pending: int = 0
    oldest_undelivered_at: datetime | None = None
    complete_to: datetime
    last_error: str = ""
    failing_since: datetime | None = None
    last_progress_at: datetime | None = None


class Forwarder:
    """Ships the sets of a spool folder to `deliver`, which raises where it does not take all the rows.

    A pass gives the newest rows of all sets first, then for `slice_sec` rows of backlogs, the sets in
    turn, `batch_rows` at a time. Sets of robots that have ended are removed when they are delivered.

    `clock` is monotonic; `chance` gives 0 to 1. Nothing is raised, and no method but `stop` waits.
    """

    def __init__(
        self,
        folder: Path,
        deliver: Deliver,
        *,
        batch_rows: int = BATCH_ROWS,
        interval_sec: float = INTERVAL_SEC,
        slice_sec: float = SLICE_SEC,
        files: Files = REAL,
        clock: Callable[[], float] = time.monotonic,
        now: Callable[[], datetime] = utc_now,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self._folder = folder
        self._interval_s = interval_sec
        self._slice_s = slice_sec
        self._files = files
        self._clock = clock
        self._now = now
        self._dispatch = Dispatch(deliver, batch_rows=batch_rows, files=files, clock=clock, chance=chance)
        self._account = SpoolAccount(now)
        self._spool_error = ""
        self._look_due_s = float("-inf")
        self._failing_since: datetime | None = None
        self._last_progress_at: datetime | None = None
        self._state = self._state_now()
        self._begin()
        _forwarders.add(self)

    def _begin(self) -> None:
        self._readers: list[SetReader] = []
        self._passing = threading.Lock()
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None

    @property
    def state(self) -> ForwarderState:
        return self._state

    # --- as a thread ---------------------------------------------------------------------------------

    def start(self) -> None:
        """Makes passes in the background; started twice is started once."""
        if self._thread is not None:
            return
        self._stopping.clear()
        thread = threading.Thread(target=self._work, name="rpa-agent-forwarder", daemon=True)
        try:
            thread.start()
        except RuntimeError as error:  # no threads any more: the interpreter is shutting down
            _log.warning("the spool is not shipped: %s", error)
            return
        self._thread = thread

    def stop(self, timeout_sec: float = 10.0) -> bool:
        """Makes a last pass; whether it ended within the time. If not, it ends in the background."""
        thread, self._thread = self._thread, None
        self._stopping.set()
        if thread is None or thread is threading.current_thread():
            return True
        thread.join(max(0.0, min(timeout_sec, threading.TIMEOUT_MAX)))
        return not thread.is_alive()

    def reset_after_fork(self) -> None:
        """The child ships nothing until it is told to; what its parent reads is its parent's."""
        for reader in self._readers:
            reader.reset_after_fork()
        self._begin()

    def _work(self) -> None:
        stopping = self._stopping
        while not stopping.is_set():
            try:
                pause_s = self.run_once().pause_s
            except BaseException as error:  # noqa: BLE001  # SystemExit of a callback; the rows are where they were
                _log.warning("shipping goes on after %s", reason_of(error))
                pause_s = self._interval_s
            stopping.wait(pause_s)
        self.run_once()

    # --- one pass ------------------------------------------------------------------------------------

    def run_once(self) -> Pass:
        """One pass over all sets. Never raises."""
        if not self._passing.acquire(blocking=False):
            return Pass(0, self._interval_s)  # another thread is at it
        dispatch, before, has_more = self._dispatch, self._dispatch.delivered, False
        try:
            if self._clock() >= dispatch.due_s:
                has_more = self._ship()
            elif self._clock() >= self._look_due_s:
                self._look(self._account.begin(), sets_in(self._folder, self._files), set())
        except Exception as error:  # noqa: BLE001  # a folder that cannot be listed, a file system that is gone
            self._spool_error = reason_of(error)
        finally:
            self._note_times(dispatch.delivered > before)
            self._state = self._state_now()
            self._passing.release()
        left_s = dispatch.due_s - self._clock()
        pause_s = min(left_s, _LOOK_SEC) if left_s > 0 else 0.0 if has_more else self._interval_s
        return Pass(dispatch.delivered - before, pause_s)

    def look(self) -> None:
        """Brings `state` up to date and ships nothing. Never raises."""
        with self._passing:
            try:
                self._look(self._account.begin(), sets_in(self._folder, self._files), set())
            except Exception as error:  # noqa: BLE001  # as below
                self._spool_error = reason_of(error)
            self._state = self._state_now()

    def _ship(self) -> bool:
        """Whether a backlog waits that can be shipped now."""
        look = self._account.begin()
        self._spool_error = ""
        folders = sets_in(self._folder, self._files)
        readers = self._readers = []
        read = set()
        try:
            self._open(folders)
            ship = self._dispatch.ship_lane
            has_more = ship(readers, live=True, until_s=self._clock() + self._slice_s)
            if self._clock() >= self._dispatch.due_s:
                has_more = ship(readers, live=False, until_s=self._clock() + self._slice_s) or has_more
        finally:
            while readers:
                reader = readers.pop()
                read.add(reader.folder)
                self._put_down(reader, look)
        self._look(look, folders, read)
        return has_more

    def _open(self, folders: list[Path]) -> None:
        for folder in folders:
            if not any(self._dispatch.may_ship(folder.name, live) for live in (True, False)):
                continue
            try:
                reader = open_set(folder, self._files)
            except OSError as error:
                self._spool_error = reason_of(error)
                continue
            if reader is not None:
                self._readers.append(reader)

    def _put_down(self, reader: SetReader, look: Look) -> None:
        name = reader.folder.name
        try:
            self._spool_error = reader.last_error or self._spool_error
            self._account.add(look, name, reader.state)
            if reader.is_finished and reader.remove():
                look.sets -= 1
        except OSError as error:
            self._spool_error = reason_of(error)
            self._account.add_unread(look, name)
        finally:
            reader.close()

    def _look(self, look: Look, folders: list[Path], read: set[Path]) -> None:
        """Adds up what stands in the spool now, with the sets that were not read because somebody else
        reads them or the store is left alone."""
        self._look_due_s = self._clock() + _LOOK_SEC
        for folder in folders:
            if folder in read:
                continue
            try:
                self._account.add(look, folder.name, look_at(folder, self._files))
            except OSError:
                self._account.add_unread(look, folder.name)
        names = {folder.name for folder in folders}
        self._account.end(look, names)
        self._dispatch.forget_all_but(names)
        if not look.bytes_undelivered:
            self._dispatch.store_error = ""  # somebody else has delivered what was refused

    def _note_times(self, has_progress: bool) -> None:
        if has_progress:
            self._last_progress_at = self._now()
        if not self._dispatch.store_error:
            self._failing_since = None
        elif self._failing_since is None:
            self._failing_since = self._now()

    def _state_now(self) -> ForwarderState:
        look, dispatch = self._account.look, self._dispatch
        return ForwarderState(
            delivered=dispatch.delivered,
            **self._account.counts,
            sets=look.sets,
            spool_bytes=look.bytes_undelivered,
            rows_pending=look.rows_pending,
            oldest_undelivered_at=look.oldest_undelivered_at,
            complete_to=moment_of_us(look.complete_to_us),
            last_error=dispatch.store_error or dispatch.trouble or self._spool_error,
            failing_since=self._failing_since,
            last_progress_at=self._last_progress_at,
        )


_forwarders: "weakref.WeakSet[Forwarder]" = weakref.WeakSet()


def _after_fork_in_child() -> None:
    for forwarder in list(_forwarders):
        forwarder.reset_after_fork()


if hasattr(os, "register_at_fork"):  # not on Windows, which does not fork
    os.register_at_fork(after_in_child=_after_fork_in_child)
