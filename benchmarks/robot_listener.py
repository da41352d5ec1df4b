"""What the listener costs a robot: CPU time inside its callbacks, and the same robot with and without it.

    python benchmarks/robot_listener.py [--keywords 20000] [--runs 3]

The robot is a loop over a keyword that does nothing, the worst case there is: every iteration is two
steps (the iteration and the keyword). `empty` is a listener whose methods do nothing: what Robot
Framework itself takes for having one. `durable`: each step is in the spool before the robot goes on, and
its own process takes it to the store; `with a daemon`: somebody else does.

In the callbacks: CPU time of the robot's thread from the beginning of a keyword's start and end to their
return, both together, without what it takes to measure that; the middle of the runs. A busy machine makes
it more (caches, a shared core), so the runs take turns and `empty` stands beside it.
"""

import argparse
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROBOT = """\
*** Tasks ***
Loop
    FOR    ${{i}}    IN RANGE    {iterations}
        No Operation
    END
"""
LISTENERS = """\
import json
import os
from time import thread_time_ns as clock

from collector_agent.hooks.robot_framework import Listener


class Empty:
    ROBOT_LISTENER_API_VERSION = 3

    def start_body_item(self, data, result):
        pass

    def end_body_item(self, data, result):
        pass

    def close(self):
        pass


def measured(base):
    start, end, close = base.start_body_item, base.end_body_item, base.close

    class Measured(base):
        inside_ns = steps = 0

        def start_body_item(self, data, result):
            before = clock()
            start(self, data, result)
            self.inside_ns += clock() - before

        def end_body_item(self, data, result):
            before = clock()
            end(self, data, result)
            self.inside_ns += clock() - before
            self.steps += 1

        def close(self):
            if self.steps:
                own_ns = 0
                for _ in range(2 * self.steps):
                    before = clock()
                    nothing(self, None, None)
                    own_ns += clock() - before
                with open(os.environ["MEASURED"], "w") as file:
                    json.dump((self.inside_ns - own_ns) / self.steps / 1e3, file)
            close(self)

    return Measured


def nothing(self, data, result):
    pass


class MeasuredEmpty(measured(Empty)):
    pass


class MeasuredOurs(measured(Listener)):
    pass
"""
OURS = "collector_agent.hooks.robot_framework.Listener"
DAEMON = """\
import time
from collector_agent.machine.daemon_lock import DaemonLock

with DaemonLock():
    time.sleep(600)
"""


def environment(folder: Path, mode: str) -> dict[str, str]:
    return os.environ | {
        "RPA_AGENT_STORE": tempfile.mkdtemp(dir=folder),
        "RPA_AGENT_STATE": str(folder / "state"),
        "RPA_AGENT_SPOOL_FOLDER": tempfile.mkdtemp(dir=folder),
        "RPA_AGENT_SAMPLE_RESOURCES": "false",
        "RPA_AGENT_RECORDING_MODE": mode,
        "MEASURED": str(folder / "measured.json"),
    }


def run_robot(folder: Path, mode: str, *options: str) -> None:
    quiet = ["--console", "none", "--log", "NONE", "--report", "NONE", "--pythonpath", str(folder)]
    command = [
        sys.executable,
        "-m",
        "robot",
        *quiet,
        "-d",
        str(folder),
        *options,
        str(folder / "robot.robot"),
    ]
    subprocess.run(command, env=environment(folder, mode), check=True)


def seconds_of(folder: Path, mode: str, *options: str) -> tuple[float, float]:
    """(of the robot's task, of the whole process: with loading, and at the end delivering the rest)."""
    started = time.perf_counter()
    run_robot(folder, mode, *options)
    whole_s = time.perf_counter() - started
    # The last but one is the task's, the last the suite's.
    elapsed = re.findall(r'<status status="PASS" .* elapsed="([\d.]+)"', (folder / "output.xml").read_text())
    return float(elapsed[-2]), whole_s


def inside_us(folder: Path, mode: str, listener: str) -> float:
    """CPU microseconds inside the callbacks of a keyword."""
    run_robot(folder, mode, "--listener", f"listeners.{listener}")
    return float(json.loads((folder / "measured.json").read_text()))


def inside_us_with_a_daemon(folder: Path) -> float:
    """The same where the spool is another process's to ship."""
    daemon = subprocess.Popen([sys.executable, "-c", DAEMON], env=environment(folder, "durable"))
    try:
        time.sleep(1)
        return inside_us(folder, "durable", "MeasuredOurs")
    finally:
        daemon.kill()
        daemon.wait()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--keywords", type=int, default=20_000)
    parser.add_argument("--runs", type=int, default=3)
    arguments = parser.parse_args()
    steps = arguments.keywords
    ways = {
        "no listener": ("memory",),
        "empty": ("memory", "--listener", "listeners.Empty"),
        "in memory": ("memory", "--listener", OURS),
        "durable": ("durable", "--listener", OURS),
    }
    runs: dict[str, list[tuple[float, float]]] = {way: [] for way in ways}
    inside: dict[str, list[float]] = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "listeners.py").write_text(LISTENERS)
        (folder / "robot.robot").write_text(ROBOT.format(iterations=steps // 2))
        for _ in range(arguments.runs):  # in turns, so that a busy machine is busy for all of them
            for way, options in ways.items():
                runs[way].append(seconds_of(folder, *options))
            inside.setdefault("empty", []).append(inside_us(folder, "memory", "MeasuredEmpty"))
            inside.setdefault("in memory", []).append(inside_us(folder, "memory", "MeasuredOurs"))
            inside.setdefault("durable", []).append(inside_us(folder, "durable", "MeasuredOurs"))
            inside.setdefault("with a daemon", []).append(inside_us_with_a_daemon(folder))
    print("CPU time in the callbacks of a keyword, start and end together:")
    for way, found in inside.items():
        runs_us = ", ".join(f"{value:.1f}" for value in sorted(found))
        print(f"{way:>14}: {statistics.median(found):6.1f} us (runs: {runs_us})")
    print("\nThe whole robot, at its quickest:")
    plain_s = min(task_s for task_s, _ in runs["no listener"])
    for way, measured in runs.items():
        task_s, whole_s = (min(column) for column in zip(*measured, strict=True))
        more_us = (task_s - plain_s) / steps * 1e6
        print(
            f"{way:>14}: the task {task_s:6.2f} s, {task_s / steps * 1e6:6.1f} us a step "
            f"(+{more_us:.1f} us); the whole process {whole_s:6.2f} s"
        )


if __name__ == "__main__":
    main()
