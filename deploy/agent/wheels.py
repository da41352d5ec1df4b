"""The wheels that an installation without a package index needs, for each Python that we support."""

import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from email.parser import Parser
from pathlib import Path
from typing import Final

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name, parse_wheel_filename

EXTRAS: Final = ("gpu", "postgres")
PYTHONS: Final = ("3.11", "3.12", "3.13")
INSTALLING_TOOL: Final = "pip"  # Debian's python3 has none without python3-venv: it travels along


class BundleError(Exception):
    """The bundle cannot be made; the message says what is missing."""


@dataclass(frozen=True, slots=True)
class Platform:
    """A kind of machine: the tags that its wheels may bear, how markers see it, what it gets."""

    name: str
    tags: tuple[str, ...]  # the best first
    markers: Mapping[str, str]
    archive: str
    files: tuple[str, ...]


Pins = Sequence[Requirement]
# (pinned requirements, platform, Python's version, folder): their wheels into the folder, nothing else.
Download = Callable[[Sequence[str], Platform, str, Path], None]


def read_pins(constraints: Path) -> list[Requirement]:
    """The lines of constraints.txt; a name may have several, with markers."""
    return [
        Requirement(line) for line in constraints.read_text(encoding="utf-8").splitlines() if line.strip()
    ]


def collect_wheels(
    own: Path, platform: Platform, pins: Pins, folder: Path, download: Download
) -> dict[str, list[str]]:
    """Everything that `own` with our extras needs on that platform, as wheels in `folder`.

    Gives the names of the wheels by Python version. We walk the requirements ourselves: pip's
    `download --platform` judges markers by the machine that it runs on, and so forgets what only Windows
    needs.
    """
    found: dict[str, list[str]] = {}
    for python in PYTHONS:
        environment = _environment(platform, python)
        name = _name(own)
        wheels = {name: own}
        asked = {(name, ""), *((name, extra) for extra in EXTRAS), (INSTALLING_TOOL, "")}
        while missing := sorted({name for name, _ in asked} - wheels.keys()):
            with tempfile.TemporaryDirectory() as fresh:
                download(
                    [_pinned(name, pins, environment) for name in missing], platform, python, Path(fresh)
                )
                came = {_name(wheel): wheel for wheel in Path(fresh).glob("*.whl")}
                if lacking := [name for name in missing if name not in came]:
                    raise BundleError(f"no wheel of {lacking[0]} came for Python {python} on {platform.name}")
                for name in missing:
                    wheels[name] = Path(shutil.copy(came[name], folder))
            # Until nothing new is asked: what came may need more.
            while (
                more := {
                    need for each in asked if each[0] in wheels for need in _needs(wheels, *each, environment)
                }
                - asked
            ):
                asked |= more
        found[python] = sorted(wheel.name for wheel in wheels.values())
    shutil.copy(own, folder)
    return found


def _environment(platform: Platform, python: str) -> dict[str, str]:
    return {
        **platform.markers,
        "python_version": python,
        "python_full_version": f"{python}.0",
        "implementation_name": "cpython",
        "platform_python_implementation": "CPython",
    }


def _name(wheel: Path) -> str:
    return parse_wheel_filename(wheel.name)[0]


def _needs(
    wheels: Mapping[str, Path], name: str, extra: str, environment: Mapping[str, str]
) -> Iterator[tuple[str, str]]:
    """What a wheel with that extra ('' for none) needs there: names, each with '' or an extra of its own."""
    with zipfile.ZipFile(wheels[name]) as wheel:
        [metadata] = [entry for entry in wheel.namelist() if entry.endswith(".dist-info/METADATA")]
        lines = Parser().parsestr(wheel.read(metadata).decode()).get_all("Requires-Dist") or []
    for need in map(Requirement, lines):
        if need.marker is None or need.marker.evaluate({**environment, "extra": extra}):
            yield canonicalize_name(need.name), ""
            yield from ((canonicalize_name(need.name), asked) for asked in need.extras)


def _pinned(name: str, pins: Pins, environment: Mapping[str, str]) -> str:
    for pin in pins:
        if canonicalize_name(pin.name) == name and (
            pin.marker is None or pin.marker.evaluate(dict(environment))
        ):
            return f"{pin.name}{pin.specifier}"
    raise BundleError(f"constraints.txt pins no version of {name}: run `make constraints`")


def download_by_pip(pins: Sequence[str], platform: Platform, python: str, folder: Path) -> None:
    """The wheels of just these versions from the package index that pip is set up for."""
    what = ["--no-deps", "--only-binary", ":all:", "--implementation", "cp", "--python-version", python]
    tags = [word for tag in platform.tags for word in ("--platform", tag)]
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", "download", "--quiet"]
    done = subprocess.run(
        [*command, *what, *tags, "--dest", str(folder), *pins], capture_output=True, text=True
    )
    if done.returncode == 0:
        return
    said = [line for line in done.stderr.splitlines() if line.startswith("ERROR")] or done.stderr.splitlines()
    if any("No module named pip" in line for line in said):
        raise BundleError(
            f"{sys.executable} has no pip, which fetches the wheels: install it (make .venv anew)"
        )
    raise BundleError(
        f"not every wheel for Python {python} on {platform.name} is to be had ({', '.join(pins)}):\n"
        + "\n".join(said[-3:])
    )
