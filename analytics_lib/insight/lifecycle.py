"""One insight while a finding lasts: the same identity day after day, new, ongoing, resolved.

Findings of one subject (rule, workflow, environment, step) continue the insight that is not resolved.
An insight that is no longer found is resolved; found again within a day of that, it is the same one,
since a value near a threshold would otherwise be news every other hour. Later it is another one.
"""

import hashlib
import json
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import replace
from typing import Any, Final

import pandas as pd

from analytics_lib.insight.finding import Finding, Subject
from analytics_lib.insight.rank import ranks
from analytics_lib.schema import metadata
from analytics_lib.windows import DAY_US, hour_of, next_hour

COLUMNS: Final = [column.name for column in metadata.tables["insight"].columns]
NEW_FOR_US: Final = DAY_US
REOPENED_WITHIN_US: Final = DAY_US
Row = dict[str, Any]


def insight_id(subject: Subject, first_seen_us: int) -> str:
    """The identity of an insight that begins: 32 hexadecimal digits."""
    facts = (*subject, hour_of(first_seen_us))
    return hashlib.blake2b(repr(facts).encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()


def carry_on(findings: Iterable[Finding], previous: pd.DataFrame, as_of_us: int) -> pd.DataFrame:
    """The insights as of the moment: rows of `insight`, those of `previous` among them, ranked.

    previous: unresolved insights and those resolved lately. Where it was judged as of a later moment,
    it is given back as it is: who looks back cannot know better. The same findings twice give the same
    rows.
    """
    rows = _rows(previous)
    if any(row["judged_at_us"] > as_of_us for row in rows):
        return _frame(rows)
    found = {finding.subject: finding for finding in findings}
    by_subject: dict[Subject, list[Row]] = defaultdict(list)
    for row in rows:
        by_subject[_subject(row)].append(row)
    result: list[Row] = []
    for subject in sorted({*found, *by_subject}):
        earlier = sorted(by_subject[subject], key=_latest_first)
        if subject in found:
            continued = earlier[0] if earlier and _lasts(earlier[0], as_of_us) else None
            result.append(_continue(found[subject], continued, earlier, as_of_us))
            earlier = [row for row in earlier if row is not continued]
        result += [_resolve(row, as_of_us) for row in earlier]
    return _frame([{**row, "rank": rank} for row, rank in zip(result, ranks(result), strict=True)])


def _continue(finding: Finding, row: Row | None, earlier: list[Row], as_of_us: int) -> Row:
    if row is None:
        if earlier:  # it was over: what is found now began after that
            over_us = next_hour(max(one["resolved_at_us"] for one in earlier))
            finding = replace(finding, first_seen_us=max(finding.first_seen_us, over_us))
        finding = replace(finding, last_seen_us=max(finding.last_seen_us, finding.first_seen_us))
        identity, first_seen_us, found_at_us = (
            insight_id(finding.subject, finding.first_seen_us),
            finding.first_seen_us,
            as_of_us,
        )
    else:
        identity, first_seen_us, found_at_us = row["insight_id"], row["first_seen_us"], row["found_at_us"]
    return {
        "insight_id": identity,
        "rule": finding.rule,
        "workflow_id": finding.workflow_id,
        "environment": finding.environment,
        "step_id": finding.step_id,
        "state": "new" if as_of_us - found_at_us < NEW_FOR_US else "ongoing",
        "first_seen_us": first_seen_us,
        "last_seen_us": max(finding.last_seen_us, first_seen_us),
        "resolved_at_us": None,
        "severity": finding.severity,
        "impact_robot_hours": finding.impact_robot_hours,
        "rank": 0,
        "title": finding.title,
        "explanation": finding.explanation,
        "action": finding.action,
        "evidence": json.dumps(finding.evidence, ensure_ascii=False, allow_nan=False, sort_keys=True),
        "found_at_us": found_at_us,
        "judged_at_us": as_of_us,
    }


def _resolve(row: Row, as_of_us: int) -> Row:
    if row["state"] == "resolved":
        return row
    return {**row, "state": "resolved", "resolved_at_us": as_of_us, "judged_at_us": as_of_us}


def _lasts(row: Row, as_of_us: int) -> bool:
    resolved_at_us: int | None = row["resolved_at_us"]
    return resolved_at_us is None or as_of_us - resolved_at_us <= REOPENED_WITHIN_US


def _latest_first(row: Row) -> tuple[bool, int, str]:
    resolved = row["state"] == "resolved"
    return resolved, -row["resolved_at_us"] if resolved else row["first_seen_us"], row["insight_id"]


def _subject(row: Row) -> Subject:
    return row["rule"], row["workflow_id"], row["environment"], row["step_id"]


def _rows(frame: pd.DataFrame) -> list[Row]:
    rows = [{str(name): value for name, value in row.items()} for row in frame.to_dict("records")]
    for row in rows:
        resolved_at_us = row["resolved_at_us"]
        row["resolved_at_us"] = None if pd.isna(resolved_at_us) else int(resolved_at_us)
    return rows


def _frame(rows: list[Row]) -> pd.DataFrame:
    frame = pd.DataFrame(rows, columns=COLUMNS)
    for name in COLUMNS:
        if name == "resolved_at_us":
            frame[name] = frame[name].astype("Int64")  # missing while it lasts
        elif name.endswith("_us") or name in ("severity", "rank"):
            frame[name] = frame[name].astype("int64")
    return frame
