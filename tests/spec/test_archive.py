"""What archiving promises: no row is lost or doubled, rollups stay what they are, and what goes is said."""

import errno
import logging
import os
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from sqlalchemy import delete, select

from analytics_lib import TimeSeriesStore, pipeline, schema
from analytics_lib.catalog import Source
from analytics_lib.errors import ArchiveError, ArchiveUnwritableError
from analytics_lib.pipeline import archive_and_retain, archive_days
from analytics_lib.pipeline.archive_retention import LOCK
from analytics_lib.records import AgentHeartbeat, QuarantinedRecord, Record
from analytics_lib.store import archive_rows, deletion
from analytics_lib.store.run_lock import run_lock
from analytics_lib.store.writing import ANOMALY_STAGE, ROLLUP_STAGE, insert_marks
from analytics_lib.windows import hour_of, to_us
from tests.databases import CopyOf, with_tables
from tests.make import NOON, at, execution, heartbeat, rollups, sample, start, step, table_rows

LATER = NOON + timedelta(days=100)
SOURCES: tuple[Source, ...] = ("execution", "step", "resource")
Archive = Callable[..., dict[str, Any]]


def an_old_fleet(location: str) -> None:
    with TimeSeriesStore(location, clock=lambda: LATER) as store:
        store.write_metrics(fleet())
        pipeline.aggregate_pending(location, as_of=LATER)
        with store.engine.begin() as connection:
            connection.execute(delete(schema.pending))


@pytest.fixture
def old_fleet() -> None:
    """For tests that begin with `fleet()` in the store, rolled up."""


@pytest.fixture
def location(copy_of: CopyOf, request: pytest.FixtureRequest) -> str:
    return copy_of(an_old_fleet if "old_fleet" in request.fixturenames else with_tables)


@pytest.fixture
def store(location: str) -> Iterator[TimeSeriesStore]:
    with TimeSeriesStore(location, clock=lambda: LATER + timedelta(days=800)) as opened:
        yield opened


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "archive"


@pytest.fixture
def aggregate(store: TimeSeriesStore, location: str, folder: Path) -> Archive:
    """Rolls up what is pending; the anomaly stage has nothing to do here, so its marks go."""

    def run(**options: Any) -> dict[str, Any]:
        options = {"as_of": LATER, "archive_folder": folder} | options
        done = pipeline.aggregate_pending(location, **options)
        with store.engine.begin() as connection:
            connection.execute(delete(schema.pending).where(schema.pending.c.stage == ANOMALY_STAGE))
        return done

    return run


@pytest.fixture
def archive(location: str, folder: Path) -> Archive:
    def run(**options: Any) -> dict[str, Any]:
        return archive_and_retain(location, **{"as_of": LATER, "archive_folder": folder} | options)

    return run


def fleet() -> list[Record]:
    """Three days of runs with starts, heartbeats, steps and samples."""
    records: list[Record] = []
    for n in range(20):
        ended = at(n * 90 - 900)
        of_run: dict[str, Any] = {"workflow_id": f"w{n % 3}", "host": f"BOT-{n % 2}"}
        records += [start(f"e{n}", ended - timedelta(minutes=1), **of_run)]
        records += [heartbeat(f"e{n}", ended - timedelta(seconds=5), **of_run)]
        records += [execution(f"e{n}", ended, duration_ms=n + 0.1, message="ü\n", **of_run)]
        records += [step(f"e{n}", s, ended, step_id=f"s{s}", duration_ms=n / 3, **of_run) for s in range(3)]
        records += [sample(ended, memory_used_bytes=None if n % 3 else n << 30, host=f"BOT-{n % 2}")]
    return records


def raw_rows(store: TimeSeriesStore) -> dict[str, list[tuple[Any, ...]]]:
    return {source: table_rows(store.engine, schema.RAW_TABLES[source].name) for source in SOURCES}


def archived_rows(store: TimeSeriesStore, folder: Path) -> dict[str, list[tuple[Any, ...]]]:
    """All rows in the files of the manifest, by source."""
    rows: dict[str, list[tuple[Any, ...]]] = {source: [] for source in SOURCES}
    with store.engine.connect() as connection:
        for part in connection.execute(select(schema.archive_manifest)):
            columns = pq.ParquetFile(folder / part.path).read().to_pydict()
            rows[part.source] += zip(*columns.values(), strict=True)
    return {source: sorted(of_source, key=repr) for source, of_source in rows.items()}


def manifest(store: TimeSeriesStore) -> list[Any]:
    with store.engine.connect() as connection:
        return list(connection.execute(select(schema.archive_manifest).order_by("day_us", "source", "part")))


def everything(store: TimeSeriesStore) -> dict[str, Any]:
    return {name: table_rows(store.engine, name) for name in schema.metadata.tables}


@pytest.mark.usefixtures("old_fleet")
def test_old_days_leave_the_database_and_lie_whole_in_the_archive(
    store: TimeSeriesStore, archive: Archive, folder: Path
) -> None:
    before, rolled_up = raw_rows(store), rollups(store.engine)
    done = archive()
    assert archived_rows(store, folder) == before
    assert raw_rows(store) == {source: [] for source in SOURCES}
    assert rollups(store.engine) == rolled_up
    files = {f"{source}/day=2026-03-0{day}/part-0.parquet" for source in SOURCES for day in (1, 2, 3)}
    assert {row.path for row in manifest(store)} == files
    assert {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()} == files
    n = sum(map(len, before.values()))
    assert (done["days_archived"], done["rows_archived"], done["rows_deleted"]) == (
        len(manifest(store)),
        n,
        n,
    )
    assert done["bytes"] == sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
    assert {row.deleted_at_us for row in manifest(store)} == {to_us(LATER)}


@pytest.mark.usefixtures("old_fleet")
def test_starts_heartbeats_and_ids_go_with_their_runs(store: TimeSeriesStore, archive: Archive) -> None:
    archive()
    for name in ("execution", "execution_start", "execution_heartbeat"):
        assert table_rows(store.engine, name) == [], name


@pytest.mark.usefixtures("old_fleet")
def test_running_again_changes_nothing(store: TimeSeriesStore, archive: Archive) -> None:
    archive()
    before = everything(store)
    again = archive()
    assert everything(store) == before
    assert not any(value for name, value in again.items())


def test_young_days_stay(store: TimeSeriesStore, aggregate: Archive, archive: Archive) -> None:
    store.write_metrics([execution("e1"), execution("e2", NOON + timedelta(days=1))])
    aggregate()
    midnight = NOON.replace(hour=0)
    assert archive(as_of=midnight + timedelta(days=91, microseconds=-1))["days_archived"] == 0
    assert archive(as_of=midnight + timedelta(days=91))["days_archived"] == 1
    assert [row[0] for row in table_rows(store.engine, "execution_metrics")] == ["e2"]
    assert archive(as_of=midnight + timedelta(days=33), keep_raw_days=31)["days_archived"] == 1


@pytest.mark.parametrize("stage", [ROLLUP_STAGE, ANOMALY_STAGE, "a stage of tomorrow"])
def test_a_day_with_a_mark_of_any_stage_is_not_touched(
    store: TimeSeriesStore, aggregate: Archive, archive: Archive, stage: str
) -> None:
    store.write_metrics([execution("e1"), step("e1", 1), execution("e2", NOON + timedelta(days=1))])
    aggregate()
    with store.engine.begin() as connection:
        insert_marks(connection, {(stage, "execution", hour_of(to_us(at(300))), 0)})
    done = archive()
    assert (done["days_archived"], done["kept_not_rolled_up"]) == (2, 1)
    assert [row[0] for row in table_rows(store.engine, "execution_metrics")] == ["e1"]
    assert [row[0] for row in table_rows(store.engine, "execution")] == ["e1"]


def test_what_is_not_rolled_up_is_not_deleted(
    store: TimeSeriesStore, aggregate: Archive, archive: Archive, folder: Path
) -> None:
    store.write_metrics([execution("e1"), execution("e2", at(60), workflow_id="other")])
    aggregate()
    with store.engine.begin() as connection:  # as after a restored backup
        connection.execute(delete(schema.rollup_execution_hourly).where(_hour_is(at(60))))
    done = archive()
    assert (done["days_archived"], done["kept_not_rolled_up"], done["rows_deleted"]) == (0, 1, 0)
    assert not folder.exists()


def _hour_is(moment: Any) -> Any:
    return schema.rollup_execution_hourly.c.hour_us == to_us(moment)


def test_a_run_that_goes_on_is_kept(store: TimeSeriesStore, aggregate: Archive, archive: Archive) -> None:
    store.write_metrics([start("on", at(-60)), heartbeat("on", at(-1)), step("on", 1)])
    store.write_metrics([start("imported", at(-60), source="importer")])
    aggregate()
    assert archive()["rows_archived"] == 1  # the step
    assert [row[0] for row in table_rows(store.engine, "execution_start")] == ["imported", "on"]
    assert len(table_rows(store.engine, "execution_heartbeat")) == 1
    assert len(table_rows(store.engine, "execution")) == 2


@pytest.mark.usefixtures("old_fleet")
def test_an_archived_run_is_not_found_abandoned(
    store: TimeSeriesStore, archive: Archive, location: str
) -> None:
    archive()
    assert pipeline.sweep_abandoned(location, as_of=LATER) == {"abandoned": 0}


def test_an_abandoned_run_that_did_end_is_not_counted_as_abandoned_again(
    store: TimeSeriesStore, aggregate: Archive, archive: Archive, location: str
) -> None:
    store.write_metrics([start("e1", at(1)), heartbeat("e1", at(2)), execution("other", at(3))])
    pipeline.sweep_abandoned(location, as_of=at(100))
    store.write_metrics([execution("e1", at(130))])
    aggregate()
    before = rollups(store.engine)
    archive()
    assert table_rows(store.engine, "execution_abandoned") == []
    pipeline.mark_window(location, window_start=at(-600), window_end=at(600))
    pipeline.sweep_abandoned(location, as_of=LATER)
    aggregate()
    assert rollups(store.engine) == before


@pytest.mark.usefixtures("old_fleet")
def test_a_late_row_of_an_archived_day_is_counted_and_becomes_the_next_part(
    store: TimeSeriesStore, aggregate: Archive, archive: Archive, location: str, folder: Path, tmp_path: Path
) -> None:
    late: list[Record] = [execution("late", at(7), workflow_id="w0"), step("e1", 9, at(7), workflow_id="w1")]
    late += [sample(at(7), host="BOT-1", thread_count=5)]
    archive()
    store.write_metrics(late)
    assert aggregate()["refused_days"] == 0
    with TimeSeriesStore(tmp_path / "whole", clock=lambda: LATER) as whole:
        whole.write_metrics([*fleet(), *late])
        pipeline.aggregate_pending(tmp_path / "whole", as_of=LATER)
        assert rollups(store.engine) == rollups(whole.engine)
        assert archive()["rows_archived"] == 3
        assert [row.part for row in manifest(store)].count(1) == 3
        assert archived_rows(store, folder) == raw_rows(whole)
    assert raw_rows(store) == {source: [] for source in SOURCES}
    before = rollups(store.engine)
    marked = pipeline.mark_window(location, window_start=at(-3000), window_end=at(3000))
    done = aggregate()
    assert marked["marks"] > 0
    assert done["rows_read"] == sum(map(len, archived_rows(store, folder).values()))
    assert rollups(store.engine) == before


@pytest.mark.usefixtures("old_fleet")
def test_rows_that_come_again_are_counted_once_and_go_without_a_new_part(
    store: TimeSeriesStore, aggregate: Archive, archive: Archive, folder: Path
) -> None:
    archive()
    rolled_up, files = rollups(store.engine), archived_rows(store, folder)
    assert store.write_metrics(fleet()).inserted == len(fleet())
    aggregate()
    assert rollups(store.engine) == rolled_up
    done = archive()
    assert (done["days_archived"], done["rows_deleted"]) == (0, 100)
    assert (raw_rows(store), archived_rows(store, folder)) == ({source: [] for source in SOURCES}, files)
    assert table_rows(store.engine, "execution_start") == []


def test_an_archived_key_with_other_content_is_quarantined_and_the_first_stays(
    store: TimeSeriesStore, aggregate: Archive, archive: Archive, folder: Path
) -> None:
    store.write_metrics([step("e1", 1, duration_ms=100.0)])
    aggregate()
    archive()
    [first] = archived_rows(store, folder)["step"]
    store.write_metrics([step("e1", 1, at(3), duration_ms=999.0), step("e1", 2)])
    aggregate()
    [rollup] = table_rows(store.engine, "rollup_step_hourly")
    assert 999.0 not in rollup
    done = archive()
    assert (done["rows_archived"], done["rows_quarantined"], done["rows_deleted"]) == (1, 1, 2)
    [row] = table_rows(store.engine, "quarantine")
    assert "in the archive with other content" in str(row)
    assert "999.0" in str(row)
    assert first in archived_rows(store, folder)["step"]
    assert raw_rows(store)["step"] == []


def interrupted(monkeypatch: pytest.MonkeyPatch, where: Any, name: str, what: Callable[[], object]) -> None:
    """Once, just before that function runs, something else happens."""
    whole = getattr(where, name)

    def what_then_whole(*arguments: Any) -> Any:
        monkeypatch.setattr(where, name, whole)
        what()
        return whole(*arguments)

    monkeypatch.setattr(where, name, what_then_whole)


def test_news_while_the_file_is_written_puts_the_day_off(
    store: TimeSeriesStore,
    aggregate: Archive,
    archive: Archive,
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    store.write_metrics([step("e1", n) for n in range(3)])
    aggregate()
    before = raw_rows(store)["step"]
    interrupted(monkeypatch, archive_days, "_publish", lambda: store.write_metrics([step("e1", 3)]))
    done = archive()
    assert (done["days_archived"], done["kept_not_rolled_up"], done["rows_deleted"]) == (0, 1, 0)
    assert set(before) < set(raw_rows(store)["step"])
    assert [path for path in folder.rglob("*") if path.is_file()] == []
    aggregate()
    assert archive()["rows_archived"] == 4


def test_a_row_that_comes_while_others_are_deleted_stays_for_the_next_part(
    store: TimeSeriesStore,
    aggregate: Archive,
    archive: Archive,
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    store.write_metrics([step("e1", n) for n in range(3)])
    aggregate()
    interrupted(monkeypatch, archive_days, "_delete_part", lambda: store.write_metrics([step("e1", 3)]))
    done = archive()
    assert (done["rows_archived"], done["rows_deleted"]) == (3, 3)
    [late] = raw_rows(store)["step"]
    aggregate()
    assert archive()["rows_archived"] == 1
    assert late in archived_rows(store, folder)["step"]
    assert [(row.part, row.n) for row in manifest(store)] == [(0, 3), (1, 1)]


def test_an_hour_computed_again_while_its_rows_are_deleted_counts_every_row(
    store: TimeSeriesStore, aggregate: Archive, archive: Archive, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.write_metrics([step("e1", n) for n in range(4)])
    aggregate()
    monkeypatch.setattr(deletion, "CHUNK_ROWS", 1)
    seen: list[tuple[int, int]] = []

    def and_compute_again() -> None:
        store.write_metrics([step("e1", 10 + len(seen))])
        aggregate()
        with store.engine.connect() as connection:
            counted = connection.execute(select(schema.rollup_step_hourly.c.n)).scalar_one()
        seen.append((len(raw_rows(store)["step"]), counted))

    chunks = archive_days._chunks

    def chunks_with_news(items: Any) -> Iterator[Any]:
        for chunk in chunks(items):
            yield chunk
            and_compute_again()

    monkeypatch.setattr(archive_days, "_chunks", chunks_with_news)
    archive()
    assert seen == [(4, 5), (4, 6), (4, 7), (4, 8)]


def test_without_the_archive_a_recompute_is_refused_and_other_days_go_on(
    store: TimeSeriesStore,
    aggregate: Archive,
    archive: Archive,
    folder: Path,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    store.write_metrics([step("e1", n) for n in range(3)])
    aggregate()
    archive()
    before = rollups(store.engine)
    store.write_metrics([step("e1", 7), step("e2", 1, at(9000))])
    with caplog.at_level(logging.ERROR):
        done = aggregate(archive_folder=tmp_path / "elsewhere")
    assert (done["days"], done["refused_days"], done["pending_hours"]) == (1, 1, 1)
    assert "is gone" in caplog.text
    assert [row for row in rollups(store.engine)["rollup_step_hourly"] if row in before["rollup_step_hourly"]]
    assert aggregate(archive_folder=folder)["refused_days"] == 0
    assert table_rows(store.engine, "pending") == []


def test_a_damaged_file_is_never_read_as_fewer_rows(
    store: TimeSeriesStore,
    aggregate: Archive,
    archive: Archive,
    folder: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    store.write_metrics([step("e1", n) for n in range(3)])
    aggregate()
    archive()
    before = rollups(store.engine)
    [file] = folder.rglob("*.parquet")
    whole = file.read_bytes()
    file.write_bytes(whole[: len(whole) // 2])
    store.write_metrics([step("e1", 7)])
    assert aggregate()["refused_days"] == 1
    assert "restore it from a backup" in caplog.text
    assert rollups(store.engine) == before
    store.write_metrics([step("e2", 1, at(3000))])
    aggregate()
    file.write_bytes(whole)
    assert (aggregate()["refused_days"], archive()["rows_archived"]) == (0, 2)


@pytest.mark.usefixtures("old_fleet")
def test_an_hour_whose_rows_are_gone_altogether_is_not_computed_again(
    store: TimeSeriesStore, aggregate: Archive, location: str, caplog: pytest.LogCaptureFixture
) -> None:
    before = rollups(store.engine)
    with store.engine.begin() as connection:  # by hand, and in no archive
        for source in SOURCES:
            connection.execute(delete(schema.RAW_TABLES[source]))
    pipeline.mark_window(location, window_start=at(-3000), window_end=at(3000))
    done = aggregate()
    assert (done["days"], done["refused_days"] > 0, done["pending_hours"] > 0) == (0, True, True)
    assert "neither in the database nor in the archive" in caplog.text
    assert rollups(store.engine) == before


def test_a_late_row_does_not_replace_an_hour_whose_rows_are_gone(
    store: TimeSeriesStore, aggregate: Archive
) -> None:
    store.write_metrics([step("e1", n) for n in range(3)])
    aggregate()
    before = rollups(store.engine)
    with store.engine.begin() as connection:
        connection.execute(delete(schema.step_metrics))
    store.write_metrics([step("e1", 7)])
    assert aggregate()["refused_days"] == 1
    assert rollups(store.engine) == before


def test_hourly_rows_go_after_their_months_unless_raw_rows_are_left(
    store: TimeSeriesStore, aggregate: Archive, archive: Archive
) -> None:
    store.write_metrics([execution("e1"), execution("e2", at(1500)), sample()])
    aggregate()
    with store.engine.begin() as connection:
        insert_marks(connection, {("a stage", "execution", hour_of(to_us(at(1500))), 0)})
    two_years_on = NOON + timedelta(days=25 * 31 + 5)
    done = archive(as_of=two_years_on)
    assert (done["hourly_deleted"], done["kept_not_rolled_up"]) == (2, 1)
    assert [row[1] for row in table_rows(store.engine, "rollup_execution_hourly")] == ["invoices"]
    assert table_rows(store.engine, "rollup_resource_hourly") == []


def test_an_abandoned_run_goes_with_the_hourly_rows_that_count_it(
    store: TimeSeriesStore, aggregate: Archive, archive: Archive, location: str
) -> None:
    store.write_metrics([start("lost", at(1)), heartbeat("lost", at(2))])
    pipeline.sweep_abandoned(location, as_of=LATER)
    aggregate()
    archive()
    assert len(table_rows(store.engine, "execution_abandoned")) == 1
    two_years_on = NOON + timedelta(days=25 * 31 + 5)
    archive(as_of=two_years_on)
    for name in ("execution_abandoned", "execution_start", "execution_heartbeat", "execution"):
        assert table_rows(store.engine, name) == [], name
    assert pipeline.sweep_abandoned(location, as_of=two_years_on) == {"abandoned": 0}


def agent_heartbeat(agent_id: str, sent: Any, host: str) -> AgentHeartbeat:
    return AgentHeartbeat(agent_id=agent_id, sent_at=sent, complete_to=sent, host=host)


def test_old_agent_heartbeats_go_but_for_the_newest_of_each_host(
    store: TimeSeriesStore, archive: Archive
) -> None:
    sent = [
        (1, "a", "BOT-1"),
        (2, "a", "BOT-1"),
        (3, "b", "BOT-1"),
        (1, "c", "BOT-2"),
        (144_000, "d", "BOT-3"),
    ]
    store.write_metrics([agent_heartbeat(agent, at(minute), host) for minute, agent, host in sent])
    assert archive()["other_rows_deleted"] == 2
    assert [row[0] for row in table_rows(store.engine, "agent_heartbeat")] == ["b", "c", "d"]


def test_quarantined_rows_are_kept_for_400_days(store: TimeSeriesStore, archive: Archive) -> None:
    for day in (0, 1):
        received = NOON + timedelta(days=day)
        aside = QuarantinedRecord(record_kind="step", reason="wrong", payload=f"{day}", received_at=received)
        store.write_metrics([aside])
    assert archive(as_of=NOON + timedelta(days=400))["other_rows_deleted"] == 0
    assert archive(as_of=NOON + timedelta(days=401))["other_rows_deleted"] == 1
    assert len(table_rows(store.engine, "quarantine")) == 1


@pytest.mark.usefixtures("old_fleet")
def test_a_dry_run_foretells_and_changes_nothing(
    store: TimeSeriesStore, archive: Archive, folder: Path
) -> None:
    before = everything(store)
    foretold = archive(dry_run=True)
    assert (everything(store), folder.exists()) == (before, False)
    done = archive()
    assert foretold["dry_run"]
    assert not done["dry_run"]
    for name in ("days_archived", "rows_archived", "rows_deleted", "hourly_deleted", "kept_not_rolled_up"):
        assert foretold[name] == done[name], name
    assert done["rows_archived"] == 100


@pytest.mark.usefixtures("old_fleet")
def test_a_dry_run_foretells_what_happens_to_hourly_rows(store: TimeSeriesStore, archive: Archive) -> None:
    two_years_on = NOON + timedelta(days=25 * 31 + 5)
    foretold = archive(as_of=two_years_on, dry_run=True)
    assert foretold["hourly_deleted"] == archive(as_of=two_years_on)["hourly_deleted"] > 0
    left = rollups(store.engine)
    assert {name for name, rows in left.items() if rows} <= {
        table.name for table in schema.DAILY_TABLES.values()
    }
    assert left["rollup_execution_daily"] != []  # days are kept when their hours go


def test_a_late_row_after_its_hourly_rows_are_gone_brings_the_whole_hour_back(
    store: TimeSeriesStore, aggregate: Archive, archive: Archive
) -> None:
    two_years_on = NOON + timedelta(days=25 * 31 + 5)
    store.write_metrics([step("e1", n) for n in range(3)])
    aggregate()
    archive(as_of=two_years_on)
    store.write_metrics([step("e1", 7)])
    aggregate(as_of=two_years_on)
    with store.engine.connect() as connection:
        assert connection.execute(select(schema.rollup_step_hourly.c.n)).scalars().all() == [4]


@pytest.mark.usefixtures("old_fleet")
def test_the_second_of_two_at_once_leaves(store: TimeSeriesStore, archive: Archive) -> None:
    before = everything(store)
    with run_lock(store.engine, LOCK) as ours:
        assert ours
        second = archive()
    assert "another run is archiving" in second["message"]
    assert (second["days_archived"], everything(store)) == (0, before)
    assert archive()["message"] == ""


def test_an_empty_store_has_nothing_to_archive(store: TimeSeriesStore, archive: Archive) -> None:
    assert not any(archive().values())
    assert archive(dry_run=True)["days_archived"] == 0


@pytest.mark.usefixtures("old_fleet")
def test_days_of_many_chunks_leave_whole(
    store: TimeSeriesStore,
    archive: Archive,
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(deletion, "CHUNK_ROWS", 7)
    monkeypatch.setattr(archive_rows, "BATCH_ROWS", 11)
    before = raw_rows(store)
    archive()
    assert archived_rows(store, folder) == before
    assert table_rows(store.engine, "execution") == []


def test_a_file_without_a_manifest_row_is_written_anew(
    store: TimeSeriesStore, aggregate: Archive, archive: Archive, folder: Path
) -> None:
    store.write_metrics([step("e1", n) for n in range(3)])
    aggregate()
    archive()
    [file] = folder.rglob("*.parquet")
    whole = file.read_bytes()
    with store.engine.begin() as connection:  # as after a kill between the file and its manifest row
        connection.execute(delete(schema.archive_manifest))
    store.write_metrics([step("e1", n) for n in range(3)])
    aggregate()
    for left in (whole, whole[:100], b""):
        file.write_bytes(left)
        with store.engine.begin() as connection:
            connection.execute(delete(schema.archive_manifest))
        store.write_metrics([step("e1", n) for n in range(3)])
        aggregate()
        assert archive()["rows_archived"] == 3
        assert file.read_bytes() == whole


def test_a_file_with_rows_of_another_store_is_not_overwritten(
    store: TimeSeriesStore, aggregate: Archive, archive: Archive, folder: Path, tmp_path: Path
) -> None:
    store.write_metrics([step("e1", 1), execution("e1")])
    aggregate()
    with TimeSeriesStore(tmp_path / "other", clock=lambda: LATER) as other:
        other.write_metrics([step("theirs", 1)])
        pipeline.aggregate_pending(tmp_path / "other", as_of=LATER)
        with other.engine.begin() as connection:
            connection.execute(delete(schema.pending))
        archive_and_retain(tmp_path / "other", as_of=LATER, archive_folder=folder)
        with pytest.raises(ArchiveError, match="belongs to another store"):
            archive()
        assert [row[0] for row in archived_rows(other, folder)["step"]] == ["theirs"]
    assert len(raw_rows(store)["step"]) == 1
    assert raw_rows(store)["execution"] == []  # the other day was done


def test_an_unfinished_deletion_resumes_with_just_the_rows_in_the_file(
    store: TimeSeriesStore,
    aggregate: Archive,
    archive: Archive,
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    store.write_metrics([step("e1", n) for n in range(5)])
    aggregate()
    monkeypatch.setattr(archive_days, "_delete_part", lambda *_: None)
    archive()
    monkeypatch.undo()
    assert [row.deleted_at_us for row in manifest(store)] == [None]
    store.write_metrics([step("e1", 7)])
    assert archive()["rows_deleted"] == 0  # there is news in the day
    aggregate()
    done = archive()
    assert (done["rows_deleted"], done["rows_archived"]) == (6, 1)
    assert [(row.part, row.n) for row in manifest(store)] == [(0, 5), (1, 1)]
    assert len(archived_rows(store, folder)["step"]) == 6


def test_a_damaged_or_missing_file_stops_the_deletion_of_its_rows_and_of_no_others(
    store: TimeSeriesStore,
    aggregate: Archive,
    archive: Archive,
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    store.write_metrics([step("e1", 1), execution("e1")])
    aggregate()
    monkeypatch.setattr(archive_days, "_delete_part", lambda *_: None)
    archive()
    monkeypatch.undo()
    [file] = folder.rglob("step/*/*.parquet")
    file.rename(folder / "moved")
    with pytest.raises(ArchiveError, match=r"(?s)1 days could not .* is gone"):
        archive()
    assert (len(raw_rows(store)["step"]), len(raw_rows(store)["execution"])) == (1, 0)
    file.write_bytes((folder / "moved").read_bytes()[:-9])
    with pytest.raises(ArchiveError, match="cannot be read"):
        archive()
    assert len(raw_rows(store)["step"]) == 1
    (folder / "moved").rename(file)
    assert archive()["rows_deleted"] == 1


@pytest.mark.usefixtures("old_fleet")
def test_a_folder_that_cannot_be_written_is_an_error_and_nothing_is_deleted(
    store: TimeSeriesStore, archive: Archive, folder: Path
) -> None:
    before = everything(store)
    folder.write_text("a file in the place of the folder")
    with pytest.raises(ArchiveUnwritableError, match="cannot be written"):
        archive()
    assert everything(store) == before


@pytest.mark.usefixtures("old_fleet")
def test_a_full_disk_is_an_error_and_nothing_is_deleted(
    store: TimeSeriesStore,
    archive: Archive,
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    before = everything(store)

    def no_space(_descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", no_space)
    with pytest.raises(ArchiveUnwritableError, match=r"No space left on device.*make room"):
        archive()
    monkeypatch.undo()
    assert everything(store) == before
    assert [path for path in folder.rglob("*") if path.is_file()] == []
    assert archive()["rows_archived"] == 100


def test_the_database_file_shrinks(tmp_path: Path) -> None:
    with TimeSeriesStore(tmp_path, clock=lambda: LATER) as store:
        store.write_metrics([step("e1", n, message="x" * 1000) for n in range(3000)])
        pipeline.aggregate_pending(tmp_path, as_of=LATER)
        with store.engine.begin() as connection:
            connection.execute(delete(schema.pending))
    before = (tmp_path / "rpa.sqlite").stat().st_size
    archive_and_retain(tmp_path, as_of=LATER)
    assert (tmp_path / "rpa.sqlite").stat().st_size < before / 4
    assert (tmp_path / "archive" / "step" / "day=2026-03-02" / "part-0.parquet").is_file()


@pytest.mark.usefixtures("old_fleet")
def test_on_postgres_archived_days_are_dropped_and_not_deleted_row_by_row(
    store: TimeSeriesStore, location: str, archive: Archive, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if store.engine.dialect.name != "postgresql":
        pytest.skip("SQLite has no partitions")
    before = raw_rows(store)
    pipeline.maintain_partitions(location, as_of=NOON)
    deleted: list[str] = []
    real = deletion.delete_archived

    def noting(connection: Any, source: Source, keys: Any) -> int:
        deleted.append(source)
        return real(connection, source, keys)

    monkeypatch.setattr(deletion, "delete_archived", noting)
    done = archive()
    assert set(deleted) == {"execution"}
    assert done["rows_deleted"] == sum(map(len, before.values()))
    assert raw_rows(store) == {source: [] for source in SOURCES}
    assert archived_rows(store, folder) == before
