"""What changed, as sentences: rules that pick the clearest changes and say them with their numbers.

A sentence says what was measured and, where a new release came with it, that the two coincide. Nothing
here knows a cause.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import pandas as pd

from analytics_lib import formats
from analytics_lib.report.changes import count_change, success_change
from analytics_lib.report.parts import FailureSection, Judgement, Sentence, WhatChanged
from analytics_lib.report.periods import LocalTime, Scope, within
from analytics_lib.statistics import (
    CLEAR_Z,
    FEW_RUNS,
    is_clear_median,
    is_clear_p95,
    is_clear_rate,
    median_z,
    p95_z,
    rate_z,
)
from analytics_lib.totals import NO_RUNS, SIMULATED, RunTotals, run_totals, total
from analytics_lib.windows import DAY_US

N_SENTENCES: Final = 3
N_FURTHER: Final = 4
N_NAMES: Final = 3
NAME_LIMIT: Final = 80
_KEY: Final = ["workflow_id", "environment"]
_ORDER: Final[dict[Judgement, int]] = {"worse": 0, "better": 1, "neutral": 2}


@dataclass(frozen=True, slots=True)
class _Candidate:
    workflow: str
    simulated: bool
    text: str
    judgement: Judgement
    strength: float

    def rank(self) -> tuple[bool, bool, int, float, str]:
        """What is judged before what is only new, real runs before simulated ones, worse before better."""
        is_news = self.judgement == "neutral"
        return is_news, self.simulated, _ORDER[self.judgement], -self.strength, self.workflow


def what_changed(
    executions: pd.DataFrame, scope: Scope, local: LocalTime, failures: FailureSection
) -> WhatChanged:
    """Three sentences: the whole, then the two clearest changes (or what there is to say without any)."""
    rows, rows_before = within(executions, scope.now), within(executions, scope.before)
    now, before = total(rows), total(rows_before)
    by_workflow, by_workflow_before = run_totals(rows, _KEY), run_totals(rows_before, _KEY)
    earlier = executions[executions["hour_us"] < scope.now.start_us]
    releases = _new_releases(rows, earlier, local)
    seen = set(earlier[_KEY].itertuples(index=False, name=None))
    # The stubs do not know that the labels of two keys are tuples.
    first_hours: dict[tuple[object, ...], int] = rows.groupby(_KEY)["hour_us"].min().to_dict()  # type: ignore[assignment]
    # Counts are not compared with a period that the data reach only partly.
    is_whole = not earlier.empty and int(earlier["hour_us"].min()) < scope.before.start_us + DAY_US
    new = sorted((key for key in by_workflow if seen and key not in seen), key=lambda key: first_hours[key])
    candidates = []
    for key in sorted({*by_workflow, *by_workflow_before} - {*new}, key=str):
        found = _candidates(
            key, by_workflow.get(key, NO_RUNS), by_workflow_before.get(key, NO_RUNS), is_whole
        )
        candidates += [_with_release(c, releases.get(key, "")) for c in found]
    for simulated in (False, True):
        if of_kind := [key for key in new if (key[1] == SIMULATED) is simulated]:
            since = _day(local, first_hours[of_kind[0]])
            candidates.append(_news(of_kind, sum(by_workflow[key].n for key in of_kind), since, simulated))
    candidates.sort(key=_Candidate.rank)
    first = _overall(now, before)
    lead: list[_Candidate] = []
    for candidate in candidates:
        if candidate.workflow not in {c.workflow for c in lead} and len(lead) < N_SENTENCES - 1:
            lead.append(candidate)
    rest = [c for c in candidates if c not in lead]
    sentences = [first, *map(_sentence, lead)]
    sentences += _fallbacks(now, before, by_workflow, by_workflow_before, failures, bool(lead))
    further = tuple(map(_sentence, rest[:N_FURTHER]))
    return WhatChanged(tuple(sentences[:N_SENTENCES]), further, len(rest) - len(further))


def _overall(now: RunTotals, before: RunTotals) -> Sentence:
    simulated = now.simulated == "all"
    if not now.n:
        text = "no run ended in this period"
        if before.n:
            text += f"; {formats.runs_text(before.n)} ended in the period before"
        return Sentence("All workflows", text + ".", False, "neutral")
    runs = count_change(now.n, before.n, "") if before.n else None
    text = f"{formats.runs_text(now.n)} ended"
    text += f", {runs.text} against {runs.before} in the period before" if runs else ""
    if now.success_rate is None:
        return Sentence("All workflows", text + "; all were skipped.", simulated, "neutral")
    text += f"; {formats.percent_text(now.success_rate)} completed"
    change = success_change(now, before)
    if change is None:
        return Sentence(
            "All workflows", f"{text}. There is no period before to compare with.", simulated, "neutral"
        )
    return Sentence(
        "All workflows",
        f"{text}, {change.text} from {change.before} ({change.words}).",
        simulated,
        change.judgement,
    )


def _news(keys: Sequence[tuple[object, ...]], n: int, since: str, simulated: bool) -> _Candidate:
    """Workflows that never ran before, in one sentence: six new ones are one piece of news."""
    names = [formats.name_text(str(key[0]), NAME_LIMIT) for key in keys]
    runs = formats.runs_text(n)
    if len(names) == 1:
        return _Candidate(names[0], simulated, f"is new: {runs} since {since}.", "neutral", math.sqrt(n))
    listed = ", ".join(names[:N_NAMES]) + (
        f" and {len(names) - N_NAMES} more" if len(names) > N_NAMES else ""
    )
    text = f"{listed}: {runs} since {since}."
    return _Candidate(f"{len(names)} new workflows", simulated, text, "neutral", math.sqrt(n))


def _candidates(
    key: tuple[object, ...], now: RunTotals, before: RunTotals, is_whole_before: bool
) -> Iterator[_Candidate]:
    workflow, simulated = formats.name_text(str(key[0]), NAME_LIMIT), key[1] == SIMULATED

    def candidate(text: str, judgement: Judgement, strength: float) -> _Candidate:
        return _Candidate(workflow, simulated, text, judgement, abs(strength))

    if not now.n:
        if before.n >= FEW_RUNS:
            text = (
                f"fell silent: no run ended in this period, {formats.runs_text(before.n)} in the one before"
            )
            yield candidate(text, "worse", math.sqrt(before.n))
        return
    rate, rate_before = now.success_rate, before.success_rate
    if rate is not None and rate_before is not None and _enough(now, before) and is_clear_rate(now, before):
        yield candidate(
            f"success rate {_verb(rate - rate_before)} from {formats.percent_text(rate_before)} to "
            f"{formats.percent_text(rate)} ({formats.count_text(now.n_completed)} of "
            f"{formats.runs_text(now.n_tried)} completed)",
            "better" if rate > rate_before else "worse",
            rate_z(now, before),
        )
    if _enough(now, before) and is_clear_median(now, before):
        values = now.duration_p50_ms, before.duration_p50_ms
        yield candidate(*_duration("median duration", *values, now.n_rated), median_z(now, before))
    elif is_clear_p95(now, before):
        values = now.duration_p95_ms, before.duration_p95_ms
        yield candidate(
            *_duration("95th percentile of the duration", *values, now.n_rated), p95_z(now, before)
        )
    if is_whole_before and before.n >= FEW_RUNS and not 0.5 < now.n / before.n < 2:
        z = (now.n - before.n) / math.sqrt(now.n + before.n)
        if abs(z) >= CLEAR_Z:
            counts = f"{formats.count_text(before.n)} to {formats.count_text(now.n)}"
            yield candidate(f"runs {_verb(z)} from {counts}", "neutral", z)


def _duration(what: str, now: float | None, before: float | None, n: int) -> tuple[str, Judgement]:
    difference = (now or 0.0) - (before or 0.0)
    ratio = formats.signed_percent_text(difference / before) if before else ""
    text = (
        f"{what} {_verb(difference)} from {formats.duration_text(before)} to {formats.duration_text(now)} "
        f"({ratio}, {formats.runs_text(n)})"
    )
    return text, "worse" if difference > 0 else "better"


def _fallbacks(
    now: RunTotals,
    before: RunTotals,
    by_workflow: dict[tuple[object, ...], RunTotals],
    by_workflow_before: dict[tuple[object, ...], RunTotals],
    failures: FailureSection,
    changed: bool,
) -> Iterator[Sentence]:
    """What else is worth saying where fewer than two changes are clear."""
    compared = sum(
        _enough(by_workflow[key], by_workflow_before[key]) for key in by_workflow if key in by_workflow_before
    )
    if now.duration_sum_ms and not before.n:
        longest = max(by_workflow.items(), key=lambda item: item[1].duration_sum_ms)
        name = formats.name_text(str(longest[0][0]), NAME_LIMIT)
        share = longest[1].duration_sum_ms / now.duration_sum_ms
        work = formats.work_text(longest[1].duration_sum_ms)
        text = f"takes the most robot time: {work}, {formats.percent_text(share)} of all."
        yield Sentence(name, text, longest[0][1] == SIMULATED, "neutral")
    elif now.n and before.n:
        few = len(by_workflow) - compared
        text = f"{'no other workflow' if changed else 'no workflow'} changed more than chance explains"
        text += f" ({formats.runs_text(compared, 'workflow')} compared"
        text += f", {formats.count_text(few)} with too few runs to tell)." if few else ")."
        yield Sentence("Otherwise" if changed else "By workflow", text, False, "neutral")
    if failures.rows:
        top = failures.rows[0]
        text = f"{formats.shortened(top.message, 120)} ({top.n} of the failed runs, {top.share})."
        yield Sentence("Most frequent failure", text, top.simulated == "all", "neutral")
    if now.n and not now.n_failures:
        yield Sentence("Failures", "no run failed in this period.", False, "neutral")


def _new_releases(
    rows: pd.DataFrame, earlier: pd.DataFrame, local: LocalTime
) -> dict[tuple[object, ...], str]:
    """The newest release of each workflow that ran earlier, but not with this release, and its first day."""
    key = [*_KEY, "workflow_version"]
    versions = set(earlier[key].itertuples(index=False, name=None))
    known = {version[:2] for version in versions if version[2]}
    found: dict[tuple[object, ...], str] = {}
    for version, hour_us in rows.groupby(key)["hour_us"].min().sort_values().items():
        release = tuple(version) if isinstance(version, tuple) else (version,)
        if release[2] and release not in versions and release[:2] in known:
            name = formats.shortened(str(release[2]), 40)
            found[release[:2]] = f"release {name}, first seen on {_day(local, int(hour_us))}"
    return found


def _with_release(candidate: _Candidate, release: str) -> _Candidate:
    text = f"{candidate.text}; this coincides with {release}" if release else candidate.text
    return _Candidate(
        candidate.workflow, candidate.simulated, text + ".", candidate.judgement, candidate.strength
    )


def _sentence(candidate: _Candidate) -> Sentence:
    return Sentence(candidate.workflow, candidate.text, candidate.simulated, candidate.judgement)


def _enough(now: RunTotals, before: RunTotals) -> bool:
    return min(now.n_tried, before.n_tried) >= FEW_RUNS


def _verb(difference: float) -> str:
    return "rose" if difference > 0 else "fell"


def _day(local: LocalTime, hour_us: int) -> str:
    return formats.day_text(local.moment(hour_us).date())
