"""`rpa-analytics workflows` as a person uses it, wrong input included."""

import json
from pathlib import Path
from typing import Any

import pytest

from analytics_lib import TimeSeriesStore, cli
from tests.make import execution, table_rows

FILE = """
[[workflow]]
id = "invoices"
display_name = "Invoice intake"
aliases = ["invoices-v1"]
time_zone = "Europe/Berlin"
sla_duration = "5 min"
sla_success_rate = 0.985

[[workflow]]
id = "drill"
environment = "test"
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder to work in; its store holds runs of three workflows and is named by the setting."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("RPA_ANALYTICS_STORE", str(tmp_path / "store"))
    with TimeSeriesStore(tmp_path / "store") as store:
        for number, workflow_id in enumerate(("invoices", "invoices-v1", "payroll")):
            store.write_metrics([execution(f"e{number}", workflow_id=workflow_id)])
    (tmp_path / "w.toml").write_text(FILE, encoding="utf-8")
    return tmp_path


def workflows(*words: str) -> int:
    return cli.main(["workflows", *words])


def listed(capsys: pytest.CaptureFixture[str], *words: str) -> list[dict[str, Any]]:
    capsys.readouterr()
    assert workflows("list", "--json", *words) == 0
    found: list[dict[str, Any]] = json.loads(capsys.readouterr().out)
    return found


def stored(folder: Path) -> list[list[tuple[Any, ...]]]:
    with TimeSeriesStore(folder / "store") as store:
        return [table_rows(store.engine, name) for name in ("workflow", "workflow_alias")]


@pytest.mark.usefixtures("folder")
def test_a_new_store_lists_what_it_has_seen(capsys: pytest.CaptureFixture[str]) -> None:
    assert workflows("list") == 0
    said = capsys.readouterr().out
    assert "3 not in the register" in said
    assert "\n  payroll\n" in said


def test_an_empty_store_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    TimeSeriesStore(tmp_path / "empty").close()
    assert workflows("list", "--store", str(tmp_path / "empty")) == 0
    assert "no workflow is in the register, and none has been seen" in capsys.readouterr().out
    assert listed(capsys, "--store", str(tmp_path / "empty")) == []


@pytest.mark.usefixtures("folder")
def test_a_file_is_imported_and_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert workflows("import", "w.toml") == 0
    said = capsys.readouterr().out
    assert "2 added: invoices, drill" in said
    assert "note: no row names yet: drill" in said
    assert workflows("list") == 0
    said = capsys.readouterr().out
    assert (
        'invoices: "Invoice intake" · Europe/Berlin · production · SLA within 5 min, 98.5 % complete · '
        "aliases invoices-v1\n"
    ) in said
    assert "drill: test\n" in said
    assert "1 not in the register" in said
    assert workflows("import", "w.toml") == 0
    assert "2 unchanged: invoices, drill" in capsys.readouterr().out


@pytest.mark.usefixtures("folder")
def test_the_list_for_programs_has_every_field(capsys: pytest.CaptureFixture[str]) -> None:
    workflows("import", "w.toml")
    drill, invoices, payroll = listed(capsys)
    assert invoices == {
        "workflow_id": "invoices",
        "display_name": "Invoice intake",
        "aliases": ["invoices-v1"],
        "group": "",
        "owner": "",
        "time_zone": "Europe/Berlin",
        "environment": "production",
        "attended": False,
        "sla_duration_ms": 300_000.0,
        "sla_success_rate": 0.985,
        "registered": True,
    }
    assert drill["environment"] == "test"
    assert (payroll["workflow_id"], payroll["registered"]) == ("payroll", False)
    assert listed(capsys, "--unknown") == [payroll]


@pytest.mark.usefixtures("folder")
def test_when_all_are_known_the_unknown_list_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    for workflow_id in ("invoices", "invoices-v1", "payroll"):
        assert workflows("set", workflow_id) == 0
    capsys.readouterr()
    assert workflows("list", "--unknown") == 0
    assert capsys.readouterr().out == "every workflow that rows name is in the register\n"


def test_a_dry_run_says_what_would_change_and_writes_nothing(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    workflows("set", "drill", "--environment", "test")
    workflows("set", "invoices", "--owner", "ann")
    before = stored(folder)
    capsys.readouterr()
    assert workflows("import", "w.toml", "--dry-run") == 0
    said = capsys.readouterr().out
    assert "1 would be changed: invoices" in said
    assert "1 unchanged: drill" in said
    assert "nothing was written" in said
    assert stored(folder) == before


@pytest.mark.usefixtures("folder")
def test_a_spreadsheets_file_is_imported(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = 'id;Display name;Aliases;Attended\r\npayroll;Löhne;"wages; pay";yes\r\n'
    (folder / "W.CSV").write_text(text, encoding="utf-8-sig")
    assert workflows("import", "W.CSV") == 0
    [payroll] = [one for one in listed(capsys) if one["registered"]]
    assert (payroll["display_name"], payroll["aliases"], payroll["attended"]) == (
        "Löhne",
        ["pay", "wages"],
        True,
    )


@pytest.mark.usefixtures("folder")
def test_one_workflow_is_set_bit_by_bit(capsys: pytest.CaptureFixture[str]) -> None:
    words = (
        "--display-name",
        "Wages",
        "--alias",
        "wages",
        "--alias",
        "pay",
        "--group",
        "HR",
        "--owner",
        "bob",
    )
    assert workflows("set", "payroll", *words, "--time-zone", "Asia/Kolkata", "--attended") == 0
    said = capsys.readouterr().out
    assert 'payroll: "Wages" · group HR · owner bob · Asia/Kolkata · production · attended' in said
    assert workflows("set", "payroll", "--sla-duration", "90 s", "--sla-success-rate", "0.99") == 0
    assert workflows("set", "payroll", "--unattended", "--owner", "", "--remove-alias", "pay") == 0
    said = capsys.readouterr().out
    assert (
        'payroll: "Wages" · group HR · Asia/Kolkata · production · SLA within 1.5 min, 99 % complete · '
        in said
    )
    assert said.endswith("aliases wages\n")
    assert workflows("set", "payroll", "--sla-duration", "", "--sla-success-rate", "") == 0
    assert "SLA" not in capsys.readouterr().out


@pytest.mark.usefixtures("folder")
def test_a_slip_in_an_id_is_noticed(capsys: pytest.CaptureFixture[str]) -> None:
    assert workflows("set", "payrol", "--owner", "bob") == 0
    assert "note: no row names payrol: did you mean payroll?" in capsys.readouterr().out
    assert workflows("remove", "payrol") == 0
    assert "removed payrol" in capsys.readouterr().out
    assert workflows("remove", "payrol") == 2
    assert "is not in the register" in capsys.readouterr().err


@pytest.mark.usefixtures("folder")
def test_a_workflow_that_was_registered_under_both_names_becomes_one(
    capsys: pytest.CaptureFixture[str],
) -> None:
    workflows("set", "invoices")
    workflows("set", "invoices-v1")
    capsys.readouterr()
    assert workflows("set", "invoices", "--alias", "invoices-v1") == 2
    assert (
        "take 'invoices-v1' out of the register (`rpa-analytics workflows remove`)" in capsys.readouterr().err
    )
    assert workflows("remove", "invoices-v1") == 0
    assert workflows("set", "invoices", "--alias", "invoices-v1") == 0


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["set", ""], 2, "workflow id '' is empty"),
        (["set", "a\nb"], 2, "workflow id 'a\\nb' contains control characters"),
        (["set", "a\x1b[2J"], 2, "contains control characters"),
        (["set", "x" * 600], 2, "is longer than 500 bytes"),
        (["set", "a", "--display-name", "Bell\x07"], 2, "display_name contains control characters"),
        (["set", "a", "--display-name", "a\u202eb"], 2, "display_name contains control characters"),
        (["set", "a", "--owner", "x\r\nBcc: y"], 2, "owner contains control characters"),
        (["set", "a", "--time-zone", "Mars/Base"], 2, "time_zone 'Mars/Base' is unknown"),
        (["set", "a", "--alias", "a"], 2, "names itself"),
        (["set", "a", "--alias", ""], 2, "alias '' is empty"),
        (["set", "old", "--alias", "new"], 2, "stand for each other"),
        (["set", "old"], 2, "registered itself"),
        (["set", "a", "--alias", "old"], 2, "'old' is an alias of 'new' already"),
        (["set", "a", "--remove-alias", "old"], 2, "'old' is no alias of 'a'"),
        (["set", "a", "--sla-duration", "soon"], 2, "'soon' is no duration"),
        (["set", "a", "--sla-duration", "0 min"], 2, "give a positive number"),
        (["set", "a", "--sla-success-rate", "98"], 2, "98 % is 0.98"),
        (["set", "a", "--sla-success-rate", "nan"], 2, "'nan' is no share"),
        (["remove", "nobody"], 2, "nobody is not in the register"),
        (["list", "--store", "postgresql://me:secret@host/db"], 2, "a password does not belong"),
        (["import", "nowhere.toml"], 5, "nowhere.toml does not exist"),
        (["import", "."], 5, "no .toml or .csv file"),
        (["import", "table.xlsx"], 5, "no .toml or .csv file"),
        (["import", "latin.csv"], 5, "is not UTF-8"),
        (["import", "binary.toml"], 5, "is not UTF-8"),
        (["import", "words.toml"], 5, "words.toml is no TOML"),
        (["import", "slip.toml"], 5, "did you mean 'time_zone'?"),
        (["import", "circle.toml"], 5, "circle.toml: 'b' and 'a' stand for each other"),
    ],
)
def test_wrong_input_gets_one_message_and_changes_nothing(
    words: list[str], code: int, message: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "table.xlsx").write_bytes(b"PK\x03\x04")
    (folder / "latin.csv").write_bytes("id,owner\na,Jörg\n".encode("latin-1"))
    (folder / "binary.toml").write_bytes(bytes(range(128, 256)))
    (folder / "words.toml").write_text("these are words")
    (folder / "slip.toml").write_text("[[workflow]]\nid = 'a'\ntime_zon = 'UTC'\n")
    (folder / "circle.toml").write_text(
        "[[workflow]]\nid = 'a'\naliases = ['b']\n[[workflow]]\nid = 'b'\naliases = ['a']\n"
    )
    workflows("set", "new", "--alias", "old")
    before = stored(folder)
    capsys.readouterr()
    assert workflows(*words) == code
    said = capsys.readouterr()
    assert message in said.err
    assert said.out == ""
    assert said.err.count("\n") == 1
    assert said.err.rstrip("\n").isprintable()
    assert "secret" not in said.err
    assert stored(folder) == before


@pytest.mark.usefixtures("folder")
def test_a_file_that_does_not_fit_the_register_is_refused_whole(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    workflows("set", "payroll", "--alias", "drill")
    before = stored(folder)
    capsys.readouterr()
    assert workflows("import", "w.toml") == 2
    assert "'drill' would be an alias of 'payroll' and is registered itself" in capsys.readouterr().err
    assert stored(folder) == before


def test_hostile_names_in_rows_do_not_reach_the_terminal(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with TimeSeriesStore(folder / "store") as store:
        store.write_metrics([execution("e9", workflow_id="a\x9b31m\u202eb")])
    assert workflows("list") == 0
    said = capsys.readouterr().out
    assert "a\\x9b31m\\u202eb" in said
    assert "\x9b" not in said
    assert listed(capsys)[0]["workflow_id"] == "a\x9b31m\u202eb"


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize("words", [["set", "a", "--attended", "--unattended"], ["set"], ["import"], []])
def test_what_the_command_line_does_not_take_is_answered_with_its_usage(
    words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as raised:
        workflows(*words)
    assert raised.value.code == 2
    assert "usage: rpa-analytics workflows" in capsys.readouterr().err


def test_the_example_in_the_help_is_a_file_that_imports(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        workflows("import", "--help")
    said = capsys.readouterr().out
    example = said[said.index("[[workflow]]") : said.index("What the file does not name")]
    (folder / "example.toml").write_text(example)
    assert workflows("import", "example.toml") == 0
