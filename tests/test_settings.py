from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from analytics_lib import settings
from analytics_lib.errors import SettingsError


def test_what_is_given_comes_before_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RPA_ANALYTICS_STORE", "/from/environment")
    assert settings.store_location() == "/from/environment"
    assert settings.store_location("/given") == "/given"


def test_no_store_says_how_to_name_one() -> None:
    with pytest.raises(SettingsError, match="set RPA_ANALYTICS_STORE"):
        settings.store_location()


@pytest.mark.parametrize("name", ["Mars/Base", "../../etc/passwd", "Europe/", "\0"])
def test_an_unknown_time_zone_is_an_error(name: str) -> None:
    with pytest.raises(SettingsError, match="use an IANA name"):
        settings.time_zone(name)


def test_the_time_zone_is_utc_unless_told_otherwise(monkeypatch: pytest.MonkeyPatch) -> None:
    assert settings.time_zone() == "UTC"
    monkeypatch.setenv("RPA_ANALYTICS_TIME_ZONE", "Asia/Kolkata")
    assert settings.time_zone() == "Asia/Kolkata"


def test_a_time_without_an_offset_is_local_time_of_the_zone() -> None:
    assert settings.moment("2026-07-01", "Europe/Berlin") == datetime(2026, 6, 30, 22, tzinfo=UTC)
    assert settings.moment("2026-07-01T00:00+05:30", "Europe/Berlin").utcoffset() == timedelta(hours=5.5)


@pytest.mark.parametrize("text", ["yesterday", "2026-13-01", "", "1e9"])
def test_what_is_no_time_says_how_to_write_one(text: str) -> None:
    with pytest.raises(SettingsError, match="write 2026-11-23"):
        settings.moment(text, "UTC")


@pytest.mark.parametrize("text", ["0001-01-01", "9999-12-31T23:59", "2200-01-01"])
def test_a_time_so_far_away_that_periods_around_it_overflow_is_an_error(text: str) -> None:
    with pytest.raises(SettingsError, match="use a year from 1980"):
        settings.moment(text, "UTC")


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://me:secret@host/db",
        "postgresql://host/db?user=me&password=secret",
        "postgresql://me@host/db?sslmode=require&sslpassword=secret",
    ],
)
def test_a_password_on_the_command_line_is_refused_and_not_repeated(url: str) -> None:
    with pytest.raises(SettingsError) as raised:
        settings.refuse_password(url)
    assert "secret" not in str(raised.value)


@pytest.mark.parametrize("location", ["postgresql://me@host/db", "data/analytics", r"C:\data:x@y"])
def test_a_location_without_a_password_is_fine(location: str) -> None:
    settings.refuse_password(location)


def test_reports_go_where_the_environment_says(monkeypatch: pytest.MonkeyPatch) -> None:
    assert settings.reports_folder() == Path.cwd() / "reports"
    monkeypatch.setenv("RPA_ANALYTICS_REPORTS", "/srv/reports")
    assert settings.reports_folder() == Path("/srv/reports")


def test_the_archive_lies_beside_sqlite_unless_told_otherwise(monkeypatch: pytest.MonkeyPatch) -> None:
    assert settings.archive_folder("/data/store") == Path("/data/store/archive")
    assert settings.archive_folder(Path("/data/store")) == Path("/data/store/archive")
    assert settings.archive_folder("sqlite:////data/store/rpa.sqlite") == Path("/data/store/archive")
    monkeypatch.setenv("RPA_ANALYTICS_ARCHIVE", "/backed/up")
    assert settings.archive_folder("postgresql://db/rpa") == Path("/backed/up")
    assert settings.archive_folder("postgresql://db/rpa", "/given") == Path("/given")


def test_beside_a_database_server_there_is_no_folder_for_the_archive() -> None:
    with pytest.raises(SettingsError, match="set RPA_ANALYTICS_ARCHIVE"):
        settings.archive_folder("postgresql://db/rpa")
