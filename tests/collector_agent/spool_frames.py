"""What is in a spool, read frame by frame: not by the reader that other tests are about."""

import json
from pathlib import Path

from analytics_lib.record_values import record_of
from analytics_lib.records import Record
from collector_agent.spool.frames import read_frames


def records_in(folder: Path) -> list[Record]:
    """What all sets of the spool hold, in the order in which each was written."""
    return [record for segment in sorted(folder.glob("*/*.seg")) for record in records_of(segment)]


def records_of(segment: Path) -> list[Record]:
    payloads, _, end = read_frames(segment.read_bytes(), 0, 1 << 30)
    assert end == segment.stat().st_size
    assert all(payload.isascii() for payload in payloads)
    return [record_of(kind, values) for kind, *values in map(json.loads, payloads[1:])]
