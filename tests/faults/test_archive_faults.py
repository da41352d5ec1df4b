"""Archiving killed at any step, run twice at once, and given a disk that lies: no row is ever lost.

At every moment each row is in the raw tables or in a file that the manifest names, and when the next
run is done in exactly one of them. Each suite has a negative control: with the protection taken away it
must fail.
"""

import contextlib
import multiprocessing
import os
import re
import threading
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from sqlalchemy import Engine, delete, event, insert, select

from analytics_lib import TimeSeriesStore, pipeline, schema
from analytics_lib.archive import reading, writing
from analytics_lib.pipeline import archive_days, archive_retention
from analytics_lib.store import deletion, ledger, manifest_rows
from tests.databases import CopyOf
from tests.faults.processes import (
    Points,
    digest,
    every_point,
    exit_code,
    in_a_process,
    killed_at,
    last_before_each_change,
    nothing,
    seen_by_others,
)
from tests.make import NOON, at, execution, heartbeat, rollups, sample, start, step, table_rows

LATER = NOON + timedelta(days=100)
SOURCES = ("execution", "step", "resource")
Rows = list[tuple[Any, ...]]
Patch = Callable[[], None]


def an_old_day(location: str) -> None:
    """A day, rolled up."""
    with TimeSeriesStore(location, clock=lambda: LATER) as opened:
        for n in range(3):
            ended = at(n * 5)
            opened.write_metrics(
                [start(f"e{n}", ended), heartbeat(f"e{n}", ended), execution(f"e{n}", ended)]
            )
            opened.write_metrics([step(f"e{n}", 1, ended, duration_ms=n + 0.5)])
            opened.write_metrics([sample(ended, cpu_percent=n / 3)])
        opened.write_metrics([start("goes on", at(0)), heartbeat("goes on", at(1))])
        pipeline.aggregate_pending(location, as_of=LATER)
        with opened.engine.begin() as connection:
            connection.execute(delete(schema.pending))


@pytest.fixture
def location(copy_of: CopyOf) -> str:
    return copy_of(an_old_day)


@pytest.fixture
def store(location: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[TimeSeriesStore]:
    """An old day; chunks of two rows, so that a kill falls between them, too."""
    monkeypatch.setattr(deletion, "CHUNK_ROWS", 2)
    monkeypatch.setenv("RPA_ANALYTICS_ARCHIVE", str(tmp_path / "archive"))
    with TimeSeriesStore(location, clock=lambda: LATER) as opened:
        yield opened


def archive(location: str) -> dict[str, Any]:
    return pipeline.archive_and_retain(location, as_of=LATER)


STEPS = (
    (os, "fsync"),
    (Path, "mkdir"),
    (Path, "replace"),
    (Path, "unlink"),
    (deletion, "_delete_by"),
)


def at_each_step(act: Callable[..., None]) -> None:
    """Has the function called before each step of this process that changes something.

    A kill at a read would leave what a kill before the next change leaves.
    """

    def at_changes(*arguments: Any) -> None:
        if arguments[2].lstrip().startswith(("INSERT", "UPDATE", "DELETE")):
            act()

    def before(whole: Callable[..., Any]) -> Callable[..., Any]:
        def act_then_do(*arguments: Any, **options: Any) -> Any:
            act()
            return whole(*arguments, **options)

        return act_then_do

    event.listen(Engine, "before_cursor_execute", at_changes)
    event.listen(Engine, "commit", act)
    for where, name in STEPS:
        setattr(where, name, before(getattr(where, name)))


def raw_rows(store: TimeSeriesStore) -> dict[str, Rows]:
    return {source: table_rows(store.engine, schema.RAW_TABLES[source].name) for source in SOURCES}


def archived_rows(store: TimeSeriesStore) -> dict[str, Rows]:
    """What the files of the manifest hold, by source."""
    folder = Path(os.environ["RPA_ANALYTICS_ARCHIVE"])
    rows: dict[str, Rows] = {source: [] for source in SOURCES}
    with store.engine.connect() as connection:
        for part in connection.execute(select(schema.archive_manifest)):
            columns = pq.ParquetFile(folder / part.path).read().to_pydict()
            rows[part.source] += zip(*columns.values(), strict=True)
    return {source: sorted(of_source, key=repr) for source, of_source in rows.items()}


def state(store: TimeSeriesStore) -> dict[str, Rows]:
    return tables(store.engine)


def tables(engine: Engine) -> dict[str, Rows]:
    return {name: table_rows(engine, name) for name in schema.metadata.tables}


def tables_and_files(engine: Engine) -> list[Any]:
    folder = Path(os.environ["RPA_ANALYTICS_ARCHIVE"])
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    process = re.compile(r"[.]\d+[.]unfinished$")
    return [tables(engine), [(process.sub("", str(path)), path.read_bytes()) for path in paths]]


def restore(store: TimeSeriesStore, saved: dict[str, Rows]) -> None:
    with store.engine.begin() as connection:
        for table in reversed(schema.metadata.sorted_tables):
            connection.execute(delete(table))
        for table in schema.metadata.sorted_tables:
            if saved[table.name]:
                names = [column.name for column in table.columns]
                rows = [dict(zip(names, row, strict=True)) for row in saved[table.name]]
                connection.execute(insert(table), rows)
    for file in Path(os.environ["RPA_ANALYTICS_ARCHIVE"]).rglob("*.*"):
        if file.is_file():
            file.unlink()


def nothing_is_lost(store: TimeSeriesStore, original: dict[str, Rows]) -> bool:
    """Whether each row is, whole, in the raw tables or in a file of the manifest."""
    raw, archived = raw_rows(store), archived_rows(store)
    return all(set(original[source]) == {*raw[source], *archived[source]} for source in SOURCES)


def survives_kills(
    store: TimeSeriesStore, location: str, patch: Patch, points: Points = last_before_each_change
) -> bool:
    """Whether no row is lost wherever the run was killed, and the next run leaves what one run does."""
    saved, original = state(store), raw_rows(store)
    archive(location)
    undisturbed = state(store)
    assert archived_rows(store) == original
    assert not any(raw_rows(store).values())
    restore(store, saved)
    seen = seen_by_others(lambda: archive(location), location, tables_and_files, patch, at_each_step)
    assert len(seen) > 50, f"only {len(seen)} points were found"
    for point in points(seen):
        restore(store, saved)
        assert killed_at(point, lambda: archive(location), patch, at_each_step) == 9
        assert digest(tables_and_files(store.engine)) == seen[point - 1]
        if not nothing_is_lost(store, original):
            return False
        archive(location)
        if state(store) != undisturbed or archived_rows(store) != original:
            return False
        folder = Path(os.environ["RPA_ANALYTICS_ARCHIVE"])
        assert {file.name for file in folder.rglob("*") if file.is_file()} == {"part-0.parquet"}, point
    return True


@pytest.mark.slow
def test_killed_wherever_that_leaves_something_else_no_row_is_lost_and_the_next_run_finishes(
    store: TimeSeriesStore, location: str
) -> None:
    assert survives_kills(store, location, nothing)


@pytest.mark.full_faults
def test_killed_at_any_step_no_row_is_lost_and_the_next_run_finishes(
    store: TimeSeriesStore, location: str
) -> None:
    assert survives_kills(store, location, nothing, every_point)


def delete_before_the_manifest() -> None:
    """The protection removed: rows are deleted when their file is written, before it is recorded."""
    whole = archive_days._publish

    def broken(job: Any, day: Any, part: int, written: Any) -> Any:
        keys = reading.read_back(written.unfinished, reading.identity_columns(day.source)).tuples()
        with job.engine.begin() as connection:
            deletion.delete_archived(connection, day.source, keys)
        return whole(job, day, part, written)

    archive_days._publish = broken


def test_control_rows_deleted_before_the_manifest_are_lost_by_a_kill(
    store: TimeSeriesStore, location: str
) -> None:
    assert not survives_kills(store, location, delete_before_the_manifest)


def a_disk_that_lies() -> None:
    """Whatever is published has one duration changed: a valid Parquet file with wrong content."""
    whole = writing.publish

    def publish(written: Any) -> None:
        table = pq.ParquetFile(written.unfinished).read()
        name = "cpu_percent" if "cpu_percent" in table.column_names else "duration_ms"
        wrong = pc.add(table[name], pa.scalar(1.0))
        position = table.column_names.index(name)
        pq.write_table(table.set_column(position, table.schema.field(name), wrong), written.unfinished)
        whole(written)

    writing.publish = publish


def a_disk_that_lies_and_nobody_reads_back() -> None:
    """The protection removed: the file is taken for what was written."""
    a_disk_that_lies()
    write, read = writing.write_part, reading.read_back
    last: list[Any] = []

    def write_part(*arguments: Any) -> Any:
        last.append(write(*arguments))
        return last[-1]

    def read_back(*arguments: Any) -> Any:
        found = read(*arguments)
        return reading.Contents(last[-1].n, last[-1].content_hash, found.rows)

    writing.write_part = write_part
    reading.read_back = read_back


def archive_on(location: str, patch: Patch) -> int:
    def work() -> None:
        patch()
        archive(location)

    return exit_code(in_a_process(work))


def test_a_file_that_does_not_read_back_as_it_was_written_deletes_nothing(
    store: TimeSeriesStore, location: str
) -> None:
    saved, original = state(store), raw_rows(store)
    assert archive_on(location, a_disk_that_lies) == 3
    assert raw_rows(store) == original
    assert table_rows(store.engine, "archive_manifest") == []
    for name in ("execution_start", "execution", "agent_heartbeat"):
        assert state(store)[name] == saved[name]
    archive(location)
    assert archived_rows(store) == original


def test_control_without_reading_back_the_content_is_lost(store: TimeSeriesStore, location: str) -> None:
    original = raw_rows(store)
    assert archive_on(location, a_disk_that_lies_and_nobody_reads_back) == 0
    assert not nothing_is_lost(store, original)


def run_two_at_once(location: str, patch: Patch) -> list[int]:
    """Exit codes of two runs; each waits a moment for the other before it publishes a file."""
    barrier = multiprocessing.get_context("fork").Barrier(2)
    whole = archive_days._publish

    def meet_then_publish(*arguments: Any) -> Any:
        # A broken barrier: the other one left, as it should, or is done.
        with contextlib.suppress(threading.BrokenBarrierError):
            barrier.wait(timeout=1.0)
        return whole(*arguments)

    def work() -> None:
        patch()
        archive_days._publish = meet_then_publish
        archive(location)

    return [exit_code(pid) for pid in [in_a_process(work), in_a_process(work)]]


def without_the_lock_of_the_run() -> None:
    """One of two protections removed: both believe that they are alone."""

    @contextlib.contextmanager
    def mine(*_: object) -> Iterator[bool]:
        yield True

    archive_retention.run_lock = mine
    writing.remove_unfinished = lambda _folder: 0


def without_any_lock() -> None:
    """Both removed: nor does a day's lock make them look again before they publish."""
    without_the_lock_of_the_run()
    ledger.lock_shard = lambda *_: None
    begin = Engine.begin
    Engine.begin = lambda engine: begin(engine.execution_options(reads_only=True))  # type: ignore[method-assign]  # as intended
    recorded = manifest_rows.read_parts
    manifest_rows.read_parts = lambda *arguments: recorded(*arguments).iloc[:0]


@pytest.mark.parametrize("patch", [nothing, without_the_lock_of_the_run])
def test_two_at_once_leave_the_rows_of_one(store: TimeSeriesStore, location: str, patch: Patch) -> None:
    saved, original, rolled_up = state(store), raw_rows(store), rollups(store.engine)
    archive(location)
    undisturbed = state(store)
    restore(store, saved)
    assert run_two_at_once(location, patch) == [0, 0]
    archive(location)  # what one put off because the other had been there
    assert state(store) == undisturbed
    assert archived_rows(store) == original
    assert rollups(store.engine) == rolled_up


def test_control_without_locks_two_at_once_disturb_each_other(store: TimeSeriesStore, location: str) -> None:
    assert run_two_at_once(location, without_any_lock) != [0, 0]
