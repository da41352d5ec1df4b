"""The records' checks for a whole column of values at once, at C speed, of what is obviously valid.

A check gives the column as it is stored, or None where some value needs a closer look, by `record_of`:
one that is wrong, and also one that the record would change or whose check is not worth repeating here.
That both agree on everything that passes is a property test's business.
"""

import re
from collections.abc import Callable, Sequence
from functools import lru_cache
from itertools import repeat
from math import isfinite
from typing import Any, Final, NamedTuple

from analytics_lib import records
from analytics_lib.errors import RecordError
from analytics_lib.record_values import attributes_of, attributes_text

EARLIEST_US: Final = 315_532_800 * 1_000_000  # 1980, as the records say
LATEST_US: Final = 253_402_300_800 * 1_000_000 - 1  # the end of the year 9999
LARGEST: Final = 9e18
_CONTROL: Final = re.compile("[\0-\x1f\x7f]")
_LONG_TEXT: Final = 2_000


class Column(NamedTuple):
    """A column's values as they are stored, and how they look in a list's `repr`: `pattern % shown`."""

    values: Sequence[Any]
    shown: Sequence[Any]
    pattern: str
    is_constant: bool = False


ColumnCheck = Callable[[tuple[Any, ...]], Column | None]


def column_check(check: records.Check) -> ColumnCheck:
    """The check of a column whose values a record checks by this."""
    if isinstance(check, records.OrNone):
        return _or_none(column_check(check.check))
    if isinstance(check, records.Text):
        return _text(check)
    if isinstance(check, records.OneOf):
        return _one_of(frozenset(check.allowed))
    return _SINGLE[check]


def _text(check: records.Text) -> ColumnCheck:
    limit_bytes, required = check.limit_bytes, check.required
    has_unwanted = (lambda text: "\0" in text) if check.block else _CONTROL.search

    def column_of(values: tuple[Any, ...]) -> Column | None:
        distinct = _distinct(values)  # most columns repeat themselves
        if distinct is None or set(map(type, distinct)) != {str}:
            return None
        text = "".join(distinct)
        is_printable = text.isprintable()
        longest = max(map(len, distinct))
        if not (is_printable and text.isascii()):
            try:
                text.encode()
            except UnicodeEncodeError:
                return None
            if has_unwanted(text):
                return None
            if longest * 4 > limit_bytes:
                longest = max(len(value.encode()) for value in distinct)
        if longest > limit_bytes or (required and "" in distinct):
            return None
        as_it_is = is_printable and "'" not in text and "\\" not in text
        return Column(values, values, "'%s'" if as_it_is else "%r", len(distinct) == 1)

    return column_of


def _distinct(values: tuple[Any, ...]) -> set[Any] | None:
    try:
        return set(values)
    except TypeError:  # a list, a dict
        return None


def _one_of(allowed: frozenset[str]) -> ColumnCheck:
    def column_of(values: tuple[Any, ...]) -> Column | None:
        distinct = _distinct(values)
        if distinct is None or not distinct <= allowed:
            return None
        return Column(values, values, "'%s'", len(distinct) == 1)

    return column_of


def _whole_numbers(smallest: int, largest: float) -> ColumnCheck:
    def column_of(values: tuple[Any, ...]) -> Column | None:
        if set(map(type, values)) != {int}:  # by type: True and 1.0 are equal to 1
            return None
        low, high = min(values), max(values)
        if low < smallest or high > largest:
            return None
        return Column(values, values, "%s", low == high)

    return column_of


def _numbers(smallest: float) -> ColumnCheck:
    def column_of(values: tuple[Any, ...]) -> Column | None:
        types = set(map(type, values))
        if not types <= {int, float} or not min(values) >= smallest or not max(values) <= LARGEST:
            return None
        numbers: Sequence[float] = list(map(float, values)) if int in types else values
        if not all(map(isfinite, numbers)):  # a NaN can hide from min and max
            return None
        return Column(numbers, list(map(round, numbers, repeat(3))), "%r")

    return column_of


def _or_none(inner: ColumnCheck) -> ColumnCheck:
    def column_of(values: tuple[Any, ...]) -> Column | None:
        types = set(map(type, values))
        if type(None) not in types:
            return inner(values)
        if len(types) == 1:
            return Column(values, values, "%s", is_constant=True)
        present = tuple(value for value in values if value is not None)
        column = inner(present)
        if column is None:
            return None
        stored, shown = iter(column.values), iter(column.shown)
        return Column(
            [None if value is None else next(stored) for value in values],
            [None if value is None else next(shown) for value in values],
            "%r",
        )

    return column_of


def _flags(values: tuple[Any, ...]) -> Column | None:
    return Column(values, values, "%s") if set(map(type, values)) == {bool} else None


@lru_cache(maxsize=256)
def _is_well_written(text: str) -> bool:
    try:
        return attributes_text(records.check_attributes(None, "attributes", attributes_of(text))) == text
    except RecordError:
        return False


def _attributes(values: tuple[Any, ...]) -> Column | None:
    if set(map(type, values)) != {str} or max(map(len, values)) > _LONG_TEXT:
        return None
    return Column(values, values, "%r") if all(map(_is_well_written, set(values))) else None


_SINGLE: Final[dict[records.Check, ColumnCheck]] = {
    records.check_time: _whole_numbers(EARLIEST_US, LATEST_US),
    records.check_count: _whole_numbers(0, LARGEST),
    records.check_number: _numbers(0),
    records.check_offset: _numbers(-LARGEST),
    records.check_flag: _flags,
    records.check_attributes: _attributes,
    records.check_message: _text(records.Text(records.MESSAGE_BYTES, block=True)),  # longer ones are cut
}
