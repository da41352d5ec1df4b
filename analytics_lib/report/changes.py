"""Is it different from before, or is that chance? The words and colours of a comparison.

What is clear is decided by `analytics_lib.statistics`; a report compares hundreds of numbers, and a
colour on every third of them would teach its reader to ignore colours.
"""

import math
from typing import Final, Literal

from analytics_lib import formats
from analytics_lib.report.parts import Change, Judgement
from analytics_lib.statistics import (
    CLEAR_Z,
    FEW_RUNS,
    is_clear_quantile,
    is_clear_rate,
    median_z,
    p95_z,
)
from analytics_lib.totals import RunTotals

Better = Literal["lower", "higher", ""]
SMALLEST_BASE: Final = 10  # below, a count's change is a number and no percentage


def success_change(now: RunTotals, before: RunTotals) -> Change | None:
    """The success rate against before, in percentage points; None without runs on either side."""
    if now.success_rate is None or before.success_rate is None:
        return None
    difference = now.success_rate - before.success_rate
    few = min(now.n_tried, before.n_tried) < FEW_RUNS
    return _change(
        formats.signed_points_text(difference),
        formats.percent_text(before.success_rate),
        round(difference, 3),
        "few" if few else _judge(difference, "higher", is_clear_rate(now, before)),
        ("higher", "lower"),
    )


def median_change(now: RunTotals, before: RunTotals) -> Change | None:
    """The median duration against before; None without runs on either side."""
    few = min(now.n_rated, before.n_rated) < FEW_RUNS
    values = now.duration_p50_ms, before.duration_p50_ms
    return _duration_change(*values, median_z(now, before), few)


def p95_change(now: RunTotals, before: RunTotals) -> Change | None:
    """The 95th percentile against before; None where either side has too few runs for one."""
    return _duration_change(now.duration_p95_ms, before.duration_p95_ms, p95_z(now, before), False)


def count_change(now: int, before: int, better: Better) -> Change | None:
    """A count against before: clear when the difference exceeds 3.29 sqrt(now + before) (Poisson)."""
    if not now and not before:
        return None
    clear = abs(now - before) >= CLEAR_Z * math.sqrt(now + before)
    if before >= SMALLEST_BASE:
        text = formats.signed_percent_text(now / before - 1)
    else:  # a percentage of a handful says nothing
        text = f"{formats.MINUS if now < before else '+'}{formats.count_text(abs(now - before))}"
    judgement = _judge(now - before, better, clear)
    return _change(text, formats.count_text(before), now - before, judgement, ("more", "fewer"))


def work_change(now_ms: float, before_ms: float) -> Change | None:
    """Robot hours against before: more is neither good nor bad."""
    if before_ms <= 0:
        return None
    ratio = now_ms / before_ms - 1
    arrow = _arrow(round(ratio, 3))
    return Change(formats.signed_percent_text(ratio), formats.work_text(before_ms), arrow, "neutral", "")


def _duration_change(value: float | None, value_before: float | None, z: float, few: bool) -> Change | None:
    if not value or not value_before:
        return None
    ratio = value / value_before - 1
    judgement = "few" if few else _judge(ratio, "lower", is_clear_quantile(value, value_before, z))
    return _change(
        formats.signed_percent_text(ratio),
        formats.duration_text(value_before),
        round(ratio, 3),
        judgement,
        ("slower", "faster"),
    )


def _change(
    text: str, before: str, difference: float, judgement: Judgement, up_down: tuple[str, str]
) -> Change:
    if judgement == "few":
        words = "too few runs to tell"
    elif judgement == "unclear":
        words = "no clear change"
    else:
        words = f"clearly {up_down[0] if difference > 0 else up_down[1]}"
    return Change(text, before, _arrow(difference), judgement, words)


def _arrow(difference: float) -> str:
    return "▲" if difference > 0 else "▼" if difference < 0 else ""


def _judge(difference: float, better: Better, clear: bool) -> Judgement:
    if not clear or not difference:
        return "unclear"
    if not better:
        return "neutral"
    return "better" if (difference > 0) == (better == "higher") else "worse"
