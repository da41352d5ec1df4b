"""`rpa-agent preview`: exactly what would be sent, of a file, of the spool, or of a run made up on the spot.

Nothing is stored and nothing leaves the machine.
"""

import argparse
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from analytics_lib.errors import RpaAnalyticsError, SettingsError
from collector_agent.commands.arguments import add_command, add_config, add_json

if TYPE_CHECKING:
    from collector_agent.commands.previewed_rows import Row
    from collector_agent.redaction.policy import Redaction
    from collector_agent.settings import AgentSettings

ROWS: Final = 20
_STATUSES: Final = ("completed", "failed", "cancelled", "timed_out", "skipped")


def add_preview(commands: Any) -> None:
    """The group of commands and their arguments."""
    group = commands.add_parser("preview", help="show exactly what would be sent, without sending it")
    sources = group.add_subparsers(title="sources", required=True, metavar="SOURCE")

    output = _add(
        sources, "robot-output", "what an import of Robot Framework's results would store", _robot_output
    )
    _add_files(output, "output.xml or output.json")
    log = _add(sources, "uipath-log", "what an import of UiPath's execution logs would store", _uipath_log)
    _add_files(log, "…_Execution.log")
    export = _add(
        sources, "orchestrator", "what an import of Orchestrator's exports would store", _orchestrator
    )
    _add_files(export, "CSV, or JSON of its OData API")
    export.add_argument("--queue", default="", metavar="NAME", help="of queue items that do not name theirs")
    mapped = _add(sources, "mapped", "what an import by a mapping file would store", _mapped)
    _add_files(mapped, "CSV, JSON lines or a JSON array")
    mapped.add_argument(
        "--mapping", required=True, type=Path, metavar="FILE", help="TOML: which column is what"
    )
    _add(sources, "spool", "what waits in the spool of this machine", _spool)

    sample = _add(sources, "sample", "what would be stored of a run made up here", _sample)
    sample.add_argument("--workflow", default="example", metavar="NAME")
    sample.add_argument("--step", default="", metavar="NAME", help="a step of it that ended in the same way")
    sample.add_argument("--status", default="failed", choices=_STATUSES)
    sample.add_argument("--message", default="", metavar="TEXT", help="why it failed")
    sample.add_argument("--environment", default="", metavar="NAME", help="(default: the agent's)")
    sample.add_argument("--robot-id", default="", metavar="NAME", help="(default: the agent's)")
    sample.add_argument("--attended", action="store_true", help="a person sits at the robot")
    sample.add_argument(
        "--attribute",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="an attribute of it; may be given several times",
    )

    listed = add_command(
        sources,
        "fields",
        "list every field there is, and what is done where it can concern a person",
        _fields,
    )
    add_json(listed)


def _add(sources: Any, name: str, what: str, rows: Any) -> argparse.ArgumentParser:
    parser = add_command(sources, name, what, lambda arguments: _show(arguments, rows))
    parser.add_argument(
        "--rows",
        type=_count,
        default=ROWS,
        metavar="N",
        help=f"show the first N, 0 for all (default: {ROWS})",
    )
    add_config(parser)
    add_json(parser)
    return parser


def _add_files(parser: argparse.ArgumentParser, what: str) -> None:
    parser.add_argument("files", nargs="+", type=Path, metavar="FILE", help=what)
    parser.add_argument(
        "--timezone",
        dest="time_zone",
        default="",
        metavar="ZONE",
        help="IANA zone of times without an offset",
    )


def _count(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r} is no number of rows")
    return int(text)


def _show(arguments: argparse.Namespace, source: Any) -> int:
    from collector_agent.commands.previewed_rows import as_json, as_text, previewed
    from collector_agent.settings import load_settings_of_this_machine

    settings = load_settings_of_this_machine(arguments.config)
    redaction = settings.redaction()
    shown = masked = 0
    for row in previewed(source(arguments, settings, redaction), redaction, arguments.rows):
        shown += 1
        masked += sum(n for marks in row.masked.values() for n in marks.values())
        if arguments.json:
            print(as_json(row))
        else:
            print("\n".join(as_text(row)))
    if not arguments.json:
        print(f"{shown:,} rows, each as it would be sent; fields that say nothing are left out here")
        print(f"masked or replaced: {masked:,}; {redaction.problem() or 'nothing was left out'}")
    return 0


def _robot_output(
    arguments: argparse.Namespace, settings: "AgentSettings", redaction: "Redaction"
) -> "Iterator[Row]":
    from collector_agent.importers.robot_output import RobotOutput
    from collector_agent.robot_results import FailureKinds, time_zone

    kinds = FailureKinds(settings.business_tags, settings.business_exceptions, settings.business_patterns)
    zone = time_zone(arguments.time_zone)
    for path in arguments.files:
        output = RobotOutput(
            path,
            environment=settings.environment,
            zone=zone,
            kinds=kinds,
            step_depth=settings.step_depth,
            redaction=redaction,
        )
        yield from chain.from_iterable(output.rows())


def _uipath_log(
    arguments: argparse.Namespace, settings: "AgentSettings", redaction: "Redaction"
) -> "Iterator[Row]":
    from collector_agent.importers.tally import expanded_paths
    from collector_agent.importers.uipath_lines import PATTERN
    from collector_agent.importers.uipath_log import UiPathLog
    from collector_agent.importers.uipath_runs import UiPathRuns
    from collector_agent.importers.uipath_values import UiPathOptions, failure_kinds
    from collector_agent.robot_results import time_zone

    zone = time_zone(arguments.time_zone)
    options = UiPathOptions(
        environment=settings.environment,
        zone=zone,
        kinds=failure_kinds(settings.business_exceptions, settings.business_patterns),
        step_depth=settings.step_depth,
        redaction=redaction,
    )
    runs = UiPathRuns(options)
    logs = [UiPathLog(path, zone) for path in expanded_paths(arguments.files, PATTERN)]
    for log in sorted(logs, key=UiPathLog.first_us):
        yield from log.rows(runs)


def _orchestrator(
    arguments: argparse.Namespace, settings: "AgentSettings", redaction: "Redaction"
) -> "Iterator[Row]":
    from collector_agent.importers.orchestrator_export import OrchestratorExport
    from collector_agent.importers.orchestrator_fields import Rows, Times
    from collector_agent.importers.uipath_values import failure_kinds
    from collector_agent.robot_results import time_zone

    kinds = failure_kinds(settings.business_exceptions, settings.business_patterns)
    times = Times(time_zone(arguments.time_zone))
    maker = Rows(times, kinds, settings.environment, arguments.queue, redaction)
    for path in arguments.files:
        yield from OrchestratorExport(path, maker).rows()


def _mapped(
    arguments: argparse.Namespace, settings: "AgentSettings", redaction: "Redaction"
) -> "Iterator[Row]":
    from collector_agent.importers.mapped_file import MappedFile
    from collector_agent.importers.mapped_mapping import load_mapping
    from collector_agent.importers.mapped_rows import RowMaker

    mapped = load_mapping(arguments.mapping, arguments.time_zone)
    maker = RowMaker(mapped, settings.environment, redaction)
    for path in arguments.files:
        yield from MappedFile(path, mapped, maker).rows()


def _spool(
    arguments: argparse.Namespace, settings: "AgentSettings", redaction: "Redaction"
) -> "Iterator[Row]":
    from collector_agent.spool.reader import sets_in, undelivered_in

    try:
        for folder in sets_in(settings.spool):
            yield from undelivered_in(folder)
    except OSError as error:
        raise RpaAnalyticsError(f"the spool {settings.spool} cannot be read: {error.strerror}") from None


def _sample(
    arguments: argparse.Namespace, settings: "AgentSettings", redaction: "Redaction"
) -> "Iterator[Row]":
    """By the way that a robot's rows take; its signs of life are left out."""
    from analytics_lib.record_values import values_of
    from analytics_lib.records import Record
    from collector_agent.metrics_collector import MetricsCollector

    attributes = {}
    for given in arguments.attribute:
        name, sign, value = given.partition("=")
        if not sign:
            raise SettingsError(f"--attribute {given!r} has no value: write NAME=VALUE")
        attributes[name] = value
    records: list[Record] = []
    collector = MetricsCollector(
        records.extend,
        environment=arguments.environment or settings.environment,
        robot_id=arguments.robot_id or settings.robot_id,
        host=settings.host,
        queue=settings.queue,
        workflow_version=settings.workflow_version,
        redaction=redaction,
    )
    run = "preview"
    if arguments.attended:
        collector.record_execution_start(run, arguments.workflow, attended=True)
    else:
        collector.record_execution_start(run, arguments.workflow)
    if arguments.step:
        collector.record_step(
            run, arguments.step, status=arguments.status, duration_ms=1.0, message=arguments.message
        )
    collector.record_execution_complete(
        run, status=arguments.status, message=arguments.message, attributes=attributes
    )
    collector.flush()
    for record in records:
        if not record.kind.endswith("_heartbeat"):
            yield record.kind, values_of(record)


def _fields(arguments: argparse.Namespace) -> int:
    import json

    from collector_agent.redaction.fields import field_notes

    names = ("field", "rows", "says", "person")
    if arguments.json:
        print(json.dumps([dict(zip(names, note, strict=True)) for note in field_notes()], indent=2))
        return 0
    for name, rows, says, person in field_notes():
        print(f"{name:<29} {says} ({rows})")
        if person != "no":
            print(f"{'':<29} person: {person}")
    return 0
