"""`make demo`, a small one: robots, a history, Airflow, and files that a person can open."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

DEMO = Path(__file__).parents[2] / "examples" / "demo.py"

pytestmark = pytest.mark.slow


def run_demo(output: Path, *more: str) -> "subprocess.CompletedProcess[str]":
    # The tests' own Airflow, where one was set up, is not the demo's: it must not use it.
    environment = os.environ | {
        "AIRFLOW_HOME": str(output / "not-this-one"),
        "RPA_ANALYTICS_STORE": "nor-this",
    }
    command = [sys.executable, str(DEMO), "--output", str(output), "--runs", "2", "--days", "4", *more]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300, check=False)


def test_the_demo_ends_with_a_report_of_real_and_simulated_runs(tmp_path: Path) -> None:
    output = tmp_path / "demo"
    for _ in range(2):  # the second finds the first one's folder and begins afresh
        done = run_demo(output)
        assert done.returncode == 0, done.stdout + done.stderr
        assert done.stderr == ""
    lines = done.stdout.splitlines()
    [html] = [Path(line.split()[1]) for line in lines if line.startswith("HTML")]
    [pdf] = [Path(line.split()[1]) for line in lines if line.startswith("PDF")]
    page = html.read_text(encoding="utf-8")
    assert pdf.read_bytes().startswith(b"%PDF-")
    for workflow in ("Accounts Payable.Invoices.Post Invoices", "expense-claims", "invoice-intake"):
        assert workflow in page
    assert "simulated" in page
    assert "run 2: 3 failed, as planned" in done.stdout
    summary = lines[lines.index("HTML  " + str(html)) - 6 :][:5]
    assert all(line.startswith("  ") for line in summary), summary
    assert not (output / "not-this-one").exists()


def test_a_folder_that_no_demo_made_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("years of work")
    done = run_demo(tmp_path)
    assert done.returncode == 1
    assert "name another folder with --output" in done.stderr
    assert (tmp_path / "thesis.txt").read_text() == "years of work"


def test_a_wrong_number_of_days_is_said(tmp_path: Path) -> None:
    done = run_demo(tmp_path / "demo", "--days", "0")
    assert done.returncode == 2
    assert "no whole number from 1 on" in done.stderr
