"""`rpa-analytics`: the command line of the analysis. Each command is in a module of `commands`."""

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path

from analytics_lib import __version__, settings
from analytics_lib.commands import agents, doctor, insights, outbox, roles, run, try_results, workflows
from analytics_lib.commands.arguments import add_command, add_store, store_location
from analytics_lib.errors import RpaAnalyticsError, SettingsError, StoreError

# Each command imports what it needs when it runs: `--help` and mistakes are answered at once.


def build_parser() -> argparse.ArgumentParser:
    """The whole command line; the README's table of commands is made from it."""
    parser = argparse.ArgumentParser(
        prog="rpa-analytics",
        description="The analysis of RPA Analytics & Insights.",
        epilog=f"The store is named by --store or {settings.STORE_VARIABLE}: a folder (SQLite inside) or a "
        "postgresql:// URL. A URL with a password belongs into the variable.",
    )
    parser.add_argument("--version", action="version", version=f"rpa-analytics {__version__}")
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    migrate = add_command(commands, "migrate", "bring the database to the newest schema", _migrate)
    add_store(migrate)
    run.add_commands(commands)
    try_results.add_commands(commands)
    workflows.add_commands(commands)
    insights.add_commands(commands)
    agents.add_commands(commands)
    outbox.add_commands(commands)
    doctor.add_commands(commands)
    roles.add_commands(commands)
    add_command(commands, "dags-folder", "print the folder of the DAGs, to point Airflow at", _dags_folder)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command; gives the exit code. Our errors are one message, without a traceback."""
    arguments = build_parser().parse_args(argv)
    command: Callable[[argparse.Namespace], int] = arguments.command
    try:
        code = command(arguments)
        sys.stdout.flush()  # here, and not when the interpreter ends: a reader that went away is noticed
        return code
    except RpaAnalyticsError as error:
        print(f"rpa-analytics: {error}", file=sys.stderr)
        return error.exit_code
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] in ("analytics_lib", "collector_agent"):
            raise
        # The base install is the agent's: no pandas, no Jinja.
        print(
            f"rpa-analytics: this command needs {error.name}: pip install 'rpa-analytics[report]'",
            file=sys.stderr,
        )
        return SettingsError.exit_code
    except BrokenPipeError:
        # The reader went away (`| head`): that is no error, and there is nobody left to tell.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except KeyboardInterrupt:
        print("rpa-analytics: stopped; what was finished is kept, run it again for the rest", file=sys.stderr)
        return 130
    except Exception as error:
        reason = _refusal_of_database(error)
        if reason is None:
            raise
        print(f"rpa-analytics: the database did not do it: {reason}", file=sys.stderr)
        return StoreError.exit_code


def dags_folder() -> Path:
    """The folder of the DAG files: the checkout's, else the one that the wheel brought along."""
    package = Path(__file__).parent
    for folder in (package.parent / "dags", package / "_dags"):
        if (folder / "hourly_aggregation.py").is_file():
            return folder
    raise SettingsError("the DAG files are not there: install rpa-analytics again")


def _migrate(arguments: argparse.Namespace) -> int:
    from analytics_lib.migrations import migrate
    from analytics_lib.schema import SCHEMA_VERSION
    from analytics_lib.store.engine import describe, open_engine

    location = store_location(arguments)
    engine = open_engine(location)
    try:
        migrate(engine)
        is_server = engine.dialect.name != "sqlite"
    finally:
        engine.dispose()
    if is_server:
        from analytics_lib.pipeline import maintain_partitions

        maintain_partitions(location, as_of=datetime.now(UTC), max_rows=0)  # days for what comes next
    print(f"{describe(location)} has schema version {SCHEMA_VERSION}")
    return 0


def _dags_folder(_arguments: argparse.Namespace) -> int:
    print(dags_folder())
    return 0


def _refusal_of_database(error: Exception) -> str | None:
    """What the driver says, where it was the driver. SQLAlchemy is asked only if a command has loaded it."""
    errors = sys.modules.get("sqlalchemy.exc")
    if errors is None or not isinstance(error, errors.DBAPIError):
        return None
    lines = str(error.orig).strip().splitlines()
    return lines[0] if lines else type(error.orig).__name__
