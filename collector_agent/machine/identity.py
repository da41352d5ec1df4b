"""Who this machine's agent is: an id that outlives restarts, and is given up by the clone of a machine.

A machine image that was copied together with its state folder would make two agents speak with one
voice. So the id's file says which machine it was made on, and that is compared at each start:

- by network addresses that a manufacturer gave: the same machine has at least one of them still, for a
  card may be replaced, docked or renamed;
- where either side has none (containers, many virtual machines, whose addresses are made up), by the
  host's name together with the operating system's machine id.

When it misleads: a virtual machine moved together with a new address, a new name or a new machine id
gets a new id; two clones that both have no such address and keep name and machine id share one.
"""

import logging
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final
from uuid import uuid4

from collector_agent.machine.facts import Machine, telling_addresses, this_machine
from collector_agent.machine.locations import state_folder
from collector_agent.machine.private_file import read_private, replace_private

FILE_NAME: Final = "agent.json"
_log = logging.getLogger("rpa_agent")


@dataclass(frozen=True, slots=True)
class Identity:
    """The agent's id. `cloned_from`: that of the machine this one was copied from. `note`: what happened
    to the file, where there is something to say."""

    agent_id: str
    cloned_from: str = ""
    note: str = ""


def is_same_machine(known: Machine, seen: Machine) -> bool:
    """
    >>> at_home = Machine("r7", "id-1", frozenset({"9c:b6:d0:00:00:01", "9c:b6:d0:00:00:02"}))
    >>> docked = Machine("r7-renamed", "id-2", frozenset({"9c:b6:d0:00:00:02", "9c:b6:d0:00:00:03"}))
    >>> clone = Machine("r7", "id-1", frozenset({"9c:b6:d0:00:00:07"}))
    >>> is_same_machine(at_home, docked), is_same_machine(at_home, clone)
    (True, False)
    >>> is_same_machine(at_home, Machine("r7", "id-1")), is_same_machine(at_home, Machine("r8", "id-1"))
    (True, False)
    """
    if known.addresses and seen.addresses:
        return not known.addresses.isdisjoint(seen.addresses)
    return (known.host, known.machine_id) == (seen.host, seen.machine_id)


def own_identity(folder: Path | None = None, machine: Machine | None = None) -> Identity:
    """The agent's id on this machine, made at the first call; says in the log what is new. Never raises.

    Where the file cannot be written the id holds for this process only, and the note says so.
    """
    file = (folder or state_folder()) / FILE_NAME
    seen = machine or this_machine()
    try:
        known, before = _read(file)
    except FileNotFoundError:
        known, before = None, None
    except (OSError, ValueError) as error:
        known, before = None, Identity("", note=f"{file} could not be read ({error}): the agent has a new id")
    if known is None or before is None or not before.agent_id:
        return _keep(file, Identity(str(uuid4()), note=before.note if before else ""), seen)
    if not is_same_machine(known, seen):
        note = f"this machine is a copy of the one on which agent {before.agent_id} was made: it has a new id"
        return _keep(file, Identity(str(uuid4()), before.agent_id, note), seen)
    if known != seen and (seen.addresses or not known.addresses):
        return _keep(file, before, seen)
    return before


def known_identity(folder: Path | None = None, machine: Machine | None = None) -> Identity | None:
    """What the file says, for people who look: changes nothing. None where there is none yet.

    Raises OSError or ValueError where it cannot be read.
    """
    try:
        known, identity = _read((folder or state_folder()) / FILE_NAME)
    except FileNotFoundError:
        return None
    if is_same_machine(known, machine or this_machine()):
        return identity
    note = "this machine is a copy of the one on which it was made: the daemon gets a new id when it starts"
    return Identity(identity.agent_id, identity.cloned_from, note)


def _keep(file: Path, identity: Identity, machine: Machine) -> Identity:
    if identity.note:
        _log.warning("%s (%s)", identity.note, identity.agent_id)
    content = {
        "agent_id": identity.agent_id,
        "cloned_from": identity.cloned_from,
        "machine": {
            "host": machine.host,
            "machine_id": machine.machine_id,
            "addresses": sorted(machine.addresses),
        },
        "written_at": datetime.now(UTC).isoformat(),
    }
    try:
        replace_private(file, content)
    except OSError as error:
        note = (
            f"{file} cannot be written ({error.strerror}): the agent's id {identity.agent_id} will not last"
        )
        _log.warning("%s", note)
        return Identity(identity.agent_id, identity.cloned_from, note)
    return identity


def _read(file: Path) -> tuple[Machine, Identity]:
    content = read_private(file)
    machine = content.get("machine")
    if not isinstance(machine, dict):
        raise ValueError("it does not say which machine it was made on")
    addresses = machine.get("addresses")
    if not isinstance(addresses, list):
        raise ValueError("its addresses are no list")
    known = Machine(
        _text(machine, "host"),
        _text(machine, "machine_id"),
        telling_addresses(address for address in addresses if isinstance(address, str)),
    )
    agent_id = _text(content, "agent_id")
    if not agent_id or not agent_id.isprintable() or len(agent_id) > 100:
        raise ValueError("it holds no agent_id")
    return known, Identity(agent_id, _text(content, "cloned_from"))


def _text(content: dict[str, Any], name: str) -> str:
    value = content.get(name, "")
    if not isinstance(value, str):
        raise ValueError(f"its {name} is no text")
    return value
