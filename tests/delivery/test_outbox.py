"""Sending through the outbox: each mail once, whatever happens, and nothing forgotten."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from analytics_lib import TimeSeriesStore
from analytics_lib.delivery import files, outbox, smtp
from analytics_lib.delivery.outbox import Sending, send_all
from analytics_lib.errors import DeliveryError
from analytics_lib.store import outbox_rows
from tests.delivery.mails import MORNING, key, note
from tests.delivery.server import Mailbox, free_port, loopback, mail_server


@pytest.fixture
def store(tmp_path: Path) -> Iterator[TimeSeriesStore]:
    with TimeSeriesStore(tmp_path / "store") as opened:
        yield opened


def run(store: TimeSeriesStore, port: int, *recipients: str, at: datetime = MORNING, **more: Any) -> Sending:
    mails = [note(recipient) for recipient in recipients or ("ann@example.com",)]
    return send_all(store.engine, mails, partial(smtp.send, server=loopback(port)), clock=lambda: at, **more)


def states(store: TimeSeriesStore) -> dict[str, str]:
    with store.engine.begin() as connection:
        return {row.key.recipient: row.state for row in outbox_rows.read_outbox(connection)}


def test_a_second_run_sends_nothing(store: TimeSeriesStore) -> None:
    mailbox = Mailbox()
    with mail_server(mailbox) as port:
        assert run(store, port).sent == 1
        again = run(store, port)
    assert (again.sent, again.skipped, again.problems) == (0, 1, [])
    assert mailbox.recipients == ["ann@example.com"]


def test_one_of_two_recipients_is_refused_and_the_other_gets_the_mail(store: TimeSeriesStore) -> None:
    mailbox = Mailbox(answers={"bob@example.com": "550 no such user"})
    with mail_server(mailbox) as port:
        for _ in range(2):
            done = run(store, port, "bob@example.com", "ann@example.com")
            assert done.refused == 1
            assert "550" in done.problems[0]
    assert mailbox.recipients == ["ann@example.com"]
    assert states(store) == {"ann@example.com": "sent", "bob@example.com": "refused"}


def test_a_later_answer_is_waited_for_five_times(store: TimeSeriesStore) -> None:
    mailbox = Mailbox(answers={"ann@example.com": "451 greylisted"})
    with mail_server(mailbox) as port:
        assert run(store, port).failed == 1
        mailbox.answers.clear()
        assert run(store, port).sent == 1
    assert mailbox.recipients == ["ann@example.com"]
    mailbox = Mailbox(answers={"bob@example.com": "451 greylisted"})
    with mail_server(mailbox) as port:
        for _ in range(6):
            assert run(store, port, "bob@example.com").failed == 1
        mailbox.answers.clear()
        assert run(store, port, "bob@example.com").failed == 1  # given up: only a person resends it
    assert mailbox.received == []


def test_a_server_that_is_not_there_is_asked_once_a_run_and_no_mail_is_lost(store: TimeSeriesStore) -> None:
    nobody, asked = loopback(free_port()), 0

    def send(message: Any) -> smtp.Outcome:
        nonlocal asked
        asked += 1
        return smtp.send(message, nobody)

    mails = [note("ann@example.com"), note("bob@example.com")]
    for _ in range(7):
        done = send_all(store.engine, mails, send, clock=lambda: MORNING)
        assert (done.failed, len(done.problems)) == (2, 1)
    assert asked == 7
    mailbox = Mailbox()
    with mail_server(mailbox) as port:
        assert run(store, port, "ann@example.com", "bob@example.com").sent == 2


def test_a_lost_connection_leaves_an_unknown_that_only_a_command_resends(store: TimeSeriesStore) -> None:
    mailbox = Mailbox(to_data="cut")
    with mail_server(mailbox) as port:
        assert run(store, port).unknown == 1
        mailbox.to_data = "250 OK"
        for later in (timedelta(), timedelta(hours=1), timedelta(days=2)):
            again = run(store, port, at=MORNING + later)
            assert (again.sent, again.unknown) == (0, 1)
        assert len(mailbox.received) == 1
        assert run(store, port, on_command=True).sent == 1
    first, second = (message["Message-ID"] for _, message in mailbox.received)
    assert first == second  # so that a mail program knows the copy


def test_a_claim_that_is_old_is_unknown_and_never_sent_by_itself(store: TimeSeriesStore) -> None:
    with store.engine.begin() as connection:
        claim = outbox_rows.Claim(key(), "a process that died")
        assert outbox_rows.claim(connection, claim, at_us=0, message_id="", subject="")
    mailbox = Mailbox()
    with mail_server(mailbox) as port:
        minutes = [timedelta(minutes=m) for m in (14, 16, 600)]
        start = datetime.fromtimestamp(0, MORNING.tzinfo)
        found = [run(store, port, at=start + m) for m in minutes]
    assert [(d.skipped, d.unknown, d.sent) for d in found] == [(1, 0, 0), (0, 1, 0), (0, 1, 0)]
    assert mailbox.received == []
    assert outbox.give_up_lost(store.engine, clock=lambda: MORNING) == 0


def test_a_mail_is_saved_and_comes_back_as_it_was(tmp_path: Path) -> None:
    mail = note()
    path = files.save(mail.message, tmp_path / "reports", mail.key)
    assert path.suffix == ".eml"
    loaded = files.load(tmp_path / "reports", mail.key)
    assert loaded is not None
    assert loaded.as_bytes() == mail.message.as_bytes()
    assert files.load(tmp_path, key("nobody@example.com")) is None
    assert [p.name for p in path.parent.iterdir()] == [path.name]


@pytest.mark.parametrize("name", ["../../etc/x@b.c", "a/b@c.d", "x" * 300 + "@b.c", "|ls@b.c", "ü@b.c"])
def test_no_name_leads_out_of_the_folder(name: str, tmp_path: Path) -> None:
    path = files.mail_file(tmp_path, key(name, period=f"{name}\0"))
    assert path.parent == tmp_path
    assert len(path.name) < 150
    assert path.name.isascii()
    assert "/" not in path.name


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(DeliveryError, match="cannot be saved in"):
        files.save(note().message, tmp_path / "file", key())
