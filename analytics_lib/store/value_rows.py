"""Rows straight from plain values, by whole columns: what `to_row(record_of(…))` makes, but quicker."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, fields
from operator import le
from typing import Any, Final

from analytics_lib.catalog import TIME_COLUMN
from analytics_lib.record_values import FIELDS, Values
from analytics_lib.records import CLOCK_SKEW_MS, RECORD_TYPES, Record
from analytics_lib.store.column_checks import Column, ColumnCheck, column_check
from analytics_lib.store.rows import LAYOUTS, Row, bucket_of, hashes_of

_FEW: Final = 4  # so many are looked at one by one: halving them further would cost more
_SPAN: Final = ("started_at_us", "ended_at_us", "duration_ms", "clock_skewed")


@dataclass(frozen=True)
class _Plan:
    """How the values of one kind become rows."""

    checks: tuple[ColumnCheck, ...]
    facts_at: tuple[int, ...]
    shard_at: int
    moment_at: int | None  # what must not lie in the future
    span_at: tuple[int, ...]  # of `_SPAN`, where it has one


def _plan(record_type: type[Record]) -> _Plan:
    kind = record_type.kind
    names = FIELDS[kind]
    moment = TIME_COLUMN.get(kind)  # type: ignore[call-overload]  # kinds that are no source have none
    return _Plan(
        checks=tuple(column_check(f.metadata["check"]) for f in fields(record_type)),
        facts_at=LAYOUTS[kind].facts_at,
        shard_at=LAYOUTS[kind].shard_at,
        moment_at=None if moment is None else names.index(moment),
        span_at=tuple(map(names.index, _SPAN)) if _SPAN[-1] in names else (),
    )


# What is in quarantine already is rare, and its key is made in another way: it goes through its record.
_PLANS: Final = {kind.kind: _plan(kind) for kind in RECORD_TYPES if kind.kind != "quarantine"}


def rows_of_values(
    kind: str, given: Sequence[Values], latest_us: int, look_closer: Callable[[Values], Row | None]
) -> list[Row | None]:
    """One row for each of the given values, in their order.

    `look_closer` is asked about those that are not obviously valid or happened after `latest_us`:
    it gives their row, or None where there is to be none.
    """
    plan = _PLANS.get(kind)
    rows = _rows(plan, given, latest_us) if plan and given else None
    if rows is not None:
        return rows
    if plan is None or len(given) <= _FEW:
        return [look_closer(values) for values in given]
    middle = len(given) // 2
    return [
        *rows_of_values(kind, given[:middle], latest_us, look_closer),
        *rows_of_values(kind, given[middle:], latest_us, look_closer),
    ]


def _rows(plan: _Plan, given: Sequence[Values], latest_us: int) -> list[Row | None] | None:
    """The rows of values that are all obviously valid; None where one of them is not."""
    if not set(map(type, given)) <= {list, tuple} or set(map(len, given)) != {len(plan.checks)}:
        return None
    columns: list[Column] = []
    for check, values in zip(plan.checks, zip(*given, strict=True), strict=True):
        column = check(values)
        if column is None:
            return None
        columns.append(column)
    if plan.moment_at is not None and max(columns[plan.moment_at].values) > latest_us:
        return None
    stored: list[Sequence[Any]] = [column.values for column in columns]
    if plan.span_at:
        started, ended, _, skewed = plan.span_at
        if not all(map(le, stored[started], stored[ended])):
            return None
        stored[skewed] = _skewed(*(stored[at] for at in plan.span_at))
    buckets = map(bucket_of, stored[plan.shard_at])
    hashes = hashes_of(_hashed([columns[at] for at in plan.facts_at], len(given)))
    return list(zip(*stored, buckets, hashes, strict=True))


def _skewed(
    started: Sequence[int], ended: Sequence[int], duration_ms: Sequence[float], given: Sequence[bool]
) -> Sequence[bool]:
    """Whether wall clock and duration differ too much, by the very arithmetic of the records."""
    spans = zip(started, ended, duration_ms, strict=True)
    found = [abs((end - start) / 1_000_000 * 1000 - took) > CLOCK_SKEW_MS for start, end, took in spans]
    return [a or b for a, b in zip(found, given, strict=True)] if True in found else given


def _hashed(facts: Sequence[Column], count: int) -> Iterable[str]:
    """What is hashed of each row: the text that `repr` gives of the list of its facts, as in `to_row`."""
    parts: list[str] = []
    varying: list[Sequence[Any]] = []
    for column in facts:
        if column.is_constant:
            parts.append((column.pattern % column.shown[0]).replace("%", "%%"))
        else:
            parts.append(column.pattern)
            varying.append(column.shown)
    write = ("[" + ", ".join(parts) + "]").__mod__
    return map(write, zip(*varying, strict=True)) if varying else [write(())] * count
