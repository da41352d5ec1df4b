"""The headline numbers, each against the period before, in words as well as in figures."""

from collections.abc import Callable, Sequence

from analytics_lib import formats
from analytics_lib.report.changes import count_change, median_change, p95_change, success_change, work_change
from analytics_lib.report.charts import sparkline
from analytics_lib.report.parts import Change, Chart, Tile
from analytics_lib.report.trends import Timeline
from analytics_lib.statistics import wilson_interval
from analytics_lib.totals import P95_FROM_N, P99_FROM_N, RunTotals

_Value = Callable[[RunTotals], float | None]
_SPARKLINE_POINTS = 3  # fewer make no line


def headline_tiles(now: RunTotals, before: RunTotals, timeline: Timeline) -> tuple[Tile, ...]:
    """Eight tiles: success, runs, both kinds of failure, median, p95, robot hours, abandoned runs."""

    def tile(label: str, value: str, detail: str, change: Change | None, line: _Value | None) -> Tile:
        change = change if before.n else None
        words = "" if change else _nothing_to_compare(now, before)
        chart = _sparkline(label, timeline, line) if line and now.n else None
        return Tile(label, value, detail, change, words, chart)

    low, high = wilson_interval(now.n_completed, now.n_tried)
    interval = (
        f"95 % interval {formats.percent_text(low)} – {formats.percent_text(high)}" if now.n_tried else ""
    )
    return (
        tile(
            "Success rate",
            formats.percent_text(now.success_rate),
            interval.replace("95 %", f"95{formats.NBSP}%"),
            success_change(now, before),
            lambda t: t.success_rate,
        ),
        tile("Runs", formats.count_text(now.n), _not_tried(now), count_change(now.n, before.n, ""), _runs),
        tile(
            "Application failures",
            formats.count_text(now.n_application),
            _unclassified(now),
            count_change(now.n_application, before.n_application, "lower"),
            lambda t: float(t.n_application) if t.n else None,
        ),
        tile(
            "Business failures",
            formats.count_text(now.n_business),
            "the data was wrong",
            count_change(now.n_business, before.n_business, "lower"),
            lambda t: float(t.n_business) if t.n else None,
        ),
        tile(
            "Median duration",
            formats.duration_text(now.duration_p50_ms),
            f"of {formats.runs_text(now.n_rated)}",
            median_change(now, before),
            lambda t: t.duration_p50_ms,
        ),
        tile(
            "95th percentile",
            formats.duration_text(now.duration_p95_ms),
            p99_text(now),
            p95_change(now, before),
            lambda t: t.duration_p95_ms,
        ),
        tile(
            "Robot hours",
            formats.work_text(now.duration_sum_ms),
            "sum of all run durations",
            work_change(now.duration_sum_ms, before.duration_sum_ms),
            lambda t: t.duration_sum_ms if t.n else None,
        ),
        tile(
            "Abandoned runs",
            formats.count_text(now.n_abandoned),
            "began, then fell silent",
            count_change(now.n_abandoned, before.n_abandoned, "lower"),
            None,
        ),
    )


def p99_text(totals: RunTotals) -> str:
    """The 99th percentile with its n, or from how many runs on percentiles are shown."""
    runs = formats.runs_text(totals.n_rated)
    if totals.n_rated < P95_FROM_N:
        return f"shown from {P95_FROM_N} runs on; there are {formats.count_text(totals.n_rated)}"
    if totals.duration_p99_ms is None:
        return f"of {runs}; 99th from {P99_FROM_N}"
    return f"99th: {formats.duration_text(totals.duration_p99_ms)}, of {runs}"


def _runs(totals: RunTotals) -> float:
    return float(totals.n)


def _not_tried(totals: RunTotals) -> str:
    parts = [
        f"{formats.count_text(n)} {word}"
        for n, word in (
            (totals.n_completed, "completed"),
            (totals.n_failures, "failed"),
            (totals.n_cancelled, "cancelled"),
            (totals.n_skipped, "skipped"),
        )
        if n
    ]
    return ", ".join(parts[:3])


def _unclassified(totals: RunTotals) -> str:
    if not totals.n_unclassified:
        return "the automation broke"
    return f"the automation broke; {formats.count_text(totals.n_unclassified)} more not classified"


def _nothing_to_compare(now: RunTotals, before: RunTotals) -> str:
    if not before.n:
        return "no runs in the period before"
    if not now.n:
        return "no runs in this period"
    if min(now.n_rated, before.n_rated) < P95_FROM_N:
        return "too few runs to tell"
    return "none before either"


def _sparkline(label: str, timeline: Timeline, value: _Value) -> Chart | None:
    values: Sequence[tuple[float | None, bool]] = [(value(p.totals), p.in_window) for p in timeline.points]
    if sum(v is not None for v, _ in values) < _SPARKLINE_POINTS:
        return None
    alt = f"{label} per {timeline.word}, the period before in grey, this one in blue"
    return Chart(f"sparkline of {label.lower()}", label, sparkline(values), None, alt)
