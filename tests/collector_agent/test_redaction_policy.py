"""What may be stored, and of whom."""

import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from analytics_lib.errors import SettingsError
from analytics_lib.records import (
    ExecutionHeartbeat,
    ExecutionMetrics,
    ExecutionStart,
    QuarantinedRecord,
    Record,
)
from collector_agent import MetricsCollector
from collector_agent.redaction import cleaning, mask, mask_id, rules
from collector_agent.redaction.own_patterns import check_linear
from collector_agent.redaction.policy import Redaction
from collector_agent.redaction.pseudonyms import Pseudonyms, pseudonyms
from collector_agent.redaction.rules import Rules

Recorded = Callable[..., list[Record]]


@pytest.fixture(autouse=True)
def _own_state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RPA_AGENT_STATE", str(tmp_path / "state"))
    monkeypatch.delenv("RPA_AGENT_PSEUDONYM_KEY", raising=False)
    monkeypatch.setattr(rules, "_in_force", None)


def recorded(redaction: Redaction, *, attended: bool | None = None, **of_end: Any) -> list[Record]:
    """A run of robot `ada` on host `desk-7`."""
    rows: list[Record] = []
    collector = MetricsCollector(rows.extend, robot_id="ada", host="desk-7", redaction=redaction)
    start: Any = {} if attended is None else {"attended": attended}
    collector.record_execution_start("e", "w", **start, environment=of_end.pop("environment", "production"))
    collector.flush()
    collector.record_execution_complete("e", **{"status": "completed", **of_end})
    collector.stop()
    return rows


def the(kind: type[Any], rows: list[Record]) -> Any:
    [row] = [row for row in rows if isinstance(row, kind)]
    return row


# --- attributes ---------------------------------------------------------------------------------------


def test_only_attributes_on_the_list_are_stored_and_the_others_counted(
    caplog: pytest.LogCaptureFixture,
) -> None:
    redaction = Redaction(attributes=["invoice_*", "Region"])
    given = {"invoice_kind": "scan", "region": "north", "customer": "x", "my_invoice_kind": "y"}
    for _ in range(2):
        rows = recorded(redaction, attributes=given)
        assert the(ExecutionMetrics, rows).attributes == {"invoice_kind": "scan", "region": "north"}
    assert "'customer' (not in the setting attributes)" in redaction.problem()
    assert len([line for line in caplog.messages if line.startswith("'customer'")]) == 1


def test_by_default_tags_are_stored_and_nothing_else() -> None:
    rows = recorded(Redaction(), attributes={"tag smoke": "yes", "tag pass": "yes", "customer": "x"})
    assert the(ExecutionMetrics, rows).attributes == {"tag smoke": "yes", "tag pass": "yes"}


@pytest.mark.parametrize(
    "name",
    ["password", "dbPassword2", "X-API-Key", "client_secret", "user PIN", "IBAN", "authToken", "Kennwort",
     "mot de passe", "Contraseña", "codigo_dni", "GEHEIMNIS", "sessionId", "tag password"],
)  # fmt: skip
def test_an_attribute_with_a_secrets_name_is_never_stored_whatever_is_allowed(name: str) -> None:
    rows = recorded(Redaction(attributes=["*"]), attributes={name: "hunter2", "kind": "scan"})
    assert the(ExecutionMetrics, rows).attributes == {"kind": "scan"}


@pytest.mark.parametrize(
    "name", ["pinned", "spinner", "tangible", "key", "author", "passenger_count", "kind"]
)
def test_names_that_only_contain_such_a_word_are_no_secrets(name: str) -> None:
    assert Redaction(attributes=["*"]).attributes({name: "x"}) == {name: "x"}


def test_further_words_can_make_a_name_secret() -> None:
    redaction = Redaction(attributes=["*"], secret_names=["salary", "Loon Bedrag"])
    assert redaction.attributes({"yearly_salary": "1", "loonBedrag": "1", "kind": "x"}) == {"kind": "x"}


def test_what_is_allowed_is_masked_all_the_same_but_keeps_its_numbers() -> None:
    redaction = Redaction(attributes=["*"])
    given = {"note": "to ada@example.org", "invoice": "471100000815", "of ada@example.org": "x"}
    expected = {"note": "to <mail>", "invoice": "471100000815", "of <mail>": "x"}
    assert redaction.attributes(given) == expected


def test_a_quarantined_row_keeps_to_the_list_too() -> None:
    redaction = Redaction(attributes=["kind"], pseudonyms=["robot_id"])
    rows = recorded(
        redaction,
        status="broken",
        attributes={"kind": "scan", "customer": "Ada Lovelace"},
        customer="Ada Lovelace",
        robot_id="Ada Lovelace",
    )
    refused = the(QuarantinedRecord, rows)
    assert '"kind": "scan"' in refused.payload
    assert '"customer": "<hidden>"' in refused.payload
    assert "Lovelace" not in refused.payload + refused.reason


# --- persons ------------------------------------------------------------------------------------------


def test_one_key_gives_one_pseudonym_on_every_machine_and_another_key_another() -> None:
    first, again, other = (Pseudonyms(key).of("user", "ada") for key in (b"k" * 16, b"k" * 16, b"l" * 16))
    assert first == again != other
    assert first != Pseudonyms(b"k" * 16).of("robot", "ada")
    assert re.fullmatch("p-[bcdfghjklmnpqrst]{20}", first)
    assert mask(first) == mask_id(first) == first


def test_persons_become_pseudonyms_and_robots_where_it_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RPA_AGENT_PSEUDONYM_KEY", "k" * 16)
    rows = recorded(Redaction(attributes=["user*"]), attributes={"user_name": "ada"})
    ended = the(ExecutionMetrics, rows)
    assert ended.robot_id == "ada"
    assert ended.attributes == {"user_name": Pseudonyms(b"k" * 16).of("user", "ada")}
    rows = recorded(Redaction(pseudonyms=["robot_id"]))
    for kind in (ExecutionStart, ExecutionMetrics, ExecutionHeartbeat):
        assert {row.robot_id for row in rows if isinstance(row, kind)} == {
            Pseudonyms(b"k" * 16).of("robot", "ada")
        }


def test_the_machines_own_key_is_made_once_and_for_its_owner_alone(tmp_path: Path) -> None:
    assert pseudonyms().of("user", "ada") == pseudonyms().of("user", "ada")
    file = tmp_path / "state" / "pseudonym.key"
    assert len(file.read_bytes()) == 64
    if os.name == "posix":
        assert file.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(
    ("content", "mode", "reason"),
    [("short", 0o600, "too short"), ("k" * 32, 0o644, "everybody may read"), (None, 0o600, "does not exist")],
)
def test_a_key_that_cannot_be_used_drops_the_name_and_is_said_without_the_key(
    content: str | None, mode: int, reason: str, tmp_path: Path
) -> None:
    file = tmp_path / "shared.key"
    if content is not None:
        file.write_text(content)
        file.chmod(mode)
    with pytest.raises(SettingsError, match=reason):
        pseudonyms(file)
    redaction = Redaction(pseudonyms=["robot_id"], key_file=file)
    assert the(ExecutionMetrics, recorded(redaction)).robot_id == ""
    assert reason in redaction.problem()
    assert "kkkk" not in redaction.problem()


@pytest.mark.parametrize("how", ["by the run", "by its environment"])
def test_an_attended_run_carries_no_person_not_even_a_pseudonym(how: str) -> None:
    redaction = Redaction(attributes=["*"], pseudonyms=["robot_id", "user"])
    said: dict[str, Any] = {"attended": True} if how == "by the run" else {"environment": "attended-sales"}
    rows = recorded(redaction, **said, attributes={"user": "ada", "operator_id": "a7", "kind": "scan"})
    for kind in (ExecutionStart, ExecutionMetrics, ExecutionHeartbeat):
        assert {(row.robot_id, row.host) for row in rows if isinstance(row, kind)} == {("", "")}
    assert the(ExecutionMetrics, rows).attributes == {"kind": "scan"}


def test_what_is_enabled_of_an_attended_run_is_kept() -> None:
    redaction = Redaction(attributes=["*"], pseudonyms=["user"], attended_keeps=["robot_id", "user"])
    rows = recorded(redaction, attended=True, attributes={"user": "ada", "operator": "a7"})
    ended = the(ExecutionMetrics, rows)
    assert (ended.robot_id, ended.host) == ("ada", "")
    assert list(ended.attributes) == ["user"]
    assert ended.attributes["user"].startswith("p-")


def test_a_run_can_say_that_it_is_not_attended() -> None:
    rows = recorded(Redaction(), attended=False, environment="attended")
    assert the(ExecutionMetrics, rows).robot_id == "ada"


# --- masks of one's own -------------------------------------------------------------------------------


def test_own_patterns_hide_in_every_text_of_the_process() -> None:
    Redaction(rules=Rules(own_patterns=(r"KD-\d{6}",)))
    assert mask("customer KD-471108 called") == "customer <hidden> called"
    Redaction(rules=Rules(own_patterns=("ACME",)))
    assert mask("ACME has KD-471108") == "<hidden> has <hidden>"


def test_national_ids_and_long_numbers_can_be_left_alone() -> None:
    text = "ssn 512-45-6789, order 471100000815, card 4111 1111 1111 1111"
    assert mask(text) == "ssn <id>, order <number>, card <card>"
    Redaction(rules=Rules(national_ids=(), long_numbers=False))
    assert mask(text) == "ssn 512-45-6789, order 471100000815, card <card>"


@pytest.mark.parametrize(
    "pattern",
    [
        "a+b",
        "(a|a)*",
        r"(\d{1,9}){1,9}x",
        "(a{0,64}){0,64}b",
        r".*secret",
        r"(a)\1{1,9}",
        "(?:a?){0,400}b",
        "a*?",
    ],
)
def test_a_pattern_that_could_take_long_is_refused(pattern: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        check_linear(pattern)


@pytest.mark.parametrize(
    "pattern", [r"KD-\d{6}", r"\b[A-Z]{2,3}-\d{1,12}\b", "customer \\w+", "(?:Frau|Herr) [A-Z]\\w{1,40}"]
)
def test_a_pattern_that_cannot_is_taken(pattern: str) -> None:
    check_linear(pattern)


# --- when something fails -----------------------------------------------------------------------------


def test_a_mask_that_fails_drops_the_text_and_counts_it_and_the_record_is_stored(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail(*_: object, **__: object) -> str:
        raise RuntimeError("broken")

    monkeypatch.setattr(cleaning, "_thorough", fail)
    before = cleaning.failures()
    redaction = Redaction()
    ended = the(ExecutionMetrics, recorded(redaction, status="failed", message="to ada@example.org"))
    assert ended.message == "<hidden>"
    assert cleaning.failures() > before
    assert "text that could not be looked through" in redaction.problem()


def test_keys_with_a_secret_in_them_stay_different_keys() -> None:
    first, second = mask_id("run of ada@example.org"), mask_id("run of bob@example.org")
    assert first != second
    assert first.startswith("run of <mail>#")
    assert mask_id(first) == first == mask_id("run of ada@example.org")
