"""What is not valid is kept aside as a row with its reason, without secrets, and a line in the log."""

import json
import logging
import threading
from collections.abc import Mapping
from dataclasses import fields
from datetime import UTC, datetime
from typing import Any, Final

from analytics_lib.records import (
    NAME_BYTES,
    ExecutionMetrics,
    ExecutionStart,
    QuarantinedRecord,
    ResourceMetrics,
    StepMetrics,
    shorten,
)
from analytics_lib.windows import from_us
from collector_agent.recording.active_executions import KnownExecution
from collector_agent.redaction import clean_message, clean_name, text_of
from collector_agent.redaction.policy import Redaction

_EARLIEST: Final = datetime(1980, 1, 1, tzinfo=UTC)  # that a record takes
_KNOWN_FIELDS: Final = frozenset(
    f.name for kind in (ExecutionStart, ExecutionMetrics, StepMetrics, ResourceMetrics) for f in fields(kind)
)
_LEAF_CHARACTERS: Final = 4_000
_REASON_BYTES: Final = 4 * NAME_BYTES  # what the record takes
_PAYLOAD_CHARACTERS: Final = 10_000  # at most 6 bytes each: inside the record's 64 KB
_SAID_ONE_BY_ONE: Final = 100  # quarantined rows; of further ones each tenfold number is said
_log = logging.getLogger("rpa_agent")


class _Speaking(threading.local):
    """Whether this thread is writing to the log, and what is recorded now comes from a handler of that."""

    now = False


_speaking = _Speaking()


def quarantine(
    kind: str,
    reason: str,
    given: Mapping[str, Any],
    known: KnownExecution | str,
    wall_ns: int,
    host: str,
    nth: int,
    redaction: Redaction | None = None,
) -> QuarantinedRecord:
    """The row kept aside, as far as it may be stored, and one line in the log (`nth`: see `_say`). Never
    raises: that row, and with it every later one, would stay undelivered for ever.

    Of fields that no record has nothing but the name is kept: nobody has said that they may be stored.
    """
    redaction = redaction or Redaction()
    reason = shorten(clean_message(reason), _REASON_BYTES)
    told = dict(given)
    if isinstance(known, KnownExecution):
        told = {"execution_id": known.execution_id, "workflow_id": known.workflow_id} | told
    is_attended = isinstance(known, KnownExecution) and known.is_attended
    _say(kind, " ".join(reason.split()), nth)
    return QuarantinedRecord(
        record_kind=kind,
        reason=reason or "no reason given",
        payload=payload_of(redaction.aside(told, _KNOWN_FIELDS, is_attended=is_attended), redaction),
        received_at=max(from_us(wall_ns // 1000), _EARLIEST),  # a machine that has lost its clock
        host=clean_name(host, 200),
    )


def _say(kind: str, reason: str, nth: int) -> None:
    """Not for every row for ever: one that is recorded by a handler of this very log would never end."""
    if _speaking.now or (nth > _SAID_ONE_BY_ONE and str(nth).strip("0") != "1"):
        return
    _speaking.now = True
    try:
        if nth <= _SAID_ONE_BY_ONE:
            _log.warning("a row of kind %s is quarantined: %s", kind, reason)
        else:
            _log.warning("%d rows are quarantined by now, the last of kind %s: %s", nth, kind, reason)
    finally:
        _speaking.now = False


def payload_of(given: Mapping[str, Any], redaction: Redaction) -> str:
    """JSON of what was given, masked and cut to fit. Whatever it is made of, this does not raise."""
    text = json.dumps(_showable(given, 0, redaction))
    return text if len(text) <= _PAYLOAD_CHARACTERS else json.dumps(text[:_PAYLOAD_CHARACTERS])


def _showable(value: object, depth: int, redaction: Redaction) -> object:
    if value is None or isinstance(value, bool):
        return value
    if type(value) is dict and depth < 4:
        return {
            (name := clean_message(key)[:200]): "<hidden>"
            if redaction.is_secret_name(name)
            else _showable(item, depth + 1, redaction)
            for key, item in list(value.items())[:100]
        }
    if type(value) in (list, tuple) and depth < 4:
        return [_showable(item, depth + 1, redaction) for item in list(value)[:100]]  # type: ignore[call-overload]  # type() is checked
    shown = clean_message(value)[:_LEAF_CHARACTERS]
    if type(value) in (int, float) and shown not in ("nan", "inf", "-inf") and len(shown) < 30:
        return value if shown == text_of(value) else shown
    return shown
