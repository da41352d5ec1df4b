"""The PDF: made by the real WeasyPrint, tagged, paged, and without a single request."""

import contextlib
import http.server
import os
import re
import shutil
import subprocess
import sys
import threading
import zlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from analytics_lib.errors import ReportError
from analytics_lib.report.html import render_html
from analytics_lib.report.model import build_report
from analytics_lib.report.pdf import render_pdf
from tests.report.inputs import fleet, report_inputs
from tests.report.test_html import WEEK, evil_page

pytestmark = pytest.mark.slow
needs_poppler = pytest.mark.skipif(
    not (shutil.which("pdftotext") and shutil.which("pdfinfo")), reason="pdftotext and pdfinfo are not here"
)


def text_of(pdf: Path) -> str:
    return subprocess.run(
        ["pdftotext", "-layout", pdf, "-"], capture_output=True, text=True, check=True
    ).stdout


def facts_of(pdf: Path) -> dict[str, str]:
    lines = subprocess.run(["pdfinfo", pdf], capture_output=True, text=True, check=True).stdout.splitlines()
    return {name: value.strip() for name, _, value in (line.partition(":") for line in lines)}


@pytest.fixture(scope="module")
def fleet_pdf(tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("pdf") / "report.pdf"
    render_pdf(render_html(build_report(fleet(workflows=8))), target)
    return target


@needs_poppler
def test_the_pdf_is_tagged_titled_and_numbered(fleet_pdf: Path) -> None:
    facts = facts_of(fleet_pdf)
    assert facts["Tagged"] == "yes"
    assert facts["Title"].startswith("Finance robots, week 47")
    assert 3 <= int(facts["Pages"]) <= 20
    text = text_of(fleet_pdf)
    assert "Finance robots, week 47" in text
    assert f"Page 1 of {facts['Pages']}" in text
    assert "simulated" in text


def test_the_pdf_names_its_language_and_describes_each_picture(fleet_pdf: Path) -> None:
    data, objects = fleet_pdf.read_bytes(), b""
    for stream in re.findall(rb"stream\r?\n(.*?)endstream", data, re.S):
        with contextlib.suppress(zlib.error):  # a font or a picture that is packed otherwise
            objects += zlib.decompress(stream)
    assert b"/Lang (en)" in data + objects
    report = build_report(fleet(workflows=8))
    charts = [report.trend, report.heat_map, report.failures.chart, report.steps.chart]
    charts += [*report.halves, *report.resources.charts, *(t.sparkline for t in report.tiles)]
    assert len(re.findall(rb"/Alt ", data + objects)) == sum(chart is not None for chart in charts)


@needs_poppler
def test_an_empty_report_is_one_page(tmp_path: Path) -> None:
    target = tmp_path / "empty.pdf"
    render_pdf(render_html(build_report(report_inputs(WEEK))), target)
    assert facts_of(target)["Pages"] == "1"
    assert "No run ended in this period" in text_of(target)


@needs_poppler
def test_names_of_any_kind_make_a_pdf(tmp_path: Path) -> None:
    target = tmp_path / "evil.pdf"
    render_pdf(evil_page(), target)
    assert '<script>alert("x")</script>' in text_of(target)


class _Counter(http.server.BaseHTTPRequestHandler):
    seen: list[str]

    def do_GET(self) -> None:
        self.seen.append(self.path)
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Requests are counted, not printed."""


@pytest.fixture
def counting_server() -> Iterator[tuple[str, list[str]]]:
    seen: list[str] = []
    server = http.server.HTTPServer(("127.0.0.1", 0), type("Counter", (_Counter,), {"seen": seen}))
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}", seen
    server.shutdown()
    server.server_close()


def test_nothing_is_fetched_and_no_file_is_read(
    tmp_path: Path, counting_server: tuple[str, list[str]]
) -> None:
    address, seen = counting_server
    secret = tmp_path / "secret.css"
    secret.write_text("body::before { content: 'SECRET-FROM-DISK'; }")
    page = (
        f"<html lang=en><title>t</title><link rel=stylesheet href='{address}/a.css'>"
        f"<link rel=stylesheet href='{secret.as_uri()}'><style>@import '{address}/b.css';</style>"
        f"<img alt=x src='{address}/c.png'><img alt=x src='{secret.as_uri()}'><p>still a page</p></html>"
    )
    target = tmp_path / "out.pdf"
    render_pdf(page, target)
    assert target.read_bytes().startswith(b"%PDF-")
    assert seen == []
    if shutil.which("pdftotext"):
        assert "SECRET" not in text_of(target)


def test_a_page_that_takes_too_long_leaves_nothing_behind(tmp_path: Path) -> None:
    target = tmp_path / "out.pdf"
    target.write_bytes(b"the old one")
    with pytest.raises(ReportError, match="longer than"):
        render_pdf("<p>x</p>", target, timeout_sec=0.05)
    assert target.read_bytes() == b"the old one"
    assert list(tmp_path.iterdir()) == [target]


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no limit of address space")
def test_a_page_that_needs_too_much_memory_is_given_up(tmp_path: Path) -> None:
    with pytest.raises(ReportError, match=r"out\.pdf cannot be made"):
        render_pdf("<p>x</p>", tmp_path / "out.pdf", memory_limit_bytes=60 * 1024**2)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("raise OSError('cannot load library libpango-1.0-0')", "apt install libpango-1.0-0"),
        ("raise ModuleNotFoundError('no such package', name='weasyprint')", "rpa-analytics[report]"),
    ],
)
def test_what_is_missing_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, body: str, said: str
) -> None:
    """A weasyprint of our own stands before the real one and fails as that does without Pango."""
    (tmp_path / "first").mkdir()
    (tmp_path / "first" / "weasyprint.py").write_text(body)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path / "first"), str(Path.cwd())]))
    with pytest.raises(ReportError, match=re.escape(said)):
        render_pdf("<p>x</p>", tmp_path / "out.pdf")
    check = [sys.executable, "-m", "analytics_lib.report.pdf", "--check"]
    found = subprocess.run(check, capture_output=True, text=True, check=False)
    assert (found.returncode, said in found.stderr) == (ReportError.exit_code, True)


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ReportError, match="cannot be written"):
        render_pdf("<p>x</p>", tmp_path / "no" / "out.pdf")


def test_a_folder_in_the_place_of_the_pdf_is_named(tmp_path: Path) -> None:
    (tmp_path / "out.pdf").mkdir()
    with pytest.raises(ReportError, match=r"out\.pdf cannot be written"):
        render_pdf("<p>x</p>", tmp_path / "out.pdf")
    assert [one.name for one in tmp_path.iterdir()] == ["out.pdf"]
