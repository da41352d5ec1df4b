"""The reading side: what comes out, in which order, and what damaged files do to it."""

import json
import random
import sys
from pathlib import Path
from typing import Any

import pytest

from analytics_lib.record_values import FIELDS, values_of
from collector_agent.spool import lane, set_reader
from collector_agent.spool.batch import Batch
from collector_agent.spool.files import REAL
from collector_agent.spool.frames import frame_of
from collector_agent.spool.names import header, lock_of, segment_name
from collector_agent.spool.quarantine import LocalQuarantine
from collector_agent.spool.reader import SetReader, look_at, open_set, sets_in
from collector_agent.spool.writer import SpoolLimits, SpoolWriter
from tests.collector_agent.spool.disk import ROOT, Disk
from tests.collector_agent.spool.rows import Database, Row, key_of, payload, row, ship, ship_all, sign_of_life
from tests.faults.processes import exit_code, in_a_process
from tests.make import execution, sample, start, step

SPOOL = ROOT / "spool"
SMALL = SpoolLimits(segment_bytes=2_400)
portable = pytest.mark.portable
posix = pytest.mark.skipif(sys.platform == "win32", reason="no fork")


@pytest.fixture
def disk() -> Disk:
    return Disk()


@pytest.fixture
def spool(disk: Disk) -> SpoolWriter:
    return SpoolWriter(SPOOL, limits=SMALL, files=disk)


@pytest.fixture
def far_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    """After some rows, not after thousands; a header alone is about 2,000 bytes."""
    monkeypatch.setattr(set_reader, "FAR_BEHIND_BYTES", 3_500)


def record(to: SpoolWriter, *keys: int | str) -> None:
    for key in keys:
        assert to.append(payload(row(key)))


def opened(spool: SpoolWriter, disk: Disk) -> SetReader:
    assert spool.set_folder is not None
    reader = open_set(spool.set_folder, disk)
    assert reader is not None
    return reader


def keys(batch: Batch | None) -> list[str]:
    return [] if batch is None else [key_of(record) for record in batch.records]


def take(reader: SetReader, rows: int = 100, *, live: bool) -> list[str]:
    """The keys of the next batch, acknowledged."""
    batch = reader.next_batch(rows, live=live)
    if batch is not None:
        assert reader.acknowledge(batch)
    return keys(batch)


# --- in order --------------------------------------------------------------------------------------


@portable
def test_each_kind_of_record_comes_out_as_it_went_in(disk: Disk, spool: SpoolWriter) -> None:
    records = [execution("e", message="Ümläut \N{SNOWMAN}"), step("e", 1), sample(), start("e")]
    for one in records:
        assert spool.append(json.dumps([one.kind, *values_of(one)]).encode())
    batch = opened(spool, disk).next_batch(10, live=True)
    assert batch is not None
    assert batch.records == [(one.kind, list(values_of(one))) for one in records]


@portable
def test_batches_come_in_order_and_again_until_they_are_acknowledged(disk: Disk, spool: SpoolWriter) -> None:
    record(spool, *range(12))
    reader = opened(spool, disk)
    first = reader.next_batch(5, live=True)
    assert keys(first) == ["e0", "e1", "e2", "e3", "e4"]
    assert reader.next_batch(3, live=True) is first
    assert first is not None
    assert reader.acknowledge(first)
    assert not reader.acknowledge(first)
    assert take(reader, 5, live=True) == ["e5", "e6", "e7", "e8", "e9"]
    assert take(reader, 5, live=True) == ["e10", "e11"]
    assert take(reader, 5, live=True) == []
    record(spool, "new")
    assert take(reader, 5, live=True) == ["enew"]
    assert reader.state.counters.delivered == 13


@portable
def test_what_was_not_acknowledged_is_given_to_the_next_reader(disk: Disk, spool: SpoolWriter) -> None:
    record(spool, *range(6))
    with opened(spool, disk) as reader:
        take(reader, 2, live=True)
        assert keys(reader.next_batch(2, live=True)) == ["e2", "e3"]
    with opened(spool, disk) as reader:
        assert keys(reader.next_batch(9, live=True)) == ["e2", "e3", "e4", "e5"]
        assert reader.state.counters.delivered == 2


@portable
def test_delivered_segments_go_and_the_one_that_is_appended_to_stays(disk: Disk, spool: SpoolWriter) -> None:
    record(spool, *range(12))
    reader = opened(spool, disk)
    assert spool.set_folder is not None
    take(reader, 11, live=True)
    assert [name for name in disk.listing(spool.set_folder) if name.endswith(".seg")] == ["00000003.seg"]
    take(reader, live=True)
    assert not reader.is_finished
    assert not reader.remove()
    assert [name for name in disk.listing(spool.set_folder) if name.endswith(".seg")] == ["00000003.seg"]


@portable
def test_a_set_is_removed_when_its_writer_is_gone_and_everything_is_delivered(
    disk: Disk, spool: SpoolWriter
) -> None:
    record(spool, 1, 2)
    reader = opened(spool, disk)
    take(reader, 1, live=True)
    spool.close()
    assert not reader.is_finished
    take(reader, live=True)
    assert reader.is_finished
    assert reader.remove()
    assert disk.tree.entries[str(SPOOL)] == {}


@portable
def test_one_reads_a_set_at_a_time_and_others_look(disk: Disk, spool: SpoolWriter) -> None:
    record(spool, 1)
    assert spool.set_folder is not None
    reader = opened(spool, disk)
    assert open_set(spool.set_folder, disk) is None
    state = look_at(spool.set_folder, disk)
    assert (state.writer_is_alive, state.oldest_undelivered_at_us) == (True, row(1)[1][7])
    assert state.bytes_undelivered > 0
    take(reader, live=True)
    assert look_at(spool.set_folder, disk).bytes_undelivered == 0
    assert look_at(spool.set_folder, disk).oldest_undelivered_at_us is None
    reader.close()
    reader.close()
    assert open_set(spool.set_folder, disk) is not None


@portable
def test_the_oldest_undelivered_row_is_that_of_the_backlog(
    disk: Disk, spool: SpoolWriter, far_behind: None
) -> None:
    for key in range(20):
        assert spool.append(payload((row(key)[0], (*row(key)[1][:7], 1_795_000_000_000_000 + key))))
    reader = opened(spool, disk)
    take(reader, live=True)
    take(reader, 3, live=False)
    assert reader.state.oldest_undelivered_at_us == 1_795_000_000_000_003
    assert reader.has_backlog


@portable
def test_locks_of_writers_that_died_before_they_had_a_set_are_cleared_away(disk: Disk) -> None:
    disk.make_folders(SPOOL)
    dead, alive = SPOOL / "20261124T130512-1-3b5c6f30", SPOOL / "20261124T130512-2-3b5c6f30"
    for folder in (dead, alive):
        handle = disk.lock(lock_of(folder))
        if folder is dead:
            disk.unlock(handle)  # type: ignore[arg-type]  # nobody else has it
    disk.close(disk.create(SPOOL / "notes.lock"))
    assert sets_in(SPOOL, disk) == []
    assert len(disk.tree.entries[str(SPOOL)]) == 3  # it may be about to be a set
    disk.is_old = True
    assert sets_in(SPOOL, disk) == []
    assert set(disk.tree.entries[str(SPOOL)]) == {lock_of(alive).name, "notes.lock"}


@portable
def test_only_what_looks_like_a_set_is_one(tmp_path: Path) -> None:
    for name in ("quarantine", "20261124T130512-4711-3b5c6f30", ".new-x", "photos"):
        (tmp_path / name).mkdir()
    (tmp_path / "20261124T130512-4712-3b5c6f30").touch()
    assert [folder.name for folder in sets_in(tmp_path)] == ["20261124T130512-4711-3b5c6f30"]
    assert sets_in(tmp_path / "none") == []
    assert open_set(tmp_path / "none") is None


@posix
def test_a_forked_child_does_not_keep_what_its_parent_reads(tmp_path: Path) -> None:
    spool = SpoolWriter(tmp_path / "spool")
    record(spool, 1)
    assert spool.set_folder is not None
    reader = open_set(spool.set_folder)
    assert reader is not None

    def work() -> None:
        reader.reset_after_fork()
        assert spool.set_folder is not None
        assert open_set(spool.set_folder) is None  # its parent has it still

    assert exit_code(in_a_process(work)) == 0
    assert take(reader, live=True) == ["e1"]
    reader.close()
    spool.close()


@portable
def test_a_folder_that_may_not_be_read_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def deny(*_: object) -> None:
        raise PermissionError("not yours")

    (tmp_path / "20261124T130512-4711-3b5c6f30").mkdir()
    monkeypatch.setattr(REAL, "listing", deny, raising=False)
    with pytest.raises(PermissionError):
        open_set(tmp_path / "20261124T130512-4711-3b5c6f30")
    monkeypatch.undo()
    assert open_set(tmp_path / "20261124T130512-4711-3b5c6f30") is not None  # the lock was given up


@portable
def test_a_file_that_cannot_be_read_now_is_read_later(disk: Disk, spool: SpoolWriter) -> None:
    record(spool, *range(12))
    reader = opened(spool, disk)

    def fail(what: str) -> None:
        if what == "read":
            raise OSError("the disk hiccups")

    disk.fault = fail
    assert reader.next_batch(100, live=True) is None
    assert reader.last_error == "the disk hiccups"
    disk.fault = lambda what: None
    assert len(take(reader, live=True)) == 12


# --- live rows and backlogs ------------------------------------------------------------------------


@portable
def test_far_behind_the_newest_rows_come_first_and_the_backlog_beside_them(
    disk: Disk, spool: SpoolWriter, far_behind: None
) -> None:
    record(spool, *range(20))
    reader = opened(spool, disk)
    assert take(reader, live=True) == []
    assert reader.has_backlog
    assert take(reader, 3, live=False) == ["e0", "e1", "e2"]
    record(spool, "new")
    assert take(reader, live=True) == ["enew"]
    assert take(reader, 100, live=False) == [f"e{key}" for key in range(3, 20)]
    assert take(reader, live=False) == []
    assert not reader.has_backlog
    record(spool, "newer")
    assert take(reader, live=True) == ["enewer"]


@portable
def test_what_a_writer_left_that_is_long_gone_is_backlog_however_little_it_is(
    disk: Disk, spool: SpoolWriter, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else thousands of small sets, after a day without a store, would all be news."""
    record(spool, 1, 2, 3)
    reader = opened(spool, disk)
    assert take(reader, 1, live=True) == ["e1"]
    spool.close()
    assert take(reader, 1, live=True) == ["e2"]
    monkeypatch.setattr(set_reader, "_NEWS_NS", 0)
    assert take(reader, live=True) == []
    assert take(reader, live=False) == ["e3"]
    assert reader.is_finished


@portable
def test_a_backlog_is_remembered_by_the_next_reader(disk: Disk, spool: SpoolWriter, far_behind: None) -> None:
    record(spool, *range(20))
    with opened(spool, disk) as reader:
        assert take(reader, live=True) == []
        take(reader, 4, live=False)
    record(spool, "new")
    with opened(spool, disk) as reader:
        assert reader.has_backlog
        assert take(reader, live=True) == ["enew"]
        assert take(reader, live=False) == [f"e{key}" for key in range(4, 20)]


@portable
def test_far_behind_once_more_there_is_another_gap_and_all_are_drained_from_the_oldest_on(
    disk: Disk, spool: SpoolWriter, far_behind: None
) -> None:
    reader, database = None, Database()
    for outage in range(12):  # more than there can be gaps
        record(spool, *range(100 * outage, 100 * outage + 20))
        reader = opened(spool, disk)
        take(reader, live=True)
        reader.close()
    with opened(spool, disk) as reader:
        assert take(reader, 5, live=False) == ["e0", "e1", "e2", "e3", "e4"]
        assert take(reader, 100, live=False)[-1] == "e19"
        assert take(reader, 1, live=False) == ["e100"]
        ship(reader, database)
        assert reader.state.bytes_undelivered == 0
        assert reader.state.counters.delivered == 12 * 20


@portable
def test_segments_between_a_gap_and_the_newest_rows_do_not_wait_for_the_gap(
    disk: Disk, spool: SpoolWriter, far_behind: None
) -> None:
    record(spool, *range(20))
    reader = opened(spool, disk)
    take(reader, live=True)
    for key in range(20, 60):
        record(spool, key)
        take(reader, live=True)
    assert spool.set_folder is not None
    left = [name for name in disk.listing(spool.set_folder) if name.endswith(".seg")]
    assert left == [segment_name(number) for number in (1, 2, 3, 4, 12)]


@portable
def test_signs_of_life_wait_for_the_backlog_before_them(
    disk: Disk, spool: SpoolWriter, far_behind: None
) -> None:
    record(spool, *range(20))
    reader = opened(spool, disk)
    take(reader, live=True)
    spool.append(payload(sign_of_life("a")))
    record(spool, "new")
    spool.append(payload(sign_of_life("b")))
    assert take(reader, live=True) == ["enew"]
    reader.close()
    reader = opened(spool, disk)  # they are in the cursor
    assert take(reader, 19, live=False) == [f"e{key}" for key in range(19)]
    assert take(reader, live=False) == ["e19"]
    spool.append(payload(sign_of_life("c")))
    assert take(reader, live=True) == []
    assert take(reader, 1, live=False) == ["ea"]
    assert take(reader, live=False) == ["eb", "ec"]
    spool.append(payload(sign_of_life("d")))
    assert take(reader, live=True) == ["ed"]
    assert reader.state.counters.delivered == 25


@portable
def test_of_very_many_signs_of_life_that_wait_the_newest_ones_stay_and_the_rest_is_counted(
    disk: Disk, spool: SpoolWriter, far_behind: None
) -> None:
    record(spool, *range(20))
    reader = opened(spool, disk)
    take(reader, live=True)
    for number in range(50):
        spool.append(payload(sign_of_life(f"sign-{number}")))
        assert take(reader, live=True) == []
    take(reader, live=False)
    assert take(reader, live=False) == [f"esign-{number}" for number in range(30, 50)]
    assert reader.state.counters.superseded == 30


@portable
@pytest.mark.parametrize("seed", range(25))
def test_no_sign_of_life_ever_comes_before_a_row_that_was_recorded_before_it(
    disk: Disk, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(set_reader, "FAR_BEHIND_BYTES", 500)
    chance = random.Random(seed)  # noqa: S311  # the same each time
    spool = SpoolWriter(SPOOL, limits=SMALL, files=disk)
    rows: list[str] = []
    rows_before_sign: dict[str, int] = {}
    delivered: set[str] = set()
    reader: SetReader | None = None
    for number in range(150):
        what = chance.random()
        if what < 0.1:
            assert spool.append(payload(sign_of_life(number)))
            rows_before_sign[f"e{number}"] = len(rows)
        elif what < 0.6:
            record(spool, number)
            rows.append(f"e{number}")
        elif rows:
            reader = reader or opened(spool, disk)
            batch = reader.next_batch(chance.randint(1, 6), live=chance.random() < 0.6)
            if batch is not None and chance.random() < 0.9:
                for key in keys(batch):
                    assert delivered >= set(rows[: rows_before_sign.get(key, 0)])
                    delivered.add(key)
                assert reader.acknowledge(batch)
            if chance.random() < 0.2:
                reader.close()
                reader = None


# --- rows that nobody can take ---------------------------------------------------------------------


@portable
def test_a_rejected_row_is_kept_aside_with_the_reason_and_where_it_was(
    disk: Disk, spool: SpoolWriter
) -> None:
    record(spool, 1, 2, 3)
    reader = opened(spool, disk)
    batch = reader.next_batch(10, live=True)
    assert batch is not None
    assert reader.acknowledge(batch, {1: "the store does not take it"})
    [entry] = LocalQuarantine(SPOOL / "quarantine", disk).entries()
    assert (entry.kind, entry.values, entry.reason) == (*row(2), "the store does not take it")
    assert entry.names == FIELDS[entry.kind]
    assert entry.where == batch.where(1)
    assert entry.where.startswith(f"{reader.folder.name}/00000001/")
    assert (reader.state.counters.delivered, reader.state.counters.quarantined) == (2, 1)


@portable
def test_where_the_quarantine_cannot_be_written_to_the_batch_is_given_again(
    disk: Disk, spool: SpoolWriter
) -> None:
    record(spool, 1, 2)
    reader = opened(spool, disk)
    batch = reader.next_batch(10, live=True)
    assert batch is not None

    def fail(what: str) -> None:
        if what == "write_new":
            raise OSError("disk full")

    disk.fault = fail
    assert not reader.acknowledge(batch, {0: "bad"})
    assert reader.last_error == "disk full"
    assert reader.next_batch(10, live=True) is batch
    disk.fault = lambda what: None
    assert reader.acknowledge(batch, {0: "bad"})
    assert reader.state.counters.quarantined == 1


@portable
def test_a_cursor_that_cannot_be_saved_keeps_segments_until_it_can(disk: Disk, spool: SpoolWriter) -> None:
    record(spool, *range(12))
    reader = opened(spool, disk)

    def fail(what: str) -> None:
        if what == "write_over":
            raise OSError("disk full")

    disk.fault = fail
    assert len(take(reader, 11, live=True)) == 11  # they are delivered all the same
    assert spool.set_folder is not None
    assert len([name for name in disk.listing(spool.set_folder) if name.endswith(".seg")]) == 3
    disk.fault = lambda what: None
    reader.close()
    with opened(spool, disk) as reader:
        assert take(reader, live=True) == ["e11"]


@portable
@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        (b'["execution_heartbeat"', "no JSON array of a kind and values"),
        (b"[]", "no JSON array of a kind and values"),
        (b'"text"', "no JSON array of a kind and values"),
        (b"17", "no JSON array of a kind and values"),
        (b"[" * 100_000, "no JSON array of a kind and values"),
        (b'["step",' + b"9" * 5_000 + b"]", "no JSON array of a kind and values"),
        (b"\x80", "no JSON array of a kind and values"),
        (b'["dream",1]', "unknown kind of record: 'dream'"),
        (b"[[1],2]", "unknown kind of record: '[1]'"),
        (b"[null,2]", "unknown kind of record: 'None'"),
        (b'["step",1]', "1 values of step, which do not fit the segment's header"),
    ],
)
def test_what_is_no_row_is_kept_aside_and_the_rows_around_it_are_delivered(
    disk: Disk, spool: SpoolWriter, bad: bytes, reason: str
) -> None:
    record(spool, 1)
    assert spool.append(bad)
    record(spool, 2)
    spool.close()
    database = Database()
    shipped = ship_all(SPOOL, database, disk)
    assert list(database.rows) == ["e1", "e2"]
    assert [entry.reason for entry in shipped.quarantine] == [reason]
    assert shipped.total("quarantined") == 1


# --- rows of other versions ------------------------------------------------------------------------


def segment(names: dict[str, Any], *rows: Row | bytes, format_: int = 1) -> bytes:
    head = header("0.9", "BOT-01", names).replace(b'"format":1', b'"format":%d' % format_)
    return b"".join(frame_of(one if isinstance(one, bytes) else payload(one)) for one in (head, *rows))


def written(disk: Disk, *segments: bytes, lock: bytes = b"") -> Path:
    """A set of a writer that is gone."""
    folder = SPOOL / "20261124T130512-4711-3b5c6f30"
    disk.make_folders(folder)
    for number, content in enumerate(segments, 1):
        disk.close(disk.create(folder / segment_name(number)))
        disk.put(folder / segment_name(number), content)
    disk.close(disk.create(lock_of(folder)))
    disk.put(lock_of(folder), lock)
    return folder


@portable
def test_rows_of_an_older_version_get_defaults_for_what_it_did_not_know(disk: Disk) -> None:
    names = ("host", "workflow_id", "execution_id", "sent_at_us")
    written(disk, segment({"execution_heartbeat": names}, ("execution_heartbeat", ("h", "w", "e1", 5))))
    database = Database()
    ship_all(SPOOL, database, disk)
    assert database.rows == {"e1": ("execution_heartbeat", ("", "", "", "h", "", "e1", "w", 5))}


@portable
def test_fields_of_a_newer_version_are_left_out_where_they_say_nothing_and_else_the_row_waits(
    disk: Disk,
) -> None:
    names = (*FIELDS["execution_heartbeat"], "mood")
    rows = [("execution_heartbeat", (*row(key)[1], mood)) for key, mood in enumerate((None, "", 0, "good"))]
    written(disk, segment(dict(FIELDS) | {"execution_heartbeat": names}, *rows))
    database = Database()
    shipped = ship_all(SPOOL, database, disk)
    assert list(database.rows.values()) == [row(0), row(1), row(2)]
    [entry] = shipped.quarantine
    assert entry.reason == "execution_heartbeat.mood is not known to this version"
    assert (entry.values, entry.names) == (rows[3][1], names)


@portable
def test_a_row_without_what_it_must_have_waits(disk: Disk) -> None:
    written(disk, segment({"execution_heartbeat": ("host",)}, ("execution_heartbeat", ("h",))))
    [entry] = ship_all(SPOOL, Database(), disk).quarantine
    assert entry.reason == "execution_heartbeat.execution_id is not given"


@portable
@pytest.mark.parametrize("where", ["another segment", "beside the folder"])
def test_a_lost_header_is_taken_from_its_copies(disk: Disk, where: str) -> None:
    whole = segment(dict(FIELDS), row(1))
    damaged = b"\0" + whole[1:]
    written(
        disk,
        *((damaged, whole) if where == "another segment" else (damaged,)),
        lock=b"" if where == "another segment" else whole,
    )
    database = Database()
    shipped = ship_all(SPOOL, database, disk)
    assert list(database.rows) == ["e1"]
    assert [entry.reason for entry in shipped.quarantine] == ["damaged bytes"]


@portable
@pytest.mark.parametrize("format_", [1, 2], ids=["damaged", "of a later format"])
def test_without_any_header_nobody_guesses_what_values_mean(disk: Disk, format_: int) -> None:
    content = segment(dict(FIELDS), row(1), row(2), format_=format_)
    written(disk, content[5:] if format_ == 1 else content)
    database = Database()
    shipped = ship_all(SPOOL, database, disk)
    assert database.rows == {}
    assert shipped.total("quarantined") == (3 if format_ == 1 else 2)
    assert shipped.quarantine[-1].raw == frame_of(payload(row(1))) + frame_of(payload(row(2)))


# --- ends and holes --------------------------------------------------------------------------------


@portable
@pytest.mark.parametrize("cut", [1, 2, 9, 10, 11, 60])
def test_an_unfinished_row_is_waited_for_while_its_writer_lives(
    disk: Disk, spool: SpoolWriter, cut: int
) -> None:
    record(spool, 1)
    reader = opened(spool, disk)
    frame = frame_of(payload(row(2)))
    assert spool._handle is not None
    disk.write(spool._handle, frame[:cut])
    assert take(reader, live=True) == ["e1"]
    assert take(reader, live=True) == []
    disk.write(spool._handle, frame[cut:])
    assert take(reader, live=True) == ["e2"]
    disk.write(spool._handle, frame[:cut])
    spool.reset_after_fork()  # it is killed
    assert take(reader, live=True) == []
    assert reader.is_finished
    assert (reader.state.counters.torn, reader.state.counters.quarantined) == (1, 0)


@portable
def test_bytes_that_are_not_there_yet_are_not_taken_for_damage(disk: Disk, spool: SpoolWriter) -> None:
    """Some systems show a file's new length before its new content, as zeros."""
    record(spool, 1)
    reader = opened(spool, disk)
    assert spool.set_folder is not None
    path = spool.set_folder / segment_name(1)
    content = disk.content(path)
    frames = [frame_of(payload(row(key))) for key in (2, 3)]
    disk.put(path, content + bytes(len(frames[0])))
    assert take(reader, live=True) == ["e1"]
    assert take(reader, live=True) == []
    real, reads = Disk.read, 0

    def read(of: Disk, path: Path, offset: int, length: int) -> bytes:
        """The second frame is seen before the first one."""
        nonlocal reads
        reads += 1
        if reads == 1:
            return bytes(len(frames[0])) + frames[1]
        return real(of, path, offset, length)

    disk.put(path, content + frames[0] + frames[1])
    disk.read = read.__get__(disk)  # type: ignore[method-assign]  # of this disk alone
    assert take(reader, live=True) == ["e2", "e3"]
    assert reader.state.counters.quarantined == 0


@portable
@pytest.mark.parametrize(
    ("end", "torn", "aside"),
    [
        (bytes(4096), 1, 0),
        (frame_of(payload(row(9)))[:40] + bytes(4096), 1, 0),
        (b"\xff", 1, 0),
        (b"rubbish", 0, 1),
        (frame_of(payload(row(9)))[:-1] + b"!", 0, 1),
        (frame_of(payload(row(9)))[:40] * 2, 0, 1),
    ],
)
def test_the_torn_end_of_a_segment_is_cut_and_other_rubbish_is_kept(
    disk: Disk, end: bytes, torn: int, aside: int
) -> None:
    written(disk, segment(dict(FIELDS), row(1)) + end, segment(dict(FIELDS), row(2)) + end)
    database = Database()
    shipped = ship_all(SPOOL, database, disk)
    assert list(database.rows) == ["e1", "e2"]
    assert shipped.left == []
    assert (shipped.total("torn"), shipped.total("quarantined")) == (2 * torn, 2 * aside)
    assert [entry.raw for entry in shipped.quarantine] == [end] * 2 * aside


@portable
def test_zeros_in_the_middle_are_counted_and_nothing_to_keep(disk: Disk) -> None:
    written(disk, segment(dict(FIELDS), row(1)) + bytes(100) + frame_of(payload(row(2))))
    database = Database()
    shipped = ship_all(SPOOL, database, disk)
    assert list(database.rows) == ["e1", "e2"]
    assert (shipped.total("torn"), shipped.quarantine) == (1, [])


@portable
@pytest.mark.parametrize(
    ("removed", "missing", "left"),
    [((2,), 1, [1, 3, 4]), ((2, 3), 2, [1, 4]), ((1,), 0, [2, 3, 4]), ((4,), 0, [1, 2, 3])],
)
def test_segments_that_are_not_there_are_skipped_and_counted(
    disk: Disk, removed: tuple[int, ...], missing: int, left: list[int]
) -> None:
    folder = written(disk, *(segment(dict(FIELDS), row(key)) for key in (1, 2, 3, 4)))
    for number in removed:
        disk.remove(folder / segment_name(number))
    database = Database()
    shipped = ship_all(SPOOL, database, disk)
    assert list(database.rows) == [f"e{key}" for key in left]
    assert (shipped.total("missing"), shipped.left) == (missing, [])


@portable
@pytest.mark.parametrize("removed", [1, 2, 3, 4])
def test_a_segment_that_goes_while_it_is_read_ends_there(disk: Disk, removed: int, far_behind: None) -> None:
    folder = written(
        disk, *(segment(dict(FIELDS), *(row(f"{key}{n}") for n in "abcdef")) for key in range(1, 5))
    )
    database = Database()
    reader = open_set(folder, disk)
    assert reader is not None
    for live in (True, False):
        batch = reader.next_batch(2, live=live)
        if batch is not None:
            database.take(batch)
            assert reader.acknowledge(batch)
    disk.remove(folder / segment_name(removed))
    ship(reader, database)
    others = {f"e{key}{n}" for key in range(1, 5) for n in "abcdef" if key != removed}
    assert database.rows.keys() >= others
    assert reader.is_finished


@portable
def test_a_file_full_of_anything_ends_in_the_quarantine_without_being_held_in_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lane, "MAX_FRAME_BYTES", 5_000)
    monkeypatch.setattr(lane, "_MOST_BYTES", 20_000)
    monkeypatch.setattr(lane, "_CHUNK_BYTES", 4_000)
    chance = random.Random(1)  # noqa: S311  # the same each time
    folder = tmp_path / "20261124T130512-4711-3b5c6f30"
    folder.mkdir()
    rubbish = [chance.randbytes(100_000), b"\xff\xfe" * 50_000, bytes(100_000)]
    for number, content in enumerate([*rubbish, segment(dict(FIELDS), row(1))], 1):
        (folder / segment_name(number)).write_bytes(content)
    longest = 0
    count = set_reader.batch_of

    def measured(found: Any, *given: Any, **named: Any) -> Batch:
        nonlocal longest
        longest = max(longest, sum(len(damage) for _, damage in found.damages))
        return count(found, *given, **named)

    monkeypatch.setattr(set_reader, "batch_of", measured)
    database = Database()
    shipped = ship_all(tmp_path, database)
    assert list(database.rows) == ["e1"]
    assert shipped.left == []
    assert longest < 30_000
    assert b"".join(entry.raw or b"" for entry in sorted(shipped.quarantine, key=_place)) == b"".join(
        rubbish[:2]
    )
    assert shipped.total("torn") > 0


def _place(entry: Any) -> tuple[int, int]:
    _, number, offset = entry.where.split("/")
    return int(number), int(offset)


@portable
@pytest.mark.parametrize("content", [b"", b"{}", b'{"format":1}\n00000000\n', b"\xff" * 500])
def test_without_a_readable_cursor_all_that_is_there_is_delivered_again(
    disk: Disk, spool: SpoolWriter, content: bytes
) -> None:
    record(spool, *range(7))
    reader = opened(spool, disk)
    take(reader, 6, live=True)
    assert spool.set_folder is not None
    reader.close()
    for name in ("cursor.json", "cursor-recent.json"):
        if name in disk.listing(spool.set_folder):
            disk.put(spool.set_folder / name, content)
    with opened(spool, disk) as reader:
        assert take(reader, live=True) == ["e5", "e6"]  # the first segment was removed


@portable
def test_a_cursor_that_is_further_than_the_files_is_right(disk: Disk, spool: SpoolWriter) -> None:
    """A power cut may take what was delivered and never synced."""
    record(spool, 1, 2)
    with opened(spool, disk) as reader:
        take(reader, live=True)
    assert spool.set_folder is not None
    path = spool.set_folder / segment_name(1)
    disk.put(path, disk.content(path)[:-30])
    spool.reset_after_fork()
    shipped = ship_all(SPOOL, Database(), disk)
    assert shipped.left == []
    assert (shipped.total("delivered"), shipped.total("torn")) == (2, 0)


@portable
@pytest.mark.parametrize("kind", ["remove", "remove_folder"])
def test_what_cannot_be_removed_now_is_removed_later(disk: Disk, spool: SpoolWriter, kind: str) -> None:
    """Windows does not remove what somebody has open."""
    record(spool, *range(12))
    spool.close()

    def fail(what: str) -> None:
        if what == kind:
            raise PermissionError("it is open somewhere")

    disk.fault = fail
    database = Database()
    shipped = ship_all(SPOOL, database, disk)
    assert len(database.rows) == 12
    assert len(shipped.left) == 1
    disk.fault = lambda what: None
    shipped = ship_all(SPOOL, database, disk)
    assert (shipped.left, disk.tree.entries[str(SPOOL)]) == ([], {})
    assert len(database.rows) == 12


@portable
def test_where_open_files_cannot_be_removed_everything_goes_in_the_end(
    disk: Disk, spool: SpoolWriter
) -> None:
    disk.removes_open_files = False
    record(spool, *range(12))
    reader = opened(spool, disk)
    assert len(take(reader, live=True)) == 12
    assert spool.set_folder is not None
    assert len([name for name in disk.listing(spool.set_folder) if name.endswith(".seg")]) == 3
    assert spool.sync()  # now the writer has the newest segment open, and no other
    record(spool, 12)
    take(reader, live=True)
    assert len([name for name in disk.listing(spool.set_folder) if name.endswith(".seg")]) == 1
    spool.close()
    assert reader.is_finished
    assert reader.remove()
    disk.is_old = True
    orphan = SPOOL / "20261124T130512-1-3b5c6f30"
    disk.unlock(disk.lock(lock_of(orphan)))  # type: ignore[arg-type]  # nobody else has it
    assert sets_in(SPOOL, disk) == []
    assert disk.tree.entries[str(SPOOL)] == {}


@portable
def test_files_of_others_in_a_set_do_not_keep_it(tmp_path: Path) -> None:
    spool = SpoolWriter(tmp_path / "spool")
    record(spool, 1)
    assert spool.set_folder is not None
    (spool.set_folder / ".DS_Store").write_bytes(b"x")
    (spool.set_folder / "123456789012345678901234567890.seg").write_bytes(b"x")
    spool.close()
    shipped = ship_all(tmp_path / "spool", Database())
    assert shipped.left == []
    assert list((tmp_path / "spool").iterdir()) == []
