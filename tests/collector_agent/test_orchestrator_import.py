"""Importing Orchestrator's exports: jobs and queue items, as CSV of the web page and as OData's JSON."""

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from analytics_lib.errors import ImportFileError
from analytics_lib.record_values import record_of
from analytics_lib.records import ExecutionHeartbeat, ExecutionMetrics, ExecutionStart, Record
from analytics_lib.store import TimeSeriesStore
from collector_agent.importers.orchestrator_export import OrchestratorExport, run_import
from collector_agent.importers.orchestrator_fields import Rows, Times
from collector_agent.importers.uipath_log import read_uipath_log
from collector_agent.importers.uipath_values import failure_kinds
from collector_agent.robot_results import time_zone
from tests.collector_agent.uipath_robot import Robot, guid

JOB: dict[str, Any] = {
    "Key": guid(1).upper(),
    "Id": 4711,
    "StartTime": "2024-03-01T07:00:00.1234567Z",
    "EndTime": "2024-03-01T07:01:00.1234567Z",
    "CreationTime": "2024-03-01T06:59:00Z",
    "State": "Successful",
    "ReleaseName": "Invoices",
    "HostMachineName": "RPA-01",
    "Info": "Job completed",
    "Robot": {"Name": "robot-7", "UserName": "CORP\\ada"},
    "Release": {"ProcessVersion": "1.2.3"},
    "InputArguments": '{"password": "hunter2"}',
}
ITEM: dict[str, Any] = {
    "Key": guid(2),
    "Id": 5,
    "QueueDefinitionId": 12,
    "QueueDefinition": {"Name": "To pay"},
    "Status": "Failed",
    "StartProcessing": "2024-03-01T07:00:00Z",
    "EndProcessing": "2024-03-01T07:00:04Z",
    "CreationTime": "2024-03-01T05:00:00Z",
    "RetryNumber": 2,
    "ProcessingException": {
        "Type": "BusinessException",
        "Reason": "no supplier for ada@example.org",
        "Details": "at secret",
    },
    "SpecificContent": {"IBAN": "DE89370400440532013000"},
    "Reference": "ada@example.org",
    "Robot": None,
}


def written(folder: Path, content: object, name: str = "export.json", encoding: str = "utf-8") -> Path:
    path = folder / name
    path.write_bytes((content if isinstance(content, str) else json.dumps(content)).encode(encoding))
    return path


def odata(*rows: dict[str, Any]) -> dict[str, Any]:
    context = {"@odata.context": "https://orchestrator/odata/$metadata#Jobs", "@odata.count": len(rows)}
    return {**context, "value": list(rows)}


def read(path: Path, zone: str = "UTC", time_format: str = "", queue: str = "") -> list[Record]:
    maker = Rows(Times(time_zone(zone), time_format), failure_kinds(), "test", queue)
    return [record_of(kind, values) for kind, values in OrchestratorExport(path, maker).rows()]


def one(path: Path, **options: str) -> ExecutionMetrics:
    (record,) = read(path, **options)
    assert isinstance(record, ExecutionMetrics)
    return record


def imported(*paths: Path, store: Path, **options: Any) -> tuple[int, list[str]]:
    said: list[str] = []
    options = {"time_zone": "UTC"} | options
    return run_import(paths, store, say=said.append, **options), said


def test_a_job_becomes_an_execution_with_the_id_that_the_robots_log_has(tmp_path: Path) -> None:
    run = one(written(tmp_path, odata(JOB)))
    assert (run.execution_id, run.workflow_id, run.workflow_version) == (guid(1), "Invoices", "1.2.3")
    assert (run.robot_id, run.host, run.environment, run.source) == (
        "robot-7",
        "RPA-01",
        "test",
        "orchestrator",
    )
    assert (run.status, run.duration_ms, run.message) == ("completed", 60_000.0, "")
    assert run.started_at == datetime(2024, 3, 1, 7, 0, 0, 123_456, tzinfo=UTC)
    assert run.queued_at == datetime(2024, 3, 1, 6, 59, tzinfo=UTC)
    assert "ada" not in str(run)
    assert "hunter2" not in str(run)


def test_states_of_jobs(tmp_path: Path) -> None:
    jobs = [
        JOB | {"Key": guid(2), "State": "Faulted", "Info": "UiPath.Core.BusinessRuleException: no"},
        JOB | {"Key": guid(3), "State": "Faulted", "Info": "System.Exception: broken", "StartTime": None},
        JOB | {"Key": guid(4), "State": "Stopped"},
        JOB | {"Key": guid(5), "State": "Running", "EndTime": None},
        JOB | {"Key": guid(6), "State": "Pending", "StartTime": None, "EndTime": None},
        JOB | {"Key": None, "State": "Successful"},
    ]
    records = read(written(tmp_path, odata(*jobs)))
    ends = [record for record in records if isinstance(record, ExecutionMetrics)]
    assert [(run.status, run.exception_kind, run.duration_ms) for run in ends] == [
        ("failed", "business", 60_000.0),
        ("failed", "application", 0.0),
        ("cancelled", "", 60_000.0),
        ("completed", "", 60_000.0),
    ]
    (running,) = [record for record in records if isinstance(record, ExecutionStart)]
    assert running.execution_id == guid(5)
    assert len({run.execution_id for run in ends}) == 4


def test_a_queue_item_becomes_an_execution_of_its_queue(tmp_path: Path) -> None:
    run = one(written(tmp_path, odata(ITEM)))
    assert (run.workflow_id, run.queue, run.transaction_id) == ("transaction of To pay", "To pay", guid(2))
    assert (run.status, run.exception_kind, run.message) == (
        "failed",
        "business",
        "no supplier for <mail>",
    )
    assert (run.attempt, run.duration_ms, run.queued_at) == (
        3,
        4_000.0,
        datetime(2024, 3, 1, 5, 0, tzinfo=UTC),
    )
    for secret in ("DE89", "at secret", "ada"):
        assert secret not in str(run)


def test_states_of_queue_items(tmp_path: Path) -> None:
    items = [
        ITEM | {"Key": guid(1), "Status": "Successful", "ProcessingException": None},
        ITEM | {"Key": guid(2), "Status": "Retried", "ProcessingException": {"Type": "ApplicationException"}},
        ITEM | {"Key": guid(3), "Status": "New", "StartProcessing": None, "EndProcessing": None},
        ITEM | {"Key": guid(4), "Status": "InProgress", "EndProcessing": None},
        ITEM | {"Key": guid(5), "Status": "Abandoned", "EndProcessing": None},
    ]
    records = read(written(tmp_path, odata(*items)))
    assert [(run.status, run.exception_kind) for run in records if isinstance(run, ExecutionMetrics)] == [
        ("completed", ""),
        ("failed", "application"),
    ]
    assert [type(record) for record in records[2:]] == [ExecutionStart, ExecutionHeartbeat]


def test_the_transaction_of_a_robots_log_is_the_one_of_the_export(tmp_path: Path) -> None:
    robot = Robot()
    log = tmp_path / "2024-03-01_Execution.log"
    log.write_text("\n".join([robot.start(guid(1)), robot.transaction(2, "Successful"), robot.end()]))
    step = next(record for record in read_uipath_log([log]) if record.kind == "step")
    item = one(written(tmp_path, odata(ITEM | {"Key": guid(0x900002)})))
    assert step.transaction_id == item.transaction_id  # type: ignore[union-attr]  # it is a step
    assert step.step_id == item.workflow_id.replace("To pay", "Invoices to pay")  # type: ignore[union-attr]


JOBS_CSV = """\
Process,Robot,State,Started (absolute),Ended (absolute),Key,Hostname
Invoices,robot-7,Successful,2024-03-01 08:00:00,2024-03-01 08:01:00,{key},RPA-01
"Orders, new",robot-8,Faulted,2024-03-01 09:00:00,2024-03-01 09:00:30,{other},RPA-02
"""


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_jobs_as_csv(tmp_path: Path, delimiter: str, encoding: str) -> None:
    text = JOBS_CSV.format(key=guid(1), other=guid(2)).replace('"Orders, new"', "@").replace(",", delimiter)
    text = text.replace("@", '"Orders, new"' if delimiter == "," else "Orders, new").replace("\n", "\r\n")
    found = read(written(tmp_path, text, "jobs.csv", encoding), zone="Europe/Berlin")
    told = [
        (run.execution_id, run.workflow_id, run.status)
        for run in found
        if isinstance(run, ExecutionMetrics)
    ]  # fmt: skip
    assert told == [(guid(1), "Invoices", "completed"), (guid(2), "Orders, new", "failed")]
    assert isinstance(found[0], ExecutionMetrics)
    assert found[0].started_at == datetime(2024, 3, 1, 7, 0, tzinfo=UTC)


def test_times_of_another_format_are_named(tmp_path: Path) -> None:
    text = JOBS_CSV.format(key=guid(1), other=guid(2)).replace("2024-03-01", "01/03/2024")
    path = written(tmp_path, text, "jobs.csv")
    code, said = imported(path, store=tmp_path / "store")
    assert code == 0
    assert said[1] == (
        "  skipped: 2 rows whose start is no time as 2024-03-01T08:00:00Z "
        "(first at line 2, byte 69: '01/03/2024 08:00:00')"
    )
    assert len(read(path, time_format="%d/%m/%Y %H:%M:%S")) == 2


def test_queue_items_as_csv_may_need_their_queues_name(tmp_path: Path) -> None:
    text = "Status,Retry No.,Exception,Exception Reason,Started,Ended,Key\n"
    text += f"Failed,1,Business,no supplier,2024-03-01T08:00:00,2024-03-01T08:00:09,{guid(1)}\n"
    path = written(tmp_path, text, "items.csv")
    _, said = imported(path, store=tmp_path / "store")
    assert "  skipped: 1 queue items without a queue (name it: --queue NAME) (at line 2, byte 62)" in said
    run = one(path, queue="To pay")
    assert (run.queue, run.exception_kind, run.attempt) == ("To pay", "business", 2)


def test_importing_twice_changes_nothing_and_the_summary_says_so(tmp_path: Path) -> None:
    paths = [written(tmp_path, odata(JOB), "jobs.json"), written(tmp_path, odata(ITEM), "items.json")]
    code, said = imported(*paths, store=tmp_path / "store")
    assert code == 0
    assert said[0] == (
        f"{paths[0]}: 1 executions (1 completed); took 1 executions and 0 steps; "
        "already stored 0 executions and 0 steps"
    )
    assert said[1].startswith(f"{paths[1]}: 1 executions (1 failed) and 1 transactions; took 1")
    code, said = imported(*paths, store=tmp_path / "store")
    assert "took 0 executions and 0 steps; already stored 2 executions and 0 steps" in said[-1]


def test_objects_one_a_line_arrays_and_answers_are_the_same(tmp_path: Path) -> None:
    jobs = [JOB | {"Key": guid(n)} for n in range(20)]
    lines = "\n".join(map(json.dumps, jobs))
    contents = [
        odata(*jobs),
        jobs,
        json.dumps(odata(*jobs), indent=2),
        lines,
        lines.replace("\n", "\r\n\r\n"),
    ]
    found = [read(written(tmp_path, content, f"{at}.json")) for at, content in enumerate(contents)]
    assert len(found[0]) == 20
    assert all(other == found[0] for other in found)
    assert read(written(tmp_path, json.dumps(jobs[3]))) == found[0][3:4]


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_json_may_have_a_mark(tmp_path: Path, encoding: str) -> None:
    assert len(read(written(tmp_path, odata(JOB), encoding=encoding))) == 1


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("", "is empty"),
        ("not a table", "has no header of columns"),
        ("a,b,c\n1,2,3\n", "holds neither jobs nor queue items of Orchestrator (its columns: a, b, c)"),
        ('{"value": [{"a": 1}]}', "holds neither jobs nor queue items of Orchestrator (its columns: a)"),
        ("<html><body/></html>", "is XML or HTML"),
        ("[1, 2", "breaks off at line 1"),
        ('{"value": [{"a": 1,', "breaks off at line 1"),
        ('{"value": ' + "[" * 100_000, "nested too deeply"),
        ("\x89PNG\r\n\x1a\n\0\0", "has no header of columns"),
        ("a\rb\rc", "has no header of columns"),
    ],
)
def test_what_is_no_export_is_one_clear_error(tmp_path: Path, content: str, reason: str) -> None:
    path = written(tmp_path, content, "export.csv")
    with pytest.raises(ImportFileError) as caught:
        read(path)
    assert str(caught.value).startswith(f"{path} ")
    assert reason in str(caught.value)


def test_what_came_before_a_file_breaks_off_is_taken(tmp_path: Path) -> None:
    text = json.dumps(odata(*(JOB | {"Key": guid(n)} for n in range(5))), indent=1)
    path = written(tmp_path, text[: text.index(guid(3))])
    code, said = imported(path, store=tmp_path / "store")
    assert code == ImportFileError.exit_code
    assert said[0].startswith(f"error: {path} breaks off at line ")
    assert "3 rows came before and are taken" in said[0]
    assert "took 3 executions" in said[1]


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        (JOB | {"State": "Erfolgreich"}, "jobs in a state not known here (at line 1: 'Erfolgreich')"),
        (JOB | {"Key": None, "Id": None}, "jobs without a key and an id (at line 1)"),
        (JOB | {"EndTime": None}, "jobs that are over, without a time of their end (at line 1)"),
        (JOB | {"EndTime": "2023-01-01T00:00:00Z"}, "jobs that end before they start (at line 1: '2024-03-"),
        (JOB | {"StartTime": {"a": []}}, ""),
        (JOB | {"StartTime": 7}, "rows whose start is no time as 2024-03-01T08:00:00Z (at line 1: '7')"),
    ],
)
def test_a_bad_row_is_counted_with_its_place(tmp_path: Path, row: dict[str, Any], reason: str) -> None:
    path = written(tmp_path, odata(row, JOB | {"Key": guid(9)}))
    code, said = imported(path, store=tmp_path / "store")
    assert code == 0
    assert "took 1 executions" in said[0] or not reason
    if reason:
        assert said[1].startswith(f"  skipped: 1 {reason}")


def test_hostile_values_are_quarantined_or_counted(tmp_path: Path) -> None:
    odd: Sequence[object] = [
        "\0",
        "x" * 100_000,
        -1,
        1e308,
        True,
        [[]],
        {"a": {"b": {"c": {}}}},
        "9999-12-31",
    ]
    rows = [JOB | {name: value} for name in JOB for value in odd]
    rows += [JOB | {"Id": 1, "Key": f"k-{n}", "ReleaseName": value} for n, value in enumerate(odd)]
    code, _ = imported(written(tmp_path, odata(*rows)), store=tmp_path / "store")
    assert code == 0
    with TimeSeriesStore(tmp_path / "store") as store, store.engine.connect() as connection:
        assert connection.exec_driver_sql("SELECT COUNT(*) FROM execution_metrics").scalar_one() > 5
