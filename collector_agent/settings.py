"""What the agent needs to know: from arguments, the environment and one TOML file; standard library only."""

import difflib
import logging
import math
import os
import re
import socket
import stat
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import MISSING, dataclass, field, fields
from pathlib import Path
from typing import Any, Final

from analytics_lib.errors import SettingsError
from analytics_lib.records import ID_BYTES
from collector_agent.locations import (
    CONFIG_VARIABLE,
    STATE_VARIABLE,
    default_settings_file,
    expanded,
    state_folder,
)
from collector_agent.problems import clear_problem, report_problem

__all__ = ["SETTINGS", "AgentSettings", "Setting", "default_settings_file", "load_settings", "state_folder"]

VARIABLE_PREFIX: Final = "RPA_AGENT_"
_YES: Final = ("true", "yes", "on", "1")
_NO: Final = ("false", "no", "off", "0")
_log = logging.getLogger("rpa_agent")


@dataclass(frozen=True, slots=True)
class AgentSettings:
    """Everything that can be set, valid. The store may hold a password, so it is not shown."""

    store: str = field(repr=False)
    environment: str = ""
    robot_id: str = ""
    host: str = field(default_factory=socket.gethostname)
    queue: str = ""
    workflow_version: str = ""
    buffer_size: int = 1000
    flush_interval_sec: float = 5.0
    heartbeat_interval_sec: float = 30.0
    sample_resources: bool = True
    sample_interval_sec: float = 10.0
    idle_interval_sec: float = 60.0
    step_depth: int = 20
    business_tags: tuple[str, ...] = ("business-exception",)
    business_exceptions: tuple[str, ...] = ("BusinessException",)
    business_patterns: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Setting:
    """One line of the documentation, and how a value of it is checked."""

    name: str
    type: str
    description: str
    check: Callable[[object], Any] = field(repr=False)
    has_variable: bool = True

    @property
    def variable(self) -> str:
        """The environment variable; '' where there is none."""
        return VARIABLE_PREFIX + self.name.upper() if self.has_variable else ""

    @property
    def default(self) -> str:
        """As one would write it in the file; '' where there is none."""
        if self.name == "host":
            return "the machine's name"
        default = next(f.default for f in fields(AgentSettings) if f.name == self.name)
        if default is MISSING or default == "":
            return ""
        if isinstance(default, tuple):
            return "[" + ", ".join(f'"{item}"' for item in default) + "]"
        return str(default).lower() if isinstance(default, bool) else f"{default:g}"


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise ValueError("write text in quotes")
    if not value.isprintable() or len(value.encode(errors="replace")) > ID_BYTES:
        raise ValueError(f"use printable text of at most {ID_BYTES} bytes")
    return value.strip()  # `set NAME=value & …` leaves a blank behind on Windows


def _location(value: object) -> str:
    if not isinstance(value, str) or not value.isprintable():
        raise ValueError("write a folder or a database URL in quotes")
    return value.strip()


def _whole_number(at_least: int) -> Callable[[object], int]:
    def check(value: object) -> int:
        if isinstance(value, str) and re.fullmatch(r"\s*[+-]?\d{1,18}\s*", value):
            value = int(value)
        if isinstance(value, bool) or not isinstance(value, int) or value < at_least:
            raise ValueError(f"give a whole number from {at_least} on")
        return value

    return check


def _seconds(value: object) -> float:
    if isinstance(value, str):
        try:
            value = float(value)
        except ValueError:
            value = None
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise ValueError("give a number of seconds")
    if not math.isfinite(value) or not 0 < value <= 86_400:
        raise ValueError("give a number of seconds above 0 and up to a day")
    return float(value)


def _yes_or_no(value: object) -> bool:
    word = value.strip().lower() if isinstance(value, str) else value
    if word in (*_YES, True):
        return True
    if word in (*_NO, False):
        return False
    raise ValueError("give true or false")


def _list_of_text(value: object) -> tuple[str, ...]:
    items = value.split(",") if isinstance(value, str) else value
    if not isinstance(items, (list, tuple)) or not all(isinstance(item, str) for item in items):
        raise ValueError('give a list of texts, such as ["one", "two"]')
    return tuple(item.strip() for item in items if item.strip())


def _patterns(value: object) -> tuple[str, ...]:
    items = [value] if isinstance(value, str) else value  # not split: a comma may belong to the expression
    if not isinstance(items, (list, tuple)) or not all(isinstance(item, str) for item in items):
        raise ValueError("give a list of regular expressions")
    for item in items:
        try:
            re.compile(item)
        except re.error as error:
            raise ValueError(f"{item!r} is no regular expression ({error})") from None
    return tuple(items)


SETTINGS: Final[tuple[Setting, ...]] = (
    Setting(
        "store",
        "text",
        "where rows go: a folder (SQLite inside; in the file, relative to the file) or "
        "`postgresql://user@host/database`; the only setting that must be there",
        _location,
    ),
    Setting("environment", "text", "production, test …; carried by every row", _text),
    Setting("robot_id", "text", "the name of the robot; carried by every row", _text),
    Setting("host", "text", "the name of the machine; carried by every row", _text),
    Setting("queue", "text", "the queue that the work comes from; carried by every row", _text),
    Setting("workflow_version", "text", "the release of the workflows; carried by every row", _text),
    Setting("buffer_size", "whole number", "rows that are written together at the latest", _whole_number(1)),
    Setting("flush_interval_sec", "number", "seconds between two writes", _seconds),
    Setting("heartbeat_interval_sec", "number", "seconds between two signs of life", _seconds),
    Setting("sample_resources", "true or false", "sample CPU, memory, disk, network and GPUs", _yes_or_no),
    Setting(
        "sample_interval_sec",
        "number",
        "seconds between two samples while an execution runs (the daemon: always)",
        _seconds,
    ),
    Setting("idle_interval_sec", "number", "seconds between two samples while no execution runs", _seconds),
    Setting(
        "step_depth",
        "whole number",
        "Robot Framework: how many levels of nested keywords become steps; 0 for none",
        _whole_number(0),
    ),
    Setting(
        "business_tags",
        "list of texts",
        "Robot Framework: a task with one of these tags fails for business reasons (variable: with commas)",
        _list_of_text,
    ),
    Setting(
        "business_exceptions",
        "list of texts",
        "Robot Framework: names of exceptions at the beginning of a message that mean the same "
        "(variable: with commas)",
        _list_of_text,
    ),
    Setting(
        "business_patterns",
        "list of texts",
        "Robot Framework: regular expressions on the message that mean the same",
        _patterns,
        has_variable=False,
    ),
)
_BY_NAME: Final = {setting.name: setting for setting in SETTINGS}
_BY_VARIABLE: Final = {setting.variable: setting for setting in SETTINGS if setting.variable}


def load_settings(path: Path | None = None, **overrides: str) -> AgentSettings:
    """The settings: overrides, else the environment, else the TOML file, else the defaults.

    The file is `path`, else what RPA_AGENT_CONFIG names, else `default_settings_file()`, which need
    not exist. An empty override or variable counts as not given. Raises SettingsError: an unknown key,
    a value that does not fit, a file that cannot be read, no store named.
    """
    file = settings_file(path)
    values = {} if file is None else _read_file(file)
    for name in unknown_variables():
        _log.warning("the environment variable %s", name)
    for variable, setting in _BY_VARIABLE.items():
        if os.environ.get(variable):
            values[setting.name] = _checked(setting, os.environ[variable], f"the variable {variable}")
    for name, value in overrides.items():
        if value != "":
            values[name] = _checked(_known(name, "the arguments"), value, "the arguments")
    if not values.get("store"):
        raise SettingsError(
            f"no store is named: set {VARIABLE_PREFIX}STORE to a folder or a database URL, or write "
            f'store = "…" into {file or default_settings_file()}'
        )
    return AgentSettings(**(values | {"store": _absolute(values["store"], Path.cwd)}))


def settings_file(path: Path | None = None) -> Path | None:
    """The file that `load_settings` reads; None where only the default one would be, and is not there.

    Raises SettingsError where a file was named and does not exist.
    """
    named = path or (Path(os.environ[CONFIG_VARIABLE]) if os.environ.get(CONFIG_VARIABLE) else None)
    if named is None:
        default = default_settings_file()
        return default if default.is_file() else None
    found = expanded(named).absolute()
    if not found.is_file():
        origin = "" if path else f" (named by {CONFIG_VARIABLE})"
        raise SettingsError(f"the settings file {found}{origin} does not exist: make it, or name another")
    return found


def has_password(location: str) -> bool:
    """Whether the location is a URL with a password in it.

    >>> has_password("postgresql://rpa:geheim@db/rpa"), has_password("postgresql://rpa@db/rpa")
    (True, False)
    """
    return re.search(r"://[^/@\s]*:[^/\s]*@|[?&]\w*(password|passwd|pwd)=", location) is not None


def unknown_variables() -> list[str]:
    """Variables that look like ours and mean nothing, each with the nearest that does."""
    valid = [*_BY_VARIABLE, CONFIG_VARIABLE, STATE_VARIABLE]
    names = sorted(name for name in os.environ if name.startswith(VARIABLE_PREFIX) and name not in valid)
    return [f"{name} means nothing{_nearest(name, valid)}" for name in names]


def _read_file(file: Path) -> dict[str, Any]:
    try:
        text = file.read_bytes().decode("utf-8-sig")  # Windows editors put a mark in front
    except OSError as error:
        raise SettingsError(f"the settings file {file} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise SettingsError(f"the settings file {file} is not UTF-8: save it as UTF-8") from None
    try:
        found: Mapping[str, object] = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        hint = " (write Windows paths in single quotes: store = 'C:\\rpa')" if "\\" in text else ""
        raise SettingsError(f"the settings file {file} is no valid TOML: {error}{hint}") from None
    where = f"the settings file {file}"
    values = {name: _checked(_known(name, where), value, where) for name, value in found.items()}
    if values.get("store"):
        _warn_if_exposed(file, str(values["store"]))
        values["store"] = _absolute(values["store"], lambda: file.parent)
    return values


def _known(name: str, where: str) -> Setting:
    if name not in _BY_NAME:
        raise SettingsError(f"{where}: unknown setting {name!r}{_nearest(name, list(_BY_NAME))}")
    return _BY_NAME[name]


def _nearest(name: str, valid: list[str]) -> str:
    close = difflib.get_close_matches(name, valid, n=1)
    return f"; did you mean {close[0]}?" if close else f"; known are {', '.join(valid)}"


def _checked(setting: Setting, value: object, where: str) -> Any:
    try:
        return setting.check(value)
    except ValueError as error:
        shown = "" if setting.name == "store" else f" is {str(value)[:60]!r}"
        raise SettingsError(f"{where}: {setting.name}{shown}: {error}") from None


def _absolute(store: str, base: Callable[[], Path]) -> str:
    if "://" in store:
        return store
    folder = expanded(Path(store))
    return str(folder if folder.is_absolute() else base() / folder)


def is_exposed(file: Path, store: str) -> bool:
    """Whether others on this machine can read a password in the file (not known on Windows)."""
    if os.name != "posix" or not has_password(store):
        return False
    return bool(file.stat().st_mode & (stat.S_IRGRP | stat.S_IROTH))


def _warn_if_exposed(file: Path, store: str) -> None:
    if is_exposed(file, store):
        text = f"{file} holds a password and others may read it: chmod 600 {file}"
        _log.warning("%s", text)
        report_problem("settings-file", text)
    else:
        clear_problem("settings-file")
