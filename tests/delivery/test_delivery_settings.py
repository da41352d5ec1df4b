"""Who gets mail: from one file or the environment, off by default, and mistakes said in one sentence."""

import tomllib
from datetime import time
from pathlib import Path
from typing import Any

import pytest

from analytics_lib import delivery_config
from analytics_lib.delivery_config import delivery_settings, parse_delivery
from analytics_lib.delivery_settings import DeliverySettings, RecipientList, is_address, split_sender
from analytics_lib.errors import SettingsError

EXAMPLE = (delivery_config.__doc__ or "").partition("file:\n")[2].partition("Without a file")[0]


def parsed(text: str) -> DeliverySettings:
    return parse_delivery(tomllib.loads(text), "test.toml")


def test_nothing_is_sent_until_recipients_are_set() -> None:
    assert not delivery_settings().is_on
    assert not parsed("").is_on


def test_the_example_of_the_documentation_is_valid(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RPA_SMTP_PASSWORD", "secret")
    found = parsed(EXAMPLE)
    assert found.recipients == (RecipientList("Finance", ("ann@example.com",), "weekly", 0, True),)
    assert (found.time_zone, found.at, found.insight_mail_severity) == ("Europe/Berlin", time(7), 80)
    assert found.smtp is not None
    assert (found.smtp.host, found.smtp.port, found.smtp.user) == ("mail.example.com", 587, "robots")
    assert found.smtp.password == "secret"
    assert "secret" not in repr(found)


def test_the_file_is_named_by_one_variable(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    file = tmp_path / "rpa.toml"
    file.write_text(
        '[delivery]\nsender = "r@example.com"\n[[delivery.recipients]]\naddresses = ["a@example.com"]\n'
        '[other]\nkey = "not ours"\n'
    )
    monkeypatch.setenv("RPA_ANALYTICS_CONFIG", str(file))
    monkeypatch.setenv("RPA_ANALYTICS_TIME_ZONE", "Asia/Kolkata")
    found = delivery_settings()
    assert found.recipients == (RecipientList("", ("a@example.com",), "weekly", 0, True),)
    assert found.time_zone == "Asia/Kolkata"
    assert found.insight_mail_severity is None


def test_the_environment_makes_one_weekly_list(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {
        "RECIPIENTS": "ann@example.com, bob@example.com",
        "SENDER": "RPA <r@example.com>",
        "SMTP_HOST": "mail.example.com",
        "SMTP_PORT": "465",
        "SMTP_SECURITY": "ssl",
        "SMTP_USER": "robots",
        "SMTP_PASSWORD": "secret",
    }.items():
        monkeypatch.setenv(f"RPA_ANALYTICS_{name}", value)
    found = delivery_settings()
    assert found.recipients == (RecipientList("", ("ann@example.com", "bob@example.com")),)
    assert found.smtp is not None
    assert (found.smtp.port, found.smtp.security, found.smtp.password) == (465, "ssl", "secret")


def test_all_malformed_recipients_are_named_in_one_error() -> None:
    text = (
        '[delivery]\nsender = "r@example.com"\n'
        '[[delivery.recipients]]\naddresses = ["ann@example.com", "bob", "eve@example.com\\nBcc: x@y.z"]\n'
        '[[delivery.recipients]]\naddresses = ["\\u00fcnal@example.com", "a@b, c@d"]\n'
    )
    with pytest.raises(SettingsError) as raised:
        parsed(text)
    said = str(raised.value)
    assert said.startswith(
        "test.toml: 'bob', 'eve@example.com\\nBcc: x@y.z', '\\xfcnal@example.com', 'a@b, c@d'"
    )
    assert "nothing is sent until every recipient is right" in said
    assert "\n" not in said
    assert "ann" not in said


LIST = '[[delivery.recipients]]\naddresses = ["a@example.com"]\n'


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (LIST, "sender '': no mail address"),
        ('[delivery]\nsender = "me\\r\\n <a@b.c>"\n' + LIST, "no mail address"),
        ("[delivery]\nsender = 3", "sender is 3, which is no str"),
        ("[delivery]\nsendr = 'x'", "'sendr' is unknown"),
        ("[delivery]\nat = '7 am'", "write the time as 07:00"),
        ("[delivery]\ntime_zone = 'Mars'", "unknown time zone"),
        ("[delivery]\ninsight_mail_severity = 101", "give 0 to 100"),
        ("[delivery]\ninsight_mail_severity = true", "which is no int"),
        ("[delivery]\ninsight_mails_per_day = -1", "give 0 or more"),
        ("[delivery]\nreport_url = 'javascript:alert(1)'", "write https"),
        ("[[delivery.recipients]]\naddresses = []", "has no addresses"),
        (LIST + "schedule = 'hourly'", "use weekly or daily"),
        (LIST + "weekday = 'Moonday'", "use monday"),
        (LIST + "adresses = []", "'adresses' is unknown"),
        ("delivery = 3", r"\[delivery\] is 3, not a table"),
        ("[delivery]\nrecipients = ['a@b.c']", "is 'a@b.c', not a table"),
        ("[delivery.smtp]\nhost = 'h'\npassword_env = 'NOT_SET'", "variable NOT_SET is not set"),
        ("[delivery.smtp]\nhost = 'h'\npassword = 'secret'", "'password' is unknown"),
        ("[delivery.smtp]\nport = 25", "names no mail server"),
    ],
)
def test_a_mistake_is_named(text: str, said: str) -> None:
    with pytest.raises(SettingsError, match=said):
        parsed(text)


def test_a_file_that_is_none_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("RPA_ANALYTICS_CONFIG", str(tmp_path / "gone.toml"))
    with pytest.raises(SettingsError, match="RPA_ANALYTICS_CONFIG"):
        delivery_settings()
    (tmp_path / "bad.toml").write_bytes(b"\xff = 1")
    monkeypatch.setenv("RPA_ANALYTICS_CONFIG", str(tmp_path / "bad.toml"))
    with pytest.raises(SettingsError, match="is no TOML file"):
        delivery_settings()
    monkeypatch.delenv("RPA_ANALYTICS_CONFIG")
    monkeypatch.setenv("RPA_ANALYTICS_SMTP_PORT", "many")
    with pytest.raises(SettingsError, match="give a number"):
        delivery_settings()


@pytest.mark.parametrize(
    "address", ["a.b+c@example.com", "o'brien@example.co.uk", "a/b@x-1.example", "root@localhost"]
)
def test_these_are_addresses(address: str) -> None:
    assert is_address(address)


@pytest.mark.parametrize(
    "address",
    [
        "a@b..c",
        "a" * 251 + "@b.c",
        "a.@b.c",
        "a@-b.c",
        "a@b-",
        '"a b"@c.d',
        "a@[127.0.0.1]",
        "a@b.c\n",
        "=?x?=@b.c",
    ],
)
def test_these_are_not(address: str) -> None:
    assert not is_address(address)


def test_a_sender_may_have_a_name() -> None:
    cases: dict[str, Any] = {
        '"RPA, Inc." <r@example.com>': ("RPA, Inc.", "r@example.com"),
        "r@example.com": ("", "r@example.com"),
    }
    assert {text: split_sender(text) for text in cases} == cases
