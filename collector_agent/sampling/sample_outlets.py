"""Where samples go: into a buffer that is delivered in the background, or at once into a spool."""

import threading
from datetime import datetime
from typing import TYPE_CHECKING, Any

from analytics_lib.records import QuarantinedRecord, Record
from collector_agent.recording.background import Counts
from collector_agent.recording.buffer import Buffer
from collector_agent.recording.delivery import Delivery, StorageCallback
from collector_agent.recording.journal import payload_of

if TYPE_CHECKING:
    from collector_agent.spool.writer import SpoolWriter


class BufferedSamples:
    """Delivered in small batches, from a thread of their own, until the storage callback takes them."""

    def __init__(
        self, storage_callback: StorageCallback, max_rows: int, batch_rows: int, interval_sec: float
    ) -> None:
        # Any, because a delivery builds its records from items; ours are records already.
        self.buffer: Buffer[Any] = Buffer(max_rows)
        self.delivery = Delivery(
            storage_callback,
            self.buffer,
            _as_it_is,
            batch_rows=min(batch_rows, max_rows),
            interval_sec=interval_sec,
        )
        self.start, self.stop, self.flush = self.delivery.start, self.delivery.stop, self.delivery.flush

    def keep(self, record: Record) -> None:
        self.buffer.put(record)
        if len(self.buffer.waiting) >= self.buffer.alarm_at:
            self.delivery.notice()

    def counts(self) -> Counts:
        with self.buffer.lock:
            return self.delivery.counts()

    @property
    def failed_flushes(self) -> int:
        return self.delivery.failed_flushes

    @property
    def last_error(self) -> str:
        return self.delivery.last_error

    def oldest_pending_at(self) -> datetime | None:
        oldest = self.buffer.take(1)  # shows the oldest, and leaves it in the buffer
        return _moment_of(oldest[0]) if oldest else None

    def reset_after_fork(self) -> None:
        self.delivery.forget_start()  # nothing runs in a child that nobody started there


class SpooledSamples:
    """In the spool at once. Whoever owns the writer syncs and closes it."""

    def __init__(self, spool: "SpoolWriter") -> None:
        self._spool = spool
        self.reset_after_fork()

    def keep(self, record: Record) -> None:
        accepted = self._spool.append(payload_of(record))
        with self._lock:
            self._recorded += 1
            self._refused += not accepted

    def start(self) -> None:
        """There is no thread."""

    def stop(self, timeout_sec: float) -> bool:
        return self.flush(timeout_sec)

    def flush(self, timeout_sec: float) -> bool:
        self.last_error = "" if self._spool.sync() else self._spool.last_error or "the spool is not synced"
        self.failed_flushes += self.last_error != ""
        return not self.last_error

    def counts(self) -> Counts:
        with self._lock:
            pending = min(self._spool.waiting, self._recorded - self._refused)
            delivered = self._recorded - self._refused - pending
            return Counts(self._recorded, delivered, self._refused, pending)

    def oldest_pending_at(self) -> None:
        """What is recorded later comes behind it: nothing is late."""

    def reset_after_fork(self) -> None:
        self._lock = threading.RLock()
        self._recorded = self._refused = 0
        self.failed_flushes = 0
        self.last_error = ""


def _as_it_is(record: Any) -> Record:
    return record  # type: ignore[no-any-return]  # the buffer is our own, and holds records


def _moment_of(record: Any) -> datetime:
    moment: datetime = record.received_at if isinstance(record, QuarantinedRecord) else record.sampled_at
    return moment
