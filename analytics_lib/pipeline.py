"""One function per DAG task: load, call the pure stage, save. Each can be run twice or killed half-way.

`location` is the store's folder or URL. Results are small dicts of plain values, fit for XCom.
"""

import logging
import os
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from zoneinfo import ZoneInfo

import pandas as pd
from sqlalchemy import Connection, Engine

from analytics_lib import settings
from analytics_lib.catalog import Source
from analytics_lib.errors import ReportError
from analytics_lib.rollup.hourly import roll_up_executions, roll_up_resources, roll_up_steps
from analytics_lib.store import TimeSeriesStore, abandonment, ledger, report_rows, rollup_rows
from analytics_lib.store.engine import connect_to_read
from analytics_lib.store.reading import SOURCES
from analytics_lib.store.versions import check_readable
from analytics_lib.store.writing import ROLLUP_STAGE
from analytics_lib.windows import HOUR_US, MICROSECOND, Window, to_us

ROLLUPS_ASSET: Final = "rpa_hourly_rollups"
REPORTS_ASSET: Final = "rpa_reports"
if TYPE_CHECKING:
    from analytics_lib.report.model import ReportInputs

FAILURES_LIMIT: Final = 20_000
HISTORY: Final = timedelta(days=28)
_log = logging.getLogger("rpa_analytics.pipeline")


def open_store(location: str | Path) -> TimeSeriesStore:
    """The store, if this program may read it. Raises StoreError or SchemaVersionError."""
    store = TimeSeriesStore(location)
    check_readable(store.schema_version)
    return store


def mark_window(location: str | Path, *, window_start: datetime, window_end: datetime) -> dict[str, Any]:
    """Marks the window's hours, so that the next aggregation computes them again. {'marks': n}.

    Raises QueryError when the window ends before it starts.
    """
    window = Window.of(window_start, window_end)
    with open_store(location) as store, store.engine.begin() as connection:
        marks = ledger.mark_window(connection, ROLLUP_STAGE, window, SOURCES)
    return {"marks": marks}


def sweep_abandoned(
    location: str | Path, *, as_of: datetime, abandoned_after: timedelta = abandonment.ABANDONED_AFTER
) -> dict[str, Any]:
    """Records runs whose heartbeats stopped without an end. {'abandoned': how many are new}."""
    with open_store(location) as store, store.engine.begin() as connection:
        found = abandonment.sweep_abandoned(connection, to_us(as_of), abandoned_after // MICROSECOND)
    return {"abandoned": found}


@dataclass(slots=True)
class Aggregation:
    """What an aggregation did. `late_rows`: rows that reached an hour after it was rolled up before."""

    days: int = 0
    hours: int = 0
    rows_read: int = 0
    rollup_rows: int = 0
    late_rows: int = 0
    pending_hours: int = 0


def aggregate_pending(
    location: str | Path, *, as_of: datetime, max_days: int | None = None
) -> dict[str, Any]:
    """Rolls up every marked hour that has ended by `as_of`: the fields of `Aggregation`.

    Works day by day, newest first, each in one transaction; what is left over (at most `max_days`
    days a run) keeps its marks. Two at once share the work: whoever comes second to a day waits,
    finds no marks and goes on.
    """
    closed_before_us = to_us(as_of)
    done = Aggregation()
    with open_store(location) as store:
        while max_days is None or done.days < max_days:
            with connect_to_read(store.engine) as connection:
                days = ledger.pending_days(connection, ROLLUP_STAGE, closed_before_us)
            if not days:
                break
            for unit in days[: None if max_days is None else max_days - done.days]:
                _roll_up_day(store.engine, unit, closed_before_us, done)
                done.days += 1
        with connect_to_read(store.engine) as connection:
            done.pending_hours = ledger.count_pending_hours(connection, ROLLUP_STAGE, closed_before_us)
    if done.late_rows:
        _log.info("%d late rows reached hours that were rolled up before", done.late_rows)
    return asdict(done)


def _roll_up_day(engine: Engine, unit: ledger.PendingDay, closed_before_us: int, done: Aggregation) -> None:
    """One day of one source in one transaction: a reader sees the old rows or the new, never none."""
    with engine.begin() as connection:
        ledger.lock_shard(connection, ROLLUP_STAGE, unit)
        marks = ledger.read_marks(connection, ROLLUP_STAGE, unit, closed_before_us)
        if not marks.shards:
            return
        hours = {hour for hour, _ in marks.shards}
        window = Window(min(hours), max(hours) + HOUR_US)
        raw, rows, overruled = _compute(connection, unit.kind, window, marks)
        before = rollup_rows.count_rolled_up(connection, unit.kind, marks.shards)
        rollup_rows.replace_rollups(connection, unit.kind, marks.shards, rows)
        ledger.delete_marks(connection, marks)
        ledger.append_marks(connection, [(ROLLUP_STAGE, unit.kind, *s) for s in overruled - marks.shards])
        after = rollup_rows.count_rolled_up(connection, unit.kind, before) if before else {}
    done.hours += len(hours)
    done.rows_read += raw
    done.rollup_rows += len(rows)
    done.late_rows += sum(max(0, after.get(shard, 0) - n) for shard, n in before.items())


def _compute(
    connection: Connection, source: Source, window: Window, marks: ledger.Marks
) -> tuple[int, pd.DataFrame, set[tuple[int, int]]]:
    """(raw rows used, rollup rows, shards to be marked again because a late end overruled them)."""
    raw = _in_shards(rollup_rows.read_raw(connection, source, window), marks)
    if source == "step":
        return len(raw), roll_up_steps(raw), set()
    if source == "resource":
        return len(raw), roll_up_resources(raw), set()
    abandoned = _in_shards(rollup_rows.read_abandoned(connection, window), marks)
    overruled = rollup_rows.overruled_shards(connection, window)
    return len(raw) + len(abandoned), roll_up_executions(raw, abandoned), overruled


def _in_shards(rows: pd.DataFrame, marks: ledger.Marks) -> pd.DataFrame:
    """The rows of the marked (hour, bucket) pairs; a day's window may hold others between them."""
    moment = next(name for name in ("ended_at_us", "sampled_at_us", "last_seen_at_us") if name in rows)
    shards = pd.MultiIndex.from_tuples(sorted(marks.shards))
    found = pd.MultiIndex.from_arrays([rows[moment] - rows[moment] % HOUR_US, rows["bucket"]]).isin(shards)
    return rows[found].reset_index(drop=True)


def render_report(
    location: str | Path,
    *,
    window_start: datetime,
    window_end: datetime,
    time_zone: str,
    output_folder: str | Path,
    as_of: datetime,
    title: str | None = None,
) -> dict[str, Any]:
    """Writes the window's report as HTML and PDF: {'html': path, 'pdf': path, 'summary': five lines}.

    The same window gives the same file names, and each file is replaced whole. Raises QueryError,
    SettingsError, StoreError or ReportError.
    """
    # Here, because the other tasks need no templates and no charts.
    from analytics_lib.report.html import render_html
    from analytics_lib.report.model import build_report
    from analytics_lib.report.pdf import render_pdf

    window = Window.of(window_start, window_end)
    zone = settings.time_zone(time_zone)
    report = build_report(_report_inputs(location, window, zone, title, as_of))
    folder = Path(output_folder)
    first = window.start.astimezone(ZoneInfo(zone))
    last = (window.end - MICROSECOND).astimezone(ZoneInfo(zone))
    name = f"rpa-report-{first:%Y-%m-%d}-to-{last:%Y-%m-%d}"
    html = render_html(report)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        unfinished = folder / f".{name}.html.{os.getpid()}"
        unfinished.write_text(html, encoding="utf-8")
        unfinished.replace(folder / f"{name}.html")
    except OSError as error:
        raise ReportError(
            f"the report cannot be written to {folder} ({error.strerror}): "
            f"name another folder, or set {settings.REPORTS_VARIABLE}"
        ) from None
    render_pdf(html, folder / f"{name}.pdf")
    return {
        "html": str(folder / f"{name}.html"),
        "pdf": str(folder / f"{name}.pdf"),
        "summary": list(report.summary),
    }


def executions_span(location: str | Path) -> tuple[datetime, datetime] | None:
    """When the first and the last execution ended; None where there is none."""
    with open_store(location) as store, connect_to_read(store.engine) as connection:
        return report_rows.executions_span(connection)


def _report_inputs(
    location: str | Path, window: Window, zone: str, title: str | None, as_of: datetime
) -> "ReportInputs":
    from analytics_lib.report.model import ReportInputs

    compared = Window(window.previous().start_us, window.end_us)
    history_start = min(compared.start_us, window.start_us - HISTORY // MICROSECOND)
    closed_before_us = to_us(as_of)
    # One read transaction, so that an aggregation that runs meanwhile cannot tear the numbers apart.
    with open_store(location) as store, connect_to_read(store.engine) as connection:
        failures, truncated = report_rows.read_failures(connection, window, FAILURES_LIMIT)
        return ReportInputs(
            executions=rollup_rows.read_rollups(
                connection, "execution", Window(history_start, window.end_us)
            ),
            steps=rollup_rows.read_rollups(connection, "step", compared),
            resources=rollup_rows.read_rollups(connection, "resource", compared),
            failures=failures,
            failures_truncated=truncated,
            window=window,
            time_zone=zone,
            data_through_us=report_rows.data_through_us(connection),
            pending_hours=ledger.count_pending_hours(connection, ROLLUP_STAGE, closed_before_us),
            row_counts=report_rows.count_raw_rows(connection, window),
            generated_as_of_us=closed_before_us,
            title=title or "How the robots are doing",
        )
