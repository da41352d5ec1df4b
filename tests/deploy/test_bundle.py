"""What `make agent-bundle` puts into an archive; its wheels are small and come from no network."""

import hashlib
import json
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Sequence
from pathlib import Path

import pytest

from deploy.agent import make_bundle, wheels
from deploy.agent.make_bundle import LINUX, WINDOWS, main
from deploy.agent.wheels import BundleError, Platform
from tests.deploy.wheel_maker import make_wheel

PINS = """\
greenlet==3.0.0
pip==26.0
psycopg==3.3.0
psycopg-binary==3.3.0 ; implementation_name != 'pypy'
sqlalchemy==2.1.0
typing-extensions==4.16.0
tzdata==2026.6
wrapped==1.0 ; python_full_version < '3.12'
wrapped==2.0 ; python_full_version >= '3.12'
nvidia-ml-py==13.0
"""
NEEDS = {
    "psycopg": [
        'typing-extensions>=4.6; python_version < "3.13"',
        'tzdata; sys_platform == "win32"',
        'psycopg-binary==3.3.0; implementation_name != "pypy" and extra == "binary"',
        'pytest; extra == "test"',
    ],
    "sqlalchemy": ["wrapped", 'greenlet>=1; extra == "asyncio"'],
}
BINARY = ("psycopg-binary", "sqlalchemy")


def download(pins: Sequence[str], platform: Platform, python: str, folder: Path) -> None:
    """In the place of pip: a small wheel for each pin."""
    for pin in pins:
        name, version = pin.split("==")
        abi = f"cp{python.replace('.', '')}"
        tag = f"{abi}-{abi}-{platform.tags[0]}" if name in BINARY else "py3-none-any"
        extras = ["binary", "test", "asyncio"]
        make_wheel(folder, name, version, tag=tag, requires=NEEDS.get(name, ()), extras=extras)


@pytest.fixture
def own(tmp_path: Path) -> Path:
    requires = [
        "sqlalchemy>=2",
        'psycopg[binary]>=3.2; extra == "postgres"',
        'nvidia-ml-py>=12; extra == "gpu"',
        'pandas; extra == "analytics"',
    ]
    return make_wheel(
        tmp_path, "rpa-analytics", "0.7.0", requires=requires, extras=["postgres", "gpu", "analytics"]
    )


@pytest.fixture
def constraints(tmp_path: Path) -> Path:
    (tmp_path / "constraints.txt").write_text(PINS)
    return tmp_path / "constraints.txt"


def bundle(platform: Platform, own: Path, constraints: Path, out: Path) -> Path:
    return make_bundle.make_bundle(platform, own, out, constraints, download)


def contents(archive: Path) -> dict[str, bytes]:
    """By path below the archive's one folder."""
    if archive.suffix == ".zip":
        with zipfile.ZipFile(archive) as packed:
            found = {name: packed.read(name) for name in packed.namelist()}
    else:
        with tarfile.open(archive) as packed:
            found = {member.name: packed.extractfile(member).read() for member in packed}
    top = archive.name.removesuffix(".zip").removesuffix(".tar.gz")
    assert all(name.startswith(f"{top}/") for name in found)
    return {name.removeprefix(f"{top}/"): content for name, content in found.items()}


def test_windows_gets_what_only_windows_needs(own: Path, constraints: Path, tmp_path: Path) -> None:
    found = contents(bundle(WINDOWS, own, constraints, tmp_path / "dist"))
    names = {name.removeprefix("wheels/") for name in found if name.startswith("wheels/")}
    each = {
        f"{name}-{abi}-{abi}-win_amd64.whl"
        for name in ("sqlalchemy-2.1.0", "psycopg_binary-3.3.0")
        for abi in ("cp311", "cp312", "cp313")
    }
    pure = {
        "nvidia_ml_py-13.0",
        "pip-26.0",
        "psycopg-3.3.0",
        "rpa_analytics-0.7.0",
        "typing_extensions-4.16.0",
        "tzdata-2026.6",
        "wrapped-1.0",
        "wrapped-2.0",
    }
    assert names == each | {f"{name}-py3-none-any.whl" for name in pure}
    assert {"install.ps1", "install.py", "agent.toml", "README.md", "installer/main.py"} <= set(found)
    assert "install.sh" not in found


def test_linux_has_its_units_and_no_wheel_of_windows(own: Path, constraints: Path, tmp_path: Path) -> None:
    archive = bundle(LINUX, own, constraints, tmp_path / "dist")
    assert archive.name == "rpa-agent-0.7.0-manylinux_x86_64.tar.gz"
    found = contents(archive)
    assert not any("tzdata" in name or "win_amd64" in name for name in found)
    assert {"install.sh", "rpa-agent.service", "rpa-agent-user.service"} <= set(found)
    with tarfile.open(archive) as packed:
        modes = {member.name.split("/", 1)[1]: member.mode for member in packed}
    assert modes["install.sh"] == modes["install.py"] == 0o755
    assert modes["agent.toml"] == 0o644


def test_it_says_which_wheels_belong_to_which_python(own: Path, constraints: Path, tmp_path: Path) -> None:
    said = json.loads(contents(bundle(LINUX, own, constraints, tmp_path / "dist"))["bundle.json"])
    assert said["version"] == "0.7.0"
    assert said["requirement"] == "rpa-analytics[gpu,postgres]==0.7.0"
    assert "wrapped-1.0-py3-none-any.whl" in said["wheels"]["3.11"]
    assert "wrapped-2.0-py3-none-any.whl" in said["wheels"]["3.12"]
    assert not any("typing_extensions" in name for name in said["wheels"]["3.13"])


def test_the_manifest_has_the_hash_of_every_file(own: Path, constraints: Path, tmp_path: Path) -> None:
    found = contents(bundle(WINDOWS, own, constraints, tmp_path / "dist"))
    manifest = found.pop("SHA256SUMS").decode()
    assert manifest == "".join(
        f"{hashlib.sha256(content).hexdigest()}  {name}\n" for name, content in sorted(found.items())
    )


@pytest.mark.parametrize("platform", [LINUX, WINDOWS], ids=lambda platform: platform.name)
def test_the_same_sources_make_the_same_bytes(
    platform: Platform, own: Path, constraints: Path, tmp_path: Path
) -> None:
    first, second = (bundle(platform, own, constraints, tmp_path / name) for name in ("one", "two"))
    assert first.read_bytes() == second.read_bytes()


def test_a_name_without_a_pin_is_not_guessed(own: Path, constraints: Path, tmp_path: Path) -> None:
    constraints.write_text(PINS.replace("tzdata==2026.6\n", ""))
    with pytest.raises(BundleError, match="pins no version of tzdata: run `make constraints`"):
        bundle(WINDOWS, own, constraints, tmp_path / "dist")


def test_a_wheel_that_cannot_be_had_is_named(
    own: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    said = "WARNING: a mirror of ours\nERROR: No matching distribution found for pip==26.0\n"
    failed = subprocess.CompletedProcess([], 1, "", said)
    monkeypatch.setattr(make_bundle, "build_own_wheel", lambda _folder: own)
    monkeypatch.setattr(wheels.subprocess, "run", lambda *_, **__: failed)
    assert main(["--out", str(tmp_path / "dist"), "--platform", "win_amd64"]) == 1
    complaint = capsys.readouterr().err
    assert "not every wheel for Python 3.11 on win_amd64 is to be had" in complaint
    assert "No matching distribution found for pip==26.0" in complaint
    assert "mirror" not in complaint
    assert not (tmp_path / "dist").exists()


def test_constraints_pin_all_that_the_real_bundle_needs() -> None:
    """So that a missing pin fails here, and not first where the wheels are fetched."""
    pins = wheels.read_pins(make_bundle.ROOT / "constraints.txt")
    environment = wheels._environment(WINDOWS, "3.11")
    for name in ("pip", "sqlalchemy", "psutil", "psycopg", "psycopg-binary", "nvidia-ml-py", "tzdata"):
        assert "==" in wheels._pinned(name, pins, environment)


def test_the_launcher_says_to_any_python_which_one_is_needed() -> None:
    source = (make_bundle.HERE / "install.py").read_text()
    assert source.isascii()  # Python 2 reads nothing else
    scope: dict[str, object] = {"__name__": "launcher"}
    exec(compile(source, "install.py", "exec"), scope)  # noqa: S102  # our own file, which is no module
    refusal = scope["refusal"]
    assert refusal((3, 12, 1), "python", True) is None
    said = refusal((3, 10, 13), "/usr/bin/python3", True)
    assert said.startswith(
        "rpa-agent: it needs Python 3.11, 3.12 or 3.13 for 64 bits; /usr/bin/python3 is Python 3.10.13."
    )
    assert "apt install python3.11" in said
    assert "Python 3.14.0." in refusal((3, 14, 0), "python", True)
    assert "Python 3.12.1 for 32 bits" in refusal((3, 12, 1), "python", False)


def test_a_checkout_is_no_bundle() -> None:
    command = [sys.executable, str(make_bundle.HERE / "install.py"), "--silent"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 4
    assert "`make agent-bundle`" in done.stdout


def test_the_shell_script_passes_over_pythons_that_are_too_old(tmp_path: Path) -> None:
    tools = tmp_path / "bin"
    tools.mkdir()
    for name, says in (("python3.13", "exit 1"), ("python3.12", f'exec {sys.executable} "$@"')):
        (tools / name).write_text(f"#!/bin/sh\n{says}\n")
        (tools / name).chmod(0o755)
    command = ["/bin/sh", str(make_bundle.HERE / "install.sh"), "--help"]
    done = subprocess.run(command, capture_output=True, text=True, env={"PATH": f"{tools}:/usr/bin:/bin"})
    assert done.returncode == 0, done.stderr
    assert "Exit codes: 0 installed" in done.stdout


def test_the_shell_script_without_any_python_says_so(tmp_path: Path) -> None:
    (tmp_path / "dirname").symlink_to("/usr/bin/dirname")
    command = ["/bin/sh", str(make_bundle.HERE / "install.sh")]
    done = subprocess.run(command, capture_output=True, text=True, env={"PATH": str(tmp_path)})
    assert done.returncode == 3
    assert "No Python was found" in done.stderr
