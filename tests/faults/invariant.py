"""The one thing that every fault test checks, whatever was killed, cut, filled up or taken away:

each accepted record ends in exactly one of database, spool, quarantine or counted drop, and its content
is unchanged. A record is accepted when the call that recorded it has returned. One that was in flight
when its process died may have arrived or not. (A spool is looked into by draining it.)

Rows are compared as values that can be hashed and that hold key and content: a row whose content has
changed is one that is lost and another that was invented.

>>> judge(["a", "b", "c"], ["a", "b", "b", "x"]).complaints
["1 of 3 accepted rows is lost: 'c'", "1 row is there twice: 'b'", "1 row was never recorded: 'x'"]
>>> judge(["a", "b"], ["b"], dropped=1).complaints, judge(["a"], ["a", "b"], in_flight=["b"]).complaints
([], [])
"""

from collections import Counter
from collections.abc import Hashable, Iterable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Verdict:
    """What became of the rows. `complaints` is empty where the invariant holds."""

    accepted: int
    found: int  # rows, each counted once
    lost: list[Any]  # accepted, and nowhere
    doubled: list[Any]  # in more than one place, or twice in one
    invented: list[Any]  # found, and never recorded
    dropped: int  # rows that are said to be dropped: as many may be lost

    def __str__(self) -> str:
        return (
            f"{self.accepted:,} rows accepted, {self.found:,} found, {len(self.lost):,} lost, "
            f"{self.dropped:,} counted as dropped, {len(self.doubled):,} doubled, "
            f"{len(self.invented):,} invented"
        )

    @property
    def complaints(self) -> list[str]:
        said = []
        if len(self.lost) != self.dropped:
            but = f" ({self.dropped} counted as dropped)" if self.dropped else ""
            said.append(f"{len(self.lost)} of {self.accepted} accepted rows {_are(self.lost)} lost{but}")
            said[-1] += _shown(self.lost)
        if self.doubled:
            said.append(f"{_rows(self.doubled)} {_are(self.doubled)} there twice{_shown(self.doubled)}")
        if self.invented:
            was = "was" if len(self.invented) == 1 else "were"
            said.append(f"{_rows(self.invented)} {was} never recorded{_shown(self.invented)}")
        return said


def judge(
    accepted: Iterable[Hashable],
    found: Iterable[Hashable],
    *,
    in_flight: Iterable[Hashable] = (),
    dropped: int = 0,
) -> Verdict:
    """Compares what was accepted with what is found in database and quarantine together.

    `dropped`: how many rows the counters say were given up. As many must be missing: one that is
    counted and has arrived all the same was counted wrongly.
    """
    promised = set(accepted)
    times = Counter(found)
    possible = promised.union(in_flight)
    return Verdict(
        accepted=len(promised),
        found=len(times),
        lost=sorted(promised - times.keys(), key=repr),
        doubled=sorted((row for row, n in times.items() if n > 1), key=repr),
        invented=sorted(times.keys() - possible, key=repr),
        dropped=dropped,
    )


def _rows(rows: list[Any]) -> str:
    return "1 row" if len(rows) == 1 else f"{len(rows)} rows"


def _are(rows: list[Any]) -> str:
    return "is" if len(rows) == 1 else "are"


def _shown(rows: list[Any]) -> str:
    some = ", ".join(map(repr, rows[:5])) + (" …" if len(rows) > 5 else "")
    return f": {some}" if rows else ""
