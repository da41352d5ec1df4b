"""The thread behind a collector: when it runs, and who may ask it for what."""

import logging
import sys
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Sized
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Final, NamedTuple, Protocol

from collector_agent.machine.loading import loading
from collector_agent.recording import process_end

if TYPE_CHECKING:
    from collector_agent.machine.activity import Activity
    from collector_agent.recording.active_executions import ActiveExecutions

NEVER_ROWS: Final = sys.maxsize
_log = logging.getLogger("rpa_agent")
# Whoever configures logging sees our lines; without, they do not turn up among the robot's own output.
_log.addHandler(logging.NullHandler())


def waitable_sec(seconds: float) -> float:
    """So long, as far as the system can wait: 49 days on Windows, 292 years elsewhere."""
    return max(0.0, min(seconds, threading.TIMEOUT_MAX))  # 0 for NaN


class Counts(NamedTuple):
    """What became of the rows: recorded = delivered + dropped + pending."""

    recorded: int
    delivered: int
    dropped: int
    pending: int


class Outlet(Protocol):
    """Where rows go when they are recorded: a buffer, or a spool.

    Whoever puts a row in calls `Background.notice` if `len(waiting) >= alarm_at` right after.
    """

    lock: threading.RLock
    alarm_at: int

    @property
    def waiting(self) -> Sized: ...

    def ring_at(self, rows: int) -> None: ...

    def drop_overflow(self) -> None: ...

    def reset(self) -> None: ...


class Request:
    """Somebody waits until everything recorded so far is delivered."""

    __slots__ = ("answered", "delivered", "insist_until_s", "last")

    def __init__(self, insist_until_s: float | None, last: bool) -> None:
        self.insist_until_s = insist_until_s
        self.last = last
        self.delivered = False
        self.answered = threading.Event()


class Background(ABC):
    """A thread that exists while there is something to do: between `start` and `stop`, and for each
    `flush` outside of that.

    It is a daemon thread, and refers to this object and not to the collector, so that a collector nobody
    refers to any more can go; its rows are still delivered.
    """

    def __init__(self, outlet: Outlet, interval_sec: float) -> None:
        self._outlet = outlet
        self._interval_s = interval_sec
        self._started = False
        self.executions: ActiveExecutions | None = None  # whose activity is shown to the daemon
        self._activity: Activity | None = None
        self._begin_empty()
        process_end.remember(self)

    def _begin_empty(self) -> None:
        # A SimpleQueue because its put may be interrupted by another one on the same thread.
        self._bell: SimpleQueue[Request | None] = SimpleQueue()
        self._rung = False
        self._shows_activity = False
        self._thread: threading.Thread | None = None
        self._due_s = 0.0
        self._owes_farewell = False  # a last heartbeat, once there was a first

    # --- what the subclasses do ---

    @abstractmethod
    def _deliver_all(self, insist_until_s: float | None, *, last: bool) -> bool:
        """Delivers what was recorded before this call; whether it worked. Sets when the next is due.

        The `last` time says farewell, where a first heartbeat makes that due.
        """

    @abstractmethod
    def counts(self) -> Counts:
        """To be called with the lock held."""

    @abstractmethod
    def has_rest(self) -> bool:
        """Whether something would be left behind if the process ended now."""

    @abstractmethod
    def _say_what_is_left(self, timeout_sec: float) -> None:
        """`stop` did not deliver everything: a line in the log."""

    def _rows_that_hurry(self) -> int:
        """So many waiting rows are not left until the interval is over."""
        return NEVER_ROWS

    # --- what collectors call ---

    def reset_after_fork(self) -> None:
        """A child owns none of its parent's rows, locks and threads; it starts its own when it records."""
        self._outlet.reset()
        self._begin_empty()
        self._set_alarm()

    def start(self) -> None:
        with self._outlet.lock:
            self._started = True
            self._run_thread()
            self._set_alarm()

    def notice(self) -> None:
        """So many rows wait that something is to be done; or there is no thread, as in a forked child."""
        self._outlet.drop_overflow()
        with self._outlet.lock:
            if self._thread is None:
                if self._started:
                    self._run_thread()
            elif not self._rung and len(self._outlet.waiting) >= self._rows_that_hurry():
                self._rung = True
                self._bell.put(None)
            self._set_alarm()

    def wake(self) -> None:
        """An execution began and there was none before: the thread, if there is one, shows it."""
        if self._thread is not None and not self._shows_activity:
            self._bell.put(None)

    def flush(self, timeout_sec: float) -> bool:
        """Whether everything recorded before this call was delivered within the time; one attempt."""
        return self._ask(timeout_sec, insist=False, last=False)

    def stop(self, timeout_sec: float) -> bool:
        """Delivers what there is, trying again until the time is over; whether nothing remains."""
        deadline_s = time.monotonic() + timeout_sec
        with self._outlet.lock:
            self._started = False
            self._set_alarm()
            thread = self._thread
            if not self._owes_farewell and not self.has_rest():
                return True
        delivered = self._ask(timeout_sec, insist=True, last=True)
        if thread is not None and thread is not threading.current_thread():
            thread.join(waitable_sec(deadline_s - time.monotonic()))
        if not delivered:
            self._say_what_is_left(timeout_sec)
        return delivered

    def let_go(self) -> None:
        """The collector is gone: deliver what is left, then end. Waits for nothing: fit for a finalizer."""
        self._started = False
        if self._thread is not None:
            self._bell.put(Request(None, last=True))
        elif self.has_rest():
            process_end.keep_until_the_end(self)

    def forget_start(self) -> None:
        """In a forked child: as if `start` had not been called."""
        self._started = False
        with self._outlet.lock:
            self._set_alarm()

    def end_with_the_process(self, timeout_sec: float) -> None:
        if self._started:
            self.stop(timeout_sec)
        elif self.has_rest():
            self.flush(timeout_sec)

    # --- how it works ---

    def _ask(self, timeout_sec: float, *, insist: bool, last: bool) -> bool:
        if self._thread is threading.current_thread():
            return False  # the storage callback itself asks: it would wait for its own end
        request = Request(time.monotonic() + timeout_sec if insist else None, last)
        with self._outlet.lock:
            self._bell.put(request)
            has_thread = self._run_thread()
            self._set_alarm()
        if not has_thread:  # the interpreter is shutting down and starts no threads any more
            self._serve(self._bell.get())
        request.answered.wait(waitable_sec(timeout_sec))
        return request.delivered

    def _run_thread(self) -> bool:
        """Whether a thread runs that will look at the bell. To be called with the lock held."""
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
            process_end.end_all_in_a_worker_process()
        return True

    def _set_alarm(self) -> None:
        """When whoever records is to call `notice`. To be called with the lock held."""
        if self._thread is None:
            rows = 0 if self._started else NEVER_ROWS
        else:
            rows = NEVER_ROWS if self._rung else self._rows_that_hurry()
        self._outlet.ring_at(rows)

    def _work(self) -> None:
        """The thread: waits for the next flush, for a full batch or for somebody who asks."""
        try:
            while True:
                self._serve(self._next_request())
                with self._outlet.lock:
                    self._set_alarm()
                    if not self._started and self._bell.empty():
                        self._thread = None
                        return
        finally:
            # Only a BaseException from the callback (SystemExit …) leaves a thread here: who asks already,
            # the next row, flush or start begins a new one, and the batch is still in the buffer.
            with self._outlet.lock:
                if self._thread is threading.current_thread():
                    self._thread = None
                    if not self._bell.empty():
                        self._run_thread()
                self._set_alarm()
                if self._thread is None and self._activity is not None:
                    self._activity.set(False)
                    self._shows_activity = False

    def _next_request(self) -> Request | None:
        try:
            request = self._bell.get(timeout=waitable_sec(self._due_s - time.monotonic()))
        except Empty:
            request = None
        if request is None:
            self._rung = False
        return request

    def _serve(self, request: Request | None) -> None:
        try:
            is_due = time.monotonic() >= self._due_s
            self._show_activity(is_over=is_due)
            if request is not None:
                request.delivered = self._deliver_all(request.insist_until_s, last=request.last)
                if request.last and request.delivered and not self._started:
                    self._owes_farewell = False
            elif is_due or len(self._outlet.waiting) >= self._rows_that_hurry():
                self._deliver_all(None, last=False)
        except Exception as error:  # noqa: BLE001  # no file can be opened, and a module is yet to be loaded, say
            self._due_s = time.monotonic() + self._interval_s
            _log.warning("a flush did not come to its end: %s: %s", type(error).__name__, error)
        finally:
            if request is not None:
                request.answered.set()

    def _show_activity(self, *, is_over: bool) -> None:
        """At once that an execution runs; that none does with the next flush, because runs follow runs."""
        if self.executions is not None and self._started:
            self._shows_activity &= not is_over  # first: an execution that begins from here on rings
            active = self.executions.any_active
            if active and self._activity is None:
                with loading:  # here: a robot's start need not wait for it
                    from collector_agent.machine.activity import Activity
                self._activity = Activity()
            if self._activity is not None and (active or is_over):
                self._activity.set(active)
                self._shows_activity = active
