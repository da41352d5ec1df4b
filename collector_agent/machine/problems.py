"""What kept a part of the agent from working, left where `rpa-agent check` finds it; standard library only.

One small file per component in the state folder, replaced as a whole: a listener that cannot start has
no store to write to, and its robot's standard error is often seen by nobody.
"""

import json
import logging
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final
from zlib import crc32

from collector_agent.machine.locations import state_folder
from collector_agent.machine.private_file import replace_private
from collector_agent.redaction import clean_message, clean_name

_SUFFIX: Final = ".problem.json"
_TEXT_CHARACTERS: Final = 4_000
_log = logging.getLogger("rpa_agent")
_log.addHandler(logging.NullHandler())  # or, where nobody configures logging, it went to standard error


@dataclass(frozen=True, slots=True)
class Problem:
    """What does not work, in words for a person, and when it was last said."""

    component: str
    text: str
    reported_at: datetime


def report_problem(component: str, text: str) -> None:
    """Leaves the component's problem, instead of the one it left before. Never raises.

    Secrets that we know the shape of are masked. What cannot be written is said in the log "rpa_agent": a
    robot's standard error is its own.
    """
    try:
        path = _file_of(component)
        content = {
            "component": clean_name(component, 100),
            "text": clean_message(text)[:_TEXT_CHARACTERS],
            "reported_at": datetime.now(UTC).isoformat(),
        }
        replace_private(path, content)
    except Exception as error:  # noqa: BLE001  # the robot goes on whatever happens to our note
        _log.warning("%s (this could not be noted: %s)", clean_message(text), clean_message(error))


def clear_problem(component: str) -> None:
    """The component works: its problem, if it left one, is gone. Never raises."""
    try:
        _file_of(component).unlink(missing_ok=True)
    except Exception as error:  # noqa: BLE001  # as above
        _log.warning("the solved problem of %r could not be cleared: %s", component, error)


def read_problems() -> list[Problem]:
    """The problems that were left, the latest first. Raises OSError where the folder cannot be read."""
    folder = state_folder()
    if not folder.is_dir():
        return []
    found = [_read(path) for path in sorted(folder.glob(f"*{_SUFFIX}"))]
    return sorted(
        (problem for problem in found if problem), key=lambda problem: problem.reported_at, reverse=True
    )


def _file_of(component: str) -> Path:
    name = str(component)
    safe = re.sub(r"[^a-z0-9-]", "-", name.lower())[:60]
    if safe != name:
        safe += f"-{crc32(name.encode(errors='replace')):08x}"  # two names may not share a file
    return state_folder() / f"{safe}{_SUFFIX}"


def _read(path: Path) -> Problem | None:
    """None where the problem was cleared while we looked."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        reported_at = datetime.fromisoformat(content["reported_at"]).astimezone(UTC)
        return Problem(str(content["component"]), str(content["text"]), reported_at)
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError) as error:
        component = path.name.removesuffix(_SUFFIX)
        text = f"its problem file {path} cannot be read ({clean_message(error)}): remove it"
        return Problem(component, text, datetime.now(UTC))
