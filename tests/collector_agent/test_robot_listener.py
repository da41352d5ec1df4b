"""The listener beside real robots: what it records, and that it never gets in their way."""

import os
import signal
import sqlite3
import subprocess
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from analytics_lib.pipeline import sweep_abandoned
from analytics_lib.records import ExecutionMetrics
from collector_agent.importers.robot_output import run_import
from collector_agent.machine.problems import read_problems
from tests.collector_agent.robots import (
    LISTENER,
    command,
    own_environment,
    run_robot,
    write_everything,
)
from tests.collector_agent.spool_frames import records_in
from tests.collector_agent.stored_rows import counts, query

pytestmark = pytest.mark.slow

ONE_TASK = """\
*** Tasks ***
Only
    Log    hello
"""


def write(folder: Path, text: str, name: str = "robot.robot") -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def recorded(folder: Path, *arguments: object, **environment: str) -> "subprocess.CompletedProcess[str]":
    """Runs a robot with the listener on a store in the folder, without sampling."""
    settings = {
        "RPA_AGENT_STORE": str(folder / "store"),
        "RPA_AGENT_STATE": str(folder / "state"),
        "RPA_AGENT_SAMPLE_RESOURCES": "false",
    }
    return run_robot("--listener", LISTENER, *arguments, output_folder=folder, **(settings | environment))


@pytest.fixture(scope="module")
def everything(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which everything was run and recorded once; its output.xml is there too."""
    folder = tmp_path_factory.mktemp("live")
    finished = recorded(folder, write_everything(folder))
    assert (finished.returncode, finished.stderr) == (6, "")
    return folder


def test_importing_a_recorded_run_changes_no_row(everything: Path) -> None:
    before = counts(everything / "store")
    assert before["execution_metrics"] == before["execution_start"] == before["execution"] == 17
    assert before["step_metrics"] > 50
    said: list[str] = []
    assert run_import([everything / "output.xml"], everything / "store", say=said.append) == 0
    assert counts(everything / "store") == before | {"quarantine": 0}
    assert "took 0 executions and 0 steps; already stored 17 executions" in said[-1]
    assert "other content" not in said[-1]


def test_a_tasks_result_waits_for_the_teardown_that_changes_it(everything: Path) -> None:
    rows = query(
        everything / "store",
        "SELECT workflow_id, status, exception_kind, message FROM execution_metrics "
        "WHERE suite = 'Röbots.Teardown' ORDER BY started_at_us",
    )
    failed = "Parent suite teardown failed:\nthe teardown broke"
    failed_too = "\n\nAlso parent suite teardown failed:\nthe teardown broke"
    assert rows == [
        ("Röbots.Teardown.Was Fine", "failed", "application", failed),
        ("Röbots.Teardown.Was Broken", "failed", "application", f"broken before{failed_too}"),
        ("Röbots.Teardown.Was Skipped", "skipped", "", f"skipped before{failed_too}"),
    ]


def test_business_failures_and_masked_messages(everything: Path) -> None:
    rows = query(everything / "store", "SELECT workflow_id, exception_kind, message FROM execution_metrics")
    kinds = {workflow: kind for workflow, kind, _ in rows}
    assert kinds["Röbots.Work.Bad Data"] == kinds["Röbots.Work.Tagged"] == "business"
    assert kinds["Röbots.Work.Broken"] == "application"
    assert not any("ada@example.org" in message for _, _, message in rows)


def test_no_argument_value_or_variable_is_stored(everything: Path) -> None:
    content = b"".join(path.read_bytes() for path in (everything / "store").iterdir())
    for value in ("value-of-a-variable", "hönd", "Hello ada", "Greet 'ada'", "ada@example.org"):
        assert value.encode() not in content
    assert b"Greet '${name}' Politely" in content


def test_everything_that_was_recorded_ended(everything: Path) -> None:
    end = datetime.now(UTC) + timedelta(days=1)
    assert sweep_abandoned(everything / "store", as_of=end) == {"abandoned": 0}


@pytest.mark.parametrize("options", [["--legacyoutput"], ["--output", "output.json"]])
def test_other_formats_of_a_recorded_run(tmp_path: Path, options: list[str]) -> None:
    recorded(tmp_path, *options, write_everything(tmp_path))
    before = counts(tmp_path / "store")
    output = next(path for path in tmp_path.glob("output.*"))
    run_import([output], tmp_path / "store", say=lambda line: None)
    after = counts(tmp_path / "store")
    if options == ["--legacyoutput"]:
        # It has milliseconds only, so the start as written, and with it the id, is another one.
        assert after["execution_metrics"] == 2 * before["execution_metrics"]
    else:
        assert after == before


def wait_for(what: Callable[[], bool], seconds: float = 30.0) -> None:
    deadline = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.05)


def test_a_robot_killed_in_a_task_leaves_its_start_and_becomes_abandoned(tmp_path: Path) -> None:
    text = "*** Tasks ***\nDone\n    Log    done\n\nNever Ends\n    Log    begun\n    Sleep    10 minutes\n"
    store = tmp_path / "store"
    process = subprocess.Popen(
        command("--listener", LISTENER, write(tmp_path, text), output_folder=tmp_path),
        env=own_environment(
            RPA_AGENT_STORE=str(store),
            RPA_AGENT_STATE=str(tmp_path / "state"),
            RPA_AGENT_SAMPLE_RESOURCES="false",
            # Far away: what arrives before it was delivered at once.
            RPA_AGENT_FLUSH_INTERVAL_SEC="3600",
            RPA_AGENT_HEARTBEAT_INTERVAL_SEC="3600",
        ),
    )

    def is_known() -> bool:
        sql = "SELECT COUNT(*) FROM execution_heartbeat WHERE workflow_id = 'Robot.Never Ends'"
        try:
            return bool(query(store, sql)[0][0])
        except sqlite3.OperationalError:
            return False  # the store is not there yet

    try:
        wait_for(is_known)
    finally:
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
    assert query(store, "PRAGMA integrity_check") == [("ok",)]
    assert query(store, "SELECT workflow_id FROM execution_start ORDER BY started_at_us") == [
        ("Robot.Done",),
        ("Robot.Never Ends",),
    ]
    assert query(store, "SELECT workflow_id, status FROM execution_metrics") == [("Robot.Done", "completed")]
    later = datetime.now(UTC) + timedelta(hours=1)
    assert sweep_abandoned(store, as_of=later) == {"abandoned": 1}
    assert query(store, "SELECT workflow_id FROM execution_abandoned") == [("Robot.Never Ends",)]
    # The output file that it left is cut off; the task that ended is known already.
    assert run_import([tmp_path / "output.xml"], store, say=lambda line: None) == 5
    assert query(store, "SELECT workflow_id, status FROM execution_metrics") == [("Robot.Done", "completed")]


def only_problem(folder: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """What the listener of a robot left behind for `rpa-agent check`."""
    monkeypatch.setenv("RPA_AGENT_STATE", str(folder / "state"))
    (problem,) = read_problems()
    assert problem.component == "robot-listener"
    return problem.text


@pytest.mark.parametrize(
    ("listener", "environment", "reason"),
    [
        (LISTENER, {"RPA_AGENT_STORE": ""}, "no store is named"),
        (LISTENER, {"RPA_AGENT_CONFIG": "nowhere.toml"}, "does not exist"),
        (LISTENER, {"RPA_AGENT_STEP_DEPTH": "deep"}, "step_depth"),
        (f"{LISTENER};enviroment=test", {}, "did you mean environment?"),
        (f"{LISTENER};agent.toml", {}, "has no name"),
        (f"{LISTENER};store=postgresql://rpa:geheim@db/rpa", {}, "holds a password"),
    ],
)
def test_a_listener_that_cannot_start_leaves_the_robot_alone(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    listener: str,
    environment: dict[str, str],
    reason: str,
) -> None:
    settings = {
        "RPA_AGENT_STORE": str(tmp_path / "store"),
        "RPA_AGENT_STATE": str(tmp_path / "state"),
        "XDG_CONFIG_HOME": str(tmp_path),
    }
    robot = write(tmp_path, ONE_TASK)
    finished = run_robot("--listener", listener, robot, output_folder=tmp_path, **(settings | environment))
    assert (finished.returncode, finished.stdout, finished.stderr) == (0, "", "")
    assert not (tmp_path / "store").exists()
    problem = only_problem(tmp_path, monkeypatch)
    assert problem.startswith("this run is not recorded: ")
    assert reason in problem
    assert "geheim" not in problem
    output = (tmp_path / "output.xml").read_text(encoding="utf-8")
    assert "rpa" not in output.split("<statistics>")[1]  # nor is it an error in the robot's own log
    # Put right, the next run records and nothing is left of the problem.
    assert recorded(tmp_path, robot).stderr == ""
    assert counts(tmp_path / "store")["execution_metrics"] == 1
    assert read_problems() == []


def test_a_store_that_cannot_be_reached_costs_the_robot_a_bounded_wait_and_no_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    robot = write(tmp_path, ONE_TASK)
    finished = recorded(tmp_path, robot, RPA_AGENT_STORE="postgresql://rpa@127.0.0.1:1/rpa")
    assert (finished.returncode, finished.stdout, finished.stderr) == (0, "", "")
    problem = only_problem(tmp_path, monkeypatch)
    assert "rows of a run are not in the store" in problem
    assert "rpa-agent import robot-output FILE" in problem
    # What it says works: nothing is lost, as the output file has it all.
    assert run_import([tmp_path / "output.xml"], tmp_path / "later", say=lambda line: None) == 0
    assert counts(tmp_path / "later")["execution_metrics"] == 1


def test_with_a_spool_a_store_that_is_away_costs_no_row_and_the_next_robot_delivers_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    robot = write(tmp_path, ONE_TASK)
    spool = tmp_path / "spool"
    away = "postgresql://rpa@127.0.0.1:1/rpa"
    finished = recorded(tmp_path, robot, RPA_AGENT_STORE=away, RPA_AGENT_SPOOL_FOLDER=str(spool))
    assert (finished.returncode, finished.stdout, finished.stderr) == (0, "", "")
    problem = only_problem(tmp_path, monkeypatch)
    assert f"rows of a run wait in the spool {spool}" in problem
    assert "import" not in problem
    assert sum(isinstance(record, ExecutionMetrics) for record in records_in(spool)) == 1
    finished = recorded(tmp_path, robot, RPA_AGENT_SPOOL_FOLDER=str(spool), RPA_AGENT_SAMPLE_RESOURCES="true")
    assert (finished.returncode, finished.stderr) == (0, "")
    rows = counts(tmp_path / "store")
    assert (rows["execution_start"], rows["execution_metrics"], rows["step_metrics"]) == (2, 2, 2)
    assert query(tmp_path / "store", "SELECT COUNT(*) FROM resource_metrics WHERE target = 'process'")[0][0]
    assert records_in(spool) == []
    assert read_problems() == []


def test_settings_come_by_name_in_the_semicolon_form(tmp_path: Path) -> None:
    config = write(tmp_path, 'store = "from-file"\nrobot_id = "r7"\nsample_resources = false\n', "agent.toml")
    listener = f"{LISTENER};config={config};environment=prüfung"
    finished = run_robot(
        "--listener",
        listener,
        write(tmp_path, ONE_TASK),
        output_folder=tmp_path,
        RPA_AGENT_STATE=str(tmp_path / "state"),
    )
    assert (finished.returncode, finished.stderr) == (0, "")
    columns = "workflow_id, suite, environment, robot_id, status, source, steps_total"
    assert query(tmp_path / "from-file", f"SELECT {columns} FROM execution_metrics") == [
        ("Robot.Only", "Robot", "prüfung", "r7", "completed", "live", 1)
    ]


def test_robot_options_switch_it_on_for_an_unchanged_command(tmp_path: Path) -> None:
    finished = run_robot(
        write(tmp_path, ONE_TASK),
        output_folder=tmp_path,
        ROBOT_OPTIONS=f"--listener {LISTENER}",
        RPA_AGENT_STORE=str(tmp_path / "store"),
        RPA_AGENT_STATE=str(tmp_path / "state"),
        RPA_AGENT_SAMPLE_RESOURCES="false",
    )
    assert (finished.returncode, finished.stderr) == (0, "")
    assert counts(tmp_path / "store")["execution_metrics"] == 1


def test_a_dry_run_is_no_execution(tmp_path: Path) -> None:
    finished = recorded(tmp_path, "--dryrun", write(tmp_path, ONE_TASK))
    assert (finished.returncode, finished.stderr) == (0, "")
    assert not (tmp_path / "store").exists()


def test_deep_steps_stay_out_and_the_others_keep_their_keys(tmp_path: Path) -> None:
    robots = write_everything(tmp_path)
    recorded(tmp_path, robots, RPA_AGENT_STEP_DEPTH="1")
    before = counts(tmp_path / "store")
    said: list[str] = []
    run_import([tmp_path / "output.xml"], tmp_path / "store", say=said.append)
    assert counts(tmp_path / "store")["quarantine"] == 0  # no key with other content
    assert f"already stored 17 executions and {before['step_metrics']} steps" in said[-1]


def test_the_robots_own_results_are_the_same_with_and_without_the_listener(tmp_path: Path) -> None:
    robots = write_everything(tmp_path)
    plain = run_robot(robots, output_folder=tmp_path / "plain")
    with_listener = recorded(tmp_path, robots)
    assert (plain.returncode, plain.stdout, plain.stderr) == (
        with_listener.returncode,
        with_listener.stdout,
        with_listener.stderr,
    )
    tags = [
        [line.split(" ", 1)[0] for line in (folder / "output.xml").read_text(encoding="utf-8").splitlines()]
        for folder in (tmp_path / "plain", tmp_path)
    ]
    assert tags[0] == tags[1]  # not a message, keyword or error more


def test_an_error_inside_the_listener_is_reported_and_the_robot_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = """\
from collector_agent.hooks import robot_framework, robot_recording


def fail(*_):
    raise ZeroDivisionError("made to fail")


robot_recording.Recording._take_step = fail


class Broken(robot_framework.Listener):
    pass
"""
    (tmp_path / "broken_listener.py").write_text(broken)
    robot = write(tmp_path, "*** Tasks ***\nOne\n    Log    1\n    Log    2\n\nTwo\n    Log    3\n")
    finished = run_robot(
        "--pythonpath",
        tmp_path,
        "--listener",
        "broken_listener.Broken",
        robot,
        output_folder=tmp_path,
        RPA_AGENT_STORE=str(tmp_path / "store"),
        RPA_AGENT_STATE=str(tmp_path / "state"),
        RPA_AGENT_SAMPLE_RESOURCES="false",
    )
    assert (finished.returncode, finished.stdout, finished.stderr) == (0, "", "")
    assert "ZeroDivisionError: made to fail" in only_problem(tmp_path, monkeypatch)
    assert counts(tmp_path / "store")["execution_metrics"] == 2


def test_a_robot_that_computes_without_a_pause_loses_no_row_to_the_brake(tmp_path: Path) -> None:
    braked = """\
from collector_agent.hooks import robot_framework, robot_recording

robot_recording.BACKLOG_ROWS = -1
robot_recording._LOOK_EVERY_STEPS = 1


class Braked(robot_framework.Listener):
    pass
"""
    (tmp_path / "braked_listener.py").write_text(braked)
    text = "*** Tasks ***\nLoop\n    FOR    ${i}    IN RANGE    2000\n        No Operation\n    END\n"
    finished = run_robot(
        "--pythonpath",
        tmp_path,
        "--listener",
        "braked_listener.Braked",
        write(tmp_path, text),
        output_folder=tmp_path,
        RPA_AGENT_STORE=str(tmp_path / "store"),
        RPA_AGENT_STATE=str(tmp_path / "state"),
        RPA_AGENT_SAMPLE_RESOURCES="false",
    )
    assert (finished.returncode, finished.stderr) == (0, "")
    assert counts(tmp_path / "store")["step_metrics"] == 4001


def test_samples_carry_the_task_that_runs(tmp_path: Path) -> None:
    # The first sample waits for psutil to load, which takes seconds on a busy machine.
    text = "*** Tasks ***\nFirst\n    Sleep    6s\n\nSecond\n    Sleep    2s\n"
    finished = recorded(
        tmp_path,
        write(tmp_path, text),
        RPA_AGENT_SAMPLE_RESOURCES="true",
        RPA_AGENT_SAMPLE_INTERVAL_SEC="0.2",
    )
    assert (finished.returncode, finished.stderr) == (0, "")
    rows = query(
        tmp_path / "store",
        "SELECT DISTINCT s.target, e.workflow_id FROM resource_metrics s "
        "JOIN execution_metrics e ON e.execution_id = s.execution_id AND e.workflow_id = s.workflow_id",
    )
    assert {("process", "Robot.First"), ("process", "Robot.Second"), ("host", "Robot.Second")} <= set(rows)
