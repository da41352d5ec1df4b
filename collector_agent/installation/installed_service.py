"""The service that the installer of a bundle made: a unit of systemd, or a task of Windows."""

import os
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

from collector_agent.machine.locations import STATE_VARIABLE

_MACHINES_VARIABLES: Final = r"HKLM\SYSTEM\CurrentControlSet\Control\Session Manager\Environment"


class InstalledService:
    """Stops, starts and removes it; `said` is what the installer recorded, None where it made none.

    Nothing is raised: a service that is not there any more needs no removing. What fails is said.
    """

    def __init__(self, said: Mapping[str, Any] | None, say: Callable[[str], None]) -> None:
        self._said = said
        self._say = say

    def __bool__(self) -> bool:
        return self._said is not None

    def stop(self) -> None:
        if self._said is not None:
            name = self._said["name"]
            self._call(["stop", name] if self._is_unit else ["/End", "/TN", name], expected=False)

    def start(self) -> None:
        if self._said is not None:
            name = self._said["name"]
            self._call(["start", name] if self._is_unit else ["/Run", "/TN", name])

    def remove(self, state: Path) -> None:
        """`state`: the state folder, which on Windows a variable of the machine names."""
        if self._said is None:
            return
        name, file = self._said["name"], Path(self._said["file"])
        if self._is_unit:
            self._call(["disable", name])
            file.unlink(missing_ok=True)
            self._call(["daemon-reload"])
        else:
            self._call(["/Delete", "/TN", name, "/F"])
            file.unlink(missing_ok=True)
            if self._said["for_all"] and os.environ.get(STATE_VARIABLE) == str(state):
                self._run(["reg", "delete", _MACHINES_VARIABLES, "/v", STATE_VARIABLE, "/f"])
        self._say(f"removed: service {name}")

    @property
    def _is_unit(self) -> bool:
        return self._said is not None and self._said["kind"] == "systemd"

    def _call(self, words: list[str], *, expected: bool = True) -> None:
        whose = [] if self._said is None or self._said["for_all"] else ["--user"]
        self._run([*(["systemctl", *whose] if self._is_unit else ["schtasks"]), *words], expected=expected)

    def _run(self, command: list[str], *, expected: bool = True) -> None:
        """`expected`: that it works; what does not run cannot be stopped."""
        try:
            done = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False)  # noqa: S603  # the system's own programs, with names from the installer's record
        except OSError as error:
            self._say(f"`{' '.join(command)}` failed: {error.strerror}")
            return
        if done.returncode != 0 and expected:
            self._say(f"`{' '.join(command)}` failed: {(done.stderr or done.stdout).strip()}")
