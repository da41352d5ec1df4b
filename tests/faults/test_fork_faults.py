"""Forks of a robot whose threads record: the child owns nothing of its parent's, and nothing is lost."""

import ast
import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

import collector_agent
from analytics_lib.record_values import values_of
from analytics_lib.records import StepMetrics
from collector_agent.deferred_store import DeferredStore
from tests.collector_agent.spool_frames import records_of
from tests.make import step

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


def test_a_child_that_is_born_while_its_parent_opens_the_store_opens_one_of_its_own(tmp_path: Path) -> None:
    store = DeferredStore(str(tmp_path), "test")
    store.write_values([("step", values_of(step("e", step_seq=1)))])
    with store._opening:  # as a thread of the parent may hold it
        pid = os.fork()
        if pid == 0:
            signal.alarm(20)
            written = store.write_values([("step", values_of(step("e", step_seq=2)))])
            os._exit(0 if written.inserted == 1 else 1)
        assert os.waitpid(pid, 0)[1] == 0
    assert store.write_values([("step", values_of(step("e", step_seq=3)))]).inserted == 1
    store.close()


def test_no_module_is_loaded_late_without_making_forks_wait() -> None:
    """Beside the robot, in functions that its background threads run."""
    ours = Path(collector_agent.__file__).parent
    files = [ours / "deferred_store.py"]
    for room in ("recording", "redaction", "sampling", "spool"):
        files += sorted((ours / room).glob("*.py"))
    late = []
    for file in files:
        tree = ast.parse(file.read_text(encoding="utf-8"))
        for function in ast.walk(tree):
            if isinstance(function, ast.FunctionDef):
                late += [f"{file.name}:{line}" for line in unprotected_imports(function)]
    assert late == ["deferred_store.py:sqlalchemy"]  # it is loaded by then


def unprotected_imports(node: ast.AST) -> Iterator[str]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.With) and any(
            isinstance(item.context_expr, ast.Name) and item.context_expr.id == "loading"
            for item in child.items
        ):
            continue
        if isinstance(child, ast.ImportFrom):
            yield str(child.module)
        elif isinstance(child, ast.Import):
            yield child.names[0].name
        else:
            yield from unprotected_imports(child)


@pytest.mark.full_faults
@pytest.mark.parametrize("mode", ["memory", "durable"])
def test_ten_thousand_forks_of_a_recording_robot(tmp_path: Path, mode: str) -> None:
    check_forks(tmp_path, 10_000, mode)
