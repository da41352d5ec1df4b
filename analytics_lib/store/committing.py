"""Rows into the database in one transaction, with their keys and marks; what it refuses is set aside."""

import logging
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from operator import itemgetter
from typing import Any, Final, NamedTuple

from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError

from analytics_lib.errors import StoreError
from analytics_lib.records import Record
from analytics_lib.store.engine import shown_url
from analytics_lib.store.rows import LAYOUTS, Row, quarantined
from analytics_lib.store.writing import (
    ROLLUP_STAGE,
    KindCount,
    Mark,
    WriteResult,
    insert_keys,
    insert_marks,
    insert_rows,
)

_SAME_KEY: Final = "its key is stored already with other content; the first stays"
_CHECK_VIOLATED: Final = "23514"
_VALUE_ERRORS: Final = (OverflowError, UnicodeError)  # raised by drivers before the database is asked
_log = logging.getLogger("rpa_analytics.store")


class KindRows(NamedTuple):
    """The rows of one kind, and how the record of each is had: only the few that are set aside need it."""

    rows: Sequence[Row]
    record: Callable[[int], Record]


def rows_of_records(records: Sequence[Record]) -> dict[str, KindRows]:
    """The rows of any mix of records, in their order."""
    by_kind: dict[str, list[Record]] = {}
    for record in records:
        by_kind.setdefault(record.kind, []).append(record)
    return {
        kind: KindRows([LAYOUTS[kind].to_row(record) for record in of_kind], of_kind.__getitem__)
        for kind, of_kind in by_kind.items()
    }


def commit(
    engine: Engine, by_kind: Mapping[str, KindRows], aside: Sequence[Record], now: datetime
) -> WriteResult:
    """Writes it all; where the database refuses single rows, without those, which are set aside too.

    Raises StoreError when it takes nothing.
    """
    driver: Any = engine.dialect.dbapi  # inserts use the driver itself, so its errors come unwrapped
    count = sum(len(of_kind.rows) for of_kind in by_kind.values()) + len(aside)
    try:
        try:
            result = _write(engine, by_kind, aside, now)
        except _refusals(driver) as error:
            if _concerns_all_rows(error):
                raise
            good = [of_kind.record(at) for of_kind in by_kind.values() for at in range(len(of_kind.rows))]
            refused = _refused(engine, good, _refusals(driver))
            if not refused:
                raise
            aside = [*aside, *(quarantined(record, reason, now) for record, reason in refused)]
            bad = {id(record) for record, _ in refused}
            result = _write(engine, rows_of_records([r for r in good if id(r) not in bad]), aside, now)
    except (SQLAlchemyError, driver.Error, *_VALUE_ERRORS) as error:
        raise StoreError(
            f"the store {shown_url(engine.url)} did not take a batch of "
            f"{count} rows ({_reason(error)}): nothing of it is stored; send it again"
        ) from error
    if result.conflicts or result.quarantined:
        _log.warning(
            "of %d rows %d conflict with stored ones and %d are quarantined: see the table quarantine",
            count,
            result.conflicts,
            result.quarantined,
        )
    return result


def _write(
    engine: Engine, by_kind: Mapping[str, KindRows], aside: Sequence[Record], now: datetime
) -> WriteResult:
    counts: dict[str, KindCount] = {}
    marks: set[Mark] = set()
    kept = list(aside)
    with engine.begin() as connection:
        runs = _execution_ids({kind: rows for kind, (rows, _) in by_kind.items()})
        new_runs = insert_keys(connection, runs)
        for kind, layout in LAYOUTS.items():
            if kind not in by_kind:
                continue
            rows, record = by_kind[kind]
            inserted, conflicts = insert_rows(connection, layout, rows, new_runs)
            counts[kind] = KindCount(inserted, len(rows) - inserted - len(conflicts), len(conflicts))
            kept += [quarantined(record(position), _SAME_KEY, now) for position in conflicts]
            if layout.marked and inserted:
                marks |= {(ROLLUP_STAGE, kind, *mark) for mark in layout.marks_of(rows)}
        if kept:
            layout = LAYOUTS["quarantine"]
            insert_rows(connection, layout, [layout.to_row(record) for record in kept])
        insert_marks(connection, marks)
    return WriteResult(
        counts, quarantined=len(aside) + len(by_kind["quarantine"].rows if "quarantine" in by_kind else ())
    )


def _execution_ids(rows: Mapping[str, Sequence[Row]]) -> set[str]:
    with_execution = [kind for kind in rows if LAYOUTS[kind].has_execution]
    return set[str]().union(
        *(map(itemgetter(LAYOUTS[kind].position("execution_id")), rows[kind]) for kind in with_execution)
    )


def _refused(
    engine: Engine, records: Sequence[Record], refusals: tuple[type[Exception], ...]
) -> list[tuple[Record, str]]:
    """The records that the database itself refuses, with its reasons, found by halving; writes nothing."""
    try:
        with engine.connect() as connection, connection.begin() as transaction:
            for record in records:
                layout = LAYOUTS[record.kind]
                row = layout.to_row(record)
                insert_keys(connection, _execution_ids({record.kind: [row]}))
                insert_rows(connection, layout, [row])
            transaction.rollback()
    except refusals as error:
        if len(records) == 1:
            return [(records[0], f"the database refuses it: {_reason(error)}")]
        middle = len(records) // 2
        return _refused(engine, records[:middle], refusals) + _refused(engine, records[middle:], refusals)
    return []


def _refusals(driver: Any) -> tuple[type[Exception], ...]:
    """What a row's own content can raise; a lost connection or a full disk is none of it."""
    refused = (driver.DataError, driver.IntegrityError, driver.InterfaceError, driver.ProgrammingError)
    return (*refused, *_VALUE_ERRORS)


def _concerns_all_rows(error: Exception) -> bool:
    """Whether Postgres blames the tables or our rights (SQLSTATE class 42), not a row's content.

    Or says, as of a CHECK without a name, that a table has no partition for a row, not even the default one.
    """
    state = str(getattr(error, "sqlstate", None) or "")
    named = getattr(getattr(error, "diag", None), "constraint_name", None)
    return state.startswith("42") or (state == _CHECK_VIOLATED and named is None)


def _reason(error: Exception) -> str:
    cause = getattr(error, "orig", None) or error
    lines = str(cause).strip().splitlines()
    return lines[0] if lines else type(cause).__name__
