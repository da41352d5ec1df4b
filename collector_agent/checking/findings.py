"""What `rpa-agent check` looks at: each part of the agent, whether it works, and what to do where not."""

import importlib
import os
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final, Literal

from analytics_lib.errors import RpaAnalyticsError
from collector_agent.checking.spool_check import too_little_room, unwritable
from collector_agent.daemon.status_page import clock_text, is_off
from collector_agent.machine.daemon_lock import daemon_is_running, daemon_pid
from collector_agent.machine.identity import known_identity
from collector_agent.machine.locations import (
    CONFIG_VARIABLE,
    STATE_VARIABLE,
    default_settings_file,
    state_folder,
)
from collector_agent.machine.problems import read_problems
from collector_agent.probes.gpu import find_gpus, open_nvml
from collector_agent.redaction import clean_message
from collector_agent.settings import SETTINGS, VARIABLE_PREFIX, AgentSettings, unknown_variables

LISTENER: Final = "collector_agent.hooks.robot_framework.Listener"
OPTIONS_VARIABLE: Final = "ROBOT_OPTIONS"
SPOOL_VARIABLE: Final = f"{VARIABLE_PREFIX}SPOOL_FOLDER"
STEPS_SINCE: Final = 7  # the version of Robot Framework that tells listeners of keywords
_GOES: Final = "(goes when that part works again, or with its file in the state folder)"

State = Literal["ok", "absent", "attention"]


@dataclass(frozen=True, slots=True)
class Finding:
    """One part that was looked at. 'absent': it is not there and need not be. `details`: for machines."""

    subject: str
    state: State
    text: str  # further lines: what belongs to the first
    details: Mapping[str, Any] = field(default_factory=dict)


def findings(settings: AgentSettings, file: Path | None, named: Path | None = None) -> Iterator[Finding]:
    """Every part of the agent, one after the other. `file`: where the settings came from; `named`: the
    file of the command line, which a robot does not know of."""
    yield _settings(settings, file)
    if unknown := unknown_variables():
        yield Finding("variables", "attention", "\n".join(unknown))
    yield from _store(settings.store)
    yield _daemon()
    yield _agent()
    yield _state_folder()
    yield _spool(settings)
    yield _gpus()
    yield _robot_framework(file if named else None)
    yield from _problems()


def _settings(settings: AgentSettings, file: Path | None) -> Finding:
    """Where they come from, and what is set; the store is a finding of its own."""
    variables = [s.variable for s in SETTINGS if s.variable and os.environ.get(s.variable)]
    default = default_settings_file()
    origin = str(file) if file else f"no settings file (one would be read from {default})"
    if variables:
        origin += f", {', '.join(variables)}"
    defaults = AgentSettings(store="")
    differing = {
        f.name: getattr(settings, f.name)
        for f in fields(AgentSettings)
        if f.name != "store" and getattr(settings, f.name) != getattr(defaults, f.name)
    }
    lines = [f"{name} = {_shown(value)}" for name, value in differing.items()]
    details = {"file": str(file) if file else None, "default_file": str(default), "variables": variables}
    return Finding("settings", "ok", "\n".join([origin, *lines]), details | {"differing": differing})


def _shown(value: object) -> str:
    return ", ".join(map(str, value)) if isinstance(value, tuple) else str(value)


def _store(location: str) -> Iterator[Finding]:
    from collector_agent.checking.store_check import look_at_store  # here, because it loads SQLAlchemy

    try:
        looked = look_at_store(location)
    except RpaAnalyticsError as error:
        yield Finding("store", "attention", str(error), {"location": None, "schema_version": None})
        return
    yield Finding(
        "store",
        "attention" if looked.waits else "ok",
        looked.text,
        {"location": looked.location, "schema_version": looked.schema_version},
    )
    offset_ms = looked.clock_offset_ms
    if offset_ms is not None:
        text = f"is {clock_text(offset_ms)}"
        if is_off(offset_ms):
            text += ": let this machine set its clock by the network (NTP)"
        state: State = "attention" if is_off(offset_ms) else "ok"
        yield Finding("clock", state, text, {"clock_offset_ms": offset_ms})


def _daemon() -> Finding:
    if not daemon_is_running():
        text = "does not run: robots sample their machine themselves; start it by `rpa-agent run`"
        return Finding("daemon", "absent", text, {"runs": False, "pid": None})
    pid = daemon_pid()
    text = f"runs (process {pid}) and samples this machine" if pid else "runs and samples this machine"
    return Finding("daemon", "ok", text, {"runs": True, "pid": pid})


def _agent() -> Finding:
    """Who the daemon is in its heartbeats."""
    try:
        identity = known_identity()
    except (OSError, ValueError) as error:
        text = f"its id cannot be read ({clean_message(error)}): the daemon gets a new one when it starts"
        return Finding("agent", "attention", text, {"agent_id": None})
    if identity is None:
        return Finding("agent", "absent", "gets its id when the daemon first starts", {"agent_id": None})
    copied = f"copied from the machine of {identity.cloned_from}" if identity.cloned_from else ""
    text = "\n".join(filter(None, (identity.agent_id, copied, identity.note)))
    return Finding("agent", "ok", text, {"agent_id": identity.agent_id, "cloned_from": identity.cloned_from})


def _state_folder() -> Finding:
    folder = state_folder()
    details = {"folder": str(folder)}
    if reason := unwritable(folder, STATE_VARIABLE):
        return Finding("state folder", "attention", reason, details)
    return Finding("state folder", "ok", f"{folder}{_yet(folder)}", details)


def _spool(settings: AgentSettings) -> Finding:
    folder = settings.spool
    details = {"folder": str(folder), "is_durable": settings.is_durable}
    problems = [
        problem for problem in (unwritable(folder, SPOOL_VARIABLE), too_little_room(settings)) if problem
    ]
    if problems:
        return Finding("spool", "attention", "\n".join(problems), details)
    use = (
        "robots record into it"
        if settings.is_durable
        else "robots record in memory; the daemon keeps its samples in it"
    )
    return Finding("spool", "ok", f"{folder}{_yet(folder)}; {use}", details)


def _yet(folder: Path) -> str:
    return "" if folder.exists() else " (is made when it is needed)"


def _gpus() -> Finding:
    nvml, why = open_nvml()
    if nvml is None:
        return Finding("GPUs", "absent", f"are not sampled: {why}", {"targets": []})
    gpus = find_gpus(nvml)
    if not gpus:
        return Finding("GPUs", "absent", "NVML answers, and knows of none", {"targets": []})
    silent = []
    for target, gpu in gpus.items():
        try:
            gpu.read()
        except Exception as error:  # noqa: BLE001  # NVML's errors have no base that every version shares
            silent.append(f"{target} does not answer: {clean_message(error)}")
    targets = list(gpus)
    text = "\n".join([f"{', '.join(targets)} of this machine", *silent])
    return Finding("GPUs", "attention" if silent else "ok", text, {"targets": targets})


def _robot_framework(file: Path | None) -> Finding:
    """`file`: the settings file that a robot has to be told of."""
    options = f"--listener {LISTENER}"
    is_set = LISTENER in os.environ.get(OPTIONS_VARIABLE, "")
    try:
        version = str(importlib.import_module("robot").__version__)
    except ImportError:
        details = {"version": None, "robot_options": options, "is_set": is_set}
        return Finding("Robot Framework", "absent", f"is not installed for {sys.executable}", details)
    except Exception as error:  # noqa: BLE001  # a broken installation
        text = f"cannot be imported by {sys.executable}: {type(error).__name__}: {clean_message(error)}"
        return Finding("Robot Framework", "attention", text, {"version": None})
    details = {"version": version, "robot_options": options, "is_set": is_set}
    lines = [f"{version}; {'every robot records' if is_set else 'to record every robot unchanged, set'}"]
    lines.append(_assignment(OPTIONS_VARIABLE, options) + (" (is set here)" if is_set else ""))
    if file and os.environ.get(CONFIG_VARIABLE) != str(file):
        lines.append(_assignment(CONFIG_VARIABLE, str(file)))
    if int(version.partition(".")[0]) < STEPS_SINCE:
        lines.append(
            f"records no steps: they need Robot Framework {STEPS_SINCE}; import the output files instead"
        )
        return Finding("Robot Framework", "attention", "\n".join(lines), details)
    return Finding("Robot Framework", "ok", "\n".join(lines), details)


def _assignment(variable: str, value: str) -> str:
    return f"set {variable}={value}" if os.name == "nt" else f'export {variable}="{value}"'


def _problems() -> Iterator[Finding]:
    """What parts of the agent left behind because nobody was there to be told."""
    try:
        found = read_problems()
    except OSError as error:
        yield Finding("problems", "attention", f"cannot be read from {state_folder()}: {error.strerror}")
        return
    now = datetime.now(UTC)
    for problem in found:
        details = {"component": problem.component, "reported_at": problem.reported_at.isoformat()}
        text = f"{_age(now - problem.reported_at)}: {' '.join(problem.text.split())}\n{_GOES}"
        yield Finding(problem.component, "attention", text, details)
    if not found:
        yield Finding("problems", "ok", "none was left by a robot or the daemon")


def _age(elapsed: timedelta) -> str:
    """
    >>> _age(timedelta(minutes=90)), _age(timedelta(seconds=5)), _age(timedelta(days=3, hours=5))
    ('1 h ago', 'just now', '3 days ago')
    """
    minutes = int(elapsed.total_seconds() // 60)
    if minutes < 1:
        return "just now"
    if minutes < 60:
        return f"{minutes} min ago"
    return f"{minutes // 60} h ago" if minutes < 48 * 60 else f"{minutes // (24 * 60)} days ago"
