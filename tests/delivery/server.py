"""A mail server for tests: aiosmtpd on loopback, a real one, that behaves as it is told."""

import asyncio
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import SMTP as POLICY
from typing import Any

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session

from analytics_lib.delivery_settings import SmtpServer

PASSWORD = "correct horse"


class Mailbox:
    """Keeps what it takes. `answers`: by recipient, what to say to RCPT; `to_data`: what to say to the text.

    `to_data` "cut" takes the mail and cuts the connection before it says so; "hang" takes it and is silent.
    """

    def __init__(self, to_data: str = "250 OK", answers: dict[str, str] | None = None) -> None:
        self.to_data, self.answers = to_data, answers or {}
        self.received: list[tuple[str, EmailMessage]] = []

    @property
    def recipients(self) -> list[str]:
        return sorted(recipient for recipient, _ in self.received)

    async def handle_RCPT(  # noqa: N802 - the name that aiosmtpd calls
        self, _server: SMTP, _session: Session, envelope: Envelope, address: str, _options: list[str]
    ) -> str:
        answer = self.answers.get(address, "250 OK")
        if answer.startswith("250"):
            envelope.rcpt_tos.append(address)
        return answer

    async def handle_DATA(self, server: SMTP, _session: Session, envelope: Envelope) -> str:  # noqa: N802 - the same
        if self.to_data.startswith("250") or self.to_data in ("cut", "hang"):
            message = message_from_bytes(bytes(envelope.content or b""), policy=POLICY)
            self.received += [(recipient, message) for recipient in envelope.rcpt_tos]
        if self.to_data == "hang":
            await asyncio.sleep(20)
        if self.to_data == "cut":
            assert server.transport is not None
            server.transport.abort()  # type: ignore[attr-defined]  # asyncio's own have it
            return "250 never heard"
        return self.to_data


@contextmanager
def mail_server(mailbox: Mailbox, **options: Any) -> Iterator[int]:
    """The server's port on 127.0.0.1; it ends with the block."""
    controller = Controller(mailbox, hostname="127.0.0.1", port=free_port(), **options)
    controller.start()
    try:
        yield controller.port
    finally:
        controller.stop()


@contextmanager
def silent_server() -> Iterator[int]:
    """The port of a server that takes the connection and never says a word."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield listening.getsockname()[1]


def with_password() -> dict[str, Any]:
    """Options of a server that lets nobody in without the password."""

    def check(
        _server: Any, _session: Any, _envelope: Any, _mechanism: Any, data: LoginPassword
    ) -> AuthResult:
        return AuthResult(success=data.password == PASSWORD.encode(), handled=False)

    authenticator: Callable[..., AuthResult] = check
    return {"authenticator": authenticator, "auth_required": True, "auth_require_tls": False}


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        return int(listening.getsockname()[1])


def loopback(port: int, **more: Any) -> SmtpServer:
    """The settings of a server on loopback, with a short patience."""
    return SmtpServer(**{"host": "127.0.0.1", "port": port, "security": "none", "timeout_sec": 2.0} | more)
