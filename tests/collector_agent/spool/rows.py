"""Small rows for spools, and a database that takes them: one row per key, whatever arrives how often."""

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from analytics_lib.record_values import values_of
from analytics_lib.records import AgentHeartbeat
from collector_agent.spool.batch import Batch
from collector_agent.spool.cursor import Counters
from collector_agent.spool.files import REAL, Files
from collector_agent.spool.quarantine import Entry, LocalQuarantine
from collector_agent.spool.reader import SetReader, open_set, sets_in
from tests.make import NOON

Row = tuple[str, tuple[Any, ...]]


def row(key: int | str) -> Row:
    values = ("1", "test", "r1", "BOT-01", "q", f"e{key}", "invoices", 1_795_000_000_000_000)
    return "execution_heartbeat", values


def sign_of_life(key: int | str) -> Row:
    return "agent_heartbeat", values_of(AgentHeartbeat(agent_id=f"e{key}", sent_at=NOON, complete_to=NOON))


def payload(of: Row) -> bytes:
    return json.dumps([of[0], *of[1]], separators=(",", ":")).encode()


def key_of(of: tuple[str, Any]) -> str:
    """Of a row from `row` or `sign_of_life`."""
    return str(of[1][5])


@dataclass
class Database:
    """What was delivered, by key; a key that comes again has to come with the same content.

    What `refuses` says so of never goes in: it is poison.
    """

    rows: dict[str, Row] = field(default_factory=dict)
    refuses: Callable[[tuple[str, Any]], bool] = lambda record: False

    def take(self, batch: Batch) -> dict[int, str]:
        """Gives the refused ones with the reason."""
        self.put(record for record in batch.records if not self.refuses(record))
        return {at: "poison" for at, record in enumerate(batch.records) if self.refuses(record)}

    def put(self, records: Iterable[tuple[str, Any]]) -> None:
        for kind, values in records:
            taken = (kind, tuple(values))
            assert self.rows.setdefault(key_of(taken), taken) == taken


@dataclass
class Shipped:
    """What became of everything in a spool folder."""

    sets: dict[str, Counters] = field(default_factory=dict)
    quarantine: list[Entry] = field(default_factory=list)
    left: list[str] = field(default_factory=list)  # sets that are still there

    def total(self, counter: str) -> int:
        return sum(getattr(counters, counter) for counters in self.sets.values())


def ship(reader: SetReader, database: Database, rows: int = 10) -> None:
    """Until the set has nothing more now, or the disk fails."""
    while True:
        batches = [reader.next_batch(rows, live=True), reader.next_batch(rows, live=False)]
        for batch in batches:
            if batch is not None and not reader.acknowledge(batch, database.take(batch)):
                return  # the quarantine cannot be written to now
        if batches == [None, None]:
            return


def ship_all(
    folder: Path,
    database: Database,
    files: Files = REAL,
    rows: int = 10,
    note: Callable[[str, Counters], object] = lambda name, counters: None,
) -> Shipped:
    """All sets of a folder, as a forwarder does it; finished ones go, once their counters are noted."""
    shipped = Shipped()
    for path in sets_in(folder, files):
        shipped.left.append(path.name)
        reader = open_set(path, files)
        if reader is None:
            continue
        with reader:
            ship(reader, database, rows)
            shipped.sets[path.name] = reader.state.counters
            note(path.name, reader.state.counters)
            if reader.is_finished and reader.remove():
                shipped.left.pop()
    shipped.quarantine = LocalQuarantine(folder / "quarantine", files).entries()
    return shipped
