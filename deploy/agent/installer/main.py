"""The installer's command line, from arguments to the exit code."""

import argparse
import os
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from . import rights
from .bundle import check_machine, open_bundle
from .command_line import build_parser
from .errors import ArgumentsError, InstallError
from .installation import Installation
from .places import Places, places_for_all, places_for_me
from .service import service_of

_STOPPED = 130


def main(argv: Sequence[str] | None = None, bundle_folder: Path | None = None, root: Path = Path("/")) -> int:
    """Installs; gives the exit code. `bundle_folder`, `root`: for tests."""
    arguments = build_parser().parse_args(argv)
    for stream in (sys.stdout, sys.stderr):  # the names of files may be in no code page of a console
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    journal: list[str] = []

    def say(line: str) -> None:
        journal.append(line)
        print(line, flush=True)

    places = None
    try:
        bundle = open_bundle(bundle_folder or Path(__file__).resolve().parents[1])
        check_machine(bundle)
        places = _places(arguments, root)
        service = None if arguments.no_service else service_of(places, bundle.folder)
        if not arguments.user:
            os.umask(0o022)  # a stricter one of whoever installs would lock the service out
        Installation(arguments, bundle, places, service, say).run()
        code = 0
    except InstallError as error:
        say(f"rpa-agent: {error}")
        code = error.exit_code
    except OSError as error:
        say(f"rpa-agent: not installed: {error.strerror}: {error.filename}")
        code = InstallError.exit_code
    except KeyboardInterrupt:
        say("rpa-agent: stopped; nothing was installed")
        code = _STOPPED
    if places is not None:
        _keep_journal(places.prefix, journal, code)
    return code


def _places(arguments: argparse.Namespace, root: Path) -> Places:
    prefix = arguments.prefix.expanduser().absolute() if arguments.prefix else None
    if arguments.user:
        return places_for_me(prefix, Path.home())
    if not rights.is_privileged():
        raise ArgumentsError(
            "to install for this machine, run it as root or administrator; for your account alone: --user"
        )
    return places_for_all(prefix, root)


def _keep_journal(prefix: Path, journal: Sequence[str], code: int) -> None:
    """What was printed, for installations that nobody watches. Without it nothing is lost."""
    if not prefix.is_dir():
        return
    try:
        with (prefix / "install.log").open("a", encoding="utf-8") as log:
            moment = datetime.now(UTC).isoformat(timespec="seconds")
            log.write("\n".join([f"== {moment} exit code {code}", *journal]) + "\n")
    except OSError:
        return
