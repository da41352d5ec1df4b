"""What a process that names things by numbers and times does to its series: no more than the cap."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from analytics_lib.records import (
    AgentHeartbeat,
    ExecutionHeartbeat,
    ExecutionMetrics,
    ExecutionStart,
    QuarantinedRecord,
    Record,
    StepMetrics,
)
from collector_agent import MetricsCollector
from collector_agent.recording.cardinality import OVERFLOW, Cardinality
from collector_agent.redaction.policy import Redaction
from tests.collector_agent.spool_frames import records_in

Recorded = tuple[MetricsCollector, Callable[[], list[Record]]]


@pytest.fixture(params=["in memory", "durably"])
def capped(request: pytest.FixtureRequest, tmp_path: Path) -> Recorded:
    """A collector that tells two of everything apart, and what it recorded."""
    rows: list[Record] = []
    caps: dict[str, Any] = {"max_workflows": 2, "max_steps": 2, "max_attribute_values": 2}
    caps |= {"redaction": Redaction(attributes=["*"])}
    if request.param == "in memory":
        collector = MetricsCollector(rows.extend, flush_interval_sec=3600, **caps)
    else:
        collector = MetricsCollector(spool_folder=tmp_path, flush_interval_sec=3600, **caps)

    def recorded() -> list[Record]:
        collector.stop()
        return rows or records_in(tmp_path)

    return collector, recorded


def run(collector: MetricsCollector, number: int) -> None:
    collector.record_execution_start(f"e{number}", f"w{number}")
    for step in (0, 1, 2, 3, 0):
        collector.record_step(f"e{number}", f"s{step}", status="completed", duration_ms=1)
    attributes = {"customer": f"c{number}", "kind": "invoice"}
    collector.record_execution_complete(f"e{number}", status="completed", attributes=attributes)


def test_what_is_one_too_many_goes_by_one_name_for_all(capped: Recorded) -> None:
    collector, recorded = capped
    for number in (0, 1, 2, 3):
        run(collector, number)
    rows = recorded()
    assert [row.workflow_id for row in rows if isinstance(row, ExecutionStart)] == [
        *("w0", "w1"),
        *(OVERFLOW, OVERFLOW),
    ]
    steps = [(row.workflow_id, row.step_id) for row in rows if isinstance(row, StepMetrics)]
    of_a_run = ("s0", "s1", OVERFLOW, OVERFLOW, "s0")
    assert steps == [(w, s) for w in ("w0", "w1", OVERFLOW, OVERFLOW) for s in of_a_run]
    ends = [(row.workflow_id, dict(row.attributes)) for row in rows if isinstance(row, ExecutionMetrics)]
    assert ends == [
        ("w0", {"customer": "c0", "kind": "invoice"}),
        ("w1", {"customer": "c1", "kind": "invoice"}),
        (OVERFLOW, {"customer": OVERFLOW, "kind": "invoice"}),
        (OVERFLOW, {"customer": OVERFLOW, "kind": "invoice"}),
    ]
    assert not [row for row in rows if isinstance(row, QuarantinedRecord)]


def test_the_agent_says_what_is_too_many_and_how_often_and_the_log_says_it_once(
    capped: Recorded, caplog: pytest.LogCaptureFixture
) -> None:
    collector, recorded = capped
    collector.start()
    for number in (0, 1, 2, 3):
        run(collector, number)
    said = [row for row in recorded() if isinstance(row, AgentHeartbeat)][-1].problem
    assert said.startswith("too many different values, recorded as __overflow__: ")
    for what in ("step_id of '__overflow__' 4 times", "step_id of 'w0' 2 times", "and 2 more"):
        assert what in said
    assert [line.split(" has more than")[0] for line in caplog.messages] == [
        "step_id of 'w0'",
        "workflow_id",
        "attribute 'customer'",
    ]


def test_a_run_that_lives_shows_life_by_the_name_that_its_rows_carry(capped: Recorded) -> None:
    collector, recorded = capped
    for number in range(3):
        collector.record_execution_start(f"e{number}", f"w{number}")
    assert collector.flush()
    signs = [row.workflow_id for row in recorded() if isinstance(row, ExecutionHeartbeat)]
    assert signs == ["w0", "w1", OVERFLOW]


def test_what_is_refused_takes_nobodys_place(capped: Recorded) -> None:
    collector, recorded = capped
    for number in range(5):
        collector.record_execution_start(f"bad {number}", f"w\n{number}")
    for number in (0, 1):
        run(collector, number)
    rows = recorded()
    assert [row.workflow_id for row in rows if isinstance(row, ExecutionStart)] == ["w0", "w1"]
    assert len([row for row in rows if isinstance(row, QuarantinedRecord)]) == 5


def test_memory_is_bounded_whatever_comes() -> None:
    known = Cardinality(max_workflows=1, max_steps=1, max_attribute_values=1)
    for n in range(5_000):
        assert known.workflow(f"w{n}") in (f"w{n}", OVERFLOW)
        known.attributes({f"key {n}": "value"})
        known._overflow("step_id", f" of workflow {n}", 1)
    assert len(known._overflows) <= 1_001
    assert len(known.problem()) < 500


def test_text_with_methods_of_its_own_is_left_to_the_record() -> None:
    class Evil(str):
        def __hash__(self) -> int:
            raise RuntimeError("no hash")

    known = Cardinality()
    word = Evil("w")
    assert known.workflow(word) is word
    assert known.step("w", word) is word
    assert known.attributes({"k": word})["k"] is word
