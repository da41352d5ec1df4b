"""From the buffer to the storage callback: one background thread that retries and never gives a row up."""

import atexit
import logging
import os
import sys
import threading
import time
import weakref
from collections.abc import Callable
from queue import Empty, SimpleQueue
from typing import Final

from analytics_lib.records import Record
from collector_agent.buffer import Buffer
from collector_agent.heartbeats import Heartbeats
from collector_agent.record_builder import Item
from collector_agent.redaction import clean_message

StorageCallback = Callable[[list[Record]], object]

MAX_PAUSE_SEC: Final = 60.0
EXIT_TIMEOUT_SEC: Final = 5.0
_FIRST_PAUSE_SEC: Final = 0.1
_LAST_PAUSE_SEC: Final = 2.0
_log = logging.getLogger("rpa_agent")


def waitable_sec(seconds: float) -> float:
    """So long, as far as the system can wait: 49 days on Windows, 292 years elsewhere."""
    return max(0.0, min(seconds, threading.TIMEOUT_MAX))  # 0 for NaN


class _Request:
    """Somebody waits until everything recorded so far is delivered."""

    __slots__ = ("answered", "delivered", "insist_until_s", "last")

    def __init__(self, insist_until_s: float | None, last: bool) -> None:
        self.insist_until_s = insist_until_s
        self.last = last
        self.delivered = False
        self.answered = threading.Event()


class Delivery:
    """Takes batches out of the buffer, builds their records and hands them to the storage callback.

    A batch leaves the buffer when the callback has returned. When it raises, the batch stays, is sent
    again at the next flush, and the flushes get rarer, up to one a minute. So every row arrives at
    least once, and the store ignores what it has already.

    The thread is a daemon and exists while there is something to do: between `start` and `stop`, and
    for each `flush` outside of that. It refers to this object and not to the collector, so that a
    collector nobody refers to any more can go; its rows are still delivered.
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
        self._interval_s = interval_sec
        self._started = False
        self._begin_empty()
        _deliveries.add(self)

    def _begin_empty(self) -> None:
        self._built: list[Record] = []  # the records of the batch in flight
        # A SimpleQueue because its put may be interrupted by another one on the same thread.
        self._bell: SimpleQueue[_Request | None] = SimpleQueue()
        self._rung = False
        self._thread: threading.Thread | None = None
        self._failures = 0
        self._due_s = 0.0
        self._owes_farewell = False  # a last heartbeat, once there was a first

    def reset_after_fork(self) -> None:
        """A child owns none of its parent's rows, locks and threads; it starts its own when it records."""
        self.buffer.reset()
        self.failed_flushes, self.last_error = 0, ""
        self._begin_empty()

    def start(self) -> None:
        with self.buffer.lock:
            self._started = True
            self._run_thread()

    def notice(self) -> None:
        """A row was appended: cheap, unless the thread must be told or (in a forked child) started."""
        if self._thread is None:
            if self._started:
                with self.buffer.lock:
                    self._run_thread()
        elif not self._rung and not self._failures and self.buffer.waiting >= self._batch_rows:
            self._rung = True
            self._bell.put(None)

    def flush(self, timeout_sec: float) -> bool:
        """Whether everything recorded before this call was delivered within the time; one attempt."""
        return self._ask(timeout_sec, insist=False, last=False)

    def stop(self, timeout_sec: float) -> bool:
        """Delivers what there is, trying again until the time is over; whether nothing remains."""
        deadline_s = time.monotonic() + timeout_sec
        with self.buffer.lock:
            self._started = False
            thread = self._thread
            if not self._owes_farewell and not len(self.buffer):
                return True
        delivered = self._ask(timeout_sec, insist=True, last=self._owes_farewell)
        if thread is not None and thread is not threading.current_thread():
            thread.join(waitable_sec(deadline_s - time.monotonic()))
        if not delivered and (left := len(self.buffer)):
            _log.warning(
                "stopped with %d rows that were not delivered within %g s (%s): they stay in memory and "
                "are tried once more when the process ends",
                left,
                timeout_sec,
                self.last_error or "the store did not answer",
            )
        return delivered

    def let_go(self) -> None:
        """The collector is gone: deliver what is left, then end. Waits for nothing: fit for a finalizer."""
        self._started = False
        if self._thread is not None:
            self._bell.put(_Request(None, last=self._owes_farewell))
        elif len(self.buffer):
            _orphans.add(self)  # until the process ends

    def _ask(self, timeout_sec: float, *, insist: bool, last: bool) -> bool:
        if self._thread is threading.current_thread():
            return False  # the storage callback itself asks: it would wait for its own end
        request = _Request(time.monotonic() + timeout_sec if insist else None, last)
        with self.buffer.lock:
            self._bell.put(request)
            has_thread = self._run_thread()
        if not has_thread:  # the interpreter is shutting down and starts no threads any more
            self._serve(self._bell.get())
        request.answered.wait(waitable_sec(timeout_sec))
        return request.delivered

    def _run_thread(self) -> bool:
        """Whether a thread runs that will look at the bell. To be called with the buffer's lock held."""
        if self._thread is None:
            thread = threading.Thread(target=self._work, name="rpa-agent-delivery", daemon=True)
            self._thread = thread
            self._due_s = max(self._due_s, time.monotonic() + self._interval_s)
            try:
                thread.start()
            except RuntimeError:
                self._thread = None
                return False
            self._owes_farewell = self._owes_farewell or self._started
            _flush_before_a_worker_process_ends()
        return True

    def _work(self) -> None:
        """The thread: waits for the next flush, for a full batch or for somebody who asks."""
        try:
            while True:
                self._serve(self._next_request())
                with self.buffer.lock:
                    if not self._started and self._bell.empty():
                        self._thread = None
                        return
        finally:
            # Only a BaseException from the callback (SystemExit …) leaves a thread here: the next row,
            # flush or start begins a new one, and the batch is still in the buffer.
            with self.buffer.lock:
                if self._thread is threading.current_thread():
                    self._thread = None

    def _next_request(self) -> _Request | None:
        try:
            request = self._bell.get(timeout=waitable_sec(self._due_s - time.monotonic()))
        except Empty:
            request = None
        if request is None:
            self._rung = False
        return request

    def _serve(self, request: _Request | None) -> None:
        if request is None:
            is_full = not self._failures and self.buffer.waiting >= self._batch_rows
            if is_full or time.monotonic() >= self._due_s:
                self._deliver_all(None, last=False)
            return
        try:
            request.delivered = self._deliver_all(request.insist_until_s, last=request.last)
            if request.last and request.delivered and not self._started:
                self._owes_farewell = False
        finally:
            request.answered.set()

    def _deliver_all(self, insist_until_s: float | None, *, last: bool) -> bool:
        """Batch after batch, until what was recorded before this call is gone or the callback fails."""
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
                self.heartbeats.look(self._batch_rows, last=last and not self.buffer.waiting)
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


_deliveries: "weakref.WeakSet[Delivery]" = weakref.WeakSet()
_orphans: set[Delivery] = set()


def _after_fork_in_child() -> None:
    _orphans.clear()
    for delivery in list(_deliveries):
        delivery.reset_after_fork()


if hasattr(os, "register_at_fork"):  # not on Windows, which does not fork
    os.register_at_fork(after_in_child=_after_fork_in_child)


@atexit.register
def _flush_at_exit() -> None:
    """What is still in memory when the process ends gets one more chance, five seconds for all."""
    deadline_s = time.monotonic() + EXIT_TIMEOUT_SEC
    for delivery in {*_deliveries, *_orphans}:
        left_s = max(0.1, deadline_s - time.monotonic())
        if delivery._started:
            delivery.stop(left_s)
        elif len(delivery.buffer):
            delivery.flush(left_s)


def _flush_before_a_worker_process_ends() -> None:
    """A process of `multiprocessing` that was forked ends without atexit; it has hooks of its own."""
    multiprocessing_util = sys.modules.get("multiprocessing.util")
    parent = getattr(sys.modules.get("multiprocessing.process"), "parent_process", lambda: None)()
    if multiprocessing_util is not None and parent is not None:
        multiprocessing_util.Finalize(None, _flush_at_exit, exitpriority=0)
