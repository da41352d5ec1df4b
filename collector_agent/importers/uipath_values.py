"""What the values in UiPath's log lines mean: ids, times, names of steps; in any language and version."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, tzinfo
from functools import lru_cache
from typing import Any, Final
from uuid import UUID, uuid5

from analytics_lib.records import ID_BYTES, NAME_BYTES
from analytics_lib.windows import MICROSECOND
from collector_agent.importers.uipath_lines import Event
from collector_agent.redaction import clean_id, clean_name, text_of
from collector_agent.redaction.policy import Redaction
from collector_agent.robot_results import NAMESPACE, STEP_DEPTH, FailureKinds

BUSINESS_PATTERN: Final = r"\bBusinessRuleException\b"  # UiPath's own class, in any language
TOTALS: Final = ("totalExecutionTimeInSeconds", "totalExecutionTime")
_NO_JOB: Final = ("", "0", "00000000-0000-0000-0000-000000000000")
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


def failure_kinds(
    business_exceptions: tuple[str, ...] = (), business_patterns: tuple[str, ...] = ()
) -> FailureKinds:
    """Which errors are business exceptions: UiPath's own class, and what is named. Raises SettingsError."""
    return FailureKinds((), business_exceptions, (BUSINESS_PATTERN, *business_patterns))


@dataclass(frozen=True, slots=True, kw_only=True)
class UiPathOptions:
    """How logs are understood.

    `zone`: of times without an offset, None for this machine's. `redaction`: what may be kept.
    """

    environment: str = ""
    zone: tzinfo | None = None
    kinds: FailureKinds = field(default_factory=failure_kinds)
    step_depth: int = STEP_DEPTH
    redaction: Redaction = field(default_factory=Redaction)


def moment_us(stamp: object, zone: tzinfo | None) -> int | None:
    """A time as robots write it, with up to seven digits of a second, in µs UTC; None for what is none.

    >>> moment_us("1970-01-01T01:00:00.0000015+01:00", None)
    1
    """
    try:
        moment = datetime.fromisoformat(stamp)  # type: ignore[arg-type]  # what is no text raises TypeError
        if moment.tzinfo is None:
            moment = moment.astimezone() if zone is None else moment.replace(tzinfo=zone)
        return (moment - _EPOCH) // MICROSECOND
    except (TypeError, ValueError, OverflowError, OSError):
        return None


def job_of(event: Event) -> tuple[str, bool]:
    """(what the lines of one job have in common, whether that is its id)."""
    given = event.get("jobId")
    job = job_id(given if type(given) is str else text_of(given))
    if job:
        return job, True
    whose = (event.get(name) for name in ("machineName", "windowsIdentity", "processName"))
    # As a hash: what is kept of open runs must not hold who was logged in.
    return _anonymous("\n".join(map(text_of, whose))), False


@lru_cache(maxsize=4096)
def job_id(text: str) -> str:
    """A jobId in one spelling, as Orchestrator's exports have it, too; '' for none.

    >>> job_id("{5F0C1A52-0000-4000-8000-0123456789AB}"), job_id("0")
    ('5f0c1a52-0000-4000-8000-0123456789ab', '')
    """
    job = clean_id(text, ID_BYTES)
    if job in _NO_JOB:
        return ""
    try:
        return str(UUID(job))
    except ValueError:
        return job


@lru_cache(maxsize=1024)
def _anonymous(whose: str) -> str:
    return f"no id: {uuid5(NAMESPACE, whose)}"


def made_id(*parts: str) -> str:
    """An id for what has none of its own, always the same for the same parts."""
    return str(uuid5(NAMESPACE, "\n".join(("uipath", *parts))))


def name_of(value: object, limit_bytes: int = ID_BYTES) -> str:
    """A name on one line that fits its column."""
    return _name_of(value if type(value) is str else text_of(value), limit_bytes)


def key_of(value: object) -> str:
    """A key on one line that fits its column, and stays another than any other."""
    return _key_of(value if type(value) is str else text_of(value))


@lru_cache(maxsize=4096)
def _key_of(text: str) -> str:
    return clean_id(text, ID_BYTES)


@lru_cache(maxsize=4096)
def _name_of(text: str, limit_bytes: int) -> str:
    return clean_name(text, limit_bytes)


def workflow_of(event: Event) -> str:
    """The process. Old robots name it in the message alone; where that is not English, the file must do."""
    process = text_of(event.get("processName"))
    if not process:
        message = text_of(event.get("message"))
        for ending in (" execution started", " execution ended"):
            if message.endswith(ending):
                process = message.removesuffix(ending)
    return name_of(process or event.get("fileName"), NAME_BYTES) or "unknown"


def step_of(file_name: Any, info: Mapping[str, Any]) -> tuple[str, str, str]:
    """(step_id, step_name, step_type) of an activity in a file."""
    name, activity = info.get("DisplayName"), info.get("Activity")
    if type(file_name) is str and type(name) is str and type(activity) is str:
        return step_identity(file_name, name, activity)
    return step_identity(text_of(file_name), text_of(name), text_of(activity))


@lru_cache(maxsize=8192)
def step_identity(file_name: str, name: str, activity: str) -> tuple[str, str, str]:
    """See `step_of`.

    >>> step_identity("Main", "Read invoice", "UiPath.Excel.Activities.ReadRange")
    ('Main.Read invoice', 'Read invoice', 'ReadRange')
    """
    kind = clean_name(activity.partition("`")[0].rpartition(".")[2], 100)
    own = name or kind or "activity without a name"
    step_id = f"{file_name}.{own}" if file_name else own
    return clean_name(step_id, NAME_BYTES), clean_name(own, NAME_BYTES), kind


def total_us(event: Event) -> int | None:
    """How long a run took by the robot's own count; None where the line does not say."""
    return next((us for us in (seconds_us(event.get(name)) for name in TOTALS) if us is not None), None)


def seconds_us(value: Any) -> int | None:
    """µs of seconds as a number, as text, or as [days.]hours:minutes:seconds; None for anything else.

    >>> seconds_us(12), seconds_us("1.00:00:02.5"), seconds_us("soon")
    (12000000, 86402500000, None)
    """
    try:
        if isinstance(value, (int, float)):
            seconds = float(value)
        else:
            hours, *rest = text_of(value).split(":")
            days, dot, within = hours.partition(".") if rest else ("", "", hours)
            seconds = float(within if dot or not rest else hours)
            for part in rest:
                seconds = seconds * 60 + float(part)
            seconds += float(days) * 86_400 if dot else 0.0
    except (ValueError, OverflowError):
        return None
    return round(seconds * 1e6) if 0 <= seconds < 1e9 else None
