"""The sweep for runs that went silent: heartbeats stopped and no end came.

Runs that never sent a heartbeat (imports) are left alone: nothing is known about them.
"""

from datetime import timedelta
from typing import Final

from sqlalchemy import Connection, bindparam, delete, func, select
from sqlalchemy.dialects.postgresql import insert as postgres_insert
from sqlalchemy.dialects.sqlite import insert as sqlite_insert

from analytics_lib.schema import execution_abandoned, execution_heartbeat, execution_metrics, execution_start
from analytics_lib.store.writing import ROLLUP_STAGE, insert_marks
from analytics_lib.windows import Window, hour_of

ABANDONED_AFTER: Final = timedelta(minutes=15)
_COPIED: Final = ("workflow_id", "workflow_version", "environment", "robot_id", "host", "queue", "bucket")


def sweep_abandoned(connection: Connection, as_of_us: int, silent_us: int) -> int:
    """Records runs last seen at least `silent_us` before `as_of_us`; gives how many are new.

    Their hour of last sign of life is marked in the same transaction; running it again adds nothing.
    """
    last_seen = func.max(execution_heartbeat.c.sent_at_us).label("last_seen_at_us")
    ended = select(execution_metrics.c.execution_id).where(
        execution_metrics.c.execution_id == execution_start.c.execution_id
    )
    known = select(execution_abandoned.c.execution_id).where(
        execution_abandoned.c.execution_id == execution_start.c.execution_id
    )
    copied = [execution_start.c[name] for name in _COPIED]
    query = (
        select(execution_start.c.execution_id, *copied, last_seen)
        .join(
            execution_heartbeat,
            execution_heartbeat.c.execution_id == execution_start.c.execution_id,
        )
        .where(~ended.exists(), ~known.exists())
        .group_by(execution_start.c.execution_id, *copied)
        .having(last_seen <= as_of_us - silent_us)
    )
    rows = [dict(row) | {"decided_as_of_us": as_of_us} for row in connection.execute(query).mappings()]
    if rows:
        make = sqlite_insert if connection.dialect.name == "sqlite" else postgres_insert
        connection.execute(make(execution_abandoned).on_conflict_do_nothing(), rows)
        insert_marks(
            connection,
            {(ROLLUP_STAGE, "execution", hour_of(row["last_seen_at_us"]), row["bucket"]) for row in rows},
        )
    return len(rows)


def drop_overruled(connection: Connection, window: Window) -> set[tuple[int, int]]:
    """(hour_us, bucket) in which runs were counted as abandoned that did end, in this window.

    The runs are taken off the list, so each is told once: two runs, each last seen in the hour in which
    the other ended, would else have their hours computed again for ever.
    """
    query = (
        select(
            execution_abandoned.c.execution_id,
            execution_abandoned.c.last_seen_at_us,
            execution_abandoned.c.bucket,
        )
        .join(execution_metrics, execution_metrics.c.execution_id == execution_abandoned.c.execution_id)
        .where(
            execution_metrics.c.ended_at_us >= window.start_us,
            execution_metrics.c.ended_at_us < window.end_us,
        )
    )
    rows = connection.execute(query).all()
    if rows:
        statement = delete(execution_abandoned).where(execution_abandoned.c.execution_id == bindparam("run"))
        connection.execute(statement, [{"run": row.execution_id} for row in rows])
    return {(hour_of(row.last_seen_at_us), row.bucket) for row in rows}
