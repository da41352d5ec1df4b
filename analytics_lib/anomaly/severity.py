"""How bad an anomaly is: 0 to 100, of four parts that are stored with it, each from 0 to 1.

- improbability (weight 0.30): log2(|score| / 2) / 3; 4 sigmas are a third, 16 are all;
- effect (0.35): how large it is whatever the noise. Durations and runs above normal: log2(observed /
  expected) / 3, so twice is a third and eight times is all; success rate: points lost; runs below
  normal: the share that is missing; no data: the share of hosts that is silent;
- duration (0.20): log2(1 + hours) / log2(25) of the row it stands in; a day is all;
- reach (0.15): log10(1 + n) / 2 of the runs it concerns (hosts, for no data); a hundred are all.

What is fast or frequent costs nobody anything yet: "faster" and "more_runs" count half. A silent host is no
question of chance: the improbability of no_data is 1. The weights are a judgement and no measurement.

>>> one = {"kind": "slower", "observed": 8000.0, "expected": 2000.0, "score": 8.0, "hours": 4, "n": 9}
>>> severity_of(**one)
Severity(total=61, improbability=0.6667, effect=0.6667, duration=0.5, reach=0.5)
"""

import math
from typing import Final, NamedTuple

WEIGHTS: Final = {"improbability": 0.30, "effect": 0.35, "duration": 0.20, "reach": 0.15}
MILD: Final = frozenset({"faster", "more_runs"})


class Severity(NamedTuple):
    """The total of 100 and its parts."""

    total: int
    improbability: float
    effect: float
    duration: float
    reach: float


def severity_of(*, kind: str, observed: float, expected: float, score: float, hours: int, n: int) -> Severity:
    """hours: of the unbroken row up to this one, both ends included. n: runs or hosts that it concerns."""
    parts = {
        "improbability": 1.0 if kind == "no_data" else _share(math.log2(max(abs(score), 2.0) / 2) / 3),
        "effect": _effect(kind, observed, expected),
        "duration": _share(math.log2(1 + max(hours, 0)) / math.log2(25)),
        "reach": _share(math.log10(1 + max(n, 0)) / 2),
    }
    total = 100 * sum(WEIGHTS[name] * part for name, part in parts.items()) * (0.5 if kind in MILD else 1.0)
    return Severity(round(total), **{name: round(part, 4) for name, part in parts.items()})


def _effect(kind: str, observed: float, expected: float) -> float:
    if kind == "failing":
        return _share(expected - observed)
    if kind in ("missing_runs", "fewer_runs", "no_data"):
        return _share(1 - observed / expected) if expected > 0 else 1.0
    if min(observed, expected) <= 0:
        return 1.0
    return _share(abs(math.log2(observed / expected)) / 3)


def _share(part: float) -> float:
    return min(max(part, 0.0), 1.0)
