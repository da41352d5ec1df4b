"""Durable recording: what the robot said is a frame in this process's spool before it goes on."""

import logging
import threading
from collections.abc import Callable
from json import JSONEncoder
from typing import TYPE_CHECKING, Any, Final

from analytics_lib.record_values import values_of
from analytics_lib.records import ExecutionStart, Record, StepMetrics
from collector_agent.recording.active_executions import KnownExecution
from collector_agent.recording.record_builder import Item, RecordBuilder
from collector_agent.recording.step_frames import short_step_payload, step_frame, step_payload
from collector_agent.recording.whole_steps import StepValues, whole_step_payload
from collector_agent.redaction import clean_message

if TYPE_CHECKING:
    from collector_agent.spool.writer import SpoolWriter

_log = logging.getLogger("rpa_agent")
_encode: Final = JSONEncoder(separators=(",", ":"), allow_nan=False).encode


def payload_of(record: Record) -> bytes:
    """The record as it stands in a frame: a JSON array of its kind and its values, in ASCII."""
    return _encode([record.kind, *values_of(record)]).encode()


class Journal:
    """Where items go instead of a buffer: masked, checked, and handed to the operating system by `put`.

    An ordinary step is written by hand; everything else, and what is not valid, takes the builder's way.
    Nothing waits here, so the alarm that a buffer gives for many waiting rows only says that the thread
    behind it is missing. `lock`: see Buffer.
    """

    waiting: Final = ()

    def __init__(self, spool: "SpoolWriter", builder: RecordBuilder) -> None:
        self.spool = spool
        self._builder = builder
        self._append = spool.append
        self.reset()

    def reset(self) -> None:
        """With counters at zero and a lock that nobody holds. The spool is reset by whoever owns it."""
        self.lock = threading.RLock()
        self.alarm_at = 1
        self.recorded = 0
        self.dropped = 0  # refused by the spool
        self._next_notice = 1

    def put(self, item: Item) -> None:
        """Called by the robot's threads, and by its signal handlers, destructors and logging handlers."""
        payload = None
        try:
            if len(item) == 6:
                if (frame := item[0].frame) is not None:
                    payload = short_step_payload(frame, item)
            elif len(item) == 5:
                kind, wall_ns, known, given, _ = item
                if kind == "step" and not isinstance(known, str) and known.frame is not None:
                    payload = step_payload(known.frame, wall_ns, given)
        except Exception:  # noqa: BLE001  # a foreign __hash__ or __eq__: the builder says what is wrong
            payload = None
        try:
            accepted = self._append(self._built(item) if payload is None else payload)
        except Exception as error:  # noqa: BLE001  # there is no such case that we know of; the robot goes on
            _log.warning("a row was not recorded: %s: %s", type(error).__name__, clean_message(error))
            accepted = False
        with self.lock:
            self.recorded += 1
            if not accepted:
                self.dropped += 1

    def put_whole(self, known: KnownExecution, values_of: Callable[[Any], StepValues], what: Any) -> bool:
        """Whether the step was one of the usual: then it is put. Else `put` has to look at it."""
        try:
            frame = known.frame
            payload = None if frame is None else whole_step_payload(frame, values_of(what))
        except Exception:  # noqa: BLE001  # `put` comes to the same, and keeps the row aside
            return False
        if payload is None:
            return False
        accepted = self._append(payload)
        with self.lock:
            self.recorded += 1
            if not accepted:
                self.dropped += 1
        return True

    def add(self, record: Record) -> bool:
        """Puts in a record that is not the robot's: a sign of life. Whether it was taken.

        While the disk fails it is not: it would wait in front of rows, and be counted as one.
        """
        return self.spool.offer(payload_of(record))

    def count_dropped(self, rows: int) -> None:
        with self.lock:
            self.dropped += rows

    def ring_at(self, rows: int) -> None:
        self.alarm_at = 0 if rows == 0 else 1

    def drop_overflow(self) -> None:
        """The spool keeps its own bound."""

    def drop_notice(self) -> int | None:
        """As a buffer's: how many were refused, when it is time to say so."""
        with self.lock:
            if self.dropped < self._next_notice:
                return None
            while self._next_notice <= self.dropped:
                self._next_notice *= 10
            return self.dropped

    def _built(self, item: Item) -> bytes:
        record = self._builder(item)
        known = item[2] if len(item) == 5 else item[0]
        if (
            not isinstance(known, str)
            and known.frame is None
            and isinstance(record, (ExecutionStart, StepMetrics))
        ):
            known.frame = step_frame(known, record, self._builder.cardinality)
        return payload_of(record)
