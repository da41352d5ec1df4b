"""Mails when processes die and when two want to send at once: never twice, and never forgotten unseen.

The negative control takes the claim away: then two senders send twice.
"""

import multiprocessing
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import timedelta
from functools import partial
from typing import Any

import pytest

from analytics_lib import TimeSeriesStore
from analytics_lib.delivery import outbox, smtp
from analytics_lib.delivery.outbox import Sending, send_all
from analytics_lib.delivery.smtp import Outcome
from analytics_lib.store import outbox_rows
from tests.databases import CopyOf, with_tables
from tests.delivery.mails import MORNING, note
from tests.delivery.server import Mailbox, loopback, mail_server
from tests.faults.processes import exit_code, in_a_process

Send = Callable[[Any], Outcome]


@pytest.fixture
def location(copy_of: CopyOf) -> str:
    return copy_of(with_tables)


@pytest.fixture
def store(location: str) -> Iterator[TimeSeriesStore]:
    with TimeSeriesStore(location) as opened:
        opened.engine.dispose()  # forked processes share no connection
        yield opened


def deliver(location: str, send: Send, minutes: float = 0) -> Sending:
    with TimeSeriesStore(location) as store:
        return send_all(store.engine, [note()], send, clock=lambda: MORNING + timedelta(minutes=minutes))


def state(store: TimeSeriesStore) -> str:
    with store.engine.begin() as connection:
        [row] = outbox_rows.read_outbox(connection)
    return row.state


def die(*_: object, **__: object) -> Outcome:
    os._exit(9)


def send_then_die(message: Any, port: int) -> Outcome:
    smtp.send(message, loopback(port))
    os._exit(9)


def two_at_once(location: str, port: int, patch: Callable[[], None] = lambda: None) -> list[int]:
    """Exit codes of two processes; each waits for the other where it would claim the mail."""
    barrier = multiprocessing.get_context("fork").Barrier(2)
    claim = outbox_rows.claim

    def meet_then_claim(*arguments: Any, **named: Any) -> bool:
        with suppress(threading.BrokenBarrierError):  # the other one waits for the lock
            barrier.wait(timeout=1.0)
        return claim(*arguments, **named)

    def work() -> None:
        outbox_rows.claim = meet_then_claim  # the meeting point
        patch()
        deliver(location, partial(smtp.send, server=loopback(port)))

    return [exit_code(pid) for pid in [in_a_process(work), in_a_process(work)]]


def test_two_at_once_send_once(store: TimeSeriesStore, location: str) -> None:
    mailbox = Mailbox()
    with mail_server(mailbox) as port:
        for _ in range(3):
            assert two_at_once(location, port) == [0, 0]
    assert mailbox.recipients == ["ann@example.com"]
    assert state(store) == "sent"


def test_control_without_the_claim_two_at_once_send_twice(store: TimeSeriesStore, location: str) -> None:
    def without_claim() -> None:
        claim = outbox_rows.claim

        def always(*arguments: Any, **named: Any) -> bool:
            claim(*arguments, **named)
            return True

        outbox_rows.claim = always

    mailbox = Mailbox()
    with mail_server(mailbox) as port:
        assert two_at_once(location, port, without_claim) == [0, 0]
    assert mailbox.recipients == ["ann@example.com", "ann@example.com"]


@pytest.mark.parametrize("has_sent", [False, True], ids=["before SMTP", "after DATA"])
def test_killed_in_between_the_mail_is_unknown_and_is_never_sent_by_itself(
    store: TimeSeriesStore, location: str, has_sent: bool
) -> None:
    mailbox = Mailbox()
    with mail_server(mailbox) as port:
        send = partial(send_then_die, port=port) if has_sent else die
        assert exit_code(in_a_process(lambda: deliver(location, send))) == 9
        assert state(store) == "claimed"
        alive = partial(smtp.send, server=loopback(port))
        assert deliver(location, alive, minutes=14).skipped == 1
        for minutes in (16, 600):
            done = deliver(location, alive, minutes)
            assert (done.sent, done.unknown) == (0, 1)
            assert "ended before the outcome was known" in done.problems[0]
    assert len(mailbox.received) == has_sent
    assert state(store) == "unknown"


def test_killed_before_the_claim_is_committed_the_next_run_sends(
    store: TimeSeriesStore, location: str
) -> None:
    def work() -> None:
        outbox_rows.claim = die  # type: ignore[assignment]  # dies inside the transaction
        deliver(location, die)

    mailbox = Mailbox()
    with mail_server(mailbox) as port:
        assert exit_code(in_a_process(work)) == 9
        assert deliver(location, partial(smtp.send, server=loopback(port))).sent == 1
    assert mailbox.recipients == ["ann@example.com"]


def test_control_a_claim_that_is_not_committed_first_sends_twice(
    store: TimeSeriesStore, location: str
) -> None:
    """The protection removed: whoever dies after DATA takes its uncommitted claim along."""

    def work() -> None:
        def send_inside(engine: Any, claim: Any, message: Any, clock: Any, *, on_command: bool) -> bool:
            with engine.begin() as connection:
                outbox_rows.claim(connection, claim, at_us=0, message_id="", subject="")
                send_then_die(message, port)
            return on_command

        outbox._claim = send_inside
        deliver(location, die)

    mailbox = Mailbox()
    with mail_server(mailbox) as port:
        assert exit_code(in_a_process(work)) == 9
        assert deliver(location, partial(smtp.send, server=loopback(port))).sent == 1
    assert len(mailbox.received) == 2
    assert store.engine is not None
