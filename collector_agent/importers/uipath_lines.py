"""A line of a UiPath robot's execution log as what it says; standard library only.

`HH:MM:SS.ffff Level {json}` is what a robot writes. A robot that is killed leaves half a line, and the
next one goes on behind it: what is whole on such a line is read all the same.
"""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

Event = dict[str, Any]

PATTERN: Final = "*_Execution*.log"  # of the names that robots give their logs
PREFIX_CHARACTERS: Final = 64  # of time and level, before the JSON
_GLUED_TRIES: Final = 100  # on one line; a line made to look like many could take for ever else

_raw_decode: Final = json.JSONDecoder().raw_decode
_PREFIX: Final = re.compile(r"(\d\d:\d\d:\d\d[.,]\d{1,7})\s+\S{1,30}\s+$")
_GLUED: Final = re.compile(r"\d\d:\d\d:\d\d[.,]\d{1,7} \S{1,30} (?=\{)")
_DAY: Final = re.compile(r"(?<!\d)(\d{4}-\d\d-\d\d)(?!\d)")
_STAMP: Final = re.compile(r'"timeStamp"\s*:\s*"([^"]{10,40})"')


def day_of(path: Path) -> str:
    """The day in a log's name; '' for none.

    >>> day_of(Path("2024-03-01_Execution.log"))
    '2024-03-01'
    """
    found = _DAY.search(path.name)
    return found[1] if found else ""


def first_stamp(head: str) -> str:
    """The first timeStamp in the beginning of a file, as it is written; '' for none."""
    found = _STAMP.search(head)
    return found[1] if found else ""


def events_of(line: str, day: str = "") -> list[Event]:
    """The events on a line, mostly one. `day`: where a line has no timeStamp, its time is of that day.

    Raises ValueError where the line, or what is left of it, is none.

    >>> events_of('08:46:03.4132 Info {"message":"Invoices execution started","jobId":"7"}', "2024-03-01")[0]
    {'message': 'Invoices execution started', 'jobId': '7', 'timeStamp': '2024-03-01T08:46:03.4132'}
    """
    at = line.find("{", 0, PREFIX_CHARACTERS)
    if at >= 0:
        try:
            event, end = _raw_decode(line, at)
        except (ValueError, RecursionError):
            pass
        else:
            if "message" in event or "timeStamp" in event:
                if "timeStamp" not in event:
                    _take_time(event, line[:at], day)
                if line[end:].isspace() or end == len(line):
                    return [event]
                return [event, *_glued(line, end, day)]
    found = list(_glued(line, 0, day))
    if not found:
        raise ValueError("no event of a UiPath robot")
    return found


def _glued(line: str, start: int, day: str) -> Iterator[Event]:
    """Whole events further behind on a line, each with its time and level before it."""
    for _ in range(_GLUED_TRIES):
        found = _GLUED.search(line, start)
        if found is None:
            return
        start = found.end()
        try:
            event, end = _raw_decode(line, start)
        except (ValueError, RecursionError):
            continue
        if isinstance(event, dict) and ("message" in event or "timeStamp" in event):
            start = end
            if "timeStamp" not in event:
                _take_time(event, found[0], day)
            yield event


def _take_time(event: Event, prefix: str, day: str) -> None:
    found = _PREFIX.search(prefix)
    if found and day:
        event["timeStamp"] = f"{day}T{found[1].replace(',', '.')}"
