"""What goes besides archived days: hourly rows after their months, and what no row needs any more."""

from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection

from analytics_lib.catalog import Source
from analytics_lib.pipeline.archive_job import Day, Job
from analytics_lib.retention import policy
from analytics_lib.schema import agent_heartbeat, execution_heartbeat, quarantine
from analytics_lib.store import archive_rows, deletion
from analytics_lib.store.engine import connect_to_read
from analytics_lib.windows import DAY_US, HOUR_US, Window

if TYPE_CHECKING:
    import pandas as pd


def delete_old_rows(job: Job) -> None:
    """Deletes them hour by hour and chunk by chunk, and gives the space back to the disk."""
    _delete_hourly(job)
    for query, delete in _other_deletions(job):
        _delete_found(job, query, delete)
    while True:
        with job.engine.begin() as connection:
            if not deletion.give_space_back(connection):
                return


def foretell(job: Job, leaving: set[tuple[Source, int]]) -> None:
    """What a dry run says of them, when those days of raw rows would leave."""
    with connect_to_read(job.engine) as connection:
        days = archive_rows.days_with_raw(connection, job.limits.raw_us)
        staying = days[~policy.among(days, leaving)]
        for source, day_us in _hourly_days(job, connection, staying).itertuples(index=False):
            window = Day(source, day_us).window
            job.done.hourly_deleted += archive_rows.count_hourly(connection, source, window)
        for query, _ in _other_deletions(job):
            job.done.other_rows_deleted += deletion.count(connection, query)


def _hourly_days(job: Job, connection: Connection, raw_days: "pd.DataFrame") -> "pd.DataFrame":
    limit_us = job.limits.hourly_us
    hourly = archive_rows.days_with_hourly(connection, limit_us)
    if not len(hourly):
        return hourly
    marks = archive_rows.marked_hours(connection, Window(int(hourly["day_us"].min()), limit_us))
    return policy.hourly_days_to_delete(hourly, raw_days, marks, limit_us)


def _delete_hourly(job: Job) -> None:
    with connect_to_read(job.engine) as connection:
        raw_days = archive_rows.days_with_raw(connection, job.limits.hourly_us)
        days = _hourly_days(job, connection, raw_days)
    for source, day_us in days.itertuples(index=False):
        day = Day(source, day_us)
        for hour_us in range(day_us, day_us + DAY_US, HOUR_US):
            with job.engine.begin() as connection:
                day.lock(connection)
                job.done.hourly_deleted += deletion.delete_hourly(connection, source, hour_us)


def _other_deletions(job: Job) -> list[tuple[Any, Any]]:
    """(what is old, how it is deleted), in this order: an id goes when nothing uses it any more."""
    limits = job.limits
    return [
        (deletion.uncounted_abandoned(limits.hourly_us), deletion.delete_abandoned),
        (deletion.old_run_heartbeats(limits.raw_us), _deleting(execution_heartbeat)),
        (deletion.old_agent_heartbeats(limits.raw_us), _deleting(agent_heartbeat)),
        (deletion.old_quarantine(limits.quarantine_us), _deleting(quarantine)),
        (deletion.unused_ids(), deletion.delete_unused_ids),
    ]


def _deleting(table: Any) -> Any:
    return lambda connection, keys: deletion.delete_keys(connection, table, keys)


def _delete_found(job: Job, query: Any, delete: Any) -> None:
    with connect_to_read(job.engine) as reader:
        for keys in deletion.chunks(reader, query):
            with job.engine.begin() as connection:
                job.done.other_rows_deleted += delete(connection, keys)
