"""The page: complete, escaped, quiet on the network, and the same as the gold file."""

import base64
import json
import os
import re
import subprocess
import sys
from functools import cache
from html.parser import HTMLParser
from pathlib import Path

import pandas as pd
import pytest

from analytics_lib.errors import ReportError
from analytics_lib.report import html as html_module
from analytics_lib.report.drawing import draw_svg
from analytics_lib.report.html import render_html, templates_folder
from analytics_lib.report.model import Report, build_report
from analytics_lib.windows import DAY_US, HOUR_US, Window
from tests.report.inputs import anomaly, fleet, insight, report_inputs, run, sample, step, us, with_findings

GOLD = Path(__file__).parents[1] / "gold" / "report.html"
REGENERATE = "RPA_WRITE_GOLD"  # set it to 1 to write the gold file anew; then read the difference
WEEK = Window(us("2026-11-16T00:00"), us("2026-11-23T00:00"))
EVIL = (
    '<script>alert("x")</script>',
    'O\'Brien "quoted" & </style> </title>',
    "\u202eשלום الفاتورة",
    "robot 🤖",
    "x" * 500,
    "{{ y }} {% z %} ${x}",
    "",
)


TAGS = {"html", "head", "meta", "title", "style", "body", "header", "main", "section", "nav", "div", "p"}
TAGS |= {"h1", "h2", "h3", "b", "bdi", "span", "ul", "ol", "li", "a", "img", "figure", "figcaption", "code"}
TAGS |= {"article", "table", "thead", "tbody", "tr", "th", "td", "dl", "dt", "dd"}


class Page(HTMLParser):
    """Tags, attributes and text of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data


@cache
def evil_page() -> str:
    runs, steps, samples = [], [], []
    for k, name in enumerate(EVIL):
        for hour in range(24):
            moment = WEEK.start_us + hour * HOUR_US
            status = "completed" if hour % 3 else "failed"
            more = {"message": f"{name} broke", "workflow_version": name, "environment": name}
            runs.append(run(moment + k, name, status, execution_id=f"{name}{hour}", **more))
            steps.append(step(moment + k, f"{name[:150]}-{k}", step_name=name, workflow_id=name))
            samples.append(sample(moment, name, cpu_percent=50.0, memory_used_bytes=1e9))
    insights = pd.DataFrame(
        [insight(name, title=name, explanation=name[:99], action=name[:99]) for name in EVIL]
    )
    anomalies = pd.DataFrame([anomaly(WEEK.start_us, name, kind=name) for name in EVIL])
    names = {EVIL[2]: EVIL[0], EVIL[3]: EVIL[1]}
    return render_html(
        build_report(
            report_inputs(
                WEEK,
                runs,
                steps,
                samples,
                title=EVIL[0],
                insights=insights,
                anomalies=anomalies,
                display_names=names,
            )
        )
    )


def test_the_page_is_the_gold_page() -> None:
    """All words and numbers. Pictures are left out: where letters stand depends on the fonts installed."""
    page = render_html(build_report(with_findings(fleet(workflows=8, runs_a_day=12))))
    page = re.sub(r"data:image/svg\+xml;base64,[A-Za-z0-9+/=]+", "data:image/svg+xml,…", page)
    if os.environ.get(REGENERATE):
        GOLD.write_text(page, encoding="utf-8", newline="\n")
    assert page == GOLD.read_text(encoding="utf-8"), (
        f"{REGENERATE}=1 writes it anew; then read the difference"
    )


def test_names_of_any_kind_are_text_and_never_markup() -> None:
    page = Page(evil_page())
    names = {tag for tag, _ in page.tags}
    assert "script" not in names
    assert names <= TAGS
    assert not [a for _, attrs in page.tags for a in attrs if a.startswith("on")]
    assert EVIL[0] in page.text
    assert "{{ y }} {% z %} ${x}" in page.text
    assert "\u202e" not in page.text  # would turn the rest of the line around
    assert "(unnamed)" in page.text
    assert "x" * 300 not in page.text


def test_the_page_loads_nothing() -> None:
    page = evil_page()
    for tag, attrs in Page(page).tags:
        if tag == "img":
            assert str(attrs["src"]).startswith("data:image/svg+xml;base64,")
        assert tag not in ("link", "iframe", "object", "embed")
        assert str(attrs.get("href", "#")).startswith("#")
    style = re.search(r"<style>(.*?)</style>", page, re.S)
    assert style is not None
    assert "url(" not in style[1]
    assert "@import" not in style[1]
    for svg in re.findall(r"data:image/svg\+xml;base64,([A-Za-z0-9+/=]+)", page):
        drawn = base64.b64decode(svg).decode()
        assert "<script" not in drawn
        assert "<image" not in drawn
        assert "url(http" not in drawn


@cache
def small_report() -> Report:
    return build_report(fleet(workflows=4))


def test_every_picture_has_an_alternative_text() -> None:
    pictures = [attrs for tag, attrs in Page(render_html(small_report())).tags if tag == "img"]
    assert len(pictures) > 10
    assert all(len(str(attrs.get("alt") or "")) > 20 for attrs in pictures)


def test_charts_of_one_report_stay_a_readable_number() -> None:
    report = small_report()
    charts = [report.trend, report.heat_map, report.failures.chart, report.steps.chart]
    assert len([*charts, *report.halves, *report.resources.charts]) <= 10


def test_an_empty_report_is_a_short_page() -> None:
    page = Page(render_html(build_report(report_inputs(WEEK))))
    assert "No run ended in this period" in page.text
    assert "img" not in {tag for tag, _ in page.tags}


@pytest.mark.parametrize("n", [1, 2, 25])
def test_a_handful_of_runs_makes_a_page(n: int) -> None:
    runs = [run(WEEK.start_us + k * HOUR_US, status="failed") for k in range(n)]
    assert "0\u00a0%" in Page(render_html(build_report(report_inputs(WEEK, runs)))).text


@pytest.mark.parametrize(
    ("window", "zone"),
    [
        (Window(us("2026-11-16T09:00"), us("2026-11-16T10:00")), "UTC"),
        (
            Window(us("2026-10-25T00:00", "Europe/Berlin"), us("2026-10-26T00:00", "Europe/Berlin")),
            "Europe/Berlin",
        ),
        (Window(us("2025-11-16T00:00"), us("2026-11-16T00:00")), "Asia/Kolkata"),
        (Window(us("2005-11-16T00:00"), us("2026-11-16T00:00")), "America/St_Johns"),
    ],
)
def test_windows_of_any_length_make_a_page(window: Window, zone: str) -> None:
    step_us = max((window.end_us - window.start_us) // 60 // HOUR_US * HOUR_US, HOUR_US // 60)
    runs = [run(window.start_us + k * step_us) for k in range(60)]
    page = Page(render_html(build_report(report_inputs(window, runs, time_zone=zone))))
    assert zone in page.text


def test_a_chart_that_fails_is_named() -> None:
    with pytest.raises(ReportError, match=r"'duration trend' cannot be drawn"):
        draw_svg({"mark": "no such mark", "data": {"values": []}}, "duration trend")


@pytest.mark.parametrize(
    "spec",
    [
        {"data": {"url": "http://127.0.0.1:9/rows.json"}, "mark": "bar"},
        {"data": {"sequence": {"start": 0, "stop": 1e12}}, "mark": "bar"},
        {"data": {"values": []}, "layer": [{"mark": {"type": "image", "url": "file:///etc/passwd"}}]},
    ],
)
def test_a_chart_may_not_reach_outside(spec: dict[str, object]) -> None:
    with pytest.raises(ReportError, match="not allowed"):
        draw_svg(spec, "any")


def test_a_broken_template_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "report").mkdir()
    (tmp_path / "report" / "report.html.j2").write_text("<p>{{ report.no_such_part }}</p>")
    monkeypatch.setattr(html_module, "templates_folder", lambda: tmp_path)
    with pytest.raises(ReportError, match="no_such_part"):
        render_html(build_report(report_inputs(WEEK)))


def test_the_templates_are_found() -> None:
    assert (templates_folder() / "report" / "report.css").is_file()


def test_labels_do_not_depend_on_the_time_zone_of_the_machine() -> None:
    runs = [run(WEEK.start_us - DAY_US + k * HOUR_US) for k in range(60)]
    report = build_report(report_inputs(WEEK, runs, time_zone="Europe/Berlin"))
    assert report.trend is not None
    program = (
        "import json, sys; from analytics_lib.report.drawing import draw_svg; "
        "sys.stdout.buffer.write(draw_svg(json.load(sys.stdin), 'trend').encode())"
    )
    drawn = {
        subprocess.run(
            [sys.executable, "-c", program],
            input=json.dumps(report.trend.spec).encode(),
            env={**os.environ, "TZ": zone},
            capture_output=True,
            check=True,
        ).stdout.decode()
        for zone in ("America/Los_Angeles", "Asia/Kolkata")
    }
    (svg,) = drawn
    assert re.search(r">16\sNov<", svg)
