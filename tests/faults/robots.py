"""Starts, kills and waits for the processes of `robot_program`, and looks at what they have left."""

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from analytics_lib.store import TimeSeriesStore
from collector_agent.forwarder import Forwarder
from tests.faults import numbered_rows
from tests.faults.invariant import Verdict, judge
from tests.faults.robot_program import EXIT_CODE
from tests.faults.tally import BEGUN, DROPPED, PENDING, RETURNED, Tally

__all__ = ["EXIT_CODE", "Place", "Process", "Robots", "drain", "verdict_on"]

DRAIN_TIME_OUT_SEC = 300.0


@dataclass(frozen=True, slots=True)
class Place:
    """Where the processes of a test meet: tallies, state and output in `folder`, the spool, the store."""

    folder: Path
    spool: Path
    store: str

    @classmethod
    def within(cls, folder: Path) -> Self:
        return cls(folder, folder / "spool", str(folder / "store"))

    def apart(self, name: str) -> "Place":
        """A place with the same store, and the rest for itself."""
        (self.folder / name).mkdir()
        return Place(self.folder / name, self.folder / name / "spool", self.store)


@dataclass(slots=True)
class Process:
    """A robot or a daemon that runs, or ran."""

    pid: int
    name: str
    tally: Tally
    stdout: Path
    stderr: Path
    _robots: "Robots"
    exit_code: int | None = None

    def kill(self) -> int:
        return self._end_by(signal.SIGKILL)

    def terminate(self) -> int:
        """Asks it to end, and waits until it has."""
        return self._end_by(signal.SIGTERM)

    def _end_by(self, number: signal.Signals) -> int:
        assert self.exit_code is None, "its id may be another process's by now"
        os.kill(self.pid, number)
        return self.wait()

    def wait(self) -> int:
        """Its exit code; -9 when it was killed."""
        if self.exit_code is None:
            self.exit_code = self._robots.ask({"wait": self.pid})
        return self.exit_code

    @property
    def returned(self) -> int:
        return self.tally[RETURNED]


class Robots:
    """The program that forks them. `start(what, place, name, …)`: see its requests."""

    def __init__(self) -> None:
        self._asked = 0
        self._program = subprocess.Popen(
            [sys.executable, "-m", "tests.faults.robot_program"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=Path(__file__).parents[2],
            env={name: value for name, value in os.environ.items() if not name.startswith("RPA_")},
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._program.communicate(timeout=60)  # the end of its input ends it

    def ask(self, request: dict[str, Any]) -> int:
        assert self._program.stdin
        assert self._program.stdout
        self._asked += 1  # so that no answer is taken for that to another question
        self._program.stdin.write(json.dumps(request | {"number": self._asked}) + "\n")
        self._program.stdin.flush()
        number, answer = json.loads(self._program.stdout.readline())
        assert number == self._asked
        return int(answer)

    def start(
        self, do: str, place: Place, name: str, *, moments: bool = False, rows: int = 10**9, **request: Any
    ) -> Process:
        tally = Tally(place.folder / f"{name}.tally", rows if moments else 0)
        stdout, stderr = (place.folder / f"{name}.{stream}" for stream in ("out", "err"))
        request |= {"do": do, "name": name, "rows": rows, "tally": str(tally.path)}
        request |= {"stdout": str(stdout), "stderr": str(stderr)}
        request |= {"store": place.store, "spool": str(place.spool)}
        request["environment"] = {"RPA_AGENT_STATE": str(place.folder / "state")} | request.get(
            "environment", {}
        )
        return Process(self.ask(request), name, tally, stdout, stderr, self)


def verdict_on(robots: list[Process], found: list[numbered_rows.Row], dropped: int = 0) -> Verdict:
    """What became of the rows of these robots; what they say that they dropped may be missing.

    `dropped`: what was dropped later, by a spool that was full.
    """
    accepted = (row for robot in robots for row in numbered_rows.rows(robot.name, robot.tally[RETURNED]))
    in_flight = (
        row
        for robot in robots
        for row in numbered_rows.rows(robot.name, robot.tally[BEGUN], robot.tally[RETURNED])
    )
    assert all(robot.tally[PENDING] >= 0 for robot in robots), "more is counted than was recorded"
    gave_up = sum(robot.tally[DROPPED] + robot.tally[PENDING] for robot in robots)
    return judge(accepted, found, in_flight=in_flight, dropped=dropped + gave_up)


def drain(place: Place, store: TimeSeriesStore) -> None:
    """A fresh forwarder ships what the spool holds, until nothing is left of it but a quarantine.

    Raises TimeoutError where that does not end: no fault may leave something behind for ever.
    """
    forwarder = Forwarder(place.spool, store.write_values)
    give_up_s = time.monotonic() + DRAIN_TIME_OUT_SEC
    while left := what_is_left(place.spool):
        if time.monotonic() > give_up_s:
            raise TimeoutError(f"not shipped: {left}; {forwarder.state}")
        for name in left:
            if "/" not in name:  # the lock of a set that was not there yet, or no more: it is given a while
                os.utime(place.spool / name, (0, 0))
        forwarder.run_once()


def what_is_left(spool: Path) -> list[str]:
    """Files of a spool that are no quarantine."""
    found = sorted(path.relative_to(spool).as_posix() for path in spool.rglob("*") if not path.is_dir())
    return [name for name in found if not name.startswith("quarantine/")]
