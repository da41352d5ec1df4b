"""What the findings ask of the reader: one sentence, then a card for each, with its evidence."""

import json
from collections.abc import Iterator, Mapping
from typing import Any, Final

import pandas as pd

from analytics_lib import formats
from analytics_lib.report.parts import InsightCard, InsightSection, NeedsYou, Tone
from analytics_lib.report.periods import LocalTime
from analytics_lib.report.workflows import environment_text
from analytics_lib.totals import SIMULATED, RunTotals

NEEDS_YOU_FROM: Final = 50  # severity; what is milder is told by its card
MOSTLY_FAILING: Final = 0.5  # success rate
N_CARDS: Final = 8
NAME_LIMIT: Final = 80
TEXT_LIMIT: Final = 600
_COUNTED: Final = {"silent_workflow": "owed run", "bottleneck_step": "step"}  # by rule; else runs
_SMALLEST_CHANCE: Final = 0.0001
_SMALLEST_IMPACT_HOURS: Final = 0.05


def needs_you(insights: pd.DataFrame, now: RunTotals, *, judged: bool) -> NeedsYou:
    """The first thing to look at: the best ranked unresolved insight that is severe enough.

    Rules find what got worse. Where most runs fail and always did, no rule speaks, and still all is not well.
    """
    unresolved = [row for row in _ordered(insights) if row["state"] != "resolved"]
    severe = [row for row in unresolved if row["severity"] >= NEEDS_YOU_FROM]
    if not severe:
        if now.success_rate is not None and now.success_rate < MOSTLY_FAILING:
            rate, runs = formats.percent_text(now.success_rate), formats.runs_text(now.n_tried)
            return NeedsYou("", f"Most runs do not complete: {rate} of {runs} did.", "bad")
        if not judged:
            return NeedsYou("", "Nothing has been judged yet: there is no baseline to judge by.", "neutral")
        return NeedsYou("", "Nothing needs you.", "good")
    first, others = severe[0], len(severe) - 1
    text = formats.shortened(str(first["title"]), 200).rstrip(".")
    if impact := impact_text(float(first["impact_robot_hours"])):
        text += f" ({impact})"
    text += f"; {others} more {'does' if others == 1 else 'do'}, too." if others else "."
    return NeedsYou(_subject(first), text, "bad", first["environment"] == SIMULATED)


def insight_section(insights: pd.DataFrame, local: LocalTime) -> InsightSection:
    """Up to eight cards in order of rank, resolved ones last; the rest is counted."""
    rows = _ordered(insights)
    return InsightSection(
        tuple(insight_card(row, local) for row in rows[:N_CARDS]), max(len(rows) - N_CARDS, 0)
    )


def insight_card(row: Mapping[str, Any], local: LocalTime) -> InsightCard:
    """The card of one row of the table insight, whose workflow_id is the name to show."""
    state = str(row["state"])
    tone: Tone = "good" if state == "resolved" else "bad" if row["severity"] >= NEEDS_YOU_FROM else "neutral"
    return InsightCard(
        subject=_subject(row),
        environment=environment_text(str(row["environment"])),
        simulated=row["environment"] == SIMULATED,
        state=state,
        tone=tone,
        title=formats.shortened(str(row["title"]), 200),
        explanation=formats.shortened(str(row["explanation"]), TEXT_LIMIT),
        action=formats.shortened(str(row["action"]), TEXT_LIMIT),
        impact=impact_text(float(row["impact_robot_hours"])),
        evidence=", ".join(_evidence(row, local)),
    )


def impact_text(robot_hours: float) -> str:
    """Robot hours lost; '' for none worth a word.

    >>> impact_text(12.34), impact_text(1064.0), impact_text(0.01)
    ('12.3\\xa0robot hours', '1\\xa0064\\xa0robot hours', '')
    """
    if not robot_hours >= _SMALLEST_IMPACT_HOURS:
        return ""
    number = f"{robot_hours:.1f}" if robot_hours < 99.95 else formats.count_text(round(robot_hours))
    return f"{number}{formats.NBSP}robot hours"


def _ordered(insights: pd.DataFrame) -> list[dict[str, Any]]:
    """Unresolved ones by rank, then resolved ones, the latest first."""
    if insights.empty:
        return []
    frame = insights.assign(
        _resolved=insights["state"] == "resolved",
        _latest=-pd.to_numeric(insights["resolved_at_us"]).fillna(0),
        _mildest=-insights["severity"],
    )
    ordered = frame.sort_values(["_resolved", "_latest", "rank", "_mildest", "insight_id"])
    return [{str(key): value for key, value in row.items()} for row in ordered.to_dict("records")]


def _subject(row: Mapping[str, Any]) -> str:
    return formats.name_text(str(row["workflow_id"]), NAME_LIMIT)


def _evidence(row: Mapping[str, Any], local: LocalTime) -> Iterator[str]:
    """What stands behind it, as far as the rule left numbers that every reader knows."""
    facts = _facts(str(row["evidence"]))
    since = formats.moment_text(local.moment(int(row["first_seen_us"])))
    until = row["resolved_at_us"]
    resolved = row["state"] == "resolved" and not pd.isna(until)
    yield f"since {since}" + (f" until {formats.moment_text(local.moment(int(until)))}" if resolved else "")
    n, n_before = _number(facts, "n"), _number(facts, "n_before")
    if n is not None:
        before = f" against {formats.count_text(int(n_before))} before" if n_before is not None else ""
        yield formats.runs_text(int(n), _COUNTED.get(str(row["rule"]), "run")) + before
    chance, z = _number(facts, "chance"), _number(facts, "z")
    if chance is not None:
        small = chance < _SMALLEST_CHANCE
        said = f"<{formats.NBSP}{_SMALLEST_CHANCE}" if small else f"={formats.NBSP}{chance:.1g}"
        yield f"p{formats.NBSP}{said}"
    elif z is not None:
        yield f"z{formats.NBSP}={formats.NBSP}{z:.1f}"
    flagged = facts.get("anomaly_ids")
    if isinstance(flagged, list) and flagged:
        yield formats.runs_text(len(flagged), "flagged hour")


def _facts(text: str) -> dict[str, Any]:
    try:
        facts = json.loads(text)
    except ValueError:
        return {}
    return facts if isinstance(facts, dict) else {}


def _number(facts: Mapping[str, Any], name: str) -> float | None:
    value = facts.get(name)
    return value if isinstance(value, (int, float)) and not isinstance(value, bool) else None
