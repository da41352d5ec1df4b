"""The workload generator: the same rows for the same seed, valid ones, with the truth that it tells."""

import json
import sqlite3
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, time, timedelta
from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from analytics_lib import TimeSeriesStore
from analytics_lib.record_values import FIELDS, record_of
from analytics_lib.windows import DAY_US, HOUR_US, from_us, to_us
from benchmarks.workload import Fleet, Simulation, Trouble, make_fleet, plan_troubles, truth, write_workload
from benchmarks.workload.hosts import Sampling
from benchmarks.workload.schedules import Schedule, due_moments, is_last_workday

SINCE_US = to_us(datetime(2026, 10, 5, tzinfo=UTC))  # a Monday
DAYS = 4
Row = dict[str, Any]


@pytest.fixture(scope="module")
def fleet() -> Fleet:
    return make_fleet(seed=3, since_us=SINCE_US, days=DAYS, steps=10_000, workflows=12)


def simulation(fleet: Fleet, *troubles: Trouble, seed: int = 3, **more: Any) -> Simulation:
    return Simulation(fleet, seed, SINCE_US, DAYS, troubles, **more)


def deliveries(made: Simulation, portion_rows: int = 1_000) -> Iterator[tuple[int, str, Row]]:
    """(day of delivery, kind, row)."""
    for day_us, delivered in made.delivered():
        for columns in delivered:
            for portion in columns.portions(portion_rows):
                for kind, values in portion:
                    yield day_us, kind, dict(zip(FIELDS[kind], values, strict=True))


def rows(made: Simulation, kind: str) -> list[Row]:
    return [row for _, of_kind, row in deliveries(made) if of_kind == kind]


@pytest.fixture(scope="module")
def quiet(fleet: Fleet) -> dict[str, list[Row]]:
    """Of a fleet without any trouble."""
    by_kind: dict[str, list[Row]] = {}
    for _, kind, row in deliveries(simulation(fleet)):
        by_kind.setdefault(kind, []).append(row)
    return by_kind


def busiest(fleet: Fleet) -> Fleet:
    """Nothing but the workflow with the most runs, on the same hosts."""
    queued = (flow for flow in fleet.workflows if flow.schedule.kind == "queue")
    return replace(fleet, workflows=(max(queued, key=lambda flow: flow.schedule.runs_a_day),))


def at(day: int, hour: int = 0) -> int:
    return SINCE_US + day * DAY_US + hour * HOUR_US


def test_the_same_seed_gives_the_same_rows_in_portions_of_any_size(fleet: Fleet) -> None:
    troubles = plan_troubles(fleet, seed=3, since_us=SINCE_US, days=DAYS)
    made = simulation(fleet, *troubles, sampling=Sampling(600, 1800, 3600))
    assert list(deliveries(made, 7)) == list(deliveries(made, 5_000))


def test_another_seed_gives_other_rows(fleet: Fleet, quiet: dict[str, list[Row]]) -> None:
    mine, other = quiet["step"], rows(simulation(fleet, seed=4), "step")
    assert [row["duration_ms"] for row in mine[:50]] != [row["duration_ms"] for row in other[:50]]


def test_the_store_takes_every_row_and_none_twice(fleet: Fleet, tmp_path: Any) -> None:
    troubles = plan_troubles(fleet, seed=3, since_us=SINCE_US, days=DAYS)
    made = simulation(fleet, *troubles, sampling=Sampling(3600, 3600, 3600))
    expected = Counter(kind for _, kind, _ in deliveries(made))
    with TimeSeriesStore(tmp_path) as store:
        written = write_workload(store, made, portion_rows=700)
        (path,) = [store.engine.url.database]
    assert written == expected
    assert set(expected) == {"execution", "step", "resource", "agent_heartbeat"}
    with sqlite3.connect(str(path)) as database:
        (quarantined,) = database.execute("SELECT count(*) FROM quarantine").fetchone()
        (skewed,) = database.execute("SELECT count(*) FROM step_metrics WHERE clock_skewed").fetchone()
    assert (quarantined, skewed) == (0, 0)


def test_rows_are_records_as_collectors_write_them(fleet: Fleet) -> None:
    seen = Counter()
    for _, delivered in simulation(fleet).delivered():
        for columns in delivered:
            for kind, values in columns.tuples(0, 40):
                record_of(kind, values)
                seen[kind] += 1
    assert seen["step"] > 0 < seen["execution"]


def test_about_as_many_steps_as_were_asked_for(quiet: dict[str, list[Row]]) -> None:
    assert len(quiet["step"]) == pytest.approx(10_000, rel=0.12)


def test_a_robot_does_one_thing_at_a_time(quiet: dict[str, list[Row]]) -> None:
    by_host: dict[str, list[tuple[int, int]]] = {}
    for run in quiet["execution"]:
        by_host.setdefault(run["host"], []).append((run["started_at_us"], run["ended_at_us"]))
    for spans in by_host.values():
        spans.sort()
        assert all(ended <= started for (_, ended), (started, _) in pairwise(spans))


def test_steps_lie_inside_the_step_that_holds_them_and_inside_their_run(quiet: dict[str, list[Row]]) -> None:
    runs = {run["execution_id"]: run for run in quiet["execution"]}
    steps = quiet["step"]
    by_key = {(s["execution_id"], s["step_seq"]): s for s in steps if s["attempt"] == 2 or not _is_retried(s)}
    nested = 0
    for step in steps:
        outer = runs[step["execution_id"]]
        if step["parent_step_seq"] is not None:
            outer = by_key[step["execution_id"], step["parent_step_seq"]]
            nested += 1
        assert outer["started_at_us"] <= step["started_at_us"] <= step["ended_at_us"] <= outer["ended_at_us"]
    assert nested > len(steps) / 10


def _is_retried(step: Row) -> bool:
    return "not found at first" in step["message"]


def test_a_failed_run_ends_in_the_step_that_failed_and_some_are_tried_again(
    quiet: dict[str, list[Row]],
) -> None:
    steps: dict[str, list[Row]] = {}
    for step in quiet["step"]:
        steps.setdefault(step["execution_id"], []).append(step)
    runs = quiet["execution"]
    broken = [run for run in runs if run["status"] in ("failed", "timed_out")]
    assert broken
    for run in broken:
        last = steps[run["execution_id"]][-1]
        assert (last["status"], last["message"]) == (run["status"], run["message"])
        assert last["ended_at_us"] == run["ended_at_us"]
    ended = {run["transaction_id"]: run["ended_at_us"] for run in runs if run["attempt"] == 1}
    again = [run for run in runs if run["attempt"] == 2]
    assert again
    assert all(run["started_at_us"] > ended[run["transaction_id"]] for run in again)


def test_nine_oclock_stays_nine_oclock_when_the_clocks_change() -> None:
    schedule = Schedule("daily", at=time(9))
    friday, monday = (to_us(datetime(2026, 10, day, tzinfo=UTC)) for day in (23, 26))
    due = [due_moments(schedule, "Europe/Berlin", day, np.random.default_rng(0)) for day in (friday, monday)]
    assert [from_us(int(moments[0])).hour for moments in due] == [7, 8]


def test_nothing_is_due_on_holidays_and_the_months_last_working_day_is_found() -> None:
    holiday = to_us(datetime(2026, 5, 1, tzinfo=UTC))
    assert not len(due_moments(Schedule("daily"), "Europe/Berlin", holiday, np.random.default_rng(0)))
    assert is_last_workday(date(2026, 10, 30))
    assert not is_last_workday(date(2026, 10, 31))  # a Saturday


def test_until_a_trouble_begins_all_is_as_without_it(fleet: Fleet, quiet: dict[str, list[Row]]) -> None:
    (flow,) = busiest(fleet).workflows
    since = at(2, 8)
    trouble = Trouble("level shift", "duration", since, at(DAYS), 3.0, {"workflow_id": flow.workflow_id})
    with_it, without = (
        [row for row in of_steps if row["ended_at_us"] < since]
        for of_steps in (rows(simulation(fleet, trouble), "step"), quiet["step"])
    )
    assert with_it == without
    assert len(without) > 1_000


def _median(runs: Sequence[Row]) -> float:
    return float(np.median([run["duration_ms"] for run in runs if run["status"] == "completed"]))


def test_what_is_planted_is_in_the_rows(fleet: Fleet) -> None:
    one = busiest(fleet)
    where = {"workflow_id": one.workflows[0].workflow_id}

    def of_flow(*troubles: Trouble) -> list[Row]:
        return rows(simulation(one, *troubles), "execution")

    usual = of_flow()
    assert len(usual) > 100
    slower = of_flow(Trouble("level shift", "duration", at(0), at(DAYS), 1.5, where))
    assert _median(slower) / _median(usual) == pytest.approx(1.5, rel=0.05)
    failing = of_flow(Trouble("failing", "failures", at(0), at(DAYS), 0.5, where))
    assert np.mean([run["steps_failed"] > 0 for run in failing]) == pytest.approx(0.53, abs=0.08)
    assert not of_flow(Trouble("missing runs", "runs", at(0), at(DAYS), 0.0, where))
    more = of_flow(Trouble("schedule change", "runs", at(0), at(DAYS), 2.0, where))
    assert len(more) == pytest.approx(2 * len(usual), rel=0.05)
    flat = of_flow(Trouble("flat line", "spread", at(0), at(DAYS), 0.0, where))
    completed = [run["duration_ms"] for run in flat if run["status"] == "completed"]
    assert np.percentile(completed, 75) / np.percentile(completed, 25) < 1.1
    release = of_flow(
        Trouble("release", "version", at(1), at(DAYS), 1.0, {**where, "workflow_version": "9.0"})
    )
    assert {run["workflow_version"] == "9.0" for run in release if run["queued_at_us"] >= at(1, 1)} == {True}


def test_a_bad_host_slows_only_what_runs_on_it(fleet: Fleet) -> None:
    bad = fleet.hosts[0]
    made = simulation(busiest(fleet), Trouble("bad host", "duration", at(0), at(DAYS), 3.0, {"host": bad}))
    runs = rows(made, "execution")
    there, elsewhere = ([r for r in runs if (r["host"] == bad) is on_it] for on_it in (True, False))
    assert _median(there) / _median(elsewhere) == pytest.approx(3.0, rel=0.3)


def test_the_slow_tail_has_the_cause_that_was_planted(fleet: Fleet) -> None:
    one = busiest(fleet)
    where = {"workflow_id": one.workflows[0].workflow_id, "company": "US01"}
    made = simulation(one, Trouble("slow tail", "duration", at(0), at(DAYS), 8.0, where, share=0.5))
    runs = rows(made, "execution")
    slowest = sorted(runs, key=lambda run: -run["duration_ms"])[: len(runs) // 12]
    assert np.mean(["US01" in run["attributes"] for run in slowest]) > 0.8


def test_a_host_that_is_off_leaves_no_rows_and_one_without_network_leaves_late_ones(fleet: Fleet) -> None:
    off, cut = fleet.hosts[:2]
    troubles = (
        Trouble("host outage", "host", at(1), at(2), 0.0, {"host": off}),
        Trouble("network outage", "delivery", at(1), at(2), 0.0, {"host": cut}),
    )
    made = simulation(fleet, *troubles, sampling=Sampling(600, 600, 600))
    late = 0
    for day_us, kind, row in deliveries(made):
        moment = row.get("ended_at_us") or row.get("sampled_at_us") or row["sent_at_us"]
        if row["host"] == off and at(1, 12) <= moment < at(2):  # what ran at the beginning may end
            pytest.fail(f"{kind} of a host that is off")
        if row["host"] == cut and at(1) <= moment < at(2):
            assert day_us == at(2)
            late += 1
    assert late > 100


def test_the_truth_names_what_where_since_until_and_how_much(fleet: Fleet) -> None:
    planned = plan_troubles(fleet, seed=3, since_us=SINCE_US, days=DAYS)
    told = json.loads(json.dumps(truth(planned)))
    assert len(told) == len(planned)
    assert {"level shift", "bad host", "network outage"} <= {line["kind"] for line in told}
    assert any(line["benign"] for line in told)
    for line in told:
        assert datetime.fromisoformat(line["since"]) < datetime.fromisoformat(line["until"])
    longer = replace(planned[0], until_us=planned[0].until_us + DAY_US)
    (line,) = truth([longer])
    assert datetime.fromisoformat(line["until"]) == from_us(longer.until_us)


def test_samples_follow_what_the_robot_does(fleet: Fleet) -> None:
    made = simulation(fleet, sampling=Sampling(working_s=30, idle_s=300))
    runs = {run["execution_id"]: run for run in rows(made, "execution")}
    samples = rows(made, "resource")
    at_work = [s for s in samples if s["target"] == "process" and s["execution_id"] in runs]
    idle = [s for s in samples if s["target"] == "host" and not s["execution_id"]]
    assert at_work
    assert idle
    for sample in at_work:
        run = runs[sample["execution_id"]]
        assert run["started_at_us"] <= sample["sampled_at_us"] < run["ended_at_us"]
        assert run["host"] == sample["host"]
    assert np.mean([s["cpu_percent"] for s in at_work]) > 3 * np.mean([s["cpu_percent"] for s in idle])
    gaps = {b["sampled_at_us"] - a["sampled_at_us"] for a, b in pairwise(idle) if a["host"] == b["host"]}
    assert timedelta(microseconds=min(gap for gap in gaps if gap > 0)) == timedelta(seconds=300)
