"""What an import of Robot Framework's results is given: files, folders and patterns, and how far it is."""

import io
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from analytics_lib.errors import ImportFileError
from collector_agent.importers.robot_files import result_files
from collector_agent.importers.robot_output import run_import
from collector_agent.importers.robot_progress import FileProgress
from tests.collector_agent.test_robot_import import MINIMAL, count_rows


def write(path: Path, text: str = MINIMAL) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def test_a_folder_means_all_results_in_it_and_below_and_nothing_else(tmp_path: Path) -> None:
    results = [
        write(tmp_path / "a/output.xml"),
        write(tmp_path / "a/pabot_results/0/output.xml", MINIMAL.replace('name="S"', 'name="P"')),
        write(tmp_path / "b/night.xml", MINIMAL.replace('name="S"', 'name="N"')),
        write(tmp_path / "b/result.json", json.dumps({"generator": "Rebot 7.2", "suite": {"tests": []}})),
    ]
    write(tmp_path / "a/xunit.xml", "<testsuite/>")
    write(tmp_path / "a/log.html", "<html/>")
    write(tmp_path / "b/package.json", "{}")
    refused: list[ImportFileError] = []
    assert sorted(result_files([tmp_path], refused.append)) == sorted(results)
    assert refused == []


def test_a_pattern_is_replaced_where_no_shell_did_it_and_every_file_is_taken_once(tmp_path: Path) -> None:
    first, second = write(tmp_path / "1/output.xml"), write(tmp_path / "2/output.xml")
    os.link(first, tmp_path / "2/again.xml")
    paths = [tmp_path / "?/output.xml", tmp_path / "**/*.xml", tmp_path, first]
    refused: list[ImportFileError] = []
    assert list(result_files(paths, refused.append)) == [first, second]
    assert refused == []


def test_what_names_nothing_is_said_and_the_others_go_on(tmp_path: Path) -> None:
    write(tmp_path / "empty/package.json", "{}")
    output, said = write(tmp_path / "output.xml"), list[str]()
    paths = [tmp_path / "*.none", tmp_path / "empty", output, tmp_path / "missing.xml"]
    assert run_import(paths, tmp_path / "store", time_zone="UTC", say=said.append) == 5
    assert said[0] == f"error: {tmp_path}/*.none fits no result of Robot Framework"
    assert said[1] == (
        f"error: {tmp_path}/empty holds no output.xml or output.json of Robot Framework "
        "(1 other XML or JSON files are there)"
    )
    assert said[2].startswith(f"{output}: 2 executions")
    assert said[3] == f"error: {tmp_path}/missing.xml does not exist"
    assert said[4].startswith("total of 4 files, 3 with errors: 2 executions (1 completed, 1 failed); took 2")


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="this user may read everything")
def test_a_file_and_a_folder_that_may_not_be_read_are_said(tmp_path: Path) -> None:
    locked, closed = write(tmp_path / "output.xml"), tmp_path / "closed"
    write(closed / "output.xml")
    with without_rights(locked), without_rights(closed):
        said: list[str] = []
        assert run_import([locked, closed], tmp_path / "store", say=said.append) == 5
    assert f"error: {closed} cannot be listed (Permission denied)" in said
    assert f"error: {locked} cannot be read (Permission denied)" in said


@contextmanager
def without_rights(path: Path) -> Iterator[None]:
    before = path.stat().st_mode
    path.chmod(0)
    try:
        yield
    finally:
        path.chmod(before)


def test_files_found_in_folders_are_stored_together(tmp_path: Path) -> None:
    write(tmp_path / "runs/1/output.xml")
    write(tmp_path / "runs/2/output.xml", MINIMAL.replace("10:00", "11:00"))
    said: list[str] = []
    assert run_import([tmp_path / "runs"], tmp_path / "store", time_zone="UTC", say=said.append) == 0
    assert count_rows(tmp_path / "store")["execution_metrics"] == 4
    assert said[-1].startswith("total of 2 files: 4 executions (2 completed, 2 failed); took 4 executions")


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_terminal_is_told_how_far_all_files_are_by_their_bytes() -> None:
    stream, now = Terminal(), iter(range(100))
    small, large = Path("small.xml"), Path("large.xml")
    progress = FileProgress({small: 1_000_000, large: 3_000_000}, stream, lambda: float(next(now)))
    progress.reading(small, 0.5)
    assert stream.getvalue() == "\r 12% of 4.0 MB, file 1 of 2: small.xml"
    progress.done(small)
    assert stream.getvalue().endswith("\r" + " " * 38 + "\r")  # room for what is said
    progress.reading(large, 1.0)
    assert stream.getvalue().endswith("\r100% of 4.0 MB, file 2 of 2: large.xml")


def test_progress_is_quiet_where_nobody_watches_and_survives_a_closed_terminal() -> None:
    quiet = io.StringIO()
    FileProgress({Path("a"): 1}, quiet, iter([0.0, 9.0, 9.0]).__next__).reading(Path("a"), 0.5)
    assert quiet.getvalue() == ""
    closed = Terminal()
    progress = FileProgress({Path("a"): 1}, closed, iter([0.0, 9.0, 9.0, 18.0, 18.0]).__next__)
    closed.close()
    progress.reading(Path("a"), 0.5)
    progress.reading(Path("a"), 0.7)
    FileProgress({Path("a"): 1}, closed).done(Path("a"))
