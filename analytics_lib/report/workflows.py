"""The table of workflows: the busiest first, each against the period before."""

from typing import Final

import pandas as pd

from analytics_lib import formats
from analytics_lib.report.changes import median_change, success_change
from analytics_lib.report.parts import WorkflowRow, WorkflowSection
from analytics_lib.report.periods import Scope, within
from analytics_lib.totals import NO_RUNS, P95_FROM_N, SIMULATED, RunTotals, run_totals

N_ROWS: Final = 40
NAME_LIMIT: Final = 160
_KEY: Final = ["workflow_id", "environment"]


def workflow_section(executions: pd.DataFrame, scope: Scope) -> WorkflowSection:
    """Up to 40 workflows by robot time; the rest is counted in the caption."""
    now = run_totals(within(executions, scope.now), _KEY)
    before = run_totals(within(executions, scope.before), _KEY)
    ordered = sorted(now.items(), key=lambda item: (-item[1].duration_sum_ms, str(item[0])))
    rows = tuple(_row(key, totals, before.get(key, NO_RUNS)) for key, totals in ordered[:N_ROWS])
    caption = (
        "By robot time. Arrows compare with the period before; they are coloured where the change is clear, "
        f"grey where chance or too few runs may explain it. p95 from {P95_FROM_N} runs on."
    )
    if len(ordered) > N_ROWS:
        rest = len(ordered) - N_ROWS
        runs = sum(totals.n for _, totals in ordered[N_ROWS:])
        more = formats.runs_text(rest, "more workflow")
        caption += f" {more} with {formats.runs_text(runs)} together not shown."
    return WorkflowSection(rows, caption, "" if rows else "No run ended in this period.")


def environment_text(environment: str) -> str:
    """What to show beside a name: simulated has its badge, production goes without saying."""
    return "" if environment in ("", "production", SIMULATED) else formats.shortened(environment, 40)


def _row(key: tuple[object, ...], now: RunTotals, before: RunTotals) -> WorkflowRow:
    environment = str(key[1])
    return WorkflowRow(
        workflow=formats.name_text(str(key[0]), NAME_LIMIT),
        environment=environment_text(environment),
        simulated=environment == SIMULATED,
        runs=formats.count_text(now.n),
        success=formats.percent_text(now.success_rate),
        success_change=success_change(now, before),
        median=formats.duration_text(now.duration_p50_ms),
        median_change=median_change(now, before),
        p95=formats.duration_text(now.duration_p95_ms),
        work=formats.work_text(now.duration_sum_ms),
    )
