"""What a report says: rollup rows and failed runs in, words and numbers out. Pure.

No clock, settings, file or database: the same inputs give the same report, to the letter.
"""

from dataclasses import dataclass

import pandas as pd

from analytics_lib.errors import ReportError
from analytics_lib.report import about, formats
from analytics_lib.report.failures import COLUMNS as FAILURE_COLUMNS
from analytics_lib.report.failures import failure_section
from analytics_lib.report.parts import Report
from analytics_lib.report.periods import LocalTime, Scope, within
from analytics_lib.report.resources import resource_section
from analytics_lib.report.steps import step_section
from analytics_lib.report.tiles import headline_tiles
from analytics_lib.report.totals import checked, total
from analytics_lib.report.trends import Timeline, duration_trend, heat_map, runs_trend, success_trend
from analytics_lib.report.whats_changed import what_changed
from analytics_lib.report.workflows import workflow_section
from analytics_lib.windows import Window

__all__ = ["Report", "ReportInputs", "build_report"]


@dataclass(frozen=True)
class ReportInputs:
    """All that a report is made of. Frames have the columns of the tables of `analytics_lib.schema`.

    executions: rollup_execution_hourly, up to 28 days before the window, the period before, the window.
    steps, resources: rollup_step_hourly and rollup_resource_hourly of the period before and the window.
    failures: failed runs of the window, newest first: workflow_id, environment, host, exception_kind,
    status, message, ended_at_us, execution_id. row_counts: raw rows of the window by source.
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


def build_report(inputs: ReportInputs) -> Report:
    """Everything that the template shows. Raises ReportError for frames or a time zone that do not fit."""
    local = LocalTime.of(inputs.time_zone, inputs.window)
    scope = Scope.of(inputs.window, inputs.generated_as_of_us, local)
    executions = checked(inputs.executions, "rollup_execution_hourly", "executions")
    steps = checked(inputs.steps, "rollup_step_hourly", "steps")
    resources = checked(inputs.resources, "rollup_resource_hourly", "resources")
    now, before = total(within(executions, scope.now)), total(within(executions, scope.before))
    timeline = Timeline.of(executions, scope, local)
    failures = failure_section(
        _checked_failures(inputs.failures),
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
        what_changed=changed,
        tiles=headline_tiles(now, before, timeline),
        trend=duration_trend(timeline) if now.n else None,
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


def _checked_failures(frame: pd.DataFrame) -> pd.DataFrame:
    if frame.empty:
        return frame.reindex(columns=list(FAILURE_COLUMNS))
    missing = [name for name in FAILURE_COLUMNS if name not in frame.columns]
    if missing:
        raise ReportError(f"the report's failures lack the columns {', '.join(missing)}: load them, too")
    return frame.reset_index(drop=True)
