"""The simulated fleet: repeatable, valid, and with the troubles where the truth says."""

import doctest
import subprocess
import sys
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from statistics import mean, median

import pytest
import simulated_fleet
import simulated_hosts
import simulated_workflows
from simulated_fleet import PlantedTrouble, planted_troubles, simulate_fleet, write_fleet
from simulated_hosts import HOSTS, SAMPLE_INTERVAL, ZONE
from simulated_workflows import WORKFLOWS, Cadence

from analytics_lib.records import ExecutionMetrics, Record, ResourceMetrics, StepMetrics
from analytics_lib.store import TimeSeriesStore

END = datetime(2026, 11, 24, 8, 0, tzinfo=UTC)
DAYS = 21


@pytest.fixture(scope="module")
def records() -> list[Record]:
    return list(simulate_fleet(end=END, days=DAYS))


@pytest.fixture(scope="module")
def runs(records: list[Record]) -> dict[str, list[ExecutionMetrics]]:
    """By workflow."""
    found: dict[str, list[ExecutionMetrics]] = defaultdict(list)
    for record in records:
        if isinstance(record, ExecutionMetrics):
            found[record.workflow_id].append(record)
    return found


def trouble(kind: str) -> PlantedTrouble:
    return next(trouble for trouble in planted_troubles(END) if trouble.kind == kind)


def before_and_after(
    rows: Iterable[ExecutionMetrics | StepMetrics], since: datetime, summary: Callable[[list[float]], float]
) -> tuple[float, float]:
    """A summary of the durations of completed rows, before and from then on."""
    sides: tuple[list[float], list[float]] = ([], [])
    for row in rows:
        if row.status == "completed":
            sides[row.started_at >= since].append(row.duration_ms)
    return summary(sides[0]), summary(sides[1])


def test_the_same_arguments_give_the_same_records() -> None:
    first, second, other = (list(simulate_fleet(end=END, days=2, seed=seed)) for seed in (7, 7, 8))
    assert first == second
    assert first != other


def test_a_shorter_history_is_the_end_of_a_longer_one(records: list[Record]) -> None:
    later = END - timedelta(days=2)
    short = [r for r in simulate_fleet(end=END, days=4) if isinstance(r, ExecutionMetrics)]
    long = [r for r in records if isinstance(r, ExecutionMetrics)]
    assert [r for r in short if r.started_at > later] == [r for r in long if r.started_at > later]


def test_everything_is_stored_and_a_second_time_changes_nothing(tmp_path: Path) -> None:
    with TimeSeriesStore(tmp_path / "store", clock=lambda: END) as store:
        written = write_fleet(store, end=END, days=3)
        again = write_fleet(store, end=END, days=3)
        found = store.query_range(END - timedelta(days=4), END)
        with store.engine.connect() as connection:
            assert connection.exec_driver_sql("SELECT COUNT(*) FROM quarantine").scalar() == 0
    assert {kind: len(rows) for kind, rows in found.items()} == dict(written)
    assert not +again
    assert {row.environment for rows in found.values() for row in rows} == {"simulated"}  # type: ignore[union-attr]
    assert written["resource"] == 3 * 24 * 6 * len(HOSTS)


def test_every_record_is_marked_as_simulated_and_lies_in_the_window(records: list[Record]) -> None:
    for record in records:
        assert isinstance(record, (ExecutionMetrics, StepMetrics, ResourceMetrics))
        assert (record.environment, record.source) == ("simulated", "simulation")
        moment = record.sampled_at if isinstance(record, ResourceMetrics) else record.ended_at
        assert END - timedelta(days=DAYS) <= moment < END


def test_there_is_enough_of_everything(
    records: list[Record], runs: dict[str, list[ExecutionMetrics]]
) -> None:
    per_day = len(list(filter(lambda r: isinstance(r, StepMetrics), records))) / DAYS
    assert 50_000 < 60 * per_day < 70_000
    assert 8_000 < 60 * sum(map(len, runs.values())) / DAYS < 12_000
    assert 40_000 < 60 * 24 * 6 * len(HOSTS) < 60_000
    assert {workflow.workflow_id for workflow in WORKFLOWS} - set(runs) == {"month-end-closing"}


def test_steps_follow_each_other_inside_of_their_run_and_add_up_to_it(records: list[Record]) -> None:
    steps: dict[str, list[StepMetrics]] = defaultdict(list)
    for record in records:
        if isinstance(record, StepMetrics):
            steps[record.execution_id].append(record)
    for run in records:
        if not isinstance(run, ExecutionMetrics):
            continue
        own = steps.pop(run.execution_id)
        assert own[0].started_at == run.started_at
        assert own[-1].ended_at == run.ended_at
        assert all(step.ended_at == following.started_at for step, following in pairwise(own))
        assert sum(step.duration_ms for step in own) == pytest.approx(run.duration_ms)
        assert [step.step_seq for step in own] == list(range(1, len(own) + 1))
        assert (own[-1].status, own[-1].exception_kind) == (run.status, run.exception_kind)
        assert run.status != "completed" or len(own) == run.steps_total
        assert not run.clock_skewed
    assert not steps


def test_a_robot_runs_one_thing_at_a_time(records: list[Record]) -> None:
    by_robot: dict[str, list[ExecutionMetrics]] = defaultdict(list)
    for record in records:
        if isinstance(record, ExecutionMetrics):
            by_robot[record.robot_id].append(record)
    assert len(by_robot) == len(HOSTS)
    for own in by_robot.values():
        own.sort(key=lambda run: run.started_at)
        assert all(run.ended_at <= following.started_at for run, following in pairwise(own))


def test_one_workflow_got_slower_in_one_step(
    records: list[Record], runs: dict[str, list[ExecutionMetrics]]
) -> None:
    slower = trouble("slower")
    before, after = before_and_after(runs[slower.workflow_id], slower.since, median)
    assert after / before == pytest.approx(slower.after, abs=0.06)
    for step_id in simulated_workflow(slower.workflow_id).shares:
        own = (
            row
            for row in records
            if isinstance(row, StepMetrics)
            and (row.workflow_id, row.step_id) == (slower.workflow_id, step_id)
        )
        before, after = before_and_after(own, slower.since, median)
        if step_id == slower.step_id:
            assert after > 2 * before
        else:
            assert after / before == pytest.approx(1.0, abs=0.08)


def test_one_workflow_fails_more_since_a_release_and_with_a_new_message(
    runs: dict[str, list[ExecutionMetrics]],
) -> None:
    failing = trouble("failing")
    earlier: list[ExecutionMetrics] = []
    later: list[ExecutionMetrics] = []
    for run in runs[failing.workflow_id]:
        (later if run.queued_at is not None and run.queued_at >= failing.since else earlier).append(run)
    assert mean(run.status != "completed" for run in earlier) == pytest.approx(failing.before, abs=0.015)
    assert mean(run.status != "completed" for run in later) == pytest.approx(failing.after, abs=0.06)
    assert {run.workflow_version for run in later} == {failing.workflow_version}
    assert failing.workflow_version not in {run.workflow_version for run in earlier}
    assert failing.message in {run.message for run in later} - {run.message for run in earlier}


def test_one_workflow_fell_silent(runs: dict[str, list[ExecutionMetrics]]) -> None:
    silent = trouble("silent")
    assert max(run.started_at for run in runs[silent.workflow_id]) < silent.since + timedelta(minutes=5)
    by_day = Counter(run.started_at.astimezone(ZONE).date() for run in runs[silent.workflow_id])
    assert median(by_day.values()) == silent.before


def test_workflows_without_a_trouble_stay_as_they_are(runs: dict[str, list[ExecutionMetrics]]) -> None:
    since = END - timedelta(days=7)
    troubled = {planted.workflow_id for planted in planted_troubles(END)}
    for workflow_id in set(runs) - troubled:
        own = runs[workflow_id]
        if len(own) > 200:
            before, after = before_and_after(own, since, median)
            assert after / before == pytest.approx(1.0, abs=0.07), workflow_id
        assert max(run.ended_at for run in own) > END - timedelta(days=4 if len(own) > 9 else 8)


def test_office_hours_are_local_and_hosts_work_harder_in_them(
    records: list[Record], runs: dict[str, list[ExecutionMetrics]]
) -> None:
    due = [run.queued_at.astimezone(ZONE) for run in runs["order-entry"] if run.queued_at is not None]
    assert {moment.weekday() for moment in due} == set(range(5))
    assert {moment.hour for moment in due} == set(range(8, 18))
    samples = [record for record in records if isinstance(record, ResourceMetrics)]
    busy, quiet = (
        mean(
            s.cpu_percent or 0 for s in samples if (s.sampled_at.hour in hours and s.sampled_at.weekday() < 5)
        )
        for hours in (range(8, 15), range(0, 3))
    )
    assert busy > 2 * quiet
    assert all(0 < (s.cpu_percent or 0) <= 100 for s in samples)
    assert all((s.memory_used_bytes or 0) < (s.memory_total_bytes or 0) for s in samples)


@pytest.mark.parametrize(("sunday", "hours"), [(date(2026, 10, 25), 25), (date(2026, 3, 29), 23)])
def test_days_on_which_the_clocks_change(sunday: date, hours: int) -> None:
    end = datetime.combine(sunday + timedelta(days=1), datetime.min.time(), ZONE) + timedelta(hours=9)
    day = [
        record
        for record in simulate_fleet(end=end, days=2)
        if not isinstance(record, StepMetrics) and moment_of(record).astimezone(ZONE).date() == sunday
    ]
    hourly = [r for r in day if isinstance(r, ExecutionMetrics) and r.workflow_id == "stock-levels"]
    assert len(hourly) == len({run.execution_id for run in hourly}) == hours
    samples = [r for r in day if isinstance(r, ResourceMetrics)]
    assert len(samples) == len({(r.host, r.sampled_at) for r in samples}) == hours * 6 * len(HOSTS)
    assert timedelta(hours=1) / SAMPLE_INTERVAL == 6


def test_the_month_ends_on_its_last_workday() -> None:
    closing = Cadence(15, only_month_end=True)
    days = [datetime(2026, 1, 1) + timedelta(days=n) for n in range(150)]
    assert [f"{day:%m-%d}" for day in days if closing.is_due(day)] == [
        "01-30",
        "02-27",
        "03-31",
        "04-30",
        "05-29",
    ]


def test_the_catalogue_of_workflows_is_consistent() -> None:
    assert len({workflow.workflow_id for workflow in WORKFLOWS}) == len(WORKFLOWS) == 12
    for workflow in WORKFLOWS:
        assert sum(workflow.shares.values()) == pytest.approx(1.0)
        assert 4 <= len(workflow.shares) <= 9
        assert {failure.step_id for failure in workflow.failures} <= set(workflow.shares)
    for planted in planted_troubles(END):
        assert planted.step_id in ("", *simulated_workflow(planted.workflow_id).shares)


def test_doctests() -> None:
    for module in (simulated_fleet, simulated_hosts, simulated_workflows):
        tested = doctest.testmod(module)
        assert tested.attempted
        assert not tested.failed


def test_the_command_says_what_it_wrote_and_planted(tmp_path: Path) -> None:
    end = ("--end", "2026-01-20T08:00+00:00")
    done = start("--store", str(tmp_path / "store"), "--days", "1", *end)
    assert (done.returncode, done.stderr) == (0, "")
    first, *planted = done.stdout.splitlines()
    assert "720 resource rows of 1 simulated days in" in first
    assert planted[0] == "planted: invoice-intake slower since Sun 11 Jan 06:00 CET"
    assert start("--store", str(tmp_path), "--days", "0", *end).returncode == 2
    assert start("--store", str(tmp_path), "--end", "2999-01-01").returncode == 2


def start(*arguments: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, simulated_fleet.__file__, *arguments]
    return subprocess.run(command, capture_output=True, text=True, encoding="utf-8", timeout=60, check=False)


def simulated_workflow(workflow_id: str) -> simulated_workflows.SimulatedWorkflow:
    return next(workflow for workflow in WORKFLOWS if workflow.workflow_id == workflow_id)


def moment_of(record: Record) -> datetime:
    if isinstance(record, ExecutionMetrics) and record.queued_at is not None:
        return record.queued_at
    assert isinstance(record, ResourceMetrics)
    return record.sampled_at
