"""A spool with rows in it, a store that behaves as it is told, and clocks that go when they are told."""

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from analytics_lib.record_values import FIELDS
from analytics_lib.records import Record
from collector_agent.forwarder import Forwarder, Pass
from collector_agent.forwarding.sifting import Row
from collector_agent.recording.journal import payload_of
from collector_agent.spool.reader import sets_in
from collector_agent.spool.writer import SpoolWriter
from tests.make import NOON, step

STEP_SEQ = FIELDS["step"].index("step_seq")
STEP_OF = FIELDS["step"].index("execution_id")


def put(writer: SpoolWriter, *records: Record) -> None:
    for record in records:
        assert writer.append(payload_of(record))


def steps(writer: SpoolWriter, numbers: Sequence[int], run: str = "e1") -> None:
    put(writer, *(step(run, number) for number in numbers))


class Clock:
    """Monotonic seconds and the time of day, which go together."""

    def __init__(self) -> None:
        self.seconds = 1_000.0

    def __call__(self) -> float:
        return self.seconds

    def now(self) -> datetime:
        return NOON + timedelta(seconds=self.seconds)


class Store:
    """Takes batches of rows, all or nothing, unless `refuse` raises for one; keeps one of each."""

    def __init__(self) -> None:
        self._rows: dict[str, Row] = {}
        self.calls: list[int] = []
        self.refuse: Callable[[Sequence[Row]], None] = lambda rows: None

    def __call__(self, rows: Sequence[Row]) -> None:
        self.calls.append(len(rows))
        self.refuse(rows)
        for row in rows:
            self._rows.setdefault(repr(row), row)

    @property
    def rows(self) -> list[Row]:
        return list(self._rows.values())

    def step_numbers(self, run: str = "e1") -> list[int]:
        return [values[STEP_SEQ] for kind, values in self.rows if kind == "step" and values[STEP_OF] == run]


def forwarder(folder: Path, store: Callable[..., object], clock: Clock, **options: Any) -> Forwarder:
    return Forwarder(folder, store, clock=clock, now=clock.now, chance=lambda: 1.0, **options)


def drain(shipping: Forwarder, clock: Clock, seconds: float = 600.0) -> list[Pass]:
    """Passes until nothing is pending, at most for so long; a pause passes at once."""
    until = clock.seconds + seconds
    passes = []
    while clock.seconds < until:
        passes.append(shipping.run_once())
        if not shipping.state.rows_pending:
            break
        clock.seconds += passes[-1].pause_s
    return passes


def are_gone(folder: Path) -> bool:
    """Whether no set is left."""
    return sets_in(folder) == []
