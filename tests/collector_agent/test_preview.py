"""`rpa-agent preview` shows what would be sent, and the list of fields forgets none."""

import json
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

from analytics_lib.record_values import FIELDS
from analytics_lib.records import RECORD_TYPES
from analytics_lib.store import TimeSeriesStore
from collector_agent import MetricsCollector
from collector_agent.cli import main
from collector_agent.redaction.fields import KINDS, NOTES
from tests.privacy_document import DOCUMENT, generated

ROWS = """Process,Result,Start,End,Text,Kind,Customer
Pay,OK,2026-03-01T08:00:00Z,2026-03-01T08:00:05Z,,scan,4711
Pay,Error,2026-03-01T09:00:00Z,2026-03-01T09:00:05Z,mail ada@example.org or bob@example.org,scan,4712
"""
MAPPING = """
[fields]
workflow_id = "Process"
status = "Result"
started_at = "Start"
ended_at = "End"
message = "Text"
[attributes]
kind = "Kind"
password = "Customer"
[status]
completed = ["OK"]
failed = ["Error"]
"""


@pytest.fixture(autouse=True)
def _own_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RPA_AGENT_STATE", str(tmp_path / "state"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))


def table_of(folder: Path) -> list[str]:
    (folder / "rows.csv").write_text(ROWS)
    (folder / "mapping.toml").write_text(MAPPING)
    return [str(folder / "rows.csv"), "--mapping", str(folder / "mapping.toml")]


def previewed(capsys: pytest.CaptureFixture[str], *arguments: str) -> list[dict[str, Any]]:
    assert main(["preview", *arguments, "--json"]) == 0
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def test_it_shows_the_very_rows_that_an_import_stores(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = table_of(tmp_path)
    shown = previewed(capsys, "mapped", *arguments)
    assert main(["import", "mapped", *arguments, "--store", str(tmp_path / "store")]) == 0
    with TimeSeriesStore(tmp_path / "store") as store, store.engine.connect() as connection:
        names = ", ".join(FIELDS["execution"])
        query = f"SELECT {names} FROM execution_metrics ORDER BY started_at_us"
        stored = [tuple(row) for row in connection.exec_driver_sql(query)]
    assert [tuple(row["values"].values()) for row in shown] == stored
    assert list(shown[0]["values"]) == list(FIELDS["execution"])


def test_it_says_of_each_row_what_was_masked_and_left_out(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first, second = previewed(capsys, "mapped", *table_of(tmp_path))
    assert (first["masked"], second["masked"]) == ({}, {"message": {"<mail>": 2}})
    assert first["dropped"] == {"'password' (its name says that it is secret)": 1}
    assert main(["preview", "mapped", *table_of(tmp_path), "--rows", "1"]) == 0
    said = capsys.readouterr().out
    assert "kind = scan" in said
    assert "1 rows, each as it would be sent" in said
    assert "ada@example.org" not in said


def test_it_shows_what_waits_in_the_spool_and_leaves_it_there(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RPA_AGENT_SPOOL_FOLDER", str(tmp_path / "spool"))
    with MetricsCollector(spool_folder=tmp_path / "spool") as collector:
        collector.record_execution_start("e1", "w1")
        collector.record_step("e1", "s", status="failed", duration_ms=1, message="to ada@example.org")
    for _ in range(2):
        kinds = [row["kind"] for row in previewed(capsys, "spool", "--rows", "0")]
        assert [kind for kind in kinds if not kind.endswith("heartbeat")] == ["execution_start", "step"]


def test_it_shows_a_run_that_is_made_up(capsys: pytest.CaptureFixture[str]) -> None:
    said = ["--message", "to ada@example.org", "--robot-id", "ada", "--attended", "--attribute", "tag a=b"]
    start, end = previewed(capsys, "sample", *said, "--attribute", "customer=x")
    assert (start["values"]["robot_id"], start["values"]["host"]) == ("", "")
    assert end["values"]["message"] == "to <mail>"
    assert end["values"]["attributes"] == '{"tag a":"b"}'
    assert "customer" in str(start["dropped"]) + str(end["dropped"])


def test_every_field_is_in_the_list_and_nothing_else() -> None:
    known = {field.name for record_type in RECORD_TYPES for field in fields(record_type)}
    assert set(NOTES) == known
    assert set(KINDS) == {record_type.kind for record_type in RECORD_TYPES}


def test_the_document_has_the_list_as_it_is() -> None:
    text = DOCUMENT.read_text(encoding="utf-8")
    assert generated(text) == text, "python -m tests.privacy_document --write"


def test_the_list_can_be_printed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["preview", "fields", "--json"]) == 0
    listed = json.loads(capsys.readouterr().out)
    assert {field["field"] for field in listed} == set(NOTES)
    assert main(["preview", "fields"]) == 0
    assert "robot_id" in capsys.readouterr().out
