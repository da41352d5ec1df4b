"""Results that nobody should have to import: damaged, enormous, foreign, from the future."""

from collections.abc import Iterable
from pathlib import Path

import pytest

from analytics_lib.errors import ImportFileError
from analytics_lib.records import ExecutionMetrics
from collector_agent.importers import robot_lean, robot_output
from collector_agent.importers.robot_output import RobotOutput, read_robot_output, run_import
from tests.collector_agent.test_robot_import import MINIMAL, count_rows

KEYWORD = '<kw name="Log" owner="BuiltIn">'
STATUS = '<status status="PASS" start="2025-03-13T10:00:01" elapsed="0.5"/>'


def written(folder: Path, content: str | bytes, name: str = "output.xml") -> Path:
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def failure_of(path: Path) -> str:
    with pytest.raises(ImportFileError) as caught:
        for _ in RobotOutput(path).rows():
            pass
    return str(caught.value)


def test_entities_are_refused_before_they_grow(tmp_path: Path) -> None:
    laughs = '<!DOCTYPE robot [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;">]>'
    path = written(tmp_path, MINIMAL.replace("<robot", f"{laughs}<robot", 1).replace('"S"', '"&b;"'))
    assert "declares a document type, which Robot Framework never writes" in failure_of(path)


def test_an_enormous_attribute_is_refused_and_what_was_before_it_stays(tmp_path: Path) -> None:
    def huge() -> Iterable[bytes]:
        start, end = MINIMAL.split('name="Fail"')
        yield start.encode() + b'name="'
        for _ in range(24):
            yield b"x" * 1_000_000
        yield b'"' + end.encode()

    path = tmp_path / "output.xml"
    with path.open("wb") as file:
        file.writelines(huge())
    said: list[str] = []
    assert run_import([path], tmp_path / "store", time_zone="UTC", say=said.append) == 5
    assert "has a tag of more than 16 MB" in said[0]
    assert "1 tasks were complete before and are taken" in said[0]
    assert count_rows(tmp_path / "store")["execution_metrics"] == 1


def test_an_enormous_message_costs_only_what_is_kept_of_it(tmp_path: Path) -> None:
    path = written(tmp_path, MINIMAL.replace(">no<", f">{'no ' * 7_000_000}<"))
    said: list[str] = []
    assert run_import([path], tmp_path / "store", time_zone="UTC", say=said.append) == 0
    assert "took 2 executions and 2 steps" in said[0]


def test_ten_thousand_nested_keywords_are_read_without_recursion(tmp_path: Path) -> None:
    depth = 10_000
    nested = KEYWORD * depth + f"{STATUS}</kw>" * depth
    path = written(tmp_path, MINIMAL.replace("<kw ", f"{nested}<kw ", 1))
    said: list[str] = []
    assert run_import([path], tmp_path / "store", time_zone="UTC", step_depth=20, say=said.append) == 0
    assert "took 2 executions and 22 steps" in said[0]
    assert said[1] == "  skipped: 9,980 steps deeper than 20 levels"


def test_nested_keywords_in_json_are_read_as_deep_as_json_itself_is(tmp_path: Path) -> None:
    times = '"start_time": "2025-03-13T10:00:00", "elapsed_time": 1, "status": "PASS"'
    body = f'"body": [{{"name": "A", {times}, ' * 200 + '"body": []' + "}]" * 200
    task = f'{{"name": "T", {times}, {body}}}'
    path = written(tmp_path, f'{{"generator": "Robot 7.2", "suite": {{"name": "S", "tests": [{task}]}}}}')
    rows = [row for some in RobotOutput(path, step_depth=500).rows() for row in some]
    assert len(rows) == 201
    text = path.read_text().replace('"body": []', '"body": ' + "[" * 10_000 + "]" * 10_000)
    assert "nested too deeply" in failure_of(written(tmp_path, text))


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (MINIMAL.replace(">no<", ">n\xf6<").encode("latin-1"), "is damaged at line 9, column 82, byte 466"),
        (MINIMAL.replace("UTF-8", "EBCDIC-9"), "is not in an encoding that is known here (unknown"),
        (MINIMAL.encode("utf-32"), "is UTF-32: save it as UTF-8"),
        (MINIMAL[:-40], "breaks off at line 1"),
        (MINIMAL.replace("</test>", "</tset>", 1), "is damaged at line 7, column 3, byte 352"),
        (MINIMAL.replace(">no<", ">&nbsp;<", 1), "is damaged at line 9, column 81, byte 465"),
        ("<test-run><a/></test-run>", "its root is <test-run> and not <robot> (a report of NUnit 3)"),
        ("<testsuites/>", "a JUnit-style report; Robot Framework's --xunit writes one too"),
        ('{"numTotalTests": 3, "testResults": []}', "no result of Robot Framework (a report of Jest)"),
        ('{"config": {}, "entries": []}', "(it begins with 'config', 'entries')"),
    ],
)  # fmt: skip
def test_what_is_wrong_with_a_file_is_said_with_its_place(
    tmp_path: Path, content: str | bytes, reason: str
) -> None:
    path = written(tmp_path, content)
    said = failure_of(path)
    assert said.startswith(f"{path} ")
    assert reason in said


def test_utf_16_is_read(tmp_path: Path) -> None:
    path = written(tmp_path, MINIMAL.replace("UTF-8", "UTF-16").replace('"A"', '"Ä"').encode("utf-16"))
    rows = [row for some in RobotOutput(path).rows() for row in some]
    assert len(rows) == 4


def test_a_newer_schema_is_told_and_tried(tmp_path: Path) -> None:
    path = written(tmp_path, MINIMAL.replace('schemaversion="5"', 'schemaversion="9"'))
    said: list[str] = []
    assert run_import([path], tmp_path / "store", time_zone="UTC", say=said.append) == 0
    assert "took 2 executions and 2 steps" in said[0]
    assert said[1] == (
        "  note: it is of schema version 9, and 5 is the newest known here: what is understood is taken"
    )


def test_times_with_an_offset_mix_with_those_of_the_named_zone(tmp_path: Path) -> None:
    mixed = MINIMAL.replace('start="2025-03-13T10:00:02"', 'start="2025-03-13T10:00:02-05:00"')
    records = list(read_robot_output(written(tmp_path, mixed), time_zone_name="Asia/Tokyo"))
    starts = [r.started_at.isoformat() for r in records if isinstance(r, ExecutionMetrics)]
    assert starts == ["2025-03-13T01:00:00+00:00", "2025-03-13T15:00:02+00:00"]


def long_task(steps: int, end: str = "") -> str:
    """One task of so many steps; its start stands behind them all."""
    body = f"{KEYWORD}{STATUS}</kw>\n" * steps
    start = MINIMAL.index('<kw name="Fail"')
    return MINIMAL[:start] + body + (end or MINIMAL[start:])


def test_steps_of_a_long_task_do_not_wait_for_its_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(robot_output, "_WAITING_STEPS", 200)
    monkeypatch.setattr(robot_lean, "PIECE_BYTES", 20_000)
    path = written(tmp_path, long_task(3_000))
    output = RobotOutput(path)
    pieces, told = [], list[str]()
    for rows in output.rows():
        pieces.append(len(rows))
        told += map(repr, rows)
    assert len(pieces) > 5
    assert max(pieces) < 1_000  # some pieces of the file, not the task
    assert sum(pieces) == 3_004
    monkeypatch.undo()
    waited = [row for rows in RobotOutput(path).rows() for row in rows]
    assert sorted(map(repr, waited)) == sorted(told)


def test_steps_of_a_long_task_without_an_end_are_counted_and_not_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(robot_output, "_WAITING_STEPS", 200)
    monkeypatch.setattr(robot_lean, "PIECE_BYTES", 20_000)
    path = written(tmp_path, long_task(3_000, end="<kw"))
    said: list[str] = []
    assert run_import([path], tmp_path / "store", time_zone="UTC", say=said.append) == 5
    assert "breaks off at line 3,009" in said[0]
    assert "took 1 executions and 1 steps" in said[1]
    assert said[2] == "  skipped: 3,000 steps of tasks without a start time"
