"""`rpa-agent`: the daemon beside the robots, what works and what does not, results from before."""

import argparse
import json
import logging
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import Final

from analytics_lib import __version__
from analytics_lib.errors import RpaAnalyticsError, SettingsError
from collector_agent.commands.arguments import add_command, add_config, add_json
from collector_agent.commands.imports import add_imports
from collector_agent.commands.preview import add_preview
from collector_agent.commands.quarantine import add_quarantine
from collector_agent.commands.status import NEEDS_ATTENTION, add_status
from collector_agent.commands.uninstall import add_uninstall
from collector_agent.machine.locations import CONFIG_VARIABLE
from collector_agent.redaction import mask_line
from collector_agent.settings import VARIABLE_PREFIX, load_settings, settings_file

# Each command imports what it needs when it runs: `--help` and mistakes are answered at once.

STORE_VARIABLE: Final = f"{VARIABLE_PREFIX}STORE"
_MARK: Final = {"ok": "ok", "absent": "-", "attention": "!!"}
_AGENT_LOG: Final = "rpa_agent"
_STORE_LOG: Final = "rpa_analytics"


def build_parser() -> argparse.ArgumentParser:
    """The whole command line; the README's table of commands is made from it."""
    parser = argparse.ArgumentParser(
        prog="rpa-agent",
        description="The agent of RPA Analytics & Insights, beside the robots.",
        epilog=f"Settings come from the environment ({STORE_VARIABLE} …) and one TOML file: --config, else "
        f"{CONFIG_VARIABLE}, else the default place, which `rpa-agent check` prints.",
    )
    parser.add_argument("--version", action="version", version=f"rpa-agent {__version__}")
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")

    run = add_command(
        commands,
        "run",
        "sample this machine and deliver what its robots recorded, until SIGTERM or Ctrl-C",
        _run,
    )
    add_config(run)

    check = add_command(
        commands,
        "check",
        "say what works and what does not; exit code 1 where something needs attention",
        _check,
    )
    add_config(check)
    add_json(check)
    add_status(commands)
    add_preview(commands)
    add_quarantine(commands)
    add_uninstall(commands)
    add_imports(commands)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command; gives the exit code. Our errors are one message, without a traceback."""
    arguments = build_parser().parse_args(argv)
    command: Callable[[argparse.Namespace], int] = arguments.command
    try:
        code = command(arguments)
        if sys.stdout is not None:  # a Python without a console has none
            sys.stdout.flush()  # here, where somebody notices that the reader went away
        return code
    except RpaAnalyticsError as error:
        print(f"rpa-agent: {mask_line(str(error))}", file=sys.stderr)
        return error.exit_code
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] in ("analytics_lib", "collector_agent"):
            raise
        print(f"rpa-agent: this command needs {error.name}: pip install rpa-analytics", file=sys.stderr)
        return SettingsError.exit_code
    except BrokenPipeError:
        # The reader went away (`| head`): that is no error, and there is nobody left to tell.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except KeyboardInterrupt:
        print("rpa-agent: stopped; what was finished is kept, run it again for the rest", file=sys.stderr)
        return 130


def _run(arguments: argparse.Namespace) -> int:
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    for name in (_AGENT_LOG, _STORE_LOG):
        logging.getLogger(name).addHandler(handler)
        logging.getLogger(name).setLevel(logging.INFO)
    settings = load_settings(arguments.config)

    from analytics_lib.store.engine import store_url
    from collector_agent.agent import run_daemon

    store_url(settings.store)  # one that can never work is said now, and not with every row
    return run_daemon(settings, lambda line: print(line, flush=True))


def _check(arguments: argparse.Namespace) -> int:
    logging.getLogger(_AGENT_LOG).addHandler(logging.NullHandler())  # the findings say it
    file = settings_file(arguments.config)
    settings = load_settings(arguments.config)

    from collector_agent.checking.findings import findings

    found = list(findings(settings, file, arguments.config))
    attention = sum(finding.state == "attention" for finding in found)
    python = f"{sys.executable} ({sys.version.split()[0]})"
    if arguments.json:
        head = {"version": __version__, "python": python, "needs_attention": attention}
        print(json.dumps({**head, "findings": [asdict(finding) for finding in found]}, indent=2))
        return NEEDS_ATTENTION if attention else 0
    print(f"rpa-agent {__version__} of {python}")
    for finding in found:
        first, *further = finding.text.splitlines()
        print(f"{_MARK[finding.state]:<3}{finding.subject:<16} {first}")
        for line in further:
            print(f"{'':<20}{line}")
    print(f"!! {attention} of {len(found)} need attention" if attention else "everything works")
    return NEEDS_ATTENTION if attention else 0


if __name__ == "__main__":
    sys.exit(main())
