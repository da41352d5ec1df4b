"""The agent's settings file: written when there is none, never changed when there is one."""

import json
import os
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from .errors import ArgumentsError

# The same as the agent's own: collector_agent.settings.has_password.
_PASSWORD: Final = re.compile(r"://[^/@\s]*:[^/\s]*@|[?&]\w*(password|passwd|pwd)=")


def has_password(location: str) -> bool:
    """Whether the location is a URL with a password in it."""
    return _PASSWORD.search(location) is not None


def filled_in(template: str, values: Mapping[str, str]) -> str:
    """The template with these settings in place of their commented lines; empty ones stay comments."""
    for name, value in values.items():
        if not value:
            continue
        if not value.isprintable():
            raise ArgumentsError(f"{name} is not printable text")
        line = f"{name} = {json.dumps(value, ensure_ascii=False)}"  # what JSON escapes, TOML reads alike
        template, count = re.subn(rf"(?m)^#? ?{name} = .*$", lambda _: line, template, count=1)  # noqa: B023  # called at once
        if not count:
            raise ArgumentsError(f"agent.toml has no line for {name}")
    return template


def read_given(file: Path) -> str:
    """The text of a settings file that somebody prepared. Raises ArgumentsError unless it is TOML."""
    try:
        text = file.read_bytes().decode("utf-8-sig")
        tomllib.loads(text)
    except OSError as error:
        raise ArgumentsError(f"the settings file {file} cannot be read: {error.strerror}") from None
    except ValueError as error:
        raise ArgumentsError(f"the settings file {file} is not valid: {error}") from None
    return text


def settings_in(file: Path) -> dict[str, Any]:
    """What is set in the installed file; nothing where it cannot be read: the agent's check will say why."""
    try:
        return tomllib.loads(file.read_bytes().decode("utf-8-sig"))
    except (OSError, ValueError):
        return {}


def write_new(file: Path, text: str) -> None:
    """The settings, readable for nobody else from the first moment on; the caller may widen that."""
    file.parent.mkdir(parents=True, exist_ok=True)
    new = file.with_name(f"{file.name}.new")
    new.unlink(missing_ok=True)
    handle = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "w", encoding="utf-8", newline="\n") as content:
        content.write(text)
        content.flush()
        os.fsync(content.fileno())
    os.replace(new, file)
