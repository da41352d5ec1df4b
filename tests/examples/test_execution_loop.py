"""examples/execution_loop.py as a user starts it."""

import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.collector_agent.robots import own_environment

SCRIPT = Path(__file__).parents[2] / "examples" / "execution_loop.py"

pytestmark = pytest.mark.slow


def start(*arguments: object) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, str(SCRIPT), *map(str, arguments)]
    return subprocess.run(
        command, env=own_environment(), capture_output=True, text=True, encoding="utf-8", timeout=60
    )


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[str]]:
    """The store, and what was printed."""
    store = tmp_path_factory.mktemp("loop") / "store"
    done = start("--store", store)
    assert (done.returncode, done.stderr) == (0, "")
    return store, done.stdout.splitlines()


def query(store: Path, sql: str) -> list[Any]:
    connection = sqlite3.connect(store / "rpa.sqlite")
    try:
        return connection.execute(sql).fetchall()
    finally:
        connection.close()


def test_it_says_one_line_for_each_try_and_what_it_stored(finished: tuple[Path, list[str]]) -> None:
    store, lines = finished
    assert lines[:3] == [
        "C-101  archived  269.50 EUR",
        "C-102  archived  96.50 EUR",
        "C-103  refused   532.75 EUR is more than 500 EUR",
    ]
    assert len(lines) == 10
    assert lines[-1].startswith(f"stored in {store}: 10 execution rows, 39 step rows, ")


def test_every_try_is_an_execution(finished: tuple[Path, list[str]]) -> None:
    rows = query(
        finished[0],
        "SELECT transaction_id, attempt, status, exception_kind, message FROM execution_metrics "
        "WHERE workflow_id = 'expense-claims' AND (status <> 'completed' OR attempt > 1) "
        "ORDER BY started_at_us",
    )
    assert rows == [
        ("C-103", 1, "failed", "business", "BusinessException: 532.75 EUR is more than 500 EUR"),
        ("C-105", 1, "failed", "business", "BusinessException: a claim without receipts"),
        ("C-106", 1, "failed", "application", "TimeoutError: the archive is busy"),
        ("C-106", 2, "completed", "", ""),
    ]
    others = query(finished[0], "SELECT workflow_id, status FROM execution_metrics WHERE transaction_id = ''")
    assert others == [("expense-summary", "completed")]  # the decorated function


def test_steps_nest_and_samples_belong_to_executions(finished: tuple[Path, list[str]]) -> None:
    steps = query(
        finished[0],
        "SELECT step_id, parent_step_seq, depth, step.status FROM step_metrics AS step "
        "JOIN execution_metrics AS run USING (execution_id) "
        "WHERE run.transaction_id = 'C-106' AND run.attempt = 1 ORDER BY step_seq",
    )
    assert steps == [
        ("read claim", None, 0, "completed"),
        ("check claim", None, 0, "completed"),
        ("archive claim", None, 0, "failed"),
        ("seal", 3, 1, "completed"),
        ("store", 3, 1, "failed"),
    ]
    strangers = (
        "SELECT COUNT(*) FROM resource_metrics WHERE execution_id <> '' "
        "AND execution_id NOT IN (SELECT execution_id FROM execution_metrics)"
    )
    assert query(finished[0], strangers) == [(0,)]
    sampled = "SELECT COUNT(*) FROM resource_metrics WHERE workflow_id = 'expense-claims'"
    assert query(finished[0], sampled)[0][0] >= 4
    assert query(finished[0], "SELECT COUNT(*) FROM quarantine") == [(0,)]


def test_without_a_store_it_says_what_is_missing() -> None:
    done = start()
    assert done.returncode == 2
    assert "--store" in done.stderr
