"""Whether a version works on this machine, as far as it can say itself."""

import json
import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from .errors import ArgumentsError, NotInstalledError
from .places import STATE_VARIABLE, Places
from .programs import call, last_lines
from .rights import service_account
from .venvs import Venv

_WRONG_SETTINGS: Final = 2  # the agent's exit code for a setting that is missing or not valid
_ANSWERS: Final = (0, 1)  # everything works; something needs attention
_PAUSE_SEC: Final = 0.5
_RUNS: Final = (
    "import sys; from collector_agent.machine.daemon_lock import daemon_is_running; "
    "sys.exit(not daemon_is_running())"
)


@dataclass(frozen=True, slots=True)
class Answer:
    """What `rpa-agent check` found: each subject's state and text."""

    findings: Sequence[Mapping[str, Any]]

    @property
    def attention(self) -> dict[str, str]:
        """What needs attention, by subject."""
        return {f["subject"]: f["text"] for f in self.findings if f["state"] == "attention"}

    def worse_than(self, before: "Answer") -> dict[str, str]:
        """What was fine before, and needs attention now."""
        fine = {f["subject"] for f in before.findings if f["state"] == "ok"}
        return {subject: text for subject, text in self.attention.items() if subject in fine}


def check_version(venv: Venv, version: str, places: Places) -> None:
    """Raises NotInstalledError unless the command starts and is of that version."""
    code, said, complaint = _agent(venv, places, "--version")
    if code != 0 or said.split()[-1:] != [version]:
        raise NotInstalledError(f"the new version does not start: {last_lines(complaint or said)}")


def ask(venv: Venv, places: Places) -> Answer:
    """What its check says. Raises ArgumentsError for wrong settings, NotInstalledError where it breaks."""
    code, said, complaint = _agent(venv, places, "check", "--json", "--config", str(places.settings_file))
    if code == _WRONG_SETTINGS:
        raise ArgumentsError(last_lines(complaint).removeprefix("rpa-agent: "))
    try:
        found = json.loads(said)["findings"]
        answer = Answer(
            [{"state": f["state"], "subject": f["subject"], "text": f["text"], **f} for f in found]
        )
    except (ValueError, KeyError, TypeError):
        code = -1
    if code not in _ANSWERS:
        raise NotInstalledError(
            f"`rpa-agent check` of the new version fails: {last_lines(complaint or said)}"
        )
    return answer


def wait_for_daemon(venv: Venv, places: Places, *, runs: bool, within_sec: float) -> bool:
    """Whether the agent runs (or does not) within that time; looked at twice: one may start and fail."""
    until_s = time.monotonic() + within_sec
    in_a_row = 0
    while True:
        in_a_row = in_a_row + 1 if _daemon_runs(venv, places) == runs else 0
        if in_a_row == 2 or (in_a_row and not within_sec):
            return True
        if time.monotonic() >= until_s and not in_a_row:
            return False
        time.sleep(_PAUSE_SEC)


def _daemon_runs(venv: Venv, places: Places) -> bool:
    return _in_venv([str(venv.python), "-I", "-c", _RUNS], places)[0] == 0


def _agent(venv: Venv, places: Places, *words: str) -> tuple[int, str, str]:
    return _in_venv([*venv.command, *words], places)


def _in_venv(command: Sequence[str], places: Places) -> tuple[int, str, str]:
    """As the service would start it: its account, its variables, none of whoever installs."""
    account = service_account(places)
    environment = {name: value for name, value in os.environ.items() if not _is_foreign(name)}
    if account:
        environment |= {"HOME": str(places.data), **_variables(places)}
    environment[STATE_VARIABLE] = str(places.state)
    return call(command, account=account, environment=environment, timeout_sec=120)


def _is_foreign(name: str) -> bool:
    return name.startswith(("RPA_AGENT_", "PYTHON", "PG", "XDG_"))


def _variables(places: Places) -> dict[str, str]:
    """What the unit's EnvironmentFile adds."""
    file = places.settings_file.with_name("agent.env")
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except OSError:
        return {}
    pairs = [
        line.strip().partition("=")
        for line in lines
        if "=" in line and not line.lstrip().startswith(("#", ";"))
    ]
    return {name.strip(): value.strip().strip("\"'") for name, _, value in pairs}
