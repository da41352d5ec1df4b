"""Who an agent is: the same after a restart, and somebody else on a copy of its machine."""

import json
import logging
import os
import stat
import sys
from pathlib import Path

import pytest

from collector_agent.machine.facts import Machine, telling_addresses, this_machine
from collector_agent.machine.identity import Identity, is_same_machine, known_identity, own_identity

CARD, OTHER_CARD = "9c:b6:d0:00:00:01", "9c:b6:d0:00:00:02"
HOME = Machine("r7", "machine-id", frozenset({CARD}))
CLONE = Machine("r7", "machine-id", frozenset({OTHER_CARD}))


@pytest.mark.parametrize(
    ("seen", "is_same"),
    [
        (HOME, True),
        (Machine("renamed", "new-id", frozenset({CARD})), True),  # set up anew on the same hardware
        (Machine("r7", "machine-id", frozenset({CARD, OTHER_CARD})), True),  # docked
        (CLONE, False),
        (Machine("r7", "machine-id"), True),  # no card can be seen: what else tells
        (Machine("r8", "machine-id"), False),
        (Machine("r7", "new-id"), False),
    ],
)
def test_a_machine_is_the_same_while_it_keeps_a_card_or_where_none_is_seen_its_names(
    seen: Machine, is_same: bool
) -> None:
    assert is_same_machine(HOME, seen) is is_same
    assert is_same_machine(seen, HOME) is is_same


@pytest.mark.parametrize(
    "address",
    [
        "00:00:00:00:00:00",
        "02:42:ac:11:00:02",  # a container's
        "52:54:00:12:34:56",  # a virtual machine's
        "00:50:56:c0:00:08",  # the same on every workstation with VMware
        "00:05:9A:3C:7A:00",  # the same wherever that VPN client is
        "fe80::1",
        "00:00:00:00:00:00:00:e0",
        "not an address at all",
        "",
    ],
)
def test_addresses_that_were_made_up_tell_nothing(address: str) -> None:
    assert telling_addresses([address]) == frozenset()


def test_addresses_are_told_apart_however_they_are_written() -> None:
    assert telling_addresses(["9C-B6-D0-00-00-01", CARD]) == {CARD}


def test_this_machine_can_be_told() -> None:
    machine = this_machine()
    assert machine.host
    assert machine == this_machine()


def test_an_id_outlives_restarts(tmp_path: Path) -> None:
    first = own_identity(tmp_path, HOME)
    assert first.agent_id
    assert own_identity(tmp_path, HOME) == first
    assert known_identity(tmp_path, HOME) == first
    assert own_identity(tmp_path / "elsewhere", HOME).agent_id != first.agent_id


@pytest.mark.skipif(sys.platform == "win32", reason="files have no such mode there")
def test_nobody_else_may_read_the_file_unless_its_folder_was_given_to_a_group(tmp_path: Path) -> None:
    own_identity(tmp_path / "state", HOME)
    assert stat.S_IMODE((tmp_path / "state").stat().st_mode) == 0o700
    assert stat.S_IMODE((tmp_path / "state" / "agent.json").stat().st_mode) == 0o600
    (tmp_path / "shared").mkdir()
    (tmp_path / "shared").chmod(0o2770)
    own_identity(tmp_path / "shared", HOME)
    assert stat.S_IMODE((tmp_path / "shared" / "agent.json").stat().st_mode) == 0o640


def test_a_machine_that_changes_bit_by_bit_keeps_its_id(tmp_path: Path) -> None:
    first = own_identity(tmp_path, HOME)
    assert own_identity(tmp_path, Machine("r7", "x", frozenset({CARD, OTHER_CARD}))) == first
    assert own_identity(tmp_path, Machine("r8", "y", frozenset({OTHER_CARD}))) == first


def test_cards_that_are_not_seen_for_once_are_not_forgotten(tmp_path: Path) -> None:
    first = own_identity(tmp_path, HOME)
    assert own_identity(tmp_path, Machine("r7", "machine-id")) == first
    assert own_identity(tmp_path, Machine("renamed", "machine-id", frozenset({CARD}))) == first


def test_a_clone_gets_an_id_of_its_own_and_says_so_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    original = own_identity(tmp_path, HOME)
    assert caplog.messages == []
    looked = known_identity(tmp_path, CLONE)
    assert looked is not None
    assert "is a copy of the one on which it was made" in looked.note
    with caplog.at_level(logging.WARNING, "rpa_agent"):
        clone = own_identity(tmp_path, CLONE)
        assert (clone.cloned_from, clone.agent_id != original.agent_id) == (original.agent_id, True)
        assert own_identity(tmp_path, CLONE) == Identity(clone.agent_id, original.agent_id)
    [said] = caplog.messages
    assert "this machine is a copy of the one on which agent" in said
    assert original.agent_id in said
    assert clone.agent_id in said


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\xff\xfe",
        b"[]",
        b"{}",
        b'"agent"',
        b"[" * 100_000,
        b'{"agent_id": "a"}',
        b'{"agent_id": "a", "machine": {"addresses": 5}}',
        b'{"agent_id": 5, "machine": {"host": "h", "addresses": []}}',
        b'{"agent_id": "a\\nb", "machine": {"host": "h", "addresses": []}}',
        b'{"agent_id": "a", "machine": {"host": 5, "addresses": []}}',
        b" " * 2_000_000,
    ],
)
def test_a_file_that_says_nothing_is_replaced_and_that_is_said(
    content: bytes, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "agent.json").write_bytes(content)
    with pytest.raises(ValueError, match=r"\w"):
        known_identity(tmp_path, HOME)
    with caplog.at_level(logging.WARNING, "rpa_agent"):
        identity = own_identity(tmp_path, HOME)
    assert "could not be read" in identity.note
    assert identity.note in caplog.text
    assert own_identity(tmp_path, HOME) == Identity(identity.agent_id)


def test_a_folder_that_takes_no_file_gives_an_id_for_now(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    identity = own_identity(tmp_path / "file" / "state", HOME)
    assert identity.agent_id
    assert "will not last" in identity.note


def test_the_file_says_what_it_was_made_on(tmp_path: Path) -> None:
    own_identity(tmp_path, HOME)
    content = json.loads((tmp_path / "agent.json").read_bytes())
    assert content["machine"] == {"host": "r7", "machine_id": "machine-id", "addresses": [CARD]}
    assert os.listdir(tmp_path) == ["agent.json"]  # nothing else is left behind
