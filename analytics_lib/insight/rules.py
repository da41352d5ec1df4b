"""The rules, in the order in which they were thought of; a new one is a file and a line here."""

from collections.abc import Callable
from typing import Final

from analytics_lib.insight import (
    bottleneck_step,
    failing_workflow,
    failure_spike,
    flaky_workflow,
    silent_workflow,
    slower_than_normal,
)
from analytics_lib.insight.finding import Finding
from analytics_lib.insight.inputs import InsightInputs

Rule = Callable[[InsightInputs], list[Finding]]

RULES: Final[tuple[Rule, ...]] = (
    failure_spike.find,
    slower_than_normal.find,
    bottleneck_step.find,
    flaky_workflow.find,
    silent_workflow.find,
    failing_workflow.find,
)
