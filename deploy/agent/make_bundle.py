"""`make agent-bundle`: one archive per platform from which robots without internet install the agent.

Each holds the wheels for every Python that we support, the installer, a settings file to fill in and the
SHA-256 of every file. Versions come from constraints.txt alone, the same bytes from the same sources
(file order, times and owners are fixed). Only the build needs the package index.
"""

import argparse
import gzip
import hashlib
import io
import json
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from packaging.utils import parse_wheel_filename

from deploy.agent.wheels import (
    EXTRAS,
    BundleError,
    Download,
    Platform,
    collect_wheels,
    download_by_pip,
    read_pins,
)

HERE: Final = Path(__file__).parent
ROOT: Final = HERE.parents[1]
SAME_IN_ALL: Final = ("README.md", "agent.toml", "install.py", "windows.md")
_EPOCH: Final = (1980, 1, 1, 0, 0, 0)  # the first moment that a zip can name
_EPOCH_SEC: Final = 315_532_800  # the same for a tar

WINDOWS: Final = Platform(
    "win_amd64",
    ("win_amd64",),
    {"sys_platform": "win32", "platform_system": "Windows", "os_name": "nt", "platform_machine": "AMD64"},
    ".zip",
    ("install.ps1", "rpa-agent-task.xml", "rpa-agent-task-user.xml"),
)
LINUX: Final = Platform(
    "manylinux_x86_64",
    ("manylinux_2_28_x86_64", "manylinux_2_17_x86_64", "manylinux2014_x86_64", "manylinux_2_12_x86_64"),
    {"sys_platform": "linux", "platform_system": "Linux", "os_name": "posix", "platform_machine": "x86_64"},
    ".tar.gz",
    ("install.sh", "rpa-agent.service", "rpa-agent-user.service"),
)
PLATFORMS: Final = {platform.name: platform for platform in (WINDOWS, LINUX)}


def build_own_wheel(folder: Path) -> Path:
    """This project's wheel."""
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    if done.returncode != 0:
        raise BundleError(f"this project's wheel cannot be built:\n{done.stderr.strip()}")
    [wheel] = folder.glob("rpa_analytics-*.whl")
    return wheel


def make_bundle(
    platform: Platform, own: Path, out: Path, constraints: Path, download: Download = download_by_pip
) -> Path:
    """The archive in `out`. Raises BundleError where a wheel cannot be had."""
    version = str(parse_wheel_filename(own.name)[1])
    top = f"rpa-agent-{version}-{platform.name}"
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary) / top
        (folder / "wheels").mkdir(parents=True)
        wheels = collect_wheels(own, platform, read_pins(constraints), folder / "wheels", download)
        for name in (*SAME_IN_ALL, *platform.files):
            shutil.copy(HERE / name, folder / name)
        (folder / "installer").mkdir()
        for module in (HERE / "installer").glob("*.py"):
            shutil.copy(module, folder / "installer" / module.name)
        _describe(folder, version, platform, wheels)
        _write_manifest(folder)
        out.mkdir(parents=True, exist_ok=True)
        archive = out / f"{top}{platform.archive}"
        pack = _zip if platform.archive == ".zip" else _tar
        archive.write_bytes(pack(folder))
        return archive


def _describe(folder: Path, version: str, platform: Platform, wheels: Mapping[str, Sequence[str]]) -> None:
    description = {
        "format": 1,
        "version": version,
        "platform": platform.name,
        "requirement": f"rpa-analytics[{','.join(EXTRAS)}]=={version}",
        "wheels": wheels,
    }
    (folder / "bundle.json").write_text(
        json.dumps(description, indent=1) + "\n", encoding="utf-8", newline="\n"
    )


def _write_manifest(folder: Path) -> None:
    """In the format of sha256sum, which can check it, too."""
    lines = [
        f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.relative_to(folder).as_posix()}\n"
        for path in _files(folder)
    ]
    (folder / "SHA256SUMS").write_text("".join(lines), encoding="utf-8", newline="\n")


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


def _mode(path: Path) -> int:
    return 0o755 if path.suffix in (".sh", ".ps1") or path.name == "install.py" else 0o644


def _zip(folder: Path) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for path in _files(folder):
            entry = zipfile.ZipInfo(path.relative_to(folder.parent).as_posix(), _EPOCH)
            # Wheels are compressed already.
            entry.compress_type = zipfile.ZIP_STORED if path.suffix == ".whl" else zipfile.ZIP_DEFLATED
            entry.create_system = 3  # whoever builds: the bytes are the same
            entry.external_attr = (0o100000 | _mode(path)) << 16
            archive.writestr(entry, path.read_bytes())
    return packed.getvalue()


def _tar(folder: Path) -> bytes:
    packed = io.BytesIO()
    with (
        gzip.GzipFile(filename="", mode="wb", fileobj=packed, mtime=0, compresslevel=6) as compressed,
        tarfile.open(fileobj=compressed, mode="w", format=tarfile.PAX_FORMAT) as archive,
    ):
        for path in _files(folder):
            entry = tarfile.TarInfo(path.relative_to(folder.parent).as_posix())
            entry.size, entry.mode, entry.mtime = path.stat().st_size, _mode(path), _EPOCH_SEC
            entry.uname = entry.gname = "root"
            with path.open("rb") as content:
                archive.addfile(entry, content)
    return packed.getvalue()


def main(argv: Sequence[str] | None = None) -> int:
    """Makes the bundles; gives the exit code."""
    parser = argparse.ArgumentParser(prog="make agent-bundle", description=__doc__.splitlines()[0])
    parser.add_argument(
        "--platform", action="append", choices=sorted(PLATFORMS), help="only for this one (default: all)"
    )
    parser.add_argument("--out", type=Path, default=ROOT / "dist", metavar="FOLDER", help="default: dist/")
    arguments = parser.parse_args(argv)
    try:
        with tempfile.TemporaryDirectory() as temporary:
            own = build_own_wheel(Path(temporary))
            for name in arguments.platform or PLATFORMS:
                archive = make_bundle(PLATFORMS[name], own, arguments.out, ROOT / "constraints.txt")
                content = archive.read_bytes()
                digest = hashlib.sha256(content).hexdigest()
                print(f"{archive} ({len(content) / 1e6:.1f} MB)\n  SHA-256 {digest}", flush=True)
    except BundleError as error:
        print(f"make agent-bundle: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
