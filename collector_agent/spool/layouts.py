"""Values that another version of the agent wrote, in today's order; standard library only.

Fields are matched by name. What is missing gets the record's default. What today's records do not know
may be left out where it says nothing (None, '', 0, False); else the row has to wait for an agent that
knows it.
"""

from collections.abc import Sequence
from dataclasses import MISSING, fields
from functools import lru_cache
from typing import Any, Final

from analytics_lib.record_values import FIELDS
from analytics_lib.records import RECORD_TYPES

Names = dict[str, tuple[str, ...]]
_REQUIRED: Final = object()


def _default_of(field: Any) -> Any:
    if field.default is not MISSING:
        return field.default
    return _REQUIRED if field.default_factory is MISSING else ""  # the default of attributes: no text


_DEFAULTS: Final = {
    record_type.kind: tuple(map(_default_of, fields(record_type))) for record_type in RECORD_TYPES
}


def todays_values(kind: object, values: Sequence[Any], names: Names) -> tuple[list[Any] | None, str]:
    """The values in the order of today's FIELDS; None with the reason where that would lose something."""
    if not isinstance(kind, str) or kind not in FIELDS:
        return None, f"unknown kind of record: {str(kind)[:100]!r}"
    theirs = names.get(kind)
    if theirs is None or len(theirs) != len(values):
        return None, f"{len(values)} values of {kind}, which do not fit the segment's header"
    if theirs == FIELDS[kind]:
        return list(values), ""
    sources, unknown = _mapping(kind, theirs)
    for at in unknown:
        if values[at]:
            return None, f"{kind}.{theirs[at][:100]} is not known to this version"
    mapped = [values[at] if at >= 0 else default for at, default in sources]
    if _REQUIRED in mapped:
        missing = FIELDS[kind][mapped.index(_REQUIRED)]
        return None, f"{kind}.{missing} is not given"
    return mapped, ""


@lru_cache(maxsize=256)
def _mapping(kind: str, theirs: tuple[str, ...]) -> tuple[tuple[tuple[int, Any], ...], tuple[int, ...]]:
    """(position among theirs or -1, default) of each of today's fields; the positions of unknown ones."""
    at = {name: position for position, name in enumerate(theirs)}
    sources = tuple(
        (at.get(name, -1), default) for name, default in zip(FIELDS[kind], _DEFAULTS[kind], strict=True)
    )
    return sources, tuple(position for name, position in at.items() if name not in FIELDS[kind])
