"""The unpacked bundle: what it says about itself, and whether all of it arrived."""

import hashlib
import json
import platform
import sys
import sysconfig
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from .errors import BundleDamagedError, MachineError

MANIFEST: Final = "SHA256SUMS"
DESCRIPTION: Final = "bundle.json"
_BLOCK_BYTES: Final = 1 << 20


@dataclass(frozen=True, slots=True)
class Bundle:
    """A bundle whose files are all as they were packed."""

    folder: Path
    version: str
    platform: str
    requirement: str  # what pip is asked for
    wheels: Mapping[str, Sequence[str]]  # by Python version
    digest: str  # of the manifest: two bundles with the same one are the same

    @property
    def wheel_folder(self) -> Path:
        return self.folder / "wheels"

    def wheel_of(self, name: str, python: str) -> Path:
        """The wheel of one distribution for that Python."""
        return self.wheel_folder / next(w for w in self.wheels[python] if w.startswith(f"{name}-"))


def open_bundle(folder: Path) -> Bundle:
    """The bundle in the folder. Raises BundleDamagedError unless every file is the one that was packed.

    This finds what a bad copy did, and a wheel that was put beside the others; who may change the files may
    change the manifest, too, so the archive's own SHA-256 should come another way than the archive.
    """
    try:
        manifest = (folder / MANIFEST).read_bytes()
    except OSError:
        raise BundleDamagedError(
            f"{folder} holds no {MANIFEST}: run the installer from an unpacked rpa-agent-… archive, "
            "which `make agent-bundle` makes"
        ) from None
    listed = dict(_entries(manifest.decode()))
    for name, digest in listed.items():
        if _digest(folder / name) != digest:
            raise BundleDamagedError(
                f"{folder / name} is not as it was packed: copy and unpack the archive again"
            )
    for path in (*(folder / "wheels").iterdir(), *(folder / "installer").glob("*.py")):
        if path.relative_to(folder).as_posix() not in listed:
            raise BundleDamagedError(f"{path} does not belong to this bundle: remove it")
    try:
        said = json.loads((folder / DESCRIPTION).read_bytes())
        return Bundle(
            folder,
            said["version"],
            said["platform"],
            said["requirement"],
            said["wheels"],
            hashlib.sha256(manifest).hexdigest(),
        )
    except (OSError, ValueError, KeyError) as error:
        raise BundleDamagedError(f"{folder / DESCRIPTION} cannot be read: {error}") from None


def python_version() -> str:
    """This Python's, as the bundle names it: 3.12."""
    return f"{sys.version_info[0]}.{sys.version_info[1]}"


def check_machine(bundle: Bundle) -> None:
    """Raises MachineError where none of the bundle's wheels would work."""
    machine = platform.machine().lower()
    here = {"win32": "win_amd64", "linux": "manylinux_x86_64"}.get(sys.platform, sys.platform)
    if here != bundle.platform or machine not in ("amd64", "x86_64"):
        raise MachineError(
            f"this bundle is for {bundle.platform}, and this machine is {sys.platform} on {machine}"
        )
    if python_version() not in bundle.wheels or sysconfig.get_config_var("Py_GIL_DISABLED"):
        raise MachineError(
            f"this bundle has no wheels for {sys.executable} ({sys.version.split()[0]}): "
            f"name another Python, {', '.join(bundle.wheels)}"
        )
    if sys.platform == "linux":
        libc, version = platform.libc_ver()
        if libc != "glibc" or tuple(map(int, version.split(".")[:2])) < (2, 28):
            raise MachineError(
                f"the wheels need glibc 2.28 or newer (Debian 10, Ubuntu 20.04, Red Hat 8); "
                f"this machine has {libc or 'another C library'} {version}"
            )


def _entries(manifest: str) -> list[tuple[str, str]]:
    entries = [line.split("  ", 1) for line in manifest.splitlines()]
    if not entries or not all(len(entry) == 2 and _stays_inside(entry[1]) for entry in entries):
        raise BundleDamagedError(f"{MANIFEST} is damaged: copy and unpack the archive again")
    return [(name, digest) for digest, name in entries]


def _stays_inside(name: str) -> bool:
    return not name.startswith("/") and ".." not in name.split("/") and ":" not in name and "\\" not in name


def _digest(file: Path) -> str:
    digest = hashlib.sha256()
    try:
        with file.open("rb") as content:
            while block := content.read(_BLOCK_BYTES):
                digest.update(block)
    except OSError:
        return ""
    return digest.hexdigest()
