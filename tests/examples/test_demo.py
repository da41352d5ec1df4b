"""`make demo`, a smaller one: robots, a history, all DAGs in Airflow, files to open, and mail."""

import email
import email.policy
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
    command = [sys.executable, str(DEMO), "--output", str(output), *more]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=600, check=False)


def test_the_demo_finds_what_was_planted_and_mails_a_report(tmp_path: Path) -> None:
    output = tmp_path / "demo"
    output.mkdir()
    (output / "made-by-make-demo").touch()
    (output / "left-by-the-last-demo.txt").touch()
    done = run_demo(output, "--runs", "2", "--days", "46")
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stderr == ""
    assert "NOT FOUND" not in done.stdout
    for trouble in ("invoice-intake, planted as slower", "order-entry, planted as failing"):
        assert trouble in done.stdout
    assert "price-updates, planted as silent: No run since" in done.stdout
    assert "run 2: 3 failed, as planned" in done.stdout
    paths = {line.split()[0]: Path(line.split()[1]) for line in done.stdout.splitlines() if "  /" in line[:8]}
    page = paths["HTML"].read_text(encoding="utf-8")
    assert paths["PDF"].read_bytes().startswith(b"%PDF-")
    for workflow in (
        "Accounts Payable.Invoices.Post Invoices",
        "invoice-intake",
        "price-updates",
        "simulated",
    ):
        assert workflow in page
    mails = [
        email.message_from_bytes(path.read_bytes(), policy=email.policy.default)
        for path in sorted((output / "mail").glob("*.eml"))
    ]
    assert {mail["To"] for mail in mails} == {"ann@example.com"}
    weekly = [mail for mail in mails if any(part.get_filename() for part in mail.walk())]
    assert len(weekly) == 1
    assert "price-updates needs you" in weekly[0]["Subject"]
    assert list((output / "store" / "archive").rglob("*.parquet"))
    assert not (output / "not-this-one").exists()
    assert not (output / "left-by-the-last-demo.txt").exists()


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
