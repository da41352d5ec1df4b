"""What `write_values` promises, on SQLite and on Postgres alike: what `write_metrics` does of the records."""

import json
import threading
import time
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

import pytest
from sqlalchemy.engine import make_url

from analytics_lib import TimeSeriesStore, schema
from analytics_lib.errors import SchemaVersionError
from analytics_lib.record_values import FIELDS, record_of, values_of
from analytics_lib.records import AgentHeartbeat, Record
from analytics_lib.schema import RAW_TABLES, SCHEMA_VERSION
from analytics_lib.store.engine import open_engine
from analytics_lib.store.writing import WriteResult
from tests.make import NOON, at, execution, heartbeat, sample, start, step, table_rows

TABLES = ("execution", *(table.name for table in RAW_TABLES.values()), "pending")


@pytest.fixture
def store(location: str) -> Iterator[TimeSeriesStore]:
    with TimeSeriesStore(location, clock=lambda: at(60)) as opened:
        yield opened


def plain(*records: Record) -> list[tuple[str, list[Any]]]:
    """As they come out of a spool."""
    return [(record.kind, json.loads(json.dumps(values_of(record)))) for record in records]


def stored(store: TimeSeriesStore) -> dict[str, list[tuple[Any, ...]]]:
    return {name: table_rows(store.engine, name) for name in TABLES}


def mixed_batch() -> list[Record]:
    beat = AgentHeartbeat(agent_id="agent", sent_at=NOON, complete_to=NOON, component="daemon", host="BOT-01")
    return [
        step("e1", 1),
        execution("e1", attributes={"team": "AP"}, message="it's\n'odd'"),
        *(sample(), start("e1"), heartbeat("e1"), beat, step("e1", 2, duration_ms=0.0004)),
    ]


def test_the_tables_are_the_same_as_by_records(store: TimeSeriesStore, location: str, tmp_path: Any) -> None:
    other = f"{tmp_path}/other"
    result = store.write_values(plain(*mixed_batch()))
    with TimeSeriesStore(other, clock=lambda: at(60)) as slow:
        assert slow.write_metrics(mixed_batch()) == result
        assert stored(slow) == stored(store)
    assert result.inserted == 7


def test_the_same_batch_again_changes_nothing_however_it_comes(store: TimeSeriesStore) -> None:
    store.write_values(plain(*mixed_batch()))
    before = stored(store)
    for again in (store.write_values(plain(*mixed_batch())), store.write_metrics(mixed_batch())):
        assert (again.inserted, again.duplicates, again.conflicts, again.quarantined) == (0, 7, 0, 0)
    assert stored(store) == before
    assert store.write_values([]) == WriteResult()


def test_what_makes_no_record_is_quarantined_with_its_reason_and_the_rest_stored(
    store: TimeSeriesStore,
) -> None:
    batch: list[Any] = plain(*(step("e1", number) for number in range(20)))
    batch[3][1][FIELDS["step"].index("status")] = "running"
    batch[4][1][FIELDS["step"].index("host")] = "BOT\0\ud800\n1"
    batch[5] = ("step", batch[5][1][:-1])
    batch[6] = ("no\nsuch kind\ud800", [1, {"a": [None]}])
    batch[7] = ("step", None)
    batch[8] = (["step"], [])
    batch[9][1][FIELDS["step"].index("duration_ms")] = 10**5000
    for _ in range(2):
        result = store.write_values(batch)
        assert result.quarantined == 7
    assert result.duplicates == 13
    kept = table_rows(store.engine, "quarantine", without=("quarantine_id", "received_at_us"))
    assert len(kept) == 7
    reasons = {row[1] for row in kept}
    assert any("status is 'running'; use one of" in reason for reason in reasons)
    assert any("25 values, not 26" in reason for reason in reasons)
    assert {row[0] for row in kept} == {"step", "no\ufffdsuch kind?", "['step']"}
    payloads = [json.loads(row[2]) for row in kept if "running" in row[1]]
    assert payloads[0]["step_seq"] == 3


def test_a_row_from_the_future_is_quarantined_once_whenever_it_is_sent(
    store: TimeSeriesStore, location: str
) -> None:
    batch = plain(execution("late", at(60 + 61)), execution("fine", at(60 + 59)), step("late", 1, at(600)))
    result = store.write_values(batch)
    assert (result.inserted, result.quarantined) == (1, 2)
    with TimeSeriesStore(location, clock=lambda: at(60.5)) as later:
        assert later.write_values(batch).quarantined == 2
        record = record_of(*batch[0])
        assert later.write_metrics([record]).quarantined == 1
    assert len(table_rows(store.engine, "quarantine")) == 2


def test_other_content_under_a_stored_key_is_a_conflict_and_kept_in_quarantine(
    store: TimeSeriesStore,
) -> None:
    store.write_values(plain(execution("e1"), step("e1", 1), step("e1", 2), step("e2", 1)))
    result = store.write_values(
        plain(
            execution("e1", status="failed"),
            step("e1", 1, at(1), duration_ms=7.0),  # another end: another primary key, the same step
            step("e1", 2),
            step("e1", 3),
            step("e2", 5),
            step("e3", 1),
            step("e3", 1, at(2)),
        )
    )
    assert result.by_kind["execution"].conflicts == 1
    steps = result.by_kind["step"]
    assert (steps.inserted, steps.duplicates, steps.conflicts) == (3, 1, 2)
    kept = table_rows(store.engine, "quarantine", without=("quarantine_id", "received_at_us"))
    assert sorted(row[0] for row in kept) == ["execution", "step", "step"]
    assert {json.loads(row[2])["execution_id"] for row in kept} == {"e1", "e3"}


def test_text_comes_back_as_it_was_whatever_is_in_it(store: TimeSeriesStore) -> None:
    odd = ["a\tb", "a\nb", "C:\\new", "\\N", "\\.", "\r", "None", "NULL", "'; --", "ä🤖\u2028"]
    for run, text in enumerate(
        odd
    ):  # each in a batch of its own: one that needs escapes changes how it is sent
        given = [
            step(f"e{run}", 1, message=text, parent_step_seq=None),
            step(f"e{run}", 2, message="", parent_step_seq=1, clock_skewed=True),
            step(f"e{run}", 3, message="usual", duration_ms=1e-7),
        ]
        assert store.write_values(plain(*given)).inserted == 3
        found = store.query_range(at(-1), at(1), sources=["step"], execution_id=f"e{run}")["step"]
        assert sorted(found, key=lambda record: record.step_seq) == given


def test_retried_steps_and_steps_of_two_recorders_are_others(store: TimeSeriesStore) -> None:
    batch = plain(step("e1", 1), step("e1", 1, attempt=2), step("e1", 1, recorder_id="another"))
    assert store.write_values(batch).inserted == 3
    assert store.write_values(batch).duplicates == 3


def test_an_enclosing_step_that_ends_after_its_batch_is_stored_too(store: TimeSeriesStore) -> None:
    for first in (2, 12):
        store.write_values(plain(*(step("e1", number) for number in range(first, first + 10))))
    result = store.write_values(plain(step("e1", 22), step("e1", 1), step("e1", 23)))
    assert (result.inserted, result.duplicates, result.conflicts) == (3, 0, 0)


def test_marks_name_just_the_hours_that_got_rows(store: TimeSeriesStore) -> None:
    store.write_values(plain(execution("e1", at(1)), execution("e2", at(-1)), sample(at(3)), step("e1", 1)))
    marks = [row[1:] for row in table_rows(store.engine, "pending", without=("id",))]
    assert len(marks) == 4
    store.write_values(plain(execution("e1", at(1))))
    assert len(table_rows(store.engine, "pending")) == 4


def test_a_row_that_only_the_database_refuses_is_found_and_quarantined(store: TimeSeriesStore) -> None:
    with store.engine.begin() as connection:
        connection.exec_driver_sql(
            "CREATE TRIGGER no_17 BEFORE INSERT ON step_metrics WHEN NEW.step_seq = 17 "
            "BEGIN SELECT RAISE(ABORT, 'no 17'); END"
            if store.engine.dialect.name == "sqlite"
            else "ALTER TABLE rpa.step_metrics ADD CONSTRAINT no_17 CHECK (step_seq <> 17)"
        )
    result = store.write_values(plain(*(step("e1", number) for number in range(50))))
    assert (result.inserted, result.quarantined) == (49, 1)
    [kept] = table_rows(store.engine, "quarantine")
    assert "the database refuses it" in kept[2]
    assert json.loads(kept[3])["step_seq"] == 17


def test_writers_at_once_lose_nothing_and_double_nothing(store: TimeSeriesStore) -> None:
    results: list[WriteResult] = []

    def write(worker: int) -> None:
        for first in range(0, 60, 20):
            own = [step(f"e{worker}", number) for number in range(first, first + 20)]
            shared = [step("shared", number) for number in range(first + 19, first - 1, -1)]
            results.append(store.write_values(plain(*own, *shared)))

    threads = [threading.Thread(target=write, args=(worker,)) for worker in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(result.inserted for result in results) == 3 * 60 + 60
    assert sum(result.duplicates for result in results) == 2 * 60
    assert len(table_rows(store.engine, "step_metrics")) == 240


def test_an_older_database_holds_values_back_too(store: TimeSeriesStore) -> None:
    store.schema_version = SCHEMA_VERSION - 1
    with store.engine.begin() as connection:
        prefix = "" if connection.dialect.name == "sqlite" else "rpa."
        connection.exec_driver_sql(f"UPDATE {prefix}rpa_schema_version SET version_num = '0002'")
    with pytest.raises(SchemaVersionError, match="the rows are held back"):
        store.write_values(plain(execution("e1")))


def test_an_agent_of_the_version_before_goes_on_writing_its_signs_of_life(store: TimeSeriesStore) -> None:
    """Its statements name the columns that it knows."""
    with store.engine.begin() as connection:
        prefix = "" if connection.dialect.name == "sqlite" else "rpa."
        connection.exec_driver_sql(
            f"INSERT INTO {prefix}agent_heartbeat (agent_id, sent_at_us, complete_to_us, agent_version, "
            "rows_pending, rows_dropped, rows_quarantined, problem, workflow_version, environment, robot_id, "
            "host, queue, bucket, content_hash) "
            "VALUES ('a', 1, 1, '0.1.0', 0, 0, 0, '', '', '', '', 'BOT-01', '', 3, 7)"
        )
    [row] = table_rows(store.engine, "agent_heartbeat")
    assert row[8:14] == ("", 0, 0, 0, None, None)


def test_an_agent_s_role_needs_to_see_no_more_than_keys_and_hashes(postgres_location: str) -> None:
    TimeSeriesStore(postgres_location).close()
    admin = open_engine(postgres_location)
    with admin.begin() as connection:
        connection.exec_driver_sql("DROP ROLE IF EXISTS rpa_writer")
        connection.exec_driver_sql("CREATE ROLE rpa_writer LOGIN PASSWORD 'w'")
        connection.exec_driver_sql("GRANT USAGE ON SCHEMA rpa TO rpa_writer")
        connection.exec_driver_sql("GRANT USAGE ON ALL SEQUENCES IN SCHEMA rpa TO rpa_writer")
        connection.exec_driver_sql("GRANT SELECT ON rpa.rpa_schema_version TO rpa_writer")
        for table in (schema.execution, *RAW_TABLES.values(), schema.pending):
            connection.exec_driver_sql(f"GRANT INSERT ON rpa.{table.name} TO rpa_writer")
        for table in (schema.execution, *RAW_TABLES.values()):
            seen = [column.name for column in table.primary_key.columns]
            seen += ["content_hash"] if "content_hash" in table.columns else []
            connection.exec_driver_sql(f"GRANT SELECT ({', '.join(seen)}) ON rpa.{table.name} TO rpa_writer")
    role = make_url(postgres_location).set(username="rpa_writer", password="w")
    with TimeSeriesStore(role.render_as_string(hide_password=False), clock=lambda: at(60)) as writer:
        assert writer.write_values(plain(*mixed_batch())).inserted == 7
        again = writer.write_values(plain(*mixed_batch(), step("e1", 1, at(1), duration_ms=7.0)))
        assert (again.duplicates, again.conflicts) == (7, 1)
        assert writer.clock_offset_ms() is not None
    with admin.begin() as connection:
        connection.exec_driver_sql("DROP OWNED BY rpa_writer")
        connection.exec_driver_sql("DROP ROLE rpa_writer")
    admin.dispose()


def test_the_database_s_clock_is_compared_with_ours(
    store: TimeSeriesStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    if store.engine.dialect.name == "sqlite":
        assert store.clock_offset_ms() is None
        return
    offset_ms = store.clock_offset_ms()
    assert offset_ms is not None
    assert abs(offset_ms) < 1000  # the same machine, maybe busy
    true_time = time.time
    monkeypatch.setattr(time, "time", lambda: true_time() + 3600)
    behind_ms = store.clock_offset_ms()
    assert behind_ms is not None
    assert abs(behind_ms + 3_600_000) < 1000


def test_a_long_silence_of_the_clock_is_no_future(store: TimeSeriesStore) -> None:
    long_ago: datetime = NOON - timedelta(days=4000)
    assert store.write_values(plain(execution("old", long_ago))).inserted == 1
