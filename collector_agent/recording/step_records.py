"""An ordinary step's record, made after the pattern of another one of its execution: a sixth of the time that
checking all of its fields anew takes. In memory this is what most of the work beside the robot is."""

from collections.abc import Container
from dataclasses import fields
from datetime import UTC, datetime, timedelta
from operator import attrgetter
from typing import Any, Final

from analytics_lib.records import STATUSES, StepMetrics

Pattern = list[Any]  # the values of a checked record, in the order of its fields

NAMES: Final = tuple(f.name for f in fields(StepMetrics))
_VALUES: Final = attrgetter(*NAMES)
SETTERS: Final = tuple(getattr(StepMetrics, name).__set__ for name in NAMES)
_SEQ, _STEP, _STATUS, _STARTED, _ENDED, _DURATION = (
    NAMES.index(name) for name in ("step_seq", "step_id", "status", "started_at", "ended_at", "duration_ms")
)
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_EARLIEST: Final = datetime(1980, 1, 1, tzinfo=UTC)
_LONGEST_MS: Final = 1e12
_LATEST_NS: Final = 32_503_680_000 * 10**9  # the year 3000
_NUMBERS: Final = (int, float)  # and not bool


def pattern_of(record: StepMetrics) -> Pattern:
    """Of a step of which nothing was said but what `short_step` is given."""
    return list(_VALUES(record))


def short_step(
    pattern: Pattern,
    known_steps: Container[str],
    wall_ns: int,
    step_seq: int,
    step_id: Any,
    status: Any,
    duration_ms: Any,
) -> StepMetrics | None:
    """The step that ended now, as the record's own constructor would make it; None where it has to look."""
    if type(step_id) is not str or step_id not in known_steps:
        return None
    if type(status) is not str or status not in STATUSES or type(duration_ms) not in _NUMBERS:
        return None
    if not 0 <= duration_ms < _LONGEST_MS or wall_ns > _LATEST_NS:  # NaN neither
        return None
    ended_at = _EPOCH + timedelta(microseconds=wall_ns // 1000)
    started_at = ended_at - timedelta(milliseconds=duration_ms)
    if started_at < _EARLIEST:
        return None
    values = pattern.copy()
    values[_SEQ], values[_STEP], values[_STATUS] = step_seq, step_id, status
    values[_STARTED], values[_ENDED], values[_DURATION] = started_at, ended_at, float(duration_ms)
    record: StepMetrics = object.__new__(StepMetrics)
    for set_value, value in zip(SETTERS, values, strict=True):
        set_value(record, value)
    return record
