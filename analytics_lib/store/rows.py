"""Records to table rows and back: the only place that knows how a record is laid out in a table."""

import hashlib
import json
import re
import zlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from functools import lru_cache
from operator import itemgetter
from struct import unpack
from typing import Any, Final

from sqlalchemy import Column, DefaultClause, Double

from analytics_lib.catalog import TIME_COLUMN
from analytics_lib.record_values import FIELDS, record_of, values_of
from analytics_lib.records import BUCKETS, RECORD_TYPES, QuarantinedRecord, Record
from analytics_lib.schema import RAW_TABLES
from analytics_lib.windows import HOUR_US

Row = tuple[Any, ...]
NO_DEFAULT: Final = object()
_CONTROL: Final = re.compile("[\0-\x1f\x7f]")


@lru_cache(maxsize=4096)
def bucket_of(key: str) -> int:
    """The shard of a workflow (for samples: a host): crc32 mod 16, the same everywhere and for ever."""
    return zlib.crc32(key.encode()) % BUCKETS


_EMPTY_HASH: Final = hashlib.blake2b(digest_size=8)  # copied: reading the argument costs as much as hashing


def hashes_of(texts: Iterable[str]) -> tuple[int, ...]:
    """Signed 64 bits of each text that says what happened."""
    digests = []
    for text in texts:
        content = _EMPTY_HASH.copy()
        content.update(text.encode("utf-8", "surrogatepass"))
        digests.append(content.digest())
    return unpack(f">{len(digests)}q", b"".join(digests))


@dataclass(frozen=True)
class Layout:
    """How one kind of record fills its table."""

    kind: str
    table: str
    columns: tuple[str, ...]
    natural_key: tuple[str, ...]  # what makes two rows the same; without the partitions' time
    defaults: tuple[Any, ...]  # what the database fills in itself; `NO_DEFAULT` where it does not
    has_execution: bool
    marked: bool  # whether its arrival concerns the rollups
    facts_at: tuple[int, ...]  # the values that the content hash is made of
    shard_at: int  # the value that the bucket is made of
    to_row: Callable[[Record], Row]
    from_row: Callable[[Mapping[str, Any]], Record]

    def position(self, column: str) -> int:
        return self.columns.index(column)

    def marks_of(self, rows: Sequence[Row]) -> set[tuple[int, int]]:
        """(hour, bucket) of marked rows."""
        moment_at = self.position(TIME_COLUMN[self.kind])  # type: ignore[index]  # marked kinds are sources
        bucket_at = self.position("bucket")
        hours = {(row[moment_at] // HOUR_US, row[bucket_at]) for row in rows}
        return {(hour * HOUR_US, bucket) for hour, bucket in hours}


def _default_of(column: Column[Any]) -> Any:
    if column.nullable:
        return None
    given = column.server_default
    return "" if isinstance(given, DefaultClause) and given.arg == "" else NO_DEFAULT


def _layout(record_type: type[Record]) -> Layout:
    kind = record_type.kind
    table = RAW_TABLES[kind]
    own = FIELDS[kind]
    computed = [column.name for column in table.columns if column.name not in own]
    facts_at = [at for at, f in enumerate(fields(record_type)) if not f.metadata["context"]]
    facts_of = itemgetter(*facts_at)
    numbers_at = [at for at, fact in enumerate(facts_at) if isinstance(table.c[own[fact]].type, Double)]
    shard_at = own.index("workflow_id" if "workflow_id" in own and kind != "resource" else "host")
    flags = [own.index(name) for name in own if name.endswith(("_skewed", "_truncated"))]

    def to_row(record: Record) -> Row:
        values = values_of(record)
        facts = [*facts_of(values)]
        if computed != ["bucket", "content_hash"]:
            return (*values, hashlib.blake2b(repr(facts[:3]).encode(), digest_size=16).hexdigest())
        for at in numbers_at:  # at 1e-3, so that two roundings of one time agree
            if isinstance(facts[at], float):
                facts[at] = round(facts[at], 3)
        return (*values, bucket_of(values[shard_at]), *hashes_of([repr(facts)]))

    def from_row(row: Mapping[str, Any]) -> Record:
        values = [row[name] for name in own]
        for at in flags:
            values[at] = bool(values[at])  # SQLite's are 0 and 1
        return record_of(kind, values)

    key = tuple(column.name for column in table.primary_key.columns)
    if kind == "step":
        key = tuple(name for name in key if name != "ended_at_us")
    return Layout(
        kind=kind,
        table=table.name,
        columns=(*own, *computed),
        natural_key=key,
        defaults=tuple(_default_of(table.c[name]) for name in (*own, *computed)),
        has_execution="execution_id" in key,
        marked=kind in TIME_COLUMN,
        facts_at=tuple(facts_at),
        shard_at=shard_at,
        to_row=to_row,
        from_row=from_row,
    )


LAYOUTS: Final[dict[str, Layout]] = {record_type.kind: _layout(record_type) for record_type in RECORD_TYPES}


def show_payload(value: object) -> str:
    """JSON text of anything, for the quarantine: cut to fit, clean enough for every database."""
    if isinstance(value, RECORD_TYPES):
        value = {f.name: getattr(value, f.name) for f in fields(value)}
    try:
        text = json.dumps(value, default=str)
    except Exception:  # noqa: BLE001  # whatever the value's own code raises
        text = json.dumps(_shown(value)[:10_000])
    return text if len(text) <= 60_000 else json.dumps(text[:50_000])


def quarantined(value: object, reason: str, now: datetime) -> QuarantinedRecord:
    """The record that keeps a row aside with its reason."""
    kind = getattr(value, "kind", None)
    return _quarantined(kind or type(value).__name__, value, getattr(value, "host", ""), reason, now)


def quarantined_values(kind: object, values: object, reason: str, now: datetime) -> QuarantinedRecord:
    """The same of values that make no record; they are shown with their names where these fit."""
    names = FIELDS.get(kind, ()) if isinstance(kind, str) else ()
    if not names or not isinstance(values, (list, tuple)) or len(values) != len(names):
        return _quarantined(kind, values, "", reason, now)
    named = dict(zip(names, values, strict=True))
    return _quarantined(kind, named, named["host"], reason, now)


def _quarantined(
    kind: object, payload: object, host: object, reason: str, now: datetime
) -> QuarantinedRecord:
    return QuarantinedRecord(
        record_kind=_name(kind),
        reason=_clean(reason, 1500),
        payload=show_payload(payload),
        received_at=now,
        host=_name(host),
    )


def _name(value: object) -> str:
    return _CONTROL.sub("\ufffd", _clean(value if isinstance(value, str) else type(value).__name__, 50))


def _clean(text: str, longest: int) -> str:
    return text[:longest].encode(errors="replace").decode().replace("\0", "\ufffd")


def _shown(value: object) -> str:
    try:
        return repr(value)
    except Exception:  # noqa: BLE001  # a value's own code, or a number of too many digits
        return f"a {type(value).__name__} that cannot be shown"
