"""The agent as a unit of systemd, the machine's or the account's own."""

import getpass
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from .errors import ServiceError
from .places import STATE_VARIABLE, Places
from .programs import call, last_lines
from .venvs import Venv

UNIT: Final = "rpa-agent.service"
_BOOTED: Final = Path("/run/systemd/system")  # exists where systemd is in charge: man sd_booted


def is_there(*, for_all: bool) -> bool:
    """Whether systemd runs here, and for the account's own units: a manager of that account, too."""
    if not _BOOTED.is_dir():
        return False
    return for_all or call(["systemctl", "--user", "show-environment"])[0] == 0


class Systemd:
    """The unit file of the bundle, with the places of this installation."""

    def __init__(self, places: Places, bundle: Path) -> None:
        self._places = places
        self._template = bundle / ("rpa-agent.service" if places.for_all else "rpa-agent-user.service")
        self._systemctl = ["systemctl", *([] if places.for_all else ["--user"])]
        self.definition = places.service_file

    def written(self, venv: Venv, writable: Sequence[Path]) -> bytes:
        """The unit starts the command whose path stays the same, so that it outlives upgrades."""
        text = self._template.read_text(encoding="utf-8")
        start = (
            f"ExecStart={_quoted(self._places.command)} run --config {_quoted(self._places.settings_file)}"
        )
        text = _replaced(text, "ExecStart", start)
        state = _quoted(f"{STATE_VARIABLE}={self._places.state}")
        text = _replaced(text, "Environment", f"Environment=PYTHONOPTIMIZE=2 {state}")
        if self._places.for_all:
            # "-": where such a folder is missing, the agent still starts and keeps rows in its spool.
            paths = [str(self._places.data), *(f"-{folder}" for folder in writable)]
            text = _replaced(text, "ReadWritePaths", "ReadWritePaths=" + " ".join(map(_quoted, paths)))
        return text.encode()

    def register(self) -> None:
        self._done("daemon-reload")
        self._done("enable", UNIT)
        if not self._places.for_all:
            # Else it ends with the last session. Some machines allow this to administrators only.
            call(["loginctl", "enable-linger", getpass.getuser()])

    def start(self) -> None:
        self._done("restart", UNIT)

    def stop(self) -> None:
        call([*self._systemctl, "stop", UNIT])

    def said(self) -> Mapping[str, Any]:
        return {
            "kind": "systemd",
            "name": UNIT,
            "file": str(self.definition),
            "for_all": self._places.for_all,
        }

    def log_command(self) -> str:
        return f"journalctl {'' if self._places.for_all else '--user '}-u {UNIT} -n 30"

    def _done(self, *words: str) -> None:
        code, said, complaint = call([*self._systemctl, *words])
        if code != 0:
            raise ServiceError(f"`systemctl {' '.join(words)}` failed: {last_lines(complaint or said)}")


def _replaced(text: str, key: str, line: str) -> str:
    changed, count = re.subn(rf"(?m)^{key}=.*$", lambda _: line, text, count=1)
    if count != 1:
        raise ServiceError(f"the bundle's unit file has no {key}=")
    return changed


def _quoted(value: object) -> str:
    """As a unit file writes a word: % begins a specifier, quotes keep blanks."""
    text = str(value).replace("%", "%%")
    if re.fullmatch(r"[\w/.,:=%+-]+", text):
        return text
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
