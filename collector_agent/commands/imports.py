"""`rpa-agent import`: runs from before, of Robot Framework, UiPath, Orchestrator and anything tabular."""

import argparse
import logging
from pathlib import Path
from typing import Any, Final

from analytics_lib.errors import SettingsError
from collector_agent.commands.arguments import add_command, add_config
from collector_agent.settings import VARIABLE_PREFIX, AgentSettings, has_password, load_settings

_STORE_LOG: Final = "rpa_analytics"
_TABULAR_ZONE: Final = "IANA time zone of times without an offset (default: this machine's)"


def add_imports(commands: Any) -> None:
    """The commands and their arguments."""
    parser = commands.add_parser("import", help="bring in runs from before")
    sources = parser.add_subparsers(title="sources", required=True, metavar="SOURCE")

    output = add_command(
        sources,
        "robot-output",
        "take executions, steps and transactions from results of Robot Framework 3 to 7; repeating it "
        "changes nothing",
        _robot_output,
    )
    output.add_argument(
        "files",
        nargs="+",
        type=Path,
        metavar="FILE",
        help="output.xml or output.json, folders of them (and below), or patterns such as 'runs/**/*.xml'",
    )
    _add_place(output, "IANA time zone of the machine that wrote the files (default: this machine's)")
    _add_step_depth(output, "keywords")
    add_config(output)

    log = add_command(
        sources,
        "uipath-log",
        "take executions, steps and transactions from UiPath's execution logs; repeating it changes nothing",
        _uipath_log,
    )
    log.add_argument(
        "files", nargs="+", type=Path, metavar="FILE", help="…_Execution.log, or folders of them"
    )
    _add_place(log, _TABULAR_ZONE)
    _add_step_depth(log, "activities")
    add_config(log)

    export = add_command(
        sources,
        "orchestrator",
        "take executions from jobs and queue items that UiPath's Orchestrator exported; repeating it changes "
        "nothing",
        _orchestrator,
    )
    export.add_argument("files", nargs="+", type=Path, metavar="FILE", help="CSV, or JSON of its OData API")
    _add_place(export, _TABULAR_ZONE)
    export.add_argument(
        "--time-format",
        default="",
        metavar="FORMAT",
        help="of times that are not ISO 8601, such as '%%d/%%m/%%Y %%H:%%M'",
    )
    export.add_argument("--queue", default="", metavar="NAME", help="of queue items that do not name theirs")
    add_config(export)

    mapped = add_command(
        sources,
        "mapped",
        "take executions or steps from any CSV or JSON file by a mapping file; repeating it changes nothing",
        _mapped,
    )
    mapped.add_argument("files", nargs="+", type=Path, metavar="FILE", help="CSV, JSON lines or a JSON array")
    mapped.add_argument(
        "--mapping", required=True, type=Path, metavar="FILE", help="TOML: which column is which field"
    )
    _add_place(mapped, _TABULAR_ZONE)
    add_config(mapped)


def _add_place(parser: argparse.ArgumentParser, zone: str) -> None:
    parser.add_argument(
        "--store", metavar="LOCATION", help="a folder or a database URL (default: the agent's)"
    )
    parser.add_argument("--environment", metavar="NAME", help="production, test … (default: the agent's)")
    parser.add_argument("--timezone", dest="time_zone", default="", metavar="ZONE", help=zone)


def _add_step_depth(parser: argparse.ArgumentParser, what: str) -> None:
    parser.add_argument(
        "--step-depth",
        metavar="N",
        help=f"levels of nested {what} that become steps (default: the agent's)",
    )


def _robot_output(arguments: argparse.Namespace) -> int:
    settings = _settings(arguments)

    from collector_agent.importers.robot_output import run_import

    return run_import(
        arguments.files,
        settings.store,
        environment=settings.environment,
        redaction=settings.redaction(),
        time_zone=arguments.time_zone,
        business_tags=settings.business_tags,
        business_exceptions=settings.business_exceptions,
        business_patterns=settings.business_patterns,
        step_depth=settings.step_depth,
        version_metadata=settings.version_metadata,
    )


def _uipath_log(arguments: argparse.Namespace) -> int:
    settings = _settings(arguments)

    from collector_agent.importers.uipath_log import run_import

    return run_import(
        arguments.files,
        settings.store,
        environment=settings.environment,
        redaction=settings.redaction(),
        time_zone=arguments.time_zone,
        step_depth=settings.step_depth,
        business_exceptions=settings.business_exceptions,
        business_patterns=settings.business_patterns,
    )


def _orchestrator(arguments: argparse.Namespace) -> int:
    settings = _settings(arguments)

    from collector_agent.importers.orchestrator_export import run_import

    return run_import(
        arguments.files,
        settings.store,
        environment=settings.environment,
        redaction=settings.redaction(),
        time_zone=arguments.time_zone,
        time_format=arguments.time_format,
        queue=arguments.queue,
        business_exceptions=settings.business_exceptions,
        business_patterns=settings.business_patterns,
    )


def _mapped(arguments: argparse.Namespace) -> int:
    settings = _settings(arguments)

    from collector_agent.importers.mapped_file import run_import

    return run_import(
        arguments.files,
        arguments.mapping,
        settings.store,
        environment=settings.environment,
        redaction=settings.redaction(),
        time_zone=arguments.time_zone,
    )


def _settings(arguments: argparse.Namespace) -> AgentSettings:
    """The agent's settings, and before them what the command line says."""
    logging.getLogger(_STORE_LOG).addHandler(logging.NullHandler())  # the import says what became of its rows
    if arguments.store and has_password(arguments.store):
        raise SettingsError(
            "a password does not belong on the command line: put the URL into "
            f"{VARIABLE_PREFIX}STORE or into the settings file, or leave the password to ~/.pgpass"
        )
    given = {
        "store": arguments.store,
        "environment": arguments.environment,
        "step_depth": getattr(arguments, "step_depth", None),
    }
    return load_settings(arguments.config, **{name: value for name, value in given.items() if value})
