"""Each measurement in a process of its own: its seconds, its CPU and its peak memory are nobody else's.

python -m scale.children WORK '{"argument": …}'    (started by `run`)
"""

import json
import os
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

Answer = dict[str, Any]


def run(work: str, python: str = sys.executable, **arguments: Any) -> Answer:
    """What the work answers, with rss_mib. `work` names module and function: 'contestants.ours'."""
    done = subprocess.run(
        [python, "-m", "scale.children", work, json.dumps(arguments)],
        cwd=Path(__file__).parents[1],
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2]), "PYTHONWARNINGS": "ignore"},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f"{work} failed:\n{done.stderr[-3000:]}")
    answer: Answer = json.loads(done.stdout.splitlines()[-1])
    return answer


def medians(rounds: int, contestants: Mapping[str, Callable[[], Answer]]) -> dict[str, Answer]:
    """Of each contestant the answer whose numbers are the medians; they take turns."""
    answers: dict[str, list[Answer]] = {name: [] for name in contestants}
    for _ in range(rounds):
        for name, contestant in contestants.items():
            answers[name].append(contestant())
    return {name: _median(of_one) for name, of_one in answers.items()}


def _median(answers: Sequence[Answer]) -> Answer:
    return {
        key: statistics.median(answer[key] for answer in answers)
        if isinstance(value, (int, float))
        else value
        for key, value in answers[0].items()
    }


class Clock:
    """Seconds and CPU seconds since it was made, when the imports are done."""

    def __init__(self) -> None:
        self._began, self._began_cpu = time.perf_counter(), time.process_time()

    def answer(self, **more: Any) -> Answer:
        took = time.perf_counter() - self._began
        return {"seconds": took, "cpu": time.process_time() - self._began_cpu, **more}


def _peak_mib() -> float:
    """Of this program alone: getrusage's peak is at least that of the process that started it."""
    try:
        status = Path("/proc/self/status").read_text()
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return int(next(line.split()[1] for line in status.splitlines() if line.startswith("VmHWM"))) / 1024


def main() -> None:
    import importlib

    module, function = sys.argv[1].split(".")
    work = getattr(importlib.import_module(f"scale.{module}"), function)
    answer = work(**json.loads(sys.argv[2]))
    answer["rss_mib"] = _peak_mib()
    print(json.dumps(answer))


if __name__ == "__main__":
    main()
