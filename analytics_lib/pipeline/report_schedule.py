"""When reports go out, and to whom: the calendar of the recipient lists, in local time."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from typing import Final
from zoneinfo import ZoneInfo

from analytics_lib import settings
from analytics_lib.delivery_config import delivery_settings
from analytics_lib.delivery_settings import DeliverySettings, RecipientList
from analytics_lib.errors import SettingsError
from analytics_lib.windows import Window

LENGTH_DAYS: Final[Mapping[str, int]] = {"weekly": 7, "daily": 1}
_LATE_UP_TO: Final = {"weekly": timedelta(days=3), "daily": timedelta(days=1)}
_WEEKDAYS: Final = ("Mondays", "Tuesdays", "Wednesdays", "Thursdays", "Fridays", "Saturdays", "Sundays")


@dataclass(frozen=True, slots=True)
class DueReport:
    """One report that should be with its recipients by now; `why` by address tells them why they get it."""

    kind: str
    first_day: date
    end_day: date
    zone: str
    why: Mapping[str, str]

    @property
    def period(self) -> str:
        return f"{self.first_day} {self.end_day} {self.zone}"

    @property
    def window(self) -> Window:
        start, end = (
            datetime.combine(day, time(), ZoneInfo(self.zone)) for day in (self.first_day, self.end_day)
        )
        return Window.of(start, end)


def report_clock() -> tuple[str, str]:
    """(cron expression, time zone) of the hour in which reports go out, for whoever schedules.

    Settings that are not valid are said by the run, and not by a schedule that is gone: here they mean 07:00.
    """
    try:
        delivery = delivery_settings()
    except SettingsError:
        delivery = DeliverySettings(time_zone=settings.time_zone())
    return f"{delivery.at.minute} {delivery.at.hour} * * *", delivery.time_zone


def due_reports(delivery: DeliverySettings, as_of: datetime) -> list[DueReport]:
    """The reports that should be out by now, the longest first; who is in two lists gets one mail.

    >>> from datetime import UTC
    >>> lists = (RecipientList("Finance", ("ann@example.com",)),)
    >>> delivery = DeliverySettings("robots@example.com", lists)
    >>> [due.period for due in due_reports(delivery, datetime(2026, 11, 23, 7, tzinfo=UTC))]
    ['2026-11-16 2026-11-23 UTC']
    >>> due_reports(delivery, datetime(2026, 11, 23, 6, 59, tzinfo=UTC))
    []
    """
    found: dict[tuple[str, date], dict[str, str]] = {}
    zone = ZoneInfo(delivery.time_zone)
    local = as_of.astimezone(zone)
    for one in delivery.recipients:
        day = local.date() - timedelta(days=local.time() < delivery.at)
        if one.schedule == "weekly":
            day -= timedelta(days=(day.weekday() - one.weekday) % 7)
        if as_of - datetime.combine(day, delivery.at, zone) >= _LATE_UP_TO[one.schedule]:
            continue
        why = found.setdefault((one.schedule, day), {})
        for address in one.addresses:
            if address.casefold() not in map(str.casefold, why):
                why[address] = _why(one, delivery)
    return [
        DueReport(kind, day - timedelta(days=LENGTH_DAYS[kind]), day, delivery.time_zone, why)
        for (kind, day), why in sorted(found.items(), key=lambda item: (-LENGTH_DAYS[item[0][0]], item[0][1]))
    ]


def _why(one: RecipientList, delivery: DeliverySettings) -> str:
    whom = f"as one of {one.name}" if one.name else "as a recipient of reports"
    when = _WEEKDAYS[one.weekday] if one.schedule == "weekly" else "every day"
    return f"You get this {whom}, {when} {delivery.at:%H:%M} {delivery.time_zone}."
