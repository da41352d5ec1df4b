"""The cap of a spool folder: what goes first, what stays, and that it is counted once."""

from pathlib import Path

import pytest

from collector_agent.spool import set_reader
from collector_agent.spool.capacity import drop_oldest, spool_bytes
from collector_agent.spool.reader import look_at, open_set, sets_in
from collector_agent.spool.writer import SpoolLimits, SpoolWriter
from tests.collector_agent.spool.disk import ROOT, Disk
from tests.collector_agent.spool.rows import Database, payload, row, ship_all

pytestmark = pytest.mark.portable
SPOOL = ROOT / "spool"
SMALL = SpoolLimits(segment_bytes=2_400)  # five rows each


@pytest.fixture
def disk() -> Disk:
    return Disk()


def recorded(disk: Disk, *keys: int, folder: Path = SPOOL) -> SpoolWriter:
    spool = SpoolWriter(folder, limits=SMALL, files=disk)
    for key in keys:
        assert spool.append(payload(row(key)))
    return spool


def left(disk: Disk) -> list[int]:
    database = Database()
    ship_all(SPOOL, database, disk)
    return [int(key.removeprefix("e")) for key in database.rows]


def test_where_everything_fits_nothing_goes(disk: Disk) -> None:
    assert (spool_bytes(SPOOL, disk), drop_oldest(SPOOL, 0, disk)) == (0, 0)
    recorded(disk, *range(12)).close()
    whole = spool_bytes(SPOOL, disk)
    assert 6_500 < whole < 7_500
    assert drop_oldest(SPOOL, whole, disk) == 0
    assert len(left(disk)) == 12


def test_the_oldest_segments_of_all_sets_go_whichever_set_began_first(disk: Disk) -> None:
    daemon = recorded(disk, 0)  # began first, and is still at it
    recorded(disk, *range(10, 20)).close()
    for key in range(1, 12):
        assert daemon.append(payload(row(100 + key)))
    daemon.close()
    too_many = spool_bytes(SPOOL, disk) - 2 * 2_300
    assert drop_oldest(SPOOL, too_many, disk) == 0
    assert sorted(left(disk)) == [0, *range(101, 112)]


def test_the_segment_that_is_appended_to_stays(disk: Disk) -> None:
    spool = recorded(disk, *range(12))
    assert drop_oldest(SPOOL, 100, disk) > 2_000
    assert spool.append(payload(row(12)))
    spool.close()
    assert left(disk) == [10, 11, 12]


def test_a_set_that_somebody_reads_is_left_alone(disk: Disk) -> None:
    recorded(disk, *range(12)).close()
    [folder] = sets_in(SPOOL, disk)
    reader = open_set(folder, disk)
    assert reader is not None
    whole = spool_bytes(SPOOL, disk)
    assert drop_oldest(SPOOL, 0, disk) == whole
    assert reader.next_batch(2, live=True) is not None
    assert reader.drop_oldest_segment() == 0  # a batch is out
    reader.close()
    assert drop_oldest(SPOOL, 0, disk) == 0
    assert left(disk) == []


def test_what_is_dropped_is_counted_once_and_what_was_delivered_is_not(disk: Disk) -> None:
    recorded(disk, *range(12)).close()
    [folder] = sets_in(SPOOL, disk)
    with open_set(folder, disk) as reader:  # type: ignore[union-attr]  # nobody else reads it
        batch = reader.next_batch(3, live=True)
        assert batch is not None
        assert reader.acknowledge(batch)
    drop_oldest(SPOOL, 4_000, disk)
    assert look_at(folder, disk).counters.dropped == 7
    drop_oldest(SPOOL, 4_000, disk)
    counters = look_at(folder, disk).counters
    assert (counters.delivered, counters.dropped, counters.missing) == (3, 7, 0)
    assert left(disk) == [10, 11]


def test_damage_in_what_is_dropped_counts_too(disk: Disk) -> None:
    recorded(disk, *range(12)).close()
    [folder] = sets_in(SPOOL, disk)
    path = folder / "00000001.seg"
    disk.put(path, disk.content(path).replace(b"e2", b"e?"))
    drop_oldest(SPOOL, 5_000, disk)
    assert look_at(folder, disk).counters.dropped == 5


def test_drops_from_a_backlog_take_its_oldest_rows(disk: Disk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(set_reader, "FAR_BEHIND_BYTES", 3_000)
    spool = recorded(disk, *range(12))
    [folder] = sets_in(SPOOL, disk)
    with open_set(folder, disk) as reader:  # type: ignore[union-attr]  # nobody else reads it
        assert reader.next_batch(3, live=True) is None
        batch = reader.next_batch(2, live=False)
        assert batch is not None
        assert reader.acknowledge(batch)
    assert spool.append(payload(row(12)))
    drop_oldest(SPOOL, 5_000, disk)
    assert look_at(folder, disk).counters.dropped == 3
    spool.close()
    drop_oldest(SPOOL, 0, disk)  # the rest of the backlog and the newest rows share the last segment
    assert look_at(folder, disk).counters.dropped == 11
    assert left(disk) == []


def test_a_drop_that_cannot_be_noted_does_not_happen(disk: Disk) -> None:
    recorded(disk, *range(12)).close()
    whole = spool_bytes(SPOOL, disk)

    def fail(what: str) -> None:
        if what in ("write_over", "sync"):
            raise OSError("disk full")

    disk.fault = fail
    assert drop_oldest(SPOOL, 0, disk) == whole
    disk.fault = lambda what: None
    assert left(disk) == list(range(12))


def test_a_set_that_is_not_ours_does_not_keep_others_from_going(disk: Disk) -> None:
    for first in (0, 20, 40):
        recorded(disk, *range(first, first + 10)).close()
    theirs, theirs_too, _ = sets_in(SPOOL, disk)
    real_lock, real_listing = disk.lock, disk.listing

    def lock(path: Path, **given: bool) -> int | None:
        if path.parent == theirs:
            raise PermissionError("not yours")
        return real_lock(path, **given)

    def listing(folder: Path) -> dict[str, tuple[int, int]]:
        if folder == theirs_too:
            raise PermissionError("not yours")
        return real_listing(folder)

    disk.lock, disk.listing = lock, listing  # type: ignore[method-assign, assignment]  # of this disk alone
    assert drop_oldest(SPOOL, 0, disk) > 4_000
    disk.lock, disk.listing = real_lock, real_listing  # type: ignore[method-assign]  # as it was
    assert len(left(disk)) == 20
