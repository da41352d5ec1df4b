"""Whole columns of values in the order of a record's fields, and plain tuples of a portion of them."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from analytics_lib.record_values import FIELDS

Values = tuple[str, tuple[Any, ...]]


class Columns:
    """Rows of one kind, column by column; a scalar stands for all rows, `DEFAULTS` for what is not given."""

    def __init__(self, kind: str, count: int, columns: Mapping[str, Any]) -> None:
        self.kind = kind
        self.count = count
        self._columns = {name: columns.get(name, DEFAULTS.get(name)) for name in FIELDS[kind]}
        unknown = set(columns) - set(self._columns)
        assert not unknown, f"{kind} has no {unknown}"  # noqa: S101  # a slip in this program, not in its input

    def column(self, name: str) -> NDArray[Any]:
        values = self._columns[name]
        return values if isinstance(values, np.ndarray) else np.full(self.count, values, dtype=object)

    def items(self) -> Iterable[tuple[str, Any]]:
        return self._columns.items()

    def take(self, at: NDArray[Any]) -> "Columns":
        taken = {n: v[at] if isinstance(v, np.ndarray) else v for n, v in self._columns.items()}
        return Columns(self.kind, int(np.count_nonzero(at)) if at.dtype == bool else len(at), taken)

    def tuples(self, start: int, end: int) -> list[Values]:
        """The rows of these positions as `TimeSeriesStore.write_values` takes them."""
        end = min(end, self.count)
        lists = [
            v[start:end].tolist() if isinstance(v, np.ndarray) else [v] * (end - start)
            for v in self._columns.values()
        ]
        return [(self.kind, values) for values in zip(*lists, strict=True)]

    def portions(self, rows: int) -> Iterator[list[Values]]:
        for start in range(0, self.count, rows):
            yield self.tuples(start, start + rows)


def concatenated(parts: Sequence[Columns]) -> Columns:
    """All rows of the parts, which are of one kind; at least one part."""
    names = FIELDS[parts[0].kind]
    columns = {
        name: parts[0]._columns[name]
        if _is_same(parts, name)
        else np.concatenate([p.column(name) for p in parts])
        for name in names
    }
    return Columns(parts[0].kind, sum(part.count for part in parts), columns)


def _is_same(parts: Sequence[Columns], name: str) -> bool:
    first = parts[0]._columns[name]
    if isinstance(first, np.ndarray):
        return False
    return all(not isinstance(p._columns[name], np.ndarray) and p._columns[name] == first for p in parts)


DEFAULTS: dict[str, Any] = {
    "workflow_version": "",
    "environment": "simulated",
    "robot_id": "",
    "host": "",
    "queue": "",
    "workflow_id": "",
    "execution_id": "",
    "recorder_id": "",
    "source": "workload",
    "message": "",
    "exception_kind": "",
    "message_truncated": False,
    "attempt": 1,
    "retries": 0,
    "parent_execution_id": "",
    "transaction_id": "",
    "suite": "",
    "attributes": "",
    "clock_skewed": False,
    "step_type": "",
    "rows_pending": 0,
    "rows_dropped": 0,
    "rows_quarantined": 0,
    "problem": "",
    "component": "daemon",
    "rows_recorded": 0,
    "rows_delivered": 0,
    "spool_bytes": 0,
    "agent_version": "1.0",
}
