"""What stands in a mail's head: addresses, subject, identity. Nothing in it can begin a line of its own."""

import hashlib
from datetime import datetime
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime
from typing import Final

from analytics_lib import formats
from analytics_lib.delivery_settings import is_address, split_sender
from analytics_lib.errors import DeliveryError
from analytics_lib.store.outbox_rows import MailKey

SUBJECT_LIMIT: Final = 180
# Bodies as 7-bit text, so that the oldest server on the way changes nothing in them.
POLICY: Final = SMTP.clone(cte_type="7bit")
# An encoded word is decoded when it is set, and what it decodes to may hold a line break.
_REFUSED: Final = {"\r": "CR", "\n": "LF", "\0": "NUL", "=?": "an encoded word"}


def new_message(
    *, key: MailKey, recipient: str, sender: str, subject: str, sent_at: datetime
) -> EmailMessage:
    """A message without a body. Raises DeliveryError for what may not stand in a header."""
    name, address = split_sender(header_text(sender, "sender"))
    if not is_address(address):
        raise DeliveryError(f"the sender {sender!a} is no mail address: correct it in the settings")
    if not is_address(header_text(recipient, "recipient")):
        raise DeliveryError(f"the recipient {recipient!a} is no mail address: correct it in the settings")
    domain = address.rpartition("@")[2]
    message = EmailMessage(policy=POLICY)
    message["From"] = Address(display_name=name, addr_spec=address)
    message["To"] = Address(addr_spec=recipient)
    message["Subject"] = header_text(subject, "subject")
    message["Date"] = format_datetime(sent_at)
    message["Message-ID"] = message_id(key, domain)
    message["List-Id"] = f"RPA Analytics <{list_name(key)}.rpa-analytics.{domain}>"
    message["Auto-Submitted"] = "auto-generated"
    message["X-Auto-Response-Suppress"] = "All"
    return message


def message_id(key: MailKey, domain: str) -> str:
    """The same for the same mail: one that is sent again on command is recognised as a copy."""
    return f"<{short_id(key)}@{domain}>"


def short_id(key: MailKey) -> str:
    """What people call a mail of the outbox: 16 hexadecimal digits of its key."""
    text = "\0".join((key.report, key.period, key.recipient))
    return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()


def list_name(key: MailKey) -> str:
    """Which kind of mail it is, as mail programs sort by it: weekly, daily or insight."""
    return "".join(c for c in key.report.lower() if c.isascii() and c.isalnum()) or "report"


def header_text(text: str, what: str) -> str:
    """The text, unless it could end its header: then a DeliveryError says by what."""
    for part, name in _REFUSED.items():
        if part in text:
            raise DeliveryError(f"the {what} {text!a} contains {name}: a header has one line, take it out")
    return text


def subject_text(text: str) -> str:
    """The text as a subject: one line, nothing to decode, not too long; names may hold anything.

    >>> subject_text("Invoices\\r\\nBcc: eve@example.com")
    'Invoices Bcc: eve@example.com'
    """
    return formats.shortened(clean(text).replace("=?", "= ?"), SUBJECT_LIMIT)


def clean(text: str) -> str:
    """The text without control characters and with what is no Unicode replaced."""
    spaced = "".join(" " if ord(c) < 32 or 127 <= ord(c) < 160 else c for c in text)
    return spaced.encode("utf-8", "replace").decode("utf-8")
