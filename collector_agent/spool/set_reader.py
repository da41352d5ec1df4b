"""Ships the rows of one set: the newest first where it is far behind; standard library only."""

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, Self

from analytics_lib.record_values import FIELDS, moment_us_of
from collector_agent.spool import cursor as cursors
from collector_agent.spool.batch import Aside, Batch, Record, batch_of, held_batch, where
from collector_agent.spool.cursor import Counters, Cursor, Position
from collector_agent.spool.files import Files
from collector_agent.spool.lane import Lane
from collector_agent.spool.names import QUARANTINE, READER_LOCK, lock_of
from collector_agent.spool.quarantine import LocalQuarantine
from collector_agent.spool.segments import Segments

FAR_BEHIND_BYTES: Final = 1_500_000  # about 5,000 rows
_NEWS_NS: Final = 60 * 1_000_000_000  # so long rows of a writer that is gone are new
_MAX_GAPS: Final = 8
_MAX_HELD: Final = 20
_HELD_KIND: Final = "agent_heartbeat"
_MANY: Final = 10_000  # rows looked through at once


@dataclass(frozen=True, slots=True)
class SetState:
    """What became of a set's rows, and what is still to come."""

    counters: Counters
    bytes_undelivered: int
    oldest_undelivered_at_us: int | None
    writer_is_alive: bool


class SetReader:
    """Reads one set while it holds the set's reader lock; `open_set` makes it.

    There are two lanes. `live` is in step with the writer; when it is far behind (or the writer has
    been gone for a while), it leaves a gap and goes on at the present end, and the gap is drained by the
    other lane, from its beginning. Each lane has at most one batch out; asked again before it is
    acknowledged, it gives the same one.

    A sign of life promises that everything before it was delivered: while there are gaps, those of the
    live lane are held back, and come out of the other lane when it has drained them.
    """

    def __init__(self, folder: Path, files: Files, handle: int | None) -> None:
        self.folder = folder
        self.last_error = ""
        self._files = files
        self._handle = handle
        self._quarantine = LocalQuarantine(folder.parent / QUARANTINE, files)
        self._segments = Segments(folder, files)
        cursor = cursors.load(folder, files)
        self._segments.look()
        self._has_just_looked = True
        # Without one, everything that is still there is delivered, some of it again. One that speaks of
        # more than there is (after a power cut) is right: that was delivered before it was lost.
        self._cursor = cursor or Cursor(folder.name, live=(self._segments.first(), 0))
        self._is_saved = True
        self._lanes: dict[bool, Lane] = {}
        self._pending: dict[bool, Batch] = {}
        self._oldest: tuple[Position, int | None] | None = None
        if handle is not None and self._delivered_segments():
            self._save_and_remove()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Lets others read the set. What is not acknowledged is read again."""
        if self._handle is None:
            return
        if not self._is_saved:
            self._save(durable=False)
        handle, self._handle = self._handle, None
        self._files.unlock(handle)

    def reset_after_fork(self) -> None:
        """In a forked child: the set is its parent's to read."""
        if self._handle is not None:
            handle, self._handle = self._handle, None
            self._files.close(handle)

    def next_batch(self, rows: int, *, live: bool) -> Batch | None:
        """The next rows of a lane, at most so many; None where there are none now. Never raises.

        `last_error` says so where a file could not be read; it is tried again next time.
        """
        while live not in self._pending:
            batch = self._read(rows, live=live)
            if batch is None:
                return None
            self._pending[live] = batch
            if not batch.records and not self.acknowledge(batch):
                return None
        return self._pending[live]

    def acknowledge(self, batch: Batch, rejected: Mapping[int, str] | None = None) -> bool:
        """The batch is delivered, but for the rejected records (index -> reason): they go to the quarantine.

        False where that could not be written to: then nothing has happened (`last_error`), and the
        batch is given again. Never raises.
        """
        if self._pending.get(batch.live) is not batch:
            return False
        rejected = rejected or {}
        quarantined = dropped = 0
        asides = list(batch.asides)
        for index, reason in rejected.items():
            record = batch.records[index]
            asides.append(Aside(batch.places[index], reason, record=record, names=FIELDS[record[0]]))
        try:
            for aside in asides:
                place = where(batch.set_name, aside.place)
                is_kept = self._quarantine.add(
                    aside.reason, where=place, record=aside.record, names=aside.names, raw=aside.raw
                )
                quarantined += aside.rows * is_kept
                dropped += aside.rows * (not is_kept)
        except OSError as error:
            self.last_error = str(error)
            return False
        counters = self._cursor.counters
        counters.delivered += len(batch.records) - len(rejected)
        counters.quarantined += quarantined
        counters.dropped += dropped
        counters.torn += batch.torn
        counters.missing += batch.missing
        self._hold(batch)
        if not batch.was_held:
            self._advance(batch.live, batch.end)
        del self._pending[batch.live]
        self._save_and_remove()
        return True

    @property
    def state(self) -> SetState:
        """Where the set stands. Raises OSError."""
        undelivered = sum(self._segments.bytes_in(*stretch) for stretch in self._cursor.undelivered())
        return SetState(
            counters=replace(self._cursor.counters),
            bytes_undelivered=undelivered,
            oldest_undelivered_at_us=self._oldest_undelivered_at_us() if undelivered else None,
            writer_is_alive=not self._segments.writer_is_gone(),
        )

    def undelivered(self) -> Iterator[Record]:
        """Every row that is still to be delivered, for people who look: nothing is held or acknowledged.

        Raises OSError. Signs of life that are held back come last; what cannot be read is left out.
        """
        for start, end in self._cursor.undelivered():
            lane = Lane(self._segments, start, end)
            while True:
                before = lane.position
                yield from batch_of(lane.read(_MANY), self._segments, live=False, end=lane.position).records
                if lane.position == before:
                    break
        yield from held_batch(self._cursor, len(self._cursor.held)).records

    @property
    def has_backlog(self) -> bool:
        """Whether the other lane than the live one has something to read."""
        return bool(self._cursor.gaps or self._cursor.held)

    @property
    def is_finished(self) -> bool:
        """Whether everything of a writer that is gone is delivered: ask when both lanes have no batch.

        Raises OSError.
        """
        cursor, segments = self._cursor, self._segments
        if self._pending or cursor.gaps or cursor.held or not segments.writer_is_gone():
            return False
        segments.look()
        return all(
            number < cursor.live[0] or (number == cursor.live[0] and size <= cursor.live[1])
            for number, size in segments.sizes.items()
        )

    def drop_oldest_segment(self) -> int:
        """Gives up what is undelivered in the oldest segment: its bytes, 0 where there is none that can go.

        The one that is appended to cannot, nor can any while a batch is out. Its rows are counted,
        and counted once: the cursor that says so is durable before the segment is removed.
        """
        segments, before = self._segments, self._cursor
        number, size = segments.first(), segments.sizes.get(segments.first(), 0)
        if not size or self._pending or not before.needs(number):
            return 0
        if segments.after(number) is None and not segments.writer_is_gone():
            return 0
        self._cursor = before.without(number)
        for start, end in before.undelivered():
            if start[0] == number:
                stop = end if end is not None and end[0] == number else (number, size)
                self._cursor.counters.dropped += _count_rows(Lane(segments, start, stop))
        if not self._save_and_remove():
            self._cursor = before
            return 0
        self._lanes.clear()
        return size  # one that is open somewhere (Windows) goes with the next acknowledgement

    def remove(self) -> bool:
        """Whether the finished set, its counters included, is gone; this reader is closed in any case.

        False: a file is open somewhere (Windows), or its writer is alive after all. Never raises.
        """
        if self._handle is None or not self.is_finished:
            self.close()
            return False
        files, folder = self._files, self.folder
        self._is_saved = True
        try:
            for name in sorted(files.listing(folder)):  # segments before their cursor
                if name != READER_LOCK:
                    files.remove(folder / name)
            self.close()
            files.remove(folder / READER_LOCK)
            files.remove_folder(folder)
            remove_lock(folder, files)
        except OSError as error:
            self.last_error = str(error)
            return False
        finally:
            self.close()
        return True

    # --- reading -------------------------------------------------------------------------------------

    def _read(self, rows: int, *, live: bool) -> Batch | None:
        cursor, segments = self._cursor, self._segments
        try:
            if live:
                if not self._has_just_looked:
                    segments.look()
                self._has_just_looked = False
                self._leave_a_gap_if_far_behind()
            elif not cursor.gaps:
                return held_batch(cursor, rows) if cursor.held else None
            lane = self._lanes.get(live)
            if lane is None:
                start, end = (cursor.live, None) if live else cursor.gaps[0]
                lane = self._lanes[live] = Lane(segments, start, end)
            before = lane.position
            found = lane.read(rows)
            if found.is_empty() and lane.position == before:
                return None
            batch = batch_of(found, segments, live=live, end=lane.position)
        except Exception as error:  # noqa: BLE001  # nothing in a file may stop the agent
            self.last_error = str(error) or type(error).__name__
            self._lanes.pop(live, None)  # what it has read is read again
            return None
        if live and self.has_backlog:
            batch.hold_back(_HELD_KIND)
        return batch

    def _leave_a_gap_if_far_behind(self) -> None:
        """Lets the live lane go on at the present end: what is before it are no news any more."""
        cursor, segments = self._cursor, self._segments
        behind = segments.bytes_in(cursor.live, None)
        if not behind or len(cursor.gaps) >= _MAX_GAPS:
            return
        lane: Lane | None = None
        if segments.writer_is_gone():
            if behind <= FAR_BEHIND_BYTES and segments.last_modified_ns() > time.time_ns() - _NEWS_NS:
                return
            end = segments.last(), segments.sizes[segments.last()]
        elif behind > FAR_BEHIND_BYTES:
            # Behind the last whole frame: the next one may be there in part.
            lane = Lane(segments, max(cursor.live, (segments.last(), 0)))
            while lane.read(_MANY).payloads:
                continue
            end = lane.position
        else:
            return
        if end > cursor.live:
            cursor.gaps.append((cursor.live, end))
            cursor.live = end
            self._is_saved = False
            self._lanes.pop(True, None)
            if lane is not None:
                self._lanes[True] = lane

    # --- acknowledging -------------------------------------------------------------------------------

    def _hold(self, batch: Batch) -> None:
        held = self._cursor.held
        del held[: batch.was_held]
        held += batch.to_hold
        if self._pending.get(not batch.live) is None:  # else those that are out stay the first ones
            self._cursor.counters.superseded += max(0, len(held) - _MAX_HELD)
            del held[:-_MAX_HELD]

    def _advance(self, live: bool, end: Position) -> None:
        cursor = self._cursor
        if live:
            cursor.live = end
            return
        gap_end = cursor.gaps[0][1]
        if end < gap_end:
            cursor.gaps[0] = (end, gap_end)
        else:
            del cursor.gaps[0]
            self._lanes.pop(False, None)

    def _delivered_segments(self) -> list[int]:
        return [number for number in self._segments.sizes if not self._cursor.needs(number)]

    def _save_and_remove(self) -> bool:
        """Whether the cursor is saved; for good where segments are wholly delivered, which then go."""
        delivered = self._delivered_segments()
        if not self._save(durable=bool(delivered)):
            return False
        for number in delivered:
            try:
                self._files.remove(self._segments.path(number))
                del self._segments.sizes[number]
            except OSError as error:  # open somewhere (Windows): next time
                self.last_error = str(error)
        return True

    def _save(self, *, durable: bool) -> bool:
        try:
            cursors.save(self._cursor, self.folder, self._files, durable=durable)
        except OSError as error:
            self._is_saved = False
            self.last_error = str(error)
            return False
        self._is_saved = True
        return True

    def _oldest_undelivered_at_us(self) -> int | None:
        start, end = self._cursor.undelivered()[0]
        if self._oldest is None or self._oldest[0] != start:
            self._oldest = None
            try:
                lane = Lane(self._segments, start, end)
                batch = batch_of(lane.read(1), self._segments, live=False, end=lane.position)
            except OSError:
                return None
            if not batch.records:
                return None
            self._oldest = (start, moment_us_of(*batch.records[0]))
        return self._oldest[1]


def _count_rows(lane: Lane) -> int:
    """What cannot be read counts as one."""
    rows = 0
    while True:
        before = lane.position
        try:
            found = lane.read(_MANY)
        except OSError:
            return rows + 1
        rows += len(found.payloads) + len(found.damages)
        if lane.position == before:
            return rows


def remove_lock(set_folder: Path, files: Files) -> None:
    """Removes the lock beside a set that is not there (any more), unless a writer is about to make it."""
    path = lock_of(set_folder)
    try:
        handle = files.lock(path, create=False)
        if handle is None:
            return
        try:
            files.remove(path)
        except OSError:  # Windows: not while it is open
            files.unlock(handle)
            handle = None
            files.remove(path)
        finally:
            if handle is not None:
                files.unlock(handle)
    except OSError:
        return
