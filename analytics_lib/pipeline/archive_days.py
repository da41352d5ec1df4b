"""How a day leaves the database: counted, written, read back, recorded, and only then deleted.

Every step can be the last of a killed run. A file without a manifest row is written anew; a manifest
row without `deleted_at_us` has its rows deleted by the next run, and just those in the file: rows that
came later become the next part. Publishing and deleting hold the day's lock of the aggregation, so that
a recompute sees the archive and the raw rows of one moment.
"""

import logging
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection

from analytics_lib.archive import reading, writing
from analytics_lib.archive.parquet_schema import key_columns, part_path
from analytics_lib.catalog import Source
from analytics_lib.errors import ArchiveError, ArchiveUnwritableError
from analytics_lib.pipeline.archive_job import Day, Job
from analytics_lib.pipeline.archived_rows import read_rows
from analytics_lib.retention import policy
from analytics_lib.schema import RAW_TABLES
from analytics_lib.store import archive_rows, deletion, manifest_rows
from analytics_lib.store.engine import connect_to_read
from analytics_lib.windows import to_us

if TYPE_CHECKING:
    import pandas as pd

_log = logging.getLogger("rpa_analytics.pipeline")


def archive_days(job: Job) -> None:
    """All days that may leave. Damaged ones are listed in `problems`, and the others done."""
    writing.remove_unfinished(job.folder)
    with connect_to_read(job.engine) as connection:
        unfinished = manifest_rows.read_undeleted(connection)
    for row in unfinished.itertuples():
        _noting_problems(job, partial(_finish_deletion, job, row))
    with connect_to_read(job.engine) as connection:
        days = archive_rows.days_with_raw(connection, job.limits.raw_us)
    for source, day_us in days.itertuples(index=False):
        _noting_problems(job, partial(_archive_day, job, Day(source, day_us)))


def foretell(job: Job) -> set[tuple[Source, int]]:
    """What a dry run says of them; gives the (source, day_us) that would leave."""
    leaving: set[tuple[Source, int]] = set()
    with connect_to_read(job.engine) as connection:
        days = archive_rows.days_with_raw(connection, job.limits.raw_us)
        for source, day_us in days.itertuples(index=False):
            _noting_problems(job, partial(_foretell_day, job, Day(source, day_us), connection, leaving))
    return leaving


def _foretell_day(job: Job, day: Day, connection: Connection, leaving: set[tuple[Source, int]]) -> None:
    parts = manifest_rows.read_parts(connection, day.source, day.window)
    if _may_leave(job, day, connection, parts):
        n = archive_rows.count_rows(connection, day.source, day.window)
        leaving.add((day.source, day.day_us))
        job.done.days_archived += 1
        job.done.rows_archived += n
        job.done.rows_deleted += n


def _noting_problems(job: Job, work: Any) -> None:
    try:
        work()
    except ArchiveUnwritableError:
        raise  # the next day would fail, too
    except ArchiveError as error:
        _log.error("%s", error)
        job.done.problems.append(str(error))


def _finish_deletion(job: Job, row: Any) -> None:
    day = Day(row.source, row.day_us)
    with connect_to_read(job.engine) as connection:
        if day.is_marked(connection):
            return
    names = reading.identity_columns(day.source)
    found = reading.read_checked(job.folder / row.path, row.n, row.content_hash, names)
    _delete_part(job, day, row.part, found.tuples())


def _archive_day(job: Job, day: Day) -> None:
    again: list[deletion.Key] = []
    other: list[Any] = []
    with connect_to_read(job.engine) as connection:
        parts = manifest_rows.read_parts(connection, day.source, day.window)
        if parts["deleted_at_us"].isna().any():
            return  # its deletion is not finished: see _finish_deletion
        if not _may_leave(job, day, connection, parts):
            return
        part = len(parts)
        _free_name(job, day, part, connection)
        known = _known(job, day, parts)
        batches = archive_rows.stream_day(connection, day.source, day.day_us)
        rows = _sorted_out(day.source, batches, known, again, other) if known else batches
        written = writing.write_part(job.folder, day.source, day.day_us, part, rows)
    if written:
        keys = _publish(job, day, part, written)
        if keys is None:
            return
        _delete_part(job, day, part, keys)
    for chunk in _chunks(again):
        with job.engine.begin() as connection:
            day.lock(connection)
            job.done.rows_deleted += deletion.delete_archived(connection, day.source, chunk)
    for chunk in _chunks(other):
        with job.engine.begin() as connection:
            day.lock(connection)
            gone = deletion.delete_conflicts(connection, day.source, chunk, job.as_of)
        job.done.rows_deleted += gone
        job.done.rows_quarantined += gone


def _may_leave(job: Job, day: Day, connection: Connection, parts: "pd.DataFrame") -> bool:
    import pandas as pd

    if len(parts):
        raw = policy.count_rows(day.source, read_rows(connection, day.source, day.window, job.folder))
    else:
        raw = archive_rows.count_raw(connection, day.source, day.window)
    verdict = policy.judge_days(
        pd.DataFrame({"source": [day.source], "day_us": [day.day_us]}),
        archive_rows.marked_hours(connection, day.window),
        raw,
        archive_rows.count_rolled_up(connection, day.source, day.window),
        job.limits.raw_us,
    )["verdict"].item()
    if verdict != policy.ARCHIVE:
        job.done.kept_not_rolled_up += 1
        _log.info("%s of %s kept: %s", day.source, day.window.start.date(), verdict)
    return bool(verdict == policy.ARCHIVE)


def _free_name(job: Job, day: Day, part: int, connection: Connection) -> None:
    """Makes sure that a file in the part's place is what a killed run left, all of it still in raw rows."""
    file = job.folder / part_path(day.source, day.day_us, part)
    if not file.exists():
        return
    try:
        left = reading.read_back(file, reading.identity_columns(day.source))
    except ArchiveError as error:
        _log.warning("%s; nothing refers to it: set aside as %s", error, writing.set_aside(file))
        return
    foreign = set(left.tuples()) - archive_rows.read_keys(connection, day.source, day.window)
    if foreign:
        raise ArchiveError(
            f"the file {file} holds {len(foreign)} rows that are neither in this store nor in its manifest: "
            "it belongs to another store, or the database is older than the archive; name another folder "
            "by RPA_ANALYTICS_ARCHIVE, or move the file away"
        )


def _known(job: Job, day: Day, parts: "pd.DataFrame") -> dict[deletion.Key, int]:
    """content_hash by natural key, of all rows of the day that are in the archive."""
    names = [*key_columns(day.source), "content_hash"]
    rows = reading.read_archived(job.folder, parts, day.source, day.window, names)
    return {tuple(key): content_hash for *key, content_hash in rows.itertuples(index=False, name=None)}


def _sorted_out(
    source: Source,
    batches: Iterable[Sequence[Any]],
    known: dict[deletion.Key, int],
    again: list[deletion.Key],
    other: list[Any],
) -> Iterator[Sequence[Any]]:
    """The rows that are not in the archive; rows that are go to `again`, or with other content to `other`."""
    columns = [column.name for column in RAW_TABLES[source].columns]
    key_at = [columns.index(name) for name in key_columns(source)]
    identity_at = [columns.index(name) for name in reading.identity_columns(source)]
    hash_at = columns.index("content_hash")
    for rows in batches:
        fresh = []
        for row in rows:
            archived = known.get(tuple(row[i] for i in key_at))
            if archived is None:
                fresh.append(row)
            elif archived == row[hash_at]:
                again.append(tuple(row[i] for i in identity_at))
            else:
                other.append(row)
        yield fresh


def _publish(job: Job, day: Day, part: int, written: writing.WrittenPart) -> list[deletion.Key] | None:
    """The keys of the part's rows when it is recorded; None when the day has news meanwhile."""
    with job.engine.begin() as connection:
        day.lock(connection)
        recorded = manifest_rows.read_parts(connection, day.source, day.window)
        if day.is_marked(connection) or len(recorded) != part:
            writing.discard(written)
            job.done.kept_not_rolled_up += 1
            return None
        writing.publish(written)
        found = reading.read_back(written.file, reading.identity_columns(day.source))
        if (found.n, found.content_hash) != (written.n, written.content_hash):
            written.file.unlink()
            raise ArchiveError(
                f"{written.file} did not read back as it was written ({found.n} of {written.n} rows): "
                "nothing of this day was deleted; check the disk, and whether it is a network folder"
            )
        manifest_rows.insert_part(
            connection,
            {
                "source": day.source,
                "day_us": day.day_us,
                "part": part,
                "path": written.path,
                "n": written.n,
                "content_hash": written.content_hash,
                "file_bytes": written.file_bytes,
                "archived_at_us": to_us(job.as_of),
                "deleted_at_us": None,
            },
        )
    job.done.days_archived += 1
    job.done.rows_archived += written.n
    job.done.bytes += written.file_bytes
    return found.tuples()


def _delete_part(job: Job, day: Day, part: int, keys: Sequence[deletion.Key]) -> None:
    with job.engine.begin() as connection:
        day.lock(connection)
        dropped = deletion.drop_archived_day(connection, day.source, day.day_us, keys)
        job.done.rows_deleted += dropped or 0
    for chunk in _chunks(keys) if dropped is None else ():
        with job.engine.begin() as connection:
            day.lock(connection)
            job.done.rows_deleted += deletion.delete_archived(connection, day.source, chunk)
    with job.engine.begin() as connection:
        manifest_rows.set_deleted(connection, day.source, day.day_us, part, to_us(job.as_of))


def _chunks(items: Sequence[Any]) -> Iterator[Sequence[Any]]:
    for start in range(0, len(items), deletion.CHUNK_ROWS):
        yield items[start : start + deletion.CHUNK_ROWS]
