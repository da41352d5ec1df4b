"""The spool under every fault that we can think of: damage, power cuts, failing disks, many writers.

The invariant: each accepted row ends in exactly one of database, spool, quarantine or counted drop, its
content unchanged, and a fresh row flows once the fault is over. Each suite has a negative control:
without the protection that it is about, its check fails.
"""

import errno
import itertools
import json
import multiprocessing
import os
import random
import sys
from collections.abc import Iterable
from multiprocessing.synchronize import Barrier
from pathlib import Path
from typing import Any

import pytest

from collector_agent.spool import capacity, cursor, frames, names, own_set, set_reader, writer
from collector_agent.spool.cursor import Counters
from collector_agent.spool.frames import read_frames
from collector_agent.spool.names import segment_name
from collector_agent.spool.reader import open_set, sets_in
from collector_agent.spool.writer import SpoolLimits, SpoolWriter
from tests.collector_agent.spool.disk import ROOT, Disk, Operation, Platter, Tree
from tests.collector_agent.spool.rows import Database, Row, key_of, payload, row, ship_all, sign_of_life
from tests.faults.processes import exit_code, in_a_process

SPOOL = ROOT / "state" / "spool"
SMALL = SpoolLimits(segment_bytes=2_400)  # the header takes most of it: five rows each


@pytest.fixture(autouse=True)
def _small_scale(monkeypatch: pytest.MonkeyPatch) -> None:
    """A few rows are far behind here, and nobody waits before a disk is tried again."""
    monkeypatch.setattr(set_reader, "FAR_BEHIND_BYTES", 900)
    monkeypatch.setattr(writer, "_RETRY_SEC", 0.0)


@pytest.fixture
def _the_same_each_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Names of sets are in order, not by chance, and headers are equally long."""
    numbers = itertools.count()
    monkeypatch.setattr(own_set, "new_set_name", lambda: f"20261124T130512-4711-{next(numbers):08x}")
    monkeypatch.setattr(names.os, "getpid", lambda: 4711)


def a_fresh_row_flows(disk: Disk, database: Database) -> None:
    fresh = SpoolWriter(SPOOL, limits=SMALL, files=disk)
    assert fresh.append(payload(row("fresh")))
    assert fresh.sync()
    fresh.close()
    assert ship_all(SPOOL, database, disk).left == []
    assert "efresh" in database.rows


# --- damage ----------------------------------------------------------------------------------------


class Damaged:
    """A small spool of a process that was killed, partly delivered, with one file damaged at a time."""

    def __init__(self) -> None:
        disk = Disk()
        of = SpoolWriter(SPOOL, limits=SpoolLimits(segment_bytes=2_300), files=disk)
        self.rows = {key_of(row(key)): row(key) for key in range(18)}
        for each in self.rows.values():
            assert of.append(payload(each))
        assert of.sync()
        self.folder = next(iter(sets_in(SPOOL, disk)))
        with open_set(self.folder, disk) as opened:  # type: ignore[union-attr]  # nobody else is there
            batch = opened.next_batch(2, live=True) or opened.next_batch(2, live=False)
            assert batch is not None
            self.read = (self.folder / segment_name(batch.end[0]), batch.end[1])  # to here
            self.delivered = {key_of(record) for record in batch.records}
            assert opened.acknowledge(batch)
        of.reset_after_fork()  # killed
        self._tree = disk.tree
        self.files = {
            path: disk.content(path)
            for path in (self.folder / name for name in sorted(disk.listing(self.folder)))
        }

    def with_file(self, path: Path, content: bytes) -> Disk:
        tree = Tree()
        tree.entries = {folder: dict(names) for folder, names in self._tree.entries.items()}
        tree.contents = {number: bytearray(content) for number, content in self._tree.contents.items()}
        disk = Disk(tree)
        disk.put(path, content)
        return disk

    def cases(self) -> Iterable[tuple[Path, int, bytes]]:
        """(file, first byte that is not as it was, content) for each byte cut and each bit flipped."""
        for path, content in self.files.items():
            for at in range(len(content)):
                yield path, at, content[:at]
                for bit in range(8):
                    yield path, at, content[:at] + bytes([content[at] ^ 1 << bit]) + content[at + 1 :]

    def check(self, path: Path, at: int, content: bytes) -> None:
        """Raises AssertionError where a wrong row comes out, a right one does not, or damage gets lost."""
        disk = self.with_file(path, content)
        disk.is_old = at % 2 == 0  # for the one lane, and for the other one
        database = Database()
        shipped = ship_all(SPOOL, database, disk, rows=5)
        assert shipped.left == []
        assert database.rows.items() <= self.rows.items()
        lost = self.rows.keys() - database.rows.keys() - self.delivered
        aside = b"".join(entry.raw or b"" for entry in shipped.quarantine)
        is_read_already = (path, at) < self.read
        if path.suffix != ".seg":
            assert (lost, aside) == (set(), b"")
            return
        original = self.files[path]
        payloads, starts, end = read_frames(original, 0, 100)
        assert end == len(original)
        stretches = list(zip(payloads, starts, [*starts[1:], end], strict=True))
        if len(content) < len(original):
            hit = [one for one, _, stop in stretches if stop > at]
            assert (aside, shipped.total("torn")) == (b"", at not in starts and not is_read_already)
            a_fresh_row_flows(disk, database)
        else:
            [(one, start, stop)] = [stretch for stretch in stretches if stretch[1] <= at < stretch[2]]
            hit = [one]
            is_torn_end = shipped.total("torn") == 1 and stop == end
            assert aside == (b"" if is_read_already or is_torn_end else content[start:stop])
        assert lost <= {str(json.loads(one)[6]) for one in hit if one.startswith(b"[")}


def damage_each(every: int, damaged: Damaged | None = None) -> int:
    """Checks each case, or one of so many; how many cases there are."""
    damaged, cases = damaged or Damaged(), 0
    for case in damaged.cases():
        if cases % every == 0:
            damaged.check(*case)
        cases += 1
    return cases


@pytest.mark.usefixtures("_the_same_each_time")
@pytest.mark.portable
def test_a_cut_or_a_flipped_bit_costs_the_row_that_it_hits_and_no_other_one() -> None:
    damage_each(every=191)


@pytest.mark.usefixtures("_the_same_each_time")
@pytest.mark.full_faults
@pytest.mark.portable
def test_each_cut_and_each_flipped_bit_costs_the_row_that_it_hits_and_no_other_one() -> None:
    assert damage_each(every=1) >= 100_000


class _Anything(int):
    def __eq__(self, other: object) -> bool:
        return True

    def __ne__(self, other: object) -> bool:
        return False

    __hash__ = int.__hash__


@pytest.mark.usefixtures("_the_same_each_time")
@pytest.mark.portable
def test_without_checksums_the_damage_suite_finds_wrong_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    damaged = Damaged()
    monkeypatch.setattr(frames, "crc32", lambda *_: _Anything())
    with pytest.raises(AssertionError):
        damage_each(191, damaged)


# --- power cuts ------------------------------------------------------------------------------------


def is_poison(record: tuple[str, Any]) -> bool:
    return key_of(record).endswith("7")


class Work:
    """A robot or two and a forwarder at work on a disk that keeps a trace, as chance wants it."""

    def __init__(self, seed: int) -> None:
        self.disk = Disk()
        self.chance = random.Random(seed)  # noqa: S311  # the same each time
        self.database = Database(refuses=is_poison)
        self.writers: dict[SpoolWriter, list[str]] = {}  # with what each has accepted
        self.rows: dict[str, Row] = {}
        for _ in range(self.chance.randint(8, 16)):
            # Appends are what happens most.
            steps = [self.append] * 6 + [self.sync] * 3 + [self.ship_some] * 3
            self.chance.choice([*steps, self.ship_all, self.drop, self.end, self.kill])()

    def a_writer(self) -> SpoolWriter:
        if not self.writers or (len(self.writers) < 2 and self.chance.random() < 0.2):
            self.writers[SpoolWriter(SPOOL, limits=SMALL, files=self.disk)] = []
        return self.chance.choice(list(self.writers))

    def append(self) -> None:
        to = self.a_writer()
        for _ in range(self.chance.randint(1, 4)):
            key = len(self.rows)
            of = sign_of_life(key) if self.chance.random() < 0.1 else row(key)
            self.rows[key_of(of)] = of
            assert to.append(payload(of))
            self.writers[to].append(key_of(of))

    def sync(self) -> None:
        of = self.a_writer()
        assert of.sync()
        self.disk.note("synced", *self.writers[of])

    def ship_some(self) -> None:
        for path in sets_in(SPOOL, self.disk):
            with open_set(path, self.disk) as opened:  # type: ignore[union-attr]  # nobody else is there
                for live in self.chance.choices((True, False), k=3):
                    batch = opened.next_batch(self.chance.randint(1, 4), live=live)
                    if batch is not None:
                        rejected = self.take(batch)
                        if self.chance.random() < 0.9:
                            assert opened.acknowledge(batch, rejected)
                        else:  # the forwarder dies before it says so
                            self.disk.note("unacknowledged", *map(key_of, batch.records))

    def ship_all(self) -> None:
        database, self.database.take = self.database, self.take  # type: ignore[method-assign]
        ship_all(SPOOL, database, self.disk, note=lambda *counted: self.disk.note("counted", *counted))
        del database.take  # type: ignore[method-assign]

    def take(self, batch: Any) -> dict[int, str]:
        rejected = Database.take(self.database, batch)
        self.disk.note(
            "delivered", *(key_of(of) for at, of in enumerate(batch.records) if at not in rejected)
        )
        return rejected

    def drop(self) -> None:
        capacity.drop_oldest(SPOOL, self.chance.randint(3_000, 12_000), self.disk)

    def end(self) -> None:
        of = self.a_writer()
        of.close()
        del self.writers[of]

    def kill(self) -> None:
        of = self.a_writer()
        of.reset_after_fork()  # what the operating system does, too: it closes the files
        del self.writers[of]


class Known:
    """What the world outside of the machine knows at a moment of the trace."""

    def __init__(self) -> None:
        self.synced: set[str] = set()
        self.delivered: set[str] = set()
        self.unacknowledged: set[str] = set()  # may be dropped though they were delivered
        self.counted: dict[str, Counters] = {}

    def follow(self, note: Operation) -> None:
        what, *given = note
        if what == "counted":
            self.counted[given[0]] = given[1]
        else:
            getattr(self, what).update(given)


def check(work: Work, known: Known, disk: Disk) -> None:
    """Raises AssertionError where the invariant does not hold."""
    database = Database({key: work.rows[key] for key in known.delivered}, is_poison)
    disk.is_old = work.chance.random() < 0.5
    shipped = ship_all(SPOOL, database, disk)
    assert shipped.left == []
    for key, of in database.rows.items():
        assert of == work.rows[key]
    rows_aside = {key_of((e.kind, e.values)) for e in shipped.quarantine if e.kind}
    assert not rows_aside & database.rows.keys()
    lost = known.synced - database.rows.keys() - rows_aside
    # A set that was being removed may have lost its counters: they were noted before.
    nothing = Counters()
    dropped = sum(
        max(known.counted.get(name, nothing).dropped, shipped.sets.get(name, nothing).dropped)
        for name in known.counted.keys() | shipped.sets.keys()
    )
    surely_there = database.rows.keys() - known.unacknowledged
    assert len(lost) <= dropped <= len(work.rows.keys() - surely_there - rows_aside)
    a_fresh_row_flows(disk, database)


def replay(seeds: range, cuts_each: int) -> int:
    """Cuts the power after each operation of each trace; how often."""
    cuts = 0
    for seed in seeds:
        work, known, platter = Work(seed), Known(), Platter()
        chance = random.Random(seed)  # noqa: S311  # the same each time
        for operation in work.disk.trace:
            if operation[0] == "note":
                known.follow(operation[1:])
                continue
            platter.follow(operation)
            for how in chance.sample(("lost", "kept", "any", "any", "any"), cuts_each):
                check(work, known, platter.after_a_power_cut(chance, how))
                cuts += 1
    return cuts


@pytest.mark.usefixtures("_the_same_each_time")
@pytest.mark.portable
def test_a_power_cut_at_any_moment_loses_nothing_that_was_synced() -> None:
    assert replay(range(25), 1) >= 1_000


@pytest.mark.usefixtures("_the_same_each_time")
@pytest.mark.full_faults
@pytest.mark.portable
def test_a_power_cut_at_any_moment_of_500_traces_loses_nothing_that_was_synced() -> None:
    assert replay(range(1_000, 1_500), 3) >= 50_000


@pytest.mark.usefixtures("_the_same_each_time")
def test_without_syncing_the_cursor_before_a_removal_the_power_cut_suite_fails(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    save = cursor.save
    monkeypatch.setattr(cursor, "save", lambda *given, durable: save(*given, durable=False))
    with pytest.raises(AssertionError):
        replay(range(25), 1)


@pytest.mark.usefixtures("_the_same_each_time")
def test_without_syncing_folders_the_power_cut_suite_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Disk, "sync_folder", lambda *_: None)
    with pytest.raises(AssertionError):
        replay(range(25), 1)


# --- a disk that fails -----------------------------------------------------------------------------


class Failing:
    """Lets the operation with that number fail, and some after it."""

    def __init__(self, first: int, how_many: int, error: int | None) -> None:
        self.seen = 0
        self._failing = range(first, first + how_many)
        self._error = error  # None: a short write, and nothing else

    def __call__(self, what: str) -> int | None:
        number, self.seen = self.seen, self.seen + 1
        if number not in self._failing:
            return None
        if self._error is None:
            return 7 if what.startswith("write") else None
        raise OSError(self._error, os.strerror(self._error))


class Robot:
    """Records, is shipped and ends while its disk fails; whatever the disk raises ends at the spool."""

    def __init__(self, fault: Failing) -> None:
        self.disk = Disk()
        self.disk.fault = fault
        self.database = Database(refuses=is_poison)
        self.accepted: dict[str, Row] = {}
        self.lost_from_memory = 0
        self._keys = iter(range(1_000))
        self.counted: dict[str, Counters] = {}
        for _ in range(2):
            of = SpoolWriter(SPOOL, limits=SMALL, files=self.disk)
            self.record(of, 7)
            of.sync()
            self.ship()
            self.record(of, 2)
            of.sync()
            refused = of.refused
            of.close()
            self.lost_from_memory += of.refused - refused
        self.ship()

    def record(self, to: SpoolWriter, count: int) -> None:
        for key in (next(self._keys) for _ in range(count)):
            assert to.append(payload(row(key)))  # the disk's troubles are not the robot's
            self.accepted[key_of(row(key))] = row(key)

    def ship(self) -> None:
        try:
            ship_all(SPOOL, self.database, self.disk, note=self.counted.__setitem__)
        except OSError:
            return  # a forwarder comes again

    def check(self) -> None:
        """Raises AssertionError where an accepted row is lost, or nothing works any more."""
        self.disk.fault = lambda what: None
        shipped = ship_all(SPOOL, self.database, self.disk, note=self.counted.__setitem__)
        assert shipped.left == []
        aside = {key_of((entry.kind, entry.values)): entry for entry in shipped.quarantine if entry.kind}
        rows = self.database.rows | {key: (e.kind, e.values) for key, e in aside.items()}
        assert rows.items() <= self.accepted.items()
        lost = len(self.accepted) - len(rows)
        assert lost == self.lost_from_memory + sum(of.dropped for of in self.counted.values())
        a_fresh_row_flows(self.disk, self.database)


def fail_at_each_operation(every: int = 1) -> int:
    """A run for each operation (or for one of so many) and fault; how many runs."""
    operations = Failing(0, 0, None)
    Robot(operations)
    faults = [(error, how_many) for error in (errno.ENOSPC, errno.EIO, None) for how_many in (1, 6)]
    cases = [(first, *fault) for first in range(operations.seen) for fault in faults]
    for first, error, how_many in cases[::every]:
        Robot(Failing(first, how_many, error)).check()
    return len(cases[::every])


@pytest.mark.usefixtures("_the_same_each_time")
@pytest.mark.portable
def test_a_disk_that_fails_costs_no_row_that_is_not_counted_and_is_used_again() -> None:
    assert fail_at_each_operation(every=11) >= 100


@pytest.mark.usefixtures("_the_same_each_time")
@pytest.mark.full_faults
@pytest.mark.portable
def test_a_disk_that_fails_at_any_operation_costs_no_row_that_is_not_counted_and_is_used_again() -> None:
    assert fail_at_each_operation() >= 500


@pytest.mark.usefixtures("_the_same_each_time")
def test_without_waiting_in_memory_the_failing_disk_suite_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    wait = SpoolWriter._wait_in_memory
    monkeypatch.setattr(SpoolWriter, "_wait_in_memory", lambda of, row: bool(of.last_error) or wait(of, row))
    with pytest.raises(AssertionError):
        fail_at_each_operation(every=11)


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no limits on a process's files")
def test_where_a_segment_may_not_grow_rows_go_on_in_the_next_one(tmp_path: Path) -> None:
    def record() -> None:
        import resource

        hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
        resource.setrlimit(resource.RLIMIT_FSIZE, (5_000, hard))  # Python ignores the signal: EFBIG is left
        of = SpoolWriter(tmp_path / "spool")
        assert all(of.append(payload(row(key))) for key in range(200))
        assert of.sync()
        assert (of.rows, of.refused, of.waiting) == (200, 0, 0)

    assert exit_code(in_a_process(record)) == 0
    database = Database()
    shipped = ship_all(tmp_path / "spool", database)
    assert database.rows == {key_of(row(key)): row(key) for key in range(200)}
    assert (shipped.total("torn"), shipped.quarantine, shipped.left) == (0, [], [])


# --- many at once ----------------------------------------------------------------------------------


def record_and_die(folder: Path, number: int, count: int, all_of_them: Barrier) -> None:
    """A process that never closes what it writes to; the last row waits until all have come so far."""
    of = SpoolWriter(folder, limits=SpoolLimits(segment_bytes=20_000))
    for key in range(count):
        if key == count - 1:
            all_of_them.wait(60)
        assert of.append(payload(row(f"{number}-{key}")))
    all_of_them.wait(60)


def shipped_of(folder: Path, processes: int, rows_each: int) -> Database:
    """What so many processes recorded at once, shipped while they did."""
    database, all_of_them = Database(), multiprocessing.Barrier(processes)
    running = [
        multiprocessing.Process(target=record_and_die, args=(folder, number, rows_each, all_of_them))
        for number in range(processes)
    ]
    for process in running:
        process.start()
    while any(process.is_alive() for process in running):
        ship_all(folder, database, rows=200)
    assert [process.exitcode for process in running] == [0] * processes
    shipped = ship_all(folder, database, rows=200)
    assert (shipped.left, shipped.quarantine, shipped.total("torn")) == ([], [], 0)
    return database


@pytest.mark.portable
def test_what_16_processes_record_at_once_is_read_back_wholly(tmp_path: Path) -> None:
    rows = shipped_of(tmp_path / "spool", 16, 500).rows
    assert rows == {f"e{n}-{key}": row(f"{n}-{key}") for n in range(16) for key in range(500)}


@pytest.mark.full_faults
@pytest.mark.portable
def test_what_16_processes_record_at_once_is_read_back_wholly_however_much_it_is(tmp_path: Path) -> None:
    rows = shipped_of(tmp_path / "spool", 16, 50_000).rows
    assert len(rows) == 16 * 50_000


@pytest.mark.skipif(sys.platform == "win32", reason="a patch does not reach processes that are not forked")
def test_without_a_set_for_each_process_rows_of_many_processes_are_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(own_set, "new_set_name", lambda: "20261124T130512-4711-3b5c6f30")
    assert len(shipped_of(tmp_path / "spool", 4, 50).rows) < 4 * 50
