"""An ordinary step as the payload of its frame, written by hand: a third of what building its record costs.

What it gives is what the record's own values would be. Everything that is not plainly valid, or that the
record would change, is left to the record: then the answer is None.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from json.encoder import encode_basestring_ascii as json_text
from typing import Any, Final

from analytics_lib.records import (
    CLOCK_SKEW_MS,
    EXCEPTION_KINDS,
    ID_BYTES,
    MESSAGE_BYTES,
    NAME_BYTES,
    STATUSES,
    ExecutionStart,
    StepMetrics,
)
from collector_agent.recording.active_executions import KnownExecution
from collector_agent.recording.cardinality import Cardinality
from collector_agent.recording.record_builder import ShortStep, plain
from collector_agent.redaction import clean_message, mask_id, mask_name

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_EARLIEST_US: Final = 315_532_800_000_000  # 1980
_LATEST_US: Final = 32_503_680_000_000_000  # 3000
_LONGEST_MS: Final = 1e12
_NUMBERS: Final = (int, float)  # and not bool
_LARGEST_COUNT: Final = 1 << 53
_CARRIED: Final = ("workflow_version", "environment", "robot_id", "host", "queue", "source", "recorder_id")
_STATUS: Final = {status: f',"{status}",' for status in STATUSES}
_EXCEPTION_KIND: Final = {kind: f'"{kind}"' for kind in EXCEPTION_KINDS} | {None: '""'}
# Fields that a step may be given and that are looked at below; with any other it is not ordinary.
_LOOKED_AT: Final = frozenset(
    [
        *_CARRIED,
        *("step_id", "status", "duration_ms", "step_seq", "workflow_id", "step_name", "started_at"),
        *("ended_at", "attempt", "parent_step_seq", "depth", "step_type", "exception_kind", "message"),
        *("retries", "transaction_id"),
    ]
)


@dataclass(frozen=True, slots=True)
class StepFrame:
    """What the frames of one execution's steps have in common, as JSON text."""

    head: str  # up to the step's number
    workflow_id: str
    workflow: str
    source: str
    carried: dict[str, Any]
    steps: Mapping[str, str]  # the workflow's known steps, each with its JSON text; others may be added
    cardinality: Cardinality

    def step_text(self, step_id: Any) -> str | None:
        """None: not known yet."""
        text = self.steps.get(step_id)
        return self.cardinality.overflow_text(self.workflow_id, step_id) if text is None else text


def step_frame(
    known: KnownExecution, record: ExecutionStart | StepMetrics, cardinality: Cardinality
) -> StepFrame | None:
    """Made from a valid record of the execution; None where that says something else than the execution."""
    carried = {name: plain(known.inherited[name]) for name in _CARRIED[:-1]}
    carried["recorder_id"] = plain(known.recorder_id)
    of_record = {name: getattr(record, name) for name in _CARRIED}
    if of_record != carried or not record.recorder_id:
        return None
    dimensions = [carried[name] for name in _CARRIED[:5]]
    texts = [json_text(text) for text in (*dimensions, record.execution_id, record.recorder_id)]
    return StepFrame(
        head=f'["step",{",".join(texts)},',
        workflow_id=record.workflow_id,
        workflow="," + json_text(record.workflow_id) + ",",
        source=json_text(record.source) + "]",
        carried=carried,
        steps=cardinality.steps_of(record.workflow_id),
        cardinality=cardinality,
    )


def short_step_payload(frame: StepFrame, item: ShortStep) -> bytes | None:
    """Of a step that ended now and of which nothing else is said."""
    _, wall_ns, step_seq, step_id, status, duration_ms = item
    step = frame.steps.get(step_id) or frame.step_text(step_id)
    status_text = _STATUS.get(status)
    if step is None or status_text is None or type(duration_ms) not in _NUMBERS:
        return None
    if not 0 <= duration_ms < _LONGEST_MS:  # NaN neither
        return None
    ended_us = wall_ns // 1000
    whole_ms = int(duration_ms)
    started_us = ended_us - whole_ms * 1000 - round((duration_ms - whole_ms) * 1000.0)
    if not _EARLIEST_US <= started_us <= ended_us <= _LATEST_US:
        return None
    return (
        f'{frame.head}{step_seq}{frame.workflow}{step},""{status_text}{started_us},{ended_us},'
        f'{float(duration_ms)!r},1,null,0,"","","",false,0,"",false,{frame.source}'
    ).encode()


def step_payload(frame: StepFrame, wall_ns: int, given: Mapping[str, Any]) -> bytes | None:
    """Of a step with any of the usual fields."""
    if not given.keys() <= _LOOKED_AT:
        return None
    get, carried = given.get, frame.carried
    for name in _CARRIED:
        if (value := get(name)) is not None and (type(value) is not str or value != carried[name]):
            return None
    step, status = frame.step_text(given["step_id"]), _STATUS.get(given["status"])
    step_name, step_type = _text(get("step_name"), NAME_BYTES), _text(get("step_type"), ID_BYTES)
    transaction_id = _text(get("transaction_id"), ID_BYTES, mask_id)
    exception_kind = _EXCEPTION_KIND.get(get("exception_kind"))
    message = _message(get("message"))
    times = _times(get("started_at"), get("ended_at"), given["duration_ms"], wall_ns)
    step_seq, parent_step_seq = _count(given["step_seq"], None), _count(get("parent_step_seq"), "null")
    attempt, depth, retries = _count(get("attempt"), 1), _count(get("depth"), 0), _count(get("retries"), 0)
    parts = (step, status, step_name, step_type, transaction_id, exception_kind, message, times)
    counts = (step_seq, parent_step_seq, attempt, depth, retries)
    if None in parts or None in counts or times is None:
        return None
    return (
        f"{frame.head}{step_seq}{frame.workflow}{step},{step_name}{status}{times[0]},"
        f"{attempt},{parent_step_seq},{depth},{step_type},{exception_kind},{message},false,{retries},"
        f"{transaction_id},{times[1]},{frame.source}"
    ).encode()


def _text(value: Any, limit_bytes: int, mask: Callable[[str], str] = mask_name) -> str | None:
    """JSON text of what a record takes as it is."""
    if value is None:
        return '""'
    if type(value) is not str or not value.isprintable():
        return None
    if len(value) * 4 > limit_bytes and not (value.isascii() and len(value) <= limit_bytes):
        return None
    return json_text(mask(value))


def _message(value: Any) -> str | None:
    if value is None or (type(value) is str and not value):
        return '""'
    if type(value) is not str:
        return None
    cleaned = clean_message(value)
    return json_text(cleaned) if len(cleaned) * 4 <= MESSAGE_BYTES else None


def _count(value: Any, if_none: Any) -> Any:
    if value is None:
        return if_none
    return value if type(value) is int and 0 <= value <= _LARGEST_COUNT else None


def _times(started_at: Any, ended_at: Any, duration_ms: Any, wall_ns: int) -> tuple[str, str] | None:
    """(start, end and duration, whether the clock was skewed), as the record builder tells them."""
    started_us, ended_us = _us_of(started_at), _us_of(ended_at)
    if duration_ms is None:
        if not started_us:
            return None
        ended_us = wall_ns // 1000 if ended_us is None else ended_us
        duration_ms = max((ended_us - started_us) / 10**6 * 1000, 0.0)
    elif type(duration_ms) not in _NUMBERS or not 0 <= duration_ms < _LONGEST_MS:
        return None
    whole_ms = int(duration_ms)
    duration_us = whole_ms * 1000 + round((duration_ms - whole_ms) * 1000.0)
    if ended_us is None:
        ended_us = wall_ns // 1000 if started_us is None else started_us + duration_us
    if started_us is None:
        started_us = ended_us - duration_us
    if not _EARLIEST_US <= started_us <= ended_us <= _LATEST_US:
        return None
    is_skewed = abs((ended_us - started_us) / 10**6 * 1000 - duration_ms) > CLOCK_SKEW_MS
    return f"{started_us},{ended_us},{float(duration_ms)!r}", "true" if is_skewed else "false"


def _us_of(moment: Any) -> int | None:
    """Microseconds of a moment in UTC; 0, which no record takes, for what is not plainly one."""
    if moment is None:
        return None
    if type(moment) is not datetime or moment.tzinfo is not UTC:
        return 0
    since = moment - _EPOCH
    return since.days * 86_400_000_000 + since.seconds * 1_000_000 + since.microseconds
