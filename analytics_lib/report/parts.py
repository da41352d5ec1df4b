"""The parts of a report: frozen values with the very texts that the page shows.

The template adds no number and takes no decision; whatever it prints is here, so a test (or a mail)
can read the same words.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

Simulated = Literal["", "part", "all"]
Judgement = Literal["better", "worse", "unclear", "neutral"]
Spec = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Change:
    """A value against the one before. `judgement` is unclear where chance explains the difference."""

    text: str
    before: str
    arrow: str
    judgement: Judgement


@dataclass(frozen=True, slots=True)
class Chart:
    """One picture: the Vega-Lite spec for a page, a narrower one for a phone, and its words."""

    spec: Spec
    narrow_spec: Spec | None
    alt: str
    caption: str = ""
    simulated: Simulated = ""


@dataclass(frozen=True, slots=True)
class Card:
    """One headline number."""

    label: str
    value: str
    detail: str
    change: Change | None
    sparkline: Chart | None


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that needs the reader: about which workflow, what, and on which evidence."""

    workflow: str
    text: str
    evidence: str
    simulated: bool


@dataclass(frozen=True, slots=True)
class Attention:
    """What needs the reader; without findings, `calm` says so and why that can be believed."""

    findings: tuple[Finding, ...]
    n_more: int
    calm: str


@dataclass(frozen=True, slots=True)
class WorkflowRow:
    workflow: str
    environment: str
    simulated: Simulated
    runs: str
    runs_change: Change | None
    success: str
    success_change: Change | None
    median: str
    median_change: Change | None
    p95: str
    p95_change: Change | None
    work: str
    worse: bool


@dataclass(frozen=True, slots=True)
class WorkflowTable:
    rows: tuple[WorkflowRow, ...]
    rest: WorkflowRow | None
    caption: str


@dataclass(frozen=True, slots=True)
class PeriodRow:
    """The numbers behind the trend, for those who read numbers rather than pictures."""

    period: str
    runs: str
    success: str
    median: str
    p95: str


@dataclass(frozen=True, slots=True)
class FailureRow:
    message: str
    kind: str
    n: str
    share: str
    first_seen: str
    last_seen: str
    workflows: str
    example_id: str
    simulated: Simulated


@dataclass(frozen=True, slots=True)
class FailureSection:
    chart: Chart | None
    rows: tuple[FailureRow, ...]
    caption: str
    none: str


@dataclass(frozen=True, slots=True)
class StepRow:
    step: str
    workflow: str
    depth: int
    share: str
    work: str
    median: str
    median_change: Change | None
    p95: str
    n: str
    failed: str
    simulated: Simulated


@dataclass(frozen=True, slots=True)
class StepSection:
    chart: Chart | None
    nested: tuple[StepRow, ...]
    caption: str
    none: str


@dataclass(frozen=True, slots=True)
class HostRow:
    host: str
    target: str
    cpu_median: str
    cpu_p95: str
    memory_p95: str
    disk: str
    n: str
    simulated: Simulated


@dataclass(frozen=True, slots=True)
class ResourceSection:
    charts: tuple[Chart, ...]
    rows: tuple[HostRow, ...]
    caption: str
    none: str


@dataclass(frozen=True, slots=True)
class Note:
    label: str
    text: str


@dataclass(frozen=True, slots=True)
class Report:
    """Everything that a rendered report shows."""

    title: str
    window_text: str
    previous_text: str
    time_zone: str
    data_through: str
    generated_as_of: str
    simulated: Simulated
    simulated_text: str
    warnings: tuple[str, ...]
    empty: str
    attention: Attention
    cards: tuple[Card, ...]
    workflows: WorkflowTable
    trend: Chart | None
    small_trends: Chart | None
    trend_rows: tuple[PeriodRow, ...]
    reliability: Chart | None
    failures: FailureSection
    steps: StepSection
    resources: ResourceSection
    notes: tuple[Note, ...]
