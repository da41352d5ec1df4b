"""All rules together: ranked, repeatable, and not upset by what is in the rows."""

import json
from typing import Any

import pandas as pd
import pytest

from analytics_lib.insight import rules
from analytics_lib.insight.finding import MOST_ANOMALY_IDS
from analytics_lib.insight.generation import generate
from analytics_lib.insight.inputs import InsightInputs
from analytics_lib.insight.lifecycle import COLUMNS
from analytics_lib.insight.rank import importance, ranks
from analytics_lib.windows import HOUR_US
from tests.insight.weeks import END, Raw, anomaly, hour, inputs, runs, steps

DAY = 24
NOTHING = pd.DataFrame(columns=COLUMNS)


def fleet(names: dict[str, str] | None = None) -> InsightInputs:
    """One workflow with each of the troubles, under their own names unless told otherwise."""

    def named(rows: Raw, name: str) -> Raw:
        return [row | {"workflow_id": (names or {}).get(name, name)} for row in rows]

    spike = runs(16 * DAY, DAY + 1, n=2, workflow_version="1.0")
    spike += runs(DAY, 1, n=2, failed=1, workflow_version="2.0")
    slow = [row | {"duration_ms": 50_000.0 + i % 9 * 2_000} for i, row in enumerate(runs(16 * DAY, 49))]
    slow += [row | {"duration_ms": 100_000.0 + i % 9 * 2_000} for i, row in enumerate(runs(48, 1))]
    flaky: Raw = []
    for day in range(14, 0, -1):
        flaky += runs(day * DAY - 12, day * DAY - 12, n=10, failed=day % 2)
    uneven = steps(160, 1, "book", 60_000)
    uneven = [row | ({"duration_ms": 660_000.0} if i % 10 == 9 else {}) for i, row in enumerate(uneven)]
    uneven += steps(160, 1, "read", 60_000)
    raw = named(spike, "spiking") + named(slow, "slow") + named(flaky, "flaky")
    raw += named(runs(160, 1), "uneven") + named(runs(20 * DAY, 41), "silent")
    gone = [anomaly("missing_runs", ago, since_us=hour(40)) for ago in range(40, 0, -1)]
    return inputs(raw, named(uneven, "uneven"), named(gone, "silent"))


def test_each_trouble_is_found_by_its_rule_and_no_other() -> None:
    found = generate(fleet(), NOTHING, END)
    assert sorted(found[["rule", "workflow_id", "step_id"]].itertuples(index=False, name=None)) == [
        ("bottleneck_step", "uneven", "book"),
        ("failure_spike", "spiking", ""),
        ("flaky_workflow", "flaky", ""),
        ("silent_workflow", "silent", ""),
        ("slower_than_normal", "slow", ""),
    ]
    assert list(found.columns) == COLUMNS
    assert sorted(found["rank"]) == [1, 2, 3, 4, 5]
    assert found["severity"].between(0, 100).all()
    assert (found["impact_robot_hours"] > 0).all()
    assert (found["first_seen_us"] <= found["last_seen_us"]).all()
    assert (found["last_seen_us"] < END).all()


def test_every_text_is_short_plain_and_claims_no_cause() -> None:
    found = generate(fleet(), NOTHING, END)
    for row in found.itertuples():
        assert len(str(row.title)) <= 60
        assert str(row.action).endswith(".")
        assert any(character.isdigit() for character in str(row.explanation))
        for text in map(str, (row.title, row.explanation, row.action)):
            assert "because" not in text.lower()
            assert "  " not in text
            assert "nan" not in text.lower()


def test_the_same_inputs_give_the_same_rows() -> None:
    first = generate(fleet(), NOTHING, END)
    pd.testing.assert_frame_equal(generate(fleet(), NOTHING, END), first)
    pd.testing.assert_frame_equal(generate(fleet(), first, END), first)


def test_the_order_of_the_rows_does_not_matter() -> None:
    given = fleet()
    shuffled = InsightInputs(
        anomalies=given.anomalies.sample(frac=1, random_state=1),
        executions=given.executions.sample(frac=1, random_state=2),
        steps=given.steps.sample(frac=1, random_state=3),
        as_of_us=END,
        zone="UTC",
    )
    pd.testing.assert_frame_equal(generate(shuffled, NOTHING, END), generate(given, NOTHING, END))


def test_inputs_are_not_altered() -> None:
    given = fleet()
    copies = [frame.copy(deep=True) for frame in (given.anomalies, given.executions, given.steps)]
    generate(given, NOTHING, END)
    for frame, copy in zip((given.anomalies, given.executions, given.steps), copies, strict=True):
        pd.testing.assert_frame_equal(frame, copy)


def test_rows_of_an_alias_count_with_those_of_its_workflow() -> None:
    whole = inputs(runs(15 * DAY, DAY + 1, n=2) + runs(DAY, 1, n=2, failed=1))
    one, other = (inputs(runs(15 * DAY, DAY + 1) + runs(DAY, 1, failed=failed)) for failed in (0, 1))
    both = pd.concat([one.executions, other.executions], ignore_index=True)
    split = InsightInputs(whole.anomalies, both, whole.steps, END, "UTC")
    pd.testing.assert_frame_equal(generate(split, NOTHING, END), generate(whole, NOTHING, END))


@pytest.mark.parametrize(
    "rows",
    [
        {},
        {"raw": runs(1, 1)},
        {"raw": runs(15 * DAY, 1, status="skipped")},
        {"raw": runs(15 * DAY, 1, duration_ms=0.0)},
        {"raw": runs(-5, -20)},
        {"anomalies": [anomaly("failing", 5), anomaly("slower", 5), anomaly("no_data", 1, workflow_id="")]},
        {"step_rows": steps(20, 1, "book", 1.0)},
    ],
    ids=[
        "nothing",
        "one run",
        "all skipped",
        "no time",
        "future",
        "anomalies only",
        "steps only",
    ],
)
def test_there_may_be_nothing_to_say(rows: dict[str, Any]) -> None:
    assert generate(inputs(**rows), NOTHING, END).empty


def test_everything_failing_from_a_moment_on_is_a_spike_only() -> None:
    found = generate(inputs(runs(20 * DAY, 49) + runs(48, 1, failed=1)), NOTHING, END)
    assert list(found["rule"]) == ["failure_spike"]


HOSTILE = "<script>alert(1)</script>\r\nBcc: x@y\u202e\x1b[2J=1+1' OR 1=1 🤖" + "x" * 200


def test_hostile_names_survive() -> None:
    given = fleet({name: f"{name}{HOSTILE}" for name in ("spiking", "slow", "flaky", "uneven", "silent")})
    steps_named = given.steps.assign(step_name=HOSTILE)
    executions = given.executions.assign(workflow_version=given.executions["workflow_version"] + HOSTILE)
    hostile = InsightInputs(given.anomalies, executions, steps_named, END, "UTC")
    found = generate(hostile, NOTHING, END)
    assert len(found) == 5
    for row in found.itertuples():
        for text in map(str, (row.title, row.explanation, row.action)):
            assert not {"\r", "\n", "\u202e"} & set(text)
            assert len(text) < 700
        json.loads(str(row.evidence))


def test_evidence_holds_twenty_anomalies_at_most() -> None:
    found = generate(fleet(), NOTHING, END)
    silent = found[found["rule"] == "silent_workflow"].iloc[0]
    assert len(json.loads(silent["evidence"])["anomaly_ids"]) == MOST_ANOMALY_IDS


def test_every_rule_is_a_file_with_the_same_name() -> None:
    names = [rule.__module__.rpartition(".")[2] for rule in rules.RULES]
    assert names == [
        "failure_spike",
        "slower_than_normal",
        "bottleneck_step",
        "flaky_workflow",
        "silent_workflow",
        "failing_workflow",
    ]


def test_rank_is_severity_times_impact_and_news_first() -> None:
    def row(severity: int, impact: float, state: str = "ongoing", workflow_id: str = "a") -> dict[str, Any]:
        return {
            "severity": severity,
            "impact_robot_hours": impact,
            "state": state,
            "workflow_id": workflow_id,
            "environment": "production",
            "rule": "failure_spike",
            "step_id": "",
        }

    rows = [
        row(80, 0.0),
        row(40, 3.0),
        row(90, 9.0, "resolved"),
        row(80, 0.0, "new"),
        row(40, 3.0, workflow_id="0"),
    ]
    assert ranks(rows) == [4, 2, 0, 3, 1]
    assert importance(40, 3.0, "ongoing") == 120


def test_hours_after_the_moment_are_not_looked_at() -> None:
    given = fleet()
    earlier = InsightInputs(given.anomalies, given.executions, given.steps, END - 2 * DAY * HOUR_US, "UTC")
    found = generate(earlier, NOTHING, END - 2 * DAY * HOUR_US)
    assert set(found["rule"]) <= {"flaky_workflow", "bottleneck_step"}
