"""Importing Robot Framework's results: compared with what Robot Framework itself reads in them."""

import io
import subprocess
import sys
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import pytest
from robot.api import ExecutionResult

from analytics_lib.errors import ImportFileError, SettingsError
from analytics_lib.records import ExecutionMetrics, Record, StepMetrics
from analytics_lib.store import TimeSeriesStore
from collector_agent.importers.lines import Skips
from collector_agent.importers.robot_output import read_robot_output, run_import
from collector_agent.importers.robot_times import RobotTimes
from collector_agent.importers.robot_xml import feed_xml
from collector_agent.redaction import clean_message
from collector_agent.robot_results import as_written
from collector_agent.robot_run import RobotRun, Step
from tests.collector_agent.robots import run_robot, write_everything

REAL = Path(__file__).parents[2] / "../shared/data/robotframework"
STATUS = {"PASS": "completed", "FAIL": "failed", "SKIP": "skipped"}
FORMATS = ("output.xml", "legacy.xml", "output.json", "rebot.xml", "rebot.json")
MINIMAL = """\
<?xml version="1.0" encoding="UTF-8"?>
<robot generator="Robot 7.0" generated="2025-03-13T10:00:00" rpa="true" schemaversion="5">
<suite id="s1" name="S">
<test id="s1-t1" name="A">
<kw name="Log" owner="BuiltIn"><status status="PASS" start="2025-03-13T10:00:01" elapsed="0.5"/></kw>
<status status="PASS" start="2025-03-13T10:00:00" elapsed="2.0"/>
</test>
<test id="s1-t2" name="B">
<kw name="Fail"><status status="FAIL" start="2025-03-13T10:00:03" elapsed="0.1">no</status></kw>
<status status="FAIL" start="2025-03-13T10:00:02" elapsed="1.5">no</status>
</test>
<status status="FAIL" start="2025-03-13T10:00:00" elapsed="3.5"/>
</suite>
</robot>
"""


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with results of the same robots in every format that this Robot Framework writes."""
    folder = tmp_path_factory.mktemp("results")
    robots = write_everything(folder)
    for name, options in {"output.xml": [], "legacy.xml": ["--legacyoutput"], "output.json": []}.items():
        finished = run_robot(*options, "--output", name, robots, output_folder=folder)
        assert finished.returncode == 6, finished.stderr  # so many tasks fail
    for name in ("rebot.xml", "rebot.json"):
        command = ["--log", "NONE", "--report", "NONE", "--output", name, "-d", str(folder)]
        subprocess.run(
            [sys.executable, "-m", "robot.rebot", *command, str(folder / "output.xml")],
            check=False,
            stdout=subprocess.DEVNULL,
        )
    return folder


def executions(records: Sequence[Record]) -> list[ExecutionMetrics]:
    return [record for record in records if isinstance(record, ExecutionMetrics)]


def steps(records: Sequence[Record]) -> list[StepMetrics]:
    return [record for record in records if isinstance(record, StepMetrics)]


def agrees_with_robot_framework(path: Path) -> None:
    records = list(read_robot_output(path))
    tests = list(ExecutionResult(str(path)).suite.all_tests)
    found = {record.workflow_id: record for record in executions(records)}
    assert len(found) == len(executions(records))
    assert {name: (record.status, record.message) for name, record in found.items()} == {
        test.full_name: (STATUS[test.status], clean_message(as_written(test.message))) for test in tests
    }
    assert Counter(record.status for record in found.values()) == Counter(STATUS[t.status] for t in tests)
    elapsed_ms = sum(test.elapsed_time.total_seconds() for test in tests) * 1000
    assert sum(record.duration_ms for record in found.values()) == pytest.approx(elapsed_ms, abs=1e-3)


@pytest.mark.parametrize("name", FORMATS)
def test_generated_results_agree_with_robot_framework(results: Path, name: str) -> None:
    agrees_with_robot_framework(results / name)


def real_files() -> list[Path]:
    return sorted(REAL.glob("*.xml"))


@pytest.mark.skipif(not REAL.is_dir(), reason="the real result files lie outside of this checkout")
def test_real_results_of_all_versions_agree_with_robot_framework() -> None:
    files = real_files()
    assert files
    for path in files:
        tests = list(ExecutionResult(str(path)).suite.all_tests)
        records = list(read_robot_output(path))
        assert Counter(record.status for record in executions(records)) == Counter(
            STATUS[test.status] for test in tests
        ), path.name
        elapsed_ms = sorted(test.elapsed_time.total_seconds() * 1000 for test in tests)
        found_ms = sorted(record.duration_ms for record in executions(records))
        assert found_ms == pytest.approx(elapsed_ms, abs=1e-3), path.name
        assert sum(record.steps_total or 0 for record in executions(records)) == len(steps(records))


@pytest.mark.skipif(not REAL.is_dir(), reason="the real result files lie outside of this checkout")
def test_importing_the_real_results_again_changes_no_row(tmp_path: Path) -> None:
    said: list[str] = []
    assert run_import(real_files(), tmp_path, time_zone="Europe/Amsterdam", say=said.append) == 0
    first = count_rows(tmp_path)
    assert first["execution_metrics"] == 1280
    assert (
        "1,280 executions (1,190 completed, 83 failed, 7 skipped) and 30 transactions; took 1,280" in said[-1]
    )
    assert run_import(real_files(), tmp_path, time_zone="Europe/Amsterdam", say=said.append) == 0
    assert count_rows(tmp_path) == first
    assert "took 0 executions and 0 steps; already stored 1,280 executions" in said[-1]
    assert "other content" not in said[-1]


def count_rows(folder: Path) -> dict[str, int]:
    with TimeSeriesStore(folder) as store, store.engine.connect() as connection:
        tables = ("execution", "execution_start", "execution_metrics", "step_metrics", "quarantine")
        return {
            table: connection.exec_driver_sql(f"SELECT COUNT(*) FROM {table}").scalar_one()
            for table in tables
        }


def test_every_format_of_one_run_gives_the_same_rows(results: Path, tmp_path: Path) -> None:
    run_import([results / "output.xml"], tmp_path, say=lambda line: None)
    first = count_rows(tmp_path)
    run_import([results / "rebot.xml", results / "rebot.json"], tmp_path, say=lambda line: None)
    assert count_rows(tmp_path) == first


def test_no_argument_value_or_variable_is_stored(results: Path) -> None:
    for name in FORMATS:
        told = "\n".join(map(str, read_robot_output(results / name)))
        for value in ("value-of-a-variable", "hönd", "'ada'", "ada@example.org", "2 > 1", "${pet}", "hidden"):
            assert value not in told, name
        assert "Greet '${name}' Politely" in told


def test_steps_know_their_parents_and_what_they_are(results: Path) -> None:
    records = list(read_robot_output(results / "output.xml"))
    of_task = [step for step in steps(records) if step.workflow_id.endswith("Setup And Teardown ünïcode")]
    of_task.sort(key=lambda step: step.step_seq)
    assert [(s.step_seq, s.parent_step_seq, s.depth, s.step_id) for s in of_task] == [
        (1, None, 0, "BuiltIn.Log (suite setup)"),
        (2, None, 0, "Prepare (suite setup)"),
        (3, 2, 1, "BuiltIn.Log"),
        (4, 2, 1, "BuiltIn.Log"),
        (5, None, 0, "BuiltIn.Log (setup)"),
        (6, None, 0, "Greet '${name}' Politely"),
        (7, 6, 1, "BuiltIn.Log"),
        (8, 6, 1, "BuiltIn.Log (teardown)"),
        (9, None, 0, "BuiltIn.Run Keyword"),
        (10, 9, 1, "BuiltIn.Log"),
        (11, None, 0, "BuiltIn.Log (teardown)"),
    ]  # fmt: skip
    branches = {
        (step.step_type, step.status) for step in steps(records) if step.workflow_id.endswith(".Branches")
    }
    assert branches >= {
        ("IF", "skipped"),
        ("ELSE IF", "completed"),
        ("TRY", "failed"),
        ("FINALLY", "completed"),
    }
    execution = next(e for e in executions(records) if e.workflow_id.endswith(".Branches"))
    assert (execution.status, execution.steps_total, execution.steps_failed) == ("completed", 16, 2)


def test_kinds_of_failure(results: Path) -> None:
    kinds = {
        e.workflow_id: e.exception_kind for e in executions(list(read_robot_output(results / "output.xml")))
    }
    assert kinds["Röbots.Work.Bad Data"] == "business"
    assert kinds["Röbots.Work.Bad Setup"] == "business"
    assert kinds["Röbots.Work.Tagged"] == "business"
    assert kinds["Röbots.Work.Broken"] == "application"
    assert kinds["Röbots.Work.Left Out"] == ""
    assert kinds["Röbots.Teardown.Was Fine"] == "application"


def written(folder: Path, text: str | bytes, name: str = "output.xml") -> Path:
    path = folder / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def test_times_are_of_the_zone_that_was_named(tmp_path: Path) -> None:
    path = written(tmp_path, MINIMAL)
    first = executions(list(read_robot_output(path, time_zone_name="Asia/Tokyo")))[0]
    assert first.started_at == datetime(2025, 3, 13, 1, 0, 0, tzinfo=UTC)
    assert first.ended_at == datetime(2025, 3, 13, 1, 0, 2, tzinfo=UTC)
    assert first.duration_ms == 2000
    elsewhere = executions(list(read_robot_output(path, time_zone_name="UTC")))[0]
    assert elsewhere.execution_id == first.execution_id  # the id is made of the start as written


def test_an_old_keyword_takes_its_message_from_the_failure_that_it_logged(tmp_path: Path) -> None:
    times = 'starttime="20250313 10:00:00.000" endtime="20250313 10:00:01.000"'
    old = f"""<robot generator="Robot 4.1"><suite id="s1" name="S"><test id="s1-t1" name="A">
    <kw name="Fail" library="BuiltIn"><msg timestamp="20250313 10:00:00.500" level="FAIL">broken</msg>
    <status status="FAIL" {times}/></kw><status status="FAIL" {times}>broken</status></test>
    <status status="FAIL" {times}/></suite></robot>"""
    step = steps(list(read_robot_output(written(tmp_path, old))))[0]
    assert (step.step_id, step.message, step.duration_ms) == ("BuiltIn.Fail", "broken", 1000)


def test_an_unknown_element_is_skipped_with_all_that_is_in_it(tmp_path: Path) -> None:
    said: list[str] = []
    future = MINIMAL.replace("<kw ", '<hop><kw name="X"><status status="FAIL"/></kw></hop><kw ', 1)
    assert run_import([written(tmp_path, future)], tmp_path / "store", time_zone="UTC", say=said.append) == 0
    assert "2 executions (1 completed, 1 failed); took 2 executions and 2 steps" in said[0]
    assert said[1].startswith("  skipped: 1 elements <hop>, which no version known here writes (at byte ")


def test_tasks_without_times_are_skipped_with_the_reason(tmp_path: Path) -> None:
    said: list[str] = []
    broken = MINIMAL.replace('start="2025-03-13T10:00:00" elapsed="2.0"', 'start="soon" elapsed="NaN"')
    run_import([written(tmp_path, broken)], tmp_path / "store", time_zone="UTC", say=said.append)
    assert "1 executions (1 failed)" in said[0]
    assert "  skipped: 1 tasks without a start time" in said
    assert "  skipped: 1 steps of tasks without a start time" in said


@pytest.mark.parametrize("name", ["output.xml", "rebot.xml"])
def test_a_file_that_breaks_off_gives_what_was_complete_and_says_where(results: Path, name: str) -> None:
    whole = (results / name).read_bytes()
    path = written(results, whole[: whole.index(b'name="Broken"') + 40], f"truncated-{name}")
    records: list[Record] = []
    with pytest.raises(
        ImportFileError, match=r"breaks off at line \d+, column \d+, byte [\d,]+ .* 4 tasks were"
    ):
        records.extend(read_robot_output(path))
    assert [record.workflow_id for record in executions(records)] == [
        "Röbots.Work.Setup And Teardown ünïcode",
        "Röbots.Work.Loops",
        "Röbots.Work.Branches",
        "Röbots.Work.Bad Data",
    ]
    assert {step.workflow_id for step in steps(records)} == {e.workflow_id for e in executions(records)}


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "is empty"),
        (b" \n", "is empty"),
        (b"not xml at all", "is neither XML nor JSON"),
        (b"\x89PNG\r\n\x1a\n\0\0", "is neither XML nor JSON"),
        (b"<unclosed", "is not XML"),
        (b"<!DOCTYPE html><html><body>report</body></html>", "is an HTML page"),
        (b"<html><body/></html>", "its root is <html> and not <robot>"),
        (b'<testsuite name="xunit"/>', "its root is <testsuite> and not <robot>"),
        (b'<!DOCTYPE robot [<!ENTITY a "aaaa">]><robot><suite name="&a;"/></robot>', "document type"),
        (b'<!DOCTYPE robot SYSTEM "file:///etc/passwd"><robot/>', "document type"),
        (b'<robot><test id="s1-t1" name="A"/></robot>', "where none can be"),
        (b'<robot><kw name="A"/></robot>', "where none can be"),
        (b'{"suite": {"name": ', "is no complete JSON"),
        (b'{"a": 1}', "is JSON, but no result"),
        (b"[1, 2]", "is JSON, but no result"),
        (b'{"suite": {"tests": [1]}}', "is not laid out as Robot Framework writes it"),
        (b'{"suite": {"tests": 7}}', "is not laid out as Robot Framework writes it"),
        (b'{"\xff": 1}', "is not UTF-8"),
        (b"[" * 100_000, "nested too deeply"),
    ],
)  # fmt: skip
def test_what_is_no_result_file_is_one_clear_error(tmp_path: Path, content: bytes, reason: str) -> None:
    path = written(tmp_path, content)
    with pytest.raises(ImportFileError) as caught:
        list(read_robot_output(path))
    assert str(path) in str(caught.value)
    assert reason in str(caught.value)


def test_missing_files_and_folders_are_clear_errors(tmp_path: Path) -> None:
    with pytest.raises(ImportFileError, match="does not exist"):
        list(read_robot_output(tmp_path / "output.xml"))
    with pytest.raises(ImportFileError, match=r"is a folder: name the output.xml in it"):
        list(read_robot_output(tmp_path))


def test_one_bad_file_does_not_keep_the_others_out(tmp_path: Path) -> None:
    said: list[str] = []
    good, bad = written(tmp_path, MINIMAL), written(tmp_path, b"", "bad.xml")
    assert run_import([bad, good], tmp_path / "store", time_zone="UTC", say=said.append) == 5
    assert said[0].startswith(f"error: {bad} is empty")
    assert said[1].startswith(f"{good}: 2 executions (1 completed, 1 failed); took 2 executions and 2 steps")
    assert said[2].startswith("total of 2 files, 1 with errors: 2 executions")


def test_a_truncated_file_is_stored_as_far_as_it_goes_and_completed_later(tmp_path: Path) -> None:
    said: list[str] = []
    path = written(tmp_path, MINIMAL[: MINIMAL.index('name="Fail"')])
    assert run_import([path], tmp_path / "store", time_zone="UTC", say=said.append) == 5
    assert count_rows(tmp_path / "store")["execution_metrics"] == 1
    written(tmp_path, MINIMAL)
    assert run_import([path], tmp_path / "store", time_zone="UTC", say=said.append) == 0
    assert count_rows(tmp_path / "store") == {
        "execution": 2,
        "execution_start": 0,
        "execution_metrics": 2,
        "step_metrics": 2,
        "quarantine": 0,
    }


def test_another_result_under_the_same_key_is_reported_and_the_first_stays(tmp_path: Path) -> None:
    said: list[str] = []
    path = written(tmp_path, MINIMAL)
    run_import([path], tmp_path / "store", time_zone="UTC", say=said.append)
    written(tmp_path, MINIMAL.replace(">no<", ">changed<"))
    run_import([path], tmp_path / "store", time_zone="UTC", say=said.append)
    assert (
        "stored before with other content 1 executions and 1 steps (the first stays, see quarantine)"
        in said[-1]
    )
    assert count_rows(tmp_path / "store")["quarantine"] == 2


def test_a_wrong_time_zone_is_said_before_anything_is_read(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="Europe/Berlin"):
        run_import([written(tmp_path, MINIMAL)], tmp_path / "store", time_zone="Mars/Base")
    assert not (tmp_path / "store").exists()


def test_tasks_without_an_id_are_told_apart_by_their_place(tmp_path: Path) -> None:
    with_ids = executions(list(read_robot_output(written(tmp_path, MINIMAL))))
    without = MINIMAL.replace(' id="s1-t1"', "").replace(' id="s1-t2"', "").replace(' id="s1"', "")
    found = executions(list(read_robot_output(written(tmp_path, without))))
    assert [record.execution_id for record in found] == [record.execution_id for record in with_ids]


def test_steps_are_told_while_most_of_the_file_is_still_unread() -> None:
    task = MINIMAL[MINIMAL.index("<test") : MINIMAL.index("</test>") + 7]
    file = io.BytesIO(MINIMAL.replace(task, task * 10_000).encode())
    steps_told: list[Step] = []
    run = RobotRun(lambda task: None, lambda task, step: steps_told.append(step), lambda task: None)
    next(feed_xml(file, run, RobotTimes(UTC), Skips(), lambda note: None))
    assert steps_told
    assert file.tell() < len(file.getvalue()) / 4
