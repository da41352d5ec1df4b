"""The cursor: whatever happens to its files, it never points past what was delivered."""

from dataclasses import replace
from pathlib import Path

import pytest

from collector_agent.spool import cursor as cursors
from collector_agent.spool.cursor import Counters, Cursor, Held
from collector_agent.spool.files import REAL
from tests.collector_agent.spool.disk import ROOT, Disk

pytestmark = pytest.mark.portable

FULL = Cursor(
    set_name="disk",
    live=(7, 100),
    gaps=[((1, 20), (2, 0)), ((4, 5), (4, 60))],
    held=[Held((6, 10), "agent_heartbeat", {"agent_id": "a", "problem": "Ümlaut"})],
    counters=Counters(delivered=5, quarantined=1, dropped=2, torn=3, missing=4, superseded=6),
)


def saved(cursor: Cursor, *, durable: bool = False) -> Disk:
    disk = Disk()
    cursors.save(cursor, ROOT, disk, durable=durable)
    return disk


@pytest.mark.parametrize("durable", [True, False])
def test_what_was_saved_is_loaded(durable: bool) -> None:
    assert cursors.load(ROOT, saved(replace(FULL), durable=durable)) == replace(FULL, number=1)


def test_it_is_saved_over_a_longer_one(tmp_path: Path) -> None:
    cursors.save(replace(FULL, set_name=tmp_path.name), tmp_path, REAL, durable=True)
    short = Cursor(tmp_path.name, live=(8, 0), number=1)
    cursors.save(short, tmp_path, REAL, durable=True)
    assert cursors.load(tmp_path, REAL) == short
    assert short.number == 2


def test_any_cut_or_flipped_bit_makes_it_unreadable_or_changes_nothing() -> None:
    data = cursors.encode(FULL)
    for at in range(len(data)):
        for damaged in [
            data[:at],
            *(data[:at] + bytes([data[at] ^ 1 << b]) + data[at + 1 :] for b in range(8)),
        ]:
            assert cursors.decode(damaged) in (None, FULL)


def test_when_one_file_is_damaged_the_other_one_counts() -> None:
    disk = saved(replace(FULL), durable=True)
    newer = Cursor("disk", live=(9, 9), number=1)
    cursors.save(newer, ROOT, disk, durable=False)
    assert cursors.load(ROOT, disk) == newer
    disk.put(ROOT / "cursor-recent.json", b"{")
    assert cursors.load(ROOT, disk) == replace(FULL, number=1)
    disk.put(ROOT / "cursor.json", b"")
    assert cursors.load(ROOT, disk) is None


def test_that_of_another_set_is_none() -> None:
    assert cursors.load(ROOT, saved(replace(FULL, set_name="another"))) is None


def test_a_later_format_is_none() -> None:
    text = cursors.encode(FULL).partition(b"\n")[0].replace(b'"format":1', b'"format":2')
    assert cursors.decode(b"%b\n%08x\n" % (text, cursors.crc32(text))) is None


def test_a_segment_is_needed_while_anything_in_it_or_behind_is_undelivered() -> None:
    assert [number for number in range(1, 10) if FULL.needs(number)] == [1, 4, 7, 8, 9]


def test_without_a_segment_everything_up_to_its_end_counts_as_delivered() -> None:
    assert FULL.without(1).undelivered() == [((4, 5), (4, 60)), ((7, 100), None)]
    assert FULL.without(4).undelivered() == [((7, 100), None)]
    assert FULL.without(7).undelivered() == [((8, 0), None)]
    assert replace(FULL, gaps=[((1, 20), (3, 5))]).without(2).undelivered()[0] == ((3, 0), (3, 5))
