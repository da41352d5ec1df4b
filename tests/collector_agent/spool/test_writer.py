"""The writing side: rows are with the operating system when `append` returns, and nothing ever raises."""

import errno
import os
import signal
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from collector_agent.spool import writer as writer_module
from collector_agent.spool.files import REAL, Files
from collector_agent.spool.frames import MAX_PAYLOAD_BYTES
from collector_agent.spool.names import lock_of
from collector_agent.spool.reader import look_at, open_set, sets_in
from collector_agent.spool.writer import SpoolLimits, SpoolWriter
from tests.collector_agent.spool.disk import ROOT, Disk
from tests.collector_agent.spool.rows import Database, key_of, payload, row, ship_all
from tests.faults.processes import exit_code, in_a_process

SPOOL = ROOT / "spool"
SMALL = SpoolLimits(segment_bytes=2_400)
portable = pytest.mark.portable
posix = pytest.mark.skipif(sys.platform == "win32", reason="no fork, and no signals like these")


@pytest.fixture
def disk() -> Disk:
    return Disk()


@pytest.fixture
def spool(disk: Disk) -> SpoolWriter:
    return SpoolWriter(SPOOL, limits=SMALL, files=disk)


def record(to: SpoolWriter, *keys: int | str) -> None:
    for key in keys:
        assert to.append(payload(row(key)))


def keys_in(folder: Path, files: Files = REAL) -> list[str]:
    """What is delivered from a spool folder."""
    database = Database()
    ship_all(folder, database, files)
    return list(database.rows)


def done(disk: Disk, what: str) -> int:
    return sum(operation[0] == what for operation in disk.trace)


# --- appending -------------------------------------------------------------------------------------


@portable
def test_nothing_is_opened_before_the_first_row(disk: Disk, spool: SpoolWriter) -> None:
    assert spool.sync()
    spool.close()
    assert (disk.trace, spool.set_folder, spool.rows) == ([], None, 0)


@portable
def test_a_row_is_in_the_file_when_append_returns(tmp_path: Path) -> None:
    spool = SpoolWriter(tmp_path / "spool")
    record(spool, 1)
    assert spool.set_folder is not None
    assert payload(row(1)) in (spool.set_folder / "00000001.seg").read_bytes()
    record(spool, 2)
    assert (spool.set_folder / "00000001.seg").read_bytes().endswith(payload(row(2)))
    assert (spool.rows, spool.refused, spool.waiting, spool.last_error) == (2, 0, 0, "")
    spool.close()


@portable
def test_each_row_is_one_write(disk: Disk, spool: SpoolWriter) -> None:
    record(spool, 1)
    before = len(disk.trace)
    record(spool, 2, 3)
    assert [operation[0] for operation in disk.trace[before:]] == ["write", "write"]


@portable
@pytest.mark.parametrize("given", [b"", b"x" * (MAX_PAYLOAD_BYTES + 1), "text", None])
def test_what_cannot_be_a_payload_is_refused_and_counted(spool: SpoolWriter, given: Any) -> None:
    assert not spool.append(given)
    record(spool, 1)
    assert not spool.append(given)
    assert (spool.rows, spool.refused) == (1, 2)
    assert spool.sync()


@portable
def test_the_largest_payload_goes_through(disk: Disk, spool: SpoolWriter) -> None:
    large = row("x" * (MAX_PAYLOAD_BYTES - len(payload(row("")))))
    assert len(payload(large)) == MAX_PAYLOAD_BYTES
    assert spool.append(payload(large))
    spool.close()
    assert keys_in(SPOOL, disk) == [key_of(large)]


@portable
@pytest.mark.parametrize("times", [1, 4, 5])
def test_a_set_is_made_although_its_lock_is_taken_for_that_of_a_dead_writer(disk: Disk, times: int) -> None:
    """Between the making of the file and its locking there is a moment for whoever clears up."""
    left, real = times, disk.lock

    def lock(path: Path, **given: Any) -> int | None:
        nonlocal left
        left -= 1
        return None if left >= 0 else real(path, **given)

    disk.lock = lock  # type: ignore[method-assign, assignment]  # of this disk alone
    spool = SpoolWriter(SPOOL, files=disk)
    record(spool, 1)
    assert spool.waiting == (times == 5)
    spool.close()
    assert keys_in(SPOOL, disk) == ["e1"]


@portable
def test_segments_end_at_their_size_and_all_of_them_are_read(disk: Disk, spool: SpoolWriter) -> None:
    record(spool, *range(12))
    assert spool.set_folder is not None
    sizes = {name: size for name, (size, _) in disk.listing(spool.set_folder).items()}
    assert list(sizes) == ["00000001.seg", "00000002.seg", "00000003.seg"]
    assert 2_400 <= sizes["00000001.seg"] < 2_500
    assert keys_in(SPOOL, disk) == [f"e{key}" for key in range(12)]


@portable
def test_threads_append_at_once(tmp_path: Path) -> None:
    spool = SpoolWriter(tmp_path / "spool", limits=SpoolLimits(segment_bytes=20_000))
    threads = [
        threading.Thread(target=record, args=(spool, *(f"{number}-{key}" for key in range(200))))
        for number in range(4)
    ]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        assert spool.sync()
    spool.close()
    assert sorted(keys_in(tmp_path / "spool")) == sorted(f"e{n}-{k}" for n in range(4) for k in range(200))


class Interrupting(Disk):
    """Calls something in the middle of each write, as a signal handler or a destructor may."""

    def __init__(self) -> None:
        super().__init__()
        self.interruption: Callable[[], object] = lambda: None

    def write(self, handle: int, data: bytes) -> int:  # type: ignore[override]  # static where it is real
        interruption, self.interruption = self.interruption, lambda: None
        interruption()
        written = super().write(handle, data)
        after, self.interruption = self.interruption, lambda: None
        after()
        return written


@portable
@pytest.mark.parametrize("inner", [1, 30], ids=["one row", "more than a segment"])
def test_rows_may_be_appended_in_the_middle_of_an_append(inner: int) -> None:
    disk = Interrupting()
    spool = SpoolWriter(SPOOL, limits=SMALL, files=disk)
    disk.interruption = lambda: record(spool, *(f"first-{key}" for key in range(inner)))
    record(spool, "a", "b")
    disk.interruption = lambda: record(spool, *(f"then-{key}" for key in range(inner)))
    record(spool, "c")
    disk.interruption = spool.sync  # closes no file that the append is about to write to
    record(spool, "d")
    assert spool.sync()
    spool.close()
    expected = ["a", "b", "c", "d", *(f"{when}-{key}" for when in ("first", "then") for key in range(inner))]
    assert sorted(keys_in(SPOOL, disk)) == sorted(f"e{key}" for key in expected)


@posix
def test_rows_of_a_signal_handler_come_between_whole_rows(tmp_path: Path) -> None:
    spool = SpoolWriter(tmp_path / "spool", limits=SpoolLimits(segment_bytes=30_000))
    handled = 0

    def handle(*_: object) -> None:
        nonlocal handled
        handled += 1  # first: one may come in the middle of another
        record(spool, f"signal-{handled}")

    before = signal.signal(signal.SIGALRM, handle)
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.0005, 0.0005)
        recorded = 0
        while handled < 100:
            record(spool, recorded)
            recorded += 1
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    spool.close()
    rows = {f"e{key}" for key in range(recorded)} | {f"esignal-{key + 1}" for key in range(handled)}
    assert set(keys_in(tmp_path / "spool")) == rows


# --- syncing ---------------------------------------------------------------------------------------


@portable
def test_the_first_sync_of_a_segment_syncs_its_name_and_that_of_its_set(
    disk: Disk, spool: SpoolWriter
) -> None:
    record(spool, 1)
    assert spool.sync()
    synced = [operation[1] for operation in disk.trace if operation[0] == "sync_folder"]
    assert synced == [str(SPOOL), str(ROOT), str(spool.set_folder)]
    record(spool, *range(2, 8))  # begins a second segment
    assert spool.sync()
    synced = [operation[1] for operation in disk.trace if operation[0] == "sync_folder"]
    assert synced[3:] == [str(spool.set_folder)]


@portable
def test_what_is_synced_already_is_not_synced_again(disk: Disk, spool: SpoolWriter) -> None:
    record(spool, 1)
    assert spool.sync()
    before = len(disk.trace)
    assert spool.sync()
    assert len(disk.trace) == before
    record(spool, 2)
    assert spool.sync()
    assert [operation[0] for operation in disk.trace[before:]] == ["write", "sync"]


@portable
def test_nobody_who_appends_waits_for_a_sync() -> None:
    class Slow(Disk):
        syncing, go_on = threading.Event(), threading.Event()

        def sync(self, handle: int) -> None:
            self.syncing.set()
            assert self.go_on.wait(60)
            super().sync(handle)

    disk = Slow()
    spool = SpoolWriter(SPOOL, limits=SMALL, files=disk)
    record(spool, 1)
    thread = threading.Thread(target=spool.sync)
    thread.start()
    assert disk.syncing.wait(60)
    record(spool, *range(2, 20))  # further segments included
    disk.go_on.set()
    thread.join(60)
    assert spool.sync()
    spool.close()
    assert len(keys_in(SPOOL, disk)) == 19


@portable
@pytest.mark.parametrize("what", ["sync", "close"])
def test_a_handler_that_syncs_or_closes_in_the_middle_of_a_sync_leaves_it_alone(what: str) -> None:
    class Signalled(Disk):
        def sync(self, handle: int) -> None:
            assert not getattr(spool, what)()
            super().sync(handle)

    disk = Signalled()
    spool = SpoolWriter(SPOOL, limits=SMALL, files=disk)
    record(spool, *range(8))
    assert spool.sync()
    spool.close()
    assert len(keys_in(SPOOL, disk)) == 8


@portable
def test_a_sync_that_hangs_holds_nobody_up_for_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer_module, "_STUCK_SEC", 0.01)
    spool = SpoolWriter(SPOOL, files=Disk())
    record(spool, 1)
    held = threading.Event(), threading.Event()

    def hang() -> None:
        with spool._sync_lock:
            held[0].set()
            held[1].wait(60)

    thread = threading.Thread(target=hang)
    thread.start()
    held[0].wait(60)
    assert not spool.sync()
    assert spool.last_error == "another sync does not come to its end"
    spool.close()
    record(spool, 2)
    held[1].set()
    thread.join(60)
    assert spool.sync()


# --- a disk that fails -----------------------------------------------------------------------------


def failing(disk: Disk, *kinds: str, error: int = errno.ENOSPC) -> None:
    def fault(what: str) -> None:
        if what in kinds:
            raise OSError(error, os.strerror(error))

    disk.fault = fault


def works_again(disk: Disk, spool: SpoolWriter) -> None:
    disk.fault = lambda what: None
    assert spool.sync()
    assert spool.last_error == ""


@portable
@pytest.mark.parametrize("kind", ["write", "create", "lock", "make_folder"])
def test_rows_wait_in_memory_in_their_order_while_the_disk_is_full(
    disk: Disk, spool: SpoolWriter, kind: str
) -> None:
    failing(disk, kind)
    record(spool, *range(10))
    assert (spool.rows, spool.refused) == (10, 0)
    assert (spool.waiting, spool.sync()) == (10, False)
    assert "No space left" in spool.last_error
    works_again(disk, spool)
    record(spool, 10)
    assert spool.waiting == 0
    spool.close()
    assert keys_in(SPOOL, disk) == [f"e{key}" for key in range(11)]


@portable
def test_a_disk_that_was_full_is_tried_again_after_a_while_and_not_by_each_row(
    disk: Disk, spool: SpoolWriter, monkeypatch: pytest.MonkeyPatch
) -> None:
    record(spool, 1)
    failing(disk, "write", "create")
    record(spool, 2, 3)
    disk.fault = lambda what: None
    record(spool, 4)
    assert spool.waiting == 3
    monkeypatch.setattr(writer_module.time, "monotonic", lambda: spool._retry_at)
    record(spool, 5)
    assert spool.waiting == 0
    spool.close()
    assert keys_in(SPOOL, disk) == ["e1", "e2", "e3", "e4", "e5"]


@portable
def test_what_memory_does_not_hold_is_refused_and_counted(disk: Disk) -> None:
    spool = SpoolWriter(SPOOL, memory_rows=3, files=disk)
    failing(disk, "write", "create")
    assert [spool.append(payload(row(key))) for key in range(5)] == [True, True, True, False, False]
    assert (spool.rows, spool.refused, spool.waiting) == (3, 2, 3)
    spool.close()  # the disk is still full
    assert (spool.rows, spool.refused, spool.waiting) == (0, 5, 0)


@portable
def test_large_rows_fill_the_memory_sooner(
    disk: Disk, spool: SpoolWriter, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer_module, "_MEMORY_BYTES", 250)
    failing(disk, "create")
    assert [spool.append(b"[" + b"1" * 98 + b"]") for _ in range(3)] == [True, True, False]


@portable
@pytest.mark.parametrize("written", [0, 1, 9, 10, 50])
def test_a_part_of_a_row_is_cut_away_and_the_row_written_elsewhere(
    disk: Disk, spool: SpoolWriter, written: int
) -> None:
    record(spool, 1)
    disk.fault = lambda what: written if what == "write" else None
    record(spool, 2)
    works_again(disk, spool)
    spool.close()
    database = Database()
    shipped = ship_all(SPOOL, database, disk)
    assert list(database.rows) == ["e1", "e2"]
    assert (shipped.total("torn"), shipped.quarantine) == (0, [])


@portable
def test_a_part_that_cannot_be_cut_away_is_cut_by_the_reader(disk: Disk, spool: SpoolWriter) -> None:
    record(spool, 1)

    def fault(what: str) -> int | None:
        if what == "truncate":
            raise OSError(errno.EIO, "broken")
        return 20 if what == "write" else None

    disk.fault = fault
    record(spool, 2)
    works_again(disk, spool)
    spool.close()
    database = Database()
    assert ship_all(SPOOL, database, disk).total("torn") == 1
    assert list(database.rows) == ["e1", "e2"]


@portable
def test_a_whole_row_that_came_behind_a_part_of_one_is_not_cut_away() -> None:
    disk = Interrupting()
    spool = SpoolWriter(SPOOL, files=disk)
    record(spool, 1)

    def short_then_signal() -> None:
        disk.fault = lambda what: 20 if what == "write" else None
        disk.interruption = signal_handler

    def signal_handler() -> None:
        disk.fault = lambda what: None
        record(spool, "signal")

    disk.interruption = short_then_signal
    record(spool, 2)
    works_again(disk, spool)
    spool.close()
    database = Database()
    shipped = ship_all(SPOOL, database, disk)
    assert sorted(database.rows) == ["e1", "e2", "esignal"]
    assert [len(entry.raw or b"") for entry in shipped.quarantine] == [20]


@portable
def test_a_failed_sync_is_said_and_later_rows_go_elsewhere(disk: Disk, spool: SpoolWriter) -> None:
    record(spool, 1)
    failing(disk, "sync", error=errno.EIO)
    assert not spool.sync()
    assert "Input/output" in spool.last_error
    record(spool, 2)
    assert not spool.sync()
    record(spool, 3)
    works_again(disk, spool)
    assert disk.listing(SPOOL / str(spool.set_folder and spool.set_folder.name)).keys() >= {"00000002.seg"}
    assert spool.set_folder is not None
    assert "00000003.seg" not in disk.listing(spool.set_folder)
    spool.close()
    assert keys_in(SPOOL, disk) == ["e1", "e2", "e3"]


@portable
def test_where_somebody_clears_the_spool_away_recording_goes_on_in_a_new_set(tmp_path: Path) -> None:
    if sys.platform == "win32":
        pytest.skip("Windows does not remove files that are open")
    import shutil

    spool = SpoolWriter(tmp_path / "spool")
    record(spool, 1)
    shutil.rmtree(tmp_path / "spool")
    record(spool, 2)  # lost: nobody knows yet
    assert spool.sync()
    record(spool, 3)
    spool.close()
    assert keys_in(tmp_path / "spool") == ["e3"]


# --- the end, and a new beginning ------------------------------------------------------------------


@portable
def test_a_set_belongs_to_whoever_ships_when_it_is_closed(disk: Disk, spool: SpoolWriter) -> None:
    record(spool, 1)
    [folder] = sets_in(SPOOL, disk)
    assert look_at(folder, disk).writer_is_alive
    spool.close()
    assert not look_at(folder, disk).writer_is_alive
    assert keys_in(SPOOL, disk) == ["e1"]
    assert disk.tree.entries[str(SPOOL)] == {}


@portable
def test_a_set_that_is_delivered_goes_with_its_writer(disk: Disk, spool: SpoolWriter) -> None:
    record(spool, 1)
    assert keys_in(SPOOL, disk) == ["e1"]
    assert len(sets_in(SPOOL, disk)) == 1  # it is alive
    spool.close()
    assert disk.tree.entries[str(SPOOL)] == {}
    assert len(disk._handles) == 0


@portable
def test_what_is_recorded_after_the_end_goes_into_a_new_set(disk: Disk, spool: SpoolWriter) -> None:
    record(spool, 1)
    spool.close()
    spool.close()
    record(spool, 2)
    assert len(sets_in(SPOOL, disk)) == 2
    assert spool.rows == 2
    spool.close()
    assert sorted(keys_in(SPOOL, disk)) == ["e1", "e2"]


@portable
def test_a_handler_that_closes_in_the_middle_of_an_append_leaves_it_alone() -> None:
    disk = Interrupting()
    spool = SpoolWriter(SPOOL, files=disk)
    record(spool, 1)
    disk.interruption = spool.close
    record(spool, 2)
    spool.close()
    assert keys_in(SPOOL, disk) == ["e1", "e2"]


@posix
def test_a_forked_child_has_a_set_and_counters_of_its_own(tmp_path: Path) -> None:
    spool = SpoolWriter(tmp_path / "spool")
    record(spool, "parent")

    def work() -> None:
        spool.reset_after_fork()
        assert (spool.rows, spool.set_folder) == (0, None)
        record(spool, "child")
        assert spool.sync()

    assert exit_code(in_a_process(work)) == 0
    record(spool, "parent-again")
    states = [look_at(folder) for folder in sets_in(tmp_path / "spool")]
    assert sorted(state.writer_is_alive for state in states) == [False, True]
    spool.close()
    assert sorted(keys_in(tmp_path / "spool")) == ["echild", "eparent", "eparent-again"]


@posix
def test_a_fork_in_the_middle_of_an_append_leaves_the_child_a_lock_that_is_free(tmp_path: Path) -> None:
    spool = SpoolWriter(tmp_path / "spool")
    record(spool, 1)
    held, done = threading.Event(), threading.Event()

    def append_for_ever() -> None:
        with spool._lock, spool._sync_lock:
            held.set()
            done.wait(60)

    thread = threading.Thread(target=append_for_ever)
    thread.start()
    held.wait(60)

    def work() -> None:
        spool.reset_after_fork()
        record(spool, 2)
        assert spool.sync()

    code = exit_code(in_a_process(work))
    done.set()
    thread.join(60)
    assert code == 0
    spool.close()


@posix
def test_a_child_that_outlives_its_parent_does_not_keep_its_set_alive(tmp_path: Path) -> None:
    lives, ends = os.pipe(), os.pipe()

    def parent() -> None:
        spool = SpoolWriter(tmp_path / "spool")
        record(spool, 1)
        if os.fork() == 0:
            spool.reset_after_fork()
            os.close(ends[1])
            os.write(lives[1], b"!")
            os.read(ends[0], 1)  # until the test ends
            os._exit(0)
        os.read(lives[0], 1)

    assert exit_code(in_a_process(parent)) == 0
    [folder] = sets_in(tmp_path / "spool")
    assert not look_at(folder).writer_is_alive
    for end in (*lives, *ends):
        os.close(end)


@posix
def test_a_killed_process_loses_nothing_that_it_recorded(tmp_path: Path) -> None:
    def work() -> None:
        record(SpoolWriter(tmp_path / "spool"), *range(50))
        os.kill(os.getpid(), signal.SIGKILL)

    assert exit_code(in_a_process(work)) == -signal.SIGKILL
    assert keys_in(tmp_path / "spool") == [f"e{key}" for key in range(50)]


# --- the cap ---------------------------------------------------------------------------------------


@portable
def test_at_the_cap_the_oldest_segments_go_and_are_counted(disk: Disk) -> None:
    spool = SpoolWriter(SPOOL, limits=SpoolLimits(max_bytes=8_000, segment_bytes=2_400), files=disk)
    for key in range(40):
        record(spool, key)
        assert spool.sync()
    spool.close()
    database = Database()
    shipped = ship_all(SPOOL, database, disk)
    assert list(database.rows) == [f"e{key}" for key in range(shipped.total("dropped"), 40)]
    assert 5 < len(database.rows) < 20
    assert (spool.rows, spool.refused) == (40, 0)


@portable
def test_at_the_cap_new_rows_are_refused_until_there_is_room(disk: Disk) -> None:
    limits = SpoolLimits(max_bytes=5_000, when_full="refuse_new", segment_bytes=2_400)
    spool = SpoolWriter(SPOOL, limits=limits, files=disk)
    taken = []
    for key in range(30):
        if spool.append(payload(row(key))):
            taken.append(f"e{key}")
        assert spool.sync()
    assert (spool.rows, spool.refused) == (len(taken), 30 - len(taken))
    assert 5 < len(taken) < 20
    database = Database()
    assert ship_all(SPOOL, database, disk).total("dropped") == 0
    assert list(database.rows) == taken
    assert spool.sync()
    record(spool, "again")
    spool.close()
    assert keys_in(SPOOL, disk) == ["eagain"]


@portable
def test_small_caps_have_small_segments_and_no_smaller_than_makes_sense() -> None:
    of = [
        SpoolWriter(SPOOL, limits=SpoolLimits(max_bytes=size))._segment_bytes
        for size in (100, 8 << 20, 1 << 30)
    ]
    assert of == [64 << 10, 1 << 20, 8 << 20]


@portable
def test_a_set_that_is_alive_is_not_taken_for_an_abandoned_one_at_any_moment_of_its_making() -> None:
    class Watched(Disk):
        """Somebody ships and clears up between any two operations of the writer."""

        is_watched = False

        def _may(self, what: str) -> int | None:
            if not self.is_watched and str(SPOOL) in self.tree.entries:
                self.is_watched = True
                ship_all(SPOOL, database, self)
                self.is_watched = False
            return super()._may(what)

    disk, database = Watched(), Database()
    spool = SpoolWriter(SPOOL, limits=SMALL, files=disk)
    record(spool, *range(12))
    assert spool.sync()
    assert spool.set_folder is not None
    assert lock_of(spool.set_folder).name in disk.tree.entries[str(SPOOL)]
    spool.close()
    ship_all(SPOOL, database, disk)
    assert list(database.rows) == [f"e{key}" for key in range(12)]
    assert disk.tree.entries[str(SPOOL)] == {}
    assert open_set(SPOOL / "gone", disk) is None
