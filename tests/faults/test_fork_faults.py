"""Forks of a robot whose threads record: the child owns nothing of its parent's, and nothing is lost."""

import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from analytics_lib.records import StepMetrics
from tests.collector_agent.spool_frames import records_of

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")


def check_forks(folder: Path, forks: int, mode: str, *options: str) -> None:
    """Every row that was recorded arrives once, from the process that recorded it."""
    program = [sys.executable, "-m", "tests.faults.forking_program", str(folder), str(forks), mode, *options]
    ran = subprocess.run(program, capture_output=True, text=True, check=False, timeout=3_000)
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, "", "")
    rows = delivered(folder) if mode == "memory" else spooled(folder)
    once = Counter((execution_id, step_seq) for _, execution_id, step_seq in rows)
    assert set(once.values()) == {1}
    writers: dict[str, set[str]] = {}
    for writer, execution_id, _ in rows:
        writers.setdefault(execution_id, set()).add(writer)
    children = [execution_id for execution_id in writers if execution_id.startswith("child")]
    assert len(children) == forks
    assert {len(writers[execution_id]) for execution_id in children} == {1}
    parents = [writers[execution_id] for execution_id in writers if execution_id.startswith("parent")]
    assert len(set.union(*parents)) == 1
    of_parent = sum(1 for _, execution_id, _ in rows if execution_id.startswith("parent"))
    starts = len(parents)
    assert of_parent + starts == int((folder / "recorded").read_text())


def delivered(folder: Path) -> list[tuple[str, str, str]]:
    lines = (folder / "delivered").read_text().splitlines()
    return [tuple(line.split(" ")) for line in lines]  # type: ignore[misc]  # each line has three words


def spooled(folder: Path) -> list[tuple[str, str, str]]:
    """The process is that of the set, as its name has it."""
    return [
        (segment.parent.name.split("-")[1], record.execution_id, str(record.step_seq))
        for segment in (folder / "spool").glob("*/*.seg")
        for record in records_of(segment)
        if isinstance(record, StepMetrics)
    ]


@pytest.mark.parametrize("mode", ["memory", "durable"])
def test_fifty_forks_of_a_recording_robot(tmp_path: Path, mode: str) -> None:
    check_forks(tmp_path, 50, mode)


@pytest.mark.parametrize("mode", ["memory", "durable"])
def test_that_check_fails_where_nothing_is_reset_in_the_child(tmp_path: Path, mode: str) -> None:
    with pytest.raises(AssertionError):
        check_forks(tmp_path, 1, mode, "unprotected")


@pytest.mark.full_faults
@pytest.mark.parametrize("mode", ["memory", "durable"])
def test_ten_thousand_forks_of_a_recording_robot(tmp_path: Path, mode: str) -> None:
    check_forks(tmp_path, 10_000, mode)
