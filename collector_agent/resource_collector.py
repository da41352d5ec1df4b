"""ResourceCollector: samples the machine, the robot's process and the GPUs beside a running robot."""

import atexit
import logging
import math
import os
import socket
import threading
import time
import weakref
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final, Self
from uuid import uuid4

from analytics_lib.errors import SettingsError
from analytics_lib.records import ID_BYTES, QuarantinedRecord, ResourceMetrics
from collector_agent.probes import Values
from collector_agent.recording.cardinality import MAX_WORKFLOWS, Cardinality
from collector_agent.recording.delivery import StorageCallback
from collector_agent.recording.process_end import exit_time_left_s
from collector_agent.redaction import clean_message, clean_name, is_name
from collector_agent.redaction.policy import Redaction
from collector_agent.sampling.sample_outlets import BufferedSamples, SpooledSamples
from collector_agent.sampling.sample_records import Context, SampleRecords, without_means
from collector_agent.sampling.sampler import HOST, Sampler, process
from collector_agent.sampling.sampling_thread import SamplingThread

if TYPE_CHECKING:
    from collector_agent.spool.writer import SpoolWriter

FLUSH_INTERVAL_SEC: Final = 5.0
BATCH_ROWS: Final = 200
# Samples for a changed context: as many at once, and one more each second. A robot with thousands of
# short tasks must not spend its time on being measured.
BURST: Final = 20
_LOCK_TIMEOUT_SEC: Final = 5.0
_log = logging.getLogger("rpa_agent")


@dataclass(frozen=True, slots=True)
class SamplingCounters:
    """What became of the samples: recorded = delivered + dropped + pending rows; and what failed."""

    recorded: int
    delivered: int
    dropped: int
    quarantined: int
    failed_flushes: int
    failed_probes: int
    last_error: str
    pending: int


class ResourceCollector:
    """Samples 'host', 'process' (a robot and its children) and 'gpu:0' … in the background.

    Every `sample_interval_sec` while an execution's context is set, every `idle_interval_sec` else; and
    at once at the start, when the context changes, and at the end. A sample's CPU and rates are means
    since the sample before, under the context that held meanwhile: the sample that a new context begins
    with, and the very first, have none. GPUs belong to the host.

    Samples go to `storage_callback` in small batches, from a thread of their own. The callback may
    raise: they are kept and sent again; past `max_buffered_rows` the oldest are dropped and counted. With
    a `spool` (its owner syncs and closes it) each is in there as soon as it is taken instead.
    Nothing is raised into the robot after the constructor (SettingsError). It samples until `stop`, or
    the end of the process; a forked child does not, until it is started there. `sampler`: where the
    values come from, for tests.
    """

    def __init__(
        self,
        storage_callback: StorageCallback | None = None,
        sample_interval_sec: float = 10.0,
        *,
        idle_interval_sec: float = 60.0,
        sample_host: bool = True,
        sample_process: bool = True,
        pid: int | None = None,
        environment: str = "",
        robot_id: str = "",
        host: str | None = None,
        queue: str = "",
        workflow_version: str = "",
        source: str = "live",
        agent_id: str | None = None,
        max_buffered_rows: int = 10_000,
        max_workflows: int = MAX_WORKFLOWS,
        spool: "SpoolWriter | None" = None,
        sampler: Sampler | None = None,
        redaction: Redaction | None = None,
    ) -> None:
        if spool is None and not callable(storage_callback):
            raise SettingsError("storage_callback: pass a function that takes a list of records, or a spool")
        for name, value in {"max_buffered_rows": max_buffered_rows, "max_workflows": max_workflows}.items():
            if type(value) is not int or value < 1:
                raise SettingsError(f"{name} is {value!r}: give a whole number, at least 1")
        self._sample_interval_s = _seconds("sample_interval_sec", sample_interval_sec)
        self._idle_interval_s = _seconds("idle_interval_sec", idle_interval_sec)
        self._dimensions = {
            "environment": environment,
            "robot_id": robot_id,
            "host": socket.gethostname() if host is None else host,
            "queue": queue,
            "workflow_version": workflow_version,
            "source": source,
        }
        for name, text in self._dimensions.items():
            if not is_name(text, ID_BYTES):
                raise SettingsError(f"{name} is {text!r}: give printable text of at most {ID_BYTES} bytes")
        redaction = redaction or Redaction()
        # The machine keeps its name. So where a run may not have it, samples do not say whose they are.
        self._has_contexts = redaction.keeps_host(environment)
        for name, text in self._dimensions.items():
            is_attended = name != "host" and not self._has_contexts
            self._dimensions[name] = redaction.text(name, text, is_attended=is_attended)
        self._cardinality = Cardinality(max_workflows)
        sources = [*(HOST if sample_host else ()), *([process(pid)] if sample_process else ())]
        self._sampler = sampler or Sampler(sources)
        self._given_agent_id = agent_id
        self._rows: BufferedSamples | SpooledSamples
        if spool is not None:
            self._rows = SpooledSamples(spool)
        elif storage_callback is not None:
            self._rows = BufferedSamples(storage_callback, max_buffered_rows, BATCH_ROWS, FLUSH_INTERVAL_SEC)
        self._begin()
        _collectors.add(self)

    def _begin(self) -> None:
        own = f"{self._dimensions['host'][:100]}/{os.getpid()}/{uuid4()}"
        agent_id = clean_name(self._given_agent_id or own, ID_BYTES)
        self._cardinality.reset()
        self._records = SampleRecords(agent_id, self._dimensions, self._cardinality)
        self._lifecycle = threading.RLock()
        self._sampling = threading.Lock()
        self._thread: SamplingThread | None = None
        self._wanted: Context | None = None  # what the robot said last
        self._seen: Context | None = None  # the last of it that the thread has seen
        self._context: Context | None = None  # the same, if it is valid
        self._is_busy = self._was_busy = False
        self._last_at = datetime.now(UTC)
        self._allowed, self._allowed_at_s = float(BURST), time.monotonic()

    def _reset_after_fork(self) -> None:
        self._sampler.reset()
        self._rows.reset_after_fork()
        self._begin()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def agent_id(self) -> str:
        """Who the samples say took them."""
        return self._records.agent_id

    @property
    def counters(self) -> SamplingCounters:
        counts = self._rows.counts()
        return SamplingCounters(
            recorded=counts.recorded,
            delivered=counts.delivered,
            dropped=counts.dropped,
            quarantined=self._records.quarantined,
            failed_flushes=self._rows.failed_flushes,
            failed_probes=self._sampler.failures,
            last_error=self._rows.last_error,
            pending=counts.pending,
        )

    def start(self) -> None:
        """Takes the first sample in the background and goes on; started twice is started once."""
        with self._lifecycle:
            if self._thread is not None:
                return
            thread = SamplingThread(self._turn)
            try:
                thread.start()
            except RuntimeError as error:  # no threads any more: the interpreter is shutting down
                _log.warning("resources are not sampled: %s", error)
                return
            self._thread = thread
            self._rows.start()
            _running.add(self)

    def stop(self, timeout_sec: float = 10.0) -> None:
        """Takes a last sample and delivers what there is, for at most so long."""
        deadline_s = time.monotonic() + timeout_sec
        with self._lifecycle:
            thread, self._thread = self._thread, None
            _running.discard(self)
        if thread is not None and not thread.finish(timeout_sec):
            _log.warning("a probe did not answer within %g s: the last sample is missing", timeout_sec)
        self._rows.stop(max(0.0, deadline_s - time.monotonic()))

    def flush(self, timeout_sec: float = 10.0) -> bool:
        """Delivers now what was sampled so far; whether it arrived. Tries once."""
        return self._rows.flush(timeout_sec)

    def set_context(self, workflow_id: str, execution_id: str) -> None:
        """From now on samples belong to this execution; takes a sample now. Never raises.

        An id that is not valid is quarantined, and sampling goes on without context.
        """
        wanted = self._wanted
        if not self._has_contexts:
            return
        if wanted is None or not wanted.is_same(workflow_id, execution_id):
            self._change_context(Context(workflow_id, execution_id))

    def clear_context(self) -> None:
        """No execution runs any more: takes its last sample now. Never raises."""
        if self._wanted is not None:
            self._change_context(None)

    def set_busy(self, is_busy: bool) -> None:
        """Whether an execution of another process runs: samples are taken as with a context, the first now.

        The daemon knows of no contexts, and says this. Never raises.
        """
        if is_busy is not self._is_busy:
            self._is_busy = is_busy
            thread = self._thread
            if thread is not None:
                thread.bell.put(None)

    def _change_context(self, wanted: Context | None) -> None:
        self._wanted = wanted
        thread = self._thread
        if thread is not None:
            thread.bell.put(None)

    def sample_once(self) -> list[ResourceMetrics]:
        """A sample now, under the current context; handed out and not delivered. Never raises."""
        try:
            with self._sampling:
                wanted = self._wanted
                context = self._context if wanted is self._seen else self._checked(wanted)
                records = self._records.of(self._sampler.read(), context, self._moment())
                return [record for record in records if isinstance(record, ResourceMetrics)]
        except Exception as error:  # noqa: BLE001  # a failed measurement is no failure of the robot
            _note_failure(error)
            return []

    def complete_to(self) -> datetime:
        """Every sample taken before this moment is delivered or dropped."""
        has_lock = self._sampling.acquire(timeout=_LOCK_TIMEOUT_SEC)
        try:
            # A probe that hangs keeps the lock: then nothing is sure from the last sample on.
            until = datetime.now(UTC) if has_lock else self._last_at
            return min(until, self._rows.oldest_pending_at() or until)
        finally:
            if has_lock:
                self._sampling.release()

    def _turn(self, due_s: float, is_last: bool) -> float:
        """Samples where a sample is due or the context has changed; gives when the next is due."""
        try:
            with self._sampling:
                wanted, before = self._wanted, self._context
                if wanted is not self._seen:
                    self._seen, self._context = wanted, self._checked(wanted)
                    if self._is_allowed() or is_last:
                        self._sample_change(before)
                    due_s = time.monotonic() + self._interval_s()
                if self._is_busy is not self._was_busy:
                    self._was_busy = self._is_busy
                    due_s = time.monotonic()
                if time.monotonic() >= due_s or is_last:
                    self._keep(self._sampler.read(), self._context)
                    due_s = time.monotonic() + self._interval_s()
        except Exception as error:  # noqa: BLE001  # the thread goes on, and the robot anyway
            _note_failure(error)
            due_s = time.monotonic() + self._interval_s()
        return due_s

    def _sample_change(self, before: Context | None) -> None:
        """One reading: the end of the context before, and what the new one begins with."""
        values = self._sampler.read()
        if before is not None:
            self._keep(values, before)
        if self._context is not None or before is None:
            self._keep(without_means(values), self._context)

    def _interval_s(self) -> float:
        is_idle = self._context is None and not self._is_busy
        return self._idle_interval_s if is_idle else self._sample_interval_s

    def _is_allowed(self) -> bool:
        now_s = time.monotonic()
        self._allowed = min(self._allowed + now_s - self._allowed_at_s, float(BURST))
        self._allowed_at_s = now_s
        if self._allowed < 1.0:
            return False
        self._allowed -= 1.0
        return True

    def _moment(self) -> datetime:
        """Now; later than the sample before where the clock has not ticked since, because it is the key."""
        now = datetime.now(UTC)
        if now == self._last_at:
            now += timedelta(microseconds=1)
        self._last_at = now
        return now

    def _checked(self, wanted: Context | None) -> Context | None:
        checked = self._records.checked(wanted)
        if isinstance(checked, QuarantinedRecord):
            self._rows.keep(checked)
            return None
        return checked

    def _keep(self, values: dict[str, Values], context: Context | None) -> None:
        for record in self._records.of(values, context, self._moment()):
            self._rows.keep(record)


def _note_failure(error: Exception) -> None:
    _log.warning("a sample was not taken: %s: %s", type(error).__name__, clean_message(error))


def _seconds(name: str, value: object) -> float:
    if (
        isinstance(value, bool)
        or not isinstance(value, (int, float))
        or not math.isfinite(value)
        or value <= 0
    ):
        raise SettingsError(f"{name} is {value!r}: give a number of seconds above 0")
    return float(value)


_collectors: "weakref.WeakSet[ResourceCollector]" = weakref.WeakSet()
_running: set[ResourceCollector] = set()


def _after_fork_in_child() -> None:  # after the deliveries' own hook: modules register in import order
    _running.clear()
    for collector in list(_collectors):
        collector._reset_after_fork()


if hasattr(os, "register_at_fork"):  # not on Windows, which does not fork
    os.register_at_fork(after_in_child=_after_fork_in_child)


@atexit.register
def _stop_at_exit() -> None:
    """Before the deliveries' own hook: the last samples go with their last flush."""
    for collector in list(_running):
        collector.stop(exit_time_left_s())
