"""Which of the installed versions is the agent: the command, the service and the record that say so."""

import json
import os
import shlex
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .places import STATE_VARIABLE, Places
from .service import Service
from .venvs import Venv


@dataclass(frozen=True, slots=True)
class Installed:
    """What the last installation here recorded."""

    said: Mapping[str, Any]

    @property
    def venv(self) -> Venv:
        return Venv(Path(self.said["venv"]))

    @property
    def version(self) -> str:
        return str(self.said["version"])

    @property
    def bundle(self) -> str:
        return str(self.said["bundle"])

    @property
    def made(self) -> list[str]:
        return list(self.said.get("made", ()))


def installed_in(places: Places) -> Installed | None:
    """What is installed there; None where nothing is, or not by this installer."""
    try:
        said = json.loads(places.record.read_bytes())
        found = Installed(said)
        return found if found.venv.python.exists() and found.version and found.bundle else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


class Switch:
    """Makes a version the agent, and takes that back where it does not run.

    The files that say which version it is are few and small; each is replaced as a whole, and what it held
    before is kept until the new version runs.
    """

    def __init__(self, places: Places, service: Service | None) -> None:
        self._places = places
        self._service = service
        self._before: dict[Path, bytes | None] = {}
        self.has_changed = False

    def to(self, venv: Venv, said: Mapping[str, Any], writable: Sequence[Path]) -> None:
        """Command, service and record name that version from now on."""
        self._write(self._places.command, command_file(venv, self._places), 0o755)
        if self._places.on_path is not None and _may_replace(self._places.on_path):
            self._write(self._places.on_path, command_file(venv, self._places), 0o755)
        if self._service is not None:
            self._write(self._service.definition, self._service.written(venv, writable), 0o644)
            self._service.register()
        self._write(self._places.record, (json.dumps(said, indent=1) + "\n").encode(), 0o644)

    def back(self) -> None:
        """What was there before is there again; what was not is gone. The caller starts the service."""
        for path, content in self._before.items():
            if content is None:
                path.unlink(missing_ok=True)
            else:
                _replace(path, content, path.stat().st_mode & 0o777 if path.exists() else 0o755)
        self._before.clear()
        if self._service is not None and self._service.definition.exists():
            self._service.register()

    def _write(self, path: Path, content: bytes, mode: int) -> None:
        if path not in self._before:
            self._before[path] = path.read_bytes() if path.is_file() else None
        self.has_changed |= self._before[path] != content
        _replace(path, content, mode)


def command_file(venv: Venv, places: Places) -> bytes:
    """A command that starts that version and looks where its service keeps its state."""
    if sys.platform == "win32":
        words = " ".join(f'"{word}"' for word in venv.command)
        state = f'if not defined {STATE_VARIABLE} set "{STATE_VARIABLE}={places.state}"'
        # In one line with its end: `uninstall` removes this very file.
        return f"@rem rpa-agent: made by its installer\r\n@{state}\r\n@{words} %* & exit /b\r\n".encode()
    return (
        "#!/bin/sh\n# rpa-agent: made by its installer\n"
        f': "${{{STATE_VARIABLE}:={places.state}}}"\nexport {STATE_VARIABLE}\n'
        f'exec {shlex.join(venv.command)} "$@"\n'
    ).encode()


def _may_replace(path: Path) -> bool:
    """Whether the file is not there, or our own."""
    try:
        return b"made by its installer" in path.read_bytes()
    except FileNotFoundError:
        return not path.is_symlink()
    except OSError:
        return False


def _replace(path: Path, content: bytes, mode: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    new = path.with_name(f"{path.name}.new")
    new.write_bytes(content)
    new.chmod(mode)
    os.replace(new, path)
