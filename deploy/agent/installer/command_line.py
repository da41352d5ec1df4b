"""What can be said on the installer's command line, and what is asked where it was not said."""

import argparse
from pathlib import Path
from typing import Final

STORE_VARIABLE: Final = "RPA_AGENT_STORE"
SETTINGS: Final = ("store", "environment", "robot_id", "queue")


def build_parser() -> argparse.ArgumentParser:
    """Everything that can be said; README.md explains it."""
    parser = argparse.ArgumentParser(
        prog="install.py",
        description="Installs the agent of RPA Analytics & Insights from this folder, or brings an installed "
        "one to this version. Settings, state and undelivered rows stay as they are.",
        epilog="Exit codes: 0 installed; 2 wrong arguments or settings; 3 not a machine or a Python for this "
        "bundle; 4 the bundle is damaged; 5 not installed, what was there before is there again; "
        "6 installed, and the service does not run.",
    )
    parser.add_argument("--user", action="store_true", help="for this account alone, below its home folder")
    parser.add_argument("--silent", action="store_true", help="ask nothing")
    settings = parser.add_argument_group(
        "settings",
        "written only where there is no settings file yet; a password comes from FILE or from the variable",
    )
    settings.add_argument(
        "--config", type=Path, metavar="FILE", help="a settings file that is ready to be used"
    )
    settings.add_argument(
        "--store",
        default="",
        metavar="LOCATION",
        help=f"where rows go: postgresql://user@host/database or a folder (default: {STORE_VARIABLE})",
    )
    settings.add_argument("--environment", default="", metavar="NAME", help="production, test …")
    settings.add_argument("--robot-id", default="", metavar="NAME", help="the name of this machine's robot")
    settings.add_argument("--queue", default="", metavar="NAME", help="the queue that its work comes from")
    parser.add_argument(
        "--robot-account",
        action="append",
        default=[],
        metavar="NAME",
        help="an account whose robots may write to the spool of this machine; may be repeated",
    )
    parser.add_argument("--prefix", type=Path, metavar="FOLDER", help="where the programs go")
    service = parser.add_mutually_exclusive_group()
    service.add_argument("--no-service", action="store_true", help="install the programs, and no service")
    service.add_argument(
        "--no-start",
        action="store_true",
        help="let the service start with the machine only: for images of machines",
    )
    return parser


def asked(values: dict[str, str]) -> dict[str, str]:
    """The values, and answers for those that are empty. An empty answer leaves a setting out."""
    questions = {
        "store": "Where do rows go (postgresql://user@host/database or a folder)? ",
        "environment": "Environment (production, test …; may stay empty)? ",
        "robot_id": "Name of this machine's robot (may stay empty)? ",
        "queue": "Queue that its work comes from (may stay empty)? ",
    }
    return {name: values[name] or input(question).strip() for name, question in questions.items()}
