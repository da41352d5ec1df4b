"""`rpa-analytics doctor` as a person and a monitoring system use it, on both databases."""

import json
import shutil
import sqlite3
from collections import namedtuple
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import delete, insert, text

from analytics_lib import TimeSeriesStore, cli, pipeline, schema
from analytics_lib.records import AgentHeartbeat
from analytics_lib.windows import DAY_US, hour_of, to_us
from tests.databases import CopyOf, with_tables
from tests.make import execution, sample, step

NOW = datetime.now(UTC)
Usage = namedtuple("Usage", "total used free")


@pytest.fixture
def location(copy_of: CopyOf, monkeypatch: pytest.MonkeyPatch) -> str:
    made = copy_of(with_tables)
    monkeypatch.setenv("RPA_ANALYTICS_STORE", made)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(10**12, 0, 10**12))
    return made


def doctor(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, dict[str, dict[str, Any]]]:
    """The exit code, and what was found by its subject."""
    capsys.readouterr()
    code = cli.main(["doctor", "--json", *words])
    page = json.loads(capsys.readouterr().out)
    assert page["level"] == ("ok", "warning", "critical")[code]
    return code, {finding["subject"]: finding for finding in page["findings"]}


def test_a_store_that_is_looked_after_is_well(location: str, capsys: pytest.CaptureFixture[str]) -> None:
    pipeline.maintain_partitions(location, as_of=NOW)
    ended = NOW - timedelta(hours=5)
    now = datetime.now(UTC)  # the file may have been read long ago
    alive = AgentHeartbeat(agent_id="a", sent_at=now, complete_to=now, component="daemon", host="BOT")
    with TimeSeriesStore(location) as store:
        store.write_metrics([execution("e", ended), step("e", 1, ended), sample(ended), alive])
        pipeline.aggregate_pending(location, as_of=NOW)
        with store.engine.begin() as connection:
            connection.execute(delete(schema.pending))  # the stages after it
    code, found = doctor(capsys)
    assert (code, {subject for subject, one in found.items() if one["level"] not in ("ok", "note")}) == (
        0,
        set(),
    )
    assert found["tables"]["details"]["tables"]["execution_metrics"]["bytes"] > 0
    assert cli.main(["doctor"]) == 0
    said = capsys.readouterr().out.splitlines()
    assert said[1].startswith("ok store              ")
    if location.startswith("postgresql"):
        assert found["partitions"]["details"]["step"] == {
            "partitions": 8, "days_ahead": 8, "days_in_default": 0
        }  # fmt: skip
        assert abs(found["clock"]["details"]["clock_offset_ms"]) < 5_000
    else:
        assert found["tables"]["details"]["tables"]["execution_metrics"]["rows"] == 1


def test_hours_that_nobody_rolls_up_are_a_warning_and_after_a_day_urgent(
    location: str, capsys: pytest.CaptureFixture[str]
) -> None:
    pipeline.maintain_partitions(location, as_of=NOW)
    with TimeSeriesStore(location) as store:
        store.write_metrics([execution("of a backfill", NOW - timedelta(days=300))])
        assert doctor(capsys)[0] == 0
        store.write_metrics([execution("e", NOW - timedelta(hours=5))])
        code, found = doctor(capsys)
        assert (code, found["hourly_rollup"]["level"], found["hourly_rollup"]["details"]["hours"]) == (
            1, "warning", 2
        )  # fmt: skip
        store.write_metrics([execution("f", NOW - timedelta(hours=30))])
        code, found = doctor(capsys)
    assert (code, found["hourly_rollup"]["level"]) == (2, "critical")


def test_rows_set_aside_mails_that_failed_and_silent_agents_are_told(
    location: str, capsys: pytest.CaptureFixture[str]
) -> None:
    pipeline.maintain_partitions(location, as_of=NOW)
    silent = NOW - timedelta(hours=2)
    sign = {"component": "daemon", "host": "BOT-7", "rows_dropped": 3}
    with TimeSeriesStore(location) as store:
        store.write_metrics([execution("later", NOW + timedelta(hours=9))])
        store.write_metrics([AgentHeartbeat(agent_id="a", sent_at=silent, complete_to=silent, **sign)])
        with store.engine.begin() as connection:
            mail = {"report": "daily", "period": "p", "recipient": "r", "state": "refused", "attempts": 1}
            connection.execute(insert(schema.outbox).values(**mail, claimed_at_us=to_us(NOW)))
    code, found = doctor(capsys)
    assert code == 1
    assert {s for s, one in found.items() if one["level"] == "warning"} == {"agents", "mails", "quarantine"}
    assert found["quarantine"]["details"]["rows"] == 1
    assert (found["agents"]["details"]["silent"], found["agents"]["details"]["dropping"]) == (
        ["BOT-7"],
        ["BOT-7"],
    )
    assert found["mails"]["details"] == {"refused": 1}


def test_a_missing_index_is_named(location: str, capsys: pytest.CaptureFixture[str]) -> None:
    pipeline.maintain_partitions(location, as_of=NOW)
    with TimeSeriesStore(location) as store, store.engine.begin() as connection:
        prefix = "rpa." if location.startswith("postgresql") else ""
        connection.execute(text(f"DROP INDEX {prefix}ix_step_metrics_ended_at_us"))
    assert doctor(capsys)[0] == 1
    with TimeSeriesStore(location) as store, store.engine.begin() as connection:
        connection.execute(text(f"DROP TABLE {prefix}baseline_run"))
    code, found = doctor(capsys)
    assert code == 2
    assert sorted(found["indexes"]["details"]["problems"]) == [
        "the index ix_step_metrics_ended_at_us is missing",
        "the table baseline_run is missing",
    ]


def test_marks_that_wait_for_a_file_of_the_archive_are_told(
    location: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    pipeline.maintain_partitions(location, as_of=NOW)
    day_us = to_us(NOW) // DAY_US * DAY_US - 200 * DAY_US
    part = {"source": "step", "day_us": day_us, "part": 0, "path": "lost.parquet", "n": 1, "file_bytes": 4}
    mark = {"stage": "hourly_rollup", "kind": "step", "hour_us": hour_of(day_us), "bucket": 1}
    with TimeSeriesStore(location) as store, store.engine.begin() as connection:
        connection.execute(
            insert(schema.archive_manifest).values(**part, content_hash="", archived_at_us=day_us)
        )
        connection.execute(insert(schema.pending).values(**mark))
    monkeypatch.setenv("RPA_ANALYTICS_ARCHIVE", str(tmp_path))
    code, found = doctor(capsys)
    assert (code, found["archive"]["details"]) == (2, {"unreadable_files": ["lost.parquet"]})
    (tmp_path / "lost.parquet").write_bytes(b"PAR1")
    assert doctor(capsys)[1]["archive"]["level"] == "ok"
    if location.startswith("postgresql"):
        monkeypatch.delenv("RPA_ANALYTICS_ARCHIVE")
        assert doctor(capsys)[1]["archive"]["level"] == "warning"


def test_an_old_or_new_schema_and_a_store_without_tables_are_urgent(
    location: str, capsys: pytest.CaptureFixture[str]
) -> None:
    for version, expected in (("0001", "run `rpa-analytics migrate`"), ("0099", "upgrade rpa-analytics")):
        with TimeSeriesStore(location) as store, store.engine.begin() as connection:
            prefix = "rpa." if location.startswith("postgresql") else ""
            connection.execute(text(f"UPDATE {prefix}rpa_schema_version SET version_num = '{version}'"))
        code, found = doctor(capsys)
        assert (code, list(found)) == (2, ["store"])
        assert expected in found["store"]["text"]


def test_days_that_are_not_made_ahead_are_a_warning(
    postgres_location: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("RPA_ANALYTICS_STORE", postgres_location)
    assert doctor(capsys)[1]["store"]["text"].endswith("has no tables: `rpa-analytics migrate`")
    with TimeSeriesStore(postgres_location) as store:
        store.write_metrics([execution("e", NOW), step("e", 1, NOW)])
    code, found = doctor(capsys)
    assert (code, found["partitions"]["level"]) == (1, "warning")
    assert found["partitions"]["details"]["step"]["days_in_default"] == 1
    with TimeSeriesStore(postgres_location) as store, store.engine.begin() as connection:
        connection.execute(text("DROP TABLE rpa.step_metrics_default"))
    code, found = doctor(capsys)
    assert (code, found["partitions"]["level"]) == (2, "critical")


@pytest.mark.parametrize("place", ["none/such", "postgresql://127.0.0.1:1/rpa?connect_timeout=2"])
def test_a_store_that_is_not_there_is_one_sentence_and_urgent(
    place: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    location = place if "://" in place else str(tmp_path / place)
    assert cli.main(["doctor", "--store", location]) == 2
    said = capsys.readouterr()
    assert (len(said.out.splitlines()), said.err) == (2, "")
    assert not (tmp_path / "none").exists()


def test_a_full_disk_is_urgent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    TimeSeriesStore(tmp_path).close()
    for free, level in ((100 * 2**20, "critical"), (2**30, "warning"), (2**34, "ok")):
        usage = Usage(10**12, 0, free)
        monkeypatch.setattr(shutil, "disk_usage", lambda _, usage=usage: usage)
        assert doctor(capsys, "--store", str(tmp_path))[1]["disk"]["level"] == level


def test_integrity_finds_damaged_pages_and_rows_without_their_run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with TimeSeriesStore(tmp_path) as store:
        store.write_metrics([execution(f"e{n}", NOW) for n in range(2_000)])
    where = ("--store", str(tmp_path), "--integrity")
    assert doctor(capsys, *where)[1]["integrity"]["level"] == "ok"
    sound = (tmp_path / "rpa.sqlite").read_bytes()
    with sqlite3.connect(tmp_path / "rpa.sqlite") as connection:
        connection.execute("DELETE FROM execution WHERE execution_id = 'e7'")
    connection.close()
    code, found = doctor(capsys, *where)
    assert (code, found["integrity"]["details"]["damage"]) == (
        2, ["1 rows of execution_metrics refer to no row of execution"]
    )  # fmt: skip
    content = bytearray(sound)
    page = 4096 * 40
    content[page : page + 4096 * 20] = b"\xff" * 4096 * 20
    (tmp_path / "rpa.sqlite").write_bytes(content)
    code, found = doctor(capsys, *where)
    assert code == 2
    assert found["integrity"]["level"] == "critical"


def test_a_file_that_is_no_database_is_one_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "rpa.sqlite").write_bytes(b"no database" * 1_000)
    code, found = doctor(capsys, "--store", str(tmp_path))
    assert (code, list(found)) == (2, ["store"])
    assert "not a database" in found["store"]["text"]
