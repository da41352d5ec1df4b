"""Charts without time along an axis, as Vega-Lite specs: the weekday-by-hour grid and step bars."""

from collections.abc import Mapping, Sequence
from typing import Any

from analytics_lib import formats
from analytics_lib.report.charts import Spec, spec_of
from analytics_lib.report.look import BLUE, INK, LIGHT_BLUE, SHADES, WIDE

Row = Mapping[str, Any]


def success_grid(cells: Sequence[Row], *, width: int) -> Spec:
    """Success by hour of day (across) and weekday (down). Cells: weekday, hour, shade, label.

    Shades are those of `look.SHADES`, or "few": then the cell is a small grey square without a label.
    """
    wide = width >= WIDE
    quiet = {"domain": False, "ticks": False, "grid": False}
    y = {
        "field": "weekday",
        "type": "nominal",
        "title": None,
        "scale": {"domain": list(formats.WEEKDAYS), "paddingInner": 0.07, "paddingOuter": 0},
        "axis": quiet | {"labelPadding": 6},
    }
    hours = list(range(24))
    x = {
        "field": "hour",
        "type": "ordinal",
        "title": None,
        "scale": {"domain": hours, "paddingInner": 0.07, "paddingOuter": 0},
        "axis": quiet
        | {
            "labelAngle": 0,
            "values": hours[:: 2 if wide else 4],
            "labelExpr": "(datum.value < 10 ? '0' : '') + datum.value + ':00'",
        },
    }
    colour = {
        "field": "shade",
        "type": "nominal",
        "scale": {"domain": list(SHADES), "range": [colour for colour, _ in SHADES.values()]},
        "legend": {
            "columns": 4 if wide else 2,
            "labelExpr": f"{formats.json_text({k: words for k, (_, words) in SHADES.items()})}[datum.value]",
        },
    }
    place = {"x": x, "y": y}
    layers: list[Spec] = [
        {
            "transform": [{"filter": "datum.shade != 'few'"}],
            "mark": {"type": "rect", "cornerRadius": 2},
            "encoding": place | {"color": colour},
        },
        {
            "transform": [{"filter": "datum.shade == 'few'"}],
            "mark": {"type": "square", "size": 30 if wide else 14, "color": "#d3dae2", "opacity": 1},
            "encoding": place,
        },
    ]
    if wide:
        low = {"transform": [{"filter": "indexof(datum.shade, 'low') == 0"}]}
        dark = "datum.shade == 'lowest' || datum.shade == 'lower'"
        layers.append(
            low
            | {
                "mark": {"type": "text", "fontSize": 10, "fontWeight": "bold", "baseline": "middle"},
                "encoding": place
                | {
                    "text": {"field": "label", "type": "nominal"},
                    "color": {"condition": {"test": dark, "value": "#ffffff"}, "value": INK},
                },
            }
        )
    return spec_of(cells, {"layer": layers}, width, 7 * (25 if wide else 19) + (50 if wide else 66))


def share_bars(rows: Sequence[Row], *, width: int) -> Spec:
    """Horizontal bars under their names, in the order given. Rows: name, share (0 to 1), text, short."""
    wide = width >= WIDE
    keyed = [{**row, "key": f"{i:03d}"} for i, row in enumerate(rows)]
    y = {
        "field": "key",
        "type": "nominal",
        "title": None,
        "axis": None,
        "scale": {"domain": [row["key"] for row in keyed], "padding": 0},
    }
    largest = max((row["share"] for row in rows), default=1.0) or 1.0
    # The texts stand right of the bars, so the scale ends well after the longest.
    x = {
        "field": "share",
        "type": "quantitative",
        "title": None,
        "axis": None,
        "scale": {"domain": [0, largest * (1.75 if wide else 1.5)], "nice": False},
    }
    colour = {"condition": {"test": "datum.share >= 0.25", "value": BLUE}, "value": LIGHT_BLUE}
    name = {
        "mark": {
            "type": "text",
            "align": "left",
            "baseline": "middle",
            "dy": -9,
            "color": INK,
            "limit": width,
        },
        "encoding": {"x": {"value": 0}, "y": y, "text": {"field": "name", "type": "nominal"}},
    }
    bar = {
        "mark": {"type": "bar", "height": 11, "cornerRadiusEnd": 2, "yOffset": 7},
        "encoding": {"x": x, "y": y, "color": colour},
    }
    text = {
        "mark": {"type": "text", "align": "left", "baseline": "middle", "dx": 6, "dy": 7},
        "encoding": {"x": x, "y": y, "text": {"field": "text" if wide else "short", "type": "nominal"}},
    }
    return spec_of(keyed, {"layer": [name, bar, text]}, width, 38 * max(len(rows), 1))
