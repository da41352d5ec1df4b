"""The DAG archive_retention: old raw rows into the archive, then out of the database; old hourly rows out.

The DAGs import this module, and Airflow parses them every half minute: what needs pandas is imported by
the function that needs it.
"""

import logging
from dataclasses import asdict, dataclass, field
from datetime import datetime
from pathlib import Path
from time import perf_counter
from typing import Any, Final

from analytics_lib import settings
from analytics_lib.errors import ArchiveError
from analytics_lib.retention.limits import KEEP_HOURLY_MONTHS, KEEP_RAW_DAYS, limits_at
from analytics_lib.store import open_store
from analytics_lib.store.run_lock import run_lock
from analytics_lib.windows import to_us

ARCHIVE_ASSET: Final = "rpa_archive"
LOCK: Final = "archive_retention"
ANOTHER_RUN: Final = "another run is archiving this store: nothing was done"
_log = logging.getLogger("rpa_analytics.pipeline")


@dataclass(slots=True)
class Retention:
    """What a run did; a dry run: what it would do, `bytes` excepted.

    `days_archived` counts days of a source. `rows_deleted`: of executions, steps and samples;
    `other_rows_deleted`: heartbeats, abandoned runs, ids and quarantined rows that nothing needs any more;
    a dry run cannot tell which of them the deletion of raw rows will set free.
    `kept_not_rolled_up`: days of a source, old enough, that wait for their rollups or other stages.
    """

    days_archived: int = 0
    rows_archived: int = 0
    bytes: int = 0
    rows_deleted: int = 0
    rows_quarantined: int = 0
    other_rows_deleted: int = 0
    hourly_deleted: int = 0
    kept_not_rolled_up: int = 0
    dry_run: bool = False
    message: str = ""
    problems: list[str] = field(default_factory=list)


def archive_and_retain(
    location: str | Path,
    *,
    as_of: datetime,
    archive_folder: str | Path | None = None,
    keep_raw_days: int = KEEP_RAW_DAYS,
    keep_hourly_months: int = KEEP_HOURLY_MONTHS,
    dry_run: bool = False,
) -> dict[str, Any]:
    """Archives and deletes what is old enough: the fields of `Retention`, less `problems`.

    Whenever it is killed, the next run finishes. Of two at once the second leaves with a `message`.
    The folder: see `settings.archive_folder`. Raises SettingsError, StoreError and, when all that could
    be done is done, ArchiveError for days whose files cannot be written or read.
    """
    from analytics_lib.pipeline import archive_days, old_rows
    from analytics_lib.pipeline.archive_job import Job

    began = perf_counter()
    limits = limits_at(to_us(as_of), keep_raw_days=keep_raw_days, keep_hourly_months=keep_hourly_months)
    folder = settings.archive_folder(location, archive_folder)
    done = Retention(dry_run=dry_run)
    with open_store(location) as store:
        job = Job(store.engine, folder, as_of, limits, done)
        if dry_run:
            old_rows.foretell(job, archive_days.foretell(job))
        else:
            with run_lock(store.engine, LOCK) as ours:
                if ours:
                    archive_days.archive_days(job)
                    old_rows.delete_old_rows(job)
                else:
                    done.message = ANOTHER_RUN
    _log.info(
        "%s%d days archived, %d rows in %d bytes; %d raw rows deleted, %d hourly, %d others; %d days not "
        "rolled up yet were kept; %.1f s%s",
        "dry run, nothing was changed: " if dry_run else "",
        done.days_archived,
        done.rows_archived,
        done.bytes,
        done.rows_deleted,
        done.hourly_deleted,
        done.other_rows_deleted,
        done.kept_not_rolled_up,
        perf_counter() - began,
        f"; {done.message}" if done.message else "",
    )
    if done.problems:
        raise ArchiveError(
            f"{len(done.problems)} days could not be archived or finished, all others are done. "
            f"The first: {done.problems[0]}"
        )
    result = asdict(done)
    del result["problems"]
    return result
