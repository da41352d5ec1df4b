"""Numbers along time: one point per local period, and the weekday-by-hour table of success."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

import pandas as pd

from analytics_lib import formats
from analytics_lib.report import bars_and_grids, charts, look
from analytics_lib.report.anomaly_marks import AnomalyMarks
from analytics_lib.report.parts import Chart
from analytics_lib.report.periods import LocalTime, Scope, within
from analytics_lib.report.time_axis import TimeAxis
from analytics_lib.statistics import chance_of_as_many, wilson_interval
from analytics_lib.totals import NO_RUNS, P95_FROM_N, RunTotals, run_totals, total

FEW_IN_A_CELL: Final = 5
CELL_CHANCE: Final = 0.001  # 168 cells: at one in twenty, eight of them would stand out by chance alone
_GRAIN_WORDS: Final = {"hour": "hour", "day": "day", "week": "week"}


@dataclass(frozen=True, slots=True)
class Point:
    """One local period, with the runs that ended in it (NO_RUNS for a gap)."""

    start: datetime
    totals: RunTotals
    in_window: bool


@dataclass(frozen=True, slots=True)
class Timeline:
    """The points that trends draw, from the first with runs (or the window's start) on."""

    points: tuple[Point, ...]
    local: LocalTime

    @classmethod
    def of(cls, executions: pd.DataFrame, scope: Scope, local: LocalTime) -> "Timeline":
        rows = within(executions, scope.shown)
        rows = rows.assign(period=local.periods(rows["hour_us"]))
        found = {key[0]: totals for key, totals in run_totals(rows, ["period"]).items()}
        first_us = scope.now.start_us if rows.empty else min(scope.now.start_us, int(rows["hour_us"].min()))
        window_start = local.expected(scope.now.start_us, scope.now.start_us + 1)[0]
        return cls(
            tuple(
                Point(start, found.get(pd.Timestamp(start), NO_RUNS), start >= window_start)
                for start in local.expected(first_us, scope.now.end_us)
            ),
            local,
        )

    @property
    def axis(self) -> TimeAxis:
        return TimeAxis(
            starts=tuple(point.start for point in self.points),
            length=self.local.length(),
            window_start=next((p.start for p in self.points if p.in_window), None),
        )

    @property
    def word(self) -> str:
        """hour, day or week."""
        return _GRAIN_WORDS[self.local.grain]


def duration_trend(timeline: Timeline, anomalies: AnomalyMarks) -> Chart | None:
    """Median line and p50–p95 band, with marks where something was not normal."""
    values = [(p.totals.duration_p50_ms, p.totals.duration_p95_ms) for p in timeline.points]
    medians = [(p, m) for p, (m, _) in zip(timeline.points, values, strict=True) if m is not None]
    if not medians:
        return None
    unit, per_unit_ms = duration_unit(max(p95 or median or 0.0 for median, p95 in values))
    scaled = [(_scaled(median, per_unit_ms), _scaled(p95, per_unit_ms)) for median, p95 in values]
    low, high = min(medians, key=lambda m: m[1]), max(medians, key=lambda m: m[1])
    alt = (
        f"Line chart of the median run duration per {timeline.word}: lowest {formats.duration_text(low[1])} "
        f"({_when(timeline, low[0])}), highest {formats.duration_text(high[1])} "
        f"({_when(timeline, high[0])}), last {formats.duration_text(medians[-1][1])}. "
        "A band reaches from the median to the 95th percentile." + anomalies.in_words(timeline.word)
    )
    caption = (
        f"Line: median. Band: up to the 95th percentile, from {P95_FROM_N} runs per {timeline.word} on. "
        f"Gaps: no run ended. All workflows together, so a change of the mix shows, too."
        + anomalies.caption(timeline.word)
    )
    place = {point.start: i for i, point in enumerate(timeline.points)}
    marks = [(place[start], what) for start, what, _ in anomalies.found if start in place]
    wide, narrow = (
        charts.band_line(timeline.axis, scaled, unit=unit, width=w, marks=marks)
        for w in (look.WIDE, look.NARROW)
    )
    return Chart("duration trend", "Duration of runs", wide, narrow, alt, caption)


def success_trend(timeline: Timeline) -> Chart | None:
    """Success rate with its 95 % interval."""
    rated = [p for p in timeline.points if p.totals.success_rate is not None]
    if not rated:
        return None
    rows = []
    for point in timeline.points:
        rate = point.totals.success_rate
        low, high = wilson_interval(point.totals.n_completed, point.totals.n_tried)
        rows.append((None, None, None) if rate is None else (rate * 100, low * 100, high * 100))
    lowest = min(rated, key=lambda p: p.totals.success_rate or 0.0)
    alt = (
        f"Line chart of the success rate per {timeline.word}: lowest "
        f"{formats.percent_text(lowest.totals.success_rate)} ({_when(timeline, lowest)}), last "
        f"{formats.percent_text(rated[-1].totals.success_rate)}."
    )
    caption = "Line: completed runs in percent. Band: 95 % interval (Wilson), wide where runs are few."
    return Chart(
        "success rate trend", "Success rate", charts.rate_line(timeline.axis, rows), None, alt, caption
    )


def runs_trend(timeline: Timeline) -> Chart | None:
    """Runs per period, stacked by how they ended."""
    if not any(p.totals.n for p in timeline.points):
        return None
    rows = [
        {
            "completed": p.totals.n_completed,
            "failed": p.totals.n_failures,
            "other": p.totals.n - p.totals.n_completed - p.totals.n_failures,
        }
        for p in timeline.points
    ]
    most = max(timeline.points, key=lambda p: p.totals.n)
    failed = sum(row["failed"] for row in rows)
    alt = (
        f"Bar chart of runs per {timeline.word}: most {formats.count_text(most.totals.n)} "
        f"({_when(timeline, most)}); {formats.count_text(failed)} of all shown failed."
    )
    spec = charts.stacked_bars(timeline.axis, rows, look.OUTCOME_COLOURS, width=look.HALF)
    caption = "Other: cancelled, skipped or abandoned." if any(row["other"] for row in rows) else ""
    return Chart("runs trend", f"Runs per {timeline.word}", spec, None, alt, caption)


def failures_trend(timeline: Timeline) -> Chart | None:
    """Failed and timed-out runs per period, stacked by kind of exception."""
    if not any(p.totals.n_failures for p in timeline.points):
        return None
    rows = [
        {
            "application": p.totals.n_application,
            "business": p.totals.n_business,
            "not classified": p.totals.n_unclassified,
        }
        for p in timeline.points
    ]
    most = max(timeline.points, key=lambda p: p.totals.n_failures)
    sums = {kind: sum(row[kind] for row in rows) for kind in look.KIND_COLOURS}
    alt = (
        f"Bar chart of failed runs per {timeline.word}: most {formats.count_text(most.totals.n_failures)} "
        f"({_when(timeline, most)}). In all that is shown: "
        + ", ".join(f"{formats.count_text(n)} {kind}" for kind, n in sums.items())
        + "."
    )
    caption = "Application: the automation broke. Business: the data was wrong."
    wide, narrow = (
        charts.stacked_bars(timeline.axis, rows, look.KIND_COLOURS, width=w) for w in (look.WIDE, look.NARROW)
    )
    return Chart("failures trend", f"Failed runs per {timeline.word} by kind", wide, narrow, alt, caption)


def heat_map(executions: pd.DataFrame, scope: Scope, local: LocalTime) -> Chart | None:
    """Success by weekday and hour: what is lower than chance explains stands out, the rest is quiet."""
    rows = within(executions, scope.weekly)
    overall = total(rows)
    if overall.success_rate is None:
        return None
    clock = local.clock(rows["hour_us"])
    cells = run_totals(rows.assign(weekday=clock.dt.day_of_week, hour=clock.dt.hour), ["weekday", "hour"])
    drawn = []
    lowest: tuple[float, str] | None = None
    for (weekday, hour), totals in cells.items():
        rate = totals.success_rate
        if rate is None:
            continue
        shade = _shade(totals, rate, overall.success_rate)
        name = formats.WEEKDAYS[int(str(weekday))]
        if shade.startswith("low"):
            lowest = min(filter(None, [lowest, (rate, f"{name} {int(str(hour)):02d}:00")]))
        drawn.append({"weekday": name, "hour": int(str(hour)), "shade": shade, "label": f"{rate * 100:.0f}"})
    if all(cell["shade"] == "few" for cell in drawn):
        return None
    normal = formats.percent_text(overall.success_rate)
    found = (
        f"lowest {formats.percent_text(lowest[0])} ({lowest[1]})" if lowest else "no hour is clearly lower"
    )
    alt = f"Heat map of the success rate by weekday and hour against {normal} overall: {found}."
    caption = (
        f"Coloured, with the rate in percent: lower than {normal} overall, as by chance in fewer than "
        "one of a thousand cells. "
        f"Small squares: fewer than {FEW_IN_A_CELL} runs. Empty: no run ended. "
        f"{local.window_text(scope.weekly)}, local time {local.zone.key}."
    )
    wide, narrow = (bars_and_grids.success_grid(drawn, width=w) for w in (look.WIDE, look.NARROW))
    return Chart("heat map", "Success rate by weekday and hour", wide, narrow, alt, caption)


def duration_unit(largest_ms: float) -> tuple[str, float]:
    """(name of the unit that suits values up to the largest, its length in ms)."""
    for unit, length_ms in (
        ("h", formats.HOUR_MS),
        ("min", formats.MINUTE_MS),
        ("s", formats.SECOND_MS),
    ):
        if largest_ms >= 2 * length_ms:
            return unit, length_ms
    return "ms", 1.0


def _shade(totals: RunTotals, rate: float, overall: float) -> str:
    if totals.n_tried < FEW_IN_A_CELL:
        return "few"
    n_not_completed = totals.n_tried - totals.n_completed
    if chance_of_as_many(n_not_completed, totals.n_tried, 1 - overall) >= CELL_CHANCE:
        return "normal"
    drop = overall - rate
    return "low" if drop < 0.05 else "lower" if drop < 0.15 else "lowest"


def _scaled(value: float | None, per_unit: float) -> float | None:
    return None if value is None else value / per_unit


def _when(timeline: Timeline, point: Point) -> str:
    if timeline.local.grain == "hour":
        return formats.moment_text(point.start)
    if timeline.local.grain == "week":
        last = (point.start + timedelta(days=6)).date()
        return formats.days_text(point.start.date(), last)
    return formats.day_text(point.start.date(), weekday=True)
