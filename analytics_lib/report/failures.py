"""Top failures: failed runs whose messages differ only in numbers, names and paths are one failure."""

import re
from functools import partial
from typing import Final

import pandas as pd

from analytics_lib import formats
from analytics_lib.report.parts import FailureRow, FailureSection
from analytics_lib.report.periods import LocalTime
from analytics_lib.report.trends import Timeline, failures_trend
from analytics_lib.totals import SIMULATED, RunTotals, share_simulated

N_ROWS: Final = 12
N_WORKFLOWS: Final = 3
MESSAGE_LIMIT: Final = 240
COLUMNS: Final = (
    "workflow_id",
    "environment",
    "host",
    "exception_kind",
    "status",
    "message",
    "ended_at_us",
    "execution_id",
)
NO_MESSAGE: Final = "(no message)"
# In this order: an address holds a path, a path and a quotation hold digits.
_MASKS: Final = tuple(
    (re.compile(pattern), mask)
    for pattern, mask in (
        (r"\b[a-zA-Z][a-zA-Z0-9+.-]{1,20}://[^\s'\"<>]+", "‹address›"),
        (r"(?<![\w'])'[^'\n]{1,300}'(?!\w)", "'…'"),
        (r'"[^"\n]{1,300}"', '"…"'),
        (r"“[^”\n]{1,300}”", "“…”"),
        (r"(?<!\w)(?:[A-Za-z]:\\|\\\\)[^\s'\"<>|]+", "‹path›"),
        (r"(?<![\w/.])~?/[\w.@+-]+(?:/[\w.@+-]*)+", "‹path›"),
        (r"\b[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}\b", "#"),
        (r"\b0x[0-9a-fA-F]+\b", "#"),
        (r"\d+(?:[.,:]\d+)*", "#"),
    )
)


def pattern_of(message: str) -> str:
    """The message without what differs from run to run.

    >>> pattern_of("Element 'id=btn-7' not found after 30.5 s in /srv/bots/a.robot")
    "Element '…' not found after # s in ‹path›"
    >>> pattern_of("order 4711 is missing") == pattern_of("order 12 is missing")
    True
    """
    text = message[:2_000]
    for pattern, mask in _MASKS:
        text = pattern.sub(mask, text)
    return formats.shortened(text, MESSAGE_LIMIT) or NO_MESSAGE


def failure_section(
    failures: pd.DataFrame, *, truncated: bool, totals: RunTotals, timeline: Timeline, local: LocalTime
) -> FailureSection:
    """The chart by kind (complete, from rollups) and the table by message (from raw rows)."""
    if failures.empty:
        none = "No run failed in this period." if not totals.n_failures else ""
        none = none or "The messages of the failed runs are no longer kept: only their number is known."
        return FailureSection(failures_trend(timeline) if totals.n else None, (), "", none)
    patterns = {message: pattern_of(message) for message in set(failures["message"].astype(str))}
    rows = failures.assign(
        pattern=failures["message"].astype(str).map(patterns),
        kind=[_kind(*kind) for kind in zip(failures["exception_kind"], failures["status"], strict=True)],
    )
    groups = [(key, group) for key, group in rows.groupby(["pattern", "kind"], sort=True)]
    groups.sort(key=lambda item: -len(item[1]))
    row = partial(_row, n_all=len(rows), local=local)
    caption = (
        "Numbers (#), quotations and paths are masked, so that messages that differ only in them count "
        f"together. {formats.runs_text(len(rows), 'failed run')} with "
        f"{formats.runs_text(len(groups), 'different message')}"
    )
    caption += f"; the {N_ROWS} most frequent are shown." if len(groups) > N_ROWS else "."
    if truncated:
        caption += (
            f" Only the newest {formats.count_text(len(rows))} failed runs were read: "
            "counts and first times reach no further back."
        )
    elif len(rows) < totals.n_failures:  # raw rows are kept for a shorter time than their counts
        caption += f" Messages are known of these only; {formats.runs_text(totals.n_failures)} failed in all."
    shown = tuple(row(str(key[0]), str(key[1]), group) for key, group in groups[:N_ROWS])
    return FailureSection(failures_trend(timeline), shown, caption, "")


def _row(pattern: str, kind: str, group: pd.DataFrame, *, n_all: int, local: LocalTime) -> FailureRow:
    workflows = [formats.name_text(str(name), 80) for name in group["workflow_id"].value_counts().index]
    more = f" and {len(workflows) - N_WORKFLOWS} more" if len(workflows) > N_WORKFLOWS else ""
    newest = group.iloc[int(group["ended_at_us"].to_numpy().argmax())]
    return FailureRow(
        message=pattern,
        kind=kind,
        n=formats.count_text(len(group)),
        share=formats.percent_text(len(group) / n_all),
        first_seen=formats.moment_text(local.moment(int(group["ended_at_us"].min()))),
        last_seen=formats.moment_text(local.moment(int(newest["ended_at_us"]))),
        workflows=", ".join(workflows[:N_WORKFLOWS]) + more,
        example_id=formats.shortened(str(newest["execution_id"]), 60),
        simulated=share_simulated(int((group["environment"] == SIMULATED).sum()), len(group)),
    )


def _kind(exception_kind: object, status: object) -> str:
    return str(exception_kind) or ("timed out" if status == "timed_out" else "not classified")
