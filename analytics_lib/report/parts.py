"""The parts of a report: frozen values with the very texts that the page shows.

The template adds no number and takes no decision; whatever it prints is here, so that a test (or a
mail) can read the same words.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from analytics_lib.totals import Simulated

Judgement = Literal["better", "worse", "unclear", "neutral", "few"]
Tone = Literal["bad", "good", "neutral"]
Spec = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Change:
    """A value against the one before, judged and in words."""

    text: str
    before: str
    arrow: str
    judgement: Judgement
    words: str


@dataclass(frozen=True, slots=True)
class Chart:
    """One picture: its Vega-Lite spec, a narrower one where a phone needs it, and its words.

    `name` says which chart it is when it cannot be drawn. Alternative text is required: a PDF without
    it is not accessible, and nothing else would complain.
    """

    name: str
    title: str
    spec: Spec
    narrow_spec: Spec | None
    alt: str
    caption: str = ""


@dataclass(frozen=True, slots=True)
class Tile:
    """One headline number. `change` is None where there is nothing to compare with; `words` says so."""

    label: str
    value: str
    detail: str
    change: Change | None
    words: str
    sparkline: Chart | None


@dataclass(frozen=True, slots=True)
class Sentence:
    """One thing that changed: about what or whom, and what, with numbers."""

    subject: str
    text: str
    simulated: bool
    judgement: Judgement


@dataclass(frozen=True, slots=True)
class WhatChanged:
    """Three sentences for who reads nothing else, then what changed clearly besides."""

    sentences: tuple[Sentence, ...]
    further: tuple[Sentence, ...]
    n_more: int


@dataclass(frozen=True, slots=True)
class NeedsYou:
    """The one sentence for who reads nothing else: about whom ('' for nobody), and what."""

    subject: str
    text: str
    tone: Tone
    simulated: bool = False

    def in_words(self) -> str:
        """The sentence without its markup, for subjects and plain text."""
        badge = " (simulated)" if self.simulated else ""
        return f"{self.subject}{badge} needs you: {self.text}" if self.subject else self.text


@dataclass(frozen=True, slots=True)
class InsightCard:
    """What a finding means and what to do; `state` is new, ongoing or resolved."""

    subject: str
    environment: str
    simulated: bool
    state: str
    tone: Tone
    title: str
    explanation: str
    action: str
    impact: str
    evidence: str


@dataclass(frozen=True, slots=True)
class InsightSection:
    cards: tuple[InsightCard, ...]
    n_more: int


@dataclass(frozen=True, slots=True)
class WorkflowRow:
    workflow: str
    environment: str
    simulated: bool
    runs: str
    success: str
    success_change: Change | None
    median: str
    median_change: Change | None
    p95: str
    work: str


@dataclass(frozen=True, slots=True)
class WorkflowSection:
    rows: tuple[WorkflowRow, ...]
    caption: str
    none: str


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
    level: str
    share: str
    work: str
    median: str
    median_change: Change | None
    p95: str
    n: str
    failed: str
    simulated: bool


@dataclass(frozen=True, slots=True)
class StepSection:
    """`slowest` by p95 at any depth; the chart compares top-level steps, whose times do not overlap."""

    chart: Chart | None
    slowest: tuple[StepRow, ...]
    caption: str
    none: str


@dataclass(frozen=True, slots=True)
class HostRow:
    host: str
    target: str
    cpu_mean: str
    cpu_p95: str
    cpu_max: str
    memory_mean: str
    memory_p95: str
    memory_max: str
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
    """Everything that a rendered report shows; `summary` is five lines of plain text for a terminal."""

    title: str
    window_text: str
    previous_text: str
    time_zone: str
    data_through: str
    generated_as_of: str
    rows_text: str
    simulated: Simulated
    simulated_text: str
    warnings: tuple[str, ...]
    empty: str
    needs_you: NeedsYou
    what_changed: WhatChanged
    tiles: tuple[Tile, ...]
    insights: InsightSection
    trend: Chart | None
    halves: tuple[Chart, ...]
    heat_map: Chart | None
    workflows: WorkflowSection
    failures: FailureSection
    steps: StepSection
    resources: ResourceSection
    notes: tuple[Note, ...]
    summary: tuple[str, ...]
