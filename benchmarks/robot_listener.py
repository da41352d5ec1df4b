"""What the listener costs a robot: the same robot with and without it, per keyword.

    python benchmarks/robot_listener.py [--keywords 20000] [--runs 3]

The robot is a loop over a keyword that does nothing, the worst case there is: every iteration is two
steps (the iteration and the keyword). `empty` is a listener whose methods do nothing: what Robot
Framework itself takes for having one. `durable`: each step is in the spool before the robot goes on, and
its own process takes it to the store.
"""

import argparse
import os
import re
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
EMPTY = """\
class Empty:
    ROBOT_LISTENER_API_VERSION = 3

    def start_body_item(self, data, result):
        pass

    def end_body_item(self, data, result):
        pass
"""
OURS = "collector_agent.hooks.robot_framework.Listener"


def seconds_of(folder: Path, mode: str, *options: str) -> tuple[float, float]:
    """(of the robot's task, of the whole process: with loading, and at the end delivering the rest)."""
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
    settings = {
        "RPA_AGENT_STORE": tempfile.mkdtemp(dir=folder),
        "RPA_AGENT_STATE": str(folder / "state"),
        "RPA_AGENT_SAMPLE_RESOURCES": "false",
        "RPA_AGENT_RECORDING_MODE": mode,
    }
    started = time.perf_counter()
    subprocess.run(command, env=os.environ | settings, check=True)
    whole_s = time.perf_counter() - started
    # The last but one is the task's, the last the suite's.
    elapsed = re.findall(r'<status status="PASS" .* elapsed="([\d.]+)"', (folder / "output.xml").read_text())
    return float(elapsed[-2]), whole_s


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--keywords", type=int, default=20_000)
    parser.add_argument("--runs", type=int, default=3)
    arguments = parser.parse_args()
    steps = arguments.keywords
    ways = {
        "no listener": ("memory",),
        "empty": ("memory", "--listener", "empty.Empty"),
        "in memory": ("memory", "--listener", OURS),
        "durable": ("durable", "--listener", OURS),
    }
    runs: dict[str, list[tuple[float, float]]] = {way: [] for way in ways}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "empty.py").write_text(EMPTY)
        (folder / "robot.robot").write_text(ROBOT.format(iterations=steps // 2))
        for _ in range(arguments.runs):  # in turns, so that a busy machine is busy for all of them
            for way, options in ways.items():
                runs[way].append(seconds_of(folder, *options))
    plain_s = min(task_s for task_s, _ in runs["no listener"])
    for way, measured in runs.items():
        task_s, whole_s = (min(column) for column in zip(*measured, strict=True))
        more_us = (task_s - plain_s) / steps * 1e6
        print(
            f"{way:>12}: the task {task_s:6.2f} s, {task_s / steps * 1e6:6.1f} us a step "
            f"(+{more_us:.1f} us); the whole process {whole_s:6.2f} s"
        )


if __name__ == "__main__":
    main()
