"""The operating system's lock: who keeps whom out, and for how long."""

import os
import sys
from pathlib import Path

import pytest

from collector_agent.machine.file_lock import lock, unlock
from tests.faults.processes import exit_code, in_a_process

posix = pytest.mark.skipif(sys.platform == "win32", reason="no fork")


def opened(path: Path) -> int:
    return os.open(path, os.O_RDWR | os.O_CREAT)


@pytest.mark.portable
def test_one_has_it_at_a_time_in_one_process_too(tmp_path: Path) -> None:
    first, second = opened(tmp_path / "lock"), opened(tmp_path / "lock")
    assert lock(first)
    assert not lock(second)
    assert not lock(second, for_itself=False)
    unlock(first)
    assert lock(second)
    os.close(second)
    assert lock(first)
    os.close(first)


@posix
def test_who_only_looks_keeps_nobody_else_from_looking(tmp_path: Path) -> None:
    first, second = opened(tmp_path / "lock"), opened(tmp_path / "lock")
    assert lock(first, for_itself=False)
    assert lock(second, for_itself=False)
    assert not lock(second)
    os.close(first)
    os.close(second)


@pytest.mark.portable
def test_the_content_can_be_read_while_it_is_locked(tmp_path: Path) -> None:
    held = opened(tmp_path / "lock")
    os.write(held, b"4711")
    assert lock(held)
    assert (tmp_path / "lock").read_bytes() == b"4711"
    os.close(held)


@posix
def test_it_ends_with_the_process(tmp_path: Path) -> None:
    assert exit_code(in_a_process(lambda: lock(opened(tmp_path / "lock")))) == 0
    mine = opened(tmp_path / "lock")
    assert lock(mine)
    os.close(mine)


@posix
def test_a_child_that_closes_its_copy_leaves_the_parent_its_lock(tmp_path: Path) -> None:
    mine, another = opened(tmp_path / "lock"), opened(tmp_path / "lock")
    assert lock(mine)
    assert exit_code(in_a_process(lambda: os.close(mine))) == 0
    assert not lock(another)
    os.close(mine)
    os.close(another)


@posix
def test_unlocking_ends_it_for_the_copies_of_children_too(tmp_path: Path) -> None:
    mine, another = opened(tmp_path / "lock"), opened(tmp_path / "lock")
    assert lock(mine)
    read_end, write_end = os.pipe()
    pid = in_a_process(lambda: (os.close(write_end), os.read(read_end, 1)))
    unlock(mine)
    assert lock(another)
    os.close(write_end)
    assert exit_code(pid) == 0
    for handle in (mine, another, read_end):
        os.close(handle)
