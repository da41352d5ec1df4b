"""Importing execution logs of UiPath robots: any language and version, whatever is wrong with a file."""

import json
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest

from analytics_lib.errors import ImportFileError, SettingsError
from analytics_lib.records import ExecutionHeartbeat, ExecutionMetrics, ExecutionStart, Record, StepMetrics
from analytics_lib.store import TimeSeriesStore
from analytics_lib.store.abandonment import sweep_abandoned
from analytics_lib.windows import HOUR_US, to_us
from collector_agent.importers.lines import LINE_BYTES
from collector_agent.importers.uipath_log import read_uipath_log, run_import
from collector_agent.importers.uipath_runs import UiPathRuns
from tests.collector_agent.uipath_robot import START, Robot, day_lines, guid

NAME = "2024-03-01_Execution.log"
LATER = datetime(2024, 4, 1, tzinfo=UTC)


def written(folder: Path, lines: Sequence[str] | bytes, name: str = NAME, encoding: str = "utf-8") -> Path:
    folder.mkdir(exist_ok=True)
    path = folder / name
    if isinstance(lines, bytes):
        path.write_bytes(lines)
    else:
        path.write_bytes("".join(f"{line}\r\n" for line in lines).encode(encoding))
    return path


def read(*paths: Path, **options: Any) -> list[Record]:
    return list(read_uipath_log(paths, **options))


def executions(records: Sequence[Record]) -> list[ExecutionMetrics]:
    return [record for record in records if isinstance(record, ExecutionMetrics)]


def steps(records: Sequence[Record]) -> list[StepMetrics]:
    found = [record for record in records if isinstance(record, StepMetrics)]
    return sorted(found, key=lambda step: step.step_seq)


def imported(*paths: Path, store: Path, **options: Any) -> tuple[int, list[str]]:
    said: list[str] = []
    options = {"time_zone": "UTC", "now": lambda: LATER} | options
    return run_import(paths, store, say=said.append, **options), said


def count_rows(store: Path) -> dict[str, int]:
    tables = ("execution_start", "execution_heartbeat", "execution_metrics", "step_metrics", "quarantine")
    with TimeSeriesStore(store) as opened, opened.engine.connect() as connection:
        return {
            table: connection.exec_driver_sql(f"SELECT COUNT(*) FROM {table}").scalar_one()
            for table in tables
        }


def one_job(robot: Robot) -> list[str]:
    return [
        robot.start(guid(1)),
        robot.transaction(7),
        robot.activity("Pay", "Executing", "System.Activities.Statements.Sequence"),
        robot.activity("Click", "Executing"),
        robot.user("token=abcdef123456"),
        robot.activity("Click", "Faulted"),
        robot.activity("Pay", "Closed", "System.Activities.Statements.Sequence"),
        robot.transaction(7, "Failed", "BusinessException", "mail ada@example.org"),
        robot.end(),
    ]


def test_a_job_becomes_an_execution_with_its_steps_and_transaction(tmp_path: Path) -> None:
    records = read(written(tmp_path, one_job(Robot())))
    start = next(record for record in records if isinstance(record, ExecutionStart))
    (run,) = executions(records)
    assert (run.execution_id, run.workflow_id, run.workflow_version) == (guid(1), "Invoices", "1.2.3")
    assert (run.robot_id, run.host, run.queue, run.source) == (
        "robot-7",
        "RPA-01",
        "Invoices to pay",
        "uipath-log",
    )
    assert run.started_at == start.started_at == (START + timedelta(milliseconds=100)).astimezone(UTC)
    assert (run.status, run.exception_kind, run.duration_ms) == ("completed", "", 800.0)
    assert (run.steps_total, run.steps_completed, run.steps_failed) == (3, 1, 2)
    paid, pay, click = steps(records)
    assert (paid.step_type, paid.step_id, paid.queue) == (
        "TRANSACTION",
        "transaction of Invoices to pay",
        "Invoices to pay",
    )
    assert (paid.status, paid.exception_kind, paid.message) == ("failed", "business", "mail <mail>")
    assert (paid.duration_ms, paid.depth) == (600.0, 0)
    assert (pay.step_id, pay.step_type, pay.status, pay.duration_ms) == (
        "Main.Pay",
        "Sequence",
        "completed",
        400.0,
    )
    assert (click.parent_step_seq, click.depth, click.status) == (pay.step_seq, 1, "failed")
    assert {step.transaction_id for step in (paid, pay, click)} == {guid(0x900007)}
    told = "\n".join(map(str, records))
    for secret in ("hunter2", "abcdef123456", "ada", "CORP"):
        assert secret not in told


def test_messages_may_be_of_any_language(tmp_path: Path) -> None:
    robot = Robot("請求書")
    lines = [
        robot.start(guid(1), "{} の実行が開始"),
        robot.user(),
        robot.end("{} の実行が終了"),
    ]
    (run,) = executions(read(written(tmp_path, lines, "2024-03-01_実行_Execution.log")))
    assert (run.workflow_id, run.status) == ("請求書", "completed")


def test_an_error_of_the_robot_itself_fails_the_run(tmp_path: Path) -> None:
    robot = Robot()
    lines = []
    for number, message in enumerate(("Throw: broken", "UiPath.Core.BusinessRuleException: no supplier")):
        lines += [robot.start(guid(number)), robot.line(message, "Error"), robot.end()]
    lines += [robot.start(guid(2)), robot.user("only said", "Error"), robot.end()]
    found = executions(read(written(tmp_path, lines)))
    assert [(run.status, run.exception_kind) for run in found] == [
        ("failed", "application"),
        ("failed", "business"),
        ("completed", ""),
    ]
    assert found[0].message == "Throw: broken"


def test_old_robots_without_jobs_and_processes_are_paired_by_start_and_end(tmp_path: Path) -> None:
    robot = Robot("Alt", old=True)
    lines = [robot.start(), robot.user(), robot.end(), robot.start(), robot.start(), robot.end()]
    path = written(tmp_path, lines)
    found = executions(read(path))
    assert [(run.workflow_id, run.duration_ms, run.robot_id) for run in found] == [
        ("Alt", 200.0, ""),
        ("Alt", 100.0, ""),
    ]
    heartbeats = [record for record in read(path) if isinstance(record, ExecutionHeartbeat)]
    assert len(heartbeats) == 1  # of the run that was killed before the last one started
    assert found[0].execution_id != found[1].execution_id
    assert executions(read(path)) == found


@pytest.mark.parametrize("job", [0, "0", None, "00000000-0000-0000-0000-000000000000"])
def test_a_job_id_of_zero_is_none(tmp_path: Path, job: object) -> None:
    robot = Robot()
    lines = [robot.line("Invoices execution started", jobId=job), robot.end()]
    found = executions(read(written(tmp_path, [line.replace('"jobId":""', '"jobId":0') for line in lines])))
    assert [len(run.execution_id) for run in found] == [36]
    assert found[0].execution_id.strip("0-")


def test_times_without_an_offset_are_of_the_named_zone(tmp_path: Path) -> None:
    robot = Robot()
    lines = [line.replace("+01:00", "") for line in (robot.start(guid(1)), robot.end())]
    (run,) = executions(read(written(tmp_path, lines), time_zone_name="Asia/Tokyo"))
    assert run.started_at == datetime(2024, 2, 29, 23, 0, 0, 100_000, tzinfo=UTC)


def test_lines_without_a_time_stamp_are_of_the_day_in_the_files_name(tmp_path: Path) -> None:
    lines = [
        '08:00:00.5000 Info {"message":"P execution started","level":"Information","jobId":"j-1"}',
        '08:00:02.5000 Info {"message":"P execution ended","jobId":"j-1","totalExecutionTime":"00:00:02"}',
    ]
    (run,) = executions(read(written(tmp_path, lines), time_zone_name="UTC"))
    assert (run.started_at.isoformat(), run.duration_ms) == ("2024-03-01T08:00:00.500000+00:00", 2000.0)
    assert run.execution_id == "j-1"


def test_time_zones_may_be_mixed_and_clocks_set_back(tmp_path: Path) -> None:
    robot = Robot()
    start = robot.start(guid(1))
    robot.moment = robot.moment.astimezone(timezone(timedelta(hours=-5))) + timedelta(seconds=3)
    end = robot.end()
    second = Robot(moment=START + timedelta(hours=2))
    lines = [start, end, second.start(guid(2))]
    second.moment -= timedelta(hours=1)
    lines.append(second.line("ended", totalExecutionTimeInSeconds=5))
    moved, back = executions(read(written(tmp_path, lines)))
    assert moved.duration_ms == 3100.0
    assert (back.duration_ms, back.ended_at - back.started_at) == (5000.0, timedelta(seconds=5))


def test_a_run_past_midnight_ends_in_the_next_days_file(tmp_path: Path) -> None:
    robot = Robot()
    lines = one_job(robot)
    first = written(tmp_path, lines[:4])
    second = written(tmp_path, lines[4:], "2024-03-02_Execution.log")
    whole = read(written(tmp_path / "whole", lines))
    assert read(second, first) == read(tmp_path) == whole


def test_without_its_start_a_run_began_as_long_ago_as_its_end_says(tmp_path: Path) -> None:
    robot = Robot()
    robot.job = guid(1)
    lines = [robot.user(), robot.line("ended", totalExecutionTimeInSeconds=60)]
    records = read(written(tmp_path, lines))
    (run,) = executions(records)
    assert (run.duration_ms, run.ended_at - run.started_at) == (60_000.0, timedelta(minutes=1))
    assert len(records) == 1  # no start is told that nobody has seen


def test_a_process_inside_anothers_job_is_a_run_of_its_own(tmp_path: Path) -> None:
    outer = Robot("Outer")
    lines = [outer.start(guid(1))]
    inner = Robot("Inner", moment=outer.moment)
    lines += [inner.start(guid(1)), inner.activity("Click", "Executing"), inner.activity("Click", "Closed")]
    lines.append(inner.end())
    outer.moment = inner.moment
    lines += [outer.user(), outer.end()]
    first, second = executions(read(written(tmp_path, lines)))
    assert (first.workflow_id, first.parent_execution_id, first.steps_total) == ("Inner", guid(1), 1)
    assert (second.workflow_id, second.execution_id, second.steps_total) == ("Outer", guid(1), None)
    assert first.execution_id != guid(1)


def test_a_job_that_begins_again_is_another_run_however_often_it_is_read(tmp_path: Path) -> None:
    robot = Robot()
    lines = [robot.start(guid(1)), robot.end(), robot.user("late"), robot.start(guid(1)), robot.end()]
    path = written(tmp_path, lines)
    copy = written(tmp_path, lines, "2024-03-01_Execution.copy.log")
    ids = [run.execution_id for run in executions(read(path))]
    assert ids[0] == guid(1)
    assert ids[1] != guid(1)
    assert [run.execution_id for run in executions(read(path, copy))] == ids * 2


def test_a_run_without_an_end_is_seen_alive_for_the_last_time_when_it_was_silent_for_long(
    tmp_path: Path,
) -> None:
    robot = Robot()
    path = written(tmp_path, [robot.start(guid(1)), robot.user()])
    code, said = imported(path, store=tmp_path / "store", now=lambda: START + timedelta(hours=1))
    assert code == 0
    assert "  1 runs have no end in these files" in said
    assert count_rows(tmp_path / "store")["execution_heartbeat"] == 0
    _, said = imported(path, store=tmp_path / "store")
    assert "  1 runs have no end and were silent for 6 hours: they count as abandoned" in said
    assert "  1 runs have no end in these files" not in said
    assert count_rows(tmp_path / "store")["execution_heartbeat"] == 1
    _, said = imported(path, store=tmp_path / "store")
    assert count_rows(tmp_path / "store")["execution_heartbeat"] == 1


def test_the_sweep_finds_such_a_run_in_the_hour_of_its_last_line(tmp_path: Path) -> None:
    robot = Robot()
    lines = [robot.start(guid(1)), robot.user(), robot.start(guid(2)), robot.end()]
    imported(written(tmp_path, lines), store=tmp_path / "store")
    seen_at_us = to_us(START + timedelta(milliseconds=200))
    with TimeSeriesStore(tmp_path / "store") as store, store.engine.begin() as connection:
        assert sweep_abandoned(connection, to_us(LATER), HOUR_US) == 1
        found = connection.exec_driver_sql("SELECT execution_id, last_seen_at_us FROM execution_abandoned")
        assert [tuple(row) for row in found] == [(guid(1), seen_at_us)]


def test_importing_twice_changes_nothing(tmp_path: Path) -> None:
    path = written(tmp_path, day_lines(30))
    code, said = imported(path, store=tmp_path / "store")
    first = count_rows(tmp_path / "store")
    assert code == 0
    assert first["quarantine"] == 0
    again, said = imported(path, path.parent, store=tmp_path / "store")
    assert again == 0
    assert count_rows(tmp_path / "store") == first
    assert "took 0 executions and 0 steps" in said[0]
    assert "total of 1 file:" in said[-1]


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-le", "utf-16-be"])
def test_marks_and_utf_16_make_no_difference(tmp_path: Path, encoding: str) -> None:
    lines = [line.replace("invoice", "Rechnung für 日本") for line in day_lines(5)]
    plain = written(tmp_path / "plain", lines)
    assert read(written(tmp_path / "other", lines, encoding=encoding)) == read(plain)


def test_step_depth_leaves_steps_out_but_not_their_numbers(tmp_path: Path) -> None:
    path = written(tmp_path, one_job(Robot()))
    assert [step.step_seq for step in steps(read(path, step_depth=1))] == [1, 2]
    assert executions(read(path, step_depth=1)) == executions(read(path))


def test_half_a_line_costs_nothing_but_itself(tmp_path: Path) -> None:
    robot = Robot()
    start, lost, user, end = robot.start(guid(1)), robot.user(), robot.user(), robot.end()
    glued = lost[:80] + user  # a robot was killed, and the next one went on behind it
    path = written(tmp_path, "\r\n".join([start, glued, end, lost[:-3]]).encode())
    code, said = imported(path, store=tmp_path / "store")
    assert code == 0
    assert "1 executions (1 completed)" in said[0]
    assert said[1].startswith("  skipped: 1 half-written lines at the end (at line 4, byte ")
    assert int(said[1].rpartition("byte ")[2].rstrip(")").replace(",", "")) == len(
        "\r\n".join([start, glued, end, ""])
    )


def test_a_last_line_without_an_end_is_read(tmp_path: Path) -> None:
    robot = Robot()
    path = written(tmp_path, "\n".join([robot.start(guid(1)), robot.end()]).encode())
    assert len(executions(read(path))) == 1


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        (b"not a line", "lines that are no event of a UiPath robot (at line 2, byte "),
        (b"08:00:00.0000 Info [1,2]", "lines that are no event of a UiPath robot (at line 2"),
        (b'08:00:00.0000 Info {"a":' + b"[" * 5_000 + b"}", "lines that are no event of a UiPath robot (at"),
        (b'08:00:00.0000 Info {"message":"x","timeStamp":7}', "lines without a time that can be read (at"),
        (b'08:00:00.0000 Info {"message":"\xfcber"}', "lines that are not UTF-8 (at line 2, byte "),
        (b"x" * (LINE_BYTES + 400_000), "lines longer than 4,194,304 bytes (at line 2, byte "),
        (
            b'08:00:01.0000 Info {"message":"x","level":9,"logType":[],"jobId":{},'
            b'"timeStamp":"2024-03-01T08:00:00+01:00","transactionState":[1]}',
            "",
        ),
    ],
)  # fmt: skip
def test_a_bad_line_is_counted_with_its_place_and_the_others_are_taken(
    tmp_path: Path, bad: bytes, reason: str
) -> None:
    robot = Robot()
    path = written(tmp_path, robot.start(guid(1)).encode() + b"\n" + bad + b"\n" + robot.end().encode())
    code, said = imported(path, store=tmp_path / "store")
    assert code == 0
    assert "1 executions (1 completed)" in said[0]
    if reason:
        assert said[1].startswith(f"  skipped: 1 {reason}")


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "is empty"),
        (b"\xef\xbb\xbf\r\n", "is empty"),
        (b"\x89PNG\r\n\x1a\n\0\0", "holds no line of a UiPath robot"),
        (b'<?xml version="1.0"?>\n<robot/>\n', "holds no line of a UiPath robot"),
        (b'{"some": "other tool"}\n', "holds no line of a UiPath robot"),
        (b"2024-03-01 08:00:00 INFO Blue Prism started\n", "holds no line of a UiPath robot"),
        (b"\xff\xfe\0\0h\0\0\0", "is UTF-32"),
    ],
)
def test_what_is_no_log_is_one_clear_error_and_the_others_are_taken(
    tmp_path: Path, content: bytes, reason: str
) -> None:
    bad = written(tmp_path / "bad", content)
    good = written(tmp_path / "good", one_job(Robot()))
    code, said = imported(bad, good, store=tmp_path / "store")
    assert code == ImportFileError.exit_code
    assert [line for line in said if line.startswith(f"error: {bad} {reason}")] == said[:1]
    assert "total of 2 files, 1 with errors: 1 executions (1 completed)" in said[-1]


def test_missing_files_and_folders_without_logs_are_clear_errors(tmp_path: Path) -> None:
    with pytest.raises(ImportFileError, match="does not exist"):
        read(tmp_path / NAME)
    with pytest.raises(ImportFileError, match="is a folder: name the robot's"):
        read(tmp_path)
    with pytest.raises(ImportFileError, match="does not exist"):
        read(tmp_path / "*.log")


def test_a_wrong_time_zone_is_said_before_anything_is_read(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="Europe/Berlin"):
        imported(written(tmp_path, one_job(Robot())), store=tmp_path / "store", time_zone="Mars/Base")
    assert not (tmp_path / "store").exists()


def test_odd_values_of_every_kind_never_stop_an_import(tmp_path: Path) -> None:
    robot = Robot()
    lines = one_job(robot)
    odd: list[object] = [None, "", [], {}, [1], {"a": 1}, -1, 1e308, True, "\0\ud800", "x" * 5_000]
    names = [*json.loads(lines[1][lines[1].index("{") :]), "activityInfo", "totalExecutionTime"]
    runs = UiPathRuns()
    for name in names:
        for value in odd:
            for line in lines:
                runs.take(json.loads(line[line.index("{") :]) | {name: value})
                runs.restore(json.loads(json.dumps(runs.state())))
    with TimeSeriesStore(tmp_path / "store") as store:
        store.write_values(runs.ready)


def test_what_is_open_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("collector_agent.importers.uipath_runs.MAX_OPEN_JOBS", 50)
    robot, runs = Robot(), UiPathRuns(max_ended_jobs=20)

    def take(line: str) -> None:
        runs.take(json.loads(line[line.index("{") :]))

    for number in range(80):
        take(robot.start(guid(number)))
        for _ in range(600 if number == 79 else 1):
            take(robot.activity("Loop", "Executing"))
            take(robot.transaction(number))
    assert runs.open_runs == 50
    assert sum(kind == "execution_heartbeat" for kind, _ in runs.ready) == 30
    assert runs.skips.counts["activities beyond 500 open ones"] == 100
    for number in range(100, 140):
        take(robot.start(guid(number)))
        take(robot.end())
    assert len(runs.state()["ended"]) == 20


@pytest.mark.parametrize("limit", [1, 7, 64])
def test_lines_are_the_same_however_small_the_blocks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limit: int
) -> None:
    lines = [line.replace("invoice", "ü日") for line in day_lines(2)]
    paths = [written(tmp_path / e, lines, encoding=e) for e in ("utf-8-sig", "utf-16")]
    expected = [read(path) for path in paths]
    monkeypatch.setattr("collector_agent.importers.lines.BLOCK_BYTES", 2 * limit + 1)
    assert [read(path) for path in paths] == expected


def test_progress_is_told_of_big_files_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from collector_agent.importers.tally import Progress

    told: list[str] = []
    clock: Callable[[], float] = iter(range(0, 10**6, 3)).__next__
    path = written(tmp_path, day_lines(60))
    imported(path, store=tmp_path / "store", progress=Progress(told.append, clock))
    assert told == []
    monkeypatch.setattr("collector_agent.importers.tally._BIG_BYTES", 1)
    imported(path, store=tmp_path / "store", progress=Progress(told.append, clock))
    assert told[0].startswith(f"{path}: ")
    assert told[-1].endswith("100% of 0 MB")
