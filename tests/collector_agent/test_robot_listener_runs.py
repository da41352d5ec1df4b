"""What one run of Robot Framework is made of, recorded live: the rows are those that importing it gives."""

import importlib.util
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from collector_agent.hooks.robot_framework import Listener
from collector_agent.importers.robot_output import run_import
from collector_agent.machine.problems import read_problems
from collector_agent.redaction.policy import ALLOWED_ATTRIBUTES
from collector_agent.robot_results import normal
from tests.collector_agent.robots import (
    LISTENER,
    command,
    own_environment,
    run_robot,
    write_everything,
    write_work_items,
)
from tests.collector_agent.stored_rows import query

pytestmark = pytest.mark.slow

# Who recorded a row, and when it came: all else is the same.
_OWN_COLUMNS = frozenset(
    {"source", "host", "environment", "robot_id", "queue", "recorded_at_us", "received_at_us"}
)
UNUSUAL = """\
*** Settings ***
Metadata    Version    7

*** Tasks ***
Inline Python
    TRY
        IF    ${{1/0}}    Log    never
    EXCEPT    *    type=GLOB
        VAR    ${x}    ${{6*7}}
    END
    ${result} =    IF    $x == 42    Set Variable    good    ELSE    Set Variable    bad
    ${broken} =    Evaluate    1/0

Invalid Syntax
    [Setup]    Nothing Of That Name
    Log    not reached
    ELSE

Groups And Returns
    GROUP    order 4711
        FOR    ${n}    IN RANGE    3
            IF    ${n} == 1    CONTINUE
            Return Early
        END
    END
    WHILE    True    limit=2    on_limit=pass
        Run Keyword And Ignore Error    Fail    inside
    END
    [Teardown]    Run Keywords    Log    one    AND    Fail    two

*** Keywords ***
Return Early
    [Setup]    Log    begin
    RETURN    ${1}
    [Teardown]    Log    end
"""
PARALLEL = """\
*** Settings ***
Metadata    Version    9

*** Tasks ***
Same Name
    Log    x

Flaky
    [Tags]    customer:acme
    ${is there} =    Evaluate    os.path.exists($MARK)
    IF    not ${is there}    Fail    no <b> at http://example.org/?a=1&b yet
"""


def settings(folder: Path) -> dict[str, str]:
    return {
        "RPA_AGENT_STORE": str(folder / "store"),
        "RPA_AGENT_STATE": str(folder / "state"),
        "RPA_AGENT_SAMPLE_RESOURCES": "false",
    }


def recorded(folder: Path, *arguments: object, **more: str) -> "subprocess.CompletedProcess[str]":
    output = more.pop("output", "")
    return run_robot(
        "--listener", LISTENER, *arguments, output_folder=folder / output, **(settings(folder) | more)
    )


def rows_of(store: Path, table: str, *, without: frozenset[str] = frozenset()) -> list[dict[str, Any]]:
    """Each row by column, but for what says who recorded it."""
    columns = [name for _, name, *_ in query(store, f"PRAGMA table_info({table})")]
    kept = [name for name in columns if name not in _OWN_COLUMNS | without]
    order = "step_seq" if table == "step_metrics" else "workflow_id"
    found = query(store, f"SELECT {', '.join(kept)} FROM {table} ORDER BY execution_id, {order}")
    return [dict(zip(kept, row, strict=True)) for row in found]


def importing_gives_the_same(folder: Path, output: Path, *, without: frozenset[str] = frozenset()) -> None:
    """The rows of a fresh import are those that were recorded; and importing onto them changes nothing."""
    said: list[str] = []
    run_import([output], folder / "fresh", say=said.append)
    for table in ("execution_metrics", "step_metrics"):
        live = rows_of(folder / "store", table, without=without)
        assert live
        assert rows_of(folder / "fresh", table, without=without) == live
    run_import([output], folder / "store", say=said.append)
    assert "took 0 executions and 0 steps" in said[-1]
    assert query(folder / "store", "SELECT COUNT(*) FROM quarantine") == [(0,)]


@pytest.fixture(scope="module")
def everything(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("live")
    finished = recorded(folder, write_everything(folder))
    assert (finished.returncode, finished.stderr) == (6, "")
    return folder


def test_every_row_of_everything_is_the_one_that_importing_gives(everything: Path) -> None:
    importing_gives_the_same(everything, everything / "output.xml")


@pytest.mark.parametrize("mode", ["memory", "durable"])
def test_unusual_structures_are_recorded_as_they_are_imported(tmp_path: Path, mode: str) -> None:
    robot = tmp_path / "unusual.robot"
    robot.write_text(UNUSUAL, encoding="utf-8")
    finished = recorded(tmp_path, robot, RPA_AGENT_RECORDING_MODE=mode)
    assert (finished.returncode, finished.stderr) == (3, "")
    importing_gives_the_same(tmp_path, tmp_path / "output.xml")
    types = {row["step_type"] for row in rows_of(tmp_path / "store", "step_metrics")}
    assert types >= {
        *("IF", "ELSE", "TRY", "EXCEPT", "FOR", "WHILE", "ITERATION", "GROUP", "VAR", "RETURN", "CONTINUE"),
        *("KEYWORD", "SETUP", "TEARDOWN"),
    }


def test_work_items_are_transactions_with_status_kind_and_duration(everything: Path) -> None:
    items = query(
        everything / "store",
        "SELECT s.workflow_id, s.step_id, s.status, s.exception_kind, s.transaction_id, s.duration_ms > 0, "
        "e.execution_id FROM step_metrics s JOIN execution_metrics e ON e.execution_id = s.execution_id "
        "WHERE s.step_type = 'TRANSACTION' ORDER BY s.workflow_id DESC, s.step_seq",
    )
    assert [row[:4] for row in items] == [
        ("Röbots.Items.Each Item", "Process Item", "completed", ""),
        ("Röbots.Items.Each Item", "Process Item", "failed", "business"),
        ("Röbots.Items.Each Item", "Process Item", "failed", "application"),
        ("Röbots.Items.By Hand", "ITERATION", "completed", ""),
        ("Röbots.Items.By Hand", "ITERATION", "completed", ""),
        ("Röbots.Items.By Hand", "ITERATION", "completed", ""),
    ]
    assert [row[4] for row in items] == [f"{row[6]}/{n}" for row, n in zip(items, [1, 2, 3] * 2, strict=True)]
    assert all(row[5] for row in items)
    inside = query(
        everything / "store",
        "SELECT COUNT(*) FROM step_metrics WHERE transaction_id <> '' AND step_type <> 'TRANSACTION'",
    )
    assert inside[0][0] > 20


def test_the_library_is_known_by_its_own_name_too_and_where_it_may_lie(tmp_path: Path) -> None:
    write_work_items(tmp_path)
    robot = tmp_path / "items.robot"
    robot.write_text(
        "*** Settings ***\nLibrary    RPA.Robocorp.WorkItems\n\n*** Tasks ***\nAll\n"
        "    For Each Input Work Item    Log\n",
        encoding="utf-8",
    )
    (tmp_path / "RPA/Robocorp/__init__.py").touch()
    (tmp_path / "RPA/__init__.py").touch()
    assert recorded(tmp_path, "--pythonpath", tmp_path, robot, RPA_AGENT_QUEUE="invoices").stderr == ""
    columns = "step_id, queue"
    found = query(tmp_path / "store", f"SELECT {columns} FROM step_metrics WHERE step_type = 'TRANSACTION'")
    assert found == [("BuiltIn.Log", "invoices")] * 3


def test_retries_are_on_the_step_that_tries_again(everything: Path) -> None:
    found = query(
        everything / "store",
        "SELECT step_id, retries, status FROM step_metrics WHERE step_id LIKE '%Wait Until%' "
        "ORDER BY step_seq",
    )
    name = "BuiltIn.Wait Until Keyword Succeeds"
    assert found == [(name, 2, "completed"), (name, 0, "completed"), (name, 1, "failed")]


def test_tags_are_attributes_and_metadata_the_version(everything: Path) -> None:
    sql = "SELECT attributes, workflow_version FROM execution_metrics WHERE workflow_id LIKE '%Each Item'"
    ((attributes, version),) = query(everything / "store", sql)
    assert json.loads(attributes) == {"tag customer": "acme", "tag nightly": "yes", "tag owner": "<mail>"}
    assert version == "1.2-rc1"
    for table in ("execution_start", "step_metrics"):
        sql = f"SELECT DISTINCT workflow_version FROM {table} WHERE workflow_id LIKE '%.Items.%'"
        assert query(everything / "store", sql) == [("1.2-rc1",)]
    others = query(
        everything / "store",
        "SELECT DISTINCT workflow_version FROM execution_metrics WHERE workflow_id NOT LIKE '%.Items.%'",
    )
    assert others == [("",)]


def test_another_metadata_name_the_command_line_and_the_suite_setup_may_say_the_version(
    tmp_path: Path,
) -> None:
    robot = tmp_path / "versions.robot"
    robot.write_text(
        "*** Settings ***\nSuite Setup    Set Suite Metadata    my release    3\n\n"
        "*** Tasks ***\nA\n    Log    1\n",
        encoding="utf-8",
    )
    options = ("--metadata", "MyRelease:2", robot)
    recorded(tmp_path, *options, RPA_AGENT_VERSION_METADATA="My_Release", RPA_AGENT_WORKFLOW_VERSION="1")
    sql = "SELECT workflow_version FROM execution_metrics"
    assert query(tmp_path / "store", sql) == [("3",)]
    said: list[str] = []
    run_import([tmp_path / "output.xml"], tmp_path / "f", version_metadata="myrelease", say=said.append)
    assert query(tmp_path / "f", sql) == [("3",)]
    recorded(tmp_path, *options, RPA_AGENT_STORE=str(tmp_path / "other"), RPA_AGENT_WORKFLOW_VERSION="1")
    assert query(tmp_path / "other", sql) == [("1",)]  # no metadata of that name: the setting counts


def test_a_step_whose_name_holds_a_secret_is_masked_in_either_mode(tmp_path: Path) -> None:
    robot = tmp_path / "secret.robot"
    robot.write_text(
        "*** Tasks ***\nA\n"
        + "    Mail to ada@example.org\n" * 3
        + "\n*** Keywords ***\nMail to ada@example.org\n    Log    1\n",
        encoding="utf-8",
    )
    for mode in ("memory", "durable"):
        recorded(tmp_path, robot, RPA_AGENT_RECORDING_MODE=mode, RPA_AGENT_STORE=str(tmp_path / mode))
        content = b"".join(path.read_bytes() for path in (tmp_path / mode).iterdir())
        assert b"Mail to <mail>" in content
        assert b"ada@example.org" not in content


# --- parallel runs, re-runs, merged outputs ----------------------------------------------------------


@pytest.fixture
def parts(tmp_path: Path) -> Path:
    """A folder of three suites whose tasks have the same names."""
    folder = tmp_path / "Parallel"
    folder.mkdir()
    for name in ("one", "two", "three"):
        (folder / f"{name}.robot").write_text(PARALLEL, encoding="utf-8")
    return folder


def merged(folder: Path, *outputs: Path) -> Path:
    quiet = ["--rpa", "--log", "NONE", "--report", "NONE", "--output", "output.xml", "-d", str(folder)]
    subprocess.run(
        [sys.executable, "-m", "robot.rebot", "--merge", *quiet, *map(str, outputs)],
        check=False,
        stdout=subprocess.DEVNULL,
    )
    return folder / "output.xml"


def check_parallel(folder: Path, output: Path) -> None:
    names = [
        f"Parallel.{suite}.{task}" for suite in ("One", "Three", "Two") for task in ("Flaky", "Same Name")
    ]
    rows = query(
        folder / "store",
        "SELECT workflow_id, execution_id, attributes, workflow_version FROM execution_metrics ORDER BY 1",
    )
    assert [row[0] for row in rows] == names
    assert len({row[1] for row in rows}) == 6
    assert {row[3] for row in rows} == {"9"}
    pools = {json.loads(attributes)["pabot_pool"] for _, _, attributes, _ in rows}
    assert pools <= {"0", "1", "2"}
    assert len({json.loads(attributes)["pabot_queue_index"] for _, _, attributes, _ in rows}) == 3
    importing_gives_the_same(folder, output, without=frozenset({"attributes"}))


def test_processes_of_a_parallel_run_record_what_their_merged_output_has(tmp_path: Path, parts: Path) -> None:
    """As pabot does it: a process for each suite, all at once, and their outputs put together."""
    processes = []
    for number, suite in enumerate(("One", "Two", "Three")):
        variables = {"PABOTQUEUEINDEX": number, "PABOTEXECUTIONPOOLID": number % 2, "MARK": "/nowhere"}
        options = [part for name, value in variables.items() for part in ("--variable", f"{name}:{value}")]
        arguments = ["--listener", LISTENER, "--suite", f"Parallel.{suite}", *options, parts]
        processes.append(
            subprocess.Popen(
                command(*arguments, output_folder=tmp_path / suite),
                env=own_environment(**settings(tmp_path)),
                stderr=subprocess.PIPE,
                text=True,
            )
        )
    assert [process.communicate(timeout=120)[1] for process in processes] == ["", "", ""]
    outputs = [tmp_path / suite / "output.xml" for suite in ("One", "Two", "Three")]
    check_parallel(tmp_path, merged(tmp_path / "merged", *outputs))


@pytest.mark.skipif(importlib.util.find_spec("pabot") is None, reason="robotframework-pabot is not installed")
def test_pabot_itself(tmp_path: Path, parts: Path) -> None:
    found = shutil.which(
        "robot", path=os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    )
    if found is None:
        pytest.skip("pabot calls `robot`, which is not on the path")
    path = os.pathsep.join([str(Path(found).parent), os.environ["PATH"]])
    options = [
        "--processes",
        "3",
        "--artifacts",
        "png",
        "--listener",
        LISTENER,
        "--rpa",
        "--variable",
        "MARK:/no",
    ]
    subprocess.run(
        [sys.executable, "-m", "pabot.pabot", *options, "-d", str(tmp_path / "out"), str(parts)],
        env=own_environment(PATH=path, **settings(tmp_path)),
        cwd=tmp_path,
        check=False,
        stdout=subprocess.DEVNULL,
        timeout=300,
    )
    check_parallel(tmp_path, tmp_path / "out" / "output.xml")


def test_a_rerun_is_the_second_attempt_live_and_in_the_merged_output(tmp_path: Path, parts: Path) -> None:
    mark = tmp_path / "mark"
    first = recorded(tmp_path, "--variable", f"MARK:{mark}", parts, output="first")
    assert (first.returncode, first.stderr) == (3, "")
    mark.touch()
    again = ["--rerunfailed", tmp_path / "first" / "output.xml", "--variable", f"MARK:{mark}"]
    assert recorded(tmp_path, *again, parts, output="again").returncode == 0
    outputs = [tmp_path / name / "output.xml" for name in ("first", "again")]
    said: list[str] = []
    run_import([merged(tmp_path / "merged", *outputs)], tmp_path / "store", say=said.append)
    assert "took 0 executions and 0 steps; already stored 6 executions" in said[-1]
    sql = (
        "SELECT attempt, status, message, COUNT(*) FROM execution_metrics "
        "WHERE workflow_id LIKE '%Flaky' GROUP BY 1"
    )
    message = "no <b> at http://example.org/?a=1&b yet"
    assert query(tmp_path / "store", sql) == [(1, "failed", message, 3), (2, "completed", "", 3)]
    assert query(tmp_path / "store", "SELECT COUNT(*) FROM quarantine") == [(0,)]
    # And without anything recorded: the merged output alone.
    run_import([tmp_path / "merged" / "output.xml"], tmp_path / "fresh", say=said.append)
    assert query(tmp_path / "fresh", sql) == [(2, "completed", "", 3)]


# --- whatever Robot Framework, or a listener before ours, does ---------------------------------------


@pytest.fixture
def in_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Listener]:
    """A listener outside of any robot, fed by hand."""
    for name, value in settings(tmp_path).items():
        monkeypatch.setenv(name, value)
    listener = Listener()
    yield listener
    listener.close()


class Metadata(dict[str, str]):
    """Robot Framework's own finds names whatever their case."""

    def get(self, name: str, default: Any = None) -> Any:
        return next((value for key, value in self.items() if normal(key) == normal(name)), default)


def result(**fields: Any) -> SimpleNamespace:
    now = datetime.now()
    common = {"start_time": now, "elapsed_time": timedelta(0), "status": "PASS", "message": "", "tags": ()}
    suite = {"metadata": Metadata(), "has_teardown": False}
    keyword = {"type": "KEYWORD", "owner": "Lib", "name": "Do", "source_name": None, "args": ()}
    return SimpleNamespace(**(common | suite | keyword | {"parent": None} | fields))


def test_odd_results_are_recorded_as_far_as_they_make_sense_and_nothing_is_raised(
    in_process: Listener, tmp_path: Path
) -> None:
    listener = in_process
    suite, task = result(name="S\ud800"), result(name="T\x00\n" * 500)
    listener.start_suite(suite, suite)
    listener.start_test(task, task)
    for odd in (
        result(name="\ud800 lone \udfff"),
        result(name="huge", status="FAIL", message="x" * 5_000_000),
        result(name="no start", start_time=None),
        result(name="back in time", elapsed_time=timedelta(seconds=-5)),
        result(name="days", start_time=datetime.now() - timedelta(5), elapsed_time=timedelta(4)),
        result(name="", owner=""),
        result(name="odd status", status="MAYBE"),
    ):
        listener.start_body_item(odd, odd)
        listener.end_body_item(odd, odd)
    listener.end_body_item(odd, odd)  # an end that nothing began
    for broken in (
        SimpleNamespace(),
        SimpleNamespace(type="KEYWORD"),
        result(type=None),
        result(start_time="soon"),
    ):
        listener.start_body_item(broken, broken)
        listener.end_body_item(broken, broken)
    deep = result(name="deep")
    for _ in range(10_000):
        listener.start_body_item(deep, deep)
    for _ in range(10_000):
        listener.end_body_item(deep, deep)
    listener.end_test(task, task)
    listener.end_suite(suite, suite)
    listener.close()
    names = [row["step_name"] for row in rows_of(tmp_path / "store", "step_metrics")]
    assert names[:6] == [
        "\ufffd lone \ufffd",
        "huge",
        "back in time",
        "days",
        "keyword without a name",
        "odd status",
    ]
    assert 10 <= names.count("deep") <= 20
    assert query(tmp_path / "store", "SELECT status FROM execution_metrics") == [("completed",)]
    (problem,) = read_problems()
    assert "part of a run is not recorded" in problem.text


def test_a_forked_child_of_a_robot_records_nothing_of_its_parents_task(
    in_process: Listener, tmp_path: Path
) -> None:
    if not hasattr(os, "fork"):
        pytest.skip("this platform does not fork")
    listener = in_process
    suite, task, keyword = result(name="S"), result(name="T"), result(name="Do")
    listener.start_suite(suite, suite)
    listener.start_test(task, task)
    listener.start_body_item(keyword, keyword)
    listener.end_body_item(keyword, keyword)
    child = os.fork()
    if not child:
        try:
            listener.start_body_item(keyword, keyword)
            listener.end_body_item(keyword, keyword)
        finally:
            os._exit(0)
    os.waitpid(child, 0)
    listener.end_test(task, task)
    listener.end_suite(suite, suite)
    listener.close()
    assert [row["step_seq"] for row in rows_of(tmp_path / "store", "step_metrics")] == [1]


def test_attributes_of_tags_and_pabot_are_allowed_unless_somebody_forbids_them() -> None:
    assert {"tag *", "pabot_*"} <= set(ALLOWED_ATTRIBUTES)
