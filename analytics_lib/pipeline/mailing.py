"""What all that is mailed shares: the server, the saved files, the account of what became of it."""

from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from analytics_lib.delivery_config import delivery_settings
from analytics_lib.delivery_settings import DeliverySettings, SmtpServer
from analytics_lib.errors import SettingsError

if TYPE_CHECKING:
    from analytics_lib.delivery.outbox import Outgoing, Send, Sending


def chosen_settings(delivery: DeliverySettings | None, smtp: SmtpServer | None) -> DeliverySettings:
    """The settings as given, else as configured; with another mail server, if one is given."""
    delivery = delivery or delivery_settings()
    return replace(delivery, smtp=smtp) if smtp else delivery


def sender_of(delivery: DeliverySettings) -> "Send":
    """What sends a mail. Raises SettingsError where no mail server is set."""
    from analytics_lib.delivery import smtp

    if delivery.smtp is None:
        raise SettingsError(
            "recipients are set, but no mail server: set RPA_ANALYTICS_SMTP_HOST, [delivery.smtp] in the "
            "file that RPA_ANALYTICS_CONFIG names, or Airflow's connection rpa_smtp"
        )
    return partial(smtp.send, server=delivery.smtp)


def save(mail: "Outgoing", folder: Path) -> str:
    """Saves the mail beside the reports; gives its path."""
    from analytics_lib.delivery import files

    return str(files.save(mail.message, folder, mail.key))


def counts(done: "Sending") -> dict[str, Any]:
    """What became of mails as plain values; 'problem' says it in one sentence, '' where all is well."""
    result = asdict(done)
    problems = result.pop("problems")
    unsent = done.failed + done.refused + done.unknown
    result["problem"] = (
        f"{unsent} mail{'' if unsent == 1 else 's'} not sent for sure: {'; '.join(problems)} "
        "(see `rpa-analytics outbox list`)"
        if unsent
        else ""
    )
    return result
