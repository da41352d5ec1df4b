"""CPU and memory by host: mean, 95th percentile and maximum over samples, and the mean along time."""

from collections.abc import Mapping
from typing import Final

import pandas as pd

from analytics_lib import formats
from analytics_lib.report import charts
from analytics_lib.report.look import HALF
from analytics_lib.report.parts import Chart, HostRow, ResourceSection
from analytics_lib.report.periods import Scope, within
from analytics_lib.report.time_axis import TimeAxis
from analytics_lib.report.trends import Timeline
from analytics_lib.totals import SampleTotals, sample_totals

N_ROWS: Final = 15
N_LINES: Final = 5
_GIB: Final = 1024.0**3
_METRICS: Final = ("cpu_percent", "memory_used_bytes", "memory_total_bytes")
_Totals = dict[tuple[object, ...], SampleTotals]


def resource_section(resources: pd.DataFrame, scope: Scope, timeline: Timeline) -> ResourceSection:
    """Whole hosts where they were sampled, robots' processes beside them."""
    rows = within(resources, scope.now)
    rows = rows[rows["metric"].isin(_METRICS)]
    found = sample_totals(rows, ["host", "target", "metric"])
    pairs = sorted({key[:2] for key in found if key[2] != "memory_total_bytes"}, key=str)
    if not pairs:
        return ResourceSection((), (), "", "No resource samples were recorded in this period.")

    def load(pair: tuple[object, ...]) -> tuple[float, str]:
        cpu = found.get((*pair, "cpu_percent"))
        return -(cpu.mean if cpu else 0.0), str(pair)

    pairs.sort(key=load)
    caption = (
        "Mean, 95th percentile and maximum over the samples. CPU: 100 % is all that the target may use. "
        "Memory: used by the host, or resident of the process."
    )
    if len(pairs) > N_ROWS:
        caption += f" {formats.count_text(len(pairs) - N_ROWS)} more, with less CPU in use, are not shown."
    lines = [pair for pair in pairs if pair[1] == "host"] or [pair for pair in pairs if pair[1] == "process"]
    return ResourceSection(
        _charts(rows, lines[:N_LINES], found, timeline),
        tuple(_row(pair, found) for pair in pairs[:N_ROWS]),
        caption,
        "",
    )


def _charts(
    rows: pd.DataFrame, pairs: list[tuple[object, ...]], found: _Totals, timeline: Timeline
) -> tuple[Chart, ...]:
    if not pairs:
        return ()
    target = str(pairs[0][1])
    hosts = [pair[0] for pair in pairs]
    chosen = rows[(rows["target"] == target) & rows["host"].isin(hosts)]
    chosen = chosen.assign(period=timeline.local.periods(chosen["hour_us"]))
    points = sample_totals(chosen, ["host", "metric", "period"])
    # Samples are read for the window only, so these two charts begin where it begins.
    starts = tuple(p.start for p in timeline.points if p.in_window)
    axis = TimeAxis(starts, timeline.local.length(), None)
    whose = "hosts" if target == "host" else "robots' processes by host"
    totals = {pair: found.get((*pair, "memory_total_bytes")) for pair in pairs}
    in_percent = target == "host" and all(totals.values())
    drawn = []
    for metric, what in (("cpu_percent", "CPU"), ("memory_used_bytes", "Memory")):
        series: dict[str, list[float | None]] = {}
        for pair in pairs:
            total = totals[pair]
            scale = 1.0 if metric == "cpu_percent" else 1 / _GIB
            if metric != "cpu_percent" and in_percent and total is not None:
                scale = 100 / total.mean
            means = [points.get((pair[0], metric, pd.Timestamp(start))) for start in starts]
            if any(means):
                key = (pair[0], target, metric)
                simulated = " (simulated)" if found[key].simulated == "all" else ""
                series[_unique(_name(pair[0]) + simulated, series)] = [
                    m.mean * scale if m else None for m in means
                ]
        unit = "%" if metric == "cpu_percent" or in_percent else "GiB"
        if series:
            alt = f"Line chart of the mean {what} use per {timeline.word}, in {unit}, of {', '.join(series)}."
            title = f"{what} of {whose}, mean per {timeline.word}"
            caption = f"The {len(hosts)} with most CPU in use." if len(hosts) == N_LINES else ""
            spec = charts.series_lines(axis, series, unit=unit, width=HALF)
            drawn.append(Chart(f"{what} by host", title, spec, None, alt, caption))
    return tuple(drawn)


def _row(pair: tuple[object, ...], found: Mapping[tuple[object, ...], SampleTotals]) -> HostRow:
    cpu = found.get((*pair, "cpu_percent"))
    memory = found.get((*pair, "memory_used_bytes"))
    total = found.get((*pair, "memory_total_bytes"))
    known = cpu or memory
    share = (
        f" ({formats.percent_text(memory.mean / total.mean, 0)})" if memory and total and total.mean else ""
    )
    return HostRow(
        host=_name(pair[0]),
        target=formats.shortened(str(pair[1]), 40),
        cpu_mean=_percent(cpu.mean if cpu else None),
        cpu_p95=_percent(cpu.p95 if cpu else None),
        cpu_max=_percent(cpu.largest if cpu else None),
        memory_mean=formats.bytes_text(memory.mean if memory else None) + share,
        memory_p95=formats.bytes_text(memory.p95 if memory else None),
        memory_max=formats.bytes_text(memory.largest if memory else None),
        n=formats.count_text(known.n if known else 0),
        simulated=known.simulated if known else "",
    )


def _name(host: object) -> str:
    return formats.name_text(str(host), 60)


def _unique(name: str, taken: Mapping[str, object]) -> str:
    """Shortened names may be the same; lines of two hosts may not become one."""
    candidate, n = name, 2
    while candidate in taken:
        candidate, n = f"{name} ({n})", n + 1
    return candidate


def _percent(value: float | None) -> str:
    return formats.NONE if value is None else f"{value:.0f}{formats.NBSP}%"
