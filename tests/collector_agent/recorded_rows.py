"""A collector whose rows a test can look at."""

from analytics_lib.records import ExecutionMetrics, ExecutionStart, QuarantinedRecord, Record, StepMetrics
from collector_agent import MetricsCollector
from collector_agent.redaction.policy import Redaction


class Recorded:
    """A collector and what it delivered, by kind."""

    def __init__(self) -> None:
        self.rows: list[Record] = []
        any_attribute = Redaction(attributes=["*"])
        self.collector = MetricsCollector(self.rows.extend, host="h1", redaction=any_attribute)

    @property
    def starts(self) -> list[ExecutionStart]:
        assert self.collector.flush()
        return [row for row in self.rows if isinstance(row, ExecutionStart)]

    @property
    def executions(self) -> list[ExecutionMetrics]:
        assert self.collector.flush()
        return [row for row in self.rows if isinstance(row, ExecutionMetrics)]

    @property
    def steps(self) -> list[StepMetrics]:
        assert self.collector.flush()
        return sorted((r for r in self.rows if isinstance(r, StepMetrics)), key=lambda step: step.step_seq)

    @property
    def refused(self) -> list[QuarantinedRecord]:
        assert self.collector.flush()
        return [row for row in self.rows if isinstance(row, QuarantinedRecord)]

    def step(self, step_id: str) -> StepMetrics:
        [found] = [step for step in self.steps if step.step_id == step_id]
        return found

    def places(self) -> list[tuple[str, int, int | None, int]]:
        """Of each step: what it is, its number, that of the step around it, and how deep it lies."""
        return [(step.step_id, step.step_seq, step.parent_step_seq, step.depth) for step in self.steps]
