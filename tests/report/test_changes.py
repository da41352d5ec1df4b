"""Clear or chance: the rules, against slow or exact versions of themselves."""

from dataclasses import replace
from math import comb

import numpy as np
import pytest

from analytics_lib.report.changes import count_change, success_change
from analytics_lib.statistics import chance_of_as_many, is_clear_median, wilson_interval
from analytics_lib.totals import NO_RUNS, RunTotals


def runs(n: int, n_completed: int, p50_ms: float = 1_000.0, p95_ms: float = 2_000.0) -> RunTotals:
    return replace(
        NO_RUNS,
        n=n,
        n_completed=n_completed,
        n_rated=n,
        duration_p50_ms=p50_ms,
        duration_p95_ms=p95_ms if n >= 20 else None,
    )


@pytest.mark.parametrize(
    ("k", "n", "share"),
    [(1, 5, 0.1), (3, 10, 0.2), (2, 3, 0.5), (2, 10, 0.8), (12, 20, 0.02), (7, 7, 0.5), (80, 900, 0.1)],
)
def test_the_binomial_tail_is_the_sum_of_its_terms(k: int, n: int, share: float) -> None:
    exact = sum(comb(n, i) * share**i * (1 - share) ** (n - i) for i in range(k, n + 1))
    assert chance_of_as_many(k, n, share) == pytest.approx(exact, rel=1e-6)


def test_the_wilson_interval_keeps_its_promise_near_one() -> None:
    rng = np.random.default_rng(1)
    found = [wilson_interval(int(k), 60) for k in rng.binomial(60, 0.97, 4_000)]
    covered = sum(low <= 0.97 <= high for low, high in found) / len(found)
    assert 0.93 <= covered <= 0.99


def test_equal_workflows_are_seldom_called_changed() -> None:
    rng = np.random.default_rng(2)
    pairs = rng.binomial(300, 0.95, (4_000, 2))
    clear = [success_change(runs(300, int(a)), runs(300, int(b))) for a, b in pairs]
    assert sum(c is not None and c.judgement in ("better", "worse") for c in clear) <= 12  # 4 expected


def test_equal_durations_are_seldom_called_changed_and_slower_ones_are() -> None:
    rng = np.random.default_rng(3)

    def one(factor: float) -> RunTotals:
        values = rng.lognormal(8, 0.5, 200) * factor
        return runs(200, 200, *(float(q) for q in np.quantile(values, [0.5, 0.95])))

    assert sum(is_clear_median(one(1.0), one(1.0)) for _ in range(2_000)) <= 8  # 2 expected
    assert sum(is_clear_median(one(1.35), one(1.0)) for _ in range(200)) > 160  # 186 expected


def test_a_clear_fall_of_the_success_rate_is_worse_and_says_so() -> None:
    change = success_change(runs(400, 340), runs(400, 392))
    assert change is not None
    assert (change.arrow, change.judgement, change.words) == ("▼", "worse", "clearly lower")
    assert change.text == "−13.0\u00a0pp"


def test_a_count_that_was_zero_has_no_percentage() -> None:
    change = count_change(30, 0, "lower")
    assert change is not None
    assert (change.text, change.before, change.judgement) == ("+30", "0", "worse")
    assert count_change(0, 0, "lower") is None
