"""Mails as .eml files beside the reports: to look at, and to send again what did not go out."""

import os
import re
from contextlib import suppress
from email import message_from_bytes
from email.message import EmailMessage
from pathlib import Path

from analytics_lib.delivery.headers import POLICY, short_id
from analytics_lib.errors import DeliveryError
from analytics_lib.store.outbox_rows import MailKey


def mail_file(folder: Path, key: MailKey) -> Path:
    """Where the mail is saved: a name of harmless characters, told apart by the end of its id.

    >>> mail_file(Path("r"), MailKey("weekly", "2026-11-16 2026-11-23 UTC", "a/../b@example.com")).name
    'mail-weekly-2026-11-16-2026-11-23-utc-a-..-b-example.com-aedf964c.eml'
    """
    text = f"{key.report}-{key.period}-{key.recipient}"
    words = re.sub(r"[^a-z0-9.]+", "-", text.lower()).strip("-.")[:100]
    return folder / f"mail-{words}-{short_id(key)[:8]}.eml"


def save(message: EmailMessage, folder: Path, key: MailKey) -> Path:
    """Writes the mail whole or not at all; the same mail replaces its file. Raises DeliveryError."""
    target = mail_file(folder, key)
    unfinished = target.with_name(f".{target.name}.{os.getpid()}")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        unfinished.write_bytes(message.as_bytes())
        unfinished.replace(target)
    except OSError as error:
        with suppress(OSError):
            unfinished.unlink()
        raise DeliveryError(
            f"the mail cannot be saved in {folder} ({error.strerror}): name one that can be written to"
        ) from None
    return target


def load(folder: Path, key: MailKey) -> EmailMessage | None:
    """The mail as it was saved; None where its file is gone. Raises DeliveryError."""
    path = mail_file(folder, key)
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise DeliveryError(f"{path} cannot be read ({error.strerror}): check its permissions") from None
    return message_from_bytes(data, policy=POLICY)
