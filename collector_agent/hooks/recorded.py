"""What a run and a step have in common: how they end, when, and what was noted meanwhile."""

from datetime import datetime
from typing import Any, Final

from analytics_lib.records import MESSAGE_BYTES
from collector_agent.hooks.outcomes import BusinessClasses, message_of, outcome_of
from collector_agent.hooks.places import Place
from collector_agent.hooks.times import given_times
from collector_agent.redaction import clean_message, text_of

_MAX_NOTES: Final = 10
_NOTE_CHARACTERS: Final = 500
_Note = tuple[bool, str]  # (whether it is an error, what it says)


class Recorded(Place):
    """A run or a step while it is open. An exception that passes through says how it ends; these do
    where the robot copes itself, or knows better. Nothing here raises."""

    __slots__ = ("_failed_with", "_given_times", "_notes", "_said", "_untold")

    def __init__(self) -> None:
        super().__init__()
        self._begin_anew()

    def _begin_anew(self) -> None:
        self._said: dict[str, Any] = {}
        self._failed_with: BaseException | None = None
        self._given_times: dict[str, Any] = {}
        self._notes: list[_Note] = []
        self._untold = 0  # notes beyond those that are kept

    def fail(self, error: object = "", *, exception_kind: str | None = None) -> None:
        """It ends as failed, though nothing is raised out of it. `error`: the exception, or what to say.

        `exception_kind`: 'business' or 'application', where the exception's class does not tell.
        """
        if isinstance(error, BaseException):
            self._failed_with = error
            said = outcome_of(error, self._business_classes())
            said = {**said, "status": "failed", "message": message_of(error)}
        else:
            said = {"status": "failed", "message": text_of(error)}
        kind = exception_kind or said.get("exception_kind") or "application"
        self._said = {**said, "exception_kind": kind}

    def set_status(self, status: str, message: object = "") -> None:
        """It ends so ('skipped', 'cancelled', 'timed_out' …), unless an exception passes through."""
        self._said, self._failed_with = {"status": status, "message": text_of(message)}, None
        if status == "failed":
            self._said["exception_kind"] = "application"

    def set_times(
        self,
        *,
        started_at: datetime | None = None,
        ended_at: datetime | None = None,
        duration_ms: float | None = None,
    ) -> None:
        """It was timed elsewhere: these are recorded in place of what our clocks say."""
        self._given_times |= given_times(started_at, ended_at, duration_ms)

    def note(self, text: object, *, is_error: bool = False) -> None:
        """A line for its message: masked, shortened, told once; the first ten of one run or step."""
        line = clean_message(text).strip()
        if len(line) > _NOTE_CHARACTERS:
            line = line[: _NOTE_CHARACTERS - 1] + "…"
        note = is_error, line
        if not line or note in self._notes:
            return
        if len(self._notes) < _MAX_NOTES:
            self._notes.append(note)
        else:
            self._untold += 1

    def _business_classes(self) -> BusinessClasses:
        return ()

    def _outcome(self, error: BaseException | None) -> dict[str, Any]:
        """status, exception_kind and message; an exception that was raised counts for more than words."""
        if error is None and not self._said and not self._notes:
            return {"status": "completed"}
        outcome = outcome_of(error, self._business_classes())
        if self._said and (outcome["status"] == "completed" or error is self._failed_with):
            outcome = dict(self._said)
        self._failed_with = None  # it holds the frames that it was raised in
        if not self._notes:
            return outcome
        message = outcome.get("message", "")
        notes = self._notes if outcome["status"] != "failed" else sorted(self._notes, key=_warnings_last)
        lines = [line for _, line in notes if line not in message]
        if self._untold:
            lines.append(f"… and {self._untold} more")
        room = max(0, MESSAGE_BYTES // 4 - 1)  # so that the failure's own words stay whole
        appended = "\n".join(lines)[:room]
        outcome["message"] = f"{message}\n{appended}" if message and appended else message or appended
        return outcome


def _warnings_last(note: _Note) -> bool:
    return not note[0]
