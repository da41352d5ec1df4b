"""From what a robot said to a checked record, or to a quarantined one with the reason; never an error.

This runs in the delivery thread: the robot itself only pays for putting an item into the buffer.
"""

import json
import logging
import re
from collections.abc import Mapping
from dataclasses import fields as fields_of
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from analytics_lib.errors import RecordError
from analytics_lib.records import (
    NAME_BYTES,
    ExecutionMetrics,
    ExecutionStart,
    QuarantinedRecord,
    Record,
    StepMetrics,
    shorten,
)
from collector_agent.active_executions import KnownExecution
from collector_agent.redaction import clean_message, clean_name, text_of

# (kind of record, its execution or why there is none, fields as given, wall clock ns, monotonic ns)
Item = tuple[str, KnownExecution | str, dict[str, Any], int, int]

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_EARLIEST: Final = datetime(1980, 1, 1, tzinfo=UTC)  # that a record takes
_TYPES: Final[dict[str, type[ExecutionStart | ExecutionMetrics | StepMetrics]]] = {
    "execution_start": ExecutionStart,
    "execution": ExecutionMetrics,
    "step": StepMetrics,
}
_FIELDS: Final = {kind: frozenset(f.name for f in fields_of(_TYPES[kind])) for kind in _TYPES}
_REQUIRED: Final = ("step_id", "status", "duration_ms")  # here None is what is wrong, not a default
_SECRET_NAME: Final = re.compile(r"(?i)pass|pwd|kennwort|secret|token|key\b|credential|cookie|session")
_LEAF_CHARACTERS: Final = 4_000
_REASON_BYTES: Final = 4 * NAME_BYTES  # what the record takes
_PAYLOAD_CHARACTERS: Final = 10_000  # at most 6 bytes each: inside the record's 64 KB
_log = logging.getLogger("rpa_agent")


def moment_of(wall_ns: int) -> datetime:
    """The UTC time of a reading of the wall clock."""
    return _EPOCH + timedelta(microseconds=wall_ns // 1000)


class RecordBuilder:
    """Builds records and counts what had to be quarantined. `host`: for quarantined rows."""

    def __init__(self, host: str) -> None:
        self.quarantined = 0
        self._host = host

    def __call__(self, item: Item) -> Record:
        """The record that the item stands for; what is not valid becomes a QuarantinedRecord."""
        record = _build(item, self._host)
        if isinstance(record, QuarantinedRecord):
            self.quarantined += 1
        return record


def _build(item: Item, host: str) -> Record:
    kind, known, given, wall_ns, mono_ns = item
    try:
        if isinstance(known, str):
            raise RecordError(known)
        values = {name: value for name, value in known.inherited.items() if name in _FIELDS[kind]}
        values |= {
            "execution_id": known.execution_id,
            "workflow_id": known.workflow_id,
            "recorder_id": known.recorder_id,
        }
        values |= {name: value for name, value in given.items() if value is not None or name in _REQUIRED}
        values = {name: plain(value) for name, value in values.items()}
        if unknown := sorted(values.keys() - _FIELDS[kind]):
            raise RecordError(
                f"{_TYPES[kind].__name__} has no field {unknown[0][:100]!r}; "
                f"use any of {', '.join(sorted(_FIELDS[kind]))}"
            )
        if "message" in values:
            values["message"] = clean_message(values["message"])
        _TIMES[kind](values, known, wall_ns, mono_ns)
        return _TYPES[kind](**values)
    except RecordError as error:
        reason = str(error)
    except Exception as error:  # noqa: BLE001  # whatever a robot's odd object raises, its row is kept aside
        reason = f"{type(error).__name__} while the record was built: {text_of(error)}"
    return quarantine(kind, reason, given, known, wall_ns, host)


def plain(value: Any) -> Any:
    """Text as nothing but text: a subclass's own methods would run, and may fail, in the store."""
    if type(value) is dict:
        return {plain(key): plain(item) for key, item in value.items()}
    return str.__str__(value) if isinstance(value, str) else value


def _time_start(values: dict[str, Any], known: KnownExecution, wall_ns: int, mono_ns: int) -> None:
    if values.get("started_at") is None:
        values["started_at"] = moment_of(wall_ns)


def _time_end(values: dict[str, Any], known: KnownExecution, wall_ns: int, mono_ns: int) -> None:
    """Times of an execution: what was given, else the clocks at its start and at its end."""
    started, ended, duration_ms = (values.get(name) for name in ("started_at", "ended_at", "duration_ms"))
    by_clock = started is None and ended is None and known.started_ns is not None
    if by_clock and duration_ms is None:
        duration_ms = (mono_ns - known.started_ns[1]) / 1e6  # type: ignore[index]  # by_clock says so
    if ended is None:
        ended = moment_of(wall_ns)
    if started is None:
        started = known.started_at
        if started is None and known.started_ns is not None:
            started = moment_of(known.started_ns[0])
        if started is None and duration_ms is not None:
            started = _shifted(ended, duration_ms, -1)
        if started is None:
            raise RecordError(
                f"the end of execution {known.execution_id[:100]!r} has no start; "
                "record its start first, or pass started_at or duration_ms"
            )
    if duration_ms is None:
        duration_ms = _elapsed_ms(started, ended)
    values["started_at"], values["duration_ms"] = started, duration_ms
    values["ended_at"] = ended
    if by_clock:
        values["ended_at"], skewed = end_not_before(started, ended, duration_ms)
        if skewed:
            values["clock_skewed"] = True


def _time_step(values: dict[str, Any], known: KnownExecution, wall_ns: int, mono_ns: int) -> None:
    """Times of a step: what was given; a duration alone means that it ended now."""
    started, ended, duration_ms = (values.get(name) for name in ("started_at", "ended_at", "duration_ms"))
    if duration_ms is None and started is not None:
        ended = moment_of(wall_ns) if ended is None else ended
        duration_ms = _elapsed_ms(started, ended)
    if ended is None:
        ended = moment_of(wall_ns) if started is None else _shifted(started, duration_ms)
    if started is None:
        started = _shifted(ended, duration_ms, -1)
    values["started_at"], values["ended_at"], values["duration_ms"] = started, ended, duration_ms


_TIMES: Final = {"execution_start": _time_start, "execution": _time_end, "step": _time_step}


def end_not_before(started: datetime, ended: datetime, duration_ms: float) -> tuple[datetime, bool]:
    """(the end to store, whether the wall clock went backwards meanwhile): the row must not be lost."""
    if ended >= started:
        return ended, False
    return started + timedelta(milliseconds=duration_ms), True


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _shifted(moment: Any, milliseconds: Any, direction: int = 1) -> Any:
    """The moment moved; itself where one of the two is not valid, because the record says so better."""
    if not isinstance(moment, datetime) or not _is_number(milliseconds):
        return moment
    try:
        return moment.astimezone(UTC) + timedelta(milliseconds=direction * milliseconds)
    except (OverflowError, ValueError):
        raise RecordError(
            f"duration_ms is {milliseconds:.3g}; check the unit it came in: milliseconds"
        ) from None


def _elapsed_ms(started: Any, ended: Any) -> float:
    if not isinstance(started, datetime) or not isinstance(ended, datetime):
        return 0.0  # the record names the one that is no time
    return max((ended.astimezone(UTC) - started.astimezone(UTC)).total_seconds() * 1000, 0.0)


def quarantine(
    kind: str, reason: str, given: Mapping[str, Any], known: KnownExecution | str, wall_ns: int, host: str
) -> QuarantinedRecord:
    """The row kept aside, without secrets, and one line in the log. Never raises: that row, and with it
    every later one, would stay undelivered for ever."""
    reason = shorten(clean_message(reason), _REASON_BYTES)
    told = dict(given)
    if isinstance(known, KnownExecution):
        told = {"execution_id": known.execution_id, "workflow_id": known.workflow_id} | told
    _log.warning("a row of kind %s is quarantined: %s", kind, " ".join(reason.split()))
    return QuarantinedRecord(
        record_kind=kind,
        reason=reason or "no reason given",
        payload=payload_of(told),
        received_at=max(moment_of(wall_ns), _EARLIEST),  # a machine that has lost its clock
        host=clean_name(host, 200),
    )


def payload_of(given: Mapping[str, Any]) -> str:
    """JSON of what was given, masked and cut to fit. Whatever it is made of, this does not raise."""
    text = json.dumps(_showable(given, 0))
    return text if len(text) <= _PAYLOAD_CHARACTERS else json.dumps(text[:_PAYLOAD_CHARACTERS])


def _showable(value: object, depth: int) -> object:
    if value is None or isinstance(value, bool):
        return value
    if type(value) is dict and depth < 4:
        return {
            (name := clean_message(key)[:200]): "<hidden>"
            if _SECRET_NAME.search(name)
            else _showable(item, depth + 1)
            for key, item in list(value.items())[:100]
        }
    if type(value) in (list, tuple) and depth < 4:
        return [_showable(item, depth + 1) for item in list(value)[:100]]  # type: ignore[call-overload]  # type() is checked
    shown = clean_message(value)[:_LEAF_CHARACTERS]
    if type(value) in (int, float) and shown not in ("nan", "inf", "-inf") and len(shown) < 30:
        return value if shown == text_of(value) else shown
    return shown
