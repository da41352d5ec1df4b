"""What baseline recomputation promises on both databases: a version is whole, and the same twice."""

import contextlib
import json
import threading
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

import pandas as pd
import pytest
from sqlalchemy import Connection, insert

from analytics_lib import TimeSeriesStore, pipeline, schema
from analytics_lib.baseline import compute_baselines, hourly_series
from analytics_lib.errors import SettingsError
from analytics_lib.pipeline.baseline_recomputation import recompute_baselines
from analytics_lib.store import baseline_rows, rollup_rows, workflow_rows
from analytics_lib.windows import DAY_US, HOUR_US, Window, hour_of, to_us
from analytics_lib.workflows import WorkflowChange
from tests.databases import CopyOf, with_tables
from tests.make import NOON, execution, step, table_rows

TABLES = ("baseline_run", "baseline_series", "baseline")
AS_OF = NOON + timedelta(minutes=30)  # Monday 12:30: the hour from 11 is the last closed one


def monday(weeks_ago: int, minutes: float = 0) -> datetime:
    """11:00 and some minutes on the Monday of NOON's week, or of one before."""
    return NOON - timedelta(weeks=weeks_ago, minutes=60 - minutes)


def mondays(workflow_id: str = "invoices", **fields: Any) -> list[Any]:
    """Two runs with a step each on every Monday after 11:00, for six weeks."""
    records: list[Any] = []
    for week in range(6):
        for n in range(2):
            run = f"{workflow_id}{week}/{n}/{fields.get('environment', '')}"
            ended, ms = monday(week, 10 + n), 1000.0 + week
            records.append(execution(run, ended, workflow_id=workflow_id, duration_ms=ms, **fields))
            records.append(step(run, 1, ended, workflow_id=workflow_id, duration_ms=ms / 2, **fields))
    return records


def six_mondays(location: str) -> None:
    with opened(location) as store:
        add(store, location, mondays())


def opened(location: str) -> TimeSeriesStore:
    return TimeSeriesStore(location, clock=lambda: NOON + timedelta(days=1))


@pytest.fixture
def location(copy_of: CopyOf) -> str:
    """Six Mondays, rolled up."""
    return copy_of(six_mondays)


@pytest.fixture
def store(location: str) -> Iterator[TimeSeriesStore]:
    with opened(location) as store:
        yield store


def add(store: TimeSeriesStore, location: str, records: list[Any]) -> None:
    store.write_metrics(records)
    pipeline.aggregate_pending(location, as_of=NOON + timedelta(days=1))


def recompute(location: str, as_of: datetime = AS_OF, **options: Any) -> dict[str, Any]:
    return recompute_baselines(location, as_of=as_of, time_zone="UTC", **options)


def saved(store: TimeSeriesStore) -> dict[str, list[tuple[Any, ...]]]:
    return {table: table_rows(store.engine, table) for table in TABLES}


def bands(store: TimeSeriesStore, version: str, **options: Any) -> pd.DataFrame:
    with store.engine.connect() as connection:
        return baseline_rows.read_bands(connection, version, **options)


def test_six_mondays_make_a_baseline(store: TimeSeriesStore, location: str) -> None:
    done = recompute(location)
    assert done == {
        "baseline_id": "2026-03-02T12:30Z",
        "series": 6,  # a workflow and a step, three metrics each
        "ready": 6,
        "bands": len(table_rows(store.engine, "baseline")),
        "hours_read": 12,
        "versions_dropped": 0,
        "dry_run": False,
    }
    found = bands(store, done["baseline_id"], hours_of_week=[11])
    rates = found[(found["metric"] == "success_rate") & (found["step_id"] == "")]
    assert rates[["level", "slot", "n", "center", "active_share"]].to_numpy().tolist() == [
        ["hour_of_week", 11, 6, 1.0, 1.0]
    ]


def test_what_is_read_is_what_was_computed(store: TimeSeriesStore, location: str) -> None:
    version = recompute(location)["baseline_id"]
    end_us = hour_of(to_us(AS_OF))
    history = Window(end_us - 56 * DAY_US, end_us)
    with store.engine.connect() as connection:
        rows = [rollup_rows.read_rollups(connection, source, history) for source in ("execution", "step")]
        rows = [frame.assign(environment="production") for frame in rows]
        computed = compute_baselines(hourly_series(*rows, history), {}, "UTC", end_us)
        run = baseline_rows.newest_version(connection, to_us(AS_OF))
        series = baseline_rows.read_series(connection, version)
    assert run is not None
    assert (run.baseline_id, run.as_of_us, run.history_end_us) == (version, to_us(AS_OF), end_us)
    assert (run.history_start_us, run.n_series, run.n_ready) == (history.start_us, 6, 6)
    assert json.loads(run.parameters)["min_n_hour_of_week"] == 5
    key = ["workflow_id", "environment", "step_id", "metric", "level", "slot"]
    learnt = computed.bands.astype(dict.fromkeys([*key[:5], "space"], "str"))
    learnt = learnt.sort_values(key, ignore_index=True)
    pd.testing.assert_frame_equal(bands(store, version), learnt, check_exact=True)
    pd.testing.assert_frame_equal(series, computed.series)


def test_the_same_moment_twice_gives_the_same_rows(store: TimeSeriesStore, location: str) -> None:
    done = recompute(location)
    before = saved(store)
    assert recompute(location) == done
    assert saved(store) == before
    assert all(before.values())


def test_late_rows_change_the_version_when_it_is_computed_again(
    store: TimeSeriesStore, location: str
) -> None:
    def hours_with_runs() -> int:
        version = recompute(location)["baseline_id"]
        with store.engine.connect() as connection:
            series = baseline_rows.read_series(connection, version, "invoices")
        of_runs = series[(series["metric"] == "duration_ms") & (series["step_id"] == "")]
        return int(of_runs["n_hours"].iloc[0])

    assert hours_with_runs() == 6
    add(store, location, [execution("late", monday(1, 90))])
    assert hours_with_runs() == 7
    assert len(table_rows(store.engine, "baseline_run")) == 1


def test_every_moment_has_its_own_version(store: TimeSeriesStore, location: str) -> None:
    versions = [recompute(location, AS_OF + timedelta(days=days))["baseline_id"] for days in (0, 1)]
    with store.engine.connect() as connection:
        moments = [AS_OF + timedelta(days=days) for days in (-1, 0, 0.5, 1, 300)]
        newest = [baseline_rows.newest_version(connection, to_us(moment)) for moment in moments]
    assert [run and run.baseline_id for run in newest] == [None, *versions[:1] * 2, *versions[1:] * 2]


def test_only_the_bands_that_speak_of_an_hour_are_read(store: TimeSeriesStore, location: str) -> None:
    add(store, location, mondays("payroll"))
    version = recompute(location)["baseline_id"]
    whole = bands(store, version)
    some = bands(store, version, hours_of_week=[11, 24 * 6 + 3])
    week, day = [("hour_of_week", 11), ("hour_of_week", 147)], [("hour_of_day", 11), ("hour_of_day", 27)]
    speaks = {*week, *day, ("overall", 0)}
    chosen = [pair in speaks for pair in zip(whole["level"], whole["slot"], strict=True)]
    pd.testing.assert_frame_equal(some, whole[chosen].reset_index(drop=True))
    assert set(some["level"]) == {"hour_of_week", "hour_of_day", "overall"}
    assert set(bands(store, version, workflow_id="payroll")["workflow_id"]) == {"payroll"}
    nothing = bands(store, "no such version")
    assert (len(nothing), list(nothing.columns)) == (0, list(whole.columns))


def test_the_register_says_which_workflow_where_and_in_which_zone(
    store: TimeSeriesStore, location: str
) -> None:
    add(store, location, [*mondays("old name"), *mondays("trial", environment="test"), *mondays("lab")])
    changes = [
        WorkflowChange("invoices", {"time_zone": "Asia/Kolkata"}, aliases=("old name",)),
        WorkflowChange("lab", {"environment": "test"}),
    ]
    with store.engine.begin() as connection:
        workflow_rows.save_workflows(connection, changes, updated_at_us=1)
    version = recompute(location)["baseline_id"]
    with store.engine.connect() as connection:
        series = baseline_rows.read_series(connection, version)
    assert set(series["workflow_id"]) == {"invoices"}
    assert set(series["environment"]) == {"production"}
    assert set(series["time_zone"]) == {"Asia/Kolkata"}
    found = bands(store, version, hours_of_week=[16])  # 11:00 UTC is 16:30 in Kolkata
    runs = found[(found["metric"] == "runs_per_hour") & (found["step_id"] == "")]
    assert runs[runs["level"] == "hour_of_week"]["center"].tolist() == [4.0]


def test_a_dry_run_computes_the_same_and_saves_nothing(store: TimeSeriesStore, location: str) -> None:
    dry = recompute(location, dry_run=True)
    assert not any(saved(store).values())
    assert recompute(location) == dry | {"dry_run": False}


def test_an_empty_store_gives_a_version_without_series(copy_of: CopyOf) -> None:
    location = copy_of(with_tables)
    done = recompute(location)
    assert (done["series"], done["ready"], done["bands"], done["hours_read"]) == (0, 0, 0, 0)
    with TimeSeriesStore(location) as store:
        assert len(table_rows(store.engine, "baseline_run")) == 1


def test_hours_that_are_not_rolled_up_yet_are_not_learnt_as_silence(
    store: TimeSeriesStore, location: str
) -> None:
    """A moment in the future, or aggregation that has stood still: the history ends with the newest row."""
    recompute(location)
    future = recompute(location, AS_OF + timedelta(days=10))["baseline_id"]
    with store.engine.connect() as connection:
        run = baseline_rows.newest_version(connection, to_us(AS_OF + timedelta(days=10)))
    assert run is not None
    assert run.history_end_us == to_us(monday(0)) + HOUR_US
    found = bands(store, future, hours_of_week=[11])
    runs = found[(found["metric"] == "runs_per_hour") & (found["level"] == "hour_of_week")]
    assert runs[["n", "active_share"]].to_numpy().tolist() == [[6, 1.0]] * 2


def test_an_unknown_zone_is_refused(location: str) -> None:
    with pytest.raises(SettingsError, match="Mars"):
        recompute_baselines(location, as_of=AS_OF, time_zone="Mars/Olympus")


def test_versions_go_after_two_weeks_unless_an_anomaly_names_them(
    store: TimeSeriesStore, location: str
) -> None:
    named, old, recent = (
        recompute(location, AS_OF - timedelta(days=days))["baseline_id"] for days in (20, 16, 14)
    )
    finding: dict[str, Any] = {c.name: "" if c.type.python_type is str else 0 for c in schema.anomaly.columns}
    with store.engine.begin() as connection:
        connection.execute(insert(schema.anomaly), [finding | {"anomaly_id": "a", "baseline_id": named}])
    done = recompute(location)
    assert done["versions_dropped"] == 1
    for table in ("baseline_run", "baseline_series"):
        assert {row[0] for row in table_rows(store.engine, table)} == {named, recent, done["baseline_id"]}
    assert old not in {row[0] for row in table_rows(store.engine, "baseline")}


class KilledError(Exception):
    """Stands for the end of the process."""


def die_at(monkeypatch: pytest.MonkeyPatch, table: str) -> None:
    """The process ends when it is about to write into the table."""
    write = baseline_rows._insert

    def dying(connection: Connection, into: Any, *rest: Any) -> None:
        if into.name == table:
            raise KilledError
        write(connection, into, *rest)

    monkeypatch.setattr(baseline_rows, "_insert", dying)


def is_intact_after_a_kill(
    store: TimeSeriesStore, location: str, monkeypatch: pytest.MonkeyPatch, table: str
) -> bool:
    """Whether the old version is whole after a kill, with other rows about to replace it."""
    recompute(location)
    before = saved(store)
    add(store, location, mondays("payroll"))
    die_at(monkeypatch, table)
    with pytest.raises(KilledError):
        recompute(location)
    intact = saved(store) == before
    monkeypatch.undo()
    recompute(location)
    assert len(table_rows(store.engine, "baseline_series")) == 12
    return intact


@pytest.mark.parametrize("table", ["baseline_series", "baseline"])
def test_killed_half_way_the_old_version_is_whole_and_the_next_run_replaces_it(
    store: TimeSeriesStore, location: str, monkeypatch: pytest.MonkeyPatch, table: str
) -> None:
    assert is_intact_after_a_kill(store, location, monkeypatch, table)


def test_control_deleting_in_a_transaction_of_its_own_loses_the_old_version(
    store: TimeSeriesStore, location: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    forget = baseline_rows._delete

    def delete_for_good(connection: Connection, versions: list[str]) -> None:
        forget(connection, versions)
        connection.connection.driver_connection.commit()  # type: ignore[union-attr]  # both drivers have it

    monkeypatch.setattr(baseline_rows, "_delete", delete_for_good)
    assert not is_intact_after_a_kill(store, location, monkeypatch, "baseline")


def run_two_at_once(location: str, monkeypatch: pytest.MonkeyPatch) -> list[BaseException]:
    """The failures of two that wait a moment for each other when the old rows are deleted."""
    barrier = threading.Barrier(2)
    forget = baseline_rows._delete

    def meet(connection: Connection, versions: list[str]) -> None:
        forget(connection, versions)
        # A broken barrier: the other one waits for the lock, as it should.
        with contextlib.suppress(threading.BrokenBarrierError):
            barrier.wait(timeout=1.0)

    monkeypatch.setattr(baseline_rows, "_delete", meet)
    failures: list[BaseException] = []

    def work() -> None:
        try:
            recompute(location)
        except BaseException as error:  # noqa: BLE001  # a thread's error must reach the assertion
            failures.append(error)

    threads = [threading.Thread(target=work) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return failures


def test_two_at_once_leave_the_rows_of_one(
    store: TimeSeriesStore, location: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    recompute(location)
    before = saved(store)
    assert run_two_at_once(location, monkeypatch) == []
    assert saved(store) == before


# On SQLite the delete itself makes a transaction the one writer.
def test_control_without_the_lock_two_at_once_disturb_each_other(
    postgres_location: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    six_mondays(postgres_location)
    monkeypatch.setattr(baseline_rows, "_lock", lambda _: None)
    assert run_two_at_once(postgres_location, monkeypatch)
