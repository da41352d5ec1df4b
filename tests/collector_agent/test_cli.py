"""`rpa-agent` as a person uses it, wrong input included."""

import json
import logging
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from sqlalchemy import create_engine, text
from sqlalchemy.engine import make_url

from analytics_lib import TimeSeriesStore
from analytics_lib.record_values import values_of
from analytics_lib.records import ExecutionMetrics, StepMetrics
from analytics_lib.schema import SCHEMA_VERSION, metadata
from collector_agent import cli
from collector_agent.checking import findings as check
from collector_agent.forwarder import Forwarder
from collector_agent.machine.daemon_lock import DaemonLock
from collector_agent.machine.facts import Machine
from collector_agent.machine.identity import own_identity
from collector_agent.machine.locations import state_folder
from collector_agent.machine.problems import read_problems, report_problem
from collector_agent.spool.quarantine import LocalQuarantine
from collector_agent.spool.reader import sets_in
from tests.collector_agent.uipath_robot import Robot, guid
from tests.make import step, table_rows

OUTPUT = """\
<robot generator="Robot 7.0" generated="2025-03-13T10:00:00" rpa="true" schemaversion="5">
<suite id="s1" name="Invoices">
<test id="s1-t1" name="Book">
<kw name="Open" owner="Mail">
<kw name="Log" owner="BuiltIn"><status status="PASS" start="2025-03-13T10:00:01" elapsed="0.5"/></kw>
<status status="PASS" start="2025-03-13T10:00:00" elapsed="1.0"/>
</kw>
<status status="FAIL" start="2025-03-13T10:00:00" elapsed="2.0">no supplier</status>
</test>
<status status="FAIL" start="2025-03-13T10:00:00" elapsed="3.5"/>
</suite>
</robot>
"""


@pytest.fixture(autouse=True)
def _a_machine_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.delenv("ROBOT_OPTIONS", raising=False)
    monkeypatch.chdir(tmp_path)
    logs = [logging.getLogger(name) for name in ("rpa_agent", "rpa_analytics")]
    before = [(log.handlers[:], log.level) for log in logs]
    yield
    for log, (handlers, level) in zip(logs, before, strict=True):
        log.handlers[:] = handlers
        log.setLevel(level)


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The folder of a store with its tables, named by the variable."""
    folder = str(tmp_path / "store")
    TimeSeriesStore(folder).close()
    monkeypatch.setenv("RPA_AGENT_STORE", folder)
    return folder


@pytest.fixture
def output_xml(tmp_path: Path) -> Path:
    path = tmp_path / "output.xml"
    path.write_text(OUTPUT)
    return path


def checked(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, dict[str, dict[str, Any]]]:
    """The exit code of `rpa-agent check --json`, and its findings by subject."""
    code = cli.main(["check", "--json", *arguments])
    found = json.loads(capsys.readouterr().out)["findings"]
    return code, {finding["subject"]: finding for finding in found}


def row_counts(location: str) -> dict[str, int]:
    with TimeSeriesStore(location) as opened:
        return {name: len(table_rows(opened.engine, name.split(".")[-1])) for name in metadata.tables}


# --- check -----------------------------------------------------------------------------------------


def test_on_a_new_machine_check_says_how_to_begin_and_makes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("RPA_AGENT_STORE", str(tmp_path / "a" / "store"))
    assert cli.main(["check"]) == 0
    said = capsys.readouterr().out
    assert str(tmp_path / "config" / "rpa-agent" / "agent.toml") in said
    assert "rpa.sqlite is not there yet: the first rows make it" in said
    assert 'ROBOT_OPTIONS="--listener collector_agent.hooks.robot_framework.Listener"' in said
    assert "start it by `rpa-agent run`" in said
    assert said.endswith("everything works\n")
    assert not (tmp_path / "a").exists()


def test_check_writes_to_see_whether_it_can_and_leaves_no_row(
    location: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    TimeSeriesStore(location).close()
    monkeypatch.setenv("RPA_AGENT_STORE", location)
    before = row_counts(location)
    code, found = checked(capsys)
    assert code == 0
    assert f"takes rows; schema version {SCHEMA_VERSION}" in found["store"]["text"]
    assert found["store"]["details"]["schema_version"] == SCHEMA_VERSION
    assert row_counts(location) == before


def test_that_check_catches_a_table_that_takes_no_rows(
    store: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with TimeSeriesStore(store) as opened, opened.engine.begin() as connection:
        connection.exec_driver_sql(
            "CREATE TRIGGER full BEFORE INSERT ON step_metrics BEGIN SELECT RAISE(FAIL, 'disk full'); END"
        )
    code, found = checked(capsys)
    assert code == 1
    assert "does not take rows (disk full)" in found["store"]["text"]


def test_a_role_without_rights_is_found_on_postgres(
    postgres_location: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    admin = create_engine(make_url(postgres_location).set(drivername="postgresql+psycopg"))
    with admin.begin() as connection:
        connection.execute(text("DROP ROLE IF EXISTS reader"))
        connection.execute(text("CREATE ROLE reader LOGIN PASSWORD 'geheim'"))
    as_reader = make_url(postgres_location).set(username="reader", password="geheim")
    monkeypatch.setenv("RPA_AGENT_STORE", as_reader.render_as_string(hide_password=False))
    code, found = checked(capsys)
    assert code == 1
    assert "has no tables, and you may not make them" in found["store"]["text"]
    TimeSeriesStore(postgres_location).close()
    with admin.begin() as connection:
        connection.execute(text("GRANT USAGE ON SCHEMA rpa TO reader"))
        connection.execute(text("GRANT SELECT ON ALL TABLES IN SCHEMA rpa TO reader"))
    code, found = checked(capsys)
    assert code == 1
    assert "does not take rows (permission denied for table" in found["store"]["text"]
    assert "geheim" not in json.dumps(found)
    with admin.begin() as connection:
        connection.execute(text("DROP OWNED BY reader"))
        connection.execute(text("DROP ROLE reader"))
    admin.dispose()


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://rpa:geheim@127.0.0.1:1/rpa",
        "postgresql://rpa@127.0.0.1:1/rpa?password=geheim",
        "mysql://rpa:geheim@db/rpa",
    ],
)
def test_a_store_that_does_not_answer_needs_attention_and_no_password_is_shown(
    url: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("RPA_AGENT_STORE", url)
    assert cli.main(["check"]) == 1
    said = capsys.readouterr()
    assert "!! store" in said.out
    assert said.out.endswith("1 of 9 need attention\n")
    assert "geheim" not in said.out + said.err


def test_a_folder_that_cannot_be_made_needs_attention(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("RPA_AGENT_STORE", str(tmp_path / "file" / "store"))
    monkeypatch.setenv("RPA_AGENT_STATE", str(tmp_path / "file" / "state"))
    code, found = checked(capsys)
    assert code == 1
    assert f"you may not write to {tmp_path / 'file'}; name another folder" in found["store"]["text"]
    assert "name another by RPA_AGENT_STATE" in found["state folder"]["text"]


def test_a_file_that_is_no_database_needs_attention(store: str, capsys: pytest.CaptureFixture[str]) -> None:
    (Path(store) / "rpa.sqlite").write_bytes(b"not a database, and long enough to be looked at" * 50)
    code, found = checked(capsys)
    assert code == 1
    assert "file is not a database" in found["store"]["text"]


@pytest.mark.parametrize(
    ("version", "code", "says"),
    [(0, 1, "rows are held back; run `rpa-analytics migrate`"), (99, 0, "newer than this agent's")],
)
def test_check_says_whether_agent_and_database_fit_together(
    store: str, version: int, code: int, says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with TimeSeriesStore(store) as opened, opened.engine.begin() as connection:
        connection.exec_driver_sql(f"UPDATE rpa_schema_version SET version_num = '{version:04d}'")
    exit_code, found = checked(capsys)
    assert exit_code == code
    assert says in found["store"]["text"]
    assert found["store"]["details"]["schema_version"] == version


def test_check_shows_what_is_set_and_where_it_comes_from(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "agent.toml"
    file.write_text('store = "data"\nrobot_id = "r7"\nbusiness_tags = ["a", "b"]\nflush_interval_sec = 5\n')
    monkeypatch.setenv("RPA_AGENT_ENVIRONMENT", "test")
    assert cli.main(["check", "--config", str(file)]) == 0
    said = capsys.readouterr().out
    for line in (
        f"{file}, RPA_AGENT_ENVIRONMENT",
        "robot_id = r7",
        "environment = test",
        "business_tags = a, b",
    ):
        assert line in said
    assert "flush_interval_sec" not in said  # it is the default
    assert str(tmp_path / "data" / "rpa.sqlite") in said  # relative to the file
    assert f'export RPA_AGENT_CONFIG="{file}"' in said  # or the robots would not find it


def test_check_finds_the_daemon(store: str, capsys: pytest.CaptureFixture[str]) -> None:
    _, before = checked(capsys)
    with DaemonLock():
        _, during = checked(capsys)
    assert before["daemon"]["details"] == {"runs": False, "pid": None}
    assert during["daemon"]["state"] == "ok"
    assert isinstance(during["daemon"]["details"]["pid"], int)


def test_check_tells_what_parts_of_the_agent_left_behind(
    store: str, capsys: pytest.CaptureFixture[str]
) -> None:
    report_problem("robot-listener", "this run is not recorded:\npassword=geheim was wrong")
    assert cli.main(["check"]) == 1
    said = capsys.readouterr().out
    assert "!! robot-listener   just now: this run is not recorded: password=<hidden> was wrong" in said
    assert "problems  " not in said


def test_a_variable_that_means_nothing_needs_attention(
    store: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("RPA_AGENT_ENVIROMENT", "test")
    code, found = checked(capsys)
    assert code == 1
    assert (
        "RPA_AGENT_ENVIROMENT means nothing; did you mean RPA_AGENT_ENVIRONMENT?"
        in (found["variables"]["text"])
    )


@pytest.mark.skipif(sys.platform == "win32", reason="files have no such mode there")
def test_a_password_that_others_may_read_needs_attention_until_they_may_not(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "agent.toml"
    file.write_text('store = "postgresql://rpa:geheim@127.0.0.1:1/rpa"\n')
    file.chmod(0o644)
    _, found = checked(capsys, "--config", str(file))
    assert f"chmod 600 {file}" in found["settings-file"]["text"]
    assert "geheim" not in json.dumps(found)
    file.chmod(0o600)
    _, found = checked(capsys, "--config", str(file))
    assert "settings-file" not in found
    assert read_problems() == []


def fake_robot(monkeypatch: pytest.MonkeyPatch, version: str) -> None:
    module = ModuleType("robot")
    module.__version__ = version  # type: ignore[attr-defined]  # a module takes any name
    monkeypatch.setitem(sys.modules, "robot", module)


def test_robot_framework_may_be_missing_and_may_be_too_old_for_steps(
    store: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "robot", None)
    code, found = checked(capsys)
    assert (code, found["Robot Framework"]["state"]) == (0, "absent")
    fake_robot(monkeypatch, "6.1.1")
    code, found = checked(capsys)
    assert code == 1
    assert "records no steps" in found["Robot Framework"]["text"]
    fake_robot(monkeypatch, "7.5")
    monkeypatch.setenv("ROBOT_OPTIONS", f"--listener {check.LISTENER}")
    code, found = checked(capsys)
    assert code == 0
    assert "is set here" in found["Robot Framework"]["text"]


class _Gpus(ModuleType):
    """NVML on a machine with two GPUs, of which one may be silent."""

    class NVMLError_NotSupported(Exception):  # noqa: N801, N818  # NVML's name
        pass

    def __init__(self, silent: int | None = None) -> None:
        super().__init__("pynvml")
        self.silent = silent

    def nvmlInit(self) -> None:  # noqa: N802  # NVML's name, and so below
        pass

    def nvmlDeviceGetCount(self) -> int:  # noqa: N802
        return 2

    def nvmlDeviceGetHandleByIndex(self, index: int) -> int:  # noqa: N802
        return index

    def nvmlDeviceGetMemoryInfo(self, handle: int) -> Any:  # noqa: N802
        if handle == self.silent:
            raise RuntimeError("GPU is lost")
        return type("memory", (), {"used": 1, "total": 2})

    def nvmlDeviceGetUtilizationRates(self, handle: int) -> Any:  # noqa: N802
        return type("utilization", (), {"gpu": 5})


@pytest.mark.parametrize(("silent", "code"), [(None, 0), (1, 1)])
def test_check_sees_the_gpus(
    store: str,
    silent: int | None,
    code: int,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", _Gpus(silent))
    exit_code, found = checked(capsys)
    assert exit_code == code
    assert found["GPUs"]["details"] == {"targets": ["gpu:0", "gpu:1"]}
    assert ("gpu:1 does not answer: GPU is lost" in found["GPUs"]["text"]) == bool(silent)


def test_no_gpu_is_no_problem(
    store: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", None)
    code, found = checked(capsys)
    assert (code, found["GPUs"]["state"]) == (0, "absent")
    assert "rpa-analytics[gpu]" in found["GPUs"]["text"]


def test_check_says_who_the_agent_is_and_that_it_was_copied(
    store: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    code, found = checked(capsys)
    assert (code, found["agent"]["state"]) == (0, "absent")
    assert not (state_folder() / "agent.json").exists()  # looking makes none
    identity = own_identity(machine=Machine("elsewhere", "id", frozenset({"9c:b6:d0:00:00:01"})))
    code, found = checked(capsys)
    assert (code, found["agent"]["details"]["agent_id"]) == (0, identity.agent_id)
    assert "this machine is a copy of the one on which it was made" in found["agent"]["text"]
    own_identity()
    code, found = checked(capsys)
    assert found["agent"]["details"]["cloned_from"] == identity.agent_id
    assert f"copied from the machine of {identity.agent_id}" in found["agent"]["text"]
    (state_folder() / "agent.json").write_bytes(b"?")
    code, found = checked(capsys)
    assert (code, found["agent"]["state"]) == (1, "attention")


@pytest.mark.parametrize(
    ("offset_ms", "code", "says"),
    [
        (12.0, 0, "0.01 s behind that of the database"),
        (-5_400.0, 1, "is 5.40 s ahead of that of the database: let this machine set its clock"),
    ],
)
def test_check_compares_this_machines_clock_with_the_databases(
    store: str,
    offset_ms: float,
    code: int,
    says: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr("collector_agent.checking.store_check.clock_offset_ms", lambda engine: offset_ms)
    exit_code, found = checked(capsys)
    assert exit_code == code
    assert says in found["clock"]["text"]


def test_a_database_without_a_clock_of_its_own_has_no_finding(
    store: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert "clock" not in checked(capsys)[1]


@pytest.mark.parametrize(
    ("free_bytes", "code"),
    [(5_000_000_000, 0), (2_000_000_000, 1), (900_000_000, 1)],
)
def test_a_disk_must_have_room_for_what_the_spool_may_grow_to_and_a_gigabyte_in_any_case(
    store: str,
    free_bytes: int,
    code: int,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    usage = type("usage", (), {"free": free_bytes})
    monkeypatch.setattr("collector_agent.checking.spool_check.shutil.disk_usage", lambda path: usage)
    monkeypatch.setenv("RPA_AGENT_SPOOL_MAX_BYTES", "3000000000")
    exit_code, found = checked(capsys)
    assert exit_code == code
    if code:
        assert "the spool may still take 3,000 MB" in found["spool"]["text"]
    monkeypatch.setenv("RPA_AGENT_SPOOL_MAX_BYTES", "1000000")
    assert checked(capsys)[0] == (1 if free_bytes < 1_000_000_000 else 0)


def test_a_spool_that_cannot_be_written_to_needs_attention(
    store: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("RPA_AGENT_SPOOL_FOLDER", str(tmp_path / "file" / "spool"))
    code, found = checked(capsys)
    assert code == 1
    assert "name another by RPA_AGENT_SPOOL_FOLDER" in found["spool"]["text"]
    monkeypatch.setenv("RPA_AGENT_SPOOL_FOLDER", str(tmp_path / "new" / "spool"))
    code, found = checked(capsys)
    assert code == 0
    assert found["spool"]["text"].endswith("spool (is made when it is needed); robots record into it")
    assert not (tmp_path / "new").exists()


# --- quarantine ------------------------------------------------------------------------------------


@pytest.fixture
def aside(store: str) -> LocalQuarantine:
    """Two rows and some bytes that were kept aside."""
    quarantine = LocalQuarantine(state_folder() / "spool" / "quarantine")
    quarantine.folder.mkdir(parents=True)
    for number in (1, 2):
        row = ("step", values_of(step("e1", number)))
        quarantine.add("the store refuses it", record=row, where=f"set/00000001/{number}")
    quarantine.add("damaged bytes", raw=b"\x00\xff", where="set/00000001/3")
    return quarantine


def names(quarantine: LocalQuarantine) -> list[str]:
    return [entry.name for entry in LocalQuarantine(quarantine.folder).entries()]


def test_what_is_kept_aside_is_listed_with_the_reason(
    aside: LocalQuarantine, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["quarantine", "list"]) == 0
    said = capsys.readouterr().out
    for line in ("set_00000001_1  ", "a row of kind step", "    the store refuses it", "  2 bytes\n"):
        assert line in said
    assert said.endswith(f"3 kept aside in {aside.folder}\n")
    assert cli.main(["quarantine", "list", "--json"]) == 0
    listed = json.loads(capsys.readouterr().out)
    assert [entry["id"] for entry in listed] == ["set_00000001_1", "set_00000001_2", "set_00000001_3"]
    assert (listed[0]["kind"], listed[0]["values"]["step_seq"], listed[0]["bytes"]) == ("step", 1, None)
    assert (listed[2]["kind"], listed[2]["bytes"]) == ("", "00ff")


def test_where_nothing_is_kept_aside_the_list_is_empty_and_no_store_is_needed_to_see_it(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert cli.main(["quarantine", "list"]) == 0
    assert capsys.readouterr().out.startswith("0 kept aside in ")
    assert cli.main(["quarantine", "list", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == []
    assert cli.main(["quarantine", "discard", "--all"]) == 0


def test_a_row_that_is_tried_again_is_delivered_after_all(
    store: str, aside: LocalQuarantine, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["quarantine", "retry", "set_00000001_2"]) == 0
    assert capsys.readouterr().out == "1 rows are in the spool again; the daemon delivers them\n"
    assert names(aside) == ["set_00000001_1.json", "set_00000001_3.json"]
    with TimeSeriesStore(store) as opened:
        Forwarder(state_folder() / "spool", opened.write_values).run_once()
        [row] = table_rows(opened.engine, "step_metrics")
    assert "e1" in row
    assert sets_in(state_folder() / "spool") == []


def test_bytes_that_cannot_be_read_stay_and_that_is_said(
    aside: LocalQuarantine, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["quarantine", "retry", "--all"]) == 1
    said = capsys.readouterr().out
    assert said.startswith("2 rows are in the spool again")
    assert "set_00000001_3 stays: bytes that cannot be read cannot be delivered" in said
    assert names(aside) == ["set_00000001_3.json"]


def test_a_spool_that_is_full_takes_no_row_back_and_it_stays_aside(
    aside: LocalQuarantine, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("collector_agent.spool.writer.SpoolWriter.append", lambda *_: False)
    assert cli.main(["quarantine", "retry", "set_00000001_1"]) == 1
    assert "set_00000001_1 stays: " in capsys.readouterr().out
    assert len(names(aside)) == 3


def test_what_is_discarded_is_gone(aside: LocalQuarantine, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["quarantine", "discard", "set_00000001_1", "set_00000001_1"]) == 0
    assert capsys.readouterr().out == "1 removed\n"
    assert names(aside) == ["set_00000001_2.json", "set_00000001_3.json"]
    assert cli.main(["quarantine", "discard", "--all"]) == 0
    assert names(aside) == []


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("quarantine retry", "name ids, as `rpa-agent quarantine list` shows them, or --all"),
        ("quarantine discard", "name ids, as `rpa-agent quarantine list` shows them, or --all"),
        ("quarantine discard set_00000001_1 --all", "name ids"),
        ("quarantine retry set_00000001_1 nonsense", "nothing of the id 'nonsense' is kept aside"),
    ],
)
def test_nothing_changes_where_it_is_not_clear_what_is_meant(
    line: str, message: str, aside: LocalQuarantine, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(line.split()) == 2
    assert message in capsys.readouterr().err
    assert len(names(aside)) == 3


# --- import ----------------------------------------------------------------------------------------


def stored(location: str) -> tuple[list[ExecutionMetrics], list[StepMetrics]]:
    with TimeSeriesStore(location) as opened:
        found = opened.query_range(datetime(2025, 3, 1, tzinfo=UTC), datetime(2025, 4, 1, tzinfo=UTC))
    executions = [row for row in found["execution"] if isinstance(row, ExecutionMetrics)]
    return executions, [row for row in found["step"] if isinstance(row, StepMetrics)]


def test_an_import_needs_no_settings_where_the_store_is_named(
    output_xml: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["import", "robot-output", str(output_xml), "--store", "into", "--timezone", "Asia/Tokyo"]
    assert cli.main([*command, "--environment", "test", "--step-depth", "1"]) == 0
    assert "took 1 executions and 1 steps" in capsys.readouterr().out
    [execution], [step] = stored("into")
    assert execution.started_at == datetime(2025, 3, 13, 1, tzinfo=UTC)
    assert (execution.environment, execution.exception_kind) == ("test", "application")
    assert step.step_id == "Mail.Open"
    assert cli.main([*command, "--environment", "test", "--step-depth", "1"]) == 0
    assert "took 0 executions and 0 steps; already stored 1 executions" in capsys.readouterr().out


def test_an_import_takes_store_kinds_and_depth_from_the_agents_settings(
    tmp_path: Path, output_xml: Path
) -> None:
    file = tmp_path / "agent.toml"
    file.write_text("store = 'own'\nenvironment = 'prod'\nstep_depth = 0\nbusiness_patterns = ['no .*']\n")
    assert cli.main(["import", "robot-output", "--config", str(file), str(output_xml)]) == 0
    [execution], steps = stored("own")
    assert (execution.environment, execution.exception_kind, steps) == ("prod", "business", [])
    assert cli.main(["import", "robot-output", "--config", str(file), "--store", "b", str(output_xml)]) == 0
    assert len(stored("b")[0]) == 1


def test_files_that_cannot_be_read_are_said_and_the_others_taken(
    tmp_path: Path, output_xml: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cut = tmp_path / "cut.xml"
    cut.write_text(OUTPUT[: OUTPUT.index("<kw")])
    other = tmp_path / "other.xml"
    other.write_text("hello")
    files = [str(path) for path in (cut, other, tmp_path / "nowhere.xml", output_xml)]
    assert cli.main(["import", "robot-output", "--store", "into", *files]) == 5
    said = capsys.readouterr().out
    for reason in (
        "cut.xml breaks off at line",
        "other.xml is neither XML nor JSON",
        "nowhere.xml does not exist",
    ):
        assert reason in said
    assert len(stored("into")[0]) == 1


# --- wrong input -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "code", "message"),
    [
        ("check", 2, "no store is named: set RPA_AGENT_STORE"),
        ("run", 2, "no store is named: set RPA_AGENT_STORE"),
        ("status --config unknown.toml", 2, "unknown setting 'stoer'; did you mean store?"),
        ("quarantine list --config nowhere.toml", 2, "nowhere.toml does not exist"),
        ("check --config nowhere.toml", 2, "nowhere.toml does not exist: make it, or name another"),
        ("check --config bad.toml", 2, "bad.toml is no valid TOML"),
        ("run --config unknown.toml", 2, "unknown setting 'stoer'; did you mean store?"),
        ("check --json --config value.toml", 2, "step_depth is '-1': give a whole number from 0 on"),
        ("import robot-output f.xml", 2, "no store is named"),
        ("import robot-output f.xml --store postgresql://me:geheim@db/rpa", 2, "a password does not belong"),
        ("import robot-output f.xml --store mysql://db/rpa", 3, "use postgresql:// or a folder"),
        ("import robot-output f.xml --store s --timezone Mars/Base", 2, "use an IANA name"),
        ("import robot-output f.xml --store s --step-depth deep", 2, "step_depth is 'deep'"),
        ("import robot-output f.xml --store bad.toml/s", 3, "bad.toml"),
        ("run --config mysql.toml", 3, "use postgresql:// or a folder"),
    ],
)
def test_wrong_input_gets_one_message_and_its_exit_code(
    line: str, code: int, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "bad.toml").write_text("store = \n")
    (tmp_path / "unknown.toml").write_text('stoer = "s"\n')
    (tmp_path / "value.toml").write_text('store = "s"\nstep_depth = -1\n')
    (tmp_path / "mysql.toml").write_text('store = "mysql://rpa@db/rpa"\n')
    assert cli.main(line.split()) == code
    said = capsys.readouterr()
    assert message in said.err
    assert "geheim" not in said.err
    assert said.err.count("\n") == 1
    assert said.out == ""
    assert not (tmp_path / "s").exists()


@pytest.mark.parametrize(
    "line", ["", "start", "import", "import robot-output", "check --yaml", "quarantine", "status now"]
)
def test_a_command_that_does_not_exist_shows_those_that_do(
    line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as raised:
        cli.main(line.split())
    assert raised.value.code == 2
    assert "usage: rpa-agent" in capsys.readouterr().err


def test_a_reader_that_went_away_is_no_error(store: str) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "collector_agent.cli", "check"],
        cwd=Path(__file__).parents[2],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stdout is not None
    process.stdout.close()
    _, error = process.communicate(timeout=60)
    assert (process.returncode, error) == (0, b"")


@pytest.mark.parametrize(
    ("raised", "code", "message"),
    [
        (KeyboardInterrupt(), 130, "what was finished is kept"),
        (ModuleNotFoundError("No module", name="sqlalchemy.orm"), 2, "this command needs sqlalchemy.orm"),
    ],
)
def test_what_stops_a_command_is_said_without_a_traceback(
    raised: BaseException,
    code: int,
    message: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def stop(*_: object, **__: object) -> None:
        raise raised

    monkeypatch.setattr("collector_agent.importers.robot_output.run_import", stop)
    assert cli.main(["import", "robot-output", "--store", "s", "f.xml"]) == code
    assert message in capsys.readouterr().err


def test_runs_of_other_robots_come_in_by_the_command_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    robot = Robot()
    log = tmp_path / "2024-03-01_Execution.log"
    log.write_text(f"{robot.start(guid(1))}\n{robot.end()}\n", encoding="utf-8")
    jobs = tmp_path / "jobs.json"
    job = {"Key": guid(2), "ReleaseName": "Payments", "State": "Successful"}
    times = {"StartTime": "2024-03-01T08:00:00Z", "EndTime": "2024-03-01T08:01:00Z"}
    jobs.write_text(json.dumps({"value": [job | times]}), encoding="utf-8")
    table, mapping = tmp_path / "runs.csv", tmp_path / "mapping.toml"
    table.write_text(
        "Process,Result,Start,End\nTravel,OK,2024-03-01T08:00,2024-03-01T08:02\n", encoding="utf-8"
    )
    mapping.write_text(
        '[fields]\nworkflow_id="Process"\nstatus="Result"\nstarted_at="Start"\nended_at="End"\n'
        '[status]\ncompleted=["OK"]\n',
        encoding="utf-8",
    )
    store = str(tmp_path / "store")
    place = ["--store", store, "--timezone", "Europe/Berlin"]
    for _ in range(2):
        assert cli.main(["import", "uipath-log", str(log), *place]) == 0
        assert cli.main(["import", "orchestrator", str(jobs), *place]) == 0
        assert cli.main(["import", "mapped", str(table), "--mapping", str(mapping), *place]) == 0
    assert "1 execution" in capsys.readouterr().out
    connection = sqlite3.connect(Path(store) / "rpa.sqlite")
    rows = connection.execute("SELECT workflow_id, duration_ms FROM execution_metrics ORDER BY 1").fetchall()
    connection.close()
    assert [name for name, _ in rows] == ["Invoices", "Payments", "Travel"]
    assert [duration for name, duration in rows if name != "Invoices"] == [60_000.0, 120_000.0]
