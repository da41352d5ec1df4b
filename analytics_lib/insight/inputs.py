"""What the rules look at: one workflow in one environment at a time, its closed hours in order."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache, cached_property
from typing import Final
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd

from analytics_lib import formats
from analytics_lib.schema import metadata
from analytics_lib.windows import DAY_US, HOUR_US, from_us, hour_of


@dataclass(frozen=True)
class InsightInputs:
    """All that insights are made of. Frames have the columns of the tables of `analytics_lib.schema`.

    anomalies: open ones of the last 14 days. executions, steps: hourly rollups of the last 28 days with
    canonical workflow ids and effective environments, without test environments; several rows of one
    hour and key are added up. Hours that are not over at `as_of_us` are left out here. `zone` is the
    default time zone, `zones` those of workflows that have their own.
    """

    anomalies: pd.DataFrame
    executions: pd.DataFrame
    steps: pd.DataFrame
    as_of_us: int
    zone: str
    zones: Mapping[str, str] = field(default_factory=dict)

    @cached_property
    def histories(self) -> tuple["History", ...]:
        """The workflows that ran or have anomalies, by id and environment."""
        executions = _by_workflow(self.executions, "rollup_execution_hourly", self.as_of_us)
        steps = _by_workflow(self.steps, "rollup_step_hourly", self.as_of_us)
        anomalies = _by_workflow(self.anomalies, "anomaly", self.as_of_us)
        return tuple(
            History(
                workflow_id=key[0],
                environment=key[1],
                executions=executions.get(key, _no_rows("rollup_execution_hourly")),
                steps=steps.get(key, _no_rows("rollup_step_hourly")),
                anomalies=anomalies.get(key, _no_rows("anomaly")),
                end_us=hour_of(self.as_of_us),
                zone=ZoneInfo(self.zones.get(key[0], self.zone)),
            )
            for key in sorted({*executions, *anomalies})
            if key[0]  # '' are series of hosts
        )

    @cached_property
    def no_data(self) -> pd.DataFrame:
        """Open anomalies of hosts that sent nothing."""
        rows = self.anomalies if len(self.anomalies) else _no_rows("anomaly")
        return rows[(rows["kind"] == "no_data") & (rows["hour_us"] < self.as_of_us)]


@dataclass(frozen=True)
class History:
    """One workflow's rows before `end_us`, the end of its last closed hour, oldest first."""

    workflow_id: str
    environment: str
    executions: pd.DataFrame
    steps: pd.DataFrame
    anomalies: pd.DataFrame
    end_us: int
    zone: ZoneInfo

    def day_long_start_us(self) -> int | None:
        """The latest hour from which on there were as many hours with runs as a day usually has.

        What is compared with other days shall not be a part of one; None without runs.
        """
        hours = np.unique(self.executions.loc[self.executions["n"] > 0, "hour_us"].to_numpy(dtype=np.int64))
        if not len(hours):
            return None
        in_a_day = np.unique(hours // DAY_US, return_counts=True)[1]
        return int(hours[-math.ceil(np.median(in_a_day))])

    def runs(self, start_us: int, end_us: int | None = None) -> pd.DataFrame:
        """Execution rows whose hour lies in [start, end), by default up to the last closed hour."""
        return _between(self.executions, start_us, self.end_us if end_us is None else end_us)

    def top_steps(self, start_us: int, end_us: int | None = None) -> pd.DataFrame:
        """Rows of top-level steps, as for `runs`: they stand beside each other, so their times add up."""
        rows = _between(self.steps, start_us, self.end_us if end_us is None else end_us)
        return rows[rows["depth"] == 0]

    def flagged(self, kind: str, start_us: int) -> pd.DataFrame:
        """Open anomalies of that kind of the workflow itself (not of a step) from then on."""
        rows = self.anomalies
        return rows[(rows["kind"] == kind) & (rows["step_id"] == "") & (rows["hour_us"] >= start_us)]

    def day(self, moment_us: int) -> str:
        """The local day, as people write it."""
        return formats.day_text(from_us(moment_us).astimezone(self.zone).date())

    def moment(self, moment_us: int) -> str:
        """The local day and time."""
        return formats.moment_text(from_us(moment_us).astimezone(self.zone))


def _by_workflow(frame: pd.DataFrame, table: str, as_of_us: int) -> dict[tuple[str, str], pd.DataFrame]:
    if frame.empty:
        return {}
    closed = frame[frame["hour_us"] <= as_of_us - HOUR_US]
    # Sums of floats depend on the order: the same rows shall give the same insights to the letter.
    key = [column.name for column in metadata.tables[table].primary_key.columns]
    ordered = closed.sort_values(["hour_us", *key, *_TIES.get(table, ())], ignore_index=True)
    groups = ordered.groupby(["workflow_id", "environment"], sort=True)
    return {(str(key[0]), str(key[1])): rows for key, rows in groups if isinstance(key, tuple)}


# Rows of an alias and of its workflow may have the same key.
_TIES: Final = dict.fromkeys(("rollup_execution_hourly", "rollup_step_hourly"), ("n", "duration_sum_ms"))


@cache
def _no_rows(table: str) -> pd.DataFrame:
    columns = metadata.tables[table].columns
    kinds = {c.name: "object" if c.type.python_type in (str, bytes) else "float64" for c in columns}
    return pd.DataFrame({name: pd.Series(dtype=kind) for name, kind in kinds.items()})


def _between(rows: pd.DataFrame, start_us: int, end_us: int) -> pd.DataFrame:
    return rows[(rows["hour_us"] >= start_us) & (rows["hour_us"] < end_us)]
