"""One mail to one recipient by SMTP, and in which of four ways it ended.

`sent`: the server took it. `failed`: not this time (4xx, no connection, wrong password). `refused`: never
(5xx). `unknown`: after the text had begun the connection was lost, or the answer was none that SMTP knows,
so it may have gone out. smtplib's own `sendmail` does not tell the last one from a failure; hence the
dialogue in steps.
"""

import re
import smtplib
import ssl
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from email.message import EmailMessage
from typing import Final, Literal

from analytics_lib.delivery_settings import SmtpServer, address_of

_SHOWN: Final = 200


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a mail. `reached`: whether the server was there and let us in."""

    state: Literal["sent", "failed", "refused", "unknown"]
    problem: str = ""
    reached: bool = True


class _NotReachedError(Exception):
    """There is no session with the server; the text says why and what to do."""


def send(message: EmailMessage, server: SmtpServer) -> Outcome:
    """Sends the mail to the address of its To header. Raises nothing that a mail server could cause."""
    text = _dotted(message.as_bytes())
    began = False
    try:
        with _session(server) as smtp:
            for command in (f"MAIL FROM:<{address_of(str(message['From']))}>", f"RCPT TO:<{message['To']}>"):
                code, answer = smtp.docmd(command)
                if code not in (250, 251):
                    return _not_taken(code, answer, command.split(":")[0])
            code, answer = smtp.docmd("DATA")
            if code != 354:
                return _not_taken(code, answer, "DATA")
            began = True
            smtp.send(text)
            return _fate(*smtp.getreply())
    except _NotReachedError as error:
        return Outcome("failed", str(error), reached=False)
    except (OSError, smtplib.SMTPException) as error:
        where = f"the connection to {server.host}:{server.port} was lost ({_reason(error)})"
        if began:
            return Outcome("unknown", f"{where} after the text was sent: ask the recipient, then resend it")
        return Outcome("failed", f"{where}: the next run tries again")


@contextmanager
def _session(server: SmtpServer) -> Iterator[smtplib.SMTP]:
    """A connection that is secure where it should be and logged in. Raises _NotReachedError."""
    try:
        smtp = _connect(server)
    except (OSError, smtplib.SMTPException) as error:
        raise _NotReachedError(
            f"the mail server {server.host}:{server.port} cannot be reached ({_reason(error)}): "
            "check host, port and security"
        ) from None
    try:
        _log_in(smtp, server)
        yield smtp
        with suppress(OSError, smtplib.SMTPException):  # the mail's fate is known by now
            smtp.quit()
    finally:
        smtp.close()


def _connect(server: SmtpServer) -> smtplib.SMTP:
    if server.security == "ssl":
        context = ssl.create_default_context()
        return smtplib.SMTP_SSL(server.host, server.port, timeout=server.timeout_sec, context=context)
    return smtplib.SMTP(server.host, server.port, timeout=server.timeout_sec)


def _log_in(smtp: smtplib.SMTP, server: SmtpServer) -> None:
    try:
        smtp.ehlo_or_helo_if_needed()
        if server.security == "starttls":
            smtp.starttls(context=ssl.create_default_context())
            smtp.ehlo()
        if server.user:
            smtp.login(server.user, server.password)
    except smtplib.SMTPAuthenticationError as error:
        # The answer alone: the library's text could repeat what was sent.
        raise _NotReachedError(
            f"the mail server {server.host} refused user {server.user} ({error.smtp_code}): "
            "check the user and the password in its variable"
        ) from None
    except smtplib.SMTPNotSupportedError:
        what = "login" if server.security != "starttls" or smtp.has_extn("starttls") else "starttls"
        raise _NotReachedError(
            f"the mail server {server.host}:{server.port} does not offer {what}: check security and user"
        ) from None
    except (OSError, smtplib.SMTPException) as error:
        raise _NotReachedError(
            f"the mail server {server.host}:{server.port} ended the greeting ({_reason(error)}): "
            "check port and security"
        ) from None


def _fate(code: int, answer: bytes) -> Outcome:
    """What the answer to the text says: the first digit counts, and what has none says nothing."""
    if 200 <= code < 300:
        return Outcome("sent")
    if 400 <= code < 600:
        return _not_taken(code, answer, "the text")
    return Outcome(
        "unknown", "the server's answer to the text cannot be read: ask the recipient, then resend it"
    )


def _not_taken(code: int, answer: bytes, what: str) -> Outcome:
    said = f"the server answered {code} to {what}: {_printable(answer.decode('utf-8', 'replace'))}"
    if 500 <= code < 600:
        return Outcome(
            "refused", f"{said}: correct the address or ask whoever runs the server, then resend it"
        )
    return Outcome("failed", f"{said}: the next run tries again")


def _dotted(text: bytes) -> bytes:
    """The text as it follows DATA: lines end in CR LF, a dot that begins one is doubled, a dot ends all."""
    lines = re.sub(rb"\r\n|\r|\n", b"\r\n", text)
    lines = lines if lines.endswith(b"\r\n") else lines + b"\r\n"
    return re.sub(rb"(?m)^\.", b"..", lines) + b".\r\n"


def _reason(error: Exception) -> str:
    return _printable(str(error)) or type(error).__name__


def _printable(text: str) -> str:
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())[:_SHOWN]
