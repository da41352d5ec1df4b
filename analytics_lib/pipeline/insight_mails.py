"""What the DAG insight_generation does last: an insight that is severe enough is mailed at once, and once.

Imported history mails nothing: what held last more than two days ago is no news.
"""

import logging
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any, Final
from zoneinfo import ZoneInfo

from analytics_lib.delivery_settings import DeliverySettings, SmtpServer
from analytics_lib.pipeline.mailing import chosen_settings, counts, save, sender_of
from analytics_lib.store import open_store
from analytics_lib.store.engine import connect_to_read
from analytics_lib.windows import MICROSECOND, to_us

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from analytics_lib.delivery.outbox import Clock, Outgoing, Send, Sending
    from analytics_lib.report.parts import InsightCard

NEWS_FOR: Final = timedelta(hours=48)
REPORT: Final = "insight"
_log = logging.getLogger("rpa_analytics.pipeline")


def mail_insights(
    location: str | Path,
    *,
    as_of: datetime,
    output_folder: str | Path,
    delivery: DeliverySettings | None = None,
    smtp: SmtpServer | None = None,
    dry_run: bool = False,
    send: "Send | None" = None,
    clock: "Clock | None" = None,
) -> dict[str, Any]:
    """Mails each unresolved insight of the set severity that held within 48 hours before the moment.

    {'insights': severe ones, 'sent', 'skipped': sent before, 'capped': over the day's limit, left to
    the next day, 'failed', 'refused', 'unknown', 'would_send', 'files', 'problem'}, as `deliver_reports`.
    The most important come first. A dry run saves all mails, sends none and leaves the outbox alone.
    """
    from analytics_lib.delivery import outbox

    began, folder = perf_counter(), Path(output_folder)
    delivery = chosen_settings(delivery, smtp)
    addresses = _addresses(delivery)
    on = bool(addresses) and delivery.insight_mail_severity is not None
    sender = None if dry_run or not on else send or sender_of(delivery)
    clock = clock or outbox.now
    done, files, capped, would_send = outbox.Sending(), [], 0, 0
    with open_store(location) as store:
        cards = _severe(store.engine, delivery, as_of) if on else []
        outbox.give_up_lost(store.engine, clock=clock)
        for address, why in addresses.items():
            left = delivery.insight_mails_per_day - _sent_today(store.engine, address, delivery, clock())
            for mail, is_new in _open(store.engine, cards, address, why, delivery, clock(), done):
                if is_new and left <= 0:
                    capped += 1
                    continue
                left -= is_new
                files.append(save(mail, folder))
                would_send += 1
                if sender:
                    done.add(outbox.send_all(store.engine, [mail], sender, clock=clock))
    result = {"insights": len(cards), "capped": capped, **counts(done)}
    _log.info(
        "severe insights %d, mails sent %d, skipped %d, capped %d, failed %d, refused %d, unknown %d, "
        "seconds %.1f%s",
        len(cards),
        done.sent,
        done.skipped,
        capped,
        done.failed,
        done.refused,
        done.unknown,
        perf_counter() - began,
        "; dry run, nothing sent" if dry_run else "" if on else "; off: no recipients, or no severity is set",
    )
    return {**result, "would_send": would_send if dry_run else 0, "files": files}


def _addresses(delivery: DeliverySettings) -> dict[str, str]:
    """Who gets mails about single insights, and why."""
    found: dict[str, str] = {}
    for one in delivery.recipients:
        whom = f"as one of {one.name}" if one.name else "as a recipient of reports"
        for address in one.addresses if one.insights else ():
            if address.casefold() not in map(str.casefold, found):
                severity = delivery.insight_mail_severity
                found[address] = f"You get this {whom}, at once for insights of severity {severity} and more."
    return found


def _severe(engine: "Engine", delivery: DeliverySettings, as_of: datetime) -> "list[tuple[str, InsightCard]]":
    """(id, card) of the insights to be mailed, the most important first."""
    from analytics_lib.report.insights import insight_card
    from analytics_lib.report.names import unambiguous, with_names
    from analytics_lib.report.periods import LocalTime
    from analytics_lib.store import insight_rows
    from analytics_lib.store.workflow_rows import read_register
    from analytics_lib.workflows import without_environments

    with connect_to_read(engine) as connection:
        register = read_register(connection)
        rows = without_environments(insight_rows.read_insights(connection))
    severe = rows[
        (rows["severity"] >= (delivery.insight_mail_severity or 0))
        & (rows["last_seen_us"] >= to_us(as_of) - NEWS_FOR // MICROSECOND)
        & (rows["first_seen_us"] <= to_us(as_of))
    ]
    names = {one.workflow_id: one.name for one in register.workflows.values()}
    named = with_names(severe, unambiguous(names, map(str, rows["workflow_id"].unique())))
    local = LocalTime(ZoneInfo(delivery.time_zone), "hour")
    records: list[dict[str, Any]] = named.to_dict("records")  # type: ignore[assignment]  # names are texts
    return [(str(row["insight_id"]), insight_card(row, local)) for row in records]


def _open(
    engine: "Engine",
    cards: "list[tuple[str, InsightCard]]",
    address: str,
    why: str,
    delivery: DeliverySettings,
    sent_at: datetime,
    done: "Sending",
) -> "Iterator[tuple[Outgoing, bool]]":
    """The recipient's mails that are new (True) or failed (False); the others are counted."""
    from analytics_lib.delivery.mail import insight_mail
    from analytics_lib.delivery.outbox import Outgoing
    from analytics_lib.store import outbox_rows

    for insight_id, card in cards:
        key = outbox_rows.MailKey(REPORT, insight_id, address.casefold())
        with engine.begin() as connection:
            row = outbox_rows.read_mails(connection, REPORT, insight_id).get(key.recipient)
        if row and not (row.state == "failed" and row.attempts < outbox_rows.MOST_ATTEMPTS):
            done.count("skipped" if row.state == "sent" else row.state, row.problem)
            continue
        message = insight_mail(
            card,
            key=key,
            recipient=address,
            sender=delivery.sender,
            sent_at=sent_at,
            why=why,
            report_url=delivery.report_url,
        )
        yield Outgoing(key, message), row is None


def _sent_today(engine: "Engine", address: str, delivery: DeliverySettings, now: datetime) -> int:
    from analytics_lib.store import outbox_rows

    midnight = now.astimezone(ZoneInfo(delivery.time_zone)).replace(hour=0, minute=0, second=0, microsecond=0)
    with engine.begin() as connection:
        return outbox_rows.count_claimed_since(connection, REPORT, address.casefold(), to_us(midnight))
