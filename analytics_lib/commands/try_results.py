"""`rpa-analytics try`: what the product makes of existing results, in a store that is thrown away."""

import argparse
import sys
import tempfile
import webbrowser
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

from analytics_lib import settings
from analytics_lib.commands.arguments import add_command, add_time_zone
from analytics_lib.commands.run import print_report
from analytics_lib.errors import ImportFileError

RESULT_PATTERNS: Final = ("*.xml", "*.json")


def add_commands(commands: Any) -> None:
    """Adds `try`."""
    parser = add_command(
        commands,
        "try",
        "see what the product makes of a folder of Robot Framework results: no set-up, nothing kept",
        _try,
    )
    what = "results: output.xml or output.json, at any depth"
    parser.add_argument("folders", nargs="+", type=Path, metavar="FOLDER", help=what)
    parser.add_argument(
        "--output",
        type=Path,
        metavar="FOLDER",
        help="where the report goes (default: a new temporary folder)",
    )
    parser.add_argument("--no-open", action="store_true", help="print the report's path only")
    add_time_zone(parser, "in which the results were written and the report is read")


def _try(arguments: argparse.Namespace) -> int:
    zone = settings.time_zone(arguments.time_zone)
    files = _result_files(arguments.folders)

    from collector_agent.importers.robot_output import run_import

    output = arguments.output or Path(tempfile.mkdtemp(prefix="rpa-report-"))
    with tempfile.TemporaryDirectory(prefix="rpa-try-", ignore_cleanup_errors=True) as store:
        failed = run_import(files, store, time_zone=zone)
        result = _analyse(store, zone, output)
    print_report(result)
    if not arguments.no_open and sys.stdout.isatty():
        webbrowser.open(Path(result["html"]).as_uri())
    return failed


def _analyse(store: str, zone: str, output: Path) -> dict[str, Any]:
    """Every stage there is, as of the hour after the last run; gives what the report's stage gives."""
    from analytics_lib import pipeline

    now = datetime.now(UTC)
    rolled_up = pipeline.aggregate_pending(store, as_of=now + timedelta(hours=1))
    print(f"rolled up {rolled_up['rows_read']:,} rows of {rolled_up['hours']:,} hours")
    span = pipeline.executions_span(store)
    if span is None:
        raise ImportFileError("no task with a result was found in these files: nothing to report")
    over = span[1] + timedelta(hours=1)
    baselines = pipeline.recompute_baselines(store, as_of=over, time_zone=zone)
    anomalies = pipeline.detect_anomalies(store, as_of=over, time_zone=zone)
    insights = pipeline.generate_insights(store, as_of=over, time_zone=zone)
    print(
        f"learnt what is normal for {baselines['ready']:,} of {baselines['series']:,} series; "
        f"found {anomalies['anomalies']:,} anomalies and {insights['insights']:,} insights"
    )
    return pipeline.render_report(
        store,
        window_start=pipeline.local_days(span[0], span[0], zone)[0],
        window_end=pipeline.last_days(span[1], zone, 1)[1],
        time_zone=zone,
        output_folder=output,
        as_of=now,
        title="What your robots did",
    )


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
