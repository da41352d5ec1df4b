"""What detection promises: each hour judged once, late rows judged again, silence told apart from silence."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from analytics_lib import TimeSeriesStore, pipeline
from analytics_lib.errors import QueryError
from analytics_lib.store import anomaly_rows, workflow_rows
from analytics_lib.windows import Window, to_us
from analytics_lib.workflows import WorkflowChange
from tests.anomaly.fleet import (
    AS_OF,
    BASELINE,
    HOURS,
    brief,
    detect,
    heartbeats,
    runs,
    stored,
    write_baseline,
)
from tests.databases import CopyOf, with_tables
from tests.make import NOON, at, execution, heartbeat, pending_marks, start, table_rows

WEEKS_LATER = NOON + timedelta(days=60)


def a_baseline(location: str) -> None:
    with TimeSeriesStore(location) as store:
        write_baseline(store)


@pytest.fixture
def location(copy_of: CopyOf) -> str:
    """A store with a baseline, and no run yet."""
    return copy_of(a_baseline)


@pytest.fixture
def store(location: str) -> Iterator[TimeSeriesStore]:
    with TimeSeriesStore(location, clock=lambda: WEEKS_LATER) as opened:
        yield opened


@pytest.fixture
def empty(copy_of: CopyOf) -> Iterator[TimeSeriesStore]:
    """Without a baseline."""
    with TimeSeriesStore(copy_of(with_tables), clock=lambda: WEEKS_LATER) as opened:
        yield opened


def without(*silent: int) -> list[int]:
    return [hour for hour in HOURS if hour not in silent]


def test_a_normal_fleet_has_no_anomaly_and_its_marks_are_gone(store: TimeSeriesStore, location: str) -> None:
    store.write_metrics(runs() + heartbeats())
    done = detect(location)
    assert brief(store.engine, None) == []
    # 50 hours with news: durations and rates of a workflow and its step, and two days of numbers of runs.
    assert (done["hours"], done["judged"], done["no_baseline"]) == (50, 4 * 50 + 50, 0)
    assert (done["anomalies"], done["new"], done["withdrawn"], done["too_old"]) == (0, 0, 0, 0)
    assert (done["baseline_id"], pending_marks(store.engine, "anomaly_detection")) == (BASELINE, [])


def test_a_slow_hour_is_found_once_with_all_that_it_is(store: TimeSeriesStore, location: str) -> None:
    store.write_metrics(runs(without(-3)) + runs([-3], duration_ms=40_000.0) + heartbeats())
    done = detect(location)
    assert (done["anomalies"], done["new"]) == (2, 2)
    whole, of_step = stored(store.engine)
    assert (whole["kind"], whole["hour"], whole["since"], whole["n"]) == ("slower", -3, -3, 2)
    assert (whole["baseline_id"], whole["found_at_us"], whole["judged_at_us"]) == (
        BASELINE,
        *[to_us(AS_OF)] * 2,
    )
    assert whole["sentence"].startswith(
        "invoices took 40 s (normal 7.4 s to 13 s) in the hour from 2 Mar, 09:00"
    )
    assert of_step["sentence"].startswith("step open mailbox of invoices took 40 s")
    before = table_rows(store.engine, "anomaly")
    again = detect(location, as_of=AS_OF + timedelta(minutes=30))
    assert (again["new"], again["withdrawn"], table_rows(store.engine, "anomaly")) == (0, 0, before)
    whole_window = {"window_start": at(-3000), "window_end": at(0)}
    again = detect(location, as_of=AS_OF + timedelta(minutes=40), **whole_window)
    assert (again["anomalies"], again["new"], table_rows(store.engine, "anomaly")) == (2, 0, before)


def test_late_rows_withdraw_an_anomaly_and_later_ones_open_it_again(
    store: TimeSeriesStore, location: str
) -> None:
    store.write_metrics(runs(without(-3)) + runs([-3], duration_ms=40_000.0) + heartbeats())
    detect(location)
    store.write_metrics(runs([-3], name="late", n=3))  # the median is now normal
    done = detect(location, as_of=AS_OF + timedelta(minutes=10))
    assert (done["anomalies"], done["withdrawn"]) == (0, 2)
    whole = stored(store.engine, None)[0]
    assert (whole["state"], whole["found_at_us"]) == ("withdrawn", to_us(AS_OF))
    assert whole["judged_at_us"] == to_us(AS_OF + timedelta(minutes=10))
    store.write_metrics(runs([-3], name="later", n=8, duration_ms=40_000.0))
    done = detect(location, as_of=AS_OF + timedelta(minutes=20))
    assert (done["anomalies"], done["new"], len(stored(store.engine, None))) == (3, 1, 3)  # and more runs
    whole = next(row for row in stored(store.engine) if (row["kind"], row["step_id"]) == ("slower", ""))
    assert (whole["n"], whole["found_at_us"]) == (13, to_us(AS_OF))


def test_missing_runs_are_found_and_a_late_row_withdraws_them(store: TimeSeriesStore, location: str) -> None:
    store.write_metrics(runs(without(-5, -4)) + heartbeats())
    detect(location)
    assert brief(store.engine) == [("missing_runs", -5), ("missing_runs", -4)]
    assert [row["since"] for row in stored(store.engine)] == [-5, -5]
    assert "did not run (normal 2 runs)" in stored(store.engine)[0]["sentence"]
    store.write_metrics(runs([-5], name="late"))
    done = detect(location)
    assert (done["withdrawn"], brief(store.engine)) == (1, [("missing_runs", -4)])
    assert [row["since"] for row in stored(store.engine)] == [-4]
    assert len(stored(store.engine, None)) == 2


def test_a_dead_host_never_looks_like_a_silent_workflow(store: TimeSeriesStore, location: str) -> None:
    until_hour = -10
    store.write_metrics(runs([hour for hour in HOURS if hour < until_hour]))
    store.write_metrics(heartbeats(until_min=60 * until_hour) + heartbeats("BOT-02"))
    done = detect(location)
    assert brief(store.engine) == [("no_data", hour) for hour in range(until_hour, 0)]
    assert (done["no_data_hosts"], len(stored(store.engine))) == (1, 10)
    last = stored(store.engine)[-1]
    assert last["sentence"] == "no data from host BOT-01 since 2 Mar, 02:00"
    assert (last["observed"], last["expected"], last["since"]) == (1.0, 2.0, until_hour)


def test_control_the_same_silence_of_a_host_that_reports_is_missing_runs(
    store: TimeSeriesStore, location: str
) -> None:
    store.write_metrics(runs([hour for hour in HOURS if hour < -10]) + heartbeats())
    detect(location)
    assert brief(store.engine) == [("missing_runs", hour) for hour in range(-10, 0)]


def test_a_host_that_comes_back_with_its_rows_leaves_nothing_open(
    store: TimeSeriesStore, location: str
) -> None:
    store.write_metrics(runs([hour for hour in HOURS if hour < -10]) + heartbeats(until_min=-600))
    detect(location)
    store.write_metrics(runs([hour for hour in HOURS if hour >= -10]) + heartbeats(first=0))
    done = detect(location)
    assert (done["withdrawn"], done["no_data_hosts"], brief(store.engine)) == (10, 0, [])


def test_a_host_that_comes_back_without_rows_was_alive_and_the_workflow_silent(
    store: TimeSeriesStore, location: str
) -> None:
    store.write_metrics(runs([hour for hour in HOURS if hour < -3]) + heartbeats(until_min=-180))
    detect(location)
    assert {kind for kind, _ in brief(store.engine)} == {"no_data"}
    store.write_metrics(heartbeats(first=0))
    detect(location)
    assert brief(store.engine) == [("missing_runs", hour) for hour in (-3, -2, -1)]


def test_rows_that_an_agent_still_owes_are_waited_for(store: TimeSeriesStore, location: str) -> None:
    store.write_metrics(runs(without(-5)) + heartbeats())
    store.write_metrics(heartbeats(first=0, until_min=-320, agent_id="robot", rows_pending=3))
    detect(location)
    assert brief(store.engine) == []  # 06:40, before the end of the hour from 07:00


def test_a_run_under_way_is_not_missing(store: TimeSeriesStore, location: str) -> None:
    store.write_metrics(runs(without(-5, -4, -1)) + heartbeats())
    store.write_metrics(
        [execution("long", at(-181), started_at=at(-299), duration_ms=7_080_000.0, host="BOT-01")]
    )
    store.write_metrics([start("running", at(-50)), heartbeat("running", at(-1))])
    detect(location)
    assert ("missing_runs", -5) not in brief(store.engine)
    assert not [kind for kind, _ in brief(store.engine) if kind == "missing_runs"]


def test_an_open_hour_is_not_judged(store: TimeSeriesStore, location: str) -> None:
    store.write_metrics(runs(without(-1)) + heartbeats(until_min=-20))
    detect(location, as_of=at(-10))
    assert brief(store.engine) == []


def test_without_a_baseline_nothing_is_judged_and_the_marks_wait_for_one(empty: TimeSeriesStore) -> None:
    store, location = empty, str(empty.location)
    store.write_metrics(runs([-3], duration_ms=40_000.0) + runs([-24 * 15], name="old") + heartbeats())
    done = detect(location)
    assert (done["judged"], done["no_baseline"], done["anomalies"], done["baseline_id"]) == (0, 4, 0, "")
    assert done["too_old"] == 1
    waiting = pending_marks(store.engine, "anomaly_detection")
    assert {mark[3] for mark in waiting} == {to_us(at(-180))}
    write_baseline(store)
    assert (
        detect(location)["new"] == 2 + 47
    )  # slow, its step, and all the other hours of two days are missing
    assert pending_marks(store.engine, "anomaly_detection") == []


def test_a_baseline_of_later_than_the_moment_is_not_used(empty: TimeSeriesStore) -> None:
    store, location = empty, str(empty.location)
    write_baseline(store, as_of=AS_OF + timedelta(minutes=1))
    store.write_metrics(runs([-3], duration_ms=40_000.0) + heartbeats())
    assert detect(location)["baseline_id"] == ""


def test_hours_too_old_are_dropped_from_the_ledger(store: TimeSeriesStore, location: str) -> None:
    store.write_metrics(runs([-24 * 15], duration_ms=40_000.0) + runs() + heartbeats())
    done = detect(location)
    assert (done["too_old"], done["anomalies"], pending_marks(store.engine, "anomaly_detection")) == (
        1,
        0,
        [],
    )


def test_a_dry_run_says_the_same_and_writes_nothing(store: TimeSeriesStore, location: str) -> None:
    store.write_metrics(runs(without(-3)) + runs([-3], duration_ms=40_000.0) + heartbeats())
    dry = detect(location, dry_run=True)
    assert table_rows(store.engine, "anomaly") == []
    assert pending_marks(store.engine, "anomaly_detection")
    wet = detect(location)
    assert dry | {"dry_run": False} == wet


def test_half_a_window_is_refused(location: str) -> None:
    with pytest.raises(QueryError, match="both"):
        pipeline.detect_anomalies(location, as_of=AS_OF, time_zone="UTC", window_start=NOON)


def test_an_empty_store_is_judged_to_nothing(empty: TimeSeriesStore) -> None:
    done = detect(str(empty.location))
    assert (done["hours"], done["points"], done["anomalies"]) == (48, 0, 0)


def test_rows_of_a_test_environment_stay_out(store: TimeSeriesStore, location: str) -> None:
    store.write_metrics(runs() + heartbeats())
    store.write_metrics(runs([-3], name="test", n=20, environment="test", duration_ms=99_000.0))
    detect(location)
    assert brief(store.engine) == []


def test_rows_of_an_alias_count_for_their_workflow(store: TimeSeriesStore, location: str) -> None:
    store.write_metrics(runs(without(-3, -2, -1)) + heartbeats())
    store.write_metrics(runs([-3, -2, -1], name="renamed", workflow_id="invoices-2", environment=""))
    with store.engine.begin() as connection:
        renamed = WorkflowChange("invoices", {"display_name": "Invoice intake"}, aliases=("invoices-2",))
        workflow_rows.save_workflows(connection, [renamed], updated_at_us=0)
    detect(location)
    assert brief(store.engine) == []


def test_a_workflow_that_a_person_starts_owes_no_runs(store: TimeSeriesStore, location: str) -> None:
    store.write_metrics(runs(without(-5)) + heartbeats())
    with store.engine.begin() as connection:
        workflow_rows.save_workflows(
            connection, [WorkflowChange("invoices", {"attended": True})], updated_at_us=0
        )
    detect(location)
    assert brief(store.engine) == []


def test_the_clock_change_moves_what_is_owed_with_the_people(empty: TimeSeriesStore) -> None:
    """Daily at nine in Berlin: 08:00 UTC up to 28 March 2026, 07:00 UTC from then on."""
    store, location = empty, str(empty.location)
    days = [datetime(2026, 3, 30, 7, 10, tzinfo=UTC) - timedelta(days=n) for n in range(50)]
    ends = [
        moment if moment.day >= 29 and moment.month == 3 else moment + timedelta(hours=1) for moment in days
    ]
    as_of = datetime(2026, 3, 31, 12, tzinfo=UTC)
    daily = [
        execution(f"e{n}", ended, host="BOT-01", environment="production") for n, ended in enumerate(ends)
    ]
    store.write_metrics(
        [*daily, execution("other", as_of - timedelta(minutes=1), workflow_id="payroll", host="BOT-01")]
    )
    pipeline.aggregate_pending(location, as_of=as_of)
    pipeline.recompute_baselines(
        location, as_of=datetime(2026, 3, 31, 0, tzinfo=UTC), time_zone="Europe/Berlin"
    )
    pipeline.detect_anomalies(location, as_of=as_of, time_zone="Europe/Berlin")
    row = next(row for row in stored(store.engine) if row["kind"] == "missing_runs")
    assert len(stored(store.engine)) == 1  # today's, and neither 08:00 UTC of yesterday nor of Sunday
    assert row["hour_us"] == to_us(datetime(2026, 3, 31, 7, tzinfo=UTC))
    assert "in the hour from 31 Mar, 09:00" in row["sentence"]


def test_what_is_saved_again_keeps_when_it_was_found_first(store: TimeSeriesStore, location: str) -> None:
    store.write_metrics(runs(without(-3)) + runs([-3], duration_ms=40_000.0) + heartbeats())
    detect(location)
    everything = Window(0, to_us(WEEKS_LATER))
    with store.engine.begin() as connection:
        rows = anomaly_rows.read_anomalies(connection, everything)
        anomaly_rows.save_anomalies(connection, rows.assign(n=7, found_at_us=1, judged_at_us=2))
        anomaly_rows.withdraw_anomalies(connection, rows["anomaly_id"][:1], 3)
        after = anomaly_rows.read_anomalies(connection, everything)
    assert after["found_at_us"].tolist() == rows["found_at_us"].tolist()
    assert (after["n"].tolist(), after["judged_at_us"].tolist()) == ([7, 7], [3, 2])
    assert after["state"].tolist() == ["withdrawn", "open"]
