"""What the DAG report_rendering does last: reports that are due go out by mail, each once."""

import logging
from collections.abc import Iterable
from datetime import datetime, timedelta
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any, Final

from analytics_lib.delivery_settings import DeliverySettings, SmtpServer
from analytics_lib.pipeline.mailing import chosen_settings, counts, save, sender_of
from analytics_lib.pipeline.report_rendering import write_report
from analytics_lib.pipeline.report_schedule import LENGTH_DAYS, DueReport, due_reports
from analytics_lib.store import open_store
from analytics_lib.windows import MICROSECOND, to_us

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from analytics_lib.delivery.outbox import Clock, Outgoing, Send, Sending
    from analytics_lib.store.outbox_rows import MailKey

RETRIED_FOR: Final = timedelta(days=3)
_log = logging.getLogger("rpa_analytics.pipeline")


def deliver_reports(
    location: str | Path,
    *,
    as_of: datetime,
    output_folder: str | Path,
    delivery: DeliverySettings | None = None,
    smtp: SmtpServer | None = None,
    title: str | None = None,
    dry_run: bool = False,
    send: "Send | None" = None,
    clock: "Clock | None" = None,
) -> dict[str, Any]:
    """Mails the reports that are due as of the moment to everyone who has not got them.

    {'due': reports, 'sent', 'skipped': sent before, 'failed': to be tried again by the next run,
    'refused' and 'unknown': waiting for `rpa-analytics outbox resend`, 'would_send', 'files': saved
    mails, 'problem': one sentence, '' for none}. A weekly report is sent up to three days late, a daily
    one up to the next; failed ones of the last three days are tried again. A dry run renders and saves
    all mails, sends none and leaves the outbox alone. `smtp` stands for the settings' server. Raises
    SettingsError, StoreError, ReportError or DeliveryError; then nothing was claimed that was not settled.
    """
    from analytics_lib.delivery import outbox

    began, folder = perf_counter(), Path(output_folder)
    delivery = chosen_settings(delivery, smtp)
    due = due_reports(delivery, as_of)
    done, files, would_send = outbox.Sending(), [], 0
    sender = None if dry_run or not delivery.is_on else send or sender_of(delivery)
    clock = clock or outbox.now
    with open_store(location) as store:
        for report in due:
            outbox.give_up_lost(store.engine, clock=clock)
            wanted = _open(store.engine, report, done)
            mails = (
                _compose(location, report, wanted, delivery, folder, as_of, clock(), title) if wanted else []
            )
            files += [save(mail, folder) for mail in mails]
            would_send += len(mails)
            if sender:
                done.add(outbox.send_all(store.engine, mails, sender, clock=clock))
        if sender:
            done.add(_retry(store.engine, due, sender, folder, clock))
    result = {"due": len(due), **counts(done), "would_send": would_send if dry_run else 0, "files": files}
    _log.info(
        "reports due %d, mails sent %d, skipped %d, failed %d, refused %d, unknown %d, seconds %.1f%s",
        len(due),
        done.sent,
        done.skipped,
        done.failed,
        done.refused,
        done.unknown,
        perf_counter() - began,
        "; dry run, nothing sent" if dry_run else "" if delivery.is_on else "; off, no recipients are set",
    )
    return result


def _key(report: DueReport, address: str) -> "MailKey":
    from analytics_lib.store.outbox_rows import MailKey

    return MailKey(report.kind, report.period, address.casefold())


def _open(engine: "Engine", report: DueReport, done: "Sending") -> list[str]:
    """The addresses whose mail is new or failed; the others are counted, and not rendered for."""
    from analytics_lib.store import outbox_rows

    with engine.begin() as connection:
        rows = outbox_rows.read_mails(connection, report.kind, report.period)
    wanted = []
    for address in report.why:
        row = rows.get(address.casefold())
        if row is None or (row.state == "failed" and row.attempts < outbox_rows.MOST_ATTEMPTS):
            wanted.append(address)
        else:
            done.count("skipped" if row.state == "sent" else row.state, row.problem)
    return wanted


def _compose(
    location: str | Path,
    due: DueReport,
    addresses: Iterable[str],
    delivery: DeliverySettings,
    folder: Path,
    as_of: datetime,
    sent_at: datetime,
    title: str | None,
) -> "list[Outgoing]":
    from analytics_lib.delivery.mail import compose
    from analytics_lib.delivery.outbox import Outgoing

    rendered = write_report(
        location, due.window, time_zone=due.zone, output_folder=folder, as_of=as_of, title=title
    )
    return [
        Outgoing(
            _key(due, address),
            compose(
                rendered.report,
                key=_key(due, address),
                html=rendered.html,
                pdf=rendered.pdf,
                recipient=address,
                sender=delivery.sender,
                sent_at=sent_at,
                why=due.why[address],
                report_url=delivery.report_url,
            ),
        )
        for address in addresses
    ]


def _retry(
    engine: "Engine", due: Iterable[DueReport], send: "Send", folder: Path, clock: "Clock"
) -> "Sending":
    """Failed mails of reports that are not due any more, as they were saved."""
    from analytics_lib.delivery import files, outbox
    from analytics_lib.store import outbox_rows

    with engine.begin() as connection:
        rows = outbox_rows.read_to_retry(connection, since_us=to_us(clock()) - RETRIED_FOR // MICROSECOND)
    current = {(report.kind, report.period) for report in due}
    mails = []
    for row in rows:
        if row.key.report in LENGTH_DAYS and (row.key.report, row.key.period) not in current:
            message = files.load(folder, row.key)
            if message is not None:
                mails.append(outbox.Outgoing(row.key, message))
    return outbox.send_all(engine, mails, send, clock=clock)
