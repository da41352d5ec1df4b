"""A batch of records into the store: sort out, write in one transaction, set aside what is refused."""

import logging
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError

from analytics_lib.errors import StoreError
from analytics_lib.records import RECORD_TYPES, Record
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
from analytics_lib.windows import HOUR_US, to_us

FUTURE_US: Final = HOUR_US
_SAME_KEY: Final = "its key is stored already with other content; the first stays"
_VALUE_ERRORS: Final = (OverflowError, UnicodeError)  # raised by drivers before the database is asked
_log = logging.getLogger("rpa_analytics.store")


def write_batch(engine: Engine, records: Iterable[Record], now: datetime) -> WriteResult:
    """See `TimeSeriesStore.write_metrics`; `now` is what "the future" is measured by."""
    good, aside = _sort_out(records, now)
    driver: Any = engine.dialect.dbapi  # inserts use the driver itself, so its errors come unwrapped
    try:
        try:
            result = _write(engine, good, aside, now)
        except _refusals(driver) as error:
            if _concerns_all_rows(error):
                raise
            refused = _refused(engine, good, _refusals(driver))
            if not refused:
                raise
            aside += [quarantined(record, reason, now) for record, reason in refused]
            bad = {id(record) for record, _ in refused}
            result = _write(engine, [record for record in good if id(record) not in bad], aside, now)
    except (SQLAlchemyError, driver.Error, *_VALUE_ERRORS) as error:
        raise StoreError(
            f"the store {shown_url(engine.url)} did not take a batch of "
            f"{len(good) + len(aside)} rows ({_reason(error)}): nothing of it is stored; send it again"
        ) from error
    if result.conflicts or result.quarantined:
        _log.warning(
            "of %d rows %d conflict with stored ones and %d are quarantined: see the table quarantine",
            len(good) + len(aside),
            result.conflicts,
            result.quarantined,
        )
    return result


def _sort_out(records: Iterable[Any], now: datetime) -> tuple[list[Record], list[Record]]:
    """(what may be written, what is set aside before the database sees it)."""
    good: list[Record] = []
    aside: list[Record] = []
    limit_us = to_us(now) + FUTURE_US
    for record in records:
        if not isinstance(record, RECORD_TYPES):
            reason = f"{type(record).__name__} is no record: write the classes of analytics_lib.records"
            aside.append(quarantined(record, reason, now))
            continue
        moment = getattr(record, "ended_at", None) or getattr(record, "sampled_at", None)
        if moment is not None and to_us(moment) > limit_us:
            reason = (
                f"{type(record).__name__} of {moment.isoformat()} lies more than an hour in the future "
                f"(now is {now.isoformat()}): set the clock of host {getattr(record, 'host', '')!r}"
            )
            aside.append(quarantined(record, reason, now))
            continue
        good.append(record)
    return good, aside


def _write(engine: Engine, good: Sequence[Record], aside: Sequence[Record], now: datetime) -> WriteResult:
    by_kind: dict[str, list[Record]] = {}
    for record in good:
        by_kind.setdefault(record.kind, []).append(record)
    rows = {kind: [LAYOUTS[kind].to_row(record) for record in of_kind] for kind, of_kind in by_kind.items()}
    counts: dict[str, KindCount] = {}
    marks: set[Mark] = set()
    kept = list(aside)
    with engine.begin() as connection:
        insert_keys(connection, _execution_ids(rows))
        for kind, layout in LAYOUTS.items():
            if kind not in rows:
                continue
            inserted, conflicts = insert_rows(connection, layout, rows[kind])
            counts[kind] = KindCount(inserted, len(rows[kind]) - inserted - len(conflicts), len(conflicts))
            kept += [quarantined(by_kind[kind][position], _SAME_KEY, now) for position in conflicts]
            if layout.marked and inserted:
                marks |= {(ROLLUP_STAGE, kind, *layout.mark_of(row)) for row in rows[kind]}
        if kept:
            layout = LAYOUTS["quarantine"]
            insert_rows(connection, layout, [layout.to_row(record) for record in kept])
        insert_marks(connection, marks)
    return WriteResult(counts, quarantined=len(aside) + len(by_kind.get("quarantine", ())))


def _execution_ids(rows: dict[str, list[Row]]) -> set[str]:
    return {
        row[LAYOUTS[kind].position("execution_id")]
        for kind, of_kind in rows.items()
        if LAYOUTS[kind].has_execution
        for row in of_kind
    }


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
    """Whether Postgres blames the tables or our rights (SQLSTATE class 42), not a row's content."""
    return str(getattr(error, "sqlstate", None) or "").startswith("42")


def _reason(error: Exception) -> str:
    cause = getattr(error, "orig", None) or error
    lines = str(cause).strip().splitlines()
    return lines[0] if lines else type(cause).__name__
