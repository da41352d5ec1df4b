"""Who gets which mail and through which server, as plain checked values; `delivery_config` reads them."""

import re
from dataclasses import dataclass, field
from datetime import time
from ipaddress import ip_address
from typing import Final, Literal, get_args
from urllib.parse import urlsplit

from analytics_lib.errors import SettingsError

Schedule = Literal["weekly", "daily"]
Security = Literal["starttls", "ssl", "none"]
_ATOM: Final = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+"
_LABEL: Final = r"[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?"
_ADDRESS: Final = re.compile(rf"{_ATOM}(\.{_ATOM})*@{_LABEL}(\.{_LABEL})*")
_LONGEST_ADDRESS: Final = 254


@dataclass(frozen=True, slots=True)
class SmtpServer:
    """A mail server. Raises SettingsError, for a password that would travel in the clear, too."""

    host: str
    port: int
    security: Security = "starttls"
    user: str = ""
    password: str = field(default="", repr=False)
    timeout_sec: float = 30.0

    def __post_init__(self) -> None:
        if not self.host or any(c.isspace() or not c.isprintable() for c in self.host):
            raise SettingsError(f"smtp host {self.host!r} names no mail server: write mail.example.com")
        if not 0 < self.port < 65_536:
            raise SettingsError(f"smtp port {self.port} does not exist: use 587 (starttls), 465 (ssl) or 25")
        if self.security not in get_args(Security):
            raise SettingsError(f"smtp security {self.security!r} is unknown: use starttls, ssl or none")
        if self.user and self.security == "none" and not _is_loopback(self.host):
            raise SettingsError(
                f"the password for {self.host} would travel unencrypted: "
                "use security starttls or ssl, or no user"
            )


@dataclass(frozen=True, slots=True)
class RecipientList:
    """People who get the same report at the same time; `weekday` 0 is Monday and counts for weekly."""

    name: str
    addresses: tuple[str, ...]
    schedule: Schedule = "weekly"
    weekday: int = 0
    insights: bool = True


@dataclass(frozen=True, slots=True)
class DeliverySettings:
    """All of it. Off, that is no mail at all, as long as there is no recipient.

    Raises SettingsError, one for all malformed recipients.
    """

    sender: str = ""
    recipients: tuple[RecipientList, ...] = ()
    smtp: SmtpServer | None = None
    time_zone: str = "UTC"
    at: time = time(7)
    insight_mail_severity: int | None = None
    insight_mails_per_day: int = 5
    report_url: str = ""

    def __post_init__(self) -> None:
        wrong = [address for one in self.recipients for address in one.addresses if not is_address(address)]
        if wrong:
            raise SettingsError(
                f"{', '.join(map(ascii, wrong))}: no mail address; write name@example.com, "
                "nothing is sent until every recipient is right"
            )
        sender = self.sender
        if self.recipients and not (sender.isprintable() and is_address(address_of(sender))):
            raise SettingsError(f"sender {sender!a}: no mail address; write 'Name <name@example.com>'")
        severity = self.insight_mail_severity
        if severity is not None and not 0 <= severity <= 100:
            raise SettingsError(f"insight_mail_severity is {severity}: give 0 to 100, or leave it out")
        if self.insight_mails_per_day < 0:
            raise SettingsError(f"insight_mails_per_day is {self.insight_mails_per_day}: give 0 or more")
        url = urlsplit(self.report_url)
        if self.report_url and not (
            url.scheme in ("http", "https") and url.netloc and self.report_url.isprintable()
        ):
            raise SettingsError(f"report_url {self.report_url!r}: write https://…, or leave it out")

    @property
    def is_on(self) -> bool:
        return bool(self.recipients)


def is_address(text: str) -> bool:
    """Whether mail can be sent to it as it is: one address in ASCII, without a name or quotes.

    >>> is_address("ann@example.com"), is_address("ann@example.com\\nBcc: bob@example.com")
    (True, False)
    """
    # "=?" begins an encoded word, which whoever builds the header would decode.
    return len(text) <= _LONGEST_ADDRESS and "=?" not in text and _ADDRESS.fullmatch(text) is not None


def address_of(sender: str) -> str:
    """The address of 'Name <address>', or the text itself.

    >>> address_of("RPA Analytics <robots@example.com>"), address_of("robots@example.com")
    ('robots@example.com', 'robots@example.com')
    """
    return split_sender(sender)[1]


def split_sender(sender: str) -> tuple[str, str]:
    """(name, address) of 'Name <address>'; the name is '' where there is none."""
    name, bracket, rest = sender.rpartition("<")
    if bracket and rest.endswith(">"):
        return name.strip(' "'), rest[:-1].strip()
    return "", sender.strip()


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
