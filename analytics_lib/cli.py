"""`rpa-analytics`: migrate, run a pipeline's task without Airflow, try it on existing results."""

import argparse
import json
import os
import sys
import tempfile
import webbrowser
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, time, timedelta
from pathlib import Path
from typing import Any, Final
from zoneinfo import ZoneInfo

from analytics_lib import __version__, settings
from analytics_lib.errors import ImportFileError, RpaAnalyticsError, SettingsError
from analytics_lib.windows import next_hour, to_us

# Each command imports what it needs when it runs: `--help` and mistakes are answered at once.

DEFAULT_WINDOW_DAYS: Final = 7
RESULT_PATTERNS: Final = ("*.xml", "*.json")


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

    migrate = _command(commands, "migrate", "bring the database to the newest schema", _migrate)
    _add_store(migrate)

    run = commands.add_parser("run", help="run a task of the pipeline now, without Airflow")
    tasks = run.add_subparsers(title="tasks", required=True, metavar="TASK")
    hourly = _command(tasks, "hourly-aggregation", "roll up every hour that has news", _hourly_aggregation)
    _add_store(hourly)
    _add_window(hourly, "compute the hours of this window again")
    hourly.add_argument("--as-of", metavar="TIME", help="take this for now: later hours stay open")
    report = _command(tasks, "report-rendering", "write a window's report as HTML and PDF", _report_rendering)
    _add_store(report)
    _add_window(report, f"the report's window (default: the last {DEFAULT_WINDOW_DAYS} days, today included)")
    report.add_argument("--days", type=_days, metavar="N", help="the last N days, today included")
    report.add_argument(
        "--output",
        type=Path,
        metavar="FOLDER",
        help=f"where the files go (default: {settings.REPORTS_VARIABLE}, else ./reports)",
    )
    report.add_argument("--title", help="the report's title")

    try_it = _command(
        commands,
        "try",
        "see what the product makes of a folder of Robot Framework results: no set-up, nothing kept",
        _try,
    )
    try_it.add_argument(
        "folders",
        nargs="+",
        type=Path,
        metavar="FOLDER",
        help="results: output.xml or output.json, at any depth",
    )
    try_it.add_argument(
        "--output",
        type=Path,
        metavar="FOLDER",
        help="where the report goes (default: a new temporary folder)",
    )
    try_it.add_argument("--no-open", action="store_true", help="print the report's path only")
    _add_time_zone(try_it, "in which the results were written and the report is read")

    _command(commands, "dags-folder", "print the folder of the DAGs, to point Airflow at", _dags_folder)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command; gives the exit code. Our errors are one message, without a traceback."""
    arguments = build_parser().parse_args(argv)
    command: Callable[[argparse.Namespace], int] = arguments.command
    try:
        return command(arguments)
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

    location = _store(arguments)
    engine = open_engine(location)
    try:
        migrate(engine)
    finally:
        engine.dispose()
    print(f"{describe(location)} has schema version {SCHEMA_VERSION}")
    return 0


def _hourly_aggregation(arguments: argparse.Namespace) -> int:
    from analytics_lib import pipeline

    location, zone = _store(arguments), settings.time_zone(arguments.time_zone)
    as_of = settings.moment(arguments.as_of, zone) if arguments.as_of else datetime.now(UTC)
    window = _window(arguments, zone)
    result: dict[str, Any] = {}
    if window:
        result |= pipeline.mark_window(location, window_start=window[0], window_end=window[1])
    result |= pipeline.sweep_abandoned(location, as_of=as_of)
    result |= pipeline.aggregate_pending(location, as_of=as_of)
    print(json.dumps(result))
    return 0


def _report_rendering(arguments: argparse.Namespace) -> int:
    from analytics_lib import pipeline

    zone = settings.time_zone(arguments.time_zone)
    now = datetime.now(UTC)
    window = _window(arguments, zone)
    if window and arguments.days:
        raise SettingsError("give either --days or --window-start and --window-end")
    start, end = window or _last_days(now, zone, arguments.days or DEFAULT_WINDOW_DAYS)
    result = pipeline.render_report(
        _store(arguments),
        window_start=start,
        window_end=end,
        time_zone=zone,
        output_folder=settings.reports_folder(arguments.output),
        as_of=now,
        title=arguments.title,
    )
    _print_report(result)
    return 0


def _try(arguments: argparse.Namespace) -> int:
    zone = settings.time_zone(arguments.time_zone)
    files = _result_files(arguments.folders)

    from analytics_lib import pipeline
    from collector_agent.importers.robot_output import run_import

    output = arguments.output or Path(tempfile.mkdtemp(prefix="rpa-report-"))
    with tempfile.TemporaryDirectory(prefix="rpa-try-", ignore_cleanup_errors=True) as store:
        failed = run_import(files, store, time_zone=zone)
        now = datetime.now(UTC)
        rolled_up = pipeline.aggregate_pending(
            store, as_of=datetime.fromtimestamp(next_hour(to_us(now)) / 1e6, UTC)
        )
        print(f"rolled up {rolled_up['rows_read']:,} rows of {rolled_up['hours']:,} hours")
        span = pipeline.executions_span(store)
        if span is None:
            raise ImportFileError("no task with a result was found in these files: nothing to report")
        result = pipeline.render_report(
            store,
            window_start=_midnight(span[0], zone),
            window_end=_midnight(span[1], zone, days_later=1),
            time_zone=zone,
            output_folder=output,
            as_of=now,
            title="What your robots did",
        )
    _print_report(result)
    if not arguments.no_open and sys.stdout.isatty():
        webbrowser.open(Path(result["html"]).as_uri())
    return failed


def _dags_folder(_arguments: argparse.Namespace) -> int:
    print(dags_folder())
    return 0


def _result_files(folders: Sequence[Path]) -> list[Path]:
    """The result files in the folders; a file stands for itself. Raises ImportFileError for none."""
    files: list[Path] = []
    for folder in folders:
        if not folder.exists():
            raise ImportFileError(f"{folder} does not exist: name a folder of Robot Framework results")
        if folder.is_file():
            files.append(folder)
            continue
        files += sorted(
            path for pattern in RESULT_PATTERNS for path in folder.rglob(pattern) if path.is_file()
        )
    if not files:
        raise ImportFileError(
            f"no {' or '.join(RESULT_PATTERNS)} file below {', '.join(map(str, folders))}: "
            "name the folder that holds output.xml"
        )
    return files


def _print_report(result: dict[str, Any]) -> None:
    for line in result["summary"]:
        print(line)
    print(f"HTML  {result['html']}")
    print(f"PDF   {result['pdf']}")


def _command(
    group: Any, name: str, what: str, function: Callable[[argparse.Namespace], int]
) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = group.add_parser(name, help=what, description=what)
    parser.set_defaults(command=function)
    return parser


def _add_store(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--store", metavar="LOCATION", help=f"a folder or a database URL (default: {settings.STORE_VARIABLE})"
    )


def _add_window(parser: argparse.ArgumentParser, what: str) -> None:
    parser.add_argument("--window-start", metavar="TIME", help=f"{what}; 2026-11-23 or 2026-11-23T09:00")
    parser.add_argument("--window-end", metavar="TIME", help="its end, itself not included")
    _add_time_zone(parser, "of times without an offset")


def _add_time_zone(parser: argparse.ArgumentParser, what: str) -> None:
    parser.add_argument(
        "--timezone",
        dest="time_zone",
        metavar="ZONE",
        help=f"IANA time zone {what} (default: {settings.TIME_ZONE_VARIABLE}, else UTC)",
    )


def _days(text: str) -> int:
    if not text.isdigit() or not 1 <= int(text) <= 3660:
        raise argparse.ArgumentTypeError(f"{text!r} is no number of days from 1 to 3660")
    return int(text)


def _store(arguments: argparse.Namespace) -> str:
    location = settings.store_location(arguments.store)
    if arguments.store:
        settings.refuse_password(arguments.store)
    return location


def _window(arguments: argparse.Namespace, zone: str) -> tuple[datetime, datetime] | None:
    if not arguments.window_start and not arguments.window_end:
        return None
    if not (arguments.window_start and arguments.window_end):
        raise SettingsError("a window needs both --window-start and --window-end")
    return settings.moment(arguments.window_start, zone), settings.moment(arguments.window_end, zone)


def _last_days(now: datetime, zone: str, days: int) -> tuple[datetime, datetime]:
    """The last local days, today included: [midnight, midnight after today)."""
    return _midnight(now, zone, days_later=1 - days), _midnight(now, zone, days_later=1)


def _midnight(moment: datetime, zone: str, days_later: int = 0) -> datetime:
    day = moment.astimezone(ZoneInfo(zone)).date() + timedelta(days=days_later)
    return datetime.combine(day, time(), ZoneInfo(zone))
