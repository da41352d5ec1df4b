"""What a run of archive_retention is told, and the day of a source that it works on."""

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import Connection, Engine

from analytics_lib.catalog import Source
from analytics_lib.retention.limits import Limits
from analytics_lib.store import archive_rows, ledger
from analytics_lib.store.writing import ROLLUP_STAGE
from analytics_lib.windows import DAY_US, Window

if TYPE_CHECKING:
    from analytics_lib.pipeline.archive_retention import Retention


@dataclass(frozen=True, slots=True)
class Job:
    """One run: where, until when, and what it has done so far."""

    engine: Engine
    folder: Path
    as_of: datetime
    limits: Limits
    done: "Retention"


@dataclass(frozen=True, slots=True)
class Day:
    """One UTC day of one source."""

    source: Source
    day_us: int

    @property
    def window(self) -> Window:
        return Window(self.day_us, self.day_us + DAY_US)

    def lock(self, connection: Connection) -> None:
        """The aggregation's lock. Must be the transaction's first statement."""
        ledger.lock_shard(connection, ROLLUP_STAGE, ledger.PendingDay(self.source, self.day_us))

    def is_marked(self, connection: Connection) -> bool:
        marks = archive_rows.marked_hours(connection, self.window)
        return bool((marks["source"] == self.source).any())
