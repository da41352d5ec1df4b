"""How all charts look: fonts, greys, and colours that are told apart with any colour vision.

Colours are from Okabe and Ito's palette; what a colour says is also said by position, label or text.
"""

from typing import Any, Final

WIDE: Final = 720  # across the page
HALF: Final = 350  # two beside each other on a page, one on a phone
NARROW: Final = 340
# Metric-compatible faces: the renderer measures with one of them, the reader's machine draws another.
FONT: Final = "Helvetica, Arial, 'Liberation Sans', sans-serif"
INK: Final = "#111827"
QUIET_INK: Final = "#4b5563"
GRID: Final = "#e5e7eb"
GROUND: Final = "#eef4f9"
GREY: Final = "#9ca3af"
BLUE: Final = "#0072B2"
BAND: Final = "#b5d5ea"
LIGHT_BLUE: Final = "#7fb8dc"
ORANGE: Final = "#D55E00"
KIND_COLOURS: Final = {"application": ORANGE, "business": LIGHT_BLUE, "not classified": GREY}
OUTCOME_COLOURS: Final = {"completed": LIGHT_BLUE, "failed": ORANGE, "other": GREY}
SERIES_COLOURS: Final = (BLUE, ORANGE, "#009E73", "#CC79A7", "#E69F00")
# Symbols of anomalies: told apart by shape, so that the colours only help.
MARKS: Final = {
    "duration not normal": (ORANGE, "triangle-down"),
    "failing": ("#9c3600", "diamond"),
    "number of runs not normal": (INK, "square"),
    "no data from hosts": (QUIET_INK, "circle"),
    "otherwise not normal": ("#CC79A7", "cross"),
}
# What is normal is nearly the paper's colour; what is low is what the eye finds first.
SHADES: Final = {
    "normal": ("#e6ebf0", "not clearly lower"),
    "low": ("#f9c99b", "up to 5 points lower"),
    "lower": ("#e8791d", "5–15 points lower"),
    "lowest": ("#9c3600", "more than 15 points lower"),
}
CONFIG: Final[dict[str, Any]] = {
    "background": None,
    "aria": False,  # the picture has one alternative text; labels on every mark would only add bytes
    "font": FONT,
    "view": {"stroke": None},
    "axis": {
        "labelColor": QUIET_INK,
        "labelFontSize": 11,
        "titleColor": QUIET_INK,
        "titleFontSize": 11,
        "titleFontWeight": "normal",
        "gridColor": GRID,
        "domainColor": GREY,
        "tickColor": GREY,
        "tickSize": 4,
    },
    "axisY": {"domain": False, "ticks": False, "labelPadding": 6},
    "axisX": {"grid": False},
    "legend": {
        "labelColor": QUIET_INK,
        "labelFontSize": 11,
        "labelLimit": 200,
        "symbolStrokeWidth": 0,
        "symbolType": "square",
        "orient": "top",
        "direction": "horizontal",
        "offset": 18,  # leaves a line for "this period"
        "title": None,
    },
    "text": {"fontSize": 11, "color": QUIET_INK},
}
