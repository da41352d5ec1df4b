"""`rpa-analytics doctor`: how it stands with the store and what works on it, for people and monitoring."""

import argparse
import json
from dataclasses import asdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from analytics_lib import __version__, formats
from analytics_lib.commands.arguments import add_command, add_store, store_location
from analytics_lib.windows import to_us

if TYPE_CHECKING:
    from analytics_lib.commands.finding import Finding

_EXIT_CODES: Final = {"ok": 0, "note": 0, "warning": 1, "critical": 2}
_SHOWN: Final = {"ok": "ok", "note": "--", "warning": "!", "critical": "!!"}


def add_commands(commands: Any) -> None:
    """Adds `doctor` to the command line's commands."""
    doctor = add_command(
        commands,
        "doctor",
        "say how it stands with the store; exit code 0 well, 1 something needs attention, 2 urgently",
        _doctor,
    )
    add_store(doctor)
    doctor.add_argument(
        "--integrity", action="store_true", help="SQLite: check every page too; reads all of the file"
    )
    doctor.add_argument("--json", action="store_true", help="as JSON, for programs")


def _doctor(arguments: argparse.Namespace) -> int:
    from analytics_lib.commands.checkup import findings

    location = store_location(arguments)
    found = []
    if not arguments.json:
        print(f"rpa-analytics {__version__}")
    for finding in findings(location, to_us(datetime.now(UTC)), integrity=arguments.integrity):
        found.append(finding)
        if not arguments.json:
            _show(finding)
    code = max(_EXIT_CODES[finding.level] for finding in found)
    if arguments.json:
        level = ("ok", "warning", "critical")[code]
        page = {"level": level, "findings": [asdict(finding) for finding in found]}
        print(json.dumps(page, indent=2))
    return code


def _show(finding: "Finding") -> None:
    first, *further = finding.text.splitlines()
    print(
        formats.printable(formats.plain(f"{_SHOWN[finding.level]:<3}{finding.subject:<18} {first}")),
        flush=True,
    )
    for line in further:
        print(formats.printable(formats.plain(f"{'':<22}{line}")), flush=True)
