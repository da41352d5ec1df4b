"""A report or an insight as a mail: plain text, HTML with the trend as a picture, the PDF attached."""

from collections.abc import Iterator
from datetime import datetime
from email.message import EmailMessage
from pathlib import Path
from typing import cast
from urllib.parse import quote

from analytics_lib import formats
from analytics_lib.delivery.headers import clean, new_message, subject_text
from analytics_lib.delivery.page import N_CARDS, TILES, TREND_CID, insight_page, report_page, trend_spec
from analytics_lib.errors import DeliveryError
from analytics_lib.report.drawing import draw_png
from analytics_lib.report.parts import InsightCard, Report
from analytics_lib.store.outbox_rows import MailKey


def compose(
    report: Report,
    *,
    key: MailKey,
    html: Path,
    pdf: Path,
    recipient: str,
    sender: str,
    sent_at: datetime,
    why: str,
    report_url: str = "",
) -> EmailMessage:
    """The mail of a report. `why` tells its reader why they get it.

    With a `report_url`, where the folder of the HTML file is served, it links to that file; without one
    there is no link. Raises DeliveryError, for a CR, LF or NUL in a header or an unreadable PDF, and
    ReportError, for a broken template or chart.
    """
    needs = report.needs_you
    heading = f"{report.title}, {report.window_text}"
    about = (
        f"{needs.subject} needs you" if needs.subject else "nothing needs you" if needs.tone == "good" else ""
    )
    subject = subject_text(
        f"{heading}: {about}" if about and (needs.subject or not report.empty) else heading
    )
    link = f"{report_url.rstrip('/')}/{quote(html.name)}" if report_url else ""
    message = new_message(key=key, recipient=recipient, sender=sender, subject=subject, sent_at=sent_at)
    message.set_content(_as_text(_report_lines(report, link, why)))
    message.add_alternative(report_page(report, link=link, why=why), subtype="html")
    if report.trend and not report.empty:
        page = cast(EmailMessage, message.get_payload()[1])  # type: ignore[index]  # multipart/alternative
        picture = draw_png(trend_spec(report.trend), report.trend.name)
        page.add_related(
            picture, "image", "png", cid=f"<{TREND_CID}>", filename="trend.png", disposition="inline"
        )
    try:
        attached = pdf.read_bytes()
    except OSError as error:
        raise DeliveryError(
            f"the report {pdf} cannot be attached ({error.strerror}): render it again"
        ) from None
    message.add_attachment(attached, "application", "pdf", filename=pdf.name)
    return message


def insight_mail(
    card: InsightCard,
    *,
    key: MailKey,
    recipient: str,
    sender: str,
    sent_at: datetime,
    why: str,
    report_url: str = "",
) -> EmailMessage:
    """The mail of one severe insight. Raises DeliveryError and ReportError as `compose` does."""
    subject = subject_text(f"{card.subject}{' (simulated)' if card.simulated else ''}: {card.title}")
    message = new_message(key=key, recipient=recipient, sender=sender, subject=subject, sent_at=sent_at)
    lines = [
        f"{card.subject} needs you",
        "",
        *_card_lines(card),
        "",
        *([report_url, ""] if report_url else []),
        why,
    ]
    message.set_content(_as_text(lines))
    message.add_alternative(insight_page(card, link=report_url, why=why), subtype="html")
    return message


def _report_lines(report: Report, link: str, why: str) -> Iterator[str]:
    yield from (report.title, f"{report.window_text}, {report.time_zone}", "")
    if report.needs_you.subject or not report.empty:
        yield from (report.needs_you.in_words(), "")
    yield from report.warnings
    if report.empty:
        yield from (report.empty, "")
    else:
        for tile in report.tiles:
            if tile.label in TILES:
                change = tile.change
                against = f"{change.text}, was {change.before}; {change.words}" if change else tile.words
                yield f"{tile.label}: {tile.value} ({against.removesuffix('; ')})"
        yield ""
    if report.insights.cards:
        yield from ("INSIGHTS", "")
        for card in report.insights.cards[:N_CARDS]:
            yield from (*_card_lines(card), "")
    if not report.empty:
        yield "WHAT CHANGED"
        for s in report.what_changed.sentences:
            yield f"- {s.subject}{' (simulated)' if s.simulated else ''}: {s.text}"
        yield ""
    yield f"The whole report is attached as PDF. Data through {report.data_through}; {report.rows_text}."
    yield from ([f"Open the report: {link}"] if link else [])
    yield from ([report.simulated_text] if report.simulated_text else [])
    yield from ("", why)


def _card_lines(card: InsightCard) -> Iterator[str]:
    where = f" ({card.environment})" if card.environment else " (simulated)" if card.simulated else ""
    yield f"* {card.subject}{where}: {card.title} [{card.state}]"
    yield f"  {card.explanation}"
    if card.action:
        yield f"  Next: {card.action}"
    yield f"  {card.impact + '; ' if card.impact else ''}evidence: {card.evidence}"


def _as_text(lines: list[str] | Iterator[str]) -> str:
    return "\n".join(clean(formats.plain(line)) for line in lines) + "\n"
