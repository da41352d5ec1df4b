"""The DAG hourly_aggregation: every marked hour that is over becomes hourly rows."""

import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from itertools import chain
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import Connection, Engine

from analytics_lib.catalog import Source
from analytics_lib.errors import ArchiveError
from analytics_lib.pipeline.archived_rows import archive_or_none, read_rows, refuse_to_lose
from analytics_lib.pipeline.daily_rollup import merge_marked_days
from analytics_lib.records import BUCKETS
from analytics_lib.store import abandonment, ledger, open_store
from analytics_lib.store.engine import connect_to_read
from analytics_lib.store.reading import SOURCES
from analytics_lib.store.writing import ANOMALY_STAGE, DAILY_STAGE, ROLLUP_STAGE
from analytics_lib.windows import HOUR_US, MICROSECOND, Window, to_us

if TYPE_CHECKING:
    import pandas as pd

    from analytics_lib.store import rollup_rows

ROLLUPS_ASSET: Final = "rpa_hourly_rollups"
MAX_BATCHES: Final = 8
ROWS_AT_ONCE: Final = 200_000  # of raw rows in memory: about 60 MB
PROGRESS_SEC: Final = 30.0
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
    daily_rows: int = 0
    dry_run: bool = False


Unit = tuple[Source, int]  # a source and the UTC day's start in µs: what one transaction rolls up


def plan_aggregation(
    location: str | Path,
    *,
    as_of: datetime,
    max_days: int | None = None,
    dry_run: bool = False,
) -> list[list[Unit]]:
    """What is pending, in at most 8 batches for as many workers, each with the newest days first.

    On SQLite one batch, because it has one writer. `max_days` (days of a source) in all; older ones keep
    their marks. Nothing pending, or a dry run: no batch.
    """
    if dry_run:
        return []
    with open_store(location) as store, connect_to_read(store.engine) as connection:
        days = ledger.pending_days(connection, ROLLUP_STAGE, to_us(as_of))[:max_days]
        count = 1 if connection.dialect.name == "sqlite" else MAX_BATCHES
    batches = [[(unit.kind, unit.day_us) for unit in days[at::count]] for at in range(count)]
    return [batch for batch in batches if batch]


def aggregate_batch(
    location: str | Path,
    batch: Sequence[Unit],
    *,
    as_of: datetime,
    archive_folder: str | Path | None = None,
) -> dict[str, Any]:
    """Rolls up the days of a batch: the fields of `Aggregation` that it knows, `hours` as a list of
    their starts (several batches may share one), and the `refused` units.

    A unit that somebody else has done meanwhile has no marks any more and is passed over.
    """
    done = Aggregation()
    refused: list[Unit] = []
    began = said_at = perf_counter()
    archive = archive_or_none(location, archive_folder)
    hours: set[int] = set()
    with open_store(location) as store:
        for number, (kind, day_us) in enumerate(batch, 1):
            unit = ledger.PendingDay(kind, day_us)
            try:
                hours |= _roll_up_day(store.engine, unit, to_us(as_of), archive, done)
            except ArchiveError as error:
                _log.error("%s", error)
                refused.append((kind, day_us))
            else:
                done.days += 1
            if perf_counter() - said_at > PROGRESS_SEC:
                said_at = perf_counter()
                _log.info("so far: %d of %d days, %.0f seconds", number, len(batch), said_at - began)
    done.refused_days = len(refused)
    return {**asdict(done), "hours": sorted(hours), "refused": refused}


def finish_aggregation(
    location: str | Path,
    batches: Iterable[Mapping[str, Any]],
    *,
    as_of: datetime,
    dry_run: bool = False,
) -> dict[str, Any]:
    """Merges the marked days and sums up what the batches did: the fields of `Aggregation`."""
    done = Aggregation(dry_run=dry_run)
    hours: set[int] = set()
    for batch in batches:
        hours.update(batch["hours"])
        for name in ("days", "rows_read", "rollup_rows", "late_rows", "refused_days"):
            setattr(done, name, getattr(done, name) + batch[name])
    done.hours = len(hours)
    if not dry_run:
        merged = merge_marked_days(location, closed_before_us=to_us(as_of))
        done.daily_rows = merged["daily_rows"]
        done.refused_days += merged["refused_days"]
    with open_store(location) as store, connect_to_read(store.engine) as connection:
        done.pending_hours = ledger.count_pending_hours(connection, ROLLUP_STAGE, to_us(as_of))
    _log.info(
        "rolled up: rows read %d, late rows %d, hours %d, rollup rows %d, daily rows %d, hours pending %d%s",
        done.rows_read,
        done.late_rows,
        done.hours,
        done.rollup_rows,
        done.daily_rows,
        done.pending_hours,
        _dry(dry_run),
    )
    return asdict(done)


def aggregate_pending(
    location: str | Path,
    *,
    as_of: datetime,
    max_days: int | None = None,
    archive_folder: str | Path | None = None,
    dry_run: bool = False,
) -> dict[str, Any]:
    """Rolls up every marked hour that has ended by `as_of`, then the days: the fields of `Aggregation`.

    Works day by day, newest first, each in one transaction; what is left over (at most `max_days`
    days a run) keeps its marks. Two at once share the work: whoever comes second to a day waits,
    finds no marks and goes on. A dry run only counts the hours that are pending.
    """
    batches: list[dict[str, Any]] = []
    refused: set[Unit] = set()
    left = max_days
    # Again, until nothing is left: a late end marks the hour in which its run was given up.
    while planned := plan_aggregation(location, as_of=as_of, dry_run=dry_run):
        newest_first = sorted(chain.from_iterable(planned), key=lambda unit: (-unit[1], unit[0]))
        units = [unit for unit in newest_first if unit not in refused][:left]
        if not units:
            break
        batch = aggregate_batch(location, units, as_of=as_of, archive_folder=archive_folder)
        batches.append(batch)
        refused.update(map(tuple, batch["refused"]))
        left = None if left is None else left - batch["days"]
    return finish_aggregation(location, batches, as_of=as_of, dry_run=dry_run)


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
        before = rollup_rows.count_rolled_up(connection, unit.kind, marks.shards)
        overruled: set[tuple[int, int]] = set()
        raw = written = 0
        for window, shards in _slices(connection, unit.kind, marks.shards):
            used, computed, again = _compute(connection, unit.kind, window, shards, archive)
            for source, rows in computed.items():
                rollup_rows.replace_rollups(connection, source, shards, rows)
                written += len(rows)
            raw += used
            overruled |= again
        ledger.delete_marks(connection, marks)
        ledger.append_marks(connection, [(ROLLUP_STAGE, unit.kind, *s) for s in overruled - marks.shards])
        ledger.append_marks(
            connection, {(DAILY_STAGE, unit.kind, unit.day_us, bucket) for _, bucket in marks.shards}
        )
        if unit.kind in ("execution", "step"):
            ledger.append_marks(connection, [(ANOMALY_STAGE, unit.kind, *s) for s in marks.shards])
        after = rollup_rows.count_rolled_up(connection, unit.kind, before) if before else {}
    done.rows_read += raw
    done.rollup_rows += written
    done.late_rows += sum(max(0, after.get(shard, 0) - n) for shard, n in before.items())
    return {hour for hour, _ in marks.shards}


def _slices(
    connection: Connection, source: Source, shards: Iterable[tuple[int, int]]
) -> Iterator[tuple[Window, frozenset[tuple[int, int]]]]:
    """The marked hours in parts of so many rows that memory does not grow with the day."""
    from analytics_lib.store import rollup_rows

    hours = sorted({hour for hour, _ in shards})
    counts = rollup_rows.count_raw(connection, source, Window(hours[0], hours[-1] + HOUR_US))
    part: list[int] = []
    rows = 0
    for hour in [*hours, None]:
        n = 0 if hour is None else counts.get(hour, 0)
        if part and (hour is None or rows + n > ROWS_AT_ONCE):
            wanted = set(part)
            yield Window(part[0], part[-1] + HOUR_US), frozenset(s for s in shards if s[0] in wanted)
            part, rows = [], 0
        if hour is not None:
            part.append(hour)
            rows += n


def _compute(
    connection: Connection,
    source: Source,
    window: Window,
    shards: frozenset[tuple[int, int]],
    archive: Path | None,
) -> tuple[int, "dict[rollup_rows.RollupSource, pd.DataFrame]", set[tuple[int, int]]]:
    """(raw rows used, rollup rows, shards to be marked again because a late end overruled them)."""
    from analytics_lib.rollup import hourly
    from analytics_lib.store import rollup_rows

    raw = _in_shards(read_rows(connection, source, window, archive), shards)
    refuse_to_lose(connection, source, window, shards, raw)
    if source == "step":
        return len(raw), {"step": hourly.roll_up_steps(raw)}, set()
    if source == "resource":
        return len(raw), {"resource": hourly.roll_up_resources(raw)}, set()
    abandoned = _in_shards(rollup_rows.read_abandoned(connection, window), shards)
    overruled = abandonment.drop_overruled(connection, window)
    runs = hourly.roll_up_executions(raw, abandoned)
    return len(raw) + len(abandoned), {"execution": runs, "queue": hourly.roll_up_queues(raw)}, overruled


def _in_shards(rows: "pd.DataFrame", shards: frozenset[tuple[int, int]]) -> "pd.DataFrame":
    """The rows of the marked (hour, bucket) pairs; a day's window may hold others between them."""
    import numpy as np

    moment = next(name for name in ("ended_at_us", "sampled_at_us", "last_seen_at_us") if name in rows)
    hours = rows[moment].to_numpy(dtype=np.int64) // HOUR_US
    numbers = hours * BUCKETS + rows["bucket"].to_numpy(dtype=np.int64)
    wanted = [hour // HOUR_US * BUCKETS + bucket for hour, bucket in shards]
    found = np.isin(numbers, wanted)
    return rows if found.all() else rows[found].reset_index(drop=True)
