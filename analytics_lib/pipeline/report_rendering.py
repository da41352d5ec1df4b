"""The DAG report_rendering: a window's rollups, failed runs and findings become a report, as HTML and PDF."""

import logging
import os
from dataclasses import dataclass
from datetime import datetime, time, timedelta
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any, Final
from zoneinfo import ZoneInfo

from analytics_lib import settings
from analytics_lib.errors import ReportError
from analytics_lib.store import ledger, open_store
from analytics_lib.store.engine import connect_to_read
from analytics_lib.store.writing import ROLLUP_STAGE
from analytics_lib.windows import MICROSECOND, Window, to_us

if TYPE_CHECKING:
    import pandas as pd

    from analytics_lib.report.model import Report, ReportInputs

REPORTS_ASSET: Final = "rpa_reports"
FAILURES_LIMIT: Final = 20_000
HISTORY: Final = timedelta(days=28)
TITLE: Final = "How the robots are doing"
_log = logging.getLogger("rpa_analytics.pipeline")


@dataclass(frozen=True, slots=True)
class RenderedReport:
    """A report and where its files are."""

    report: "Report"
    html: Path
    pdf: Path


def render_report(
    location: str | Path,
    *,
    window_start: datetime,
    window_end: datetime,
    time_zone: str,
    output_folder: str | Path,
    as_of: datetime,
    title: str | None = None,
    include_test: bool = False,
) -> dict[str, Any]:
    """Writes the window's report as HTML and PDF: {'html': path, 'pdf': path, 'summary': five lines}.

    The same window gives the same file names, and each file is replaced whole. Runs of the environment
    "test" are left out unless asked for. Raises QueryError, SettingsError, StoreError or ReportError.
    """
    rendered = write_report(
        location,
        Window.of(window_start, window_end),
        time_zone=time_zone,
        output_folder=Path(output_folder),
        as_of=as_of,
        title=title,
        include_test=include_test,
    )
    return {
        "html": str(rendered.html),
        "pdf": str(rendered.pdf),
        "summary": list(rendered.report.summary),
    }


def write_report(
    location: str | Path,
    window: Window,
    *,
    time_zone: str,
    output_folder: Path,
    as_of: datetime,
    title: str | None = None,
    include_test: bool = False,
) -> RenderedReport:
    """The same, with the report itself for who wants to send it."""
    from analytics_lib.report.html import render_html
    from analytics_lib.report.model import build_report
    from analytics_lib.report.pdf import render_pdf

    began = perf_counter()
    zone = settings.time_zone(time_zone)
    report = build_report(_inputs(location, window, zone, title, as_of, include_test=include_test))
    name = _file_name(window, zone)
    html = output_folder / f"{name}.html"
    page = render_html(report)
    try:
        output_folder.mkdir(parents=True, exist_ok=True)
        unfinished = output_folder / f".{name}.html.{os.getpid()}"
        unfinished.write_text(page, encoding="utf-8")
        unfinished.replace(html)
    except OSError as error:
        raise ReportError(
            f"the report cannot be written to {output_folder} ({error.strerror}): "
            f"name another folder, or set {settings.REPORTS_VARIABLE}"
        ) from None
    render_pdf(page, html.with_suffix(".pdf"))
    _log.info("rendered: %s.html and .pdf in %s, seconds %.1f", name, output_folder, perf_counter() - began)
    return RenderedReport(report, html, html.with_suffix(".pdf"))


def _file_name(window: Window, zone: str) -> str:
    """By the local days that the window is made of; by its hours, too, where it is not of whole days.

    >>> _file_name(Window(0, 86_400_000_000), "UTC"), _file_name(Window(0, 7_200_000_000), "UTC")
    ('rpa-report-1970-01-01-to-1970-01-01', 'rpa-report-1970-01-01T0000-to-1970-01-01T0200')
    """
    start, end = (moment.astimezone(ZoneInfo(zone)) for moment in (window.start, window.end))
    if start.time() == end.time() == time():
        return f"rpa-report-{start:%Y-%m-%d}-to-{end - timedelta(days=1):%Y-%m-%d}"
    return f"rpa-report-{start:%Y-%m-%dT%H%M}-to-{end:%Y-%m-%dT%H%M}"


def last_days(now: datetime, zone: str, days: int) -> tuple[datetime, datetime]:
    """The last local days, today included: [midnight, midnight after today)."""
    today = now.astimezone(ZoneInfo(zone))  # days added to it keep the wall clock
    return local_days(today + timedelta(days=1 - days), today + timedelta(days=1), zone)


def local_days(start: datetime, end: datetime, zone: str) -> tuple[datetime, datetime]:
    """The two moments, each moved back to the midnight with which its local day began."""
    days = (moment.astimezone(ZoneInfo(zone)).date() for moment in (start, end))
    first, last = (datetime.combine(day, time(), ZoneInfo(zone)) for day in days)
    return first, last


def executions_span(location: str | Path) -> tuple[datetime, datetime] | None:
    """When the first and the last execution ended; None where there is none."""
    from analytics_lib.store import report_rows

    with open_store(location) as store, connect_to_read(store.engine) as connection:
        return report_rows.executions_span(connection)


def _inputs(
    location: str | Path, window: Window, zone: str, title: str | None, as_of: datetime, *, include_test: bool
) -> "ReportInputs":
    from analytics_lib.report.model import ReportInputs
    from analytics_lib.report.periods import LocalTime, Scope, within
    from analytics_lib.store import insight_rows, report_rows, rollup_rows
    from analytics_lib.store.workflow_rows import read_register
    from analytics_lib.workflows import TEST_ENVIRONMENTS, without_environments

    compared = Window(window.previous().start_us, window.end_us)
    history_start = min(compared.start_us, window.start_us - HISTORY // MICROSECOND)
    closed_before_us = to_us(as_of)
    left_out = () if include_test else TEST_ENVIRONMENTS
    # One read transaction, so that an aggregation that runs meanwhile cannot tear the numbers apart.
    with open_store(location) as store, connect_to_read(store.engine) as connection:
        register = read_register(connection)

        def counted(frame: "pd.DataFrame") -> "pd.DataFrame":
            return without_environments(register.apply(frame), left_out)

        failures, truncated = report_rows.read_failures(connection, window, FAILURES_LIMIT)
        history = Window(history_start, window.end_us)
        executions = counted(rollup_rows.read_rollups(connection, "execution", history))
        steps = counted(rollup_rows.read_rollups(connection, "step", compared))
        resources = counted(rollup_rows.read_rollups(connection, "resource", compared))
        now = Scope.of(window, closed_before_us, LocalTime.of(zone, window)).now
        return ReportInputs(
            executions=executions,
            steps=steps,
            resources=resources,
            failures=counted(failures),
            failures_truncated=truncated,
            window=window,
            time_zone=zone,
            data_through_us=report_rows.data_through_us(connection),
            pending_hours=ledger.count_pending_hours(connection, ROLLUP_STAGE, closed_before_us),
            row_counts={
                "execution": int(within(executions, now)["n"].sum()),
                "step": int(within(steps, now)["n"].sum()),
                "resource": _samples(within(resources, now)),
            },
            generated_as_of_us=closed_before_us,
            title=title or TITLE,
            insights=without_environments(report_rows.read_insights(connection, window), left_out),
            anomalies=without_environments(insight_rows.read_open_anomalies(connection, window), left_out),
            judged=report_rows.is_judged(connection),
            display_names={one.workflow_id: one.name for one in register.workflows.values()},
        )


def _samples(resources: "pd.DataFrame") -> int:
    """How many samples are behind the rows, of which a sample is in one for each metric that it has."""
    return int(resources.groupby(["hour_us", "host", "target", "environment"])["n"].max().sum())
