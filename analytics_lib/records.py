"""What a robot run leaves behind: frozen records, checked when they are made, units in their names.

Standard library only, because the agent imports this inside the robot's process. Records only
*validate*; masking secrets and cleaning text is the collectors' and importers' work.

Datetimes are aware UTC once stored in a record; a naive one means this machine's local time.
Dimensions that are not known are '' (never None), so that keys and groups have no holes.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from datetime import UTC, datetime
from typing import Any, ClassVar, Final

from analytics_lib.errors import RecordError

STATUSES: Final = ("completed", "failed", "cancelled", "timed_out", "skipped")
EXCEPTION_KINDS: Final = ("", "business", "application")
COMPONENTS: Final = ("", "daemon", "collector")
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
    import hashlib  # here: it loads OpenSSL, 4 MB that most robots never need

    digest = hashlib.blake2b(encoded, digest_size=6).hexdigest()
    return encoded[: limit_bytes - 16].decode(errors="ignore") + "…#" + digest


def _fail(record: object, name: str, problem: str, next_step: str) -> RecordError:
    return RecordError(f"{type(record).__name__}.{name} {problem}; {next_step}")


def _show(value: object) -> str:
    try:
        text = repr(value)
    except Exception:  # noqa: BLE001  # a value's own code, or a number of too many digits
        return f"a {type(value).__name__}"
    return text if len(text) <= 60 else text[:57] + "…'"


@dataclass(frozen=True, slots=True)
class Text:
    """A check of text: so many bytes of UTF-8 at most, no NUL; control characters in a `block` only."""

    limit_bytes: int
    required: bool = False
    block: bool = False

    def __call__(self, record: object, name: str, value: object) -> str:
        if not isinstance(value, str):
            raise _fail(record, name, f"is {type(value).__name__}, not text", "pass a str")
        if self.required and not value:
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
            if not self.block and any(c < " " or c == "\x7f" for c in value):
                raise _fail(
                    record, name, f"contains control characters ({_show(value)})", "use printable text"
                )
        if encoded_length > self.limit_bytes:
            raise _fail(
                record,
                name,
                f"is {encoded_length} bytes long, the limit is {self.limit_bytes} ({_show(value)})",
                "shorten it at the source",
            )
        return value


def check_time(record: object, name: str, value: object) -> datetime:
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


def _check_size(record: object, name: str, value: object) -> float | int:
    """A finite number of a size that every database takes, negative ones too."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise _fail(record, name, f"is {_show(value)}, not a number", "pass a finite number")
    if isinstance(value, float) and not math.isfinite(value):
        raise _fail(record, name, f"is {value}", "leave it out (None) where it is not known")
    if not -9e18 <= value <= 9e18:  # compared exactly: an int may be too large to become a float, or text
        raise _fail(record, name, "is beyond ±9e18", "check the unit it came in")
    return value


def check_offset(record: object, name: str, value: object) -> float:
    return float(_check_size(record, name, value))


def _check_positive(record: object, name: str, value: object) -> float | int:
    number = _check_size(record, name, value)
    if number < 0:
        raise _fail(record, name, f"is negative ({value})", "check the clock or the counter it came from")
    return number


def check_number(record: object, name: str, value: object) -> float:
    return float(_check_positive(record, name, value))


def check_count(record: object, name: str, value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise _fail(record, name, f"is {_show(value)}, not a whole number", "pass an int")
    return int(_check_positive(record, name, value))


def check_attributes(record: object, name: str, value: object) -> Mapping[str, str]:
    if not isinstance(value, Mapping):
        raise _fail(record, name, f"is {type(value).__name__}, not a mapping", "pass a dict of text to text")
    if len(value) > 64:
        raise _fail(record, name, f"has {len(value)} entries, the limit is 64", "keep what you filter by")
    for key, item in value.items():
        _ID(record, f"{name} key", key)
        _BLOCK(record, f"{name}[{key!r}]", item)
    return dict(sorted(value.items()))


Check = Callable[[object, str, object], object]


@dataclass(frozen=True, slots=True)
class OneOf:
    """A check for one of a few words."""

    allowed: tuple[str, ...]

    def __call__(self, record: object, name: str, value: object) -> str:
        if value not in self.allowed:
            words = ", ".join(repr(word) for word in self.allowed)
            raise _fail(record, name, f"is {_show(value)}", f"use one of {words}")
        return str(value)


@dataclass(frozen=True, slots=True)
class OrNone:
    """A check that lets None pass."""

    check: Check

    def __call__(self, record: object, name: str, value: object) -> object:
        return None if value is None else self.check(record, name, value)


def check_message(record: object, name: str, value: object) -> str:
    text = _ANY_TEXT(record, name, value)
    if len(text) * 4 > MESSAGE_BYTES and len(encoded := text.encode()) > MESSAGE_BYTES:
        object.__setattr__(record, f"{name}_truncated", True)
        return encoded[:MESSAGE_BYTES].decode(errors="ignore")
    return text


def check_flag(record: object, name: str, value: object) -> bool:
    if not isinstance(value, bool):
        raise _fail(record, name, f"is {_show(value)}", "pass True or False")
    return value


def _f(check: Check, *, context: bool = False, **default: Any) -> Any:
    """A checked field; `context` fields say who recorded and stay out of the content hash."""
    return field(**default, metadata={"check": check, "context": context})


_ID = Text(ID_BYTES, required=True)
_WORD = Text(ID_BYTES)
_BLOCK = Text(NAME_BYTES, block=True)
_ANY_TEXT = Text(1 << 24, block=True)
_TIME: Check = check_time
_NUMBER: Check = check_number
_COUNT: Check = check_count
_ATTRIBUTES: Check = check_attributes
_MAYBE = OrNone(_NUMBER)
_MAYBE_COUNT = OrNone(_COUNT)


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
    workflow_id: str = _f(Text(NAME_BYTES, required=True))
    status: str = _f(OneOf(STATUSES))
    started_at: datetime = _f(_TIME)
    ended_at: datetime = _f(_TIME)
    duration_ms: float = _f(_NUMBER)
    exception_kind: str = _f(OneOf(EXCEPTION_KINDS), default="")
    message: str = _f(check_message, default="")
    message_truncated: bool = _f(check_flag, context=True, default=False)
    steps_total: int | None = _f(_MAYBE_COUNT, default=None)
    steps_completed: int | None = _f(_MAYBE_COUNT, default=None)
    steps_failed: int | None = _f(_MAYBE_COUNT, default=None)
    attempt: int = _f(_COUNT, default=1)
    queued_at: datetime | None = _f(OrNone(_TIME), default=None)
    parent_execution_id: str = _f(_WORD, default="")
    transaction_id: str = _f(_WORD, default="")
    suite: str = _f(Text(NAME_BYTES), context=True, default="")
    attributes: Mapping[str, str] = _f(_ATTRIBUTES, context=True, default_factory=dict)
    clock_skewed: bool = _f(check_flag, context=True, default=False)
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
    workflow_id: str = _f(Text(NAME_BYTES, required=True))
    step_id: str = _f(Text(NAME_BYTES, required=True))
    step_name: str = _f(Text(NAME_BYTES), default="")
    status: str = _f(OneOf(STATUSES))
    started_at: datetime = _f(_TIME)
    ended_at: datetime = _f(_TIME)
    duration_ms: float = _f(_NUMBER)
    attempt: int = _f(_COUNT, default=1)
    parent_step_seq: int | None = _f(_MAYBE_COUNT, default=None)
    depth: int = _f(_COUNT, default=0)
    step_type: str = _f(_WORD, default="")
    exception_kind: str = _f(OneOf(EXCEPTION_KINDS), default="")
    message: str = _f(check_message, default="")
    message_truncated: bool = _f(check_flag, context=True, default=False)
    retries: int = _f(_COUNT, default=0)
    transaction_id: str = _f(_WORD, default="")
    clock_skewed: bool = _f(check_flag, context=True, default=False)
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
    workflow_id: str = _f(Text(NAME_BYTES), context=True, default="")
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
    workflow_id: str = _f(Text(NAME_BYTES, required=True))
    started_at: datetime = _f(_TIME)
    queued_at: datetime | None = _f(OrNone(_TIME), default=None)
    parent_execution_id: str = _f(_WORD, default="")
    suite: str = _f(Text(NAME_BYTES), context=True, default="")
    recorder_id: str = _f(_WORD, context=True, default="")
    source: str = _f(_WORD, context=True, default="")


@dataclass(frozen=True, slots=True, kw_only=True)
class ExecutionHeartbeat(_Dimensions):
    """A sign that a run is still alive. Key: execution_id, sent_at."""

    kind: ClassVar[str] = "execution_heartbeat"

    execution_id: str = _f(_ID)
    workflow_id: str = _f(Text(NAME_BYTES, required=True))
    sent_at: datetime = _f(_TIME)


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentHeartbeat(_Dimensions):
    """A sign that an agent is alive, and how much it still has to deliver. Key: agent_id, sent_at.

    `complete_to`: everything the agent recorded before this moment has been delivered with or
    before this row. Counters run since the agent started. `component`: the daemon, or the collector
    inside a robot's process, which ends with it; '' where an older agent does not say.
    `clock_offset_ms`: what the database's clock is ahead of the agent's.
    """

    kind: ClassVar[str] = "agent_heartbeat"

    agent_id: str = _f(_ID)
    sent_at: datetime = _f(_TIME)
    complete_to: datetime = _f(_TIME)
    agent_version: str = _f(_WORD, default="")
    rows_pending: int = _f(_COUNT, default=0)
    rows_dropped: int = _f(_COUNT, default=0)
    rows_quarantined: int = _f(_COUNT, default=0)
    problem: str = _f(Text(NAME_BYTES, block=True), default="")
    # Out of the content hash, or it would not compare with that of rows stored by older agents.
    component: str = _f(OneOf(COMPONENTS), context=True, default="")
    rows_recorded: int = _f(_COUNT, context=True, default=0)
    rows_delivered: int = _f(_COUNT, context=True, default=0)
    spool_bytes: int = _f(_COUNT, context=True, default=0)
    oldest_undelivered_at: datetime | None = _f(OrNone(_TIME), context=True, default=None)
    clock_offset_ms: float | None = _f(OrNone(check_offset), context=True, default=None)


@dataclass(frozen=True, slots=True, kw_only=True)
class QuarantinedRecord(_Record):
    """What could not be stored, kept aside with the reason. `payload`: JSON text of what was given."""

    kind: ClassVar[str] = "quarantine"

    record_kind: str = _f(_WORD)
    reason: str = _f(Text(4 * NAME_BYTES, required=True, block=True))
    payload: str = _f(Text(PAYLOAD_BYTES, block=True))
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
