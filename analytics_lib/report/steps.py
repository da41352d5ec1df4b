"""Where runs spend their time: top-level steps by share of time, and the slowest steps at any depth.

A step's time contains the steps inside it. Top-level steps (depth 0) stand beside each other, so only
their times may be added up and compared as shares of a whole.
"""

from typing import Final

import pandas as pd

from analytics_lib import formats
from analytics_lib.report import bars_and_grids
from analytics_lib.report.changes import median_change
from analytics_lib.report.look import NARROW, WIDE
from analytics_lib.report.parts import Chart, StepRow, StepSection
from analytics_lib.report.periods import Scope, within
from analytics_lib.totals import NO_RUNS, P95_FROM_N, SIMULATED, RunTotals, run_totals

N_BARS: Final = 8
N_ROWS: Final = 15
_KEY: Final = ["workflow_id", "step_id", "environment"]


def step_section(steps: pd.DataFrame, scope: Scope) -> StepSection:
    """The chart of top-level steps and the table of the slowest steps by p95."""
    rows = within(steps, scope.now)
    now = run_totals(rows, _KEY)
    if not now:
        return StepSection(None, (), "", "No steps were recorded in this period.")
    named = rows.groupby(_KEY).agg(step_name=("step_name", "max"), depth=("depth", "min"))
    names = {
        tuple(key): (str(n), int(d)) for key, n, d in named.itertuples(name=None) if isinstance(key, tuple)
    }
    before = run_totals(within(steps, scope.before), _KEY)
    top = {key: totals for key, totals in now.items() if names[key][1] == 0}
    top_sum_ms = sum(totals.duration_sum_ms for totals in top.values())
    enough = [(key, totals) for key, totals in now.items() if totals.duration_p95_ms is not None]
    enough.sort(key=lambda item: (-(item[1].duration_p95_ms or 0.0), str(item[0])))
    slowest = tuple(
        _row(key, *names[key], totals, before.get(key, NO_RUNS), top_sum_ms)
        for key, totals in enough[:N_ROWS]
    )
    caption = (
        f"The slowest by 95th percentile, of {formats.runs_text(len(now), 'step')}; shown from {P95_FROM_N} "
        "times on. Level 1 is a step of the run itself, level 2 a step inside one. A step's time includes "
        "the steps inside it, so the shares do not add up to 100 %."
    )
    if not slowest:
        caption = f"No step ran {P95_FROM_N} times, so no 95th percentile is shown."
    return StepSection(_chart(top, names, top_sum_ms), slowest, caption, "")


def _chart(
    top: dict[tuple[object, ...], RunTotals],
    names: dict[tuple[object, ...], tuple[str, int]],
    top_sum_ms: float,
) -> Chart | None:
    if not top_sum_ms:
        return None
    largest = sorted(top.items(), key=lambda item: (-item[1].duration_sum_ms, str(item[0])))[:N_BARS]
    bars = []
    for key, totals in largest:
        share = totals.duration_sum_ms / top_sum_ms
        percent, work = formats.percent_text(share), formats.work_text(totals.duration_sum_ms)
        simulated = " (simulated)" if key[2] == SIMULATED else ""
        median, n = formats.duration_text(totals.duration_p50_ms), formats.count_text(totals.n)
        bars.append(
            {
                "name": f"{formats.name_text(names[key][0] or str(key[1]), 60)} · "
                f"{formats.name_text(str(key[0]), 60)}{simulated}",
                "share": share,
                "text": f"{percent} · {work} · median {median} · {n} times",
                "short": f"{percent} · {work}",
            }
        )
    first = bars[0]
    together = formats.percent_text(sum(t.duration_sum_ms for _, t in largest) / top_sum_ms)
    alt = (
        f"Bar chart of the {len(bars)} top-level steps that take most time. First: {first['name']}, "
        f"{first['short']}. Together {together} of the time."
    )
    caption = (
        "Share of the time of all top-level steps (which contain all others); dark: at least a quarter of it."
    )
    wide, narrow = (bars_and_grids.share_bars(bars, width=w) for w in (WIDE, NARROW))
    return Chart("step shares", "Where the time goes", wide, narrow, alt, caption)


def _row(
    key: tuple[object, ...], name: str, depth: int, now: RunTotals, before: RunTotals, top_sum_ms: float
) -> StepRow:
    return StepRow(
        step=formats.name_text(name or str(key[1]), 120),
        workflow=formats.name_text(str(key[0]), 100),
        level=str(depth + 1),
        share=formats.percent_text(min(now.duration_sum_ms / top_sum_ms, 1.0))
        if top_sum_ms
        else formats.NONE,
        work=formats.work_text(now.duration_sum_ms),
        median=formats.duration_text(now.duration_p50_ms),
        median_change=median_change(now, before),
        p95=formats.duration_text(now.duration_p95_ms),
        n=formats.count_text(now.n),
        failed=formats.count_text(now.n_failures),
        simulated=key[2] == SIMULATED,
    )
