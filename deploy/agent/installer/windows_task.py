"""The agent as a task of Windows' Task Scheduler: starts with the machine, again whenever it ended."""

import os
import xml.etree.ElementTree as ET
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from .errors import ServiceError
from .places import STATE_VARIABLE, Places
from .programs import call, last_lines
from .venvs import Venv

TASK: Final = "RPA Agent"
_NAMESPACE: Final = "http://schemas.microsoft.com/windows/2004/02/mit/task"


class WindowsTask:
    """The task of the bundle, with the places of this installation."""

    def __init__(self, places: Places, bundle: Path) -> None:
        self._places = places
        self._template = bundle / ("rpa-agent-task.xml" if places.for_all else "rpa-agent-task-user.xml")
        self.definition = places.service_file
        account = os.environ.get("USERNAME", "")
        self._name = TASK if places.for_all else f"{TASK} ({account})"

    def written(self, venv: Venv, writable: Sequence[Path]) -> bytes:
        """Names the version's own Python: a command file between would not end with the task."""
        ET.register_namespace("", _NAMESPACE)
        task = ET.fromstring(self._template.read_text(encoding="utf-8"))  # noqa: S314  # the manifest vouches for it
        # Without a window of its own on a desktop; a service's session has none.
        python = venv.python if self._places.for_all else venv.python.with_name("pythonw.exe")
        arguments = f'-I -m collector_agent.cli run --config "{self._places.settings_file}"'
        for name, text in (("Command", f'"{python}"'), ("Arguments", arguments)):
            _element(task, name).text = text
        if not self._places.for_all:
            _element(task, "UserId").text = "\\".join(
                filter(None, (os.environ.get("USERDOMAIN"), os.environ.get("USERNAME")))
            )
        # schtasks reads UTF-16 with its mark for certain.
        text = ET.tostring(task, encoding="unicode")
        return ('<?xml version="1.0" encoding="UTF-16"?>\n' + text).encode("utf-16")

    def register(self) -> None:
        self._done("/Create", "/TN", self._name, "/XML", str(self.definition), "/F")
        if self._places.for_all:
            # A task has no variables of its own; robots of other accounts find the agent by it, too.
            call(["setx", STATE_VARIABLE, str(self._places.state), "/M"])

    def start(self) -> None:
        self.stop()
        self._done("/Run", "/TN", self._name)

    def stop(self) -> None:
        call(["schtasks", "/End", "/TN", self._name])

    def said(self) -> Mapping[str, Any]:
        return {
            "kind": "scheduled task",
            "name": self._name,
            "file": str(self.definition),
            "for_all": self._places.for_all,
        }

    def log_command(self) -> str:
        return f'schtasks /Query /TN "{self._name}" /V /FO LIST'

    def _done(self, *words: str) -> None:
        code, said, complaint = call(["schtasks", *words])
        if code != 0:
            raise ServiceError(f"`schtasks {' '.join(words)}` failed: {last_lines(complaint or said)}")


def _element(task: ET.Element, name: str) -> ET.Element:
    found = task.find(f".//{{{_NAMESPACE}}}{name}")
    if found is None:
        raise ServiceError(f"the bundle's task has no {name}")
    return found
