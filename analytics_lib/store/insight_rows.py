"""Insights in and out of the database, and the anomalies that they are made of (analytics extra)."""

from typing import Any, Final

import pandas as pd
from sqlalchemy import Connection, or_, select, text
from sqlalchemy.dialects import postgresql, sqlite

from analytics_lib.schema import anomaly, insight
from analytics_lib.windows import DAY_US, Window

RESOLVED_KEPT_US: Final = 14 * DAY_US
COLUMNS: Final = tuple(column.name for column in insight.columns)
_LOCK: Final = 0x72706169
_WHOLE: Final = ("severity", "rank", "n")


def lock_insights(connection: Connection) -> None:
    """Waits until nobody else judges insights. Must be the transaction's first statement.

    Postgres: an advisory lock for the transaction. SQLite: BEGIN IMMEDIATE has made this the one writer.
    """
    if connection.dialect.name == "postgresql":
        connection.execute(text("SELECT pg_advisory_xact_lock(1919967541, :key)"), {"key": _LOCK})


def read_open_anomalies(connection: Connection, window: Window) -> pd.DataFrame:
    """Anomalies of hours in the window that were not withdrawn, all columns, by id."""
    query = (
        select(anomaly)
        .where(
            anomaly.c.hour_us >= window.start_us,
            anomaly.c.hour_us < window.end_us,
            anomaly.c.state == "open",
        )
        .order_by(anomaly.c.anomaly_id)
    )
    return _frame(connection, query, [column.name for column in anomaly.columns])


def read_current(connection: Connection, as_of_us: int) -> pd.DataFrame:
    """Insights that are not resolved, or were within 14 days before the moment, by rank and id."""
    lately = insight.c.resolved_at_us >= as_of_us - RESOLVED_KEPT_US
    return _read(connection, or_(insight.c.state != "resolved", lately))


def read_insights(connection: Connection, *, resolved: bool = False) -> pd.DataFrame:
    """Insights to look at, the most important first; resolved ones of any age after them where asked for."""
    return _read(connection, None if resolved else insight.c.state != "resolved")


def save_insights(connection: Connection, rows: pd.DataFrame) -> None:
    """Writes the rows in the place of those with the same ids, in the caller's transaction."""
    if rows.empty:
        return
    made = (sqlite if connection.dialect.name == "sqlite" else postgresql).insert(insight)
    statement = made.on_conflict_do_update(
        index_elements=[insight.c.insight_id],
        set_={name: made.excluded[name] for name in COLUMNS if name != "insight_id"},
    )
    connection.execute(statement, _plain(rows))


def _read(connection: Connection, condition: Any) -> pd.DataFrame:
    query = select(insight)
    if condition is not None:
        query = query.where(condition)
    # Resolved ones have rank 0 and come last, the latest first.
    order = (insight.c.rank == 0, insight.c.rank, insight.c.resolved_at_us.desc(), insight.c.insight_id)
    return _frame(connection, query.order_by(*order), list(COLUMNS))


def _frame(connection: Connection, query: Any, names: list[str]) -> pd.DataFrame:
    frame = pd.DataFrame.from_records(connection.execute(query).fetchall(), columns=names)
    for name in names:  # an empty result knows no types
        if name == "resolved_at_us":
            frame[name] = frame[name].astype("Int64")
        elif name.endswith("_us") or name in _WHOLE:
            frame[name] = frame[name].astype("int64")
    return frame


def _plain(rows: pd.DataFrame) -> list[dict[str, Any]]:
    columns = [rows[name].astype(object).where(rows[name].notna(), None).tolist() for name in COLUMNS]
    return [dict(zip(COLUMNS, row, strict=True)) for row in zip(*columns, strict=True)]
