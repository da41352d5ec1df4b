"""From what a lane found to rows with values in today's order; standard library only."""

import json
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any, Final

from analytics_lib.record_values import FIELDS
from collector_agent.spool.cursor import Cursor, Held, Position
from collector_agent.spool.frames import frame_of
from collector_agent.spool.lane import Found
from collector_agent.spool.layouts import Names, todays_values
from collector_agent.spool.segments import Segments

Record = tuple[str, list[Any]]

_LENGTHS: Final = {kind: len(names) + 1 for kind, names in FIELDS.items()}
_NO_ROW: Final = object()


@dataclass(slots=True)
class Aside:
    """What goes to the quarantine."""

    place: Position
    reason: str
    rows: int = 1
    record: tuple[str, list[Any]] | None = None
    names: tuple[str, ...] = ()
    raw: bytes | None = None


@dataclass(slots=True, eq=False)
class Batch:
    """Rows to deliver, in the order in which they were recorded; `SetReader.acknowledge` ends it."""

    records: list[Record]
    live: bool
    set_name: str
    end: Position  # how far the set is read with it
    places: list[Position] = field(default_factory=list)  # of each record
    asides: list[Aside] = field(default_factory=list)
    torn: int = 0
    missing: int = 0
    was_held: int = 0  # it is what was held, the first so many
    to_hold: list[Held] = field(default_factory=list)

    def where(self, index: int) -> str:
        """set/segment/offset of a record: what the quarantine names it by."""
        return where(self.set_name, self.places[index])

    def hold_back(self, held_kind: str) -> None:
        """Takes the records of a kind out, to be kept with the cursor."""
        if not any(kind == held_kind for kind, _ in self.records):
            return
        records, places = self.records, self.places
        self.records, self.places = [], []
        for record, place in zip(records, places, strict=True):
            kind, values = record
            if kind == held_kind:
                self.to_hold.append(Held(place, kind, dict(zip(FIELDS[kind], values, strict=True))))
            else:
                self.records.append(record)
                self.places.append(place)


def where(set_name: str, place: Position) -> str:
    return f"{set_name}/{place[0]:08d}/{place[1]}"


def batch_of(found: Found, segments: Segments, *, live: bool, end: Position) -> Batch:
    """What was found, decoded; what cannot be is set aside."""
    batch = Batch([], live, segments.folder.name, end, torn=found.torn, missing=found.missing)
    batch.asides = [Aside(place, "damaged bytes", raw=damage) for place, damage in found.damages]
    rows = _decoded(found.payloads)
    start = 0
    for segment, group in groupby(place[0] for place in found.places):
        stop = start + sum(1 for _ in group)
        names = segments.names_in(segment)
        if names is None:
            _set_aside_unread(batch, found, start, stop)
        elif names is not FIELDS or not _take_todays(batch, rows[start:stop], found.places[start:stop]):
            for at in range(start, stop):
                _take(batch, rows[at], found.places[at], found.payloads[at], names)
        start = stop
    return batch


def held_batch(cursor: Cursor, rows: int) -> Batch:
    """The first of what was held: everything before it is delivered now."""
    held = cursor.held[:rows]
    batch = Batch([], False, cursor.set_name, cursor.live, was_held=len(held))
    for one in held:
        names, values = tuple(one.values), list(one.values.values())
        todays, reason = todays_values(one.kind, values, {one.kind: names})
        if todays is None:
            batch.asides.append(Aside(one.place, reason, record=(one.kind, values), names=names))
        else:
            batch.records.append((one.kind, todays))
            batch.places.append(one.place)
    return batch


def _decoded(payloads: list[bytes]) -> list[Any]:
    """Each payload's JSON, _NO_ROW where it is none. All at once is three times faster than one by one."""
    try:
        rows: list[Any] = json.loads(b"[%b]" % b",".join(payloads))
        if len(rows) == len(payloads):
            return rows
    except (ValueError, RecursionError):
        pass
    return [_decoded_alone(payload) for payload in payloads]


def _decoded_alone(payload: bytes) -> Any:
    try:
        return json.loads(payload)
    except (ValueError, RecursionError):
        return _NO_ROW


def _take_todays(batch: Batch, rows: list[Any], places: list[Position]) -> bool:
    """Takes rows of today's fields, the usual case, quickly; False where one is not as it should be."""
    lengths = _LENGTHS
    records = []
    try:
        for row in rows:
            kind = row[0]
            if lengths[kind] != len(row):
                return False
            records.append((kind, row[1:]))
    except (KeyError, IndexError, TypeError):
        return False
    batch.records += records
    batch.places += places
    return True


def _take(batch: Batch, row: Any, place: Position, payload: bytes, names: Names) -> None:
    if type(row) is not list or not row:
        batch.asides.append(Aside(place, "no JSON array of a kind and values", raw=payload))
        return
    kind, values = row[0], row[1:]
    mapped, reason = todays_values(kind, values, names)
    if mapped is not None:
        batch.records.append((kind, mapped))
        batch.places.append(place)
    elif isinstance(kind, str):
        batch.asides.append(Aside(place, reason, record=(kind, values), names=names.get(kind, ())))
    else:
        batch.asides.append(Aside(place, reason, raw=payload))


def _set_aside_unread(batch: Batch, found: Found, start: int, stop: int) -> None:
    raw = b"".join(map(frame_of, found.payloads[start:stop]))
    reason = "no header of its set can be read, so nobody knows what the values mean"
    batch.asides.append(Aside(found.places[start], reason, rows=stop - start, raw=raw))
