"""Records to table rows and back: the only place that knows how a record is laid out in a table."""

import hashlib
import json
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from functools import lru_cache
from typing import Any, Final

from analytics_lib.catalog import TIME_COLUMN
from analytics_lib.records import BUCKETS, RECORD_TYPES, QuarantinedRecord, Record
from analytics_lib.schema import RAW_TABLES
from analytics_lib.windows import from_us, hour_of, to_us

Row = tuple[Any, ...]


@lru_cache(maxsize=4096)
def bucket_of(key: str) -> int:
    """The shard of a workflow (for samples: a host): crc32 mod 16, the same everywhere and for ever."""
    return zlib.crc32(key.encode()) % BUCKETS


def _to_time(moment: datetime | None) -> int | None:
    return None if moment is None else to_us(moment)


def _to_json(mapping: Mapping[str, str]) -> str:
    return json.dumps(mapping, ensure_ascii=False, separators=(",", ":")) if mapping else ""


def _from_json(text: str) -> Mapping[str, str]:
    return json.loads(text) if text else {}


def _hash(facts: Sequence[Any]) -> int:
    """Signed 64 bits over what happened; floats at 1e-3 so that two roundings of one time agree."""
    content = repr([round(fact, 3) if isinstance(fact, float) else fact for fact in facts])
    digest = hashlib.blake2b(content.encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return int.from_bytes(digest, "big", signed=True)


@dataclass(frozen=True)
class Layout:
    """How one kind of record fills its table."""

    kind: str
    record_type: type[Record]
    table: str
    columns: tuple[str, ...]
    natural_key: tuple[str, ...]  # what makes two rows the same; without the partitions' time
    has_execution: bool
    marked: bool  # whether its arrival concerns the rollups
    to_row: Callable[[Record], Row]
    from_row: Callable[[Mapping[str, Any]], Record]

    def position(self, column: str) -> int:
        return self.columns.index(column)

    def mark_of(self, row: Row) -> tuple[int, int]:
        """(hour, bucket) of a marked row."""
        return hour_of(row[self.position(TIME_COLUMN[self.kind])]), row[self.position("bucket")]  # type: ignore[index]  # marked kinds are sources


def _layout(record_type: type[Record]) -> Layout:
    table = RAW_TABLES[record_type.kind]
    columns = [column.name for column in table.columns]
    own = list(fields(record_type))
    converters: dict[str, Callable[[Any], Any]] = {}
    back: dict[str, Callable[[Any], Any]] = {}
    column_of: dict[str, str] = {}
    for f in own:
        if f.name in columns:
            column_of[f.name] = f.name
        else:
            column_of[f.name] = f"{f.name}_us"
            converters[f.name] = _to_time
            back[f.name] = lambda value: None if value is None else from_us(value)
    if "attributes" in column_of:
        converters["attributes"] = _to_json
        back["attributes"] = _from_json
    for column in table.columns:
        if column.name.endswith(("_skewed", "_truncated")):
            back[column.name] = bool
    shard_field = "workflow_id" if "workflow_id" in column_of and record_type.kind != "resource" else "host"
    plan = [(f.name, converters.get(f.name), not f.metadata["context"]) for f in own]
    by_record = [column_of[f.name] for f in own]
    computed = [column for column in columns if column not in by_record]

    def to_row(record: Record) -> Row:
        row: list[Any] = []
        facts: list[Any] = []
        for name, convert, is_fact in plan:
            value = getattr(record, name)
            if convert is not None:
                value = convert(value)
            row.append(value)
            if is_fact:
                facts.append(value)
        if computed == ["bucket", "content_hash"]:
            row += (bucket_of(getattr(record, shard_field)), _hash(facts))
        else:
            row.append(hashlib.blake2b(repr(facts[:3]).encode(), digest_size=16).hexdigest())
        return tuple(row)

    def from_row(row: Mapping[str, Any]) -> Record:
        values = {name: row[column] for name, column in column_of.items()}
        for name, convert in back.items():
            values[name] = convert(values[name])
        return record_type(**values)

    key = tuple(column.name for column in table.primary_key.columns)
    if record_type.kind == "step":
        key = tuple(name for name in key if name != "ended_at_us")
    return Layout(
        kind=record_type.kind,
        record_type=record_type,
        table=table.name,
        columns=(*by_record, *computed),
        natural_key=key,
        has_execution="execution_id" in key,
        marked=record_type.kind in TIME_COLUMN,
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
    except (TypeError, ValueError, RecursionError):
        text = json.dumps(repr(value)[:10_000])
    return text if len(text) <= 60_000 else json.dumps(text[:50_000])


def quarantined(value: object, reason: str, now: datetime) -> QuarantinedRecord:
    """The record that keeps a row aside with its reason."""
    kind = getattr(value, "kind", None)
    return QuarantinedRecord(
        record_kind=kind if isinstance(kind, str) else type(value).__name__[:50],
        reason=reason[:1500].encode(errors="replace").decode().replace("\0", "\ufffd"),
        payload=show_payload(value),
        received_at=now,
        host=str(getattr(value, "host", ""))[:50],
    )
