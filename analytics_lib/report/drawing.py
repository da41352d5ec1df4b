"""A Vega-Lite spec becomes an SVG or a PNG, with no browser, no network and no file behind it.

vl-convert loads whatever `url` a spec names unless told otherwise, and a generator such as `sequence`
can take the whole interpreter down, so a spec may bring inline values only.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from analytics_lib.errors import ReportError

_REFUSED: Final = frozenset({"url", "href", "sequence", "graticule", "sphere", "usermeta"})
_VEGA_LITE: Final = "v6.4"


def draw_svg(spec: Mapping[str, Any], name: str) -> str:
    """The chart as SVG text. Raises ReportError, with the chart's name, when it cannot be drawn."""
    return str(_drawn(spec, name, "vegalite_to_svg"))


def draw_png(spec: Mapping[str, Any], name: str, *, scale: float = 2.0) -> bytes:
    """The chart as a PNG on white, for mail, which shows no SVG. Raises ReportError as `draw_svg` does."""
    on_white = {**spec, "background": "#ffffff"}
    return bytes(_drawn(on_white, name, "vegalite_to_png", scale=scale))


def _drawn(spec: Mapping[str, Any], name: str, function: str, **options: Any) -> Any:
    for path in _paths_refused(spec, "chart"):
        raise ReportError(
            f"the chart {name!r} cannot be drawn: {path} is not allowed; "
            "give the rows inline as data.values, charts load nothing"
        )
    try:
        import vl_convert
    except ImportError:
        raise ReportError(
            "charts need the package vl-convert-python: pip install 'rpa-analytics[report]'"
        ) from None
    try:
        draw = getattr(vl_convert, function)
        return draw(dict(spec), vl_version=_VEGA_LITE, allowed_base_urls=[], **options)
    except ValueError as error:
        reason = str(error).strip().splitlines()[0][:300]
        raise ReportError(
            f"the chart {name!r} cannot be drawn ({reason}): check its Vega-Lite spec"
        ) from error


def _paths_refused(node: object, path: str) -> Iterator[str]:
    """Where the spec names something that it may not; the rows themselves may hold any word."""
    if isinstance(node, Mapping):
        for key, value in node.items():
            if key in _REFUSED:
                yield f"{path}.{key}"
            elif key not in ("values", "datasets"):
                yield from _paths_refused(value, f"{path}.{key}")
    elif isinstance(node, Sequence) and not isinstance(node, str):
        for i, value in enumerate(node):
            yield from _paths_refused(value, f"{path}[{i}]")
