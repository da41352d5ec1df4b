"""Steps of which everything is known and valid, as a hook that knows its runtime records them.

What is said of such a step is made when it is needed: beside the robot where it records in memory. It is
trusted: names are on one line and short enough, times and counts what they seem. Only a message, which
is to be masked, and a step_id that is new take the way that looks at everything.
"""

from collections.abc import Container
from datetime import UTC, datetime, timedelta
from json.encoder import encode_basestring_ascii as json_text
from typing import TYPE_CHECKING, Any, Final

from analytics_lib.records import StepMetrics
from collector_agent.recording.step_records import NAMES, SETTERS, Pattern, pattern_of

if TYPE_CHECKING:
    from collector_agent.recording.step_frames import StepFrame

# (step_seq, step_id, step_name, status, started_us, ended_us, duration_ms, parent_step_seq, depth,
# step_type, exception_kind, message, retries, transaction_id)
StepValues = tuple[
    int, str, str, str, int, int, float, int | None, int, str, str, str, int, str
]  # fmt: skip
_FIELDS: Final = (
    *("step_seq", "step_id", "step_name", "status", "started_at", "ended_at", "duration_ms"),
    *("parent_step_seq", "depth", "step_type", "exception_kind", "message", "retries", "transaction_id"),
)
_SET: Final = tuple(SETTERS[NAMES.index(name)] for name in _FIELDS)
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_EARLIEST_US: Final = 315_532_800_000_000  # 1980
_LATEST_US: Final = 32_503_680_000_000_000  # 3000
_MAX_TEXTS: Final = 10_000
_texts: dict[str, str] = {"": '""'}  # JSON text of names and types: a robot has few, and they come often


def step_fields_of(values: StepValues) -> dict[str, Any]:
    """By name, as `record_step` takes them."""
    fields: dict[str, Any] = dict(zip(_FIELDS, values, strict=True))
    fields["started_at"], fields["ended_at"] = _moment(values[4]), _moment(values[5])
    return fields


def whole_step(pattern: Pattern, known_steps: Container[str], values: StepValues) -> StepMetrics | None:
    """The record, as its own constructor would make it; None where that has to look."""
    if values[11] or values[1] not in known_steps or not _EARLIEST_US <= values[4] <= values[5] <= _LATEST_US:
        return None
    record: StepMetrics = object.__new__(StepMetrics)
    for set_value, value in zip(SETTERS, pattern, strict=True):
        set_value(record, value)
    for set_value, value in zip(_SET, values, strict=True):
        set_value(record, value)
    _SET[4](record, _moment(values[4]))
    _SET[5](record, _moment(values[5]))
    return record


def whole_step_payload(frame: "StepFrame", values: StepValues) -> bytes | None:
    """The payload of its frame; None where the record's own constructor has to look."""
    seq, step_id, name, status, started_us, ended_us, took_ms, parent, depth, kind, why, text, again, of = (
        values
    )
    step = frame.steps.get(step_id)
    if step is None or text or not _EARLIEST_US <= started_us <= ended_us <= _LATEST_US:
        return None
    return (
        f'{frame.head}{seq}{frame.workflow}{step},{_texts.get(name) or _text(name)},"{status}",{started_us},'
        f"{ended_us},{took_ms!r},1,{'null' if parent is None else parent},{depth},"
        f'{_texts.get(kind) or _text(kind)},"{why}","",false,{again},"{of}",false,{frame.source}'
    ).encode()


def neutral_pattern_of(record: StepMetrics) -> Pattern | None:
    """What all steps of its execution have in common; None where this one is special."""
    if record.message_truncated or record.clock_skewed:
        return None
    pattern = pattern_of(record)
    for name, value in _NEUTRAL.items():
        pattern[NAMES.index(name)] = value
    return pattern


_NEUTRAL: Final = {
    **dict.fromkeys(("step_name", "step_type", "exception_kind", "message", "transaction_id"), ""),
    **{"parent_step_seq": None, "depth": 0, "retries": 0},
}


def _text(value: str) -> str:
    text = json_text(value)
    if len(_texts) < _MAX_TEXTS:
        _texts[value] = text
    return text


def _moment(moment_us: int) -> datetime:
    return _EPOCH + timedelta(microseconds=moment_us)
