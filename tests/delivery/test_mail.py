"""The mail: what is in it, what may not be in it, and that no name can break it."""

import re
from dataclasses import replace
from datetime import datetime
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pandas as pd
import pytest

from analytics_lib.delivery.headers import header_text, message_id, new_message
from analytics_lib.delivery.mail import insight_mail
from analytics_lib.errors import DeliveryError, ReportError
from analytics_lib.report import html as html_module
from analytics_lib.report.insights import insight_card
from analytics_lib.report.model import Report, build_report
from analytics_lib.report.parts import InsightCard
from analytics_lib.report.periods import LocalTime
from tests.delivery.mails import MORNING, SENDER, WHY, fleet_report, key, mail_of, part
from tests.report.inputs import insight, report_inputs, run
from tests.report.test_html import EVIL, WEEK, Page

LINE_BREAKER = "Invoices\r\nBcc: eve@example.com\r\n\r\n<script>alert(1)</script>\0"


def evil_report(name: str) -> Report:
    runs = [run(WEEK.start_us + k, name, "failed" if k % 3 else "completed") for k in range(60)]
    row = insight(name, title=name, explanation=name, action=name, severity=90)
    return build_report(report_inputs(WEEK, runs, title=name, insights=pd.DataFrame([row])))


def test_the_mail_has_text_page_picture_and_report(tmp_path: Path) -> None:
    mail = mail_of(fleet_report(), tmp_path)
    kinds = [p.get_content_type() for p in mail.walk() if not p.is_multipart()]
    assert kinds == ["text/plain", "text/html", "image/png", "application/pdf"]
    assert part(mail, "application/pdf") == b"%PDF-1.7 made up"
    assert part(mail, "image/png").startswith(b"\x89PNG")
    picture = next(p for p in mail.walk() if p.get_content_type() == "image/png")
    page = part(mail, "text/html")
    assert f'src="cid:{picture["Content-ID"].strip("<>")}"' in page
    for said in (page, part(mail, "text/plain")):
        assert "Order confirmation" in said
        assert "13 % of runs fail since 16 Nov" in said.replace("\u00a0", " ")
        assert WHY in said


def test_the_head_says_who_when_and_that_no_answer_is_awaited(tmp_path: Path) -> None:
    mail = mail_of(fleet_report(), tmp_path)
    assert mail["From"] == SENDER
    assert mail["To"] == "ann@example.com"
    assert str(mail["Subject"]).startswith(
        "Finance robots, week 47, 16–22 Nov 2026: Order confirmation needs"
    )
    assert parsedate_to_datetime(mail["Date"]) == MORNING
    assert re.fullmatch(r"<[0-9a-f]{16}@example\.com>", mail["Message-ID"])
    assert mail["List-Id"] == "RPA Analytics <weekly.rpa-analytics.example.com>"
    assert mail["Auto-Submitted"] == "auto-generated"


def test_the_same_mail_has_the_same_id_and_another_one_another() -> None:
    keys = [key(), key("bob@example.com"), key(report="daily"), key(period="x")]
    assert len({message_id(k, "example.com") for k in keys}) == 4
    assert message_id(key(), "example.com") == message_id(key(), "example.com")


def test_the_page_is_short_inlined_and_loads_nothing(tmp_path: Path) -> None:
    page = part(mail_of(fleet_report(), tmp_path), "text/html")
    assert len(page.encode()) < 80_000
    assert page.count("<tr") <= 10
    assert "data:" not in page
    assert "<svg" not in page
    assert "style=" in page
    tags = Page(page).tags
    assert [attrs["src"] for tag, attrs in tags if tag == "img"] == ["cid:trend@rpa-analytics"]
    assert all(len(str(attrs["alt"])) > 20 for tag, attrs in tags if tag == "img")
    assert not [tag for tag, attrs in tags if tag in ("link", "script", "iframe") or attrs.get("href")]


def test_a_link_is_there_only_where_there_is_a_target(tmp_path: Path) -> None:
    mail = mail_of(fleet_report(), tmp_path, report_url="https://reports.example.com/rpa/")
    link = "https://reports.example.com/rpa/rpa-report%20of%20week.html"
    assert f'href="{link}"' in part(mail, "text/html")
    assert link in part(mail, "text/plain")


def test_the_longest_texts_stay_under_the_limit(tmp_path: Path) -> None:
    wide = "&" * 3_000  # five characters each in HTML
    runs = [
        run(WEEK.start_us + k, f"{k % 40} {wide}", "failed" if k % 3 else "completed") for k in range(400)
    ]
    rows = [insight(f"{k} {wide}", rank=k, title=wide, explanation=wide, action=wide) for k in range(1, 30)]
    report = build_report(report_inputs(WEEK, runs, title=wide, insights=pd.DataFrame(rows)))
    assert len(part(mail_of(report, tmp_path), "text/html").encode()) < 80_000


@pytest.mark.parametrize("name", [*EVIL, LINE_BREAKER, "=?utf-8?q?=0D=0ABcc:x?="])
def test_names_of_any_kind_are_text_in_subject_and_page(name: str, tmp_path: Path) -> None:
    sent = mail_of(evil_report(name), tmp_path).as_bytes()
    mail = message_from_bytes(sent, policy=SMTP)
    assert isinstance(mail, EmailMessage)
    assert "Bcc" not in mail
    assert b"\r\nbcc" not in sent.partition(b"\r\n\r\n")[0].lower()
    assert len(str(mail["Subject"])) <= 180
    page = Page(part(mail, "text/html"))
    assert "script" not in {tag for tag, _ in page.tags}
    assert "\u202e" not in page.text + str(mail["Subject"])
    assert not [c for c in page.text if ord(c) < 32 and c not in "\r\n"]


def test_a_title_that_is_no_unicode_is_replaced(tmp_path: Path) -> None:
    report = build_report(report_inputs(WEEK, [run(WEEK.start_us)], title="\ud800 alone\x1b[31m"))
    mail = mail_of(report, tmp_path)
    assert str(mail["Subject"]).startswith("? alone [31m")
    assert "? alone [31m" in part(mail, "text/html")


@pytest.mark.parametrize("bad", ["\r", "\n", "\0", "=?utf-8?q?=0D=0A?="])
@pytest.mark.parametrize("where", ["recipient", "sender", "subject"])
def test_what_could_end_a_header_is_an_error_that_names_it(where: str, bad: str) -> None:
    given: dict[str, Any] = {"recipient": "ann@example.com", "sender": SENDER, "subject": "Subject"}
    given[where] += f"{bad}Bcc: eve@example.com"
    with pytest.raises(DeliveryError, match=f"the {where} .* contains (CR|LF|NUL|an encoded word)"):
        new_message(key=key(), sent_at=MORNING, **given)


@pytest.mark.parametrize("address", ["", "ann", "ann@", "@example.com", "a b@example.com", "a@b, c@d"])
def test_what_is_no_address_is_an_error(address: str) -> None:
    for given in ({"recipient": address, "sender": SENDER}, {"recipient": "a@b.c", "sender": address}):
        with pytest.raises(DeliveryError, match="is no mail address"):
            new_message(key=key(), subject="s", sent_at=MORNING, **given)
    assert header_text("fine", "subject") == "fine"


def test_a_calm_week_says_so_in_the_subject(tmp_path: Path) -> None:
    report = build_report(report_inputs(WEEK, [run(WEEK.start_us + k) for k in range(30)], title="Robots"))
    mail = mail_of(report, tmp_path)
    assert str(mail["Subject"]) == "Robots, 16–22 Nov 2026: nothing needs you"
    assert "Nothing needs you." in part(mail, "text/plain")


def test_an_empty_report_is_a_short_mail_without_a_picture(tmp_path: Path) -> None:
    mail = mail_of(build_report(report_inputs(WEEK)), tmp_path)
    assert "image/png" not in [p.get_content_type() for p in mail.walk()]
    assert "No run ended in this period" in part(mail, "text/html")
    assert "nothing needs you" not in str(mail["Subject"])


def test_a_pdf_that_is_gone_is_named(tmp_path: Path) -> None:
    with pytest.raises(DeliveryError, match=r"gone\.pdf cannot be attached"):
        mail_of(fleet_report(), tmp_path, pdf=tmp_path / "gone.pdf")


def test_a_broken_template_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "report").mkdir()
    (tmp_path / "report" / "report.html.j2").write_text("")
    (tmp_path / "mail").mkdir()
    (tmp_path / "mail" / "report.html.j2").write_text("{{ report.no_such_part }}")
    monkeypatch.setattr("analytics_lib.delivery.page.templates_folder", lambda: tmp_path)
    assert html_module.templates_folder() != tmp_path
    with pytest.raises(ReportError, match=r"mail/report\.html\.j2.*no_such_part"):
        mail_of(fleet_report(), tmp_path)


def card(**more: Any) -> InsightCard:
    return insight_card(insight(**more), LocalTime(ZoneInfo("Europe/Berlin"), "hour"))


def test_an_insight_is_a_mail_of_its_own() -> None:
    mail = insight_mail(
        card(workflow_id="Invoice intake"),
        key=key(report="insight", period="abc"),
        recipient="ann@example.com",
        sender=SENDER,
        sent_at=datetime(2026, 11, 18, 9, tzinfo=ZoneInfo("Europe/Berlin")),
        why=WHY,
    )
    assert str(mail["Subject"]) == "Invoice intake: 28 % of runs fail since 18 Nov"
    assert [p.get_content_type() for p in mail.walk()] == ["multipart/alternative", "text/plain", "text/html"]
    page = part(mail, "text/html")
    assert "Read the messages" in page
    assert "<a" not in page
    assert mail["List-Id"].startswith("RPA Analytics <insight.")


def test_a_simulated_insight_is_marked() -> None:
    made = replace(card(), simulated=True)
    mail = insight_mail(made, key=key(), recipient="ann@example.com", sender=SENDER, sent_at=MORNING, why=WHY)
    assert "(simulated)" in str(mail["Subject"])
    assert "simulated" in part(mail, "text/plain")
    assert "simulated" in part(mail, "text/html")
