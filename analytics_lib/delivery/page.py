"""The pages of mails: HTML with its style inlined, no picture inside, nothing loaded, short enough.

Gmail cuts a mail off after about 102 KB, so whatever there is much of is cut to a few; the report itself
is attached.
"""

from typing import Any, Final

import css_inline
from jinja2 import TemplateError, TemplateSyntaxError

from analytics_lib.delivery.headers import clean
from analytics_lib.errors import ReportError
from analytics_lib.report.html import environment, templates_folder
from analytics_lib.report.parts import Chart, InsightCard, Report

N_CARDS: Final = 5
N_CHANGES: Final = 3
TREND_CID: Final = "trend@rpa-analytics"
TREND_WIDTH: Final = 480  # drawn at this width, its letters can be read at 600 pixels and at 360
TILES: Final = ("Success rate", "Runs", "Median duration", "Robot hours")


def report_page(report: Report, *, link: str, why: str) -> str:
    """The page of a report's mail. Raises ReportError for a broken template."""
    tiles = [tile for tile in report.tiles if tile.label in TILES]
    return _rendered(
        "mail/report.html.j2",
        report=report,
        tiles=() if report.empty else tiles,
        cards=report.insights.cards[:N_CARDS],
        n_more=report.insights.n_more + len(report.insights.cards[N_CARDS:]),
        changes=() if report.empty else report.what_changed.sentences[:N_CHANGES],
        trend_cid=TREND_CID,
        link=link,
        why=why,
    )


def insight_page(card: InsightCard, *, link: str, why: str) -> str:
    """The page of one insight's mail. Raises ReportError for a broken template."""
    return _rendered("mail/insight.html.j2", card=card, link=link, why=why)


def trend_spec(chart: Chart) -> dict[str, Any]:
    """The narrow form of the trend, drawn wider: few labels, in letters that a phone can show."""
    return {**(chart.narrow_spec or chart.spec), "width": TREND_WIDTH, "height": 210}


def _rendered(template: str, **values: Any) -> str:
    try:
        page = environment(templates_folder()).get_template(template).render(**values)
    except TemplateError as error:
        where = f", line {error.lineno}" if isinstance(error, TemplateSyntaxError) else ""
        raise ReportError(
            f"the mail's template {template}{where} cannot be rendered ({error}): repair or reinstall it"
        ) from error
    # Rules for phones stay in a style element; mail programs that drop it show the rest all the same.
    inliner = css_inline.CSSInliner(keep_at_rules=True, load_remote_stylesheets=False)
    return inliner.inline("\n".join(clean(line) for line in page.split("\n")))
