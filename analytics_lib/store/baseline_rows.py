"""Baselines in and out: each version is replaced whole, and old ones go unless a finding names them."""

from collections.abc import Collection
from dataclasses import asdict, dataclass, fields
from typing import Any, Final

import numpy as np
import pandas as pd
from sqlalchemy import Connection, Table, and_, bindparam, delete, exists, insert, or_, select, text

from analytics_lib.schema import anomaly, baseline, baseline_run, baseline_series
from analytics_lib.seasons import hour_of_day
from analytics_lib.windows import from_us

_LOCK_KEY: Final = 0x72706162  # "rpab": one writer of baselines at a time on Postgres
_BATCH_ROWS: Final = 10_000
_TABLES: Final = (baseline_run, baseline_series, baseline)
_INTEGERS: Final = ("n_hours", "first_hour_us", "last_hour_us", "slot", "n")


@dataclass(frozen=True, slots=True)
class BaselineRun:
    """One version of the baselines: a row of the table baseline_run."""

    baseline_id: str
    as_of_us: int
    history_start_us: int
    history_end_us: int
    parameters: str
    n_series: int
    n_ready: int


def baseline_id(as_of_us: int) -> str:
    """The version that is computed as of the moment: its UTC minute.

    >>> baseline_id(1795426229000000)
    '2026-11-23T09:30Z'
    """
    return f"{from_us(as_of_us):%Y-%m-%dT%H:%MZ}"


def replace_version(
    connection: Connection, run: BaselineRun, series: pd.DataFrame, bands: pd.DataFrame
) -> None:
    """Puts the version in the place of what it held, in the caller's transaction.

    Must be its first statement. Postgres: an advisory lock until the commit, so that of two at once the
    second finds the rows of the first; SQLite: BEGIN IMMEDIATE has made this the one writer already.
    """
    _lock(connection)
    _delete(connection, [run.baseline_id])
    connection.execute(insert(baseline_run), [asdict(run)])
    _insert(connection, baseline_series, run.baseline_id, series)
    _insert(connection, baseline, run.baseline_id, bands)


def newest_version(connection: Connection, as_of_us: int) -> BaselineRun | None:
    """The newest version that was computed as of that moment or before; None where there is none."""
    query = (
        select(*(baseline_run.c[field.name] for field in fields(BaselineRun)))
        .where(baseline_run.c.as_of_us <= as_of_us)
        .order_by(baseline_run.c.as_of_us.desc(), baseline_run.c.baseline_id.desc())
        .limit(1)
    )
    row = connection.execute(query).one_or_none()
    return None if row is None else BaselineRun(*row)


def read_series(connection: Connection, version: str, workflow_id: str | None = None) -> pd.DataFrame:
    """The series that the version looked at, of one workflow or all, by key."""
    return _read(connection, baseline_series, version, workflow_id)


def read_bands(
    connection: Connection,
    version: str,
    workflow_id: str | None = None,
    hours_of_week: Collection[int] | None = None,
) -> pd.DataFrame:
    """The version's bands, of one workflow or all, by key.

    hours_of_week (0 to 167): only the bands that can speak of these hours, fallbacks included. One hour
    of a large fleet needs a hundredth of its bands.
    """
    if hours_of_week is None:
        return _read(connection, baseline, version, workflow_id)
    week = sorted(set(hours_of_week))
    day = sorted(set(hour_of_day(np.array(week, dtype=np.int64)).tolist()))
    level, slot = baseline.c.level, baseline.c.slot
    speaks = or_(
        and_(level == "hour_of_week", slot.in_(week)),
        and_(level == "hour_of_day", slot.in_(day)),
        level == "overall",
    )
    return _read(connection, baseline, version, workflow_id, speaks)


def drop_versions(connection: Connection, before_us: int) -> int:
    """Deletes versions computed as of an earlier moment, except those that anomalies name; gives how many."""
    named = exists().where(anomaly.c.baseline_id == baseline_run.c.baseline_id)
    query = select(baseline_run.c.baseline_id).where(baseline_run.c.as_of_us < before_us, ~named)
    versions = list(connection.execute(query).scalars())
    _delete(connection, versions)
    return len(versions)


def _lock(connection: Connection) -> None:
    if connection.dialect.name == "postgresql":
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK_KEY})


def _delete(connection: Connection, versions: list[str]) -> None:
    for table in _TABLES if versions else ():
        statement = delete(table).where(table.c.baseline_id == bindparam("version"))
        connection.execute(statement, [{"version": version} for version in versions])


def _insert(connection: Connection, table: Table, version: str, rows: pd.DataFrame) -> None:
    names = [column.name for column in table.columns if column.name != "baseline_id"]
    for start in range(0, len(rows), _BATCH_ROWS):
        batch = rows[names].iloc[start : start + _BATCH_ROWS]
        columns = [batch[name].tolist() for name in names]
        values = [dict(zip(names, row, strict=True)) for row in zip(*columns, strict=True)]
        connection.execute(insert(table), [{"baseline_id": version, **row} for row in values])


def _read(
    connection: Connection, table: Table, version: str, workflow_id: str | None, where: Any = None
) -> pd.DataFrame:
    columns = [column for column in table.columns if column.name != "baseline_id"]
    query = select(*columns).where(table.c.baseline_id == version)
    if workflow_id is not None:
        query = query.where(table.c.workflow_id == workflow_id)
    if where is not None:
        query = query.where(where)
    rows = connection.execute(query.order_by(*table.primary_key.columns)).fetchall()
    frame = pd.DataFrame.from_records(rows, columns=[column.name for column in columns])
    # An empty result knows no types.
    return frame.astype({name: "int64" for name in _INTEGERS if name in frame})
