"""Postgres' days of steps and samples: no row is lost, doubled or refused, whatever the day and the order."""

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.exc import OperationalError

from analytics_lib import TimeSeriesStore, pipeline
from analytics_lib.errors import StoreError
from analytics_lib.migrations import migrate
from analytics_lib.pipeline import partition_maintenance
from analytics_lib.store import partitions, rollup_rows
from analytics_lib.store.engine import open_engine
from analytics_lib.store.run_lock import run_lock
from analytics_lib.windows import DAY_US, day_of, to_us
from tests.databases import PostgresServer, with_tables
from tests.make import NOON, at, execution, sample, step, table_rows

TODAY_US = day_of(to_us(NOON))


@pytest.fixture
def store(postgres: PostgresServer) -> Iterator[TimeSeriesStore]:
    with TimeSeriesStore(postgres.copy(with_tables), clock=lambda: NOON + timedelta(days=30)) as opened:
        yield opened
    postgres.drop_given()


def maintain(store: TimeSeriesStore, **options: Any) -> dict[str, Any]:
    return pipeline.maintain_partitions(store.location, **{"as_of": NOON} | options)


def stored(store: TimeSeriesStore) -> dict[str, list[tuple[Any, ...]]]:
    return {name: table_rows(store.engine, name) for name in ("step_metrics", "resource_metrics")}


def where(store: TimeSeriesStore, table: str = "step_metrics") -> dict[str, int]:
    """Rows by partition."""
    with store.engine.connect() as connection:
        found = connection.execute(
            text(f"SELECT tableoid::regclass::text, count(*) FROM rpa.{table} GROUP BY 1")
        )
        return {name.removeprefix("rpa."): n for name, n in found}


def names(store: TimeSeriesStore) -> list[str]:
    with store.engine.connect() as connection:
        return [partition.name for partition in partitions.partitions(connection, "step")]


def history(days: int = 3) -> list[Any]:
    return [
        row
        for day in range(days)
        for row in (
            execution(f"e{day}", at(-day * 1440)),
            step(f"e{day}", 1, at(-day * 1440)),
            step(f"e{day}", 2, at(-day * 1440)),
            sample(at(-day * 1440)),
        )
    ]


def test_days_are_made_ahead_once_and_rows_land_in_them(store: TimeSeriesStore) -> None:
    done = maintain(store)
    assert (done["days_made"], done["days_missed"], done["busy"]) == (16, 0, 0)
    assert names(store) == [f"step_metrics_p202603{day:02}" for day in range(2, 10)]
    store.write_metrics([execution("e"), step("e", 1), sample(), step("e", 2, at(1440))])
    assert where(store) == {"step_metrics_p20260302": 1, "step_metrics_p20260303": 1}
    assert where(store, "resource_metrics") == {"resource_metrics_p20260302": 1}
    assert maintain(store) == {**done, "days_made": 0}


def test_rows_without_a_day_are_kept_and_moved_into_days_newest_first(store: TimeSeriesStore) -> None:
    store.write_metrics(history())
    before = stored(store)
    assert where(store) == {"step_metrics_default": 6}
    done = maintain(store, max_rows=2)
    assert (done["rows_moved"], done["days_moved"], done["days_left"]) == (
        7,
        5,
        1,
    )  # three days of samples, two of steps
    assert stored(store) == before
    assert where(store)["step_metrics_default"] == 2
    assert maintain(store)["days_left"] == 0
    assert stored(store) == before
    assert set(where(store)) == {f"step_metrics_p2026{day}" for day in ("0302", "0301", "0228")}


def test_writing_again_finds_the_row_in_whichever_partition_it_is(store: TimeSeriesStore) -> None:
    store.write_metrics(history())
    maintain(store)
    assert store.write_metrics(history()).inserted == 0
    # The same step with another end, which belongs to another partition, is a conflict and no new row.
    other = store.write_metrics([step("e0", 1, at(1440))])
    assert (other.inserted, other.conflicts) == (0, 1)


def test_a_run_that_is_killed_half_way_leaves_every_row_and_the_next_goes_on(
    store: TimeSeriesStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.write_metrics(history())
    before = stored(store)
    real, calls, dies_at = partitions._say, [], [0]

    def dying(connection: Any, statement: str) -> None:
        calls.append(statement)
        if len(calls) == dies_at[0]:
            raise KeyboardInterrupt
        real(connection, statement)

    monkeypatch.setattr(partitions, "_say", dying)
    for dies_at[0] in (3, 5, 8, 13):  # within and between the transactions of days
        calls.clear()
        with pytest.raises(KeyboardInterrupt):
            maintain(store)
        assert stored(store) == before
    monkeypatch.undo()
    assert maintain(store)["days_left"] == 0
    assert stored(store) == before


def test_of_two_at_once_the_second_leaves(store: TimeSeriesStore) -> None:
    with run_lock(store.engine, partition_maintenance.LOCK) as ours:
        assert ours
        done = maintain(store)
    assert (done["message"], done["days_made"]) == (partition_maintenance.ANOTHER_RUN, 0)


def test_a_reader_that_takes_long_delays_a_day_and_never_an_insert(
    store: TimeSeriesStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(partitions, "LOCK_WAIT", "20ms")
    store.write_metrics(history(1))
    with store.engine.connect() as reader:
        reader.execute(text("SELECT count(*) FROM rpa.step_metrics"))
        done = maintain(store)
        assert done["busy"] == 9  # a day of steps each: eight ahead, and the default's again
        assert store.write_metrics([execution("late"), step("late", 1)]).inserted == 2
    assert maintain(store)["busy"] == 0
    assert where(store) == {"step_metrics_p20260302": 3}


def test_missed_maintenance_is_reported_and_mended(
    store: TimeSeriesStore, caplog: pytest.LogCaptureFixture
) -> None:
    maintain(store, as_of=NOON - timedelta(days=10))
    store.write_metrics(history(1))
    done = maintain(store)
    assert done["days_missed"] == 2 * 3  # made up to 27 February; 28 February and 1, 2 March are missing
    assert done["rows_moved"] == 3
    assert "6 days of steps or samples had no partition in time" in caplog.text


def test_past_days_without_rows_go_and_a_late_row_makes_its_day_again(store: TimeSeriesStore) -> None:
    maintain(store, as_of=NOON - timedelta(days=10))
    assert maintain(store)["days_dropped"] == 2 * 8  # 20 to 27 February
    assert names(store)[0] == "step_metrics_p20260302"
    store.write_metrics([execution("e"), step("e", 1, at(-9 * 1440))])
    assert maintain(store)["rows_moved"] == 1
    assert where(store) == {"step_metrics_p20260221": 1}


def test_a_dry_run_changes_nothing(store: TimeSeriesStore) -> None:
    store.write_metrics(history())
    assert maintain(store, dry_run=True)["days_left"] == 6
    assert names(store) == []


def test_sqlite_has_nothing_to_maintain(tmp_path: Any) -> None:
    with TimeSeriesStore(tmp_path) as store:
        assert maintain(store) == {}


def test_a_day_is_dropped_only_when_all_its_rows_are_archived(
    store: TimeSeriesStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(partitions, "_DROP_LOCK_WAIT", "10ms")
    monkeypatch.setattr(partitions, "_PAUSE_SEC", 0.01)
    store.write_metrics(history(1))
    maintain(store)
    with store.engine.connect() as connection:
        key = "execution_id, recorder_id, step_seq, attempt, ended_at_us, content_hash"
        rows = {tuple(row) for row in connection.execute(text(f"SELECT {key} FROM rpa.step_metrics"))}
    with store.engine.begin() as connection:
        assert partitions.drop_day(connection, "step", TODAY_US, set(list(rows)[:1])) is None
        assert partitions.drop_day(connection, "step", TODAY_US - DAY_US, rows) is None  # no such day
    assert where(store) == {"step_metrics_p20260302": 2}
    with store.engine.connect() as agent, agent.begin():
        agent.execute(text("INSERT INTO rpa.execution VALUES ('other')"))
        agent.execute(text("SELECT 1 FROM rpa.step_metrics"))  # holds the table for a moment
        with store.engine.begin() as connection:
            assert partitions.drop_day(connection, "step", TODAY_US, rows) is None
    with store.engine.begin() as connection:
        assert partitions.drop_day(connection, "step", TODAY_US, rows) == 2
    assert "step_metrics_p20260302" not in names(store)


def test_tables_that_were_filled_before_keep_rows_rights_and_keys(postgres_location: str) -> None:
    from alembic import command
    from alembic.config import Config

    engine = open_engine(postgres_location)
    config = Config()
    config.set_main_option("script_location", "analytics_lib:migrations")
    with engine.begin() as connection:
        connection.execute(text("CREATE SCHEMA rpa"))
        connection.execute(text("SET LOCAL search_path TO rpa"))
        config.attributes["connection"] = connection
        command.upgrade(config, "0004")
        connection.execute(text("CREATE ROLE old_agent"))
        connection.execute(text("GRANT INSERT ON rpa.step_metrics TO old_agent"))
        connection.execute(text("GRANT SELECT (execution_id) ON rpa.step_metrics TO old_agent"))
        connection.execute(text("INSERT INTO rpa.execution VALUES ('e')"))
        for seq in (1, 2):
            connection.execute(
                text(
                    "INSERT INTO rpa.step_metrics (execution_id, recorder_id, step_seq, attempt, "
                    "ended_at_us, started_at_us, duration_ms, depth, message_truncated, retries, "
                    "clock_skewed, bucket, "
                    f"content_hash) VALUES ('e', 'r', {seq}, 1, :t, :t, 1, 0, false, 0, false, 1, {seq})"
                ),
                {"t": to_us(NOON)},
            )
    try:
        migrate(engine)
        with engine.connect() as connection:
            may = "SELECT has_table_privilege('old_agent', 'rpa.step_metrics', :what)"
            assert connection.scalar(text(may), {"what": "INSERT"})
            assert not connection.scalar(text(may), {"what": "SELECT"})
            assert connection.scalar(
                text("SELECT has_column_privilege('old_agent', 'rpa.step_metrics', 'execution_id', 'SELECT')")
            )
        done = pipeline.maintain_partitions(postgres_location, as_of=NOON)
        assert done["rows_moved"] == 2
        with TimeSeriesStore(postgres_location) as store:
            assert where(store) == {"step_metrics_p20260302": 2}
            with store.engine.connect() as connection, pytest.raises(Exception, match="foreign key"):
                connection.execute(text("DELETE FROM rpa.execution"))
    finally:
        with engine.begin() as connection:
            connection.execute(text("DROP OWNED BY old_agent; DROP ROLE old_agent"))
        engine.dispose()


def test_a_lock_that_cannot_be_had_is_told_from_other_errors() -> None:
    class NoLockError(Exception):
        sqlstate = "55P03"

    assert partitions.is_busy(OperationalError("", {}, NoLockError()))
    assert not partitions.is_busy(OperationalError("", {}, Exception()))


def test_without_a_default_partition_rows_wait_and_the_next_run_mends_it(store: TimeSeriesStore) -> None:
    with store.engine.begin() as connection:
        connection.execute(text("DROP TABLE rpa.step_metrics_default"))
    with pytest.raises(StoreError, match="no partition of relation"):
        store.write_metrics(history(1))
    assert stored(store) == {"step_metrics": [], "resource_metrics": []}
    maintain(store, as_of=NOON - timedelta(days=50))
    assert store.write_metrics(history(1)).quarantined == 0
    assert where(store) == {"step_metrics_default": 2}


def test_a_server_that_goes_away_in_the_middle_of_a_shard_costs_only_that_try(
    store: TimeSeriesStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.write_metrics(history())
    later = NOON + timedelta(days=1)
    real = rollup_rows.replace_rollups

    def struck(connection: Any, *arguments: Any) -> Any:
        found = real(connection, *arguments)  # deleted and inserted, and not committed
        with store.engine.connect() as killer:
            own = connection.scalar(text("SELECT pg_backend_pid()"))
            killer.execute(text(f"SELECT pg_terminate_backend({own})"))
        return found

    monkeypatch.setattr(rollup_rows, "replace_rollups", struck)
    with pytest.raises(OperationalError):
        pipeline.aggregate_pending(store.location, as_of=later)
    monkeypatch.undo()
    assert table_rows(store.engine, "rollup_step_hourly") == []
    assert pipeline.aggregate_pending(store.location, as_of=later)["rows_read"] == 12
