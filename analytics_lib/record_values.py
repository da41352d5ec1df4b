"""Records as flat tuples of plain values and back: what a spool's frame holds and a table's row begins with.

The values stand in the order of the record's fields; times are microseconds UTC (`<name>_us`), attributes
are JSON text ('' for none). Nothing is lost either way. Standard library only: the robot's process spools.

>>> FIELDS["execution_heartbeat"]
('workflow_version', 'environment', 'robot_id', 'host', 'queue', 'execution_id', 'workflow_id', 'sent_at_us')
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields
from datetime import datetime
from operator import attrgetter
from typing import Any, Final, NamedTuple

from analytics_lib.errors import RecordError
from analytics_lib.records import RECORD_TYPES, Record
from analytics_lib.windows import from_us, to_us

Values = Sequence[Any]  # str | int | float | bool | None each

_SCALARS: Final = (str, int, float, bool, type(None))
_MOMENTS: Final = ("ended_at", "sampled_at", "sent_at", "received_at", "started_at")  # the first that it has


def attributes_text(attributes: Mapping[str, str]) -> str:
    """The one spelling of attributes as text, so that equal attributes are equal texts."""
    return json.dumps(attributes, ensure_ascii=False, separators=(",", ":")) if attributes else ""


def attributes_of(text: object) -> object:
    """What the text spells, unchecked. Raises RecordError where it is no JSON text."""
    if not isinstance(text, str):
        raise RecordError(f"attributes are {type(text).__name__}, not JSON text; write them as a JSON object")
    try:
        return json.loads(text) if text else {}
    except (ValueError, RecursionError):
        raise RecordError("attributes are no JSON text; write them as a JSON object of text") from None


def _time_us(moment: datetime | None) -> int | None:
    return None if moment is None else to_us(moment)


def _time_of(moment_us: object) -> object:
    if moment_us is None:
        return None  # the record itself knows whether it must have one
    if isinstance(moment_us, bool) or not isinstance(moment_us, int):
        raise RecordError(f"a time is {type(moment_us).__name__}, not a whole number of microseconds")
    try:
        return from_us(moment_us)
    except OverflowError:
        raise RecordError("a time lies beyond the year 9999; check the unit it came in") from None


class _Shape(NamedTuple):
    record_type: type[Record]
    names: tuple[str, ...]
    get: Callable[[Record], tuple[Any, ...]]
    to_plain: tuple[tuple[int, Callable[[Any], Any]], ...]  # at which position, and how
    to_field: tuple[tuple[int, Callable[[object], object]], ...]
    moment_at: int


def _shape(record_type: type[Record]) -> _Shape:
    own = fields(record_type)
    names = tuple(f.name for f in own)
    times = [at for at, f in enumerate(own) if "datetime" in str(f.type)]
    to_plain: list[tuple[int, Callable[[Any], Any]]] = [(at, _time_us) for at in times]
    to_field: list[tuple[int, Callable[[object], object]]] = [(at, _time_of) for at in times]
    if "attributes" in names:
        to_plain.append((names.index("attributes"), attributes_text))
        to_field.append((names.index("attributes"), attributes_of))
    moment = next(name for name in _MOMENTS if name in names)
    return _Shape(
        record_type, names, attrgetter(*names), tuple(to_plain), tuple(to_field), names.index(moment)
    )


_SHAPES: Final = {record_type.kind: _shape(record_type) for record_type in RECORD_TYPES}

FIELDS: Final[dict[str, tuple[str, ...]]] = {
    kind: tuple(
        f"{name}_us" if (at, _time_us) in shape.to_plain else name for at, name in enumerate(shape.names)
    )
    for kind, shape in _SHAPES.items()
}


def values_of(record: Record) -> tuple[Any, ...]:
    """The record's values, in the order of `FIELDS[record.kind]`."""
    shape = _SHAPES[record.kind]
    values = list(shape.get(record))
    for at, convert in shape.to_plain:
        values[at] = convert(values[at])
    return tuple(values)


def record_of(kind: str, values: Values) -> Record:
    """The record that these values describe, checked as every record is.

    Raises RecordError for whatever is wrong: an unknown kind, too few or too many values, wrong types,
    wild numbers, and all that the record itself refuses.
    """
    shape = _SHAPES.get(kind) if isinstance(kind, str) else None
    if shape is None:
        raise RecordError(f"unknown kind of record; use one of {', '.join(_SHAPES)}")
    if not isinstance(values, (list, tuple)):
        raise RecordError(f"{kind}: the values are {type(values).__name__}; give a list")
    if len(values) != len(shape.names):
        raise RecordError(
            f"{kind}: {len(values)} values, not {len(shape.names)}; give one for each of FIELDS[{kind!r}]"
        )
    given = list(values)
    for name, value in zip(FIELDS[kind], given, strict=True):
        if not isinstance(value, _SCALARS):
            raise RecordError(f"{kind}.{name} is {type(value).__name__}; give text, a number, a flag or None")
    for at, convert in shape.to_field:
        try:
            given[at] = convert(given[at])
        except RecordError as error:
            raise RecordError(f"{kind}.{FIELDS[kind][at]}: {error}") from None
    record: Record = shape.record_type(**dict(zip(shape.names, given, strict=True)))
    return record


def moment_us_of(kind: str, values: Values) -> int | None:
    """When it happened (ended, sampled, sent, received, started); None where that is not to be told."""
    shape = _SHAPES.get(kind) if isinstance(kind, str) else None
    if shape is None or len(values) <= shape.moment_at:
        return None
    moment_us = values[shape.moment_at]
    return moment_us if isinstance(moment_us, int) and not isinstance(moment_us, bool) else None
