"""Arguments that several commands share."""

import argparse
from collections.abc import Callable
from typing import Any

from analytics_lib import settings


def add_command(
    group: Any, name: str, what: str, function: Callable[[argparse.Namespace], int]
) -> argparse.ArgumentParser:
    """A command of the group, carried out by the function, which gives the exit code."""
    parser: argparse.ArgumentParser = group.add_parser(name, help=what, description=what)
    parser.set_defaults(command=function)
    return parser


def add_store(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--store", metavar="LOCATION", help=f"a folder or a database URL (default: {settings.STORE_VARIABLE})"
    )


def add_time_zone(parser: argparse.ArgumentParser, what: str) -> None:
    parser.add_argument(
        "--timezone",
        dest="time_zone",
        metavar="ZONE",
        help=f"IANA time zone {what} (default: {settings.TIME_ZONE_VARIABLE}, else UTC)",
    )


def store_location(arguments: argparse.Namespace) -> str:
    """Where the store is. Raises SettingsError, for a password on the command line too."""
    location = settings.store_location(arguments.store)
    if arguments.store:
        settings.refuse_password(arguments.store)
    return location
