"""examples/attached_loop.py as a user starts it."""

import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from tests.collector_agent.robots import own_environment

SCRIPT = Path(__file__).parents[2] / "examples" / "attached_loop.py"

pytestmark = pytest.mark.slow


def test_a_loop_that_knows_nothing_of_us_is_recorded(tmp_path: Path) -> None:
    store = tmp_path / "store"
    done = subprocess.run(
        [sys.executable, str(SCRIPT), "--store", str(store)],
        env=own_environment(),
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=60,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines() == [
        "O-1  posted",
        "O-2  an order of nothing",
        "O-3  posted",
        "O-4  posted",
        f"stored in {store}: 1 execution, 4 steps",
    ]
    connection = sqlite3.connect(store / "rpa.sqlite")
    try:
        steps = connection.execute(
            "SELECT transaction_id, status, exception_kind, retries, message FROM step_metrics "
            "WHERE queue = 'orders' AND step_type = 'TRANSACTION' ORDER BY step_seq"
        ).fetchall()
        runs = connection.execute(
            "SELECT workflow_id, status, steps_total, steps_failed FROM execution_metrics"
        ).fetchall()
    finally:
        connection.close()
    assert steps == [
        ("O-1", "completed", "", 0, ""),
        ("O-2", "failed", "business", 0, "BusinessException: an order of nothing"),
        ("O-3", "completed", "", 0, "warning: O-3 is unusually large"),
        ("O-4", "completed", "", 1, ""),
    ]
    assert runs == [("order-intake", "completed", 4, 1)]
