"""A table's row as a record's row, as a mapping says; what does not fit says which column is at fault."""

from collections import OrderedDict
from collections.abc import Callable, Mapping
from datetime import datetime
from functools import lru_cache
from typing import Any, Final

from analytics_lib.record_values import attributes_text
from analytics_lib.records import ID_BYTES, NAME_BYTES
from analytics_lib.windows import to_us
from collector_agent.importers.mapped_mapping import DURATION, Mapped
from collector_agent.importers.plain_rows import Row, plain_row
from collector_agent.importers.row_errors import RowError
from collector_agent.importers.uipath_values import key_of, made_id, moment_us, name_of, seconds_us
from collector_agent.redaction import clean_message, text_of
from collector_agent.redaction.policy import DIMENSIONS_OF_PERSONS, Redaction

SOURCE: Final = "mapped-file"
KNOWN_EXECUTIONS: Final = 100_000  # whose steps are counted where no column numbers them
_KEYS: Final = ("execution_id", "parent_execution_id", "transaction_id")
_LONG_NAMES: Final = ("workflow_id", "step_id", "step_name", "suite")
_COUNTS: Final = ("steps_total", "steps_completed", "steps_failed", "attempt", "retries")
_NUMBERS: Final = (*_COUNTS, "step_seq", "parent_step_seq", "depth")
_TIMES: Final = ("started_at", "ended_at", "queued_at")
_DAY_US: Final = 86_400_000_000


class RowMaker:
    """Makes rows. `step_seq`, where no column has it, counts an execution's steps as they come."""

    def __init__(self, mapped: Mapped, environment: str = "", redaction: Redaction | None = None) -> None:
        self._mapped = mapped
        # The mapping says which attributes there are, and so allows them.
        self._redaction = (redaction or Redaction()).allowing(mapped.attributes)
        self._fixed: dict[str, Any] = {"environment": environment, "source": SOURCE}
        self._numbered: OrderedDict[str, int] = OrderedDict()
        self._time = _time_reader(mapped)

    def row(self, given: Mapping[str, Any]) -> Row:
        """Raises RowError."""
        mapped = self._mapped
        texts = {name: _text_at(given, column) for name, column in mapped.columns.items()}
        texts = {name: text for name, text in texts.items() if text} | dict(mapped.constants)
        is_attended = self._redaction.is_attended(texts.get("environment", self._fixed["environment"]))
        fields = self._fixed | {name: self._value(name, text, is_attended) for name, text in texts.items()}
        fields |= self._span(texts)
        if not fields.get("workflow_id"):
            raise self._lacks("workflow_id")
        fields["status"] = status = self._status(texts)
        kind = self._exception_kind(texts.get("exception_kind", ""), status)
        fields["exception_kind"] = kind
        fields["execution_id"] = execution_id = self._execution_id(given, fields)
        if mapped.kind == "step":
            fields["recorder_id"] = _recorder_id(execution_id)
            if not fields.get("step_id"):
                raise self._lacks("step_id")
            if fields.get("step_seq") is None:
                fields["step_seq"] = self._next_seq(execution_id)
        elif mapped.attributes:
            found = {name: _text_at(given, column) for name, column in sorted(mapped.attributes.items())}
            fields["attributes"] = attributes_text(
                self._redaction.attributes(
                    {name: _attribute(text) for name, text in found.items() if text}, is_attended=is_attended
                )
            )
        return plain_row(mapped.kind, fields)

    def _value(self, name: str, text: str, is_attended: bool) -> Any:
        if name in _NUMBERS:
            try:
                number = float(text.replace(",", "."))
                if not (number.is_integer() and 0 <= number < 1e15):
                    raise ValueError(text)
            except (ValueError, OverflowError):
                raise RowError(f"rows whose {self._where(name)} is no whole number", text) from None
            return int(number)
        if name in (*_TIMES, "status", "exception_kind", DURATION):
            return None  # they are read where they are put together
        if name == "message":
            return clean_message(text)
        if name in _KEYS:
            return key_of(text)
        if name in DIMENSIONS_OF_PERSONS:
            text = self._redaction.person(name, text, is_attended=is_attended)
        return name_of(text, NAME_BYTES if name in _LONG_NAMES else ID_BYTES)

    def _span(self, texts: Mapping[str, str]) -> dict[str, Any]:
        """From two of start, end and duration the third; all three stay as they are."""
        times = {f"{name}_us": self._moment(name, texts[name]) for name in _TIMES if name in texts}
        started_us, ended_us = times.get("started_at_us"), times.get("ended_at_us")
        took_us = self._duration(texts[DURATION]) if DURATION in texts else None
        if started_us is None and ended_us is not None and took_us is not None:
            started_us = ended_us - took_us
        if ended_us is None and started_us is not None and took_us is not None:
            ended_us = started_us + took_us
        if started_us is None or ended_us is None:
            raise RowError("rows with less than two of start, end and duration (still running?)")
        if started_us > ended_us:
            raise RowError("rows that end before they start", texts.get("started_at", ""))
        duration_ms = (ended_us - started_us if took_us is None else took_us) / 1000
        return times | {"started_at_us": started_us, "ended_at_us": ended_us, "duration_ms": duration_ms}

    def _moment(self, name: str, text: str) -> int:
        found = self._time(text)
        if found is None:
            wanted = self._mapped.time_format
            raise RowError(f"rows whose {self._where(name)} is no time of the format {wanted!r}", text)
        return found

    def _duration(self, text: str) -> int:
        unit_us = self._mapped.unit_us
        if unit_us is None:
            took_us = seconds_us(text) if ":" in text else None
        else:
            try:
                took_us = round(float(text.replace(",", ".")) * unit_us)
            except (ValueError, OverflowError):
                took_us = None
        if took_us is None or not 0 <= took_us < 100_000 * _DAY_US:
            raise RowError(f"rows whose {self._where(DURATION)} is no duration", text)
        return took_us

    def _status(self, texts: Mapping[str, str]) -> str:
        if "status" not in texts:
            raise self._lacks("status")
        status = self._mapped.status.of(texts["status"])
        if status is None:
            raise RowError(f"rows whose {self._where('status')} has no meaning in [status]", texts["status"])
        return status

    def _exception_kind(self, word: str, status: str) -> str:
        if status != "failed":
            return ""
        if not word:
            return "application"
        kind = self._mapped.exception_kind.of(word)
        if kind is None:
            where = self._where("exception_kind")
            raise RowError(f"rows whose {where} has no meaning in [exception_kind]", word)
        return kind

    def _execution_id(self, given: Mapping[str, Any], fields: Mapping[str, Any]) -> str:
        if self._mapped.has("execution_id"):
            if not fields.get("execution_id"):
                raise self._lacks("execution_id")
            return str(fields["execution_id"])
        if self._mapped.id_columns:
            parts = [_text_at(given, column) for column in self._mapped.id_columns]
            if not any(parts):
                raise RowError("rows in which all columns of execution_id_from are empty")
        else:
            parts = [str(fields.get(name, "")) for name in ("robot_id", "host", "transaction_id")]
            parts.append(str(fields["started_at_us"]))
        return made_id("mapped", str(fields["workflow_id"]), *parts)

    def _next_seq(self, execution_id: str) -> int:
        seq = self._numbered.pop(execution_id, 0) + 1
        self._numbered[execution_id] = seq
        if len(self._numbered) > KNOWN_EXECUTIONS:
            self._numbered.popitem(last=False)
        return seq

    def _where(self, name: str) -> str:
        column = self._mapped.columns.get(name)
        return f"column {column!r}" if column else f"constant {name}"

    def _lacks(self, name: str) -> RowError:
        return RowError(f"rows without a value in {self._where(name)} ({name})")


@lru_cache(maxsize=1024)
def _recorder_id(execution_id: str) -> str:
    return made_id("mapped", execution_id)


def _time_reader(mapped: Mapped) -> Callable[[str], int | None]:
    zone, wanted = mapped.zone, mapped.time_format
    if wanted == "iso":
        return lambda text: moment_us(text, zone)
    if wanted in ("epoch_s", "epoch_ms"):
        unit_us = 1e6 if wanted == "epoch_s" else 1e3

        def from_epoch(text: str) -> int | None:
            try:
                return round(float(text) * unit_us)
            except (ValueError, OverflowError):
                return None

        return from_epoch

    def parse(text: str) -> int | None:
        try:
            moment = datetime.strptime(text, wanted)  # noqa: DTZ007  # the zone is put on below
            return to_us(moment if moment.tzinfo or zone is None else moment.replace(tzinfo=zone))
        except (ValueError, OverflowError, OSError):
            return None

    return parse


def _text_at(given: Mapping[str, Any], column: str) -> str:
    """The text of a column; in JSON, of `a.b`, too. true and false as JSON writes them."""
    value: Any = given.get(column)
    if value is None and "." in column:
        value = given
        for part in column.split("."):
            value = value.get(part) if isinstance(value, dict) else None
    if isinstance(value, bool):
        return "true" if value else "false"
    return "" if isinstance(value, (dict, list)) else text_of(value).strip()


def _attribute(text: str) -> str:
    return name_of(text, NAME_BYTES)
