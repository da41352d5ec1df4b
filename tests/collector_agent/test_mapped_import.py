"""Importing any CSV file or JSON lines by a mapping file; every bad mapping and row has one clear message."""

import json
import tracemalloc
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from analytics_lib.errors import ImportFileError, SettingsError
from analytics_lib.record_values import record_of
from analytics_lib.records import ExecutionMetrics, Record, StepMetrics
from analytics_lib.store import TimeSeriesStore
from collector_agent.importers.mapped_file import MappedFile, run_import
from collector_agent.importers.mapped_mapping import load_mapping
from collector_agent.importers.mapped_rows import RowMaker

MAPPING = """\
records = "executions"
[fields]
execution_id = "Session"
workflow_id = "Process"
status = "Result"
started_at = "Start"
ended_at = "End"
message = "Error"
robot_id = "Robot"
[constants]
environment = "production"
[status]
completed = ["OK", "Done"]
failed = "Error"
[exception_kind]
business = ["Data"]
[times]
format = "%d.%m.%Y %H:%M:%S"
zone = "Europe/Berlin"
"""
CSV = """\
Session;Process;Result;Start;End;Error;Robot
s-1;Rechnungen;OK;01.03.2024 08:00:00;01.03.2024 08:00:30;;R1
s-2;Rechnungen;error;01.03.2024 09:00:00;01.03.2024 09:00:10;"mail ada@example.org;
zweite Zeile";R1
"""


def written(folder: Path, text: str | bytes, name: str = "runs.csv", encoding: str = "utf-8") -> Path:
    path = folder / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode(encoding))
    return path


def mapping_file(folder: Path, text: str = MAPPING) -> Path:
    return written(folder, text, "mapping.toml")


def read(path: Path, mapping: Path, environment: str = "") -> list[Record]:
    mapped = load_mapping(mapping)
    file = MappedFile(path, mapped, RowMaker(mapped, environment))
    return [record_of(kind, values) for kind, values in file.rows()]


def one(path: Path, mapping: Path) -> Any:
    (record,) = read(path, mapping)
    return record


def imported(path: Path, mapping: Path, *, store: Path, **options: Any) -> tuple[int, list[str]]:
    said: list[str] = []
    return run_import([path], mapping, store, say=said.append, **options), said


def test_a_csv_file_becomes_executions(tmp_path: Path) -> None:
    first, second = read(written(tmp_path, CSV), mapping_file(tmp_path))
    assert isinstance(first, ExecutionMetrics)
    assert isinstance(second, ExecutionMetrics)
    assert (first.execution_id, first.workflow_id, first.status) == ("s-1", "Rechnungen", "completed")
    assert first.started_at == datetime(2024, 3, 1, 7, 0, tzinfo=UTC)
    assert (first.duration_ms, first.robot_id, first.environment) == (30_000.0, "R1", "production")
    assert (second.status, second.exception_kind) == ("failed", "application")
    assert second.message == "mail <mail>;\nzweite Zeile"


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "cp1252"])
@pytest.mark.parametrize("first_line", ["", "sep=;\r\n"])
def test_excels_habits_make_no_difference(tmp_path: Path, encoding: str, first_line: str) -> None:
    text = first_line + CSV.replace("Rechnungen", "Büro").replace("\n", "\r\n")
    mapping = mapping_file(tmp_path, ('encoding = "cp1252"\n' if encoding == "cp1252" else "") + MAPPING)
    found = read(written(tmp_path, text, encoding=encoding), mapping)
    assert [record.workflow_id for record in found if isinstance(record, ExecutionMetrics)] == ["Büro"] * 2


STEPS = """\
records = "steps"
[fields]
execution_id = "run.id"
workflow_id = "flow"
step_id = "name"
status = "ok"
started_at = "t"
duration = "took"
[status]
completed = [true]
failed = [false]
[times]
format = "epoch_ms"
[durations]
unit = "ms"
"""


def test_json_lines_become_steps_numbered_as_they_come(tmp_path: Path) -> None:
    rows = [
        {"run": {"id": run}, "flow": "F", "name": name, "ok": ok, "t": 1709280000000 + at, "took": 1.5}
        for at, (run, name, ok) in enumerate(
            [("a", "open", True), ("b", "open", False), ("a", "close", True)]
        )
    ]
    path = written(tmp_path, "\n".join(map(json.dumps, rows)), "steps.jsonl")
    found = [step for step in read(path, mapping_file(tmp_path, STEPS)) if isinstance(step, StepMetrics)]
    assert [(step.execution_id, step.step_seq, step.step_id, step.status) for step in found] == [
        ("a", 1, "open", "completed"),
        ("b", 1, "open", "failed"),
        ("a", 2, "close", "completed"),
    ]
    assert found[0].duration_ms == 1.5


MINIMAL = """\
[fields]
workflow_id = "p"
status = "s"
ended_at = "e"
duration = "d"
"""


@pytest.mark.parametrize(
    ("unit", "text", "duration_ms"),
    [
        ("s", "1.5", 1_500.0),
        ("s", '"1,5"', 1_500.0),
        ("min", "2", 120_000.0),
        ("h", "0.5", 1_800_000.0),
        ("h:mm:ss", "1:00:02", 3_602_000.0),
    ],
)
def test_durations_have_units(tmp_path: Path, unit: str, text: str, duration_ms: float) -> None:
    mapping = mapping_file(tmp_path, MINIMAL + f'[durations]\nunit = "{unit}"')
    run = one(written(tmp_path, f"p,s,e,d\nF,completed,2024-03-01T08:00:00Z,{text}\n"), mapping)
    assert run.duration_ms == duration_ms
    assert (run.ended_at - run.started_at).total_seconds() * 1000 == duration_ms


def test_runs_without_an_id_get_one_from_columns_or_from_what_they_are(tmp_path: Path) -> None:
    path = written(
        tmp_path, "p,s,e,d,n\nF,completed,2024-03-01T08:00:00Z,1,x\nF,completed,2024-03-01T08:00:00Z,1,y\n"
    )
    by_columns = mapping_file(tmp_path, 'execution_id_from = ["n"]\n' + MINIMAL)
    ids = [record.execution_id for record in read(path, by_columns) if isinstance(record, ExecutionMetrics)]
    assert len(set(ids)) == 2
    by_itself = mapping_file(tmp_path, MINIMAL)
    assert len({record.execution_id for record in read(path, by_itself)}) == 1  # type: ignore[union-attr]  # runs
    assert read(path, by_itself) == read(path, by_itself)


def test_attributes_are_those_that_the_mapping_names_masked(tmp_path: Path) -> None:
    mapping = mapping_file(tmp_path, MINIMAL + '[attributes]\ncustomer = "c"\n')
    path = written(tmp_path, "p,s,e,d,c,secret\nF,completed,2024-03-01T08:00:00Z,1,ada@example.org,hunter2\n")
    assert one(path, mapping).attributes == {"customer": "<mail>"}


def test_words_that_mean_the_rest(tmp_path: Path) -> None:
    mapping = mapping_file(
        tmp_path, MINIMAL + '[status]\nfailed = ["KO"]\notherwise = "completed"\n[constants]\nqueue = "Q"\n'
    )
    path = written(tmp_path, "p,s,e,d\nF,ko,2024-03-01T08:00:00Z,1\nF,?,2024-03-01T09:00:00Z,1\n")
    found = [record for record in read(path, mapping) if isinstance(record, ExecutionMetrics)]
    assert [(run.status, run.queue) for run in found] == [("failed", "Q"), ("completed", "Q")]


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ("[fields]", "[feilds]", "unknown 'feilds'; did you mean fields?"),
        ('status = "Result"', 'stauts = "Result"', "unknown fields.'stauts'; did you mean status?"),
        ('status = "Result"', "", 'lacks status: add status = "the column" to [fields], or to [constants]'),
        ('ended_at = "End"', "", "lacks two of started_at, ended_at and duration"),
        ('"executions"', '"samples"', "records is 'samples': write one of 'executions', 'steps'"),
        ('"Europe/Berlin"', '"Mars/Base"', "time zone 'Mars/Base' is not known"),
        ('environment = "production"', "status = 'x'", "constants.status is 'x': it is a column already"),
        ('failed = "Error"', 'failed = ["OK"]', "status.failed is 'OK': it means completed already"),
        ('failed = "Error"', 'otherwise = "fine"', "status.otherwise is 'fine': write one of completed"),
        ('"Session"', "[1]", "fields.execution_id is '[1]': write text in quotes"),
        ("[constants]", "[constants", "is no valid TOML"),
        ('records = "executions"', 'delimiter = ";;"', "delimiter is ';;': write one character"),
        ('records = "executions"', 'encoding = "klingon"', "encoding is 'klingon': write one such as"),
        ('records = "executions"', 'encoding = "utf-16"', "encoding is 'utf-16': write one such as"),
        ('records = "executions"', 'execution_id_from = ["a"]', "execution_id is a column already"),
        ('records = "executions"', "fields = 7", "is no valid TOML"),
        ("[times]", "[durations]\nunit = 'years'\n[times]", "durations.unit is 'years': write one of ms"),
        ("\n", "\xff\n", "is no valid TOML"),
    ],
)
def test_every_bad_mapping_has_one_clear_message(tmp_path: Path, old: str, new: str, reason: str) -> None:
    path = mapping_file(tmp_path, MAPPING.replace(old, new, 1))
    with pytest.raises(SettingsError) as caught:
        load_mapping(path)
    assert str(caught.value).startswith(f"the mapping {path}")
    assert reason in str(caught.value)


def test_a_mapping_that_is_not_there_or_not_utf_8_is_said(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="cannot be read"):
        load_mapping(tmp_path / "none.toml")
    with pytest.raises(SettingsError, match="is not UTF-8"):
        load_mapping(written(tmp_path, b"\xff", "mapping.toml"))


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        (
            "01.03.2024 08:00:00;",
            "2024-03-01;",
            "rows whose column 'Start' is no time of the format '%d.%m.%Y",
        ),
        (";OK;", ";Vielleicht;", "rows whose column 'Result' has no meaning in [status] (at line 2"),
        (";OK;", ";;", "rows without a value in column 'Result' (status) (at line 2, byte 45)"),
        ("s-1;Rechnungen", "s-1;", "rows without a value in column 'Process' (workflow_id) (at line 2"),
        ("s-1;", ";", "rows without a value in column 'Session' (execution_id) (at line 2"),
        ("01.03.2024 08:00:30", "", "rows with less than two of start, end and duration (still running?)"),
        ("01.03.2024 08:00:30", "01.03.2023 08:00:30", "rows that end before they start (at line 2"),
        (
            ";R1\ns-2",
            ";R1;more\ns-2",
            "rows that have not 7 fields as the header has (at line 2, byte 45: 8)",
        ),
    ],
)
def test_every_bad_row_is_counted_with_its_place_and_the_others_are_taken(
    tmp_path: Path, old: str, new: str, reason: str
) -> None:
    path = written(tmp_path, CSV.replace(old, new, 1))
    code, said = imported(path, mapping_file(tmp_path), store=tmp_path / "store")
    assert code == 0
    assert "1 executions (1 failed); took 1 executions" in said[0]
    assert said[1].startswith(f"  skipped: 1 {reason}")
    assert ("'Vielleicht'" in said[1]) == ("Vielleicht" in new)


def test_what_the_store_refuses_is_quarantined_and_said(tmp_path: Path) -> None:
    path = written(tmp_path, CSV.replace("01.03.2024", "01.03.2999"))
    code, said = imported(path, mapping_file(tmp_path), store=tmp_path / "store")
    assert code == 0
    assert "2 rows set aside (see quarantine)" in said[-1]
    with TimeSeriesStore(tmp_path / "store") as store, store.engine.connect() as connection:
        assert connection.exec_driver_sql("SELECT COUNT(*) FROM quarantine").scalar_one() == 2


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "is empty"),
        (b"Session;Process\n", ""),
        (b"Session,Process,Results\n1,2,3\n", "lacks a column of the mapping"),
        (b"just text\nwithout columns\n", "has no header of columns"),
        (b"\x89PNG\r\n\x1a\n\0\0;\0", "has no header of columns"),
        (CSV.replace("Robot", "Result").encode(), "has 2 columns 'Result': rename one"),
    ],
)
def test_what_is_no_such_table_is_one_clear_error(tmp_path: Path, content: bytes, reason: str) -> None:
    path, mapping = written(tmp_path, content), mapping_file(tmp_path)
    code, said = imported(path, mapping, store=tmp_path / "store")
    assert code == (ImportFileError.exit_code if reason else 0)
    if reason:
        assert said[0].startswith(f"error: {path} ")
        assert reason in said[0]


def test_a_missing_column_names_the_nearest(tmp_path: Path) -> None:
    path = written(tmp_path, CSV.replace("Result", "Results"))
    with pytest.raises(ImportFileError, match=r"lacks a column .*'Result'; did you mean 'Results'\?"):
        read(path, mapping_file(tmp_path))


def test_a_column_that_no_object_has_is_said_but_no_error(tmp_path: Path) -> None:
    row = {"p": "F", "s": "completed", "e": "2024-03-01T08:00:00Z", "d": 1, "massage": "x"}
    path = written(tmp_path, json.dumps(row), "runs.json")
    mapping = mapping_file(tmp_path, MINIMAL + 'message = "message"\n')
    code, said = imported(path, mapping, store=tmp_path / "store")
    assert code == 0
    assert "took 1 executions" in said[0]
    assert said[1] == (
        "  skipped: 1 columns that the first 1 rows lack, such as 'message'; did you mean 'massage'?"
    )


def test_bad_lines_of_json_are_counted_and_the_others_taken(tmp_path: Path) -> None:
    good = json.dumps({"p": "F", "s": "completed", "e": "2024-03-01T08:00:00Z", "d": 1})
    other = good.replace("08:", "09:")
    lines = [good.encode(), b"{broken", b"[1]", b'{"p": "\xff"}', b"", other.encode(), good[:20].encode()]
    path = written(tmp_path, b"\n".join(lines), "runs.jsonl")
    code, said = imported(path, mapping_file(tmp_path, MINIMAL), store=tmp_path / "store")
    assert code == 0
    assert "took 2 executions" in said[0]
    starts = [sum(len(line) + 1 for line in lines[:at]) for at in range(len(lines))]
    assert sorted(said[1:5]) == [
        f"  skipped: 1 half-written lines at the end (at line 7, byte {starts[6]})",
        f"  skipped: 1 lines that are no JSON object (at line 2, byte {starts[1]})",
        f"  skipped: 1 lines that are not UTF-8 (at line 4, byte {starts[3] + 7})",
        f"  skipped: 1 values that are no object (at line 3, byte {starts[2]})",
    ]


def test_a_quote_that_is_never_closed_costs_no_memory_and_is_said(tmp_path: Path) -> None:
    path = written(tmp_path, CSV + 's-3;"never closed' + "x" * 300_000 + "\n" + CSV.partition("\n")[2])
    _, said = imported(path, mapping_file(tmp_path), store=tmp_path / "store")
    assert any("rows that are no CSV (field larger than field limit" in line for line in said)
    assert any(line.endswith(f"at line 5, byte {len(CSV.encode())})") for line in said)


def test_a_huge_file_is_read_in_bounded_memory(tmp_path: Path) -> None:
    header, row = "p,s,e,d,x\n", "F,completed,2024-03-01T08:00:00Z,1," + "x" * 10_000 + "\n"
    path = written(tmp_path, header + row * 2_000 + "y" * (6 << 20) + "\n" + row)
    mapped = load_mapping(mapping_file(tmp_path, MINIMAL))
    file = MappedFile(path, mapped, RowMaker(mapped))
    tracemalloc.start()
    try:
        count = sum(1 for _ in file.rows())
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert count == 2_001
    assert file.skips.counts["lines longer than 4,194,304 bytes"] == 1
    assert peak < 16e6


def test_importing_twice_changes_nothing(tmp_path: Path) -> None:
    path, mapping = written(tmp_path, CSV), mapping_file(tmp_path)
    imported(path, mapping, store=tmp_path / "store")
    code, said = imported(path, mapping, store=tmp_path / "store")
    assert code == 0
    assert "took 0 executions and 0 steps; already stored 2 executions and 0 steps" in said[-1]


def test_step_numbers_are_kept_of_so_many_executions_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("collector_agent.importers.mapped_rows.KNOWN_EXECUTIONS", 2)
    maker = RowMaker(load_mapping(mapping_file(tmp_path, STEPS)))
    row = {"flow": "F", "name": "n", "ok": True, "t": 1709280000000, "took": 1}
    for run in "aabca":
        maker.row({**row, "run": {"id": run}})
    assert maker._numbered == {"c": 1, "a": 1}
