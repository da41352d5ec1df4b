"""The DAG hourly_aggregation: every marked hour that is over becomes hourly rows."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import Connection, Engine

from analytics_lib.catalog import Source
from analytics_lib.errors import ArchiveError
from analytics_lib.pipeline.archived_rows import archive_or_none, read_rows, refuse_to_lose
from analytics_lib.store import abandonment, ledger, open_store
from analytics_lib.store.engine import connect_to_read
from analytics_lib.store.reading import SOURCES
from analytics_lib.store.writing import ANOMALY_STAGE, ROLLUP_STAGE
from analytics_lib.windows import HOUR_US, MICROSECOND, Window, to_us

if TYPE_CHECKING:
    import pandas as pd

ROLLUPS_ASSET: Final = "rpa_hourly_rollups"
_log = logging.getLogger("rpa_analytics.pipeline")


def mark_window(
    location: str | Path, *, window_start: datetime, window_end: datetime, dry_run: bool = False
) -> dict[str, Any]:
    """Marks the window's hours, so that the next aggregation computes them again. {'marks': n}.

    A dry run only counts them. Raises QueryError when the window ends before it starts.
    """
    window = Window.of(window_start, window_end)
    with _transaction(location, dry_run) as connection:
        marks = ledger.mark_window(connection, ROLLUP_STAGE, window, SOURCES)
    _log.info("marked: %d shards from %s to %s%s", marks, window.start, window.end, _dry(dry_run))
    return {"marks": marks}


def sweep_abandoned(
    location: str | Path,
    *,
    as_of: datetime,
    abandoned_after: timedelta = abandonment.ABANDONED_AFTER,
    dry_run: bool = False,
) -> dict[str, Any]:
    """Records runs whose heartbeats stopped without an end. {'abandoned': how many are new}.

    A dry run only counts them.
    """
    with _transaction(location, dry_run) as connection:
        found = abandonment.sweep_abandoned(connection, to_us(as_of), abandoned_after // MICROSECOND)
    _log.info("swept: newly abandoned runs %d%s", found, _dry(dry_run))
    return {"abandoned": found}


@contextmanager
def _transaction(location: str | Path, dry_run: bool) -> Iterator[Connection]:
    """One on the store, rolled back in the end where it is only a rehearsal."""
    with open_store(location) as store, store.engine.connect() as connection, connection.begin() as whole:
        yield connection
        if dry_run:
            whole.rollback()


def _dry(dry_run: bool) -> str:
    return "; dry run, nothing was changed" if dry_run else ""


@dataclass(slots=True)
class Aggregation:
    """What an aggregation did. `late_rows`: rows that reached an hour after it was rolled up before.

    `refused_days`: days of a source that keep their marks, because their archived rows cannot be read or
    their rows are gone altogether; the log says which and why.
    """

    days: int = 0
    hours: int = 0
    rows_read: int = 0
    rollup_rows: int = 0
    late_rows: int = 0
    pending_hours: int = 0
    refused_days: int = 0
    dry_run: bool = False


def aggregate_pending(
    location: str | Path,
    *,
    as_of: datetime,
    max_days: int | None = None,
    archive_folder: str | Path | None = None,
    dry_run: bool = False,
) -> dict[str, Any]:
    """Rolls up every marked hour that has ended by `as_of`: the fields of `Aggregation`.

    Works day by day, newest first, each in one transaction; what is left over (at most `max_days`
    days a run) keeps its marks. Two at once share the work: whoever comes second to a day waits,
    finds no marks and goes on. A dry run only counts the hours that are pending.
    """
    closed_before_us = to_us(as_of)
    began = perf_counter()
    done = Aggregation(dry_run=dry_run)
    hours: set[int] = set()
    archive = archive_or_none(location, archive_folder)
    refused: set[ledger.PendingDay] = set()
    with open_store(location) as store:
        while not dry_run and (max_days is None or done.days < max_days):
            with connect_to_read(store.engine) as connection:
                days = ledger.pending_days(connection, ROLLUP_STAGE, closed_before_us)
            days = [unit for unit in days if unit not in refused]
            if not days:
                break
            for unit in days[: None if max_days is None else max_days - done.days]:
                try:
                    hours |= _roll_up_day(store.engine, unit, closed_before_us, archive, done)
                except ArchiveError as error:
                    _log.error("%s", error)
                    refused.add(unit)
                    done.refused_days += 1
                else:
                    done.days += 1
        with connect_to_read(store.engine) as connection:
            done.pending_hours = ledger.count_pending_hours(connection, ROLLUP_STAGE, closed_before_us)
    done.hours = len(hours)
    _log.info(
        "rolled up: rows read %d, late rows %d, hours %d, rollup rows %d, hours pending %d, seconds %.1f%s",
        done.rows_read,
        done.late_rows,
        done.hours,
        done.rollup_rows,
        done.pending_hours,
        perf_counter() - began,
        _dry(dry_run),
    )
    return asdict(done)


def _roll_up_day(
    engine: Engine, unit: ledger.PendingDay, closed_before_us: int, archive: Path | None, done: Aggregation
) -> set[int]:
    """One day of one source in one transaction: a reader sees the old rows or the new, never none.

    Gives the hours that were rolled up.
    """
    from analytics_lib.store import rollup_rows

    with engine.begin() as connection:
        ledger.lock_shard(connection, ROLLUP_STAGE, unit)
        marks = ledger.read_marks(connection, ROLLUP_STAGE, unit, closed_before_us)
        if not marks.shards:
            return set()
        hours = {hour for hour, _ in marks.shards}
        window = Window(min(hours), max(hours) + HOUR_US)
        raw, rows, overruled = _compute(connection, unit.kind, window, marks, archive)
        before = rollup_rows.count_rolled_up(connection, unit.kind, marks.shards)
        rollup_rows.replace_rollups(connection, unit.kind, marks.shards, rows)
        ledger.delete_marks(connection, marks)
        ledger.append_marks(connection, [(ROLLUP_STAGE, unit.kind, *s) for s in overruled - marks.shards])
        if unit.kind in ("execution", "step"):
            ledger.append_marks(connection, [(ANOMALY_STAGE, unit.kind, *s) for s in marks.shards])
        after = rollup_rows.count_rolled_up(connection, unit.kind, before) if before else {}
    done.rows_read += raw
    done.rollup_rows += len(rows)
    done.late_rows += sum(max(0, after.get(shard, 0) - n) for shard, n in before.items())
    return hours


def _compute(
    connection: Connection, source: Source, window: Window, marks: ledger.Marks, archive: Path | None
) -> tuple[int, "pd.DataFrame", set[tuple[int, int]]]:
    """(raw rows used, rollup rows, shards to be marked again because a late end overruled them)."""
    from analytics_lib.rollup.hourly import roll_up_executions, roll_up_resources, roll_up_steps
    from analytics_lib.store import rollup_rows

    raw = _in_shards(read_rows(connection, source, window, archive), marks)
    refuse_to_lose(connection, source, window, marks.shards, raw)
    if source == "step":
        return len(raw), roll_up_steps(raw), set()
    if source == "resource":
        return len(raw), roll_up_resources(raw), set()
    abandoned = _in_shards(rollup_rows.read_abandoned(connection, window), marks)
    overruled = abandonment.drop_overruled(connection, window)
    return len(raw) + len(abandoned), roll_up_executions(raw, abandoned), overruled


def _in_shards(rows: "pd.DataFrame", marks: ledger.Marks) -> "pd.DataFrame":
    """The rows of the marked (hour, bucket) pairs; a day's window may hold others between them."""
    import pandas as pd

    moment = next(name for name in ("ended_at_us", "sampled_at_us", "last_seen_at_us") if name in rows)
    shards = pd.MultiIndex.from_tuples(sorted(marks.shards))
    found = pd.MultiIndex.from_arrays([rows[moment] - rows[moment] % HOUR_US, rows["bucket"]]).isin(shards)
    return rows[found].reset_index(drop=True)
