"""Logs of UiPath robots read while they are written: every line once, whatever happens to files and to us.

`deliver` gets rows before it is saved how far they reach, so a kill between the two only sends the same
keys again. While the store takes nothing, nothing is read on: the logs themselves are what waits.
"""

import glob
import json
import logging
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, BinaryIO, Final

from analytics_lib.errors import ImportFileError
from collector_agent.importers.lines import HEAD_BYTES, Lines, Skips, encoding_of
from collector_agent.importers.plain_rows import Row
from collector_agent.importers.uipath_lines import PATTERN, day_of
from collector_agent.importers.uipath_log import first_us, take_block, take_line
from collector_agent.importers.uipath_positions import Position, Positions
from collector_agent.importers.uipath_runs import UiPathRuns
from collector_agent.importers.uipath_values import UiPathOptions
from collector_agent.machine.private_file import replace_private
from collector_agent.redaction import clean_message

BATCH_ROWS: Final = 1_000
BATCH_BYTES: Final = 8 << 20  # read between two times that the position is saved
POLL_BYTES: Final = 16 << 20
INTERVAL_SEC: Final = 2.0
MAX_PAUSE_SEC: Final = 60.0
_FORMAT: Final = 1
_log = logging.getLogger("rpa_agent")

Deliver = Callable[[list[Row]], object]


@dataclass(frozen=True, slots=True)
class Polled:
    """What one look gave. `has_more`: there is more to read now. `error`: '' where all went well.

    `is_refused`: the rows were not taken; else an error concerns single files, and the others were read.
    """

    events: int = 0
    rows: int = 0
    has_more: bool = False
    error: str = ""
    is_refused: bool = False


class UiPathFollower:
    """Follows the logs in folders, or those that glob patterns name.

    `deliver` gets rows as `TimeSeriesStore.write_values` takes them. It must return only when they are
    safe, and raise where they are not. `state_file` holds how far each file is read and which runs are
    open; without it, or where it is damaged, all is read anew, with the same keys. One follower at a time
    may use a state file.

    Either call `poll` now and then, or `start` it once and `stop` it. `skips` counts what was left out;
    `now` is for tests.
    """

    def __init__(
        self,
        places: Sequence[str | Path] | str | Path,
        state_file: Path,
        deliver: Deliver,
        *,
        options: UiPathOptions | None = None,
        poll_bytes: int = POLL_BYTES,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self.skips = Skips()
        self.last_error = ""
        self._save_error = ""
        self._places = [places] if isinstance(places, (str, Path)) else list(places)
        self._state_file = state_file
        self._deliver = deliver
        self._poll_bytes = poll_bytes
        self._now = now
        self._runs = UiPathRuns(options, self.skips)
        self._zone = options.zone if options else None
        self._positions = Positions()
        self._events = 0
        self._delivered = 0
        self._bytes = 0  # read in this poll
        self._uncommitted = 0  # of them since the last commit
        self._has_news = False
        self._day = 0
        self._seen: dict[str, tuple[int, ...]] = {}  # what is read to its end and has not changed since
        self._committed = self._load()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._work, name="rpa-agent-uipath", daemon=True)

    @property
    def open_runs(self) -> int:
        return self._runs.open_runs

    def poll(self) -> Polled:
        """Reads and delivers what is new, at most `poll_bytes` of it. Never raises: see `Polled.error`."""
        self._events = self._delivered = self._bytes = self._uncommitted = 0
        error, has_more, is_refused = "", False, False
        try:
            error, has_more = self._read_all()
        except Exception as failure:  # noqa: BLE001  # whatever it is, the daemon goes on
            error, is_refused = _in_words(failure), True
            self._roll_back()
        error = error or self._save_error
        self._note(error)
        return Polled(self._events, self._delivered, has_more, error, is_refused)

    def start(self) -> None:
        """Polls in the background, at once and then again and again; to be called once."""
        self._thread.start()

    def stop(self, timeout_sec: float) -> bool:
        """Whether it ended within the time. If not, it ends in the background."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join(max(0.0, timeout_sec))
        return not self._thread.is_alive()

    def _work(self) -> None:
        pause_s = 0.0
        while not self._stopping.is_set():
            pause_s = next_pause_s(self.poll(), pause_s)
            self._stopping.wait(pause_s)

    # --- reading -------------------------------------------------------------------------------------

    def _read_all(self) -> tuple[str, bool]:
        """(what could not be read, whether there is more)."""
        error = ""
        now = self._now()
        day = now.toordinal()
        if day != self._day:  # once a day every file is looked at, so that none is forgotten that is there
            self._seen.clear()
            self._day, self._has_news = day, True
        for path, status in self._changed():
            if self._bytes >= self._poll_bytes:
                self._commit()
                return error, True
            try:
                with path.open("rb") as file:
                    if self._read(path, file, day):
                        self._seen[str(path)] = _stamp_of(status)
            except FileNotFoundError:
                continue  # renamed since we looked: it is found under its new name
            except (OSError, ImportFileError) as failure:
                error = f"{path}: {_in_words(failure)}"
        is_all = self._bytes < self._poll_bytes
        if is_all:
            self._runs.close_silent(now)
            self._has_news |= bool(self._runs.ready)
            if not error:
                self._has_news |= self._positions.forget_unseen(day)
        self._commit()
        return error, not is_all

    def _changed(self) -> list[tuple[Path, os.stat_result]]:
        """Files that are new or have changed, those with the oldest first lines first."""
        found = []
        for path in self._listed():
            try:
                status = path.stat()
            except OSError:
                continue
            if self._seen.get(str(path)) != _stamp_of(status):
                found.append((path, status))
        return sorted(found, key=lambda one: (first_us(one[0], self._zone), one[1].st_mtime_ns, str(one[0])))

    def _listed(self) -> Iterator[Path]:
        known = set()
        for place in self._places:
            names = glob.glob(str(place), recursive=True)
            for name in names if glob.has_magic(str(place)) else [str(place)]:
                path = Path(name)
                for file in sorted(path.glob(PATTERN)) if path.is_dir() else [path]:
                    if str(file) not in known:
                        known.add(str(file))
                        yield file

    def _read(self, path: Path, file: BinaryIO, day: int) -> bool:
        """Whether it was read to its end. Raises OSError, ImportFileError and _NotTakenError."""
        status = os.fstat(file.fileno())
        head = file.read(HEAD_BYTES)
        position = self._positions.of(head, status, day)
        encoding, mark = encoding_of(head)
        lines = Lines(
            file,
            encoding,
            self.skips,
            offset=max(mark, position.offset) if head else 0,
            number=position.number,
            is_skipping=position.is_skipping,
        )
        log_day = day_of(path)
        before = lines.offset
        for block in lines.blocks():
            self._events += take_block(block, log_day, self._runs, self.skips)
            before = self._advance(position, lines, before)
            if self._uncommitted >= BATCH_BYTES or len(self._runs.ready) >= BATCH_ROWS:
                self._commit()
            if self._bytes >= self._poll_bytes:
                return False
        if lines.rest:
            self._take_rest(lines, log_day)
        self._advance(position, lines, before)
        return True

    def _advance(self, position: Position, lines: Lines, before: int) -> int:
        now_at = (lines.offset, lines.number, lines.is_skipping)
        if now_at != (position.offset, position.number, position.is_skipping):
            position.offset, position.number, position.is_skipping = now_at
            self._has_news = True
        self._bytes += lines.offset - before
        self._uncommitted += lines.offset - before
        return lines.offset

    def _take_rest(self, lines: Lines, day: str) -> None:
        """A last line without an end is whole if its JSON is: half of an object never is one."""
        try:
            self._events += take_line(lines.take_rest() or "", day, self._runs, self.skips)
        except ValueError:
            return  # half-written: it is read when there is more of it
        lines.finish()

    # --- delivering ----------------------------------------------------------------------------------

    def _commit(self) -> None:
        """Delivers what is ready, then saves how far it reaches. Raises _NotTakenError."""
        if not self._has_news:
            return
        ready, self._runs.ready = self._runs.ready, []
        for at in range(0, len(ready), BATCH_ROWS):
            try:
                self._deliver(ready[at : at + BATCH_ROWS])
            except Exception as error:
                raise _NotTakenError(f"rows are not taken: {_in_words(error)}") from error
        self._delivered += len(ready)
        self._committed = self._state()
        self._has_news = False
        self._uncommitted = 0
        self._save()

    def _save(self) -> None:
        self._save_error = ""
        try:
            replace_private(self._state_file, self._committed)
        except OSError as error:  # the rows are delivered; after a restart they are sent again
            self._save_error = f"{self._state_file} cannot be written: {_in_words(error)}"

    def _state(self) -> dict[str, Any]:
        return {"format": _FORMAT, "files": self._positions.state(), "runs": self._runs.state()}

    def _load(self) -> dict[str, Any]:
        try:
            state = json.loads(self._state_file.read_bytes())
            if state["format"] == _FORMAT:
                self._restore(state)
                return self._state()
        except FileNotFoundError:
            pass
        except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
            self._positions = Positions()
            _log.warning(
                "%s cannot be read (%s): the logs are read from their beginning, with the same keys",
                self._state_file,
                _in_words(error),
            )
        self._runs.restore({"open": {}, "ended": {}, "newest_us": 0})
        return self._state()

    def _restore(self, state: dict[str, Any]) -> None:
        self._positions = Positions(state["files"])
        self._runs.restore(state["runs"])

    def _roll_back(self) -> None:
        """Everything is as it was when rows were delivered last: what came since is read again."""
        self._restore(self._committed)
        self._committed = self._state()  # what was restored is in use now, and may change
        self._seen.clear()
        self._has_news = False

    def _note(self, error: str) -> None:
        if error and error != self.last_error:
            _log.warning("following UiPath logs: %s", error)
        elif self.last_error and not error:
            _log.warning("following UiPath logs works again")
        self.last_error = error


def next_pause_s(polled: Polled, pause_s: float) -> float:
    """How long to wait after a poll: longer each time while rows are not taken."""
    if polled.is_refused:
        return min(max(2 * pause_s, INTERVAL_SEC), MAX_PAUSE_SEC)
    return 0.0 if polled.has_more else INTERVAL_SEC


class _NotTakenError(Exception):
    """The callback did not take the rows; for use in here."""


def _stamp_of(status: os.stat_result) -> tuple[int, ...]:
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns


def _in_words(error: BaseException) -> str:
    text = " ".join(clean_message(error).split())[:1_000]
    if isinstance(error, (OSError, ImportFileError, _NotTakenError)):
        return text
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
