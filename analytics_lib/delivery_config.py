"""The settings of delivery, read from one TOML file or a few environment variables.

Nothing is sent until recipients are set. RPA_ANALYTICS_CONFIG names the file:

    [delivery]
    sender = "RPA Analytics <robots@example.com>"
    time_zone = "Europe/Berlin"      # default: RPA_ANALYTICS_TIME_ZONE, else UTC
    at = "07:00"                     # when reports go out, in that zone
    insight_mail_severity = 80       # 0 to 100: an insight so severe is mailed at once; leave out for none
    insight_mails_per_day = 5        # to each recipient
    report_url = "https://reports.example.com/"  # where the folder of the reports is served; '' for no link

    [[delivery.recipients]]
    name = "Finance"
    addresses = ["ann@example.com"]
    schedule = "weekly"              # or "daily"
    weekday = "monday"
    insights = true                  # gets mails about single insights, too

    [delivery.smtp]
    host = "mail.example.com"
    port = 587
    security = "starttls"            # or "ssl", or "none"
    user = "robots"
    password_env = "RPA_SMTP_PASSWORD"  # the variable that holds it; the password itself is in no file

Without a file: RPA_ANALYTICS_RECIPIENTS ("ann@example.com, bob@example.com": one weekly list),
RPA_ANALYTICS_SENDER, RPA_ANALYTICS_SMTP_HOST, _PORT, _SECURITY, _USER and _PASSWORD.
"""

import os
import tomllib
from collections.abc import Callable, Mapping
from datetime import time
from pathlib import Path
from typing import Any, Final, get_args

from analytics_lib import settings
from analytics_lib.delivery_settings import DeliverySettings, RecipientList, Schedule, SmtpServer
from analytics_lib.errors import SettingsError

CONFIG_VARIABLE: Final = "RPA_ANALYTICS_CONFIG"
RECIPIENTS_VARIABLE: Final = "RPA_ANALYTICS_RECIPIENTS"
SENDER_VARIABLE: Final = "RPA_ANALYTICS_SENDER"
SMTP_VARIABLE: Final = "RPA_ANALYTICS_SMTP_"
WEEKDAYS: Final = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
_PORT: Final[dict[str, int]] = {"starttls": 587, "ssl": 465, "none": 25}


def delivery_settings() -> DeliverySettings:
    """From the file that RPA_ANALYTICS_CONFIG names, else from the environment. Raises SettingsError."""
    path = os.environ.get(CONFIG_VARIABLE, "")
    if not path:
        return parse_delivery({"delivery": _from_environment()}, "the environment")
    file = Path(path).expanduser()
    try:
        tables = tomllib.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise SettingsError(
            f"{file} cannot be read ({error.strerror}): {CONFIG_VARIABLE} names the file of settings"
        ) from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingsError(f"{file} is no TOML file: {error}") from None
    return parse_delivery(tables, str(file))


def parse_delivery(tables: Mapping[str, Any], where: str) -> DeliverySettings:
    """The settings of a TOML document's tables; one without [delivery] is off. Raises SettingsError."""
    given = _Table(tables.get("delivery", {}), "[delivery]")
    try:
        rows, smtp = given.take("recipients", list, []), given.take("smtp", dict, {})
        found = DeliverySettings(
            sender=given.take("sender", str, ""),
            recipients=tuple(
                _recipients(_Table(row, f"[[delivery.recipients]] {i}")) for i, row in enumerate(rows, 1)
            ),
            smtp=_smtp(_Table(smtp, "[delivery.smtp]")) if smtp else None,
            time_zone=settings.time_zone(given.take("time_zone", str, "") or None),
            at=_clock(given.take("at", str, "07:00")),
            insight_mail_severity=given.take("insight_mail_severity", int, None),
            insight_mails_per_day=given.take("insight_mails_per_day", int, 5),
            report_url=given.take("report_url", str, ""),
        )
        given.refuse_others()
    except SettingsError as error:
        raise SettingsError(f"{where}: {error}") from None
    return found


def _recipients(given: "_Table") -> RecipientList:
    addresses = given.take("addresses", list, [])
    schedule, weekday = given.take("schedule", str, "weekly"), given.take("weekday", str, "monday").lower()
    if schedule not in get_args(Schedule):
        raise SettingsError(f"{given.where}: schedule {schedule!r} is unknown: use weekly or daily")
    if weekday not in WEEKDAYS:
        raise SettingsError(f"{given.where}: weekday {weekday!r} is unknown: use {', '.join(WEEKDAYS)}")
    if not addresses:
        raise SettingsError(f"{given.where} has no addresses: name them, or leave the list out")
    found = RecipientList(
        name=given.take("name", str, ""),
        addresses=tuple(str(address) for address in addresses),
        schedule="weekly" if schedule == "weekly" else "daily",
        weekday=WEEKDAYS.index(weekday),
        insights=given.take("insights", bool, True),
    )
    given.refuse_others()
    return found


def _smtp(given: "_Table") -> SmtpServer:
    variable, security = given.take("password_env", str, ""), given.take("security", str, "starttls")
    if variable and variable not in os.environ:
        raise SettingsError(f"{given.where}: the variable {variable} is not set: put the password into it")
    found = SmtpServer(
        host=given.take("host", str, ""),
        port=given.take("port", int, _PORT.get(security, 587)),
        security=security,
        user=given.take("user", str, ""),
        password=os.environ.get(variable, "") if variable else "",
        timeout_sec=float(given.take("timeout_sec", int, 30)),
    )
    given.refuse_others()
    return found


def _from_environment() -> dict[str, Any]:
    addresses = [part.strip() for part in os.environ.get(RECIPIENTS_VARIABLE, "").split(",") if part.strip()]
    tables: dict[str, Any] = {"sender": os.environ.get(SENDER_VARIABLE, "")}
    if addresses:
        tables["recipients"] = [{"addresses": addresses}]
    made: dict[str, Callable[[str], Any]] = {"host": str, "port": _port, "security": str, "user": str}
    given = {name: os.environ.get(SMTP_VARIABLE + name.upper(), "") for name in made}
    smtp: dict[str, Any] = {name: made[name](text) for name, text in given.items() if text}
    if smtp:
        secret = SMTP_VARIABLE + "PASSWORD"
        tables["smtp"] = smtp | ({"password_env": secret} if os.environ.get(secret) else {})
    return tables


def _port(text: str) -> int:
    if not text.isdigit():
        raise SettingsError(f"{SMTP_VARIABLE}PORT is {text!r}: give a number such as 587")
    return int(text)


def _clock(text: str) -> time:
    try:
        found = time.fromisoformat(text)
    except ValueError:
        found = None
    if found is None or found.tzinfo or found.second or found.microsecond:
        raise SettingsError(f"at is {text!r}: write the time as 07:00")
    return found


class _Table:
    """A TOML table that knows where it stands, and which of its keys nobody asked for."""

    def __init__(self, rows: object, where: str) -> None:
        if not isinstance(rows, dict):
            raise SettingsError(f"{where} is {rows!r}, not a table")
        self._rest, self.where = dict(rows), where

    def take(self, name: str, kind: type, default: Any) -> Any:
        value = self._rest.pop(name, default)
        if value is not default and (
            not isinstance(value, kind) or (kind is int and isinstance(value, bool))
        ):
            raise SettingsError(f"{self.where}: {name} is {value!r}, which is no {kind.__name__}")
        return value

    def refuse_others(self) -> None:
        if self._rest:
            raise SettingsError(f"{self.where}: {', '.join(map(repr, self._rest))} is unknown: take it out")
