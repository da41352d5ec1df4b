"""The outbox for people: which mails are where, and sending again what did not go out for sure."""

import logging
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from analytics_lib.delivery_settings import DeliverySettings, SmtpServer
from analytics_lib.errors import DeliveryError
from analytics_lib.pipeline.mailing import chosen_settings, counts, sender_of
from analytics_lib.store import open_store

if TYPE_CHECKING:
    from analytics_lib.delivery.outbox import Clock, Send
    from analytics_lib.store.outbox_rows import OutboxRow

_log = logging.getLogger("rpa_analytics.pipeline")


@dataclass(frozen=True, slots=True)
class ListedMail:
    """A mail of the outbox with the id that people call it by."""

    id: str
    row: "OutboxRow"


def list_mails(
    location: str | Path, *, states: Collection[str] = (), limit: int = 100, clock: "Clock | None" = None
) -> list[ListedMail]:
    """Mails in these states (all, if none are named), the latest first."""
    from analytics_lib.delivery import outbox
    from analytics_lib.delivery.headers import short_id
    from analytics_lib.store import outbox_rows

    with open_store(location) as store:
        outbox.give_up_lost(store.engine, clock=clock or outbox.now)
        with store.engine.begin() as connection:
            rows = outbox_rows.read_outbox(connection, states, limit)
    return [ListedMail(short_id(row.key), row) for row in rows]


def resend_mails(
    location: str | Path,
    *,
    ids: Sequence[str] = (),
    states: Collection[str] = (),
    output_folder: str | Path,
    delivery: DeliverySettings | None = None,
    smtp: SmtpServer | None = None,
    send: "Send | None" = None,
    clock: "Clock | None" = None,
) -> dict[str, Any]:
    """Sends mails again as they were saved: those of the ids, or all in the states.

    Counts as `deliver_reports`. Raises DeliveryError, before anything is sent, for an id that is not
    there, a mail that was sent, and one whose file is gone.
    """
    from analytics_lib.delivery import files, outbox

    folder, clock = Path(output_folder), clock or outbox.now
    sender = send or sender_of(chosen_settings(delivery, smtp))
    listed = list_mails(location, states=states, limit=100_000, clock=clock)
    chosen = [_one(listed, one) for one in ids] if ids else listed
    mails = []
    for mail in chosen:
        if mail.row.state in ("sent", "claimed"):
            what = "was sent already" if mail.row.state == "sent" else "is being sent right now"
            raise DeliveryError(f"mail {mail.id} to {mail.row.key.recipient} {what}: nothing was sent again")
        message = files.load(folder, mail.row.key)
        if message is None:
            raise DeliveryError(
                f"mail {mail.id} is not at {files.mail_file(folder, mail.row.key)}: name the folder "
                "of the reports in which it was saved"
            )
        mails.append(outbox.Outgoing(mail.row.key, message))
    with open_store(location) as store:
        done = outbox.send_all(store.engine, mails, sender, clock=clock, on_command=True)
    _log.info(
        "resent: mails %d, sent %d, failed %d, refused %d, unknown %d",
        len(mails),
        done.sent,
        done.failed,
        done.refused,
        done.unknown,
    )
    return counts(done)


def _one(listed: Sequence[ListedMail], given: str) -> ListedMail:
    found = [mail for mail in listed if given and mail.id.startswith(given.lower())]
    if len(found) != 1:
        what = "there is no mail" if not found else f"{len(found)} mails begin with"
        raise DeliveryError(f"{what} {given!r}: see `rpa-analytics outbox list`")
    return found[0]
