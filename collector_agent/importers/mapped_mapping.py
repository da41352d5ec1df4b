"""A mapping file: which column of a table is which field of a record, in TOML.

records = "executions"                 # or "steps"

[fields]                               # field = "column"; in JSON, "a.b" is b inside a
workflow_id = "Process"
status = "Result"
started_at = "Start"
duration = "Seconds"

[status]                               # status = the words that mean it
completed = ["OK", "Done"]
failed = ["Error"]

[times]
format = "%d.%m.%Y %H:%M:%S"           # of strptime; "iso" (without one), "epoch_s", "epoch_ms"
zone = "Europe/Berlin"

[constants]                            # field = the same for all rows
environment = "production"
"""

import difflib
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import tzinfo
from pathlib import Path
from typing import Any, Final

from analytics_lib.errors import SettingsError
from analytics_lib.record_values import FIELDS
from analytics_lib.records import EXCEPTION_KINDS, STATUSES
from collector_agent.robot_results import time_zone

RECORDS: Final = {"executions": "execution", "steps": "step"}
FORMATS: Final = ("csv", "jsonl")
DURATION: Final = "duration"
UNITS_US: Final = {"ms": 1e3, "s": 1e6, "min": 60e6, "h": 3600e6}
MAX_ATTRIBUTES: Final = 64
_OURS: Final = ("message_truncated", "clock_skewed", "attributes", "duration_ms", "recorder_id")
_VALUES: Final = ("records", "format", "delimiter", "encoding", "execution_id_from")
_TABLES: Final = ("fields", "constants", "attributes", "status", "exception_kind", "times", "durations")


@dataclass(frozen=True, slots=True, kw_only=True)
class Words:
    """What the words in a column mean; `otherwise` is what any other word means, None for nothing."""

    meanings: Mapping[str, str]
    otherwise: str | None = None

    def of(self, word: str) -> str | None:
        return self.meanings.get(word.strip().casefold(), self.otherwise)


@dataclass(frozen=True, slots=True, kw_only=True)
class Mapped:
    """A mapping, checked."""

    path: Path
    kind: str
    format: str = ""
    delimiter: str = ""
    encoding: str = ""
    columns: Mapping[str, str]  # field -> column
    constants: Mapping[str, str] = field(default_factory=dict)
    attributes: Mapping[str, str] = field(default_factory=dict)  # name -> column
    id_columns: tuple[str, ...] = ()
    status: Words
    exception_kind: Words
    time_format: str = "iso"
    zone: tzinfo | None = None
    unit_us: float | None = None  # of durations; None for h:mm:ss

    def has(self, name: str) -> bool:
        return name in self.columns or name in self.constants

    def used_columns(self) -> set[str]:
        return {*self.columns.values(), *self.attributes.values(), *self.id_columns}


def load_mapping(path: Path, time_zone_name: str = "") -> Mapped:
    """The mapping in a file. `time_zone_name` comes before the file's. Raises SettingsError."""
    try:
        given = tomllib.loads(path.read_bytes().decode("utf-8-sig"))
    except OSError as error:
        raise SettingsError(f"the mapping {path} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise SettingsError(f"the mapping {path} is not UTF-8: save it as UTF-8") from None
    except tomllib.TOMLDecodeError as error:
        raise SettingsError(f"the mapping {path} is no valid TOML: {error}") from None
    return _Reader(path, given).mapped(time_zone_name)


class _Reader:
    def __init__(self, path: Path, given: Mapping[str, Any]) -> None:
        self._path = path
        self._given = given

    def mapped(self, time_zone_name: str) -> Mapped:
        self._known("", self._given, (*_VALUES, *_TABLES))
        records = self._given.get("records", "executions")
        if records not in RECORDS:
            raise self._wrong("records", records, f"write one of {', '.join(map(repr, RECORDS))}")
        kind = RECORDS[records]
        columns = self._texts("fields", _fields_of(kind))
        constants = self._texts("constants", [*_fields_of(kind), "source"])
        if twice := sorted(columns.keys() & constants.keys()):
            raise self._wrong(
                f"constants.{twice[0]}", constants[twice[0]], "it is a column already: keep one"
            )
        times = self._table("times", ("format", "zone"))
        mapped = Mapped(
            path=self._path,
            kind=kind,
            format=self._one_of("format", FORMATS),
            delimiter=self._delimiter(),
            encoding=self._encoding(),
            columns=columns,
            constants=constants,
            attributes=self._texts("attributes", None) if kind == "execution" else self._none("attributes"),
            id_columns=self._id_columns(),
            status=self._words("status", STATUSES),
            exception_kind=self._words("exception_kind", EXCEPTION_KINDS[1:]),
            time_format=str(times.get("format", "iso")),
            zone=self._zone(time_zone_name or str(times.get("zone", ""))),
            unit_us=self._unit(),
        )
        self._check_whole(mapped)
        return mapped

    def _check_whole(self, mapped: Mapped) -> None:
        needed = ["workflow_id", "status"]
        if mapped.kind == "step":
            needed += ["step_id", "execution_id"]
        for name in needed:
            if not mapped.has(name) and not (name == "execution_id" and mapped.id_columns):
                raise self._missing(f'{name}: add {name} = "the column" to [fields], or to [constants]')
        times = [name for name in ("started_at", "ended_at", DURATION) if mapped.has(name)]
        if len(times) < 2:
            raise self._missing(f"two of started_at, ended_at and {DURATION} in [fields]")
        if "execution_id" in mapped.columns and mapped.id_columns:
            raise self._wrong(
                "execution_id_from", list(mapped.id_columns), "execution_id is a column already"
            )
        if len(mapped.attributes) > MAX_ATTRIBUTES:
            raise self._wrong("attributes", len(mapped.attributes), f"map at most {MAX_ATTRIBUTES}")

    # --- parts ---------------------------------------------------------------------------------------

    def _known(self, where: str, given: Mapping[str, Any], names: Iterable[str]) -> None:
        names = list(names)
        for name in given:
            if name not in names:
                close = difflib.get_close_matches(name, names, n=1)
                hint = f"did you mean {close[0]}?" if close else f"known are {', '.join(names)}"
                raise SettingsError(f"the mapping {self._path}: unknown {where}{name!r}; {hint}")

    def _table(self, name: str, names: Iterable[str] | None) -> Mapping[str, Any]:
        table = self._given.get(name, {})
        if not isinstance(table, dict):
            raise self._wrong(name, table, f"write a table: [{name}]")
        if names is not None:
            self._known(f"{name}.", table, names)
        return table

    def _texts(self, name: str, names: Iterable[str] | None) -> dict[str, str]:
        table = self._table(name, names)
        for key, value in table.items():
            if isinstance(value, bool) or not isinstance(value, (str, int)) or value == "":
                raise self._wrong(f"{name}.{key}", value, "write text in quotes")
        return {key: str(value) for key, value in table.items()}

    def _none(self, name: str) -> dict[str, str]:
        if self._table(name, None):
            raise self._wrong(name, "", "steps have none: leave it out")
        return {}

    def _one_of(self, name: str, words: tuple[str, ...]) -> str:
        word = self._given.get(name, "")
        if word and word not in words:
            raise self._wrong(name, word, f"write one of {', '.join(map(repr, words))}")
        return str(word)

    def _delimiter(self) -> str:
        delimiter = self._given.get("delimiter", "")
        if not isinstance(delimiter, str) or len(delimiter) > 1 or delimiter in ('"', "\r", "\n"):
            raise self._wrong("delimiter", delimiter, 'write one character, such as ";"')
        return delimiter

    def _encoding(self) -> str:
        encoding = self._given.get("encoding", "")
        if encoding == "utf-8-sig":
            return "utf-8"  # a mark is seen anyway
        try:
            is_text = isinstance(encoding, str) and len("\n".encode(encoding or "utf-8")) in (1, 2)
        except LookupError:
            is_text = False
        if not is_text or encoding.lower().replace("_", "-") in ("utf-16", "utf-7", "idna", "punycode"):
            raise self._wrong(
                "encoding", encoding, 'write one such as "utf-8", "cp1252" or "utf-16-le", or leave it out'
            )
        return str(encoding)

    def _id_columns(self) -> tuple[str, ...]:
        columns = self._given.get("execution_id_from", [])
        if not isinstance(columns, list) or not all(isinstance(name, str) and name for name in columns):
            raise self._wrong("execution_id_from", columns, 'write a list of columns: ["Session", "Start"]')
        return tuple(columns)

    def _words(self, name: str, meanings: tuple[str, ...]) -> Words:
        """Our own words mean what they say where the file says nothing else."""
        table = self._table(name, (*meanings, "otherwise"))
        otherwise = table.get("otherwise")
        if otherwise is not None and otherwise not in meanings:
            raise self._wrong(f"{name}.otherwise", otherwise, f"write one of {', '.join(meanings)}")
        known = {meaning.casefold(): meaning for meaning in meanings}
        said: dict[str, str] = {}
        for meaning in meanings:
            words = table.get(meaning, [])
            words = words if isinstance(words, list) else [words]
            for word in words:
                if isinstance(word, (dict, list)):
                    raise self._wrong(f"{name}.{meaning}", word, 'write a list of words: ["OK", "Done"]')
                text = _word(word)
                if said.setdefault(text, meaning) != meaning:
                    raise self._wrong(f"{name}.{meaning}", word, f"it means {said[text]} already")
        return Words(meanings=known | said, otherwise=otherwise)

    def _zone(self, name: str) -> tzinfo | None:
        try:
            return time_zone(name)
        except SettingsError as error:
            raise SettingsError(f"the mapping {self._path}: {error}") from None

    def _unit(self) -> float | None:
        unit = self._table("durations", ("unit",)).get("unit", "s")
        if unit == "h:mm:ss":
            return None
        if unit not in UNITS_US:
            raise self._wrong("durations.unit", unit, f"write one of {', '.join(UNITS_US)}, h:mm:ss")
        return UNITS_US[unit]

    def _wrong(self, name: str, value: object, what: str) -> SettingsError:
        shown = f" is {str(value)[:60]!r}" if value != "" else ""
        return SettingsError(f"the mapping {self._path}: {name}{shown}: {what}")

    def _missing(self, what: str) -> SettingsError:
        return SettingsError(f"the mapping {self._path} lacks {what}")


def _fields_of(kind: str) -> list[str]:
    """What a mapping may name."""
    names = [name.removesuffix("_us") for name in FIELDS[kind] if name not in (*_OURS, "source")]
    return [*names, DURATION]


def _word(word: object) -> str:
    """As it stands in a CSV file, and as JSON's true, false and numbers are compared."""
    text = str(word).lower() if isinstance(word, bool) else str(word)
    return text.strip().casefold()
