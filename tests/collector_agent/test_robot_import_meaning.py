"""What is in Robot Framework's results beside steps: releases, work items, retries, attempts, parts."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from analytics_lib.records import ExecutionMetrics, StepMetrics
from collector_agent.importers.robot_lean import LeanPieces
from collector_agent.importers.robot_output import read_robot_output, run_import
from tests.collector_agent.robots import run_robot
from tests.collector_agent.test_robot_import import MINIMAL, count_rows

FLAKY = """\
*** Settings ***
Metadata    Version    1.2.3

*** Tasks ***
Steady
    Log    hello

Flaky
    [Tags]    customer:acme
    Wait Until Keyword Succeeds    3x    0s    Should Be Equal    ${STATE}    good
"""
ITEMS = """\
<kw name="For Each Input Work Item" owner="RPA.Robocorp.WorkItems">
<kw name="Process"><arg>ITEM</arg>
<kw name="Release Input Work Item" owner="RPA.Robocorp.WorkItems">
<arg>state=FAILED</arg><arg>exception_type=BUSINESS</arg><arg>message=a@example.org</arg>STATUS</kw>
STATUS</kw>
<kw name="Process"><arg>ITEM</arg>STATUS</kw>
STATUS</kw>
""".replace("STATUS", '<status status="PASS" start="2025-03-13T10:00:00.100000" elapsed="0.1"/>')


def steps_of(path: Path) -> list[StepMetrics]:
    return [record for record in read_robot_output(path) if isinstance(record, StepMetrics)]


def test_the_release_is_what_the_nearest_suite_says_although_it_stands_behind_its_tasks(
    tmp_path: Path,
) -> None:
    inner = MINIMAL[MINIMAL.index("<suite") : MINIMAL.index("</robot>")]
    named = inner.replace('<status status="FAIL" start="2025-03-13T10:00:00" elapsed="3.5"/>', "META")
    suites = named.replace("META", '<meta name="version">2.0 &amp; more</meta>') + named.replace("META", "")
    outer = f'<suite name="O">{suites}<meta name="Version">1.0</meta></suite>'
    path = tmp_path / "output.xml"
    path.write_text(MINIMAL.replace(inner, outer), encoding="utf-8")
    versions = [r.workflow_version for r in read_robot_output(path) if isinstance(r, ExecutionMetrics)]
    assert versions == ["2.0 & more", "2.0 & more", "1.0", "1.0"]
    assert {step.workflow_version for step in steps_of(path)} == {"2.0 & more", "1.0"}
    old = path.read_text().replace('<meta name="version">', '<metadata><item name="Version">')
    path.write_text(old.replace("more</meta>", "more</item></metadata>"), encoding="utf-8")
    assert {step.workflow_version for step in steps_of(path)} == {"2.0 & more", "1.0"}


def test_work_items_are_transactions_and_a_released_one_fails_as_it_says(tmp_path: Path) -> None:
    path = tmp_path / "output.xml"
    path.write_text(MINIMAL.replace("<kw ", f"{ITEMS}<kw ", 1), encoding="utf-8")
    found = [s for s in steps_of(path) if s.step_type == "TRANSACTION"]
    assert [(s.status, s.exception_kind) for s in found] == [("failed", "business"), ("completed", "")]
    assert len({s.transaction_id for s in found}) == 2
    assert not any("example.org" in str(s) for s in steps_of(path))


def test_arguments_that_are_looked_at_are_kept_across_pieces_and_all_others_left_out() -> None:
    whole = (ITEMS * 3).encode()
    for size in (len(whole), 200, 333):
        lean = LeanPieces()
        lines, pieces, piece = whole.splitlines(keepends=True), [], b""
        for line in lines:
            piece += line
            if len(piece) >= size:
                pieces.append(lean.of(piece))
                piece = b""
        left = b"".join([*pieces, lean.of(piece)])
        assert left.count(b"<arg>exception_type=BUSINESS</arg>") == 3, size
        assert b"ITEM</arg>" not in left


def test_a_message_or_argument_is_left_out_only_as_a_whole_element() -> None:
    lean = LeanPieces()
    assert lean.of(b'<msg time="1" level="INFO">a\n&lt;b</msg>\n<doc>d</doc>') == b""
    kept = (
        b'<msg time="1" level="FAIL">no</msg>',
        b'<msg time="1" level="INFO">cut',
        b"<arg>cut",
        b"</arg>",
        b'<status status="FAIL">&lt;arg&gt;1&lt;/arg&gt;</status>',
        b"<variable><status/></variable>",
    )
    for text in kept:
        assert lean.of(text) == text


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run in which a task fails, the run of that task again, and what was merged from both."""
    folder = tmp_path_factory.mktemp("runs")
    robot = folder / "flaky.robot"
    robot.write_text(FLAKY, encoding="utf-8")
    run_robot("--output", "first.xml", "--variable", "STATE:bad", robot, output_folder=folder)
    again = ["--rerunfailed", folder / "first.xml", "--output", "again.xml", "--variable", "STATE:good"]
    run_robot(*again, robot, output_folder=folder)
    merge = ["--merge", "--log", "NONE", "--report", "NONE", "-d", str(folder)]
    for name in ("merged.xml", "merged.json"):
        files = [str(folder / "first.xml"), str(folder / "again.xml")]
        command = [sys.executable, "-m", "robot.rebot", *merge, "--output", name, *files]
        subprocess.run(command, check=False, stdout=subprocess.DEVNULL)
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("merged", ["merged.xml", "merged.json"])
def test_what_was_merged_adds_nothing_to_its_parts(runs: Path, tmp_path: Path, merged: str) -> None:
    said: list[str] = []
    paths = [runs / name for name in ("first.xml", "again.xml", merged)]
    assert run_import(paths, tmp_path, say=said.append) == 0
    assert "5 executions (4 completed, 1 failed); took 3 executions" in said[-1]
    assert "other content" not in said[-1]
    assert count_rows(tmp_path)["execution_metrics"] == 3


@pytest.mark.slow
def test_a_merged_result_tells_its_attempt_its_tags_its_release_and_its_retries(runs: Path) -> None:
    found = {
        r.workflow_id: r for r in read_robot_output(runs / "merged.xml") if isinstance(r, ExecutionMetrics)
    }
    flaky, steady = found["Flaky.Flaky"], found["Flaky.Steady"]
    assert (flaky.attempt, flaky.status, flaky.message, steady.attempt) == (2, "completed", "", 1)
    assert "acme" in flaky.attributes.values()
    assert flaky.workflow_version == steady.workflow_version == "1.2.3"
    waits = [s.retries for s in steps_of(runs / "first.xml") if s.step_name.startswith("Wait Until")]
    assert waits == [2]


def test_json_says_the_same_of_releases_and_work_items(tmp_path: Path) -> None:
    times = {"start_time": "2025-03-13T10:00:00", "elapsed_time": 1.0, "status": "PASS"}
    library = {"owner": "RPA.Robocorp.WorkItems", **times}
    release = {"name": "Release Input Work Item", "args": ["FAILED", "BUSINESS"], **library}
    process = {"name": "Process", "body": [release], **times}
    loop = {"name": "For Each Input Work Item", "body": [process], **library}
    suite = {"name": "S", "metadata": {"Version": "7"}, "tests": [{"name": "T", "body": [loop], **times}]}
    path = tmp_path / "output.json"
    path.write_text(json.dumps({"generator": "Robot 7.2", "suite": suite}), encoding="utf-8")
    found = [(s.step_type, s.status, s.exception_kind, s.workflow_version) for s in steps_of(path)]
    assert ("TRANSACTION", "failed", "business", "7") in found
