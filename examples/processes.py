"""Child processes that end together, with whatever they forked."""

import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

import psutil

from analytics_lib.errors import RpaAnalyticsError

MARK: Final = "RPA_LIVING_SYSTEM"  # every process of the system has it in its environment
GRACE_S: Final = 15.0
LAST_CHANCE_S: Final = 3.0


class ProcessError(RpaAnalyticsError):
    """A program that has to run ended; the message names its log."""


class Processes:
    """Programs that run until `stop()`, each with a log file of its own.

    They are found again by a mark in the environment, which forks inherit: Airflow moves its tasks into
    process groups of their own, so a group would not name them all.
    """

    def __init__(self, mark: str, logs: Path, environment: dict[str, str]) -> None:
        self._mark = mark
        self._logs = logs
        # Airflow renames its processes; without SPT_NOENV the new name would overwrite the environment.
        self._environment = environment | {MARK: mark, "SPT_NOENV": "1"}
        self._lasting: dict[str, subprocess.Popen[bytes]] = {}
        self._passing: list[subprocess.Popen[bytes]] = []

    def start(self, name: str, command: Sequence[str]) -> None:
        """Starts a program that is to run until the end."""
        self._lasting[name] = self._popen(name, command)

    def begin(self, name: str, command: Sequence[str]) -> "subprocess.Popen[bytes]":
        """Starts a program that ends by itself."""
        self._passing = [process for process in self._passing if process.poll() is None]
        self._passing.append(process := self._popen(name, command))
        return process

    def log(self, name: str) -> Path:
        return self._logs / f"{name}.log"

    def check(self) -> None:
        """Raises ProcessError where a program that is to run until the end is not there any more."""
        for name, process in self._lasting.items():
            if (code := process.poll()) is not None:
                raise ProcessError(f"{name} ended by itself ({_how(code)}): see {self.log(name)}")

    def stop(self, grace_s: float = GRACE_S) -> int:
        """Ends all of them; gives how many had to be killed."""
        for process in (*self._lasting.values(), *self._passing):
            if process.poll() is None:
                process.terminate()  # each ends its own children in an orderly way …
        psutil.wait_procs(marked(self._mark), timeout=grace_s)
        return end(marked(self._mark))  # … and what is left then, is ended

    def _popen(self, name: str, command: Sequence[str]) -> "subprocess.Popen[bytes]":
        self._logs.mkdir(parents=True, exist_ok=True)
        with self.log(name).open("ab") as log:
            return subprocess.Popen(
                [sys.executable, *command],
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # the terminal's Ctrl-C is ours to handle
            )


def marked(mark: str) -> list[psutil.Process]:
    """The processes of this user that belong to the system with this mark."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.environ().get(MARK) == mark and process.pid != os.getpid():
                found.append(process)
        except (psutil.Error, OSError):
            continue  # somebody else's, or gone
    return found


def end(processes: Sequence[psutil.Process]) -> int:
    """Terminates them, and kills what is still there after some seconds; gives how many were killed."""
    for process in processes:
        _signal(process, signal.SIGTERM)
    _, alive = psutil.wait_procs(processes, timeout=LAST_CHANCE_S)
    for process in alive:
        _signal(process, signal.SIGKILL)
    psutil.wait_procs(alive, timeout=LAST_CHANCE_S)
    return len(alive)


def _signal(process: psutil.Process, number: signal.Signals) -> None:
    with suppress(psutil.NoSuchProcess):
        process.send_signal(number)


def _how(code: int) -> str:
    return f"killed by signal {-code}" if code < 0 else f"exit code {code}"
