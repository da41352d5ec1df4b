"""Charts along time as Vega-Lite specs: plain JSON with inline data. Nothing here counts or decides.

Times go in as local wall clock on a UTC scale, and every label is made here, so that days keep their
right names whatever the time zone and the language of the machine are.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from analytics_lib import formats
from analytics_lib.report.look import (
    BAND,
    BLUE,
    CONFIG,
    GREY,
    GROUND,
    HALF,
    MARKS,
    SERIES_COLOURS,
    WIDE,
)
from analytics_lib.report.time_axis import TimeAxis, ms_of

Row = dict[str, Any]
Spec = dict[str, Any]


def band_line(
    axis: TimeAxis,
    values: Sequence[tuple[float | None, float | None]],
    *,
    unit: str,
    width: int,
    marks: Sequence[tuple[int, str]] = (),
) -> Spec:
    """A line of medians and a band from it to the 95th percentile; None leaves a gap.

    Marks: (which period, what is not normal in it, a key of `look.MARKS`); they stand above the band.
    """
    rows = [
        place | {"value": value, "low": value if high is not None else None, "high": high, "alone": False}
        for place, (value, high) in zip(axis.places(), values, strict=True)
    ]
    _mark_alone(rows)
    y = _y("value", unit, zero=True)
    layers = [_band(), _line(), _dots(), *_marks(rows, marks, width)]
    return _along_time(axis, rows, layers, y, width, 200 + (24 if marks else 0))


def rate_line(
    axis: TimeAxis, values: Sequence[tuple[float | None, float | None, float | None]], *, width: int = HALF
) -> Spec:
    """A line of percentages within its interval. The scale starts below the lowest rate, not at 0."""
    rows = [
        place | {"value": value, "low": low, "high": high, "alone": False}
        for place, (value, low, high) in zip(axis.places(), values, strict=True)
    ]
    _mark_alone(rows)
    lowest = min(row["value"] for row in rows if row["value"] is not None)
    bottom = max(int((lowest - 5) // 10 * 10), 0)
    y = _y("value", "%", zero=False)
    y["scale"] = {"domain": [bottom, 100], "nice": False}
    band, line = _band(), _line()
    band["mark"]["clip"] = True
    return _along_time(axis, rows, [band, line, _dots()], y, width, 160)


def stacked_bars(
    axis: TimeAxis, rows: Sequence[Mapping[str, int]], colours: Mapping[str, str], *, width: int
) -> Spec:
    """Counts by period, stacked by what the keys of `rows` say, in the order of `colours`."""
    kinds = [kind for kind in colours if any(row[kind] for row in rows)]
    bars = []
    for place, row in zip(axis.places(), rows, strict=True):
        room = (place["right"] - place["left"]) * (0.1 if len(rows) <= 90 else 0.0)
        at, bottom = {"left": place["left"] + room, "right": place["right"] - room}, 0
        for kind in kinds:
            if row[kind]:
                bars.append(at | {"kind": kind, "from": bottom, "to": bottom + row[kind]})
            bottom += row[kind]
    y = _y("to", "", zero=True)
    highest = max((bar["to"] for bar in bars), default=0)
    y["axis"] |= {"format": ",d"} | ({"values": list(range(highest + 1))} if highest <= 4 else {})
    layer = {
        "mark": {"type": "rect"},
        "encoding": {
            "x": _x("left"),
            "x2": {"field": "right"},
            "y": y,
            "y2": {"field": "from"},
            "color": _colour("kind", kinds, [colours[kind] for kind in kinds]),
        },
    }
    return _along_time(axis, bars, [layer], y, width, 160 if width == HALF else 170)


def series_lines(
    axis: TimeAxis, series: Mapping[str, Sequence[float | None]], *, unit: str, width: int = HALF
) -> Spec:
    """One line per name, at most five; None leaves a gap."""
    rows: list[Row] = []
    for name, values in series.items():
        line = [
            place | {"value": value, "series": name, "alone": False}
            for place, value in zip(axis.places(), values, strict=True)
        ]
        _mark_alone(line)
        rows += line
    names = list(series)
    y = _y("value", unit, zero=True)
    if unit == "%":
        y["scale"] = {"domainMin": 0}
    colour = _colour("series", names, list(SERIES_COLOURS[: len(names)]))
    columns = min(len(names), 3)
    colour["legend"] = {
        "columns": columns,
        "labelLimit": width // columns - 44,
        "symbolType": "stroke",
        "symbolStrokeWidth": 3,
    }
    layers = [_line() | {}, _dots()]
    for layer in layers:
        layer["mark"].pop("color")
        layer["encoding"] |= {"color": colour}
    height = 130 + 18 * ((len(names) - 1) // columns)
    return _along_time(axis, rows, layers, y, width, height)


def sparkline(values: Sequence[tuple[float | None, bool]]) -> Spec:
    """A word-sized line of (value, in the window): before in grey, the window in blue, a dot at its end."""
    rows = [
        {"t": i, "value": value, "part": "now" if now else "before", "last": False}
        for i, (value, now) in enumerate(values)
    ]
    known = [row for row in rows if row["value"] is not None]
    if known:
        known[-1]["last"] = True
    # The line before runs on to the window's first value, or the two would not meet.
    first = next((i for i, row in enumerate(rows) if row["part"] == "now"), 0)
    joined = (
        [*rows[:first], rows[first] | {"part": "before", "last": False}, *rows[first:]] if first else rows
    )
    colour = _colour("part", ["before", "now"], [GREY, BLUE]) | {"legend": None}
    place: Spec = {
        "x": {"field": "t", "type": "quantitative", "axis": None, "scale": {"nice": False, "zero": False}},
        "y": {"field": "value", "type": "quantitative", "axis": None, "scale": {"zero": False}},
        "color": colour,
    }
    layers = [
        {"mark": {"type": "line", "strokeWidth": 1.6}, "encoding": place},
        {
            "transform": [{"filter": "datum.last"}],
            "mark": {"type": "point", "filled": True, "size": 36, "opacity": 1},
            "encoding": place,
        },
    ]
    return spec_of(joined, {"layer": layers}, 140, 32)


def spec_of(rows: Sequence[Mapping[str, Any]], body: Spec, width: int, height: int) -> Spec:
    """A whole spec that fits its width and height, labels included."""
    return {
        "$schema": "https://vega.github.io/schema/vega-lite/v6.json",
        "config": CONFIG,
        "padding": 3,
        "autosize": {"type": "fit", "contains": "padding"},
        "width": width,
        "height": height,
        "data": {"values": [dict(row) for row in rows]},
        **body,
    }


def _along_time(
    axis: TimeAxis, rows: Sequence[Row], layers: list[Spec], y: Spec, width: int, height: int
) -> Spec:
    ticks = axis.ticks(width)
    labels = formats.json_text({str(place): label for place, label in ticks})
    x = _x("t") | {
        "axis": {
            "values": [place for place, _ in ticks],
            "labelExpr": f"{labels}[toString(+datum.value)]",
            "labelFlush": False,
            "labelOverlap": False,
            "labelBound": False,
            "grid": False,
        }
    }
    edges = axis.places()
    x["scale"] = {"type": "utc", "domain": [edges[0]["left"], edges[-1]["right"]], "nice": False}
    layers = [*_ground(axis), *layers]
    for layer in layers:  # a layer's own encoding replaces the shared one, scale and all
        layer["encoding"]["x"] |= {"axis": x["axis"], "scale": x["scale"]}
    body = {"layer": layers, "encoding": {"x": x, "y": y}}
    return spec_of(rows, body, width, height)


def _ground(axis: TimeAxis) -> list[Spec]:
    """A pale ground under the period reported on, where something else is drawn beside it."""
    if axis.window_start in (None, axis.starts[0]):
        return []
    start, end = ms_of(axis.window_start or axis.starts[0]), ms_of(axis.starts[-1] + axis.length)
    rect = {
        "data": {"values": [{"left": start, "right": end}]},
        "mark": {"type": "rect", "color": GROUND},
        "encoding": {"x": _x("left"), "x2": {"field": "right"}, "y": {"value": 0}, "y2": {"value": "height"}},
    }
    name = {
        "data": {"values": [{"left": start, "text": "this period"}]},
        "mark": {"type": "text", "align": "left", "baseline": "bottom", "dx": 1, "dy": -3, "fontSize": 10},
        "encoding": {"x": _x("left"), "y": {"value": 0}, "text": {"field": "text", "type": "nominal"}},
    }
    return [rect, name]


def _band() -> Spec:
    encoding = {
        "x": _x("t"),
        "y": {"field": "low", "type": "quantitative"},
        "y2": {"field": "high"},
    }
    return {"mark": {"type": "area", "color": BAND}, "encoding": encoding}


def _line() -> Spec:
    return {
        "mark": {"type": "line", "color": BLUE, "strokeWidth": 2},
        "encoding": {"x": _x("t"), "y": {"field": "value", "type": "quantitative"}},
    }


def _dots() -> Spec:
    """A dot where a period stands between two gaps: a line needs two points to show."""
    return {
        "transform": [{"filter": "datum.alone"}],
        "mark": {"type": "point", "filled": True, "size": 30, "color": BLUE, "opacity": 1},
        "encoding": {"x": _x("t"), "y": {"field": "value", "type": "quantitative"}},
    }


def _marks(rows: Sequence[Row], marks: Sequence[tuple[int, str]], width: int) -> list[Spec]:
    """Symbols above the band, several of one period above each other; one layer for each height."""
    by_height: list[list[Row]] = []
    used: dict[int, int] = {}
    for period, what in marks:
        row, height = rows[period], used.get(period, 0)
        used[period] = height + 1
        by_height += [[]] if height == len(by_height) else []
        top = next((row[name] for name in ("high", "value") if row[name] is not None), 0.0)
        by_height[height].append({"t": row["t"], "top": top, "what": what})
    kinds = [what for what in MARKS if any(what == kind for _, kind in marks)]
    columns = len(kinds) if width >= WIDE else 2
    legend = {"columns": columns, "symbolSize": 70, "symbolStrokeWidth": 0, "symbolOpacity": 1}
    look = {"field": "what", "type": "nominal", "title": None, "legend": legend}
    return [
        {
            "data": {"values": values},
            "mark": {"type": "point", "filled": True, "size": 55, "opacity": 1, "yOffset": -9 - 11 * height},
            "encoding": {
                "x": _x("t"),
                "y": {"field": "top", "type": "quantitative"},
                "color": look | {"scale": {"domain": kinds, "range": [MARKS[kind][0] for kind in kinds]}},
                "shape": look | {"scale": {"domain": kinds, "range": [MARKS[kind][1] for kind in kinds]}},
            },
        }
        for height, values in enumerate(by_height)
    ]


def _mark_alone(rows: Sequence[Row]) -> None:
    known = [False, *(row["value"] is not None for row in rows), False]
    for i, row in enumerate(rows):
        row["alone"] = known[i + 1] and not known[i] and not known[i + 2]


def _x(field: str) -> Spec:
    return {"field": field, "type": "temporal", "scale": {"type": "utc"}, "title": None}


def _y(field: str, unit: str, *, zero: bool) -> Spec:
    """The y axis with its unit at every label, where no legend and no title can get into its way."""
    label = "replace(datum.label, /,/g, '\u00a0')"
    suffix = formats.json_text(f"\u00a0{unit}") if unit else "''"
    axis = {"tickCount": 4, "labelExpr": f"{label} + {suffix}"}
    return {"field": field, "type": "quantitative", "title": None, "axis": axis, "scale": {"zero": zero}}


def _colour(field: str, names: Sequence[str], colours: Sequence[str]) -> Spec:
    scale = {"domain": list(names), "range": list(colours)}
    return {"field": field, "type": "nominal", "title": None, "scale": scale}
