"""`rpa-agent uninstall`: takes off the machine what the installer of a bundle put there."""

import argparse
import sys
from typing import Any

from analytics_lib.errors import SettingsError
from collector_agent.commands.arguments import add_command


def add_uninstall(commands: Any) -> None:
    """The command and its arguments."""
    parser = add_command(
        commands,
        "uninstall",
        "remove service and programs that the installer of a bundle made; settings, state and spool stay",
        _uninstall,
    )
    parser.add_argument("--purge", action="store_true", help="remove settings, state and spool, too")
    parser.add_argument(
        "--discard-undelivered",
        action="store_true",
        help="with --purge: even where the spool holds rows that no store has got",
    )
    parser.add_argument("--yes", action="store_true", help="do not ask")


def _uninstall(arguments: argparse.Namespace) -> int:
    from collector_agent.installation.uninstall import find_installation, uninstall

    if arguments.discard_undelivered and not arguments.purge:
        raise SettingsError("--discard-undelivered belongs to --purge")
    installation = find_installation()
    if not arguments.yes:
        _confirm(f"Remove the agent in {installation.prefix}{' and its data' if arguments.purge else ''}?")
    uninstall(
        installation,
        purge=arguments.purge,
        discard_undelivered=arguments.discard_undelivered,
        say=lambda line: print(line, flush=True),
    )
    return 0


def _confirm(question: str) -> None:
    if sys.stdin is None or not sys.stdin.isatty():
        raise SettingsError("nobody is here to be asked: say --yes")
    if input(f"{question} [y/N] ").strip().lower() not in ("y", "yes"):
        raise SettingsError("nothing was removed")
