"""`rpa-agent status`: whether the daemon runs, and whether what robots recorded arrives."""

import argparse
import sys
import time
from typing import TYPE_CHECKING, Any, Final

from analytics_lib import __version__
from analytics_lib.errors import RpaAnalyticsError
from collector_agent.commands.arguments import add_command, add_config, add_json

if TYPE_CHECKING:
    from collector_agent.daemon.status import DaemonStatus

NEEDS_ATTENTION: Final = 1
_PATIENCE_SEC: Final = 5.0  # the daemon writes its status every two seconds
_PAUSE_SEC: Final = 0.25


def add_status(commands: Any) -> None:
    """The command and its arguments."""
    status = add_command(
        commands,
        "status",
        "say how it stands with the daemon and the spool; exit code 1 where something needs attention",
        _status,
    )
    add_config(status)
    add_json(status)


def _status(arguments: argparse.Namespace) -> int:
    from collector_agent.daemon.status_page import page_of
    from collector_agent.settings import load_settings_of_this_machine

    settings = load_settings_of_this_machine(arguments.config)
    try:
        page = page_of(settings, _decided_status())
    except (OSError, ValueError) as error:
        raise RpaAnalyticsError(f"it cannot be seen how it stands: {error}") from None
    if arguments.json:
        print(page.as_json())
        return NEEDS_ATTENTION if page.attention else 0
    print(f"rpa-agent {__version__}: {page.state}{f' {page.why}' if page.why else ''}")
    for line in page.lines:
        first, *further = line.text.splitlines()
        print(f"{'!!' if line.attention else 'ok':<3}{line.subject:<16} {first}")
        for text in further:
            print(f"{'':<20}{text}")
    sys.stdout.flush()
    return NEEDS_ATTENTION if page.attention else 0


def _decided_status() -> "DaemonStatus | None":
    """What the daemon says; where only its next words tell whether rows move, those."""
    from collector_agent.daemon.status_page import current_status, is_undecided

    status = current_status()
    until_s = time.monotonic() + _PATIENCE_SEC
    while status is not None and is_undecided(status) and time.monotonic() < until_s:
        time.sleep(_PAUSE_SEC)
        newer = current_status()
        if newer is None or newer.written_at != status.written_at:
            return newer
    return status
