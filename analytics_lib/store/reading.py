"""Raw rows back out: records of a window, and simple aggregates computed by the database."""

from collections.abc import Sequence
from typing import Any, Final

from sqlalchemy import BigInteger, ColumnElement, Connection, Table, cast, func, literal, select

from analytics_lib import catalog
from analytics_lib.errors import QueryError
from analytics_lib.records import Record
from analytics_lib.schema import RAW_TABLES
from analytics_lib.store.rows import LAYOUTS
from analytics_lib.windows import DAY_US, HOUR_US, Window, from_us

SOURCES: Final[tuple[catalog.Source, ...]] = ("execution", "step", "resource")
FILTERS: Final = ("workflow_id", "execution_id", "environment", "robot_id", "host", "queue")
_PERIOD_US: Final = {"hour": HOUR_US, "day": DAY_US}


def select_range(
    connection: Connection,
    window: Window,
    sources: Sequence[catalog.Source],
    filters: dict[str, str],
    limit: int | None,
) -> dict[str, list[Record]]:
    """Records by source, oldest first; executions and steps by their end, samples by their moment."""
    result: dict[str, list[Record]] = {}
    for source in sources:
        table = RAW_TABLES[source]
        layout = LAYOUTS[source]
        query = _within(select(*(table.c[name] for name in layout.columns)), table, source, window, filters)
        # The time first, the key second: the same order on every database and on every call.
        order = [table.c[catalog.TIME_COLUMN[source]], *table.primary_key.columns]
        rows = connection.execute(query.order_by(*order).limit(limit)).mappings()
        result[source] = [layout.from_row(dict(row)) for row in rows]
    return result


def select_aggregate(
    connection: Connection,
    metric: catalog.Metric,
    aggregation: str,
    group_by: Sequence[str],
    window: Window,
    filters: dict[str, str],
) -> list[dict[str, Any]]:
    """One dict per group: its columns, `value` (None where nothing was measured) and `n`."""
    table = RAW_TABLES[metric.source]
    column = table.c[metric.column]
    groups = [_group(table, metric.source, name).label(name) for name in group_by]
    values: dict[str, ColumnElement[Any]] = {
        # On Postgres avg and sum of integers are exact numerics; people expect floats.
        "avg": func.avg(column * 1.0),
        "sum": func.sum(column * 1.0),
        "count": func.count(column),
        "min": func.min(column),
        "max": func.max(column),
    }
    query: Any = select(*groups, values[aggregation].label("value"), func.count(column).label("n"))
    query = _within(query, table, metric.source, window, filters)
    if metric.unit == "ms":
        query = query.where(table.c.status != "skipped")  # a step that did not run took no time
    if groups:
        query = query.group_by(*groups).order_by(*groups)
    rows = []
    for row in connection.execute(query).mappings():
        values_of = dict(row)
        for name in group_by:
            if name in _PERIOD_US:
                values_of[name] = from_us(int(values_of[name]))
        if values_of["value"] is not None and aggregation != "count":
            values_of["value"] = float(values_of["value"])
        rows.append(values_of)
    return rows


def checked_filters(filters: dict[str, str | None]) -> dict[str, str]:
    """The filters that are set. Raises QueryError that lists the valid ones when one is unknown."""
    for name, value in filters.items():
        if name not in FILTERS:
            raise QueryError(f"cannot filter by {name!r}: use any of {', '.join(FILTERS)}")
        if value is not None and not isinstance(value, str):
            raise QueryError(f"the filter {name} is {value!r}: give text")
    return {name: value for name, value in filters.items() if value is not None}


def _group(table: Table, source: catalog.Source, name: str) -> ColumnElement[Any]:
    if name not in _PERIOD_US:
        return table.c[name]
    moment = table.c[catalog.TIME_COLUMN[source]]
    period = literal(_PERIOD_US[name], BigInteger, literal_execute=True)
    return cast(moment - moment % period, BigInteger)


def _within(
    # SQLAlchemy types a Select by its columns, which vary here: hence Any.
    query: Any,
    table: Table,
    source: catalog.Source,
    window: Window,
    filters: dict[str, str],
) -> Any:
    moment = table.c[catalog.TIME_COLUMN[source]]
    query = query.where(moment >= window.start_us, moment < window.end_us)
    for name, value in filters.items():
        query = query.where(table.c[name] == value)
    return query
