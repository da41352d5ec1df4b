"""Steps recorded by a hook that knows everything of them: the quick ways give what the thorough one gives."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from analytics_lib.record_values import values_of
from analytics_lib.records import QuarantinedRecord, Record, StepMetrics
from collector_agent import MetricsCollector
from collector_agent.recording.whole_steps import StepValues, step_fields_of
from collector_agent.redaction.policy import Redaction
from tests.collector_agent.spool_frames import records_in

START_US = 1_741_825_294_123_456
PLAIN: StepValues = (
    *(1, "BuiltIn.Log", "Log", "completed", START_US, START_US + 1_500, 1.5),
    *(None, 0, "KEYWORD", "", "", 0, ""),
)
STEPS = [
    PLAIN,
    (2, *PLAIN[1:]),
    (
        3,
        'Ä \U0001f600 \\"q"',
        "Ä",
        "failed",
        START_US,
        START_US,
        0.0,
        2,
        7,
        "SETUP",
        "business",
        "",
        3,
        "e1/4",
    ),
    (4, *PLAIN[1:11], "token=abcdefgh1234 of ada@example.org", 0, ""),
    (5, *PLAIN[1:]),
    (6, *PLAIN[1:4], 5, 6, 0.001, *PLAIN[7:]),  # in 1970: refused
    (7, *PLAIN[1:]),
]


def by_record_step(collector: MetricsCollector, values: StepValues) -> None:
    collector.record_step("e1", **step_fields_of(values))


def recorded(
    folder: Path | None, record_with: Callable[[MetricsCollector], Callable[[StepValues], None]]
) -> list[Record]:
    rows: list[Record] = []
    collector = MetricsCollector(
        None if folder else rows.extend,
        host="h1",
        spool_folder=folder,
        recorder_id="r1",
        agent_id="a1",
        redaction=Redaction(),
    )
    collector.record_execution_start("e1", "W", queue="q1")
    record = record_with(collector)
    for values in STEPS:
        record(values)
    collector.stop()
    found = records_in(folder) if folder else rows
    return [row for row in found if isinstance(row, (StepMetrics, QuarantinedRecord))]


def comparable(rows: list[Record]) -> list[tuple[Any, ...]]:
    return [
        ("refused", row.reason) if isinstance(row, QuarantinedRecord) else tuple(values_of(row))
        for row in rows
    ]


@pytest.mark.parametrize("durable", [False, True])
def test_a_whole_step_is_the_record_that_record_step_makes(durable: bool, tmp_path: Path) -> None:
    folders = [tmp_path / "quick", tmp_path / "thorough"] if durable else [None, None]
    quick = recorded(folders[0], lambda c: c.whole_steps("e1", "W", lambda values: values))
    thorough = recorded(folders[1], lambda c: lambda values: by_record_step(c, values))
    assert len(quick) == len(STEPS)
    assert comparable(quick) == comparable(thorough)
    assert sum(isinstance(row, QuarantinedRecord) for row in quick) == 1
    assert "ada" not in str(quick)


@pytest.mark.parametrize("durable", [False, True])
def test_values_that_cannot_be_made_are_kept_aside_and_the_others_go_on(
    durable: bool, tmp_path: Path
) -> None:
    def values_of_it(values: StepValues) -> StepValues:
        return (*values[:4], values[4] // (values[0] - 2), *values[5:])  # not of the second

    folder = tmp_path / "spool" if durable else None
    rows = recorded(folder, lambda c: c.whole_steps("e1", "W", values_of_it))
    assert len(rows) == len(STEPS)
    refused = [row.reason for row in rows if isinstance(row, QuarantinedRecord)]
    assert any("ZeroDivisionError" in reason for reason in refused)
