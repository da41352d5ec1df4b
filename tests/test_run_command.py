"""`rpa-analytics run`: every stage, alone and one after the other, for those who only have cron."""

import json
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from analytics_lib import TimeSeriesStore, cli, schema
from analytics_lib.commands.run import print_report
from tests.databases import SqliteFolders
from tests.make import NOON, execution, step, table_rows

DERIVED = ("rollup_execution_hourly", "baseline_run", "anomaly", "insight", "archive_manifest", "outbox")
AS_OF = (NOON + timedelta(hours=1)).isoformat()


def ten_mondays(location: str) -> None:
    with TimeSeriesStore(location) as store:
        for week in range(10):
            ended = NOON - timedelta(weeks=week, hours=2)
            status = "completed" if week else "failed"
            store.write_metrics([execution(str(week), ended, status=status), step(str(week), 1, ended)])


@pytest.fixture
def store(sqlite: SqliteFolders, tmp_path: Path) -> Iterator[TimeSeriesStore]:
    """Ten weeks of a run every Monday at ten; today it failed."""
    with TimeSeriesStore(sqlite.copy(ten_mondays, tmp_path)) as opened:
        yield opened


def run(store: TimeSeriesStore, *line: str) -> int:
    return cli.main(["run", *line, "--store", str(store.location), "--as-of", AS_OF])


def test_all_stages_run_in_order_and_say_what_they_did(
    store: TimeSeriesStore, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(store, "all", "--output", str(tmp_path / "reports"), "--keep-raw-days", "60") == 0
    said = capsys.readouterr()
    done = {line["stage"]: line for line in map(json.loads, said.out.splitlines())}
    assert list(done) == [
        "hourly-aggregation",
        "baseline-recomputation",
        "anomaly-detection",
        "insight-generation",
        "report-rendering",
        "archive-retention",
    ]
    assert "[6/6] archive-retention" in said.err
    assert done["hourly-aggregation"]["rows_read"] == 2 * len(
        table_rows(store.engine, "rollup_execution_hourly")
    )
    assert done["baseline-recomputation"]["ready"] > 0
    assert done["anomaly-detection"]["judged"] > 0
    assert Path(done["report-rendering"]["pdf"]).read_bytes().startswith(b"%PDF-")
    assert done["archive-retention"]["rows_deleted"] > 0
    assert (tmp_path / "store" / "archive").is_dir()


def test_a_second_run_of_all_leaves_the_same_rows(store: TimeSeriesStore, tmp_path: Path) -> None:
    line = ("all", "--output", str(tmp_path / "reports"))
    run(store, *line)
    before = {name: table_rows(store.engine, name) for name in DERIVED}
    assert before["baseline_run"]
    run(store, *line)
    assert {name: table_rows(store.engine, name) for name in DERIVED} == before


def test_a_dry_run_changes_nothing(
    store: TimeSeriesStore, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    everything = {name: table_rows(store.engine, name) for name in schema.metadata.tables}
    stages = ("hourly-aggregation", "baseline-recomputation", "anomaly-detection", "archive-retention")
    for stage in (*stages, "insight-generation"):
        assert run(store, stage, "--dry-run") == 0
        assert json.loads(capsys.readouterr().out)
    assert {name: table_rows(store.engine, name) for name in schema.metadata.tables} == everything
    assert not (tmp_path / "store" / "archive").exists()


def test_what_a_dry_aggregation_would_do_is_counted(
    store: TimeSeriesStore, capsys: pytest.CaptureFixture[str]
) -> None:
    window = ("--window-start", "2020-01-01", "--window-end", "2030-01-01")
    run(store, "hourly-aggregation", "--dry-run", *window)
    done = json.loads(capsys.readouterr().out)
    assert (done["marks"], done["pending_hours"], done["rows_read"], done["dry_run"]) == (20, 10, 0, True)
    assert len(table_rows(store.engine, "pending")) == 20  # those that the rows brought along


def test_nothing_is_mailed_until_recipients_are_set(
    store: TimeSeriesStore, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run(store, "hourly-aggregation")
    run(store, "baseline-recomputation")
    capsys.readouterr()
    assert run(store, "insight-generation", "--deliver", "--output", str(tmp_path)) == 0
    assert json.loads(capsys.readouterr().out)["mails"]["sent"] == 0
    assert table_rows(store.engine, "outbox") == []


@pytest.mark.parametrize("stage", ["insight-generation", "all"])
def test_mails_that_were_not_sent_are_the_exit_code_though_all_else_is_done(
    stage: str,
    store: TimeSeriesStore,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    mails = {"problem": "1 mail not sent for sure"}
    monkeypatch.setattr("analytics_lib.pipeline.mail_insights", lambda *_args, **_options: mails)
    assert run(store, stage, "--deliver", "--output", str(tmp_path)) == 8
    said = capsys.readouterr()
    assert said.err.endswith("rpa-analytics: 1 mail not sent for sure\n")
    assert stage != "all" or "archive-retention" in said.out


def test_an_empty_store_is_no_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with TimeSeriesStore(tmp_path / "empty") as store:
        assert run(store, "all", "--output", str(tmp_path / "reports")) == 0
    assert capsys.readouterr().out.count("\n") == 6


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("anomaly-detection --window-start 2026-01-01", "needs both"),
        ("baseline-recomputation --as-of never", "'never' is no date"),
        ("archive-retention --timezone Mars/Base", "unknown time zone"),
    ],
)
def test_wrong_input_gets_one_message(
    line: str, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["run", *line.split(), "--store", str(tmp_path)]) == 2
    said = capsys.readouterr().err
    assert message in said
    assert said.count("\n") == 1


def test_keeping_nothing_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        cli.main(["run", "archive-retention", "--keep-raw-days", "0"])
    assert "no number of days from 1" in capsys.readouterr().err


def test_a_summary_cannot_move_the_cursor_of_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    names_with = "a\x9b2Jb\u202ec"  # an eight-bit escape sequence and a turned direction
    print_report({"summary": [names_with, "97.4 % of 3 runs"], "html": "r.html", "pdf": "r.pdf"})
    first, second, *_ = capsys.readouterr().out.splitlines()
    assert (first, second) == ("a\\x9b2Jb\\u202ec", "97.4 % of 3 runs")
