"""What Robot Framework's results mean here: ids, statuses, kinds of failure, names of steps, times.

The listener (while a robot runs) and the importer (from its output file) both stand on this and on
`robot_run`, so that recording a run and importing it afterwards gives the same rows. Live values
therefore take the form in which Robot Framework writes them: without the characters that XML cannot
hold, times to the microsecond (before version 7: to the millisecond), local and without a zone.
"""

import re
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta, tzinfo
from functools import lru_cache
from typing import Final
from uuid import UUID, uuid5
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from analytics_lib.errors import SettingsError
from analytics_lib.records import NAME_BYTES
from collector_agent.redaction import KEPT_CHARACTERS, clean_name

NAMESPACE: Final = UUID("b5e8a3f0-5c52-5d0e-9a55-6d1c0f6f2c11")  # of our ids; must never change
RECORDER: Final = "robot-framework"

BUSINESS_TAGS: Final = ("business-exception",)
BUSINESS_EXCEPTIONS: Final = ("BusinessException",)
STEP_DEPTH: Final = 20
VERSION_METADATA: Final = "Version"

STATUS: Final = {
    "PASS": "completed",
    "FAIL": "failed",
    "SKIP": "skipped",
    "NOT RUN": "skipped",
    "NOT SET": "skipped",  # a result that Robot Framework never decided
}

# Containers that only hold branches: their branches stand in their place.
TRANSPARENT: Final = frozenset({"IF/ELSE ROOT", "TRY/EXCEPT ROOT"})
_KEYWORD_SUFFIX: Final = {
    "KEYWORD": "",
    "SETUP": " (setup)",
    "TEARDOWN": " (teardown)",
    "SUITE SETUP": " (suite setup)",
    "SUITE TEARDOWN": " (suite teardown)",
}
_NOT_IN_XML: Final = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff]")
_SEVERAL: Final = re.compile(r"(?:(?:Parent suite )?[Ss]etup failed:\n)?Several failures occurred:\n\n1\) ")
_NUMBERED: Final = re.compile(r"\n\n\d+\) ")
_KEPT_CHARACTERS: Final = 2 * KEPT_CHARACTERS  # more than anybody looks at; megabytes would wait in memory


def as_written(text: str | None) -> str:
    """The text as it stands in an output file: what XML cannot hold is left out.

    >>> as_written("a\\x1b[31mb")
    'a[31mb'
    """
    if not text:
        return ""
    return text if text.isprintable() else _NOT_IN_XML.sub("", text)


def message_as_written(text: str) -> str:
    """The same of a message, which may be of any length: no more of it than will be looked at."""
    return as_written(text)[:_KEPT_CHARACTERS]


def parse_time(text: str | None) -> datetime | None:
    """A time as any version writes it; None where none was written.

    >>> parse_time("20210212 17:27:03.062"), parse_time("2025-03-13T00:21:34.742556")
    (datetime.datetime(2021, 2, 12, 17, 27, 3, 62000), datetime.datetime(2025, 3, 13, 0, 21, 34, 742556))
    >>> parse_time("N/A")
    """
    if not text or text == "N/A":
        return None
    return datetime.fromisoformat(text)


def elapsed_us(elapsed: timedelta) -> int:
    """Whole microseconds; 0 where the clock was set back meanwhile."""
    if elapsed.days < 0:
        return 0
    return elapsed.days * 86_400_000_000 + elapsed.seconds * 1_000_000 + elapsed.microseconds


def time_zone(name: str) -> tzinfo | None:
    """The zone of an IANA name; None, this machine's own, for ''. Raises SettingsError."""
    if not name:
        return None
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise SettingsError(
            f"time zone {name!r} is not known: use an IANA name such as Europe/Berlin "
            "(on Windows they come with: pip install tzdata)"
        ) from None


def in_utc(moment: datetime, zone: tzinfo | None) -> datetime:
    """A time as written, in UTC; one without an offset is of this zone, or of this machine's."""
    if zone is not None and moment.tzinfo is None:
        moment = moment.replace(tzinfo=zone)
    return moment.astimezone(UTC)


def execution_id(longname: str, started: datetime, nth: int = 1) -> str:
    """The id of one run of one task: uuid5 of its full name and when it started, as written.

    Not of the id that Robot Framework gives it, which is its place among the tasks that were selected: in
    a part of the suite (pabot, --rerunfailed) it is another one than in the output that was merged from
    the parts. `nth`: of tasks with one name and one start, which old files with their milliseconds may have.
    """
    parts = [longname, started.isoformat(" ", timespec="microseconds")]
    if nth > 1:
        parts.append(str(nth))
    return str(uuid5(NAMESPACE, "\n".join(parts)))


def recorder_id(execution: str) -> str:
    """Who numbers the steps of an execution: the same for the listener and for the importer."""
    return str(uuid5(UUID(execution), RECORDER))


@lru_cache(maxsize=4096)
def step_identity(step_type: str, owner: str | None, name: str | None) -> tuple[str, str]:
    """(step_id, step_name) of a keyword or control structure.

    step_id: the keyword's full name, with its role where it is a setup or a teardown; for a control
    structure its type alone. Arguments, conditions, values and assigned variables are no part of it:
    they change from run to run, and they are not ours to store.

    >>> step_identity("KEYWORD", "RPA.Browser", "Open")
    ('RPA.Browser.Open', 'Open')
    >>> step_identity("TEARDOWN", "", "Close All")
    ('Close All (teardown)', 'Close All')
    >>> step_identity("ELSE IF", None, "$total > 100")
    ('ELSE IF', 'ELSE IF')
    """
    suffix = _KEYWORD_SUFFIX.get(step_type)
    if suffix is None:
        word = clean_name(step_type, 100) or "UNKNOWN"
        return word, word
    own = as_written(name) or "keyword without a name"
    full = f"{as_written(owner)}.{own}" if owner else own
    return clean_name(f"{full}{suffix}", NAME_BYTES), clean_name(own, NAME_BYTES)


class FailureKinds:
    """Which failures are business exceptions (the data was wrong); all others are application ones.

    A task's failure is one when the task has one of the tags (compared as Robot Framework does), when
    its message begins with the name of one of the classes (Robot Framework writes "Class: text"), or
    when one of the regular expressions finds something in it. Where several failures are listed, each
    must be one: a broken automation beside wrong data is still broken. Raises SettingsError for a bad
    regular expression.
    """

    def __init__(
        self,
        business_tags: Iterable[str] = BUSINESS_TAGS,
        business_exceptions: Iterable[str] = BUSINESS_EXCEPTIONS,
        business_patterns: Iterable[str] = (),
    ) -> None:
        self._tags = {normal(tag) for tag in business_tags}
        self._patterns: list[re.Pattern[str]] = []
        if classes := "|".join(re.escape(name) for name in business_exceptions):
            # Robot Framework puts such a line before a failure that happened in a setup or teardown, and
            # such a sentence before one that `Wait Until Keyword Succeeds` gave up on.
            prefix = (
                r"(?:(?:Parent suite )?(?:[Ss]etup|[Tt]eardown) failed:\n"
                r"|Keyword '[^\n]*?' failed after retrying [^\n]*?\. The last error was: )*"
            )
            self._patterns.append(re.compile(rf"\A{prefix}(?:{classes})(?![\w.])"))
        for pattern in business_patterns:
            try:
                self._patterns.append(re.compile(pattern))
            except re.error as error:
                raise SettingsError(
                    f"business_patterns: {pattern!r} is no regular expression ({error}); correct it"
                ) from None

    def of_task(self, status: str, message: str, tags: Sequence[str]) -> str:
        """exception_kind of a task: '' unless it failed."""
        if status == "failed" and any(normal(tag) in self._tags for tag in tags):
            return "business"
        return self.of_step(status, message)

    def of_step(self, status: str, message: str) -> str:
        """exception_kind of a step: a tag belongs to the task and says nothing about its steps."""
        if status != "failed":
            return ""
        failures = _listed(message)
        is_business = all(any(p.search(failure) for p in self._patterns) for failure in failures)
        return "business" if is_business else "application"


def _listed(message: str) -> list[str]:
    """The failures that a message lists; of one that lists none, itself.

    >>> _listed("Several failures occurred:\\n\\n1) no supplier\\n\\n2) no total")
    ['no supplier', 'no total']
    """
    head = _SEVERAL.match(message)
    return _NUMBERED.split(message[head.end() :]) if head else [message]


def normal(name: str) -> str:
    """A tag, or a name of metadata, as Robot Framework compares it.

    >>> normal("Business Exception") == normal("business_exception")
    True
    """
    return name.casefold().replace(" ", "").replace("_", "")
