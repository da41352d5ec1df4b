"""From the buffer to the storage callback: batches that are sent again until they are taken."""

import logging
import time
from collections.abc import Callable
from typing import Final

from analytics_lib.records import Record
from collector_agent.recording.background import NEVER_ROWS, Background, Counts
from collector_agent.recording.buffer import Buffer
from collector_agent.recording.heartbeats import Backlog, Heartbeats
from collector_agent.recording.record_builder import Item
from collector_agent.redaction import clean_message

StorageCallback = Callable[[list[Record]], object]

MAX_PAUSE_SEC: Final = 60.0
_FIRST_PAUSE_SEC: Final = 0.1
_LAST_PAUSE_SEC: Final = 2.0
_log = logging.getLogger("rpa_agent")


class Delivery(Background):
    """Takes batches out of the buffer, builds their records and hands them to the storage callback.

    A batch leaves the buffer when the callback has returned. When it raises, the batch stays, is sent
    again at the next flush, and the flushes get rarer, up to one a minute. So every row arrives at
    least once, and the store ignores what it has already.
    """

    def __init__(
        self,
        storage_callback: StorageCallback,
        buffer: Buffer[Item],
        build: Callable[[Item], Record],
        *,
        batch_rows: int,
        interval_sec: float,
    ) -> None:
        self.buffer = buffer
        self.heartbeats: Heartbeats | None = None
        self.failed_flushes = 0
        self.last_error = ""
        self._storage_callback = storage_callback
        self._build = build
        self._batch_rows = batch_rows
        super().__init__(buffer, interval_sec)

    def _begin_empty(self) -> None:
        super()._begin_empty()
        self._built: list[Record] = []  # the records of the batch in flight
        self._failures = 0

    def reset_after_fork(self) -> None:
        self.failed_flushes, self.last_error = 0, ""
        super().reset_after_fork()

    def counts(self) -> Counts:
        buffer = self.buffer
        pending = len(buffer)  # read once: it may grow meanwhile
        return Counts(buffer.delivered + buffer.dropped + pending, buffer.delivered, buffer.dropped, pending)

    def has_rest(self) -> bool:
        return len(self.buffer) > 0

    def _rows_that_hurry(self) -> int:
        return NEVER_ROWS if self._failures else self._batch_rows

    def _say_what_is_left(self, timeout_sec: float) -> None:
        if left := len(self.buffer):
            _log.warning(
                "stopped with %d rows that were not delivered within %g s (%s): they stay in memory and "
                "are tried once more when the process ends",
                left,
                timeout_sec,
                self.last_error or "the store did not answer",
            )

    def _deliver_all(self, insist_until_s: float | None, *, last: bool) -> bool:
        """Batch after batch, until what was recorded before this call is gone or the callback fails."""
        last = last and self._owes_farewell
        with self.buffer.lock:
            recorded = self.buffer.recorded
        pause_s = _FIRST_PAUSE_SEC
        while True:
            worked = self._deliver_batch(last)
            self._due_s = time.monotonic() + self._pause_s()
            if worked:
                if self.buffer.has_settled(recorded) and not (
                    # The farewell goes with the last row: while somebody still records, a little longer.
                    last and self.buffer.waiting and time.monotonic() < (insist_until_s or 0.0)
                ):
                    return True
                continue
            if insist_until_s is None or time.monotonic() + pause_s > insist_until_s:
                return False
            time.sleep(pause_s)
            pause_s = min(2 * pause_s, _LAST_PAUSE_SEC)

    def _pause_s(self) -> float:
        if not self._failures:
            return self._interval_s
        longest_s = max(MAX_PAUSE_SEC, self._interval_s)
        return min(self._interval_s * 2.0 ** min(self._failures - 1, 60), longest_s)

    def _deliver_batch(self, last: bool) -> bool:
        with self.buffer.lock:
            batch = self.buffer.take(self._batch_rows)
            dropped = self.buffer.drop_notice()
            if self.heartbeats is not None:
                is_last = last and not self.buffer.waiting
                self.heartbeats.look(self._batch_rows, self._backlog(), last=is_last)
        if dropped is not None:
            _log.warning(
                "%d rows were dropped so far, the oldest first: the buffer of %d rows was full",
                dropped,
                self.buffer.max_rows,
            )
        self._built += [self._build(item) for item in batch[len(self._built) :]]
        records = self._built[: len(batch)]
        if self.heartbeats is not None:
            records += self.heartbeats.make(self.last_error)
        if not records:
            return True
        try:
            self._storage_callback(records)
        except Exception as error:  # noqa: BLE001  # whatever the store raises, the rows are kept and sent again
            self._note_failure(error, len(batch))
            return False
        self.buffer.acknowledge(len(batch))
        self._built = []
        if self.heartbeats is not None:
            self.heartbeats.were_delivered()
        self._note_success()
        return True

    def _backlog(self) -> Backlog:
        buffer, waiting = self.buffer, len(self.buffer.waiting)  # read once: it may grow meanwhile
        oldest = buffer.oldest_waiting()
        return Backlog(
            recorded=buffer.delivered + buffer.dropped + buffer.in_flight + waiting,
            dropped=buffer.dropped,
            pending=waiting,
            oldest_pending_ns=oldest[1] if waiting and oldest is not None else None,
        )

    def _note_failure(self, error: Exception, rows: int) -> None:
        self.failed_flushes += 1
        self._failures += 1
        self.last_error = f"{type(error).__name__}: {clean_message(error)}"[:1_000]
        if self._failures == 1:
            _log.warning(
                "a batch of %d rows was not taken (%s): the rows are kept and sent again, at most %d of them",
                rows,
                self.last_error,
                self.buffer.max_rows,
            )

    def _note_success(self) -> None:
        if self._failures:
            _log.warning("delivery works again after %d failed attempts", self._failures)
        self._failures, self.last_error = 0, ""
