"""output.json (Robot Framework 7.2 and newer, or rebot's) as what started and ended; read whole."""

import json
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, BinaryIO, Final

from analytics_lib.errors import ImportFileError
from collector_agent.robot_results import parse_time
from collector_agent.robot_run import RobotRun

_PIECE_TASKS: Final = 20  # told between two looks at what is ready


def feed_json(file: BinaryIO, run: RobotRun) -> Iterator[None]:
    """Tells the run what the file says. Raises ImportFileError where it is no such file."""
    try:
        data = json.load(file)
    except UnicodeDecodeError:
        raise ImportFileError("is not UTF-8: pass Robot Framework's output.json as it was written") from None
    except json.JSONDecodeError as error:
        raise ImportFileError(
            f"is no complete JSON ({error.msg}, line {error.lineno}, column {error.colno}); JSON is taken "
            "whole or not at all: let the robot finish writing it, or copy it again"
        ) from None
    except RecursionError:
        raise ImportFileError("is nested too deeply to be read") from None
    suite = data.get("suite", data) if isinstance(data, dict) else None
    if not isinstance(suite, dict) or not ("tests" in suite or "suites" in suite):
        raise ImportFileError("is JSON, but no result of Robot Framework: pass output.json or output.xml")
    run.written_by(str(data.get("generator", "")))
    del data
    try:
        yield from _suite(suite, run, "s1")
    except (AttributeError, TypeError, KeyError) as error:
        raise ImportFileError(
            f"is not laid out as Robot Framework writes it ({type(error).__name__}: {error})"
        ) from None


def _suite(suite: Mapping[str, Any], run: RobotRun, suite_id: str) -> Iterator[None]:
    run.start_suite(suite.get("name", ""), has_teardown="teardown" in suite)
    _step(suite.get("setup"), run, "SETUP")
    for number, child in enumerate(suite.get("suites", ()), 1):
        yield from _suite(child, run, child.get("id") or f"{suite_id}-s{number}")
    for number, task in enumerate(suite.get("tests", ()), 1):
        _task(task, run, task.get("id") or f"{suite_id}-t{number}")
        if number % _PIECE_TASKS == 0:
            yield
    _step(suite.get("teardown"), run, "TEARDOWN")
    run.end_suite()
    yield


def _task(task: Mapping[str, Any], run: RobotRun, task_id: str) -> None:
    started, elapsed = _times(task)
    run.start_task(task_id, task.get("name", ""))
    _step(task.get("setup"), run, "SETUP")
    _steps(task.get("body", ()), run)
    _step(task.get("teardown"), run, "TEARDOWN")
    status, message = task.get("status", "NOT SET"), task.get("message", "")
    run.end_task(status, message, started, elapsed, task.get("tags", ()))


def _steps(body: Sequence[Mapping[str, Any]], run: RobotRun) -> None:
    for item in body:
        step_type = item.get("type") or "KEYWORD"
        if step_type != "MESSAGE":
            _step(item, run, step_type)


def _step(step: Mapping[str, Any] | None, run: RobotRun, step_type: str) -> None:
    if not step:
        return
    run.start_step(step_type, step.get("owner"), step.get("source_name") or step.get("name"))
    _step(step.get("setup"), run, "SETUP")
    _steps(step.get("body", ()), run)
    _step(step.get("teardown"), run, "TEARDOWN")
    run.end_step(step.get("status", "NOT SET"), step.get("message", ""), *_times(step))


def _times(item: Mapping[str, Any]) -> tuple[datetime | None, int]:
    try:
        elapsed = round(float(item.get("elapsed_time") or 0) * 1e6)
        return parse_time(item.get("start_time")), max(0, elapsed)
    except (ValueError, OverflowError):
        return None, 0  # counted as one without a start time
