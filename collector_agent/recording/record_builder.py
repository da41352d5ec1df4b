"""From what a robot said to a checked record, or to a quarantined one with the reason; never an error.

Recording in memory, this runs in the delivery thread: the robot itself only pays for putting an item into
the buffer. Recording durably, what is not an ordinary step comes here before the robot goes on.
"""

import threading
from collections.abc import Callable, Mapping
from dataclasses import fields as fields_of
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from analytics_lib.errors import RecordError
from analytics_lib.records import (
    ExecutionMetrics,
    ExecutionStart,
    Record,
    StepMetrics,
)
from collector_agent.recording.active_executions import KnownExecution
from collector_agent.recording.cardinality import Cardinality
from collector_agent.recording.quarantining import quarantine
from collector_agent.recording.step_records import pattern_of, short_step
from collector_agent.recording.whole_steps import StepValues, neutral_pattern_of, step_fields_of, whole_step
from collector_agent.redaction import clean_message, mask_id, mask_name, text_of
from collector_agent.redaction.policy import Redaction

# What most steps are: (its execution, wall clock ns, step_seq, step_id, status, duration_ms).
ShortStep = tuple[KnownExecution, int, int, Any, Any, Any]
# A step of which everything is known: (its execution, wall clock ns, what makes its values, of what).
WholeStep = tuple[KnownExecution, int, Callable[[Any], StepValues], Any]
# Everything else: (kind of record, wall clock ns, its execution or why there is none, fields as given,
# monotonic ns)
Said = tuple[str, int, KnownExecution | str, dict[str, Any], int]
Item = ShortStep | WholeStep | Said

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_TYPES: Final[dict[str, type[ExecutionStart | ExecutionMetrics | StepMetrics]]] = {
    "execution_start": ExecutionStart,
    "execution": ExecutionMetrics,
    "step": StepMetrics,
}
_FIELDS: Final = {kind: frozenset(f.name for f in fields_of(_TYPES[kind])) for kind in _TYPES}
_REQUIRED: Final = ("step_id", "status", "duration_ms")  # here None is what is wrong, not a default
_MAX_ATTRIBUTES: Final = 64  # that a record takes


def moment_of(wall_ns: int) -> datetime:
    """The UTC time of a reading of the wall clock."""
    return _EPOCH + timedelta(microseconds=wall_ns // 1000)


def in_words(item: Item) -> Said:
    """The item with its fields by name."""
    if len(item) == 6:
        known, wall_ns, step_seq, step_id, status, duration_ms = item
        given = {"step_id": step_id, "status": status, "duration_ms": duration_ms, "step_seq": step_seq}
        return "step", wall_ns, known, given, 0
    if len(item) == 4:
        known, wall_ns, make, what = item
        return "step", wall_ns, known, step_fields_of(make(what)), 0
    return item


class RecordBuilder:
    """Builds records and counts what had to be quarantined. `host`: for quarantined rows.

    May be called by several threads at once.
    """

    def __init__(
        self, host: str, cardinality: Cardinality | None = None, redaction: Redaction | None = None
    ) -> None:
        self.cardinality = cardinality or Cardinality()
        self.redaction = redaction or Redaction()
        self._host = host
        self.reset()

    def reset(self) -> None:
        """As it was when made: a forked child has quarantined nothing."""
        self.quarantined = 0
        self._lock = threading.RLock()
        self.cardinality.reset()

    def __call__(self, item: Item) -> Record:
        """The record that the item stands for; what is not valid becomes a QuarantinedRecord."""
        if len(item) == 6 and (pattern := item[0].pattern) is not None:
            step = short_step(pattern, self.cardinality.steps_of(item[0].recorded_as), *item[1:])
            if step is not None:
                return step
        try:
            if len(item) == 4 and (pattern := item[0].pattern) is not None:
                step = whole_step(pattern, self.cardinality.steps_of(item[0].recorded_as), item[2](item[3]))
                if step is not None:
                    return step
            said = in_words(item)
        except Exception as error:  # noqa: BLE001  # of whoever makes the values: their row is kept aside
            said = "step", item[1], f"{type(error).__name__}: {text_of(error)}", {}, 0
        kind, wall_ns, known, given, _ = said
        try:
            record = self._build(said)
            self.cardinality.keep(record)
            if len(item) == 6 and isinstance(record, StepMetrics):
                item[0].pattern = pattern_of(record)
            elif len(item) == 4 and item[0].pattern is None and isinstance(record, StepMetrics):
                item[0].pattern = neutral_pattern_of(record)
            return record
        except RecordError as error:
            reason = str(error)
        except Exception as error:  # noqa: BLE001  # whatever a robot's odd object raises, its row is kept aside
            reason = f"{type(error).__name__} while the record was built: {text_of(error)}"
        with self._lock:
            self.quarantined += 1
            nth = self.quarantined
        return quarantine(kind, reason, given, known, wall_ns, self._host, nth, self.redaction)

    def workflow_of(self, known: KnownExecution) -> Any:
        """The workflow_id that all records of the execution carry."""
        if known.recorded_as is None:
            workflow_id = plain(known.workflow_id)
            masked = mask_name(workflow_id) if isinstance(workflow_id, str) else workflow_id
            known.recorded_as = self.cardinality.workflow(masked)
        return known.recorded_as

    def execution_of(self, known: KnownExecution) -> str:
        """The execution_id that all records of the execution carry."""
        return mask_id(text_of(known.execution_id))

    def _build(self, said: Said) -> ExecutionStart | ExecutionMetrics | StepMetrics:
        kind, wall_ns, known, given, mono_ns = said
        if isinstance(known, str):
            raise RecordError(known)
        values = {name: value for name, value in known.inherited.items() if name in _FIELDS[kind]}
        values |= {"execution_id": self.execution_of(known), "recorder_id": known.recorder_id}
        told = {name: value for name, value in given.items() if value is not None or name in _REQUIRED}
        values |= self._redacted(told, known.is_attended)
        values = {name: plain(value) for name, value in values.items()}
        values["workflow_id"] = workflow_id = self.workflow_of(known)  # nothing else may be given
        if unknown := sorted(values.keys() - _FIELDS[kind]):
            raise RecordError(
                f"{_TYPES[kind].__name__} has no field {unknown[0][:100]!r}; "
                f"use any of {', '.join(sorted(_FIELDS[kind]))}"
            )
        if "message" in values:
            values["message"] = clean_message(values["message"])
        if "step_id" in values:
            values["step_id"] = self.cardinality.step(workflow_id, values["step_id"])
        attributes = values.get("attributes")
        if isinstance(attributes, Mapping) and len(attributes) <= _MAX_ATTRIBUTES:
            values["attributes"] = self.cardinality.attributes(attributes)
        _TIMES[kind](values, known, wall_ns, mono_ns)
        return _TYPES[kind](**values)

    def _redacted(self, given: dict[str, Any], is_attended: bool) -> dict[str, Any]:
        """What may be stored of it; the execution's own dimensions are so already."""
        redaction = self.redaction
        kept = {
            name: redaction.text(name, text_of(value), is_attended=is_attended)
            if isinstance(value, str)
            else value
            for name, value in given.items()
        }
        attributes = given.get("attributes")
        if isinstance(attributes, Mapping):
            kept["attributes"] = redaction.attributes(plain(attributes), is_attended=is_attended)
        return kept


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
