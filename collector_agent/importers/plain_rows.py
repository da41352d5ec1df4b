"""Rows as plain values, for importers of much: a record's checks are left to the store, which does them by
whole columns and quarantines what fails them.

>>> row = plain_row("execution_heartbeat", {"execution_id": "7", "workflow_id": "Pay", "sent_at_us": 1})
>>> row
('execution_heartbeat', ('', '', '', '', '', '7', 'Pay', 1))
"""

from collections.abc import Callable, Mapping
from dataclasses import MISSING, fields
from operator import itemgetter
from typing import Any, Final

from analytics_lib.record_values import FIELDS
from analytics_lib.records import RECORD_TYPES, Record

Row = tuple[str, tuple[Any, ...]]  # kind, and the values in the order of FIELDS[kind]


def _defaults(record_type: type[Record]) -> dict[str, Any]:
    """None for what must be given."""
    given = {f.name: None if f.default is MISSING else f.default for f in fields(record_type)}
    if "attributes" in given:
        given["attributes"] = ""
    return {name: given.get(name) for name in FIELDS[record_type.kind]}


DEFAULTS: Final = {record_type.kind: _defaults(record_type) for record_type in RECORD_TYPES}
_values_of: Final[dict[str, Callable[[Mapping[str, Any]], tuple[Any, ...]]]] = {
    kind: itemgetter(*FIELDS[kind]) for kind in DEFAULTS
}


def plain_row(kind: str, *given: Mapping[str, Any]) -> Row:
    """The row of these fields, later ones before earlier ones; names as in `FIELDS[kind]`, times in µs."""
    values = DEFAULTS[kind].copy()
    for some in given:
        values.update(some)
    return kind, _values_of[kind](values)


def value_of(row: Row, name: str) -> Any:
    """One field of a row."""
    return row[1][FIELDS[row[0]].index(name)]
