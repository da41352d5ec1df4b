"""Insights as of a moment: every rule's findings, carried on from the insights before."""

import pandas as pd

from analytics_lib.insight.finding import Finding
from analytics_lib.insight.inputs import InsightInputs
from analytics_lib.insight.lifecycle import carry_on
from analytics_lib.insight.rules import RULES


def find_all(inputs: InsightInputs) -> list[Finding]:
    """What every rule finds, in the order of the rules."""
    return [finding for find in RULES for finding in find(inputs)]


def generate(inputs: InsightInputs, previous: pd.DataFrame, as_of_us: int) -> pd.DataFrame:
    """The insights as of the moment: rows with the columns of the table `insight`, ranked.

    previous: rows of that table, the unresolved and those resolved lately; found_at_us and identity are
    kept. The same inputs give the same rows, and what it gave last may be handed in again.
    """
    return carry_on(find_all(inputs), previous, as_of_us)
