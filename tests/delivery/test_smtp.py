"""Sending: four ways in which it ends, each seen with a real server on loopback."""

import logging
import ssl
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from time import perf_counter
from typing import Any

import pytest

from analytics_lib.delivery.smtp import Outcome, send
from analytics_lib.delivery_settings import SmtpServer
from analytics_lib.errors import SettingsError
from tests.delivery.mails import note
from tests.delivery.server import (
    PASSWORD,
    Mailbox,
    free_port,
    loopback,
    mail_server,
    silent_server,
    with_password,
)

pytestmark = pytest.mark.filterwarnings("ignore:Requiring AUTH while not requiring TLS")


def sent_to(mailbox: Mailbox, settings: dict[str, Any] | None = None, **options: Any) -> Outcome:
    with mail_server(mailbox, **options) as port:
        return send(note().message, loopback(port, **settings or {}))


def test_a_mail_arrives_as_it_was_written() -> None:
    mailbox = Mailbox()
    assert sent_to(mailbox) == Outcome("sent")
    [(recipient, message)] = mailbox.received
    assert recipient == "ann@example.com"
    assert message.get_content().splitlines() == [
        "one line",
        ".a line that begins with a dot",
        "und eine ähnliche",
    ]
    assert message["Message-ID"] == note().message["Message-ID"]


def test_nobody_there_is_a_failure_that_was_no_attempt() -> None:
    outcome = send(note().message, loopback(free_port()))
    assert (outcome.state, outcome.reached) == ("failed", False)
    assert "cannot be reached" in outcome.problem


def test_an_unknown_host_is_a_failure() -> None:
    outcome = send(note().message, loopback(25, host="no-such-host.invalid"))
    assert (outcome.state, outcome.reached) == ("failed", False)


def test_a_hanging_server_is_given_up_in_time() -> None:
    began = perf_counter()
    with silent_server() as port:
        outcome = send(note().message, loopback(port, timeout_sec=2.0))
    assert (outcome.state, outcome.reached) == ("failed", False)
    assert perf_counter() - began < 5


def test_a_wrong_password_is_a_failure_that_tells_no_secret(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    login = {"user": "robots", "password": "wrong secret"}
    outcome = sent_to(Mailbox(), login, **with_password())
    assert (outcome.state, outcome.reached) == ("failed", False)
    assert "refused user robots (535)" in outcome.problem
    said = outcome.problem + caplog.text + repr(loopback(25, **login))
    assert "wrong secret" not in said


def test_the_right_password_is_let_in() -> None:
    mailbox = Mailbox()
    assert sent_to(mailbox, {"user": "robots", "password": PASSWORD}, **with_password()).state == "sent"
    assert mailbox.recipients == ["ann@example.com"]


def test_a_server_without_login_is_said() -> None:
    outcome = sent_to(Mailbox(), {"user": "robots", "password": "x"})
    assert (outcome.state, outcome.reached) == ("failed", False)
    assert "does not offer login" in outcome.problem


@pytest.mark.parametrize(
    ("mailbox", "state"),
    [
        (Mailbox(answers={"ann@example.com": "451 try later"}), "failed"),
        (Mailbox(answers={"ann@example.com": "550 no such user"}), "refused"),
        (Mailbox(to_data="451 greylisted"), "failed"),
        (Mailbox(to_data="554 looks like spam\x1b[31m"), "refused"),
    ],
)
def test_four_means_later_and_five_means_never(mailbox: Mailbox, state: str) -> None:
    outcome = sent_to(mailbox)
    assert (outcome.state, outcome.reached) == (state, True)
    assert outcome.problem.isprintable()
    assert mailbox.received == []


@pytest.mark.parametrize("after_data", ["cut", "hang"])
def test_a_connection_lost_after_the_text_leaves_the_outcome_unknown(after_data: str) -> None:
    mailbox = Mailbox(to_data=after_data)
    outcome = sent_to(mailbox, {"timeout_sec": 1.0})
    assert outcome.state == "unknown"
    assert len(mailbox.received) == 1


@pytest.mark.parametrize(
    ("answer", "state"), [("251 taken", "sent"), ("200 fine", "sent"), ("taken, thank you", "unknown")]
)
def test_a_mail_that_was_taken_in_other_words_is_not_sent_again(answer: str, state: str) -> None:
    class InOtherWords(Mailbox):
        async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:  # noqa: N802 - its name
            await super().handle_DATA(server, session, envelope)
            return answer

    mailbox = InOtherWords()
    assert sent_to(mailbox).state == state
    assert len(mailbox.received) == 1


def test_a_server_without_starttls_gets_no_mail() -> None:
    mailbox = Mailbox()
    outcome = sent_to(mailbox, {"security": "starttls"})
    assert (outcome.state, outcome.reached) == ("failed", False)
    assert "does not offer starttls" in outcome.problem
    assert mailbox.received == []


def certificate(folder: Path) -> Path:
    """A certificate of 127.0.0.1 that nobody trusts, with its key."""
    x509 = pytest.importorskip("cryptography.x509")
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .sign(key, hashes.SHA256())
    )
    path = folder / "certificate.pem"
    path.write_bytes(
        made.public_bytes(serialization.Encoding.PEM)
        + key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
    return path


def test_starttls_is_used_with_a_certificate_that_is_trusted_and_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = certificate(tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(path)
    mailbox = Mailbox()
    options = {"tls_context": context, "require_starttls": True}
    outcome = sent_to(mailbox, {"security": "starttls"}, **options)
    assert (outcome.state, outcome.reached, mailbox.received) == ("failed", False, [])
    assert "certificate" in outcome.problem
    monkeypatch.setenv("SSL_CERT_FILE", str(path))
    assert sent_to(mailbox, {"security": "starttls"}, **options) == Outcome("sent")
    assert len(mailbox.received) == 1


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"host": ""}, "names no mail server"),
        ({"host": "mail\r\nQUIT"}, "names no mail server"),
        ({"port": 0}, "does not exist"),
        ({"security": "tls"}, "use starttls, ssl or none"),
        ({"security": "none", "user": "u"}, "would travel unencrypted"),
    ],
)
def test_settings_of_a_server_are_checked(more: dict[str, Any], said: str) -> None:
    given = {"host": "mail.example.com", "port": 587, "security": "starttls"}
    with pytest.raises(SettingsError, match=said):
        SmtpServer(**given | more)
