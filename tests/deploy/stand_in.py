"""A stand-in for the agent that the installer installs in tests: a wheel, and a bundle around it.

It is an agent in all that the installer asks: it says its version, checks itself, runs until it is told to
stop. What it says of itself is baked in, so that a version can be broken in the way that a test wants. It
is a shell's script, because the installer starts it a dozen times.
"""

import hashlib
import json
import shutil
import sys
import zipfile
from pathlib import Path

from deploy.agent import make_bundle
from deploy.agent.make_bundle import LINUX
from tests.deploy.wheel_maker import make_wheel

PYTHON = f"{sys.version_info[0]}.{sys.version_info[1]}"
# In the place of an environment's Python: it is asked for the agent's commands, and whether a daemon runs.
AGENT = """\
#!/bin/sh
[ "$2 $3" = "-c " ] && exit 0
[ "$2" = -c ] && { [ -e "$RPA_AGENT_STATE/runs" ]; exit; }
case "$4" in
  --version) echo "rpa-agent {version}" ;;
  check)
    [ {store} = breaks ] && { echo "Traceback: the check broke" >&2; exit 1; }
    unknown=$(grep -oE '^[a-z_]+ =' "$7" | grep -vE '^({known}) =')
    [ -n "$unknown" ] && { echo "rpa-agent: unknown setting $unknown" >&2; exit 2; }
    echo '{"findings": [{"subject": "store", "state": "{store}", "text": "the store of {version}"}]}'
    [ {store} = ok ] ;;
  run) [ {runs} = False ] || printf {version} > "$RPA_AGENT_STATE/runs" ;;
esac
"""
SYSTEMCTL = """\
#!/bin/sh
echo "$*" >> "{log}"
case "$*" in
  *"show-environment"*) ;;
  *restart*|*"start "*) RPA_AGENT_STATE="{state}" "{command}" run ;;
  *stop*) rm -f "{state}/runs" ;;
esac
"""


def agent_wheel(
    folder: Path,
    version: str,
    *,
    store: str = "ok",
    runs: bool = True,
    known: str = "store|spool_folder|environment|robot_id|queue",
) -> Path:
    """An agent. `store`: the state that its check gives the store, or 'breaks'; `runs`: that it starts."""
    agent = AGENT
    for name, value in (("version", version), ("store", store), ("runs", runs), ("known", known)):
        agent = agent.replace(f"{{{name}}}", str(value))
    files = {"collector_agent/__init__.py": "", "collector_agent/agent.sh": agent}
    files["collector_agent/cli.py"] = f"print('rpa-agent {version}')\n"
    return make_wheel(folder, "rpa-analytics", version, files=files, extras=["gpu", "postgres"])


def bundle_of(folder: Path, wheel: Path, *more: Path) -> Path:
    """An unpacked bundle with that agent and these wheels."""
    version = wheel.name.split("-")[1]
    top = folder / f"bundle-{version}"
    (top / "wheels").mkdir(parents=True)
    for name in (*make_bundle.SAME_IN_ALL, *LINUX.files):
        shutil.copy(make_bundle.HERE / name, top / name)
    shutil.copytree(
        make_bundle.HERE / "installer", top / "installer", ignore=shutil.ignore_patterns("__pycache__")
    )
    for path in (wheel, *more):
        shutil.copy(path, top / "wheels")
    names = sorted(path.name for path in (top / "wheels").iterdir())
    make_bundle._describe(top, version, LINUX, {PYTHON: names})
    make_bundle._write_manifest(top)
    return top


def environment_by_hand(bundle: Path, folder: Path) -> None:
    """A virtual environment with the bundle's agent, at once: what venv and pip would make in seconds."""
    [wheel] = (bundle / "wheels").glob("rpa_analytics-*.whl")
    (folder / "bin").mkdir(parents=True)
    with zipfile.ZipFile(wheel) as archive:
        (folder / "bin" / "python").write_bytes(archive.read("collector_agent/agent.sh"))
    (folder / "bin" / "python").chmod(0o755)


def tampered(bundle: Path, name: str) -> None:
    """Changes a file, and the manifest with it, so that it is another bundle of the same version."""
    file = bundle / name
    file.write_text(file.read_text() + "\n")
    lines = (bundle / "SHA256SUMS").read_text().splitlines()
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    changed = [f"{digest}  {name}" if line.endswith(f"  {name}") else line for line in lines]
    (bundle / "SHA256SUMS").write_text("\n".join(changed) + "\n")


def record(prefix: Path) -> dict[str, object]:
    """What the installer recorded."""
    found: dict[str, object] = json.loads((prefix / "installed.json").read_text())
    return found
