"""What a report says: rollup rows and failed runs in, words and numbers out. Pure.

No clock, settings, file or database: the same inputs give the same report, to the letter.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

import pandas as pd

from analytics_lib import formats
from analytics_lib.errors import ReportError
from analytics_lib.report import about
from analytics_lib.report.anomaly_marks import AnomalyMarks
from analytics_lib.report.failures import COLUMNS as FAILURE_COLUMNS
from analytics_lib.report.failures import failure_section
from analytics_lib.report.insights import insight_section, needs_you
from analytics_lib.report.names import unambiguous, with_names
from analytics_lib.report.parts import Report
from analytics_lib.report.periods import LocalTime, Scope, within
from analytics_lib.report.resources import resource_section
from analytics_lib.report.steps import step_section
from analytics_lib.report.tiles import headline_tiles
from analytics_lib.report.trends import Timeline, duration_trend, heat_map, runs_trend, success_trend
from analytics_lib.report.whats_changed import what_changed
from analytics_lib.report.workflows import workflow_section
from analytics_lib.schema import metadata
from analytics_lib.totals import total
from analytics_lib.windows import Window

__all__ = ["Report", "ReportInputs", "build_report"]


@dataclass(frozen=True)
class ReportInputs:
    """All that a report is made of. Frames have the columns of the tables of `analytics_lib.schema`.

    executions: rollup_execution_hourly, up to 28 days before the window, the period before, the window.
    steps, resources: rollup_step_hourly and rollup_resource_hourly of the period before and the window.
    failures: failed runs of the window, newest first: workflow_id, environment, host, exception_kind,
    status, message, ended_at_us, execution_id. row_counts: rows behind the window by source.
    insights: unresolved ones, and those resolved within the window; anomalies: open ones of the window.
    judged: whether anything was judged at all; if not, an empty frame of insights is no good news.
    display_names: by workflow id, where people call a workflow otherwise.
    """

    executions: pd.DataFrame
    steps: pd.DataFrame
    resources: pd.DataFrame
    failures: pd.DataFrame
    failures_truncated: bool
    window: Window
    time_zone: str
    data_through_us: int | None
    pending_hours: int
    row_counts: dict[str, int]
    generated_as_of_us: int
    title: str
    insights: pd.DataFrame = field(default_factory=pd.DataFrame)
    anomalies: pd.DataFrame = field(default_factory=pd.DataFrame)
    judged: bool = True
    display_names: Mapping[str, str] = field(default_factory=dict)


def build_report(inputs: ReportInputs) -> Report:
    """Everything that the template shows. Raises ReportError for frames or a time zone that do not fit."""
    local = LocalTime.of(inputs.time_zone, inputs.window)
    scope = Scope.of(inputs.window, inputs.generated_as_of_us, local)
    named = [
        _checked(inputs.executions, "rollup_execution_hourly", "executions"),
        _checked(inputs.steps, "rollup_step_hourly", "steps"),
        _checked(inputs.insights, "insight", "insights"),
        _checked_failures(inputs.failures),
    ]
    names = unambiguous(inputs.display_names, (str(one) for f in named for one in f["workflow_id"].unique()))
    executions, steps, insights, failed = (with_names(frame, names) for frame in named)
    resources = _checked(inputs.resources, "rollup_resource_hourly", "resources")
    anomalies = AnomalyMarks.of(_checked(inputs.anomalies, "anomaly", "anomalies"), local)
    now, before = total(within(executions, scope.now)), total(within(executions, scope.before))
    timeline = Timeline.of(executions, scope, local)
    failures = failure_section(
        failed,
        truncated=inputs.failures_truncated,
        totals=now,
        timeline=timeline,
        local=local,
    )
    changed = what_changed(executions, scope, local, failures)
    step_part = step_section(steps, scope)
    resource_part = resource_section(resources, scope, timeline)
    nothing = not now.n and not step_part.slowest and not resource_part.rows
    halves = (success_trend(timeline), runs_trend(timeline)) if now.n else ()
    window_text = local.window_text(inputs.window)
    simulated_text = about.simulated_text(now)
    title = formats.shortened(inputs.title, 200)
    data_through = about.data_through(inputs.data_through_us, local)
    rows_text = about.rows_text(inputs.row_counts)
    return Report(
        title=title,
        window_text=window_text,
        previous_text=local.window_text(scope.before if scope.unfinished else local.before(inputs.window)),
        time_zone=local.zone.key,
        data_through=data_through,
        generated_as_of=formats.moment_text(local.moment(inputs.generated_as_of_us), year=True),
        rows_text=rows_text,
        simulated=now.simulated,
        simulated_text=simulated_text,
        warnings=about.warnings(
            scope,
            local,
            data_from_us=None if executions.empty else int(executions["hour_us"].min()),
            data_through_us=inputs.data_through_us,
            pending_hours=inputs.pending_hours,
            has_runs_before=before.n > 0,
        ),
        empty=about.empty_text(before.n) if nothing else "",
        needs_you=needs_you(insights, now, judged=inputs.judged),
        what_changed=changed,
        tiles=headline_tiles(now, before, timeline),
        insights=insight_section(insights, local),
        trend=duration_trend(timeline, anomalies) if now.n else None,
        halves=tuple(chart for chart in halves if chart),
        heat_map=heat_map(executions, scope, local) if now.n else None,
        workflows=workflow_section(executions, scope),
        failures=failures,
        steps=step_part,
        resources=resource_part,
        notes=about.notes(local, inputs.window, rows_text),
        summary=about.summary(
            f"{title}: {window_text} ({local.zone.key})",
            now,
            changed.sentences,
            f"Data through {data_through}; {rows_text}. {simulated_text}".rstrip(),
        ),
    )


def _checked(frame: pd.DataFrame, table: str, what: str) -> pd.DataFrame:
    """The frame if it has the table's columns (a wholly empty one gets them); else ReportError."""
    names = [column.name for column in metadata.tables[table].columns]
    if frame.empty:
        return frame.reindex(columns=names)
    missing = [name for name in names if name not in frame.columns]
    if missing:
        raise ReportError(
            f"the report's {what} lack the columns {', '.join(missing)} of {table}: "
            "load them as the table has them"
        )
    # Sorted, since a sum of floats depends on the order: the same rows give the same report to the letter.
    key = [column.name for column in metadata.tables[table].primary_key.columns]
    return frame.sort_values(key, ignore_index=True)


def _checked_failures(frame: pd.DataFrame) -> pd.DataFrame:
    if frame.empty:
        return frame.reindex(columns=list(FAILURE_COLUMNS))
    missing = [name for name in FAILURE_COLUMNS if name not in frame.columns]
    if missing:
        raise ReportError(f"the report's failures lack the columns {', '.join(missing)}: load them, too")
    return frame.reset_index(drop=True)
