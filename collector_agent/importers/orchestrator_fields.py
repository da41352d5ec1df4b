"""What the columns of Orchestrator's exports mean: jobs and queue items, from the web page (CSV) or by OData.

Names are compared without case, blanks and punctuation, for they differ between versions: `Started
(absolute)`, `StartTime`. Specific content, references and details of queue items are never read.
"""

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, tzinfo
from functools import lru_cache
from typing import Any, Final

from analytics_lib.records import NAME_BYTES
from analytics_lib.windows import to_us
from collector_agent.importers.plain_rows import Row, plain_row
from collector_agent.importers.row_errors import RowError
from collector_agent.importers.uipath_values import job_id, made_id, moment_us, name_of
from collector_agent.redaction import clean_message, text_of
from collector_agent.redaction.policy import Redaction
from collector_agent.robot_results import FailureKinds

SOURCE: Final = "orchestrator"
Fields = Mapping[str, str]

_KEY: Final = ("key", "jobkey", "uniquekey")
_ROBOT: Final = ("robot.name", "robotname", "robot")
_CREATED: Final = ("creationtime", "created", "createdabsolute")

JOB_FIELDS: Final[dict[str, tuple[str, ...]]] = {
    "key": _KEY,
    "id": ("id", "jobid"),
    "process": ("release.name", "releasename", "processname", "process"),
    "version": ("release.processversion", "processversion", "version"),
    "state": ("state", "status", "jobstate"),
    "started": ("starttime", "started", "startedabsolute", "start"),
    "ended": ("endtime", "ended", "endedabsolute", "end"),
    "created": _CREATED,
    "robot": _ROBOT,
    "host": ("hostmachinename", "machine.name", "robot.machinename", "hostname", "machine"),
    "message": ("joberror.title", "info", "information"),
    "parent": ("parentjobkey",),
    "robot_type": ("robot.type", "robottype", "runtimetype", "type", "jobtype"),
}
ITEM_FIELDS: Final[dict[str, tuple[str, ...]]] = {
    "key": _KEY,
    "id": ("id",),
    "queue": ("queuedefinition.name", "queuename", "queue"),
    "queue_number": ("queuedefinitionid",),
    "state": ("status", "state"),
    "started": ("startprocessing", "started", "startedabsolute", "starttransactiontime"),
    "ended": ("endprocessing", "ended", "endedabsolute", "endtransactiontime"),
    "created": _CREATED,
    "robot": _ROBOT,
    "kind": (
        "processingexception.type",
        "processingexceptiontype",
        "exceptiontype",
        "exception",
    ),
    "message": ("processingexception.reason", "processingexceptionreason", "exceptionreason", "reason"),
    "retries": ("retrynumber", "retryno"),
}
_ONLY_ITEMS: Final = frozenset(
    {"queuedefinitionid", "startprocessing", "endprocessing", "retrynumber", "retryno", "specificcontent"}
    | {"specificdata", "reviewstatus", "transactionexecutiontime", "deferdate", "queuename"}
)
_JOB_STATUS: Final = {"successful": "completed", "faulted": "failed", "stopped": "cancelled"}
_JOB_RUNS: Final = ("running", "stopping", "terminating", "resumed", "suspended")
_JOB_WAITS: Final = ("pending",)
_ITEM_STATUS: Final = {
    "successful": "completed",
    "failed": "failed",
    "retried": "failed",
    "deleted": "skipped",
}
# Robots that work for the person who is logged in; all others are unattended.
_ATTENDED_TYPES: Final = frozenset(
    [
        *("attended", "studio", "studiox", "studiopro", "studioweb", "development", "developer"),
        *("rpadeveloper", "rpadeveloperpro", "citizendeveloper", "attendedstudioweb", "attendeduser"),
    ]
)
_ITEM_WAITS: Final = ("new", "inprogress")


class Times:
    """Times of an export as µs: ISO 8601, or of a format (strptime); without an offset of the zone."""

    def __init__(self, zone: tzinfo | None, time_format: str = "") -> None:
        self._zone = zone
        self._format = time_format

    def us(self, text: str, what: str) -> int | None:
        """None for ''. Raises RowError."""
        if not text:
            return None
        found = None if self._format else moment_us(text, self._zone)
        if self._format:
            try:
                moment = datetime.strptime(text, self._format)  # noqa: DTZ007  # the zone is put on below
            except ValueError:
                found = None
            else:
                if moment.tzinfo is None and self._zone is not None:
                    moment = moment.replace(tzinfo=self._zone)
                found = to_us(moment.astimezone(UTC))
        if found is None:
            wanted = f"of the format {self._format!r}" if self._format else "as 2024-03-01T08:00:00Z"
            raise RowError(f"rows whose {what} is no time {wanted}", text)
        return found


def is_items(names: frozenset[str]) -> bool | None:
    """Whether these columns are of queue items, or of jobs; None for neither."""
    if names & _ONLY_ITEMS:
        return True
    jobs = all(any(name in names for name in JOB_FIELDS[field]) for field in ("process", "state", "started"))
    return False if jobs else None


def picked(row: Mapping[str, Any], fields: Mapping[str, tuple[str, ...]]) -> dict[str, str]:
    """The fields of a row by our names, '' for what it has not."""
    flat = dict(_flat(row, ""))
    return {
        field: next((text_of(flat[name]).strip() for name in names if flat.get(name) not in (None, "")), "")
        for field, names in fields.items()
    }


def normal(name: str) -> str:
    """A column's name as it is compared.

    >>> normal("Started (absolute)"), normal("Robot.Name")
    ('startedabsolute', 'robot.name')
    """
    return _normal(name)


@lru_cache(maxsize=4096)
def _normal(name: str) -> str:
    kept = (character for character in name.casefold() if character.isalnum() or character == ".")
    return "".join(kept).strip(".")


def _flat(row: Mapping[str, Any], prefix: str) -> Iterator[tuple[str, Any]]:
    for name, value in row.items():
        full = prefix + _normal(str(name))
        if isinstance(value, dict) and prefix.count(".") < 2:
            yield from _flat(value, full + ".")
        else:
            yield full, value


class Rows:
    """The rows that jobs and queue items become. Each method raises RowError for what is left out."""

    def __init__(
        self,
        times: Times,
        kinds: FailureKinds,
        environment: str,
        queue: str,
        redaction: Redaction | None = None,
    ) -> None:
        self._redaction = redaction or Redaction()
        self._times = times
        self._kinds = kinds
        self._environment = environment
        self._queue = queue

    def of_job(self, job: Fields) -> list[Row]:
        key = job_id(job["key"]) or (made_id("orchestrator job", job["id"]) if job["id"] else "")
        if not key:
            raise RowError("jobs without a key and an id")
        fixed: dict[str, Any] = {
            "execution_id": key,
            "workflow_id": name_of(job["process"], NAME_BYTES) or "unknown",
            "workflow_version": name_of(job["version"]),
            "parent_execution_id": job_id(job["parent"]),
            **self._dimensions(job),
        }
        word = _normal(job["state"])
        if word in _JOB_WAITS:
            raise RowError("jobs that have not started")
        started_us = self._times.us(job["started"], "start")
        created_us = self._times.us(job["created"], "creation")
        fixed["queued_at_us"] = created_us
        if word in _JOB_RUNS:
            if started_us is None:
                raise RowError("running jobs without a start")
            return [plain_row("execution_start", fixed, {"started_at_us": started_us})]
        status = _known(word, _JOB_STATUS, "jobs in a state not known here", job["state"])
        message = clean_message(job["message"]) if status != "completed" else ""
        return [self._end(job, "jobs", fixed, started_us, status, message)]

    def of_item(self, item: Fields) -> list[Row]:
        key = job_id(item["key"]) or (made_id("orchestrator item", item["id"]) if item["id"] else "")
        if not key:
            raise RowError("queue items without a key and an id")
        queue = name_of(self._queue or item["queue"] or item["queue_number"])
        if not queue:
            raise RowError("queue items without a queue (name it: --queue NAME)")
        fixed: dict[str, Any] = {
            # Not the key alone: a job could have the same one, and a robot's log tells the item as a step.
            "execution_id": made_id("queue item", key),
            "transaction_id": key,
            "workflow_id": name_of(f"transaction of {queue}", NAME_BYTES),
            "attempt": 1 + (int(item["retries"]) if item["retries"].isdecimal() else 0),
            **self._dimensions(item),
            "queue": queue,
        }
        word = _normal(item["state"])
        if word in _ITEM_WAITS:
            raise RowError("queue items that are not done")
        started_us = self._times.us(item["started"], "start")
        fixed["queued_at_us"] = self._times.us(item["created"], "creation")
        if word == "abandoned":  # Orchestrator's word for one whose robot never reported back
            if started_us is None:
                raise RowError("abandoned queue items without a start")
            return [
                plain_row("execution_start", fixed, {"started_at_us": started_us}),
                plain_row("execution_heartbeat", fixed, {"sent_at_us": started_us}),
            ]
        status = _known(word, _ITEM_STATUS, "queue items in a state not known here", item["state"])
        row = self._end(item, "queue items", fixed, started_us, status, clean_message(item["message"]))
        return [row]

    def _end(
        self,
        given: Fields,
        what: str,
        fixed: dict[str, Any],
        started_us: int | None,
        status: str,
        message: str,
    ) -> Row:
        ended_us = self._times.us(given["ended"], "end")
        if ended_us is None:
            raise RowError(f"{what} that are over, without a time of their end")
        started_us = ended_us if started_us is None else started_us  # it never got to start
        if started_us > ended_us:
            raise RowError(f"{what} that end before they start", given["started"])
        kind = ""
        if status == "failed":
            kind = self._kinds.of_step(status, message)
            if "business" in given.get("kind", "").lower():
                kind = "business"
        end = {
            "status": status,
            "started_at_us": started_us,
            "ended_at_us": ended_us,
            "duration_ms": (ended_us - started_us) / 1000,
            "exception_kind": kind,
            "message": message,
            "recorder_id": made_id(str(fixed["execution_id"])),
        }
        return plain_row("execution", fixed, end)

    def _dimensions(self, given: Fields) -> dict[str, str]:
        is_attended = given.get("robot_type", "").casefold() in _ATTENDED_TYPES
        is_attended = is_attended or self._redaction.is_attended(self._environment)
        person = self._redaction.person
        return {
            "environment": self._environment,
            "robot_id": name_of(person("robot_id", given["robot"], is_attended=is_attended)),
            "host": name_of(person("host", given.get("host", ""), is_attended=is_attended)),
            "source": SOURCE,
        }


def _known(word: str, words: Mapping[str, str], reason: str, written: str) -> str:
    try:
        return words[word]
    except KeyError:
        raise RowError(reason, written) from None
