"""What a report reads beside the rollups: failed runs, findings, counts, how far the data reaches."""

from datetime import datetime
from typing import Final

import pandas as pd
from sqlalchemy import Connection, exists, func, or_, select

from analytics_lib import catalog
from analytics_lib.schema import RAW_TABLES, ROLLUP_TABLES, baseline_run, execution_metrics, insight
from analytics_lib.store.reading import SOURCES
from analytics_lib.windows import HOUR_US, Window, from_us

_FAILURE_COLUMNS: Final = (
    "workflow_id",
    "environment",
    "host",
    "exception_kind",
    "status",
    "message",
    "ended_at_us",
    "execution_id",
)


def read_failures(connection: Connection, window: Window, limit: int) -> tuple[pd.DataFrame, bool]:
    """(failed and timed-out runs that ended in the window, newest first; whether there are more)."""
    table = execution_metrics
    query = (
        select(*(table.c[name] for name in _FAILURE_COLUMNS))
        .where(
            table.c.ended_at_us >= window.start_us,
            table.c.ended_at_us < window.end_us,
            table.c.status.in_(("failed", "timed_out")),
        )
        .order_by(table.c.ended_at_us.desc(), table.c.execution_id)
        .limit(limit + 1)
    )
    rows = connection.execute(query).fetchall()
    frame = pd.DataFrame.from_records(rows[:limit], columns=list(_FAILURE_COLUMNS))
    frame["ended_at_us"] = frame["ended_at_us"].astype("int64")
    return frame, len(rows) > limit


def read_insights(connection: Connection, window: Window) -> pd.DataFrame:
    """Insights that held in the window, resolved since or not, all columns, by id."""
    query = (
        select(insight)
        .where(
            insight.c.first_seen_us < window.end_us,
            or_(insight.c.state != "resolved", insight.c.resolved_at_us >= window.start_us),
        )
        .order_by(insight.c.insight_id)
    )
    names = [column.name for column in insight.columns]
    return pd.DataFrame.from_records(connection.execute(query).fetchall(), columns=names)


def is_judged(connection: Connection) -> bool:
    """Whether there has ever been anything to judge by: baselines, or insights made without them."""
    return any(
        connection.execute(select(exists().select_from(t))).scalar_one() for t in (baseline_run, insight)
    )


def data_through_us(connection: Connection) -> int | None:
    """The newest raw row that is in the rollups, µs UTC; None where nothing is rolled up."""
    newest = []
    for source in SOURCES:
        last_hour = connection.execute(select(func.max(ROLLUP_TABLES[source].c.hour_us))).scalar_one()
        if last_hour is not None:
            moment = RAW_TABLES[source].c[catalog.TIME_COLUMN[source]]
            query = select(func.max(moment)).where(moment < last_hour + HOUR_US)
            # Where the raw rows are gone, the hour itself is what is known.
            newest.append(connection.execute(query).scalar_one() or last_hour + HOUR_US)
    return max(newest, default=None)


def executions_span(connection: Connection) -> tuple[datetime, datetime] | None:
    """When the first and the last execution ended; None where there is none."""
    ended = execution_metrics.c.ended_at_us
    first, last = connection.execute(select(func.min(ended), func.max(ended))).one()
    return None if first is None else (from_us(first), from_us(last))
