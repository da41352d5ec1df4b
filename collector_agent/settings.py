"""The agent's settings, from arguments, the environment and one TOML file; standard library only."""

import difflib
import logging
import os
import re
import stat
import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

from analytics_lib.errors import SettingsError
from collector_agent.machine.locations import (
    CONFIG_VARIABLE,
    KEY_VARIABLE,
    STATE_VARIABLE,
    default_settings_file,
    expanded,
    state_folder,
)
from collector_agent.machine.problems import clear_problem, report_problem
from collector_agent.setting_table import SETTINGS, VARIABLE_PREFIX, AgentSettings, Setting

__all__ = [
    "SETTINGS",
    "VARIABLE_PREFIX",
    "AgentSettings",
    "Setting",
    "default_settings_file",
    "load_settings",
    "load_settings_of_this_machine",
    "state_folder",
]

_BY_NAME: Final = {setting.name: setting for setting in SETTINGS}
_BY_VARIABLE: Final = {setting.variable: setting for setting in SETTINGS if setting.variable}
# They may be relative to the file that names them.
_PLACES: Final = ("store", "spool_folder", "pseudonym_key_file")
_UNREAD: Final = "default-settings-file"
_log = logging.getLogger("rpa_agent")


class _UnreadError(SettingsError):
    """The file is there, and the operating system does not give its content."""


def load_settings(path: Path | None = None, **overrides: str) -> AgentSettings:
    """The settings: overrides, else the environment, else the TOML file, else the defaults.

    The file is `path`, else what RPA_AGENT_CONFIG names, else `default_settings_file()`, which need
    not exist. An empty override or variable counts as not given. Raises SettingsError: an unknown key,
    a value that does not fit, a file that cannot be read, no store named. The default file, which others
    may have made, does without being read where a variable or an override names the store: then it is
    reported as a problem.
    """
    file, values = _gathered(path, overrides)
    if not values.get("store"):
        raise SettingsError(
            f"no store is named: set {VARIABLE_PREFIX}STORE to a folder or a database URL, or write "
            f'store = "…" into {file or default_settings_file()}'
        )
    return AgentSettings(**values)


def load_settings_of_this_machine(path: Path | None = None) -> AgentSettings:
    """The same for who needs no store; it is '' where none is named, or only the service knows it."""
    _, values = _gathered(path, {})
    return AgentSettings(**{"store": "", **values})


def _gathered(path: Path | None, overrides: Mapping[str, str]) -> tuple[Path | None, dict[str, Any]]:
    """(the file that was read, what is set)."""
    file = settings_file(path)
    values, unread = {}, None
    try:
        values = {} if file is None else _read_file(file)
    except _UnreadError as error:
        if _named(path) is not None:
            raise
        unread = error
    for name in unknown_variables():
        _log.warning("the environment variable %s", name)
    for variable, setting in _BY_VARIABLE.items():
        if os.environ.get(variable):
            values[setting.name] = _checked(setting, os.environ[variable], f"the variable {variable}")
    for name, value in overrides.items():
        if value != "":
            values[name] = _checked(_known(name, "the arguments"), value, "the arguments")
    for name in _PLACES:
        if values.get(name):
            values[name] = _absolute(values[name], Path.cwd)
    if unread is not None:
        if not values.get("store"):
            raise unread
        text = f"{unread}: only the environment's settings count"
        _log.warning("%s", text)
        report_problem(_UNREAD, text)
    elif file is not None:
        clear_problem(_UNREAD)
    return file, values


def settings_file(path: Path | None = None) -> Path | None:
    """The file that `load_settings` reads; None where only the default one would be, and is not there.

    Raises SettingsError where a file was named and does not exist.
    """
    named = _named(path)
    if named is None:
        default = default_settings_file()
        try:
            return default if default.is_file() else None
        except OSError:
            return default  # in a folder that may not be looked into: who reads it will hear so
    found = expanded(named).absolute()
    if not found.is_file():
        origin = "" if path else f" (named by {CONFIG_VARIABLE})"
        raise SettingsError(f"the settings file {found}{origin} does not exist: make it, or name another")
    return found


def _named(path: Path | None) -> Path | None:
    return path or (Path(os.environ[CONFIG_VARIABLE]) if os.environ.get(CONFIG_VARIABLE) else None)


def has_password(location: str) -> bool:
    """Whether the location is a URL with a password in it.

    >>> has_password("postgresql://rpa:geheim@db/rpa"), has_password("postgresql://rpa@db/rpa")
    (True, False)
    """
    return re.search(r"://[^/@\s]*:[^/\s]*@|[?&]\w*(password|passwd|pwd)=", location) is not None


def unknown_variables() -> list[str]:
    """Variables that look like ours and mean nothing, each with the nearest that does."""
    valid = [*_BY_VARIABLE, CONFIG_VARIABLE, STATE_VARIABLE, KEY_VARIABLE]
    names = sorted(name for name in os.environ if name.startswith(VARIABLE_PREFIX) and name not in valid)
    return [f"{name} means nothing{_nearest(name, valid)}" for name in names]


def _read_file(file: Path) -> dict[str, Any]:
    try:
        text = file.read_bytes().decode("utf-8-sig")  # Windows editors put a mark in front
    except OSError as error:
        raise _UnreadError(f"the settings file {file} cannot be read: {error.strerror}") from None
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
    for name in _PLACES:
        if values.get(name):
            values[name] = _absolute(values[name], lambda: file.parent)
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


def _absolute(place: str, base: Callable[[], Path]) -> str:
    if "://" in place:
        return place
    path = expanded(Path(place))
    return str(path if path.is_absolute() else base() / path)


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
