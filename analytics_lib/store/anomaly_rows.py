"""Anomalies in and out of the database, and what detection reads beside the rollups (analytics extra)."""

from collections.abc import Collection, Iterable
from typing import Any, Final

import pandas as pd
from sqlalchemy import Connection, bindparam, func, literal, select, text, tuple_, union_all, update
from sqlalchemy.dialects import postgresql, sqlite

from analytics_lib.schema import (
    agent_heartbeat,
    anomaly,
    baseline,
    execution_abandoned,
    execution_heartbeat,
    execution_metrics,
    execution_start,
    rollup_execution_hourly,
    rollup_step_hourly,
)
from analytics_lib.store import ledger
from analytics_lib.store.writing import ANOMALY_STAGE
from analytics_lib.windows import DAY_US, HOUR_US, Window

COLUMNS: Final = tuple(column.name for column in anomaly.columns)
_LOCK: Final = 0x72706161
_LONGEST_RUN_US: Final = 7 * DAY_US
_IDS_AT_ONCE: Final = 500
_WHOLE: Final = ("n", "severity", "slot", "rows_pending")


def lock_anomalies(connection: Connection) -> None:
    """Waits until nobody else judges. Must be the transaction's first statement.

    Postgres: an advisory lock for the transaction. SQLite: BEGIN IMMEDIATE has made this the one writer.
    """
    if connection.dialect.name == "postgresql":
        connection.execute(text("SELECT pg_advisory_xact_lock(1919967542, :key)"), {"key": _LOCK})


def read_marks(connection: Connection, closed_before_us: int) -> ledger.Marks:
    """All marks of the stage in hours that ended by then."""
    ids: list[int] = []
    shards: set[tuple[int, int]] = set()
    for unit in ledger.pending_days(connection, ANOMALY_STAGE, closed_before_us):
        marks = ledger.read_marks(connection, ANOMALY_STAGE, unit, closed_before_us)
        ids += marks.ids
        shards |= marks.shards
    return ledger.Marks(tuple(ids), frozenset(shards))


def read_anomalies(connection: Connection, window: Window) -> pd.DataFrame:
    """Anomalies of hours in the window, open and withdrawn, all columns, by id."""
    query = select(anomaly).where(anomaly.c.hour_us >= window.start_us, anomaly.c.hour_us < window.end_us)
    return _frame(connection, query.order_by(anomaly.c.anomaly_id), COLUMNS)


def save_anomalies(connection: Connection, rows: pd.DataFrame) -> None:
    """Writes the rows; of those that are stored already, the moment they were found first stays."""
    if rows.empty:
        return
    made = (sqlite if connection.dialect.name == "sqlite" else postgresql).insert(anomaly)
    others = [name for name in COLUMNS if name not in ("anomaly_id", "found_at_us")]
    statement = made.on_conflict_do_update(
        index_elements=[anomaly.c.anomaly_id], set_={name: made.excluded[name] for name in others}
    )
    columns = [rows[name].astype(object).tolist() for name in COLUMNS]
    connection.execute(
        statement, [dict(zip(COLUMNS, row, strict=True)) for row in zip(*columns, strict=True)]
    )


def withdraw_anomalies(connection: Connection, ids: Iterable[str], judged_at_us: int) -> None:
    """Says of anomalies that their hours turned out to be normal; their rows stay."""
    wanted = [{"id": one, "at": judged_at_us} for one in ids]
    if wanted:
        statement = update(anomaly).where(anomaly.c.anomaly_id == bindparam("id"))
        connection.execute(statement.values(state="withdrawn", judged_at_us=bindparam("at")), wanted)


def read_run_counts(connection: Connection, window: Window) -> pd.DataFrame:
    """workflow_id, environment, hour_us, value: runs that counted, by hour with any."""
    table = rollup_execution_hourly
    key = [table.c.workflow_id, table.c.environment, table.c.hour_us]
    value = func.sum(table.c.n - table.c.n_skipped)
    query = (
        select(*key, value)
        .where(table.c.hour_us >= window.start_us, table.c.hour_us < window.end_us)
        .group_by(*key)
        .having(value > 0)
        .order_by(*key)
    )
    frame = _frame(connection, query, ("workflow_id", "environment", "hour_us", "value"))
    return frame.astype({"value": "float64"})


def read_active_hours(connection: Connection, window: Window, workflow_ids: Collection[str]) -> pd.DataFrame:
    """workflow_id, environment, step_id, hour_us: hours in which the workflows and their steps ran."""
    names = ("workflow_id", "environment", "step_id", "hour_us")
    executions, steps = rollup_execution_hourly, rollup_step_hourly
    frames = []
    for some in _some_at_once(workflow_ids):
        parts = [
            select(table.c.workflow_id, table.c.environment, step_id.label("step_id"), table.c.hour_us)
            .where(
                table.c.workflow_id.in_(some),
                table.c.hour_us >= window.start_us,
                table.c.hour_us < window.end_us,
                table.c.n > table.c.n_skipped,
            )
            .distinct()
            for table, step_id in ((executions, literal("")), (steps, steps.c.step_id))
        ]
        frames.append(_frame(connection, union_all(*parts), names))
    return pd.concat(frames, ignore_index=True) if frames else _typed(pd.DataFrame(columns=list(names)))


def read_heartbeats(connection: Connection, window: Window) -> pd.DataFrame:
    """Last words of agents by hour: host, agent_id, hour_us, sent_at_us, complete_to_us, rows_pending."""
    table = agent_heartbeat
    hour = (table.c.sent_at_us - table.c.sent_at_us % literal(HOUR_US, literal_execute=True)).label("hour_us")
    last = (
        select(table.c.agent_id, hour, func.max(table.c.sent_at_us).label("last_us"))
        .where(table.c.sent_at_us >= window.start_us, table.c.sent_at_us < window.end_us)
        .group_by(table.c.agent_id, hour)
        .subquery()
    )
    names = ("host", "agent_id", "hour_us", "sent_at_us", "complete_to_us", "rows_pending")
    columns = [last.c.hour_us if name == "hour_us" else table.c[name] for name in names]
    query = (
        select(*columns)
        .join(last, (last.c.agent_id == table.c.agent_id) & (last.c.last_us == table.c.sent_at_us))
        .order_by(table.c.agent_id, table.c.sent_at_us)
    )
    return _frame(connection, query, names)


def read_hosts_of_workflows(connection: Connection, window: Window) -> pd.DataFrame:
    """workflow_id, environment, host, n, last_row_us: runs that ended in the window, by where they ran."""
    table = execution_metrics
    key = [table.c.workflow_id, table.c.environment, table.c.host]
    query = (
        select(*key, func.count(), func.max(table.c.ended_at_us))
        .where(table.c.ended_at_us >= window.start_us, table.c.ended_at_us < window.end_us)
        .group_by(*key)
        .order_by(*key)
    )
    return _frame(connection, query, ("workflow_id", "environment", "host", "n", "last_row_us"))


def read_running(connection: Connection, window: Window) -> pd.DataFrame:
    """workflow_id, environment, started_at_us, until_us of runs that went on past the end of an hour.

    Runs without an end are followed to their last sign of life, for at most seven days: an end that was
    lost must not make a workflow look busy for ever.
    """
    ended, begun, sign = execution_metrics, execution_start, execution_heartbeat
    hour_length = literal(HOUR_US, literal_execute=True)
    with_end = select(
        ended.c.workflow_id, ended.c.environment, ended.c.started_at_us, ended.c.ended_at_us
    ).where(
        ended.c.ended_at_us >= window.start_us,
        ended.c.started_at_us < window.end_us,
        ended.c.started_at_us < ended.c.ended_at_us - ended.c.ended_at_us % hour_length,
    )
    last_sign = (
        select(func.max(sign.c.sent_at_us))
        .where(sign.c.execution_id == begun.c.execution_id)
        .scalar_subquery()
    )
    has_end = select(ended.c.execution_id).where(ended.c.execution_id == begun.c.execution_id).exists()
    given_up = (
        select(execution_abandoned.c.execution_id)
        .where(
            execution_abandoned.c.execution_id == begun.c.execution_id,
            execution_abandoned.c.last_seen_at_us < window.start_us,
        )
        .exists()
    )
    without_end = select(
        begun.c.workflow_id,
        begun.c.environment,
        begun.c.started_at_us,
        func.coalesce(last_sign, begun.c.started_at_us),
    ).where(
        begun.c.started_at_us >= window.start_us - _LONGEST_RUN_US,
        begun.c.started_at_us < window.end_us,
        ~has_end,
        ~given_up,
    )
    names = ("workflow_id", "environment", "started_at_us", "until_us")
    return _frame(connection, union_all(with_end, without_end), names)


def read_run_bands(connection: Connection, version: str) -> pd.DataFrame:
    """The version's bands of the workflows' runs_per_hour, all columns but its id."""
    names = [column.name for column in baseline.columns if column.name != "baseline_id"]
    query = select(*(baseline.c[name] for name in names)).where(
        baseline.c.baseline_id == version, baseline.c.step_id == "", baseline.c.metric == "runs_per_hour"
    )
    return _frame(connection, query.order_by(*baseline.primary_key.columns), names)


def read_usual(connection: Connection, version: str, series: pd.DataFrame) -> pd.DataFrame:
    """Means of scale and center over the bands of each level, by hours behind them, of the series named.

    workflow_id, environment, step_id, metric, level, usual_scale, usual_center.
    """
    names = ("workflow_id", "environment", "step_id", "metric")
    key = [baseline.c[name] for name in (*names, "level")]
    hours = func.sum(baseline.c.n)
    columns = [func.sum(baseline.c.n * baseline.c[name]) / hours for name in ("scale", "center")]
    wanted = list(series[list(names)].drop_duplicates().itertuples(index=False, name=None))
    rows: list[Any] = []
    for some in _some_at_once(wanted):
        query = (
            select(*key, *columns)
            .where(baseline.c.baseline_id == version, tuple_(*key[:4]).in_(some))
            .group_by(*key)
        )
        rows += connection.execute(query).fetchall()
    return pd.DataFrame.from_records(rows, columns=[*names, "level", "usual_scale", "usual_center"])


def _some_at_once(values: Collection[Any]) -> Iterable[list[Any]]:
    """Parts that fit into one statement: SQLite takes 32,766 parameters, a key of four needs four each."""
    ordered = sorted(values)
    return [ordered[at : at + _IDS_AT_ONCE] for at in range(0, len(ordered), _IDS_AT_ONCE)]


def _frame(connection: Connection, query: Any, names: Iterable[str]) -> pd.DataFrame:
    return _typed(pd.DataFrame.from_records(connection.execute(query).fetchall(), columns=list(names)))


def _typed(frame: pd.DataFrame) -> pd.DataFrame:
    """An empty result knows no types."""
    whole = [name for name in frame.columns if name.endswith("_us") or name in _WHOLE]
    return frame.astype(dict.fromkeys(whole, "int64"))
