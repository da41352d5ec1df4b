"""Mails for tests, and what is in them."""

from datetime import UTC, datetime
from email.message import EmailMessage
from functools import cache
from pathlib import Path
from typing import Any

from analytics_lib.delivery.headers import new_message
from analytics_lib.delivery.mail import compose
from analytics_lib.delivery.outbox import Outgoing
from analytics_lib.report.model import Report, build_report
from analytics_lib.store.outbox_rows import MailKey
from tests.report.inputs import fleet, with_findings

MORNING = datetime(2026, 11, 23, 6, 0, tzinfo=UTC)
SENDER = "RPA Analytics <robots@example.com>"
WHY = "You get this as one of Finance, Mondays 07:00 Europe/Berlin."


def key(recipient: str = "ann@example.com", **more: str) -> MailKey:
    return MailKey(
        **{"report": "weekly", "period": "2026-11-16 2026-11-23 UTC", "recipient": recipient} | more
    )


def note(recipient: str = "ann@example.com", **more: str) -> Outgoing:
    """A small mail."""
    of = key(recipient, **more)
    message = new_message(key=of, recipient=recipient, sender=SENDER, subject="A note", sent_at=MORNING)
    message.set_content("one line\n.a line that begins with a dot\nund eine ähnliche\n")
    return Outgoing(of, message)


@cache
def fleet_report() -> Report:
    return build_report(with_findings(fleet(workflows=6, runs_a_day=12)))


def mail_of(report: Report, folder: Path, recipient: str = "ann@example.com", **more: Any) -> EmailMessage:
    pdf = folder / "rpa-report.pdf"
    pdf.write_bytes(b"%PDF-1.7 made up")
    values: dict[str, Any] = {
        "key": key(recipient),
        "html": folder / "rpa-report of week.html",
        "pdf": pdf,
        "recipient": recipient,
        "sender": SENDER,
        "sent_at": MORNING,
        "why": WHY,
    }
    return compose(report, **values | more)


def part(message: EmailMessage, kind: str) -> Any:
    """The content of the first part of that kind."""
    return next(p for p in message.walk() if p.get_content_type() == kind).get_content()
