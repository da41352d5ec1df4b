"""Which machine this is: the addresses of its network cards, and what its operating system calls it."""

import os
import socket
import subprocess
import sys
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_LOCALLY_ADMINISTERED: Final = 0x02
# Adapters of VPN clients and hypervisors that have the same address on every machine they are put on.
_SAME_EVERYWHERE: Final = frozenset(
    {
        "00:05:9a:3c:78:00",  # Cisco AnyConnect
        "00:05:9a:3c:7a:00",
        "00:09:0f:aa:00:01",  # FortiClient
        "00:09:0f:fe:00:01",
        "00:50:56:c0:00:01",  # VMware's networks on a workstation
        "00:50:56:c0:00:08",
    }
)


@dataclass(frozen=True, slots=True)
class Machine:
    """What tells one machine from another. `addresses`: of network cards, as 'aa:bb:cc:dd:ee:ff'."""

    host: str
    machine_id: str = ""
    addresses: frozenset[str] = frozenset()


def telling_addresses(found: Iterable[str]) -> frozenset[str]:
    """Those of the addresses that a manufacturer gave to this machine alone.

    >>> sorted(telling_addresses(["9C-B6-D0-00-00-01", "02:42:ac:11:00:02", "00:00:00:00:00:00", "::1"]))
    ['9c:b6:d0:00:00:01']
    """
    telling = set()
    for address in found:
        parts = address.lower().replace("-", ":").split(":")
        try:
            octets = [int(part, 16) for part in parts if len(part) == 2]
        except ValueError:
            continue
        if len(octets) != 6 or len(parts) != 6 or not any(octets) or octets[0] & _LOCALLY_ADMINISTERED:
            continue
        telling.add(":".join(parts))
    return frozenset(telling - _SAME_EVERYWHERE)


def this_machine() -> Machine:
    """As far as it can be seen; never raises."""
    return Machine(socket.gethostname(), _machine_id(), telling_addresses(_network_addresses()))


def _network_addresses() -> list[str]:
    try:
        import psutil  # here, because who only shows an id need not load it first

        return [
            address.address
            for name, addresses in psutil.net_if_addrs().items()
            if name != "lo"
            for address in addresses
            if address.family == psutil.AF_LINK
        ]
    except Exception:  # noqa: BLE001  # not installed, or a system without: the other way of telling remains
        return []


def _machine_id() -> str:
    if sys.platform == "win32":
        import winreg

        with (
            suppress(OSError),
            winreg.OpenKey(
                winreg.HKEY_LOCAL_MACHINE,
                r"SOFTWARE\Microsoft\Cryptography",
                0,
                winreg.KEY_READ | winreg.KEY_WOW64_64KEY,
            ) as key,
        ):
            return str(winreg.QueryValueEx(key, "MachineGuid")[0])
        return ""
    if sys.platform == "darwin":
        return _platform_uuid()
    for file in ("/etc/machine-id", "/var/lib/dbus/machine-id"):
        with suppress(OSError):
            return Path(file).read_text(encoding="ascii", errors="replace").strip()[:100]
    return ""


def _platform_uuid() -> str:
    """What `ioreg` calls IOPlatformUUID."""
    try:
        said = subprocess.run(
            ["/usr/sbin/ioreg", "-rd1", "-c", "IOPlatformExpertDevice"],
            capture_output=True,
            text=True,
            timeout=10,
            check=True,
            env={**os.environ, "LC_ALL": "C"},
        ).stdout
    except (OSError, subprocess.SubprocessError):
        return ""
    for line in said.splitlines():
        name, _, value = line.partition("=")
        if name.strip() == '"IOPlatformUUID"':
            return value.strip().strip('"')[:100]
    return ""
