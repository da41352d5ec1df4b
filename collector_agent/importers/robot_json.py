"""output.json (Robot Framework 7.2 and newer, or rebot's) as what started and ended; read whole.

It cannot be read as a stream: Robot Framework writes a suite's name behind the tasks that are in it.
"""

import json
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from functools import partial
from typing import Any, BinaryIO, Final

from analytics_lib.errors import ImportFileError
from collector_agent.importers.robot_foreign import shown_keys
from collector_agent.importers.robot_times import RobotTimes
from collector_agent.importers.robot_versions import normal_name
from collector_agent.robot_results import parse_time
from collector_agent.robot_run import RobotRun

_PIECE_TASKS: Final = 20  # told between two looks at what is ready
_Item = Mapping[str, Any]


def feed_json(
    file: BinaryIO, run: RobotRun, times: RobotTimes, version_metadata: str = ""
) -> Iterator[float]:
    """Tells the run what the file says, a piece at a time, and gives the share that is told.

    `version_metadata`: the name of the suites' metadata that says their release. Raises ImportFileError
    where it is no such file.
    """
    data = _loaded(file)
    suite = data.get("suite", data) if isinstance(data, dict) else None
    if not isinstance(suite, dict) or not ("tests" in suite or "suites" in suite):
        keys = shown_keys(map(str, data)) if isinstance(data, dict) else ""
        raise ImportFileError(
            f"is JSON, but no result of Robot Framework{keys}: pass output.json or output.xml"
        )
    run.written_by(str(data.get("generator", "")))
    del data
    try:
        total = max(1, _tasks_in(suite))
        for told in _Teller(run, times, normal_name(version_metadata)).suite(suite):
            yield told / total
    except (AttributeError, TypeError, KeyError) as error:
        raise ImportFileError(
            f"is not laid out as Robot Framework writes it ({type(error).__name__}: {error})"
        ) from None


def _loaded(file: BinaryIO) -> Any:
    try:
        return json.load(file)
    except UnicodeDecodeError as error:
        raise ImportFileError(
            f"is not UTF-8 (byte {error.start:,}): pass Robot Framework's output.json as it was written"
        ) from None
    except json.JSONDecodeError as error:
        raise ImportFileError(
            f"is no complete JSON ({error.msg}, line {error.lineno:,}, column {error.colno:,}); JSON is "
            "taken whole or not at all: let the robot finish writing it, or copy it again"
        ) from None
    except MemoryError:
        raise ImportFileError("is too large to be read as JSON: write XML, which is a stream") from None
    except RecursionError:
        raise ImportFileError("is nested too deeply to be read") from None


def _tasks_in(suite: _Item) -> int:
    total, waiting = 0, [suite]
    while waiting:
        suite = waiting.pop()
        total += len(suite.get("tests", ()))
        waiting += suite.get("suites", ())
    return total


class _Teller:
    """Tells the run. Steps nest deeply, so they wait in a list of our own and not in Python's calls."""

    def __init__(self, run: RobotRun, times: RobotTimes, version_name: str) -> None:
        self._run = run
        self._times = times
        self._version_name = version_name
        self._tasks = 0

    def suite(self, suite: _Item) -> Iterator[int]:
        """Gives how many tasks are told, now and then. Suites nest as folders do."""
        run = self._run
        run.start_suite(
            suite.get("name", ""), has_teardown="teardown" in suite, version=self._version_in(suite)
        )
        self._step(suite.get("setup"), "SETUP")
        for child in suite.get("suites", ()):
            yield from self.suite(child)
        for task in suite.get("tests", ()):
            self._task(task)
            self._tasks += 1
            if self._tasks % _PIECE_TASKS == 0:
                yield self._tasks
        self._step(suite.get("teardown"), "TEARDOWN")
        run.end_suite()
        yield self._tasks

    def _version_in(self, suite: _Item) -> str:
        for name, value in suite.get("metadata", {}).items() if self._version_name else ():
            if normal_name(name) == self._version_name:
                return str(value)
        return ""

    def _task(self, task: _Item) -> None:
        self._run.start_task(task.get("name", ""))
        self._step(task.get("setup"), "SETUP")
        for step in task.get("body", ()):
            self._step(step, "KEYWORD")
        self._step(task.get("teardown"), "TEARDOWN")
        started_us, took_us = self._times_of(task)
        started = None if started_us is None else _started(task)
        status, message = task.get("status", "NOT SET"), task.get("message", "")
        self._run.end_task(status, message, started, took_us, task.get("tags", ()))

    def _step(self, step: _Item | None, step_type: str) -> None:
        """Tells a step with all that is in it."""
        if not step:
            return
        waiting: list[Callable[[], None]] = []

        def tell(step: _Item, step_type: str) -> None:
            step_type = step.get("type") or step_type
            if step_type == "MESSAGE":
                return
            name = step.get("source_name") or step.get("name")
            if self._run.start_step(step_type, step.get("owner"), name):
                self._run.take_arguments(step.get("args", ()))
            waiting.append(partial(self._end, step))
            if teardown := step.get("teardown"):
                waiting.append(partial(tell, teardown, "TEARDOWN"))
            waiting.extend(partial(tell, inner, "KEYWORD") for inner in reversed(step.get("body", ())))
            if setup := step.get("setup"):
                waiting.append(partial(tell, setup, "SETUP"))

        tell(step, step_type)
        while waiting:
            waiting.pop()()

    def _end(self, step: _Item) -> None:
        status, message = step.get("status", "NOT SET"), step.get("message", "")
        self._run.end_step(status, message, *self._times_of(step))

    def _times_of(self, item: _Item) -> tuple[int | None, int]:
        try:
            took_us = round(float(item.get("elapsed_time") or 0) * 1e6)
            return self._times.us(item.get("start_time")), max(0, took_us)
        except (ValueError, OverflowError):
            return None, 0  # counted as one without a start time


def _started(task: _Item) -> datetime | None:
    """As written: what a task's id is made of."""
    try:
        return parse_time(task.get("start_time"))
    except ValueError:
        return None
