"""Numbers and times as people read them: units always, one typographic style, no locale surprises.

Thousands are set apart by a no-break space (a comma or a point means opposite things on the two
sides of the Channel), minus is a real minus sign, and month names do not follow the machine's locale.

>>> count_text(12418), percent_text(0.9741), duration_text(186_400.0)
('12\\xa0418', '97.4\\xa0%', '3\\xa0min\\xa006\\xa0s')
"""

import json
import math
from collections.abc import Mapping
from datetime import date, datetime
from typing import Final

NBSP: Final = "\u00a0"
MINUS: Final = "−"
NONE: Final = "–"
MONTHS: Final = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
WEEKDAYS: Final = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
SECOND_MS: Final = 1_000.0
MINUTE_MS: Final = 60 * SECOND_MS
HOUR_MS: Final = 60 * MINUTE_MS
# Marks that turn the reading direction: left in a name they would turn the text around it, too.
_NO_DIRECTION_MARKS: Final = dict.fromkeys(
    [*range(0x200E, 0x2010), *range(0x202A, 0x202F), *range(0x2066, 0x206A)]
)
_BYTES: Final = ("bytes", "KiB", "MiB", "GiB", "TiB", "PiB")


def count_text(n: int) -> str:
    """A whole number with its thousands set apart."""
    return f"{abs(n):,}".replace(",", NBSP) if n >= 0 else MINUS + count_text(-n)


def runs_text(n: int, noun: str = "run") -> str:
    """A count with its noun.

    >>> runs_text(1), runs_text(2, "failure")
    ('1\\xa0run', '2\\xa0failures')
    """
    return f"{count_text(n)}{NBSP}{noun}{'' if n == 1 else 's'}"


def percent_text(share: float | None, digits: int = 1) -> str:
    """A share as a percentage that never rounds up to 100 % or down to 0 % what is neither.

    >>> percent_text(0.99999), percent_text(1.0), percent_text(0.0002)
    ('>\\xa099.9\\xa0%', '100\\xa0%', '<\\xa00.1\\xa0%')
    """
    if share is None or math.isnan(share):
        return NONE
    step = 10.0**-digits
    if share in (0.0, 1.0):
        return f"{share * 100:.0f}{NBSP}%"
    if share * 100 < step:
        return f"<{NBSP}{step:.{digits}f}{NBSP}%"
    if 100 - step < share * 100 < 100:
        return f">{NBSP}{100 - step:.{digits}f}{NBSP}%"
    return f"{share * 100:.{digits}f}{NBSP}%"


def duration_text(duration_ms: float | None) -> str:
    """A duration in the two units that matter.

    >>> [duration_text(x).replace(NBSP, " ") for x in (0.4, 412, 4_230, 42_000, 59_960, 7_512_000)]
    ['0.4 ms', '412 ms', '4.2 s', '42 s', '1 min 00 s', '2 h 05 min']
    """
    if duration_ms is None or math.isnan(duration_ms):
        return NONE
    if duration_ms < 9.95:
        return f"{duration_ms:.1f}{NBSP}ms" if duration_ms else f"0{NBSP}ms"
    if duration_ms < 999.5:
        return f"{duration_ms:.0f}{NBSP}ms"
    if duration_ms < 9_950:
        return f"{duration_ms / SECOND_MS:.1f}{NBSP}s"
    seconds = round(duration_ms / SECOND_MS)
    if seconds < 60:
        return f"{seconds}{NBSP}s"
    if seconds < 3_600:
        return f"{seconds // 60}{NBSP}min{NBSP}{seconds % 60:02d}{NBSP}s"
    minutes = round(duration_ms / MINUTE_MS)
    if minutes < 100 * 60:
        return f"{minutes // 60}{NBSP}h{NBSP}{minutes % 60:02d}{NBSP}min"
    return f"{count_text(round(duration_ms / HOUR_MS))}{NBSP}h"


def work_text(duration_ms: float) -> str:
    """A sum of durations: hours of work, with one decimal below a hundred.

    >>> work_text(7_512_000.0), work_text(3_830_400_000.0)
    ('2.1\\xa0h', '1\\xa0064\\xa0h')
    """
    hours = duration_ms / HOUR_MS
    if duration_ms < HOUR_MS:
        return duration_text(duration_ms)
    return f"{hours:.1f}{NBSP}h" if hours < 99.95 else f"{count_text(round(hours))}{NBSP}h"


def bytes_text(size: float | None) -> str:
    """A size with a binary unit.

    >>> bytes_text(1_610_612_736), bytes_text(12)
    ('1.5\\xa0GiB', '12\\xa0bytes')
    """
    if size is None or math.isnan(size):
        return NONE
    power = 0
    while size >= 1_023.95 and power < len(_BYTES) - 1:
        size, power = size / 1_024, power + 1
    return f"{size:.0f}{NBSP}{_BYTES[power]}" if power == 0 else f"{size:.1f}{NBSP}{_BYTES[power]}"


def signed_percent_text(ratio: float) -> str:
    """A relative change with its sign; above ten-fold as a factor.

    >>> signed_percent_text(0.043), signed_percent_text(-0.5), signed_percent_text(12.0)
    ('+4.3\\xa0%', '−50\\xa0%', '×13')
    """
    if ratio > 9:
        return f"×{ratio + 1:.0f}"
    digits = 1 if abs(ratio) < 0.0995 else 0
    text = f"{abs(ratio) * 100:.{digits}f}"
    sign = "±" if not float(text) else MINUS if ratio < 0 else "+"
    return f"{sign}{text}{NBSP}%"


def signed_points_text(difference: float) -> str:
    """A difference of two shares, in percentage points.

    >>> signed_points_text(-0.007)
    '−0.7\\xa0pp'
    """
    text = f"{abs(difference) * 100:.1f}"
    sign = "±" if not float(text) else MINUS if difference < 0 else "+"
    return f"{sign}{text}{NBSP}pp"


def day_text(day: date, *, weekday: bool = False, year: bool = False) -> str:
    """A calendar day.

    >>> day_text(date(2026, 11, 22), weekday=True)
    'Sun 22\\xa0Nov'
    """
    text = f"{day.day}{NBSP}{MONTHS[day.month - 1]}"
    if weekday:
        text = f"{WEEKDAYS[day.weekday()]} {text}"
    return f"{text}{NBSP}{day.year}" if year else text


def days_text(first: date, last: date) -> str:
    """A span of calendar days, both included, without saying twice what they share.

    >>> days_text(date(2026, 11, 16), date(2026, 11, 22)), days_text(date(2026, 11, 28), date(2026, 12, 4))
    ('16–22\\xa0Nov\\xa02026', '28\\xa0Nov – 4\\xa0Dec\\xa02026')
    """
    if first == last:
        return day_text(first, year=True)
    if (first.year, first.month) == (last.year, last.month):
        return f"{first.day}–{day_text(last, year=True)}"
    return f"{day_text(first, year=first.year != last.year)} – {day_text(last, year=True)}"


def moment_text(moment: datetime, *, year: bool = False) -> str:
    """A local date and time to the minute; the time zone is stated once per page, not here."""
    return f"{day_text(moment.date(), year=year)}, {moment.hour:02d}:{moment.minute:02d}"


def shortened(text: str, limit: int) -> str:
    """The text on one line with its end cut, so that one long name cannot push a table off the page.

    >>> shortened("Reconcile the bank statement", 15)
    'Reconcile the …'
    """
    line = " ".join(text.translate(_NO_DIRECTION_MARKS).split())
    return line if len(line) <= limit else line[: limit - 1] + "…"


def name_text(name: str, limit: int) -> str:
    """A name on one line; one that is empty (or nothing but spaces) says so."""
    return shortened(name, limit) or "(unnamed)"


def json_text(value: str | Mapping[str, object]) -> str:
    """A value as Vega's expression language writes it; ASCII, so that no name can end the text."""
    return json.dumps(value, ensure_ascii=True)


def plain(text: str) -> str:
    """The text for a terminal or a log: ordinary spaces and signs.

    >>> plain("−0.7\u00a0pp")
    '-0.7 pp'
    """
    return text.translate({ord(NBSP): " ", ord(MINUS): "-", ord("–"): "-", ord("…"): "..."})


def printable(text: str) -> str:
    """The text as a terminal may show it: what would move its cursor or turn its direction is escaped.

    >>> print(printable("a\\x1b[2Jb"))
    a\\x1b[2Jb
    """
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)
