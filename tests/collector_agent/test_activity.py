"""A sign that an execution runs: seen while its process lives, and never longer."""

import os
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from collector_agent.machine import activity as activity_module
from collector_agent.machine.activity import Activity
from collector_agent.machine.locations import host_in_file_names
from tests.collector_agent.waiting import wait_for

ROOT = Path(__file__).parents[2]
AT_WORK = """
import sys
from collector_agent.machine.activity import Activity
activity = Activity()
activity.set(True)
print("at work", flush=True)
sys.stdin.read()
"""


def signs(state: Path) -> list[str]:
    folder = state / "running"
    return sorted(os.listdir(folder)) if folder.is_dir() else []


def test_an_execution_is_seen_from_its_start_to_its_end(tmp_path: Path) -> None:
    robot, daemon = Activity(tmp_path), Activity(tmp_path)
    assert not daemon.any_execution_runs()
    robot.set(True)
    robot.set(True)
    assert daemon.any_execution_runs()
    assert len(signs(tmp_path)) == 1
    robot.set(False)
    robot.set(False)
    assert not daemon.any_execution_runs()
    assert signs(tmp_path) == []
    robot.set(True)
    assert daemon.any_execution_runs()


def test_two_processes_are_told_apart(tmp_path: Path) -> None:
    one, other, daemon = Activity(tmp_path), Activity(tmp_path), Activity(tmp_path)
    one.set(True)
    other.set(True)
    one.set(False)
    assert daemon.any_execution_runs()
    other.set(False)
    assert not daemon.any_execution_runs()


def test_a_robot_that_is_killed_is_not_seen_any_more_and_its_file_goes(tmp_path: Path) -> None:
    state = Path(os.environ["RPA_AGENT_STATE"])
    robot = subprocess.Popen(
        [sys.executable, "-c", AT_WORK], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    try:
        assert robot.stdout is not None
        assert robot.stdout.readline().strip() == b"at work"
        assert Activity().any_execution_runs()
        assert f"~{robot.pid}~" in signs(state)[0]
    finally:
        robot.kill()
        robot.communicate()
    wait_for(lambda: not Activity().any_execution_runs())
    assert signs(state) == []


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs a system that forks")
def test_a_forked_child_neither_ends_nor_outlives_its_parents_sign(tmp_path: Path) -> None:
    robot, daemon = Activity(tmp_path), Activity(tmp_path)
    robot.set(True)
    ready, wake = os.pipe(), os.pipe()
    child = os.fork()
    if child == 0:
        try:
            robot.set(False)  # not its own: nothing to end
            os.write(ready[1], b"x")
            os.read(wake[0], 1)
        finally:
            os._exit(0)
    os.read(ready[0], 1)
    assert daemon.any_execution_runs()
    os.close(robot._descriptor)  # as if the parent died, and the child lived on
    assert not daemon.any_execution_runs()
    robot._begin()
    os.write(wake[1], b"x")
    os.waitpid(child, 0)
    for end in (*ready, *wake):
        os.close(end)


def test_a_new_sign_that_is_taken_for_a_leftover_is_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lock = activity_module.lock
    removed = []

    def somebody_was_faster(descriptor: int, **how: bool) -> bool:
        if not removed:
            removed.append(signs(tmp_path)[0])
            (tmp_path / "running" / removed[0]).unlink()
        return lock(descriptor, **how)

    robot = Activity(tmp_path)
    monkeypatch.setattr(activity_module, "lock", somebody_was_faster)
    robot.set(True)
    monkeypatch.undo()
    assert len(removed) == 1
    assert Activity(tmp_path).any_execution_runs()


def test_files_that_are_none_of_this_machines_signs_are_left_alone(tmp_path: Path) -> None:
    (tmp_path / "running").mkdir()
    for name in ("other-machine~1~abc", "note.txt"):
        (tmp_path / "running" / name).touch()
    assert not Activity(tmp_path).any_execution_runs()
    assert signs(tmp_path) == ["note.txt", "other-machine~1~abc"]


def unreadable(monkeypatch: pytest.MonkeyPatch) -> None:
    """Files of other accounts, as root cannot have them."""
    opened = os.open

    def refuse(path: object, flags: int, *mode: int) -> int:
        if "~" in str(path):
            raise PermissionError(13, "Permission denied")
        return opened(path, flags, *mode)  # type: ignore[arg-type]  # whatever it was given

    monkeypatch.setattr(activity_module.os, "open", refuse)


@pytest.mark.skipif(os.name != "posix", reason="processes are asked for by a signal")
def test_a_sign_that_may_not_be_opened_counts_while_its_process_exists(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "running").mkdir()
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    for pid, runs in ((str(ended.pid), False), ("nonsense", False), (str(os.getpid()), True)):
        (tmp_path / "running" / f"{host_in_file_names()}~{pid}~abc").touch()
        with monkeypatch.context() as patch:
            unreadable(patch)
            assert Activity(tmp_path).any_execution_runs() is runs


@pytest.mark.parametrize("spoil", ["a file is there", "it may not be written to"])
def test_nothing_is_raised_where_no_sign_can_be_made(
    spoil: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if spoil == "a file is there":
        (tmp_path / "running").touch()
    else:
        unreadable(monkeypatch)
    robot = Activity(tmp_path)
    robot.set(True)
    robot.set(False)
    assert not robot.any_execution_runs()


@pytest.mark.skipif(sys.platform == "win32", reason="files have no such mode there")
def test_signs_are_private_unless_the_state_folder_was_given_to_a_group(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def modes(state: Path) -> tuple[int, int]:
        robot = Activity(state)
        robot.set(True)
        [name] = signs(state)
        found = (state / "running", state / "running" / name)
        return tuple(stat.S_IMODE(path.stat().st_mode) for path in found)  # type: ignore[return-value]  # two of them

    umask: Callable[[int], int] = os.umask
    before = umask(0o077)
    try:
        assert modes(tmp_path / "own") == (0o700, 0o600)
        (tmp_path / "shared").mkdir()
        (tmp_path / "shared").chmod(0o770)
        assert modes(tmp_path / "shared") == (0o770, 0o640)
    finally:
        umask(before)
