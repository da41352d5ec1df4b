"""Virtual environments of the agent, one per bundle, side by side until the new one is known to work."""

import contextlib
import json
import os
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from .bundle import Bundle, python_version
from .errors import NotInstalledError
from .programs import call, last_lines

MARKER: Final = "rpa-agent-installed.json"  # in a virtual environment: the installer made it
_PREFIX: Final = "venv-"
# Runs pip out of its wheel, the way that ensurepip does.
_PIP: Final = (
    "import runpy, sys; sys.path.insert(0, sys.argv.pop(1)); "
    "runpy.run_module('pip', run_name='__main__', alter_sys=True)"
)


@dataclass(frozen=True, slots=True)
class Venv:
    """A virtual environment with the agent in it."""

    folder: Path

    @property
    def python(self) -> Path:
        return self.folder / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python")

    @property
    def command(self) -> list[str]:
        """Starts the agent, whatever the folder and the variables of whoever calls it."""
        return [str(self.python), "-I", "-m", "collector_agent.cli"]


def venv_for(bundle: Bundle, prefix: Path) -> Venv:
    """Where that bundle's environment lies; another Python needs another one."""
    python = python_version().replace(".", "")
    return Venv(prefix / f"{_PREFIX}{bundle.version}-py{python}-{bundle.digest[:8]}")


def is_usable(venv: Venv) -> bool:
    """Whether the installer finished it, and the Python that it was made with is still there."""
    return _marker(venv.folder).get("complete") is True and call([venv.python, "-I", "-c", ""])[0] == 0


def build(bundle: Bundle, venv: Venv) -> None:
    """The environment with the agent, from the bundle's wheels. Raises NotInstalledError, leaves nothing."""
    remove(venv)  # what an interrupted installation left
    venv.folder.mkdir(parents=True)
    _mark(venv, bundle, complete=False)
    try:
        _called([sys.executable, "-I", "-m", "venv", "--without-pip", venv.folder], "making its environment")
        pip = bundle.wheel_of("pip", python_version())
        options = ["--isolated", "--disable-pip-version-check", "--no-input", "--no-cache-dir", "--quiet"]
        source = ["--no-index", "--find-links", bundle.wheel_folder, "--only-binary", ":all:"]
        _called(
            [venv.python, "-I", "-c", _PIP, pip, "install", *options, *source, bundle.requirement],
            "installing its wheels",
        )
        if sys.platform != "win32":
            # The unit starts it without docstrings, as an account that cannot keep what it compiles here.
            # A file that does not compile is none that it runs: the proof afterwards would fail.
            call([venv.python, "-I", "-OO", "-m", "compileall", "-q", venv.folder / "lib"])
    except BaseException:
        remove(venv)
        raise
    _mark(venv, bundle, complete=True)


def remove(venv: Venv) -> bool:
    """Removes an environment that the installer made; says whether it is gone."""
    if not venv.folder.is_dir():
        return True
    if _marker(venv.folder):
        # The marker goes last: what a file in use keeps on Windows stays known as ours for the next time.
        for path in [path for path in venv.folder.iterdir() if path.name != MARKER]:
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path, ignore_errors=True)
            else:
                _unlink(path)
        if [path.name for path in venv.folder.iterdir()] == [MARKER]:
            _unlink(venv.folder / MARKER)
    try:
        venv.folder.rmdir()
    except OSError:
        return False
    return True


def others(prefix: Path, current: Venv) -> list[Venv]:
    """The environments of earlier bundles."""
    found = sorted(prefix.glob(f"{_PREFIX}*")) if prefix.is_dir() else []
    return [Venv(folder) for folder in found if folder != current.folder and _marker(folder)]


def _called(command: list[Any], what: str) -> None:
    # No setting of pip or Python of whoever installs may lead it elsewhere.
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PIP_", "PYTHON"))}
    code, said, complaint = call(command, environment={**kept, "PIP_CONFIG_FILE": os.devnull})
    if code == 0:
        return
    if "No module named venv" in complaint:
        complaint += "\nDebian, Ubuntu: apt install python3-venv"
    raise NotInstalledError(f"{what} failed:\n{last_lines(complaint or said)}")


def _unlink(path: Path) -> None:
    with contextlib.suppress(OSError):
        path.unlink()


def _marker(folder: Path) -> dict[str, Any]:
    try:
        found = json.loads((folder / MARKER).read_bytes())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _mark(venv: Venv, bundle: Bundle, *, complete: bool) -> None:
    text = json.dumps(
        {"format": 1, "version": bundle.version, "bundle": bundle.digest, "complete": complete}, indent=1
    )
    new = venv.folder / f"{MARKER}.new"
    new.write_text(text, encoding="utf-8")
    os.replace(new, venv.folder / MARKER)
