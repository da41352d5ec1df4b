"""Rows as people and machines read them: what stands in them, what was masked, what was left out."""

import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Any, Final

from analytics_lib.record_values import FIELDS
from collector_agent.redaction.fields import KINDS
from collector_agent.redaction.policy import Redaction

Row = tuple[str, Sequence[Any]]
_LABEL: Final = re.compile("<(?:mail|card|iban|phone|id|number|hidden)>")
_PSEUDONYM: Final = re.compile("p-[bcdfghjklmnpqrst]{20}")
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_WIDTH: Final = 20


@dataclass(slots=True)
class PreviewedRow:
    """`masked`: by field, how often which label; `dropped`: what was left out since the row before."""

    kind: str
    values: dict[str, Any]
    masked: dict[str, dict[str, int]] = field(default_factory=dict)
    dropped: dict[str, int] = field(default_factory=dict)


def previewed(rows: Iterable[Row], redaction: Redaction, limit: int) -> Iterator[PreviewedRow]:
    """The first so many (0: all), each with its marks; the rest is not looked at."""
    before: Counter[str] = Counter(redaction.dropped)
    for kind, values in islice(rows, limit or None):
        named = dict(zip(FIELDS[kind], values, strict=True))
        masked = {name: marks for name, value in named.items() if (marks := _marks(value))}
        now = Counter(redaction.dropped)
        yield PreviewedRow(kind, named, masked, dict(now - before))
        before = now


def _marks(value: object) -> dict[str, int]:
    if not isinstance(value, str):
        return {}
    marks = Counter(_LABEL.findall(value))
    if pseudonyms := len(_PSEUDONYM.findall(value)):
        marks["pseudonym"] = pseudonyms
    return dict(marks)


def as_json(row: PreviewedRow) -> str:
    """One line: every field as it is sent."""
    return json.dumps(
        {"kind": row.kind, "values": row.values, "masked": row.masked, "dropped": row.dropped},
        ensure_ascii=False,
    )


def as_text(row: PreviewedRow) -> Iterator[str]:
    """A line for each field that says something, with what was masked in it behind."""
    yield f"{row.kind}: {KINDS.get(row.kind, '')}"
    for name, value in row.values.items():
        if value in ("", None, False) and not isinstance(value, (int, float)):
            continue
        if value is False:
            continue
        shown = _shown(name, value)
        marks = ", ".join(f"{n} {label}" for label, n in row.masked.get(name, {}).items())
        first, *further = shown.splitlines() or [""]
        yield f"  {name.removesuffix('_us'):<{_WIDTH}} {first}{f'   [{marks}]' if marks else ''}"
        for line in further:
            yield f"  {'':<{_WIDTH}} {line}"
    for what, times in row.dropped.items():
        yield f"  {'(left out)':<{_WIDTH}} {what}{f', {times} times' if times > 1 else ''}"


def _shown(name: str, value: Any) -> str:
    if name.endswith("_us") and isinstance(value, int):
        return (_EPOCH + timedelta(microseconds=value)).isoformat()
    if name == "attributes" and value:
        given = json.loads(value)
        return (
            "\n".join(f"{key} = {text}" for key, text in given.items())
            if isinstance(given, Mapping)
            else value
        )
    return str(value)
