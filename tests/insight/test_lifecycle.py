"""One insight while a finding lasts, over days."""

import json
from dataclasses import replace

import pandas as pd

from analytics_lib.insight.finding import Finding
from analytics_lib.insight.lifecycle import COLUMNS, carry_on
from analytics_lib.windows import DAY_US, HOUR_US
from tests.insight.weeks import END, hour

NOTHING = pd.DataFrame(columns=COLUMNS)
SPIKE = Finding(
    rule="failure_spike",
    workflow_id="invoice",
    environment="production",
    step_id="",
    title="50 % of runs fail",
    explanation="48 runs.",
    action="Read the messages.",
    evidence={"n": 48},
    impact_robot_hours=0.4,
    severity=80,
    first_seen_us=hour(24),
    last_seen_us=hour(1),
)


def days(*found: list[Finding], first_us: int = END) -> list[pd.DataFrame]:
    """The insights of day after day."""
    given, frames = NOTHING, []
    for number, findings in enumerate(found):
        given = carry_on(findings, given, first_us + number * DAY_US)
        frames.append(given)
    return frames


def only(frame: pd.DataFrame) -> "pd.Series[str]":
    assert len(frame) == 1
    return frame.iloc[0]


def test_new_then_ongoing_then_resolved_under_one_id() -> None:
    later = replace(SPIKE, first_seen_us=hour(20), last_seen_us=END, severity=60, title="40 % of runs fail")
    first, second, third, fourth = (only(f) for f in days([SPIKE], [later], [], []))
    assert [row["state"] for row in (first, second, third, fourth)] == [
        "new",
        "ongoing",
        "resolved",
        "resolved",
    ]
    assert len({row["insight_id"] for row in (first, second, third, fourth)}) == 1
    assert second["first_seen_us"] == hour(24)
    assert second["found_at_us"] == END
    assert (second["severity"], second["title"], second["last_seen_us"]) == (60, "40 % of runs fail", END)
    assert pd.isna(second["resolved_at_us"])
    assert third["resolved_at_us"] == END + 2 * DAY_US
    assert third["judged_at_us"] == fourth["judged_at_us"] == END + 2 * DAY_US
    assert [row["rank"] for row in (first, second, third)] == [1, 1, 0]


def test_it_is_new_for_a_day() -> None:
    first = carry_on([SPIKE], NOTHING, END)
    assert only(carry_on([SPIKE], first, END + 23 * HOUR_US))["state"] == "new"
    assert only(carry_on([SPIKE], first, END + 24 * HOUR_US))["state"] == "ongoing"


def test_found_again_within_a_day_it_is_the_same_one() -> None:
    first, _, third = days([SPIKE], [], [SPIKE])
    assert only(third)["insight_id"] == only(first)["insight_id"]
    assert only(third)["found_at_us"] == END
    assert only(third)["state"] == "ongoing"
    assert pd.isna(only(third)["resolved_at_us"])


def test_found_again_later_it_is_another_one_even_if_dated_as_before() -> None:
    *_, last = days([SPIKE], [], [], [SPIKE])
    assert sorted(last["state"]) == ["new", "resolved"]
    new, old = (last[last["state"] == state].iloc[0] for state in ("new", "resolved"))
    assert new["insight_id"] != old["insight_id"]
    assert new["first_seen_us"] == old["resolved_at_us"] == END + DAY_US
    assert (new["rank"], old["rank"]) == (1, 0)
    again = carry_on([SPIKE], last, END + 4 * DAY_US)
    assert sorted(again["state"]) == ["ongoing", "resolved"]


def test_subjects_are_apart() -> None:
    others = [replace(SPIKE, **change) for change in CHANGES]
    frame = carry_on([SPIKE, *others], NOTHING, END)
    assert len(set(frame["insight_id"])) == 5
    assert sorted(frame["rank"]) == [1, 2, 3, 4, 5]
    left = carry_on([SPIKE], frame, END + DAY_US)
    assert sorted(left["state"]) == ["ongoing", *["resolved"] * 4]


CHANGES: list[dict[str, str]] = [
    {"rule": "flaky_workflow"},
    {"workflow_id": "payroll"},
    {"environment": "simulated"},
    {"step_id": "book"},
]


def test_the_same_findings_twice_give_the_same_rows() -> None:
    first = carry_on([SPIKE], NOTHING, END)
    pd.testing.assert_frame_equal(carry_on([SPIKE], first, END), first)
    resolved = carry_on([], first, END + HOUR_US)
    pd.testing.assert_frame_equal(carry_on([], resolved, END + HOUR_US), resolved)


def test_the_order_of_findings_does_not_matter() -> None:
    findings = [SPIKE, *(replace(SPIKE, **change) for change in CHANGES)]
    pd.testing.assert_frame_equal(
        carry_on(findings, NOTHING, END), carry_on(reversed(findings), NOTHING, END)
    )


def test_an_earlier_moment_changes_nothing() -> None:
    later = carry_on([SPIKE], NOTHING, END)
    pd.testing.assert_frame_equal(carry_on([], later, END - HOUR_US), later)


def test_nothing_is_found_and_nothing_was() -> None:
    frame = carry_on([], NOTHING, END)
    assert frame.empty
    assert list(frame.columns) == COLUMNS


def test_previous_rows_are_not_altered() -> None:
    first = carry_on([SPIKE], NOTHING, END)
    copy = first.copy(deep=True)
    carry_on([], first, END + DAY_US)
    pd.testing.assert_frame_equal(first, copy)


def test_evidence_is_json() -> None:
    assert json.loads(only(carry_on([SPIKE], NOTHING, END))["evidence"]) == {"n": 48}
