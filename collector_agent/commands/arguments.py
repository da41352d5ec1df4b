"""Arguments that several commands share."""

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

from collector_agent.machine.locations import CONFIG_VARIABLE


def add_command(
    group: Any, name: str, what: str, function: Callable[[argparse.Namespace], int]
) -> argparse.ArgumentParser:
    """A command of a group of subparsers, run by the function, which gives the exit code."""
    parser: argparse.ArgumentParser = group.add_parser(name, help=what, description=what)
    parser.set_defaults(command=function)
    return parser


def add_config(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--config",
        type=Path,
        metavar="FILE",
        help=f"the settings file (default: {CONFIG_VARIABLE}, else its place)",
    )


def add_json(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="for machines")
