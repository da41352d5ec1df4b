"""Which days may be archived and which hourly rows may go, judged by counts.

A day of a source may leave the database when all of it is older than the limit, no stage has a mark in
it, and its rollups hold exactly the rows that are there: shard by shard, for samples metric by metric.
What differs stays and is reported, whichever side has more.

Frames of counts have the columns source, hour_us, bucket, measure and n; `measure` is '' for executions
and steps, and for samples the metric, because a target's metrics are not all measured each time.
"""

from collections.abc import Iterable
from typing import Any, Final

import pandas as pd

from analytics_lib.catalog import RESOURCE_METRICS, TIME_COLUMN, Source
from analytics_lib.windows import DAY_US, HOUR_US, day_of

COUNTS: Final = ["source", "hour_us", "bucket", "measure", "n"]
_SHARD: Final = ["source", "hour_us", "bucket"]
ARCHIVE: Final = "archive"
YOUNG: Final = "young"
PENDING: Final = "pending"
NOT_ROLLED_UP: Final = "not_rolled_up"


def judge_days(
    days: pd.DataFrame, marks: pd.DataFrame, raw: pd.DataFrame, rolled_up: pd.DataFrame, limit_us: int
) -> pd.DataFrame:
    """The days with a column `verdict`: archive, or why not: young, pending, not_rolled_up.

    days: source, day_us. marks: source, hour_us, of any stage. raw, rolled_up: counts of those days;
    raw counts what the archive holds too, each row once.
    """
    verdict = pd.Series(ARCHIVE, index=days.index, dtype=object)
    verdict[among(days, _days_of(unequal_shards(raw, rolled_up)))] = NOT_ROLLED_UP
    verdict[among(days, _days_of(marks))] = PENDING
    verdict[days["day_us"] + DAY_US > limit_us] = YOUNG
    return days.assign(verdict=verdict)


def unequal_shards(raw: pd.DataFrame, rolled_up: pd.DataFrame) -> pd.DataFrame:
    """The shards (source, hour_us, bucket) whose rollups do not hold exactly the raw rows."""
    difference = _difference(raw, rolled_up)
    return difference.loc[difference["n"] != 0, _SHARD].drop_duplicates(ignore_index=True)


def vanished_shards(raw: pd.DataFrame, rolled_up: pd.DataFrame) -> pd.DataFrame:
    """The shards that were rolled up from more rows than there are now: computing them again would lose.

    Raw rows are appended only, so this happens when they were deleted and are in no archive.
    """
    difference = _difference(raw, rolled_up)
    return difference.loc[difference["n"] < 0, _SHARD].drop_duplicates(ignore_index=True)


def hourly_days_to_delete(
    hourly: pd.DataFrame, raw: pd.DataFrame, marks: pd.DataFrame, limit_us: int
) -> pd.DataFrame:
    """The days (source, day_us) of `hourly` whose rollup rows may go.

    All of the day is older than the limit, none of its raw rows is left in the database (they could
    never be told to be rolled up again) and no stage has a mark in it.
    """
    kept = {*zip(raw["source"], raw["day_us"], strict=True), *_days_of(marks)}
    may_go = (hourly["day_us"] + DAY_US <= limit_us) & ~among(hourly, kept)
    return hourly[may_go].reset_index(drop=True)


def count_rows(source: Source, rows: pd.DataFrame) -> pd.DataFrame:
    """Counts of raw rows: of executions and steps the rows, of samples the values of each metric."""
    moment = rows[TIME_COLUMN[source]].astype("int64")
    shards = rows.assign(source=source, hour_us=moment - moment % HOUR_US)
    if source != "resource":
        counts = shards.groupby(_SHARD).size().rename("n").reset_index()
        return counts.assign(measure="")[COUNTS]
    measured = shards.groupby(_SHARD, as_index=False)[list(RESOURCE_METRICS)].count()
    counts = measured.melt(id_vars=_SHARD, var_name="measure", value_name="n")
    return counts.loc[counts["n"] > 0, COUNTS].reset_index(drop=True)


def among(days: pd.DataFrame, others: Iterable[tuple[Any, Any]]) -> "pd.Series[bool]":
    """Which of the days (source, day_us) are among the others."""
    wanted = set(others)
    found = [day in wanted for day in zip(days["source"], days["day_us"], strict=True)]
    return pd.Series(found, index=days.index, dtype=bool)


def _difference(raw: pd.DataFrame, rolled_up: pd.DataFrame) -> pd.DataFrame:
    """Raw minus rolled up, one row per shard and measure."""
    both = pd.concat([raw[COUNTS], rolled_up[COUNTS].assign(n=-rolled_up["n"])], ignore_index=True)
    return both.groupby([*_SHARD, "measure"])["n"].sum().reset_index()


def _days_of(hours: pd.DataFrame) -> set[tuple[Any, Any]]:
    return {(source, day_of(hour)) for source, hour in zip(hours["source"], hours["hour_us"], strict=True)}
