"""A report as one HTML file: style and charts inside, nothing loaded from anywhere."""

import base64
from functools import cache
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined, TemplateError, TemplateSyntaxError

from analytics_lib.errors import ReportError
from analytics_lib.report.drawing import draw_svg
from analytics_lib.report.parts import Chart, Report

TEMPLATE = "report/report.html.j2"


def render_html(report: Report) -> str:
    """The page, complete with its charts. Raises ReportError that names the chart or the template's line."""
    try:
        page: str = environment(templates_folder()).get_template(TEMPLATE).render(report=report)
    except TemplateError as error:
        where = f", line {error.lineno}" if isinstance(error, TemplateSyntaxError) else ""
        raise ReportError(
            f"the report's template {TEMPLATE}{where} cannot be rendered ({error}): repair or reinstall it"
        ) from error
    return page


def templates_folder() -> Path:
    """Where the templates are: in the checkout, or inside the installed package."""
    package = Path(__file__).parents[1]
    for folder in (package.parent / "templates", package / "_templates"):
        if (folder / TEMPLATE).is_file():
            return folder
    raise ReportError(
        f"the report's templates are missing from {package / '_templates'}: reinstall rpa-analytics"
    )


@cache
def environment(folder: Path) -> Environment:
    """How templates of reports and mails are rendered: everything escaped, nothing missing unnoticed."""
    # autoescape for all: `select_autoescape()` would leave names that end in .j2 unescaped.
    made = Environment(
        loader=FileSystemLoader(folder),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters["picture"] = _picture
    made.filters["narrow_picture"] = _narrow_picture
    return made


def _picture(chart: Chart) -> str:
    """The chart as a data URI. As an image it has an alternative text in the PDF; inline SVG has none."""
    return _data_uri(draw_svg(chart.spec, chart.name))


def _narrow_picture(chart: Chart) -> str:
    if chart.narrow_spec is None:
        raise ReportError(f"the chart {chart.name!r} has no narrow form: give it one, or do not ask for it")
    return _data_uri(draw_svg(chart.narrow_spec, f"{chart.name}, narrow"))


def _data_uri(svg: str) -> str:
    return "data:image/svg+xml;base64," + base64.b64encode(svg.encode()).decode("ascii")
