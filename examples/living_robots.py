"""The example robots at work: each run a process of its own, again and again."""

import shutil
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from demo import EXAMPLES, LISTENER, ROBOT_ERROR
from processes import Processes

FOLDERS_KEPT: Final = 20

Say = Callable[[str], None]


class Every:
    """Something to do at an interval; late rather than twice, when there was no time."""

    def __init__(self, seconds: float, action: Callable[[], None]) -> None:
        self._seconds, self._action = seconds, action
        self._due_s = time.monotonic()

    def tick(self) -> None:
        if time.monotonic() >= self._due_s:
            self._due_s = time.monotonic() + self._seconds
            self._action()


class Robots:
    """Starts robots, and says what became of them; the results of the last runs are kept."""

    def __init__(self, processes: Processes, output: Path, say: Say) -> None:
        self._processes = processes
        self._folder = output / "robots"
        self._store = output / "store"
        self._say = say
        self._invoices: dict[int, subprocess.Popen[bytes]] = {}
        self._loop: subprocess.Popen[bytes] | None = None

    def run_invoices(self) -> None:
        """The robots of invoices/: in run 2, 5, 8 … the server that they work with breaks down."""
        folders = sorted(self._folder.glob("run-*"), key=_number)
        for old in folders[: 1 - FOLDERS_KEPT]:
            shutil.rmtree(old, ignore_errors=True)
        run = _number(folders[-1]) + 1 if folders else 1
        folder = self._folder / f"run-{run}"
        folder.mkdir(parents=True)
        command = ["-m", "robot", "--rpa", "--listener", LISTENER, "--variable", f"RUN:{run}"]
        command += ["--outputdir", str(folder), str(EXAMPLES / "invoices")]
        self._invoices[run] = self._processes.begin("invoices", command)

    def run_loop(self) -> None:
        command = [str(EXAMPLES / "execution_loop.py"), "--store", str(self._store)]
        self._loop = self._processes.begin("execution-loop", command)

    def look(self) -> None:
        """Says what those did that ended since the last look."""
        for run, process in list(self._invoices.items()):
            if (code := process.poll()) is not None:
                del self._invoices[run]
                failed = f"{code} failed, as planned" if code else "all completed"
                could_run = 0 <= code < ROBOT_ERROR
                self._said(f"invoices, run {run}", failed if could_run else "", code, "invoices")
        if self._loop and (code := self._loop.poll()) is not None:
            self._loop = None
            self._said("execution loop", "" if code else "done", code, "execution-loop")

    def _said(self, name: str, result: str, code: int, log: str) -> None:
        problem = f"could not run (exit code {code}): see {self._processes.log(log)}"
        self._say(f"{name}: {result or problem}")


def _number(folder: Path) -> int:
    text = folder.name.removeprefix("run-")
    return int(text) if text.isdigit() else 0
