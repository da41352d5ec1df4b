"""Marked days become daily rows: a part of the DAG hourly_aggregation, after the hours."""

import logging
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import Engine

from analytics_lib.errors import RollupError
from analytics_lib.store import ledger, open_store
from analytics_lib.store.engine import connect_to_read
from analytics_lib.store.writing import DAILY_STAGE
from analytics_lib.windows import from_us

if TYPE_CHECKING:
    from analytics_lib.store.rollup_rows import RollupSource

_MERGED: "Final[dict[str, tuple[RollupSource, ...]]]" = {
    "execution": ("execution", "queue"),
    "step": ("step",),
    "resource": ("resource",),
}
_log = logging.getLogger("rpa_analytics.pipeline")


def merge_marked_days(location: str | Path, *, closed_before_us: int) -> dict[str, Any]:
    """Merges the hourly rows of every marked UTC day: {'daily_rows': n, 'refused_days': n}.

    Each day of a source in one transaction, newest first. A day whose hourly rows are gone in part (they
    are kept for a shorter time) is refused rather than computed from what is left: its daily rows stay.
    """
    began = perf_counter()
    written, done = 0, 0
    refused: set[ledger.PendingDay] = set()
    with open_store(location) as store:
        while True:
            with connect_to_read(store.engine) as connection:
                days = ledger.pending_days(connection, DAILY_STAGE, closed_before_us)
            days = [unit for unit in days if unit not in refused]
            if not days:
                break
            for unit in days:
                try:
                    written += _merge_day(store.engine, unit, closed_before_us)
                    done += 1
                except RollupError as error:
                    _log.error("%s", error)
                    refused.add(unit)
    if done or refused:
        _log.info("merged: days %d, daily rows %d, seconds %.1f", done, written, perf_counter() - began)
    return {"daily_rows": written, "refused_days": len(refused)}


def _merge_day(engine: Engine, unit: ledger.PendingDay, closed_before_us: int) -> int:
    from analytics_lib.rollup.daily import merge_hours
    from analytics_lib.store import rollup_rows

    written = 0
    with engine.begin() as connection:
        ledger.lock_shard(connection, DAILY_STAGE, unit)
        marks = ledger.read_marks(connection, DAILY_STAGE, unit, closed_before_us)
        shards = {(unit.day_us, bucket) for _, bucket in marks.shards}
        for source in _MERGED[unit.kind] if shards else ():
            buckets = [bucket for _, bucket in shards]
            hourly = rollup_rows.read_hours_of(connection, source, unit.day_us, buckets)
            try:
                rows = merge_hours(source, hourly)
            except ValueError as error:
                raise RollupError(
                    f"{source} on {from_us(unit.day_us):%Y-%m-%d}: an hourly row cannot be merged ({error}); "
                    "its daily rows stay as they are, and marked: compute the day's hours again"
                ) from None
            before = rollup_rows.count_daily(connection, source, unit.day_us, buckets)
            if rollup_rows.counted(source, rows) < before:
                raise RollupError(
                    f"{source} on {from_us(unit.day_us):%Y-%m-%d}: hourly rows are gone that its daily "
                    "rows were made of: those stay as they are, and marked"
                )
            rollup_rows.replace_daily(connection, source, shards, rows)
            written += len(rows)
        ledger.delete_marks(connection, marks)
    return written
