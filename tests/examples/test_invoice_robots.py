"""The invoice robots as a user runs them: with the listener, and everything they do in the store."""

import csv
import doctest
import sqlite3
from collections import Counter
from pathlib import Path
from typing import Any

import accounts_payable
import back_office
import pytest
from robot.api import ExecutionResult, ResultVisitor

from collector_agent.importers.robot_output import run_import
from tests.collector_agent.robots import LISTENER, run_robot

ROBOTS = Path(__file__).parents[2] / "examples" / "invoices"
RUNS = {1: 1, 2: 3, 3: 1}  # how many tasks fail, by the number of the run
HIDDEN = ("IF/ELSE ROOT", "TRY/EXCEPT ROOT", "MESSAGE")  # of a result's items: these are no steps
STATUS = {"PASS": "completed", "FAIL": "failed", "SKIP": "skipped"}

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three runs into one store; each run's output is in a folder of its number."""
    folder = tmp_path_factory.mktemp("robots")
    for number, n_failed in RUNS.items():
        finished = run_robot(
            *("--listener", LISTENER, "--variable", f"RUN:{number}", ROBOTS),
            output_folder=folder / str(number),
            RPA_AGENT_STORE=str(folder / "store"),
            RPA_AGENT_STATE=str(folder / "state"),
            RPA_AGENT_ENVIRONMENT="demo",
            RPA_AGENT_WORKFLOW_VERSION="2.1",
        )
        assert (finished.returncode, finished.stderr) == (n_failed, "")
    return folder


def query(folder: Path, sql: str) -> list[Any]:
    connection = sqlite3.connect(folder / "store" / "rpa.sqlite")
    try:
        return connection.execute(sql).fetchall()
    finally:
        connection.close()


def results(folder: Path) -> list[Any]:
    return [ExecutionResult(folder / str(number) / "output.xml") for number in RUNS]


def test_every_run_has_successes_and_business_failures_and_some_an_application_failure(folder: Path) -> None:
    rows = query(
        folder, "SELECT workflow_id, status, exception_kind FROM execution_metrics ORDER BY started_at_us"
    )
    intake, check, post, reconcile = (
        f"Accounts Payable.{name}"
        for name in (
            "Invoices.Intake Invoices",
            "Invoices.Check Vendors",
            "Invoices.Post Invoices",
            "Statements.Reconcile Statement",
        )
    )
    assert rows == [
        (intake, "completed", ""),
        (check, "completed", ""),
        (post, "failed", "business"),
        (reconcile, "completed", ""),
        (intake, "completed", ""),
        (check, "failed", "business"),
        (post, "failed", "application"),
        (reconcile, "failed", "business"),
        (intake, "failed", "business"),
        (check, "skipped", ""),
        (post, "skipped", ""),
        (reconcile, "completed", ""),
    ]


def test_messages_say_what_somebody_has_to_look_at(folder: Path) -> None:
    messages = [row[0] for row in query(folder, "SELECT message FROM execution_metrics WHERE message <> ''")]
    assert "BusinessException: 1 of 11 invoices refused: 1009 (amount exceeds that of order 7009)" in messages
    assert "BusinessException: 2 of 7 payments have no posting: 2007, 2011" in messages
    assert any("POST /postings was answered with 503" in message for message in messages)


def test_the_store_holds_what_robot_framework_reports(folder: Path) -> None:
    tests = [test for result in results(folder) for test in result.suite.all_tests]
    by_status = dict(query(folder, "SELECT status, COUNT(*) FROM execution_metrics GROUP BY status"))
    assert by_status == Counter(STATUS[test.status] for test in tests)
    total_ms = query(folder, "SELECT SUM(duration_ms) FROM execution_metrics")[0][0]
    assert total_ms == pytest.approx(sum(test.elapsed_time.total_seconds() for test in tests) * 1000)


def test_every_keyword_is_a_step_inside_of_another(folder: Path) -> None:
    class Items(ResultVisitor):  # type: ignore[misc]  # untyped
        n = 0

        def start_body_item(self, item: Any) -> None:
            self.n += item.type not in HIDDEN

    items = Items()
    for result in results(folder):
        result.visit(items)
    assert query(folder, "SELECT COUNT(*) FROM step_metrics") == [(items.n,)]
    assert query(folder, "SELECT SUM(steps_total) FROM execution_metrics") == [(items.n,)]
    orphans = """
        SELECT COUNT(*) FROM step_metrics AS inner_step LEFT JOIN step_metrics AS outer_step
            ON outer_step.execution_id = inner_step.execution_id
            AND outer_step.step_seq = inner_step.parent_step_seq AND outer_step.depth = inner_step.depth - 1
        WHERE inner_step.depth > 0 AND outer_step.step_seq IS NULL
    """
    assert query(folder, orphans) == [(0,)]


def test_caught_refusals_and_retries_are_failed_steps_of_completed_runs(folder: Path) -> None:
    steps = """
        SELECT step_id, step.exception_kind, COUNT(*) FROM step_metrics AS step
        JOIN execution_metrics AS run USING (execution_id)
        WHERE run.status = 'completed' AND step.status = 'failed' AND step_name IN ('Check Row', 'Fetch')
        GROUP BY step_id, step.exception_kind
    """
    found = {(step_id, kind): n for step_id, kind, n in query(folder, steps)}
    assert found["accounts_payable.Check Row", "business"] == 2
    assert found["accounts_payable.Fetch", "application"] >= 1


def test_everything_recorded_says_where_it_comes_from(folder: Path) -> None:
    for table in ("execution_start", "execution_metrics", "step_metrics", "resource_metrics"):
        assert query(folder, f"SELECT DISTINCT environment, workflow_version FROM {table}") == [
            ("demo", "2.1")
        ]
    sampled = query(folder, "SELECT DISTINCT workflow_id FROM resource_metrics")
    assert ("Accounts Payable.Invoices.Post Invoices",) in sampled  # the shorter ones may lie between samples
    assert query(folder, "SELECT COUNT(*) FROM quarantine") == [(0,)]


def test_importing_the_outputs_afterwards_adds_nothing(folder: Path) -> None:
    tables = ("execution", "execution_metrics", "step_metrics", "quarantine")
    before = [query(folder, f"SELECT COUNT(*) FROM {table}") for table in tables]
    outputs = [folder / str(number) / "output.xml" for number in RUNS]
    assert run_import(outputs, folder / "store", say=lambda line: None) == 0
    assert [query(folder, f"SELECT COUNT(*) FROM {table}") for table in tables] == before


def test_the_robots_leave_their_results_as_files(folder: Path) -> None:
    def rows(run: int, name: str) -> list[dict[str, str]]:
        with (folder / str(run) / "results" / name).open(newline="", encoding="utf-8") as file:
            return list(csv.DictReader(file))

    assert [row["number"] for row in rows(1, "refused_rows.csv")] == ["1005"]
    assert len(rows(1, "posted.csv")) == 10  # of 12: one row was bad, one invoice exceeded its order
    assert len(rows(2, "posted.csv")) == back_office.POSTINGS_BEFORE_OUTAGE
    assert [row["why"] for row in rows(3, "refused_rows.csv")] == [
        "amount '' is no number",
        "invoice number 3004 comes twice",
        "amount -1070.69 is not positive",
        "currency XXX is not known",
    ]


def test_every_keyword_of_the_libraries_exists_and_the_doctests_hold() -> None:
    for module in (accounts_payable, back_office):
        assert all(callable(getattr(module, name)) for name in module.__all__)
        assert doctest.testmod(module).failed == 0
