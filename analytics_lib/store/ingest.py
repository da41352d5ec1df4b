"""A batch of records, or of plain values, into the store: what may be written and what is set aside."""

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from itertools import groupby
from operator import itemgetter
from typing import Any, Final

from sqlalchemy import Engine

from analytics_lib.errors import RecordError
from analytics_lib.record_values import Values, record_of
from analytics_lib.records import RECORD_TYPES, Record
from analytics_lib.store.committing import KindRows, commit, rows_of_records
from analytics_lib.store.rows import LAYOUTS, Row, quarantined, quarantined_values
from analytics_lib.store.value_rows import rows_of_values
from analytics_lib.store.writing import WriteResult
from analytics_lib.windows import HOUR_US, to_us

FUTURE_US: Final = HOUR_US


def write_batch(engine: Engine, records: Iterable[Record], now: datetime) -> WriteResult:
    """See `TimeSeriesStore.write_metrics`; `now` is what "the future" is measured by."""
    good, aside = _sort_out(records, now)
    return commit(engine, rows_of_records(good), aside, now)


def write_values(engine: Engine, batch: Sequence[tuple[str, Values]], now: datetime) -> WriteResult:
    """See `TimeSeriesStore.write_values`; the same as `write_batch` of the records that the values make."""
    aside: list[Record] = []
    by_kind: dict[str, KindRows] = {}
    for kind, given in _by_kind(batch).items():
        rows = rows_of_values(kind, given, to_us(now) + FUTURE_US, _closer(kind, aside, now))
        kept = [at for at, row in enumerate(rows) if row is not None]
        if kept:
            by_kind[kind] = KindRows([row for row in rows if row is not None], _recordings(kind, given, kept))
    return commit(engine, by_kind, aside, now)


def _recordings(kind: str, given: Sequence[Values], kept: Sequence[int]) -> Callable[[int], Record]:
    return lambda at: record_of(kind, given[kept[at]])


def _by_kind(batch: Sequence[tuple[str, Values]]) -> dict[str, list[Values]]:
    """The values of each kind, in their order; kinds of which there are none are told apart by their text."""
    by_kind: dict[str, list[Values]] = {}
    for kind, of_kind in groupby(batch, itemgetter(0)):
        name = kind if isinstance(kind, str) else repr(kind)
        by_kind.setdefault(name, []).extend(map(itemgetter(1), of_kind))
    return by_kind


def _closer(kind: str, aside: list[Record], now: datetime) -> Callable[[Values], Row | None]:
    """What looks closer at one kind's values: it gives their row, or sets them aside with the reason."""

    def look(values: Values) -> Row | None:
        try:
            record = record_of(kind, values)
        except RecordError as error:
            aside.append(quarantined_values(kind, values, str(error), now))
            return None
        good, refused = _sort_out([record], now)
        aside.extend(refused)
        return LAYOUTS[kind].to_row(record) if good else None

    return look


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
            # The reason does not say what time it is, or the same row sent again would be kept twice.
            reason = (
                f"{type(record).__name__} of {moment.isoformat()} lies more than an hour in the future: "
                f"set the clock of host {getattr(record, 'host', '')!r}"
            )
            aside.append(quarantined(record, reason, now))
            continue
        good.append(record)
    return good, aside
