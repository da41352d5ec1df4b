"""`rpa-analytics run`: the stages of the pipeline now, without Airflow; each does what its DAG does."""

import argparse
import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from time import monotonic
from typing import Any, Final

from analytics_lib import formats, settings
from analytics_lib.commands.arguments import add_command, add_store, add_time_zone, store_location
from analytics_lib.errors import DeliveryError, SettingsError

DEFAULT_WINDOW_DAYS: Final = 7


@dataclass(frozen=True, slots=True)
class Stage:
    """One stage: its name, what it does, and which options it takes besides the shared ones."""

    name: str
    what: str
    run: Callable[[argparse.Namespace, "Moment"], dict[str, Any]]
    window: str = ""  # what a window means to it; '' where it takes none
    delivers: str = ""  # what it can send; '' for nothing


@dataclass(frozen=True, slots=True)
class Moment:
    """When and where a run takes itself to be."""

    as_of: datetime
    zone: str
    window: tuple[datetime, datetime] | None


def add_commands(commands: Any) -> None:
    """Adds `run` with a task for each stage, and `all`."""
    what = "run a stage of the pipeline now, without Airflow"
    group = commands.add_parser("run", help=what, description=what)
    tasks = group.add_subparsers(title="stages", required=True, metavar="STAGE")
    for stage in STAGES:
        parser = add_command(tasks, stage.name, stage.what, _run_one)
        parser.set_defaults(stage=stage)
        _add_options(parser, (stage,))
    everything = add_command(tasks, "all", "all stages, one after the other: what cron calls", _run_all)
    _add_options(everything, STAGES)


def _run_one(arguments: argparse.Namespace) -> int:
    stage: Stage = arguments.stage
    result = stage.run(arguments, _moment(arguments))
    _answer(result)
    if problem := _mail_problem(result):
        raise DeliveryError(problem)
    return 0


def _run_all(arguments: argparse.Namespace) -> int:
    """Stops at the first stage that fails, as the DAGs would: later ones build on it, but not on mails."""
    moment = _moment(arguments)
    problems = []
    for number, stage in enumerate(STAGES, 1):
        began_s = monotonic()
        print(f"[{number}/{len(STAGES)}] {stage.name} …", file=sys.stderr, flush=True)
        result = stage.run(arguments, moment)
        print(
            json.dumps({"stage": stage.name, "seconds": round(monotonic() - began_s, 1), **result}),
            flush=True,
        )
        problems += [problem] if (problem := _mail_problem(result)) else []
    if problems:
        raise DeliveryError("; ".join(problems))
    return 0


def _mail_problem(result: dict[str, Any]) -> str:
    mails: dict[str, Any] = result.get("mails", {})
    return str(mails.get("problem", ""))


def _answer(result: dict[str, Any]) -> None:
    """For people where there is a summary, else one line of JSON."""
    summary = result.get("summary")
    if summary is None:
        print(json.dumps(result))
    else:
        print_report(result)
        if mails := result.get("mails"):
            print(f"Mail  {json.dumps(mails)}")


def print_report(result: dict[str, Any]) -> None:
    """The summary of a rendered report and where its files are."""
    for line in result["summary"]:
        print(formats.printable(line))
    print(f"HTML  {result['html']}")
    print(f"PDF   {result['pdf']}")


def _hourly_aggregation(arguments: argparse.Namespace, moment: Moment) -> dict[str, Any]:
    from analytics_lib import pipeline

    location, dry_run = store_location(arguments), arguments.dry_run
    result: dict[str, Any] = {}
    if moment.window:
        start, end = moment.window
        result |= pipeline.mark_window(location, window_start=start, window_end=end, dry_run=dry_run)
    if partitions := pipeline.maintain_partitions(location, as_of=moment.as_of, dry_run=dry_run):
        result["partitions"] = partitions
    result |= pipeline.sweep_abandoned(location, as_of=moment.as_of, dry_run=dry_run)
    return result | pipeline.aggregate_pending(location, as_of=moment.as_of, dry_run=dry_run)


def _baseline_recomputation(arguments: argparse.Namespace, moment: Moment) -> dict[str, Any]:
    from analytics_lib import pipeline

    return pipeline.recompute_baselines(
        store_location(arguments), as_of=moment.as_of, time_zone=moment.zone, dry_run=arguments.dry_run
    )


def _anomaly_detection(arguments: argparse.Namespace, moment: Moment) -> dict[str, Any]:
    from analytics_lib import pipeline

    start, end = moment.window or (None, None)
    return pipeline.detect_anomalies(
        store_location(arguments),
        as_of=moment.as_of,
        time_zone=moment.zone,
        window_start=start,
        window_end=end,
        dry_run=arguments.dry_run,
    )


def _insight_generation(arguments: argparse.Namespace, moment: Moment) -> dict[str, Any]:
    from analytics_lib import pipeline

    location = store_location(arguments)
    result = pipeline.generate_insights(
        location, as_of=moment.as_of, time_zone=moment.zone, dry_run=arguments.dry_run
    )
    if arguments.deliver:
        folder = settings.reports_folder(getattr(arguments, "output", None))
        result["mails"] = pipeline.mail_insights(
            location, as_of=moment.as_of, output_folder=folder, dry_run=arguments.dry_run
        )
    return result


def _report_rendering(arguments: argparse.Namespace, moment: Moment) -> dict[str, Any]:
    from analytics_lib import pipeline

    if moment.window and arguments.days:
        raise SettingsError("give either --days or --window-start and --window-end")
    days = arguments.days or DEFAULT_WINDOW_DAYS
    start, end = moment.window or pipeline.last_days(moment.as_of, moment.zone, days)
    location, folder = store_location(arguments), settings.reports_folder(arguments.output)
    result = pipeline.render_report(
        location,
        window_start=start,
        window_end=end,
        time_zone=moment.zone,
        output_folder=folder,
        as_of=moment.as_of,
        title=arguments.title,
    )
    if arguments.deliver:
        result["mails"] = pipeline.deliver_reports(
            location, as_of=moment.as_of, output_folder=folder, dry_run=arguments.dry_run
        )
    return result


def _archive_retention(arguments: argparse.Namespace, moment: Moment) -> dict[str, Any]:
    from analytics_lib import pipeline
    from analytics_lib.retention.limits import KEEP_HOURLY_MONTHS, KEEP_RAW_DAYS

    return pipeline.archive_and_retain(
        store_location(arguments),
        as_of=moment.as_of,
        archive_folder=arguments.archive,
        keep_raw_days=arguments.keep_raw_days or KEEP_RAW_DAYS,
        keep_hourly_months=arguments.keep_hourly_months or KEEP_HOURLY_MONTHS,
        dry_run=arguments.dry_run,
    )


STAGES: Final = (
    Stage(
        "hourly-aggregation",
        "roll up every hour that has news",
        _hourly_aggregation,
        window="compute the hours of this window again",
    ),
    Stage("baseline-recomputation", "learn what is normal, from eight weeks", _baseline_recomputation),
    Stage(
        "anomaly-detection",
        "judge what has news, and what is missing",
        _anomaly_detection,
        window="judge the hours of this window again",
    ),
    Stage(
        "insight-generation",
        "say what the anomalies mean",
        _insight_generation,
        delivers="insights that are severe enough",
    ),
    Stage(
        "report-rendering",
        "write a window's report as HTML and PDF",
        _report_rendering,
        window=f"the report's window (default: the last {DEFAULT_WINDOW_DAYS} days, today included)",
        delivers="the reports that are due",
    ),
    Stage("archive-retention", "archive old rows, then delete them", _archive_retention),
)


def _add_options(parser: argparse.ArgumentParser, stages: tuple[Stage, ...]) -> None:
    add_store(parser)
    windows = [stage.window for stage in stages if stage.window]
    if windows:
        what = windows[0] if len(windows) == 1 else "compute, judge and report the hours of this window"
        parser.add_argument("--window-start", metavar="TIME", help=f"{what}; 2026-11-23 or 2026-11-23T09:00")
        parser.add_argument("--window-end", metavar="TIME", help="its end, itself not included")
    add_time_zone(parser, "of reports, and of times without an offset")
    parser.add_argument("--as-of", metavar="TIME", help="take this for now: later hours stay open")
    parser.add_argument("--dry-run", action="store_true", help="say what would be done; change nothing")
    sent = [stage.delivers for stage in stages if stage.delivers]
    if sent:
        what = " and ".join(sent)
        parser.add_argument("--deliver", action="store_true", help=f"then mail {what} to the recipients set")
    names = {stage.name for stage in stages}
    if "report-rendering" in names:
        parser.add_argument(
            "--days", type=_at_most(3660, "days"), metavar="N", help="the last N days, today included"
        )
        parser.add_argument("--title", help="the report's title")
    if names & {"report-rendering", "insight-generation"}:
        parser.add_argument(
            "--output",
            type=Path,
            metavar="FOLDER",
            help=f"where reports and mails go (default: {settings.REPORTS_VARIABLE}, else ./reports)",
        )
    if "archive-retention" in names:
        parser.add_argument(
            "--archive",
            type=Path,
            metavar="FOLDER",
            help=f"where archived days go (default: {settings.ARCHIVE_VARIABLE}, else beside SQLite's file)",
        )
        parser.add_argument("--keep-raw-days", type=_at_most(36_600, "days"), metavar="N", help="default: 90")
        parser.add_argument(
            "--keep-hourly-months", type=_at_most(1_200, "months"), metavar="N", help="default: 25"
        )


def _at_most(most: int, unit: str) -> Callable[[str], int]:
    def number(text: str) -> int:
        if not text.isdigit() or not 1 <= int(text) <= most:
            raise argparse.ArgumentTypeError(f"{text!r} is no number of {unit} from 1 to {most}")
        return int(text)

    return number


def _moment(arguments: argparse.Namespace) -> Moment:
    zone = settings.time_zone(arguments.time_zone)
    as_of = settings.moment(arguments.as_of, zone) if arguments.as_of else datetime.now(UTC)
    start, end = getattr(arguments, "window_start", None), getattr(arguments, "window_end", None)
    if bool(start) != bool(end):
        raise SettingsError("a window needs both --window-start and --window-end")
    window = (settings.moment(start, zone), settings.moment(end, zone)) if start and end else None
    return Moment(as_of, zone, window)
