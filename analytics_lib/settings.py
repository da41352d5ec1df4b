"""Settings of the analysis: plain values, read from the environment by command lines and DAGs."""

import os
import re
from datetime import datetime
from pathlib import Path
from typing import Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from analytics_lib.errors import SettingsError

STORE_VARIABLE: Final = "RPA_ANALYTICS_STORE"
TIME_ZONE_VARIABLE: Final = "RPA_ANALYTICS_TIME_ZONE"
REPORTS_VARIABLE: Final = "RPA_ANALYTICS_REPORTS"
ARCHIVE_VARIABLE: Final = "RPA_ANALYTICS_ARCHIVE"


def store_location(given: str | None = None) -> str:
    """The store's folder or URL: as given, else from RPA_ANALYTICS_STORE. Raises SettingsError."""
    location = given or os.environ.get(STORE_VARIABLE, "")
    if not location:
        raise SettingsError(
            f"no store is named: pass a folder (or --store), or set {STORE_VARIABLE} to a folder or a "
            "database URL (a URL with a password belongs into the variable, not on the command line)"
        )
    return location


def time_zone(given: str | None = None) -> str:
    """An IANA time zone: as given, else from RPA_ANALYTICS_TIME_ZONE, else UTC. Raises SettingsError."""
    name = given or os.environ.get(TIME_ZONE_VARIABLE, "") or "UTC"
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise SettingsError(f"unknown time zone {name!r}: use an IANA name such as Europe/Berlin") from None
    return name


def reports_folder(given: str | Path | None = None) -> Path:
    """Where reports go: as given, else RPA_ANALYTICS_REPORTS, else ./reports."""
    return Path(given or os.environ.get(REPORTS_VARIABLE, "") or "reports").expanduser().absolute()


def archive_folder(location: str | Path, given: str | Path | None = None) -> Path:
    """Where archived days lie: as given, else RPA_ANALYTICS_ARCHIVE, else `archive` beside SQLite's file.

    Raises SettingsError where the store is a database server, beside which there is no folder.
    """
    if folder := given or os.environ.get(ARCHIVE_VARIABLE, ""):
        return Path(folder).expanduser().absolute()
    text = str(location)
    scheme, _, rest = text.partition("://")
    if not rest:
        return Path(text).expanduser().absolute() / "archive"
    if scheme.startswith("sqlite"):
        return Path(rest.removeprefix("/").partition("?")[0]).absolute().parent / "archive"
    raise SettingsError(
        f"no archive is named: set {ARCHIVE_VARIABLE} to a folder that lasts and is backed up; "
        "the rows of past days go there before they are deleted from the database"
    )


def moment(text: str, zone: str) -> datetime:
    """An aware datetime of ISO 8601 text; without an offset it is local time of the zone.

    Raises SettingsError for what is no date, or none that a run could have.
    """
    try:
        parsed = datetime.fromisoformat(text)
    except ValueError:
        raise SettingsError(f"{text!r} is no date or time: write 2026-11-23 or 2026-11-23T09:00") from None
    if not 1980 <= parsed.year < 2200:  # periods before and after it are computed, too
        raise SettingsError(f"{text!r} is no time of robots: use a year from 1980 to 2199")
    return parsed if parsed.tzinfo else parsed.replace(tzinfo=ZoneInfo(zone))


def refuse_password(location: str) -> None:
    """Raises SettingsError for a URL with a password: arguments are seen by everyone on the machine."""
    if re.search(r"://[^/@\s]*:[^/@\s]*@|[?&]\w*(password|passwd|pwd)=", location):
        raise SettingsError(
            f"a password does not belong on the command line: put the URL into {STORE_VARIABLE}, "
            "or leave the password to ~/.pgpass"
        )
