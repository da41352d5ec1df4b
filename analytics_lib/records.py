"""What a robot run leaves behind: frozen records, checked when they are made, units in their names.

Standard library only, because the agent imports this inside the robot's process. Records only
*validate*; masking secrets and cleaning text is the collectors' and importers' work.

Datetimes are aware UTC once stored in a record; a naive one means this machine's local time.
Dimensions that are not known are '' (never None), so that keys and groups have no holes.
"""

import hashlib
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from datetime import UTC, datetime
from typing import Any, ClassVar, Final

from analytics_lib.errors import RecordError

STATUSES: Final = ("completed", "failed", "cancelled", "timed_out", "skipped")
EXCEPTION_KINDS: Final = ("", "business", "application")
BUCKETS: Final = 16

ID_BYTES: Final = 200
NAME_BYTES: Final = 500
MESSAGE_BYTES: Final = 8 * 1024
PAYLOAD_BYTES: Final = 64 * 1024
CLOCK_SKEW_MS: Final = 1_000.0


def shorten(text: str, limit_bytes: int) -> str:
    """The text itself if it fits, else its beginning and a hash of the whole, stable across runs.

    >>> shorten("Invoices.Intake", 200)
    'Invoices.Intake'
    >>> len(shorten("ä" * 1000, 200).encode()) <= 200
    True
    """
    encoded = text.encode()
    if len(encoded) <= limit_bytes:
        return text
    digest = hashlib.blake2b(encoded, digest_size=6).hexdigest()
    return encoded[: limit_bytes - 16].decode(errors="ignore") + "…#" + digest


def _fail(record: object, name: str, problem: str, next_step: str) -> RecordError:
    return RecordError(f"{type(record).__name__}.{name} {problem}; {next_step}")


def _show(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "…'"


def _check_text(record: object, name: str, value: object, limit: int, required: bool, block: bool) -> str:
    if not isinstance(value, str):
        raise _fail(record, name, f"is {type(value).__name__}, not text", "pass a str")
    if required and not value:
        raise _fail(record, name, "is empty", "name it")
    if value.isascii() and (value.isprintable() or not value):
        encoded_length = len(value)
    else:
        try:
            encoded_length = len(value.encode())
        except UnicodeEncodeError:
            raise _fail(
                record, name, "contains a lone surrogate", "decode the text with its right encoding"
            ) from None
        if "\0" in value:
            raise _fail(record, name, "contains NUL", "remove it: databases refuse it")
        if not block and any(c < " " or c == "\x7f" for c in value):
            raise _fail(record, name, f"contains control characters ({_show(value)})", "use printable text")
    if encoded_length > limit:
        raise _fail(
            record,
            name,
            f"is {encoded_length} bytes long, the limit is {limit} ({_show(value)})",
            "shorten it at the source",
        )
    return value


def _check_time(record: object, name: str, value: object) -> datetime:
    if not isinstance(value, datetime):
        raise _fail(record, name, f"is {_show(value)}, not a datetime", "pass an aware datetime")
    if value.tzinfo is UTC:
        moment = value
    else:
        try:
            moment = value.astimezone(UTC)
        except (OverflowError, OSError, ValueError) as error:
            raise _fail(record, name, f"cannot be put in UTC ({error})", "pass a real date") from None
    if moment.year < 1980:
        raise _fail(record, name, f"is {moment.isoformat()}", "check the clock or the unit it came in")
    return moment


def _check_number(record: object, name: str, value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise _fail(record, name, f"is {_show(value)}, not a number", "pass a finite number")
    if not math.isfinite(value):
        raise _fail(record, name, f"is {value}", "leave it out (None) where it is not known")
    if value < 0:
        raise _fail(record, name, f"is negative ({value})", "check the clock or the counter it came from")
    if value > 9e18:
        raise _fail(record, name, f"is {value:.3g}", "check the unit it came in")
    return float(value)


def _check_count(record: object, name: str, value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise _fail(record, name, f"is {_show(value)}, not a whole number", "pass an int")
    return int(_check_number(record, name, value))


def _check_attributes(record: object, name: str, value: object) -> Mapping[str, str]:
    if not isinstance(value, Mapping):
        raise _fail(record, name, f"is {type(value).__name__}, not a mapping", "pass a dict of text to text")
    if len(value) > 64:
        raise _fail(record, name, f"has {len(value)} entries, the limit is 64", "keep what you filter by")
    for key, item in value.items():
        _check_text(record, f"{name} key", key, ID_BYTES, True, False)
        _check_text(record, f"{name}[{key!r}]", item, NAME_BYTES, False, True)
    return dict(sorted(value.items()))


Check = Callable[[object, str, object], object]


def _text(limit: int, *, required: bool = False, block: bool = False) -> Check:
    return lambda record, name, value: _check_text(record, name, value, limit, required, block)


def _one_of(allowed: tuple[str, ...]) -> Check:
    def check(record: object, name: str, value: object) -> str:
        if value not in allowed:
            words = ", ".join(repr(word) for word in allowed)
            raise _fail(record, name, f"is {_show(value)}", f"use one of {words}")
        return str(value)

    return check


def _optional(check: Check) -> Check:
    return lambda record, name, value: None if value is None else check(record, name, value)


def _message(record: object, name: str, value: object) -> str:
    text = _check_text(record, name, value, 1 << 24, False, True)
    if len(text) * 4 > MESSAGE_BYTES and len(encoded := text.encode()) > MESSAGE_BYTES:
        object.__setattr__(record, f"{name}_truncated", True)
        return encoded[:MESSAGE_BYTES].decode(errors="ignore")
    return text


def _flag(record: object, name: str, value: object) -> bool:
    if not isinstance(value, bool):
        raise _fail(record, name, f"is {_show(value)}", "pass True or False")
    return value


def _f(check: Check, *, context: bool = False, **default: Any) -> Any:
    """A checked field; `context` fields say who recorded and stay out of the content hash."""
    return field(**default, metadata={"check": check, "context": context})


_ID = _text(ID_BYTES, required=True)
_WORD = _text(ID_BYTES)
_TIME: Check = _check_time
_NUMBER: Check = _check_number
_COUNT: Check = _check_count
_ATTRIBUTES: Check = _check_attributes
_MAYBE = _optional(_NUMBER)
_MAYBE_COUNT = _optional(_COUNT)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Record:
    kind: ClassVar[str]
    _checks: ClassVar[tuple[tuple[str, Check], ...]] = ()

    def __post_init__(self) -> None:
        for name, check in type(self)._checks:
            value = getattr(self, name)
            checked = check(self, name, value)
            if checked is not value:
                object.__setattr__(self, name, checked)
        self._check_whole()

    def _check_whole(self) -> None:
        """What concerns more than one field."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Dimensions(_Record):
    """Where a record comes from; every raw row carries these, so that rollups join nothing."""

    workflow_version: str = _f(_WORD, context=True, default="")
    environment: str = _f(_WORD, context=True, default="")
    robot_id: str = _f(_WORD, context=True, default="")
    host: str = _f(_WORD, context=True, default="")
    queue: str = _f(_WORD, context=True, default="")


def _check_span(record: Any) -> None:
    if record.ended_at < record.started_at:
        raise _fail(
            record,
            "ended_at",
            f"({record.ended_at.isoformat()}) is before started_at ({record.started_at.isoformat()})",
            "check the clocks, or pass the start that belongs to this end",
        )
    wall_ms = (record.ended_at - record.started_at).total_seconds() * 1000
    if abs(wall_ms - record.duration_ms) > CLOCK_SKEW_MS:
        object.__setattr__(record, "clock_skewed", True)


@dataclass(frozen=True, slots=True, kw_only=True)
class ExecutionMetrics(_Dimensions):
    """One finished run of a workflow: the complete row, written at its end. Key: execution_id.

    `duration_ms` comes from a monotonic clock; where it differs from ended_at - started_at by more
    than a second, `clock_skewed` is set. Raises RecordError.
    """

    kind: ClassVar[str] = "execution"

    execution_id: str = _f(_ID)
    workflow_id: str = _f(_text(NAME_BYTES, required=True))
    status: str = _f(_one_of(STATUSES))
    started_at: datetime = _f(_TIME)
    ended_at: datetime = _f(_TIME)
    duration_ms: float = _f(_NUMBER)
    exception_kind: str = _f(_one_of(EXCEPTION_KINDS), default="")
    message: str = _f(_message, default="")
    message_truncated: bool = _f(_flag, context=True, default=False)
    steps_total: int | None = _f(_MAYBE_COUNT, default=None)
    steps_completed: int | None = _f(_MAYBE_COUNT, default=None)
    steps_failed: int | None = _f(_MAYBE_COUNT, default=None)
    attempt: int = _f(_COUNT, default=1)
    queued_at: datetime | None = _f(_optional(_TIME), default=None)
    parent_execution_id: str = _f(_WORD, default="")
    transaction_id: str = _f(_WORD, default="")
    suite: str = _f(_text(NAME_BYTES), context=True, default="")
    attributes: Mapping[str, str] = _f(_ATTRIBUTES, context=True, default_factory=dict)
    clock_skewed: bool = _f(_flag, context=True, default=False)
    recorder_id: str = _f(_WORD, context=True, default="")
    source: str = _f(_WORD, context=True, default="")

    def _check_whole(self) -> None:
        _check_span(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class StepMetrics(_Dimensions):
    """One finished action inside an execution. Key: execution_id, recorder_id, step_seq, attempt.

    `step_id` says which step of the workflow it is and is stable across runs; `step_seq` counts the
    steps of this execution in the order in which they started; `parent_step_seq` is that of the
    enclosing step, None at the top (depth 0). Raises RecordError.
    """

    kind: ClassVar[str] = "step"

    execution_id: str = _f(_ID)
    recorder_id: str = _f(_ID)
    step_seq: int = _f(_COUNT)
    workflow_id: str = _f(_text(NAME_BYTES, required=True))
    step_id: str = _f(_text(NAME_BYTES, required=True))
    step_name: str = _f(_text(NAME_BYTES), default="")
    status: str = _f(_one_of(STATUSES))
    started_at: datetime = _f(_TIME)
    ended_at: datetime = _f(_TIME)
    duration_ms: float = _f(_NUMBER)
    attempt: int = _f(_COUNT, default=1)
    parent_step_seq: int | None = _f(_MAYBE_COUNT, default=None)
    depth: int = _f(_COUNT, default=0)
    step_type: str = _f(_WORD, default="")
    exception_kind: str = _f(_one_of(EXCEPTION_KINDS), default="")
    message: str = _f(_message, default="")
    message_truncated: bool = _f(_flag, context=True, default=False)
    retries: int = _f(_COUNT, default=0)
    transaction_id: str = _f(_WORD, default="")
    clock_skewed: bool = _f(_flag, context=True, default=False)
    source: str = _f(_WORD, context=True, default="")

    def _check_whole(self) -> None:
        _check_span(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class ResourceMetrics(_Dimensions):
    """One sample of one target's resources. Key: agent_id, target, sampled_at.

    `target` is 'host', 'process' (the robot and its children) or 'gpu:0' …; what a target does not
    have, or a probe could not read, is None. Percentages are of the whole target: 100 is all of
    what it may use. Rates are means since the sample before. Raises RecordError.
    """

    kind: ClassVar[str] = "resource"

    agent_id: str = _f(_ID)
    target: str = _f(_ID)
    sampled_at: datetime = _f(_TIME)
    workflow_id: str = _f(_text(NAME_BYTES), context=True, default="")
    execution_id: str = _f(_WORD, context=True, default="")
    cpu_percent: float | None = _f(_MAYBE, default=None)
    memory_used_bytes: int | None = _f(_MAYBE_COUNT, default=None)
    memory_total_bytes: int | None = _f(_MAYBE_COUNT, default=None)
    disk_used_bytes: int | None = _f(_MAYBE_COUNT, default=None)
    disk_total_bytes: int | None = _f(_MAYBE_COUNT, default=None)
    disk_read_bytes_per_s: float | None = _f(_MAYBE, default=None)
    disk_written_bytes_per_s: float | None = _f(_MAYBE, default=None)
    network_received_bytes_per_s: float | None = _f(_MAYBE, default=None)
    network_sent_bytes_per_s: float | None = _f(_MAYBE, default=None)
    gpu_utilization_percent: float | None = _f(_MAYBE, default=None)
    gpu_memory_used_bytes: int | None = _f(_MAYBE_COUNT, default=None)
    gpu_memory_total_bytes: int | None = _f(_MAYBE_COUNT, default=None)
    process_count: int | None = _f(_MAYBE_COUNT, default=None)
    thread_count: int | None = _f(_MAYBE_COUNT, default=None)
    handle_count: int | None = _f(_MAYBE_COUNT, default=None)
    source: str = _f(_WORD, context=True, default="")


@dataclass(frozen=True, slots=True, kw_only=True)
class ExecutionStart(_Dimensions):
    """A run that began; with no ExecutionMetrics after it, it is running. Key: execution_id."""

    kind: ClassVar[str] = "execution_start"

    execution_id: str = _f(_ID)
    workflow_id: str = _f(_text(NAME_BYTES, required=True))
    started_at: datetime = _f(_TIME)
    queued_at: datetime | None = _f(_optional(_TIME), default=None)
    parent_execution_id: str = _f(_WORD, default="")
    suite: str = _f(_text(NAME_BYTES), context=True, default="")
    recorder_id: str = _f(_WORD, context=True, default="")
    source: str = _f(_WORD, context=True, default="")


@dataclass(frozen=True, slots=True, kw_only=True)
class ExecutionHeartbeat(_Dimensions):
    """A sign that a run is still alive. Key: execution_id, sent_at."""

    kind: ClassVar[str] = "execution_heartbeat"

    execution_id: str = _f(_ID)
    workflow_id: str = _f(_text(NAME_BYTES, required=True))
    sent_at: datetime = _f(_TIME)


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentHeartbeat(_Dimensions):
    """A sign that an agent is alive, and how much it still has to deliver. Key: agent_id, sent_at.

    `complete_to`: everything the agent recorded before this moment has been delivered with or
    before this row. Counters run since the agent started.
    """

    kind: ClassVar[str] = "agent_heartbeat"

    agent_id: str = _f(_ID)
    sent_at: datetime = _f(_TIME)
    complete_to: datetime = _f(_TIME)
    agent_version: str = _f(_WORD, default="")
    rows_pending: int = _f(_COUNT, default=0)
    rows_dropped: int = _f(_COUNT, default=0)
    rows_quarantined: int = _f(_COUNT, default=0)
    problem: str = _f(_text(NAME_BYTES, block=True), default="")


@dataclass(frozen=True, slots=True, kw_only=True)
class QuarantinedRecord(_Record):
    """What could not be stored, kept aside with the reason. `payload`: JSON text of what was given."""

    kind: ClassVar[str] = "quarantine"

    record_kind: str = _f(_WORD)
    reason: str = _f(_text(4 * NAME_BYTES, required=True, block=True))
    payload: str = _f(_text(PAYLOAD_BYTES, block=True))
    received_at: datetime = _f(_TIME)
    host: str = _f(_WORD, default="")


Record = (
    ExecutionMetrics
    | StepMetrics
    | ResourceMetrics
    | ExecutionStart
    | ExecutionHeartbeat
    | AgentHeartbeat
    | QuarantinedRecord
)
RECORD_TYPES: Final[tuple[type[Record], ...]] = (
    ExecutionStart,
    ExecutionHeartbeat,
    ExecutionMetrics,
    StepMetrics,
    ResourceMetrics,
    AgentHeartbeat,
    QuarantinedRecord,
)
for _type in RECORD_TYPES:
    _type._checks = tuple((f.name, f.metadata["check"]) for f in fields(_type))
