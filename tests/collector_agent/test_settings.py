import logging
import re
import sys
import tomllib
from dataclasses import fields
from pathlib import Path

import pytest

from analytics_lib.errors import SettingsError
from collector_agent.machine.problems import read_problems
from collector_agent.settings import (
    SETTINGS,
    AgentSettings,
    has_password,
    load_settings,
    settings_file,
    state_folder,
    unknown_variables,
)
from collector_agent.spool.writer import SpoolLimits

# of settings that take certain words
VALUES = {
    "recording_mode": "durable",
    "spool_when_full": "refuse_new",
    "national_ids": "us_ssn, ch_ahv",
}


@pytest.fixture(autouse=True)
def _no_file_of_this_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))


def written(folder: Path, text: str | bytes, name: str = "agent.toml") -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def test_arguments_come_before_variables_before_the_file_before_defaults(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = written(tmp_path, 'store = "s"\nenvironment = "file"\nrobot_id = "file"\nqueue = "file"\n')
    monkeypatch.setenv("RPA_AGENT_ENVIRONMENT", "variable")
    monkeypatch.setenv("RPA_AGENT_ROBOT_ID", "variable")
    settings = load_settings(file, environment="argument")
    assert (settings.environment, settings.robot_id, settings.queue) == ("argument", "variable", "file")
    assert settings.flush_interval_sec == 5.0


def test_an_empty_variable_or_argument_counts_as_not_given(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = written(tmp_path, 'store = "s"\nenvironment = "file"\n')
    monkeypatch.setenv("RPA_AGENT_ENVIRONMENT", "")
    assert load_settings(file, environment="").environment == "file"


def test_every_setting_can_be_set_by_its_variable_and_has_the_default_that_is_documented(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert {setting.name for setting in SETTINGS} == {f.name for f in fields(AgentSettings)}
    plain = AgentSettings(store="/s")
    for setting in SETTINGS:
        assert setting.description
        if setting.name in ("store", "host"):
            continue
        if setting.default:
            assert setting.check(tomllib.loads(f"x = {setting.default}")["x"]) == getattr(plain, setting.name)
        else:
            assert getattr(plain, setting.name) == ""
        if not setting.variable:
            continue
        value = VALUES.get(setting.name) or {
            "text": "x",
            "folder": "/spool",
            "file": "/spool",
            "whole number": "7000000",
            "number": "7.5",
            "true or false": "off",
        }.get(setting.type, "a, b")
        monkeypatch.setenv(setting.variable, value)
        found = getattr(load_settings(store="/s"), setting.name)
        assert found in (
            "x",
            "/spool",
            "durable",
            "refuse_new",
            7_000_000,
            7.5,
            False,
            ("a", "b"),
            ("us_ssn", "ch_ahv"),
        )
        assert found != getattr(plain, setting.name)


@pytest.mark.parametrize(
    ("text", "is_durable"),
    [
        ("", False),
        ("spool_folder = '/spool'", True),
        ("spool_folder = '/spool'\nrecording_mode = 'memory'", False),
        ("recording_mode = 'durable'", True),
        ("recording_mode = ' Durable '", True),
    ],
)
def test_a_spool_folder_makes_recording_durable_unless_it_is_said_otherwise(
    text: str, is_durable: bool, tmp_path: Path
) -> None:
    settings = load_settings(written(tmp_path, f"store = 's'\n{text}\n"))
    assert settings.is_durable is is_durable


def test_the_spool_lies_where_it_is_said_else_in_the_state_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert load_settings(store="s").spool == state_folder() / "spool"
    file = written(tmp_path / "etc", "store = 's'\nspool_folder = 'rows'\n")
    assert load_settings(file).spool == tmp_path / "etc" / "rows"
    assert load_settings(file, spool_folder="rows").spool == tmp_path / "rows"


def test_the_limits_of_the_spool_are_those_that_are_set(tmp_path: Path) -> None:
    text = "store = 's'\nspool_max_bytes = 8_000_000\nspool_when_full = 'refuse_new'\n"
    limits = load_settings(written(tmp_path, text)).spool_limits
    assert (limits.max_bytes, limits.when_full) == (8_000_000, "refuse_new")
    assert AgentSettings(store="s").spool_limits == SpoolLimits()


@pytest.mark.parametrize("value", ["r7 ", " r7", "r7"])
def test_blanks_around_a_value_do_not_count(value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """`set RPA_AGENT_ROBOT_ID=r7 & robot …` leaves one behind, and would keep the run from being recorded."""
    monkeypatch.setenv("RPA_AGENT_ROBOT_ID", value)
    settings = load_settings(store=" /s ")
    assert (settings.robot_id, settings.store) == ("r7", "/s")


def test_a_store_in_the_file_is_relative_to_the_file_and_elsewhere_to_the_working_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    file = written(tmp_path / "etc", 'store = "data"\n')
    assert load_settings(file).store == str(tmp_path / "etc" / "data")
    assert load_settings(file, store="data").store == str(tmp_path / "data")
    assert load_settings(store="postgresql://db/rpa").store == "postgresql://db/rpa"


@pytest.mark.parametrize("name", ["~/data", "~nobody-has-this-name/data"])
def test_a_home_folder_may_be_there_or_not(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    place = tmp_path / "home" / "data" if name.startswith("~/") else tmp_path / name
    assert load_settings(store=name).store == str(place)
    with pytest.raises(SettingsError, match=re.escape(f"{place} does not exist")):
        load_settings(Path(name))


def test_the_default_file_need_not_be_there_and_a_named_one_must(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert settings_file() is None
    file = written(tmp_path / "config" / "rpa-agent", 'store = "s"\n')
    assert settings_file() == file
    monkeypatch.setenv("RPA_AGENT_CONFIG", str(tmp_path / "nowhere.toml"))
    with pytest.raises(SettingsError, match=r"nowhere.toml \(named by RPA_AGENT_CONFIG\) does not exist"):
        load_settings()
    assert load_settings(file).store.endswith("s")


def test_a_file_of_a_windows_editor_is_read(tmp_path: Path) -> None:
    file = written(tmp_path, b"\xef\xbb\xbfstore = 'C:\\rpa'\r\nrobot_id = \"r\xc3\xa4\"\r\n")
    assert load_settings(file).robot_id == "rä"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("store = ", "is no valid TOML"),
        ('store = "C:\\rpa\\data"', "write Windows paths in single quotes"),
        (b"store = '\xff\xfe'", "is not UTF-8: save it as UTF-8"),
        ('stoer = "s"', "unknown setting 'stoer'; did you mean store?"),
        ('[agent]\nstore = "s"', "unknown setting 'agent'; known are store, environment"),
        ("store = 5", "store: write a folder or a database URL in quotes"),
        ("environment = 5", "environment is '5': write text in quotes"),
        ('environment = "a\\nb"', "use printable text of at most 200 bytes"),
        (f'queue = "{"ä" * 101}"', "use printable text of at most 200 bytes"),
        ("buffer_size = 0", "give a whole number from 1 on"),
        ("buffer_size = 1.5", "give a whole number from 1 on"),
        ("buffer_size = true", "give a whole number from 1 on"),
        ('step_depth = "deep"', "give a whole number from 0 on"),
        ("flush_interval_sec = 0", "above 0 and up to a day"),
        ("flush_interval_sec = nan", "above 0 and up to a day"),
        ("flush_interval_sec = 86401", "above 0 and up to a day"),
        ('sample_interval_sec = "soon"', "give a number of seconds"),
        ('sample_resources = "maybe"', "give true or false"),
        ("business_tags = [1]", "give a list of texts"),
        ('business_patterns = ["(unclosed"]', "is no regular expression"),
        ('spool_max_bytes = "500 MB"', "a whole number of bytes from 1000000 on; 500 MB is 500000000"),
        ('spool_max_bytes = "1.5GiB"', "1.5GiB is 1610612736"),
        ('spool_max_bytes = "much"', "is 'much': give a whole number of bytes from 1000000 on"),
        ("spool_max_bytes = 500", "a whole number of bytes from 1000000 on"),
        ('spool_when_full = "drop_newest"', "give one of drop_oldest, refuse_new"),
        ("spool_folder = 5", "write a folder in quotes"),
        ('spool_folder = "postgresql://db/rpa"', "write a folder of this machine, not a URL"),
        ('recording_mode = "safe"', "recording_mode is 'safe': give one of memory, durable"),
        ('hidden_patterns = ["a+b"]', "has a repetition without an upper bound: write {1,64} instead of +"),
        ('hidden_patterns = ["(unclosed"]', "is no regular expression"),
        ('national_ids = ["us_sss"]', "'us_sss' is not known here: give any of us_ssn"),
        ("max_steps = 0", "give a whole number from 1 on"),
        ("max_step = 5", "unknown setting 'max_step'; did you mean max_steps?"),
        ("", "no store is named"),
        ('store = ""', "no store is named"),
    ],
)
def test_a_bad_file_is_one_clear_error_that_names_it(tmp_path: Path, text: str | bytes, reason: str) -> None:
    file = written(tmp_path, text)
    with pytest.raises(SettingsError) as raised:
        load_settings(file)
    assert reason in str(raised.value)
    assert str(file) in str(raised.value)
    assert "\n" not in str(raised.value)


def test_a_bad_variable_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RPA_AGENT_SAMPLE_RESOURCES", "perhaps")
    with pytest.raises(SettingsError, match=r"the variable RPA_AGENT_SAMPLE_RESOURCES.*give true or false"):
        load_settings(store="s")


def test_neither_an_error_nor_the_settings_show_a_password(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RPA_AGENT_STORE", "postgresql://rpa:geheim\x07@db/rpa")
    with pytest.raises(SettingsError) as raised:
        load_settings()
    assert "geheim" not in str(raised.value)
    monkeypatch.delenv("RPA_AGENT_STORE")
    assert "geheim" not in repr(load_settings(store="postgresql://rpa:geheim@db/rpa"))


@pytest.mark.parametrize(
    ("location", "has_one"),
    [
        ("postgresql://rpa:geheim@db/rpa", True),
        ("postgresql://rpa:ge@heim@db/rpa", True),
        ("postgresql://db/rpa?user=a&password=geheim", True),
        ("postgresql://a@db/rpa?sslpassword=geheim", True),
        ("postgresql://a@db/rpa?passfile=/home/a/.pgpass", False),
        ("postgresql://rpa@db:5432/rpa", False),
        ("postgresql://db:5432/rpa", False),
        ("/var/lib/rpa", False),
        (r"C:\data:x@y", False),
    ],
)
def test_a_password_in_a_location_is_seen(location: str, has_one: bool) -> None:
    assert has_password(location) is has_one


def test_variables_that_mean_nothing_are_said_and_do_not_stop_anything(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("RPA_AGENT_STATE", "/state")
    assert unknown_variables() == []
    monkeypatch.setenv("RPA_AGENT_QEUE", "q")
    with caplog.at_level(logging.WARNING, "rpa_agent"):
        load_settings(store="s")
    assert caplog.messages == [
        "the environment variable RPA_AGENT_QEUE means nothing; did you mean RPA_AGENT_QUEUE?"
    ]


@pytest.mark.skipif(sys.platform == "win32", reason="files have no such mode there")
def test_a_password_that_others_may_read_is_reported_until_they_may_not(tmp_path: Path) -> None:
    file = written(tmp_path, 'store = "postgresql://rpa:geheim@db/rpa"\n')
    file.chmod(0o640)
    load_settings(file)
    assert [problem.component for problem in read_problems()] == ["settings-file"]
    file.chmod(0o600)
    load_settings(file)
    assert read_problems() == []
    without = written(tmp_path, 'store = "postgresql://rpa@db/rpa"\n')
    without.chmod(0o644)
    load_settings(without)
    assert read_problems() == []


def unreadable(monkeypatch: pytest.MonkeyPatch, file: Path) -> None:
    """As for a user who may not read it: root may read everything."""
    read_bytes = Path.read_bytes

    def read(path: Path) -> bytes:
        if path == file:
            raise PermissionError(13, "Permission denied", str(path))
        return read_bytes(path)

    monkeypatch.setattr(Path, "read_bytes", read)


def test_a_default_file_that_cannot_be_read_is_reported_where_the_variables_say_enough(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = written(tmp_path / "config" / "rpa-agent", 'store = "elsewhere"\n')
    with monkeypatch.context() as patch:
        unreadable(patch, file)
        with pytest.raises(SettingsError, match="cannot be read: Permission denied"):
            load_settings()
        patch.setenv("RPA_AGENT_STORE", "/s")
        patch.setenv("RPA_AGENT_ROBOT_ID", "r7")
        assert (load_settings().store, load_settings().robot_id) == ("/s", "r7")
        (problem,) = read_problems()
        assert problem.component == "default-settings-file"
        assert f"{file} cannot be read: Permission denied" in problem.text
        with pytest.raises(SettingsError, match="cannot be read"):
            load_settings(file)
        patch.setenv("RPA_AGENT_CONFIG", str(file))
        with pytest.raises(SettingsError, match="cannot be read"):
            load_settings()
    assert load_settings().store.endswith("elsewhere")
    assert read_problems() == []


def test_a_default_file_in_a_folder_that_may_not_be_looked_into_is_such_a_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = written(tmp_path / "config" / "rpa-agent", 'store = "elsewhere"\n')
    unreadable(monkeypatch, file)

    def is_file(path: Path) -> bool:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, "is_file", is_file)
    monkeypatch.setattr("collector_agent.settings.default_settings_file", lambda: file)
    assert load_settings(store="/s").store == "/s"
    assert [problem.component for problem in read_problems()] == ["default-settings-file"]
