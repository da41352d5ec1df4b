"""One sentence for an anomaly: what, where, how much against normal, since when, on how many runs.

>>> from datetime import UTC
>>> facts = dict(kind="slower", observed=250_000.0, low=175_000.0, high=200_000.0, n=9, names=["In"])
>>> nine = datetime(2026, 11, 23, 9, tzinfo=UTC)
>>> sentence_of(**facts, expected=187_000.0, hour=nine, since=nine.replace(hour=7))
'In took 4 min 10 s (normal 2 min 55 s to 3 min 20 s) in the hour from 23 Nov, 09:00, since 07:00, on 9 runs'
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Final

from analytics_lib import formats

NAME_LENGTH: Final = 80
NAMES_SHOWN: Final = 3


def sentence_of(
    *,
    kind: str,
    names: Sequence[str],
    observed: float,
    expected: float,
    low: float,
    high: float,
    hour: datetime,
    since: datetime,
    n: int,
) -> str:
    """names: the workflow, or the step and its workflow; for no_data the hosts. Times are local already."""
    where = [formats.name_text(name, NAME_LENGTH) for name in names]
    begun = formats.moment_text(since)
    if since.date() == hour.date():
        begun = f"{since:%H:%M}"
    since_when = f", since {begun}" if since != hour else ""
    when = f"in the hour from {formats.moment_text(hour)}"
    if kind == "no_data":
        return _plain(f"no data from {_hosts(where, n)} since {formats.moment_text(since)}")
    subject = where[0] if len(where) == 1 else f"step {where[0]} of {where[1]}"
    runs = formats.runs_text(n)
    if kind in ("slower", "faster"):
        normal = f"{formats.duration_text(low)} to {formats.duration_text(high)}"
        took = formats.duration_text(observed)
        return _plain(f"{subject} took {took} (normal {normal}) {when}{since_when}, on {runs}")
    if kind == "failing":
        rate, least, most = (formats.percent_text(x, 0) for x in (observed, max(low, 0.0), min(high, 1.0)))
        normal = least if least == most else f"{least} to {most}"
        return _plain(f"{subject} completed {rate} of {runs} (normal {normal}) {when}{since_when}")
    if kind == "missing_runs":
        return _plain(f"{subject} did not run (normal {_runs(expected)}) {when}{since_when}")
    normal = f"{_number(max(low, 0.0))} to {_number(high)}"
    return _plain(f"{subject} ran {_times(observed)} (normal {normal}) {when}{since_when}")


def _hosts(names: Sequence[str], n: int) -> str:
    shown = list(names[:NAMES_SHOWN])
    if n == 1:
        return f"host {shown[0]}"
    listed = ", ".join(shown[:-1]) + f" and {shown[-1]}"
    if n > len(shown):
        listed = ", ".join(shown) + f" and {formats.count_text(n - len(shown))} more"
    return f"{formats.count_text(n)} hosts ({listed})"


def _number(value: float) -> str:
    """A count that may be a fraction: one decimal below ten where it is not whole."""
    return f"{value:.1f}" if value < 9.95 and round(value, 1) % 1 else formats.count_text(round(value))


def _runs(value: float) -> str:
    return f"{_number(value)} run{'' if _number(value) == '1' else 's'}"


def _times(value: float) -> str:
    n = round(value)
    return "once" if n == 1 else f"{formats.count_text(n)} times"


def _plain(text: str) -> str:
    """With ordinary spaces: sentences are searched, and read in terminals and mails."""
    return text.replace(formats.NBSP, " ")
