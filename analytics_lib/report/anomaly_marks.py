"""Where the duration trend shows that something was not normal, and what that was."""

from collections import Counter
from dataclasses import dataclass
from datetime import datetime
from typing import Final

import pandas as pd

from analytics_lib import formats
from analytics_lib.report.periods import LocalTime

MARKED_FROM: Final = 35  # severity: a mark on every day would mark none
# What a mark's symbol says, by the kind of anomaly; the order is that of the legend.
GROUP_OF_KIND: Final = {
    "slower": "duration not normal",
    "faster": "duration not normal",
    "failing": "failing",
    "fewer_runs": "number of runs not normal",
    "more_runs": "number of runs not normal",
    "missing_runs": "number of runs not normal",
    "no_data": "no data from hosts",
}
OTHER: Final = "otherwise not normal"


@dataclass(frozen=True, slots=True)
class AnomalyMarks:
    """Marks by local period (its naive start) and group, how many anomalies each stands for."""

    found: tuple[tuple[datetime, str, int], ...]
    n_milder: int

    @classmethod
    def of(cls, anomalies: pd.DataFrame, local: LocalTime) -> "AnomalyMarks":
        """One mark for each period and group with an anomaly that is severe enough."""
        if anomalies.empty:
            return cls((), 0)
        severe = anomalies[anomalies["severity"] >= MARKED_FROM]
        places: Counter[tuple[datetime, str]] = Counter()
        for period, kind in zip(local.periods(severe["hour_us"]), severe["kind"], strict=True):
            places[period.to_pydatetime(), GROUP_OF_KIND.get(str(kind), OTHER)] += 1
        groups = list(dict.fromkeys(GROUP_OF_KIND.values()))
        order = {group: i for i, group in enumerate(groups)}
        found = sorted(places.items(), key=lambda item: (item[0][0], order.get(item[0][1], len(order))))
        return cls(tuple((*place, n) for place, n in found), len(anomalies) - len(severe))

    @property
    def n(self) -> int:
        return sum(n for _, _, n in self.found)

    def caption(self, word: str) -> str:
        """What the marks stand for, with how many are not shown; '' for none."""
        if not self.found:
            return ""
        n = f"{formats.count_text(self.n)}{formats.NBSP}{'anomaly' if self.n == 1 else 'anomalies'}"
        milder = f"; {formats.count_text(self.n_milder)} milder not marked" if self.n_milder else ""
        return f" Marks: {n} in single workflows and steps, one mark per {word} and kind{milder}."

    def in_words(self, word: str) -> str:
        """The marks for who cannot see them: how many periods of each kind; '' for none."""
        if not self.found:
            return ""
        periods = Counter(group for _, group, _ in self.found)
        said = ", ".join(f"{group} ({formats.runs_text(n, word)})" for group, n in periods.items())
        return f" Marked: {said}."
