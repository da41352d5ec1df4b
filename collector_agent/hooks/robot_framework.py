r"""Recording Robot Framework: `robot --listener collector_agent.hooks.robot_framework.Listener tasks.robot`.

Every task becomes an execution and its keywords become steps (`collector_agent.robot_run` says how).
Settings come from `load_settings()`, so the listener needs no arguments; where some are given, in the
semicolon form: `…Listener;config=C:\rpa\agent.toml;environment=production`. Never a password.

Needs Robot Framework 7; before it, listeners of this API are not told of keywords, and only executions
are recorded. Runs with --dryrun are none and are not recorded.
"""

from collections.abc import Callable
from datetime import datetime
from functools import wraps
from pathlib import Path
from typing import Any, Final

from analytics_lib.errors import SettingsError
from collector_agent.hooks.robot_facts import attempt, is_dry_run, pabot_attributes
from collector_agent.hooks.robot_recording import Recording, keep_out_of_the_robots_log, note_problem
from collector_agent.redaction import clean_message
from collector_agent.robot_records import LocalTimes
from collector_agent.robot_results import elapsed_us, parse_time
from collector_agent.robot_run import RobotRun
from collector_agent.settings import AgentSettings, has_password, load_settings

_KEYWORD_TYPES: Final = frozenset({"KEYWORD", "SETUP", "TEARDOWN"})
_ADVICE: Final = "import the run's output file afterwards: rpa-agent import robot-output FILE"


def _never_raises(method: Callable[..., None]) -> Callable[..., None]:
    @wraps(method)
    def call(self: "Listener", *arguments: Any) -> None:
        try:
            method(self, *arguments)
        except Exception as error:  # noqa: BLE001  # whatever goes wrong here, the robot goes on
            self._note_error(error)

    return call


class Listener:
    """What Robot Framework talks to. Where it cannot start, the robot runs as if it were not there.

    It says nothing on the robot's own output: what went wrong is in the state folder, where `rpa-agent
    check` and `rpa-agent status` find it.
    """

    ROBOT_LISTENER_API_VERSION = 3
    ROBOT_LISTENER_PRIORITY = -1_000_000  # told last: another listener may change a result before

    def __init__(self, *arguments: str, **named: str) -> None:
        self._recording: Recording | None = None
        self._run: RobotRun | None = None  # of the recording
        self._settings: AgentSettings | None = None
        self._problem = ""  # the first error of our own
        self._flattened = 0  # how deep we are inside of a keyword that hides what is in it
        self._local_us = LocalTimes().us
        keep_out_of_the_robots_log()
        try:
            self._settings = _settings_from(arguments, named)
        except Exception as error:  # noqa: BLE001  # a robot does not fail because its listener is misconfigured
            note_problem(f"this run is not recorded: {clean_message(error)}")

    @_never_raises
    def start_suite(self, data: Any, result: Any) -> None:
        if self._recording is None:
            settings, self._settings = self._settings, None
            if settings is None or is_dry_run():
                return
            try:
                self._recording = Recording(settings, attempt=attempt(), attributes=pabot_attributes())
            except Exception as error:  # noqa: BLE001  # as in __init__
                note_problem(f"this run is not recorded: {clean_message(error)}")
                return
            self._run = self._recording.run
        if self._run is None:
            return
        has_teardown = getattr(data, "has_teardown", None)
        if has_teardown is None:  # Robot Framework before 4.1
            has_teardown = bool(data.teardown)
        self._run.start_suite(
            result.name, has_teardown=has_teardown, version=self._recording.version_in(result.metadata)
        )

    @_never_raises
    def end_suite(self, data: Any, result: Any) -> None:
        if self._run is not None:
            self._run.end_suite()

    @_never_raises
    def start_test(self, data: Any, result: Any) -> None:
        if self._recording is not None:
            self._flattened = 0
            # Again, because a suite setup may set it.
            version = self._recording.version_in(getattr(result.parent, "metadata", {}))
            self._recording.run.start_task(result.name, _started(result), version=version)

    @_never_raises
    def end_test(self, data: Any, result: Any) -> None:
        if self._recording is not None:
            self._recording.run.end_task(
                result.status, result.message, _started(result), _elapsed_us(result), list(result.tags)
            )
            self._recording.leave_task()

    # The next two are called for every keyword: no call in them that can be spared.

    def start_body_item(self, data: Any, result: Any) -> None:
        run = self._run
        if run is None:
            return
        try:
            if self._flattened:
                self._flattened += 1
                return
            step_type = result.type
            if step_type not in _KEYWORD_TYPES:
                run.start_step(step_type)
                return
            # With embedded arguments the name contains values, the name in the source does not.
            if run.start_step(step_type, result.owner, result.source_name or result.name):
                run.take_arguments(result.args)
            if (tags := result.tags) and tags.robot("flatten"):
                self._flattened = 1  # the output file does not have what is in it either
        except Exception as error:  # noqa: BLE001  # whatever goes wrong here, the robot goes on
            self._note_error(error)

    def end_body_item(self, data: Any, result: Any) -> None:
        run = self._run
        if run is None:
            return
        try:
            if self._flattened:
                self._flattened -= 1
                if self._flattened:
                    return
            started, took = result.start_time, result.elapsed_time
            run.end_step(
                result.status,
                result.message,
                None if started is None else self._local_us(started),
                took.seconds * 1_000_000 + took.microseconds if not took.days else elapsed_us(took),
            )
        except Exception as error:  # noqa: BLE001  # as above
            self._note_error(error)

    @_never_raises
    def close(self) -> None:
        recording, self._recording, self._run, self._settings = self._recording, None, None, None
        if recording is not None:
            recording.close(self._problem)

    def _note_error(self, error: Exception) -> None:
        if not self._problem:
            self._problem = (
                "part of a run is not recorded, because of an error of the listener "
                f"({type(error).__name__}: {clean_message(error)}); {_ADVICE}"
            )
            note_problem(self._problem)


def _settings_from(arguments: tuple[str, ...], named: dict[str, str]) -> AgentSettings:
    if arguments:
        raise SettingsError(
            f"argument {clean_message(arguments[0])[:100]!r} of the listener has no name: "
            "write Listener;config=FILE;environment=NAME"
        )
    for name, value in named.items():
        if has_password(str(value)):
            raise SettingsError(
                f"argument {name!r} of the listener holds a password, and everybody on this machine can read "
                "a command line: put it into the settings file or into RPA_AGENT_STORE"
            )
    config = named.pop("config", "")
    return load_settings(Path(config) if config else None, **named)


def _started(result: Any) -> datetime | None:
    """When it started, in the precision that the output file has (text before Robot Framework 6.1)."""
    started = getattr(result, "start_time", None)
    return started if isinstance(started, datetime) else parse_time(result.starttime)


def _elapsed_us(result: Any) -> int:
    elapsed = getattr(result, "elapsed_time", None)
    return int(result.elapsedtime) * 1000 if elapsed is None else elapsed_us(elapsed)
