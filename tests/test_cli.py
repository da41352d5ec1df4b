"""`rpa-analytics` as a person uses it, wrong input included."""

import json
from pathlib import Path

import pytest

from analytics_lib import TimeSeriesStore, cli, pipeline
from tests.make import NOON as LONG_AGO
from tests.make import at, execution, table_rows


@pytest.fixture
def folder(tmp_path: Path) -> str:
    with TimeSeriesStore(tmp_path / "store") as store:
        store.write_metrics([execution("e1", LONG_AGO), execution("e2", LONG_AGO)])
    return str(tmp_path / "store")


def test_aggregation_says_what_it_did_in_json(folder: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["run", "hourly-aggregation", "--store", folder]) == 0
    done = json.loads(capsys.readouterr().out)
    assert (done["rows_read"], done["rollup_rows"], done["abandoned"]) == (2, 1, 0)


def test_a_window_is_computed_again(folder: str, capsys: pytest.CaptureFixture[str]) -> None:
    run = ["run", "hourly-aggregation", "--store", folder]
    cli.main(run)
    capsys.readouterr()
    assert cli.main([*run, "--window-start", "2020-01-01", "--window-end", "2030-01-01"]) == 0
    assert json.loads(capsys.readouterr().out)["rows_read"] == 2


def test_as_of_leaves_later_hours_open(folder: str, capsys: pytest.CaptureFixture[str]) -> None:
    moment = LONG_AGO.isoformat()
    assert cli.main(["run", "hourly-aggregation", "--store", folder, "--as-of", moment]) == 0
    assert json.loads(capsys.readouterr().out)["rows_read"] == 0


@pytest.mark.parametrize(
    ("line", "code", "message"),
    [
        ("run hourly-aggregation", 2, "set RPA_ANALYTICS_STORE"),
        ("migrate --store postgresql://me:secret@host/db", 2, "a password does not belong"),
        ("migrate --store mysql://host/db", 3, "use postgresql:// or a folder"),
        ("run hourly-aggregation --store S --window-start 2026-01-01", 2, "needs both"),
        ("run hourly-aggregation --store S --window-start soon --window-end later", 2, "'soon' is no date"),
        (
            "run hourly-aggregation --store S --window-start 2026-02-01 --window-end 2026-01-01",
            2,
            "swap them",
        ),
        ("run report-rendering --store S --timezone Mars/Base", 2, "unknown time zone"),
        (
            "run report-rendering --store S --days 3 --window-start 2026-01-01 --window-end 2026-02-01",
            2,
            "either --days or",
        ),
        ("try nowhere", 5, "nowhere does not exist"),
    ],
)
def test_wrong_input_gets_one_message_and_its_exit_code(
    line: str,
    code: int,
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert cli.main(line.split()) == code
    said = capsys.readouterr()
    assert message in said.err
    assert "secret" not in said.err
    assert said.err.count("\n") == 1


@pytest.mark.parametrize("days", ["0", "-1", "many", "99999"])
def test_a_number_of_days_is_checked(days: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as raised:
        cli.main(["run", "report-rendering", "--days", days])
    assert raised.value.code == 2
    assert "from 1 to 3660" in capsys.readouterr().err


def test_a_folder_without_results_says_what_to_name(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["try", str(tmp_path)]) == 5
    assert "name the folder that holds output.xml" in capsys.readouterr().err


def test_migrate_makes_the_tables_and_hides_the_password(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["migrate", "--store", str(tmp_path / "new")]) == 0
    assert "has schema version 5" in capsys.readouterr().out
    with TimeSeriesStore(tmp_path / "new") as store:
        assert table_rows(store.engine, "execution_metrics") == []


def test_the_dags_folder_holds_the_dags(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["dags-folder"]) == 0
    folder = Path(capsys.readouterr().out.strip())
    assert {"hourly_aggregation.py", "report_rendering.py"} <= {path.name for path in folder.iterdir()}


def test_a_database_of_a_newer_schema_is_not_read(folder: str, capsys: pytest.CaptureFixture[str]) -> None:
    with TimeSeriesStore(folder) as store, store.engine.begin() as connection:
        connection.exec_driver_sql("UPDATE rpa_schema_version SET version_num = '0099'")
    assert cli.main(["run", "hourly-aggregation", "--store", folder]) == 4
    assert "upgrade rpa-analytics" in capsys.readouterr().err


def test_the_last_days_include_today_and_begin_at_local_midnight() -> None:
    start, end = pipeline.last_days(at(0), "Europe/Berlin", 7)
    assert start.isoformat() == "2026-02-24T00:00:00+01:00"
    assert end.isoformat() == "2026-03-03T00:00:00+01:00"
