"""What `write_metrics` promises, on SQLite and on Postgres alike."""

import threading
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import text

from analytics_lib import TimeSeriesStore
from analytics_lib.errors import SchemaVersionError, StoreError
from analytics_lib.records import AgentHeartbeat, Record
from analytics_lib.schema import POSTGRES_SCHEMA, SCHEMA_VERSION, VERSION_TABLE
from analytics_lib.store import writing
from analytics_lib.store.versions import revision_id
from tests.make import NOON, at, execution, heartbeat, sample, start, step, table_rows


@pytest.fixture
def store(location: str) -> Iterator[TimeSeriesStore]:
    with TimeSeriesStore(location, clock=lambda: at(60)) as opened:
        yield opened


def set_version(store: TimeSeriesStore, version: str) -> None:
    prefix = "" if store.engine.dialect.name == "sqlite" else f"{POSTGRES_SCHEMA}."
    with store.engine.begin() as connection:
        connection.execute(text(f"UPDATE {prefix}{VERSION_TABLE} SET version_num = '{version}'"))


def mixed_batch() -> list[Record]:
    beat = AgentHeartbeat(agent_id="agent", sent_at=NOON, complete_to=NOON, host="BOT-01")
    return [step("e1", 1), execution("e1"), sample(), start("e1"), heartbeat("e1"), beat, step("e1", 2)]


def test_one_call_takes_any_mix_of_records_in_any_order(store: TimeSeriesStore) -> None:
    result = store.write_metrics(mixed_batch())
    assert (result.inserted, result.duplicates, result.conflicts, result.quarantined) == (7, 0, 0, 0)
    assert table_rows(store.engine, "execution") == [("e1",)]


def test_the_same_batch_again_changes_nothing(store: TimeSeriesStore) -> None:
    store.write_metrics(mixed_batch())
    before = {
        name: table_rows(store.engine, name) for name in ("execution_metrics", "step_metrics", "pending")
    }
    again = store.write_metrics(mixed_batch())
    assert (again.inserted, again.duplicates, again.conflicts) == (0, 7, 0)
    assert before == {name: table_rows(store.engine, name) for name in before}


def test_the_same_row_twice_in_one_batch_is_stored_once(store: TimeSeriesStore) -> None:
    result = store.write_metrics([step("e1", 1), step("e1", 1)])
    assert (result.inserted, result.duplicates) == (1, 1)


def test_other_content_under_a_stored_key_is_counted_apart_and_kept_in_quarantine(
    store: TimeSeriesStore,
) -> None:
    store.write_metrics([execution("e1", status="completed"), step("e1", 1, duration_ms=100.0)])
    result = store.write_metrics(
        [execution("e1", status="failed"), step("e1", 1, at(1), duration_ms=7.0), execution("e2")]
    )
    assert (result.inserted, result.duplicates, result.conflicts) == (1, 0, 2)
    assert [row.status for row in store.query_range(at(-60), at(60))["execution"]] == ["completed"] * 2
    kept = table_rows(store.engine, "quarantine")
    assert len(kept) == 2
    assert all("the first stays" in repr(row) for row in kept)


def test_who_recorded_it_does_not_make_a_conflict(store: TimeSeriesStore) -> None:
    store.write_metrics([execution("e1", source="live", host="BOT-01")])
    assert store.write_metrics([execution("e1", source="import")]).duplicates == 1


def test_a_row_from_the_future_is_quarantined_and_the_rest_stored(store: TimeSeriesStore) -> None:
    result = store.write_metrics([execution("late", at(60 + 61)), execution("fine", at(60 + 59))])
    assert (result.inserted, result.quarantined) == (1, 1)
    assert "in the future" in repr(table_rows(store.engine, "quarantine"))


def test_what_is_no_record_is_quarantined_and_the_rest_stored(store: TimeSeriesStore) -> None:
    strange: Any = [{"execution_id": "e1"}, execution("e2"), None]
    result = store.write_metrics(strange)
    assert (result.inserted, result.quarantined) == (1, 2)


def test_a_row_that_the_database_refuses_is_found_and_quarantined(store: TimeSeriesStore) -> None:
    rows = [step("e1", n) for n in range(50)]
    object.__setattr__(rows[17], "step_seq", 2**70)  # past the record's own checks
    result = store.write_metrics(rows)
    assert (result.inserted, result.quarantined) == (49, 1)
    assert len(table_rows(store.engine, "step_metrics")) == 49


def test_a_batch_that_fails_half_way_leaves_nothing(
    store: TimeSeriesStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    def lost(*_: object) -> None:
        raise store.engine.dialect.loaded_dbapi.OperationalError("the connection is gone")

    monkeypatch.setattr("analytics_lib.store.committing.insert_marks", lost)
    with pytest.raises(StoreError, match="nothing of it is stored; send it again"):
        store.write_metrics(mixed_batch())
    monkeypatch.undo()
    for name in ("execution", "execution_metrics", "step_metrics", "pending"):
        assert table_rows(store.engine, name) == []
    assert store.write_metrics(mixed_batch()).inserted == 7


def test_a_missing_table_is_no_row_s_fault(store: TimeSeriesStore) -> None:
    prefix = "" if store.engine.dialect.name == "sqlite" else f"{POSTGRES_SCHEMA}."
    with store.engine.begin() as connection:
        connection.execute(text(f"ALTER TABLE {prefix}step_metrics RENAME TO elsewhere"))
    with pytest.raises(StoreError, match="nothing of it is stored"):
        store.write_metrics([execution("e1"), step("e1", 1)])
    assert table_rows(store.engine, "quarantine") == table_rows(store.engine, "execution_metrics") == []


def test_marks_name_the_hours_and_buckets_that_got_rows(store: TimeSeriesStore) -> None:
    store.write_metrics(
        [execution("e1", at(1)), execution("e2", at(2)), execution("e3", at(-1)), sample(at(3))]
    )
    marks = [row[1:] for row in table_rows(store.engine, "pending", without=("id",))]
    assert len(marks) == 3  # two hours of one workflow, one hour of one host


def test_a_duplicate_leaves_no_mark(store: TimeSeriesStore) -> None:
    store.write_metrics([execution("e1")])
    store.write_metrics([execution("e1")])
    assert len(table_rows(store.engine, "pending")) == 1


def test_writers_at_once_lose_nothing_and_double_nothing(store: TimeSeriesStore) -> None:
    results: list[writing.WriteResult] = []

    def write(worker: int) -> None:
        for batch in range(5):
            rows: list[Record] = [step(f"e{worker}", n) for n in range(batch * 20, batch * 20 + 20)]
            rows += [step("shared", n) for n in range(batch * 20, batch * 20 + 20)]
            results.append(store.write_metrics(rows))

    threads = [threading.Thread(target=write, args=(worker,)) for worker in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(result.inserted for result in results) == 4 * 100 + 100
    assert sum(result.duplicates for result in results) == 3 * 100
    assert len(table_rows(store.engine, "step_metrics")) == 500


def test_an_older_agent_may_write_to_a_newer_database(store: TimeSeriesStore, location: str) -> None:
    set_version(store, revision_id(SCHEMA_VERSION + 1))
    with TimeSeriesStore(location, clock=lambda: at(60)) as older:
        assert older.write_metrics([execution("e1")]).inserted == 1
        with pytest.raises(SchemaVersionError, match="upgrade rpa-analytics"):
            older.query_range(at(-1), at(1))


def test_a_newer_agent_holds_its_rows_until_the_database_is_migrated(
    store: TimeSeriesStore, location: str
) -> None:
    set_version(store, revision_id(SCHEMA_VERSION - 1))
    with TimeSeriesStore(location, clock=lambda: at(60)) as newer:
        with pytest.raises(SchemaVersionError, match="the rows are held back; run `rpa-analytics migrate`"):
            newer.write_metrics([execution("e1")])
        set_version(store, revision_id(SCHEMA_VERSION))
        assert newer.write_metrics([execution("e1")]).inserted == 1


def test_rows_come_back_as_they_were_given(store: TimeSeriesStore) -> None:
    given_execution = execution(
        "ünïcode 🤖",
        at(5),
        workflow_id="Rechnungen.Prüfen",
        status="failed",
        exception_kind="business",
        message="line one\nline 'two'; DROP TABLE execution",
        queued_at=at(1),
        steps_total=3,
        attributes={"batch": "7", "kind": "\ttab"},
        attempt=2,
        duration_ms=1234.5678,
        environment="test",
        suite="Rechnungen",
    )
    given_step = step("ünïcode 🤖", 3, at(5), parent_step_seq=1, depth=2, retries=1, step_type="KEYWORD")
    given_sample = sample(at(5), memory_used_bytes=2**40, cpu_percent=None, workflow_id="w", execution_id="e")
    store.write_metrics([given_execution, given_step, given_sample])
    found = store.query_range(at(0), at(10))
    assert found == {"execution": [given_execution], "step": [given_step], "resource": [given_sample]}


def test_a_folder_that_cannot_be_written_says_so(tmp_path: Any) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(StoreError, match="choose one you may write to"):
        TimeSeriesStore(tmp_path / "file" / "store")


@pytest.mark.parametrize("url", ["mysql://host/db", "postgresql://user:secret@127.0.0.1:1/none"])
def test_a_database_that_cannot_be_opened_says_so_without_the_password(url: str) -> None:
    with pytest.raises(StoreError) as raised:
        TimeSeriesStore(url)
    assert "secret" not in str(raised.value)


def test_a_long_silence_of_the_clock_is_no_future(store: TimeSeriesStore) -> None:
    assert store.write_metrics([execution("old", NOON - timedelta(days=4000))]).quarantined == 0
