"""Sends mails through the outbox: each is claimed and the claim committed, then sent, then settled.

So a re-run or a second scheduler sends none twice. The price: whoever dies in between leaves a mail of
which nobody knows whether it went out. It becomes `unknown` after 15 minutes and waits for a person.
"""

import os
import secrets
import socket
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.message import EmailMessage
from typing import Final

from sqlalchemy import Engine

from analytics_lib.delivery.smtp import Outcome
from analytics_lib.store import outbox_rows
from analytics_lib.store.outbox_rows import Claim, MailKey
from analytics_lib.windows import MICROSECOND, to_us

LOST_AFTER: Final = timedelta(minutes=15)
Send = Callable[[EmailMessage], Outcome]
Clock = Callable[[], datetime]


def now() -> datetime:
    """The time it is: claims are about processes that live now, whatever moment a report is about."""
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A mail to be sent, and what it is."""

    key: MailKey
    message: EmailMessage


@dataclass(slots=True)
class Sending:
    """What became of the mails: `skipped` were sent before, or are in another process's hands.

    failed, refused and unknown count mails that have not gone out for sure, found so now or before;
    `problems` says each different reason once.
    """

    sent: int = 0
    skipped: int = 0
    failed: int = 0
    refused: int = 0
    unknown: int = 0
    problems: list[str] = field(default_factory=list)

    def count(self, state: str, problem: str) -> None:
        """One more mail in this state."""
        state = "skipped" if state == "claimed" else state
        setattr(self, state, getattr(self, state) + 1)
        if problem and problem not in self.problems:
            self.problems.append(problem)

    def add(self, more: "Sending") -> None:
        """Adds what became of other mails."""
        for name in ("sent", "skipped", "failed", "refused", "unknown"):
            setattr(self, name, getattr(self, name) + getattr(more, name))
        self.problems += [problem for problem in more.problems if problem not in self.problems]


def send_all(
    engine: Engine, mails: Iterable[Outgoing], send: Send, *, clock: Clock = now, on_command: bool = False
) -> Sending:
    """Sends what may be sent. On command also what was refused or is unknown, however often it failed.

    When the server is not there, the rest is not tried: it fails for the same reason.
    """
    done = Sending()
    absent: Outcome | None = None
    give_up_lost(engine, clock=clock)
    for mail in mails:
        claim = Claim(mail.key, f"{socket.gethostname()}/{os.getpid()}/{secrets.token_hex(4)}")
        if not _claim(engine, claim, mail.message, clock, on_command=on_command):
            _count_unclaimed(engine, mail.key, done)
            continue
        # From here to the settlement a death leaves the claim, and nobody sends the mail again.
        outcome = absent or send(mail.message)
        absent = absent or (None if outcome.reached else outcome)
        with engine.begin() as connection:
            outbox_rows.finish(
                connection,
                claim,
                outcome.state,
                at_us=to_us(clock()),
                problem=outcome.problem,
                tried=outcome.reached,
            )
        done.count(outcome.state, outcome.problem)
    return done


def give_up_lost(engine: Engine, *, clock: Clock = now) -> int:
    """Claims older than 15 minutes become unknown: whoever made them is gone. How many there were."""
    with engine.begin() as connection:
        before_us = to_us(clock()) - LOST_AFTER // MICROSECOND
        return outbox_rows.give_up_lost_claims(connection, before_us=before_us)


def _claim(engine: Engine, claim: Claim, message: EmailMessage, clock: Clock, *, on_command: bool) -> bool:
    at_us = to_us(clock())
    with engine.begin() as connection:
        if on_command:
            return outbox_rows.claim_on_command(connection, claim, at_us=at_us)
        return outbox_rows.claim(
            connection,
            claim,
            at_us=at_us,
            message_id=str(message["Message-ID"]),
            subject=str(message["Subject"]),
        )


def _count_unclaimed(engine: Engine, key: MailKey, done: Sending) -> None:
    with engine.begin() as connection:
        row = outbox_rows.read_mails(connection, key.report, key.period).get(key.recipient)
    if row is None or row.state == "sent":
        done.count("skipped", "")
    else:
        done.count(row.state, "" if row.state == "claimed" else row.problem)
