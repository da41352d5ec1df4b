"""The simulated fleet goes on: a history at first, and then what it did since the last time."""

import json
import math
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from simulated_fleet import simulate_fleet, write_fleet

from analytics_lib import TimeSeriesStore
from analytics_lib.records import ExecutionMetrics, Record, ResourceMetrics, StepMetrics

RUN_UP_DAYS: Final = 2  # what a robot works on now was begun by then


class LivingFleet:
    """Writes the fleet's rows up to now, and remembers in a file how far it got."""

    def __init__(self, store: Path, state: Path, days: int) -> None:
        self._store, self._state, self._days = store, state, days

    def catch_up(self, now: datetime) -> str:
        """Writes what is missing; says what that was."""
        since = self._written_up_to()
        with TimeSeriesStore(self._store) as store:
            if since is None:
                rows = write_fleet(store, end=now, days=self._days).total()
            else:
                rows = store.write_metrics(list(fleet_since(since, now))).inserted
        unfinished = self._state.with_suffix(".new")
        unfinished.write_text(json.dumps({"written_up_to": now.isoformat()}), encoding="utf-8")
        unfinished.replace(self._state)
        what = (
            f"{self._days} day{'' if self._days == 1 else 's'} of history"
            if since is None
            else f"since {since:%d %b %H:%M} UTC"
        )
        return f"simulated fleet, {what}: {rows:,} rows"

    def _written_up_to(self) -> datetime | None:
        try:
            state = json.loads(self._state.read_text(encoding="utf-8"))
            return datetime.fromisoformat(state["written_up_to"]).astimezone(UTC)
        except (OSError, ValueError, KeyError):
            return None  # the first start, or one that was cut short: rows that are there already stay


def fleet_since(since: datetime, now: datetime) -> Iterator[Record]:
    """What ended, or was sampled, in [since, now). Its troubles go on."""
    days = math.ceil((now - since) / timedelta(days=1)) + RUN_UP_DAYS
    ended = since
    for record in simulate_fleet(end=now, days=days):
        if isinstance(record, ExecutionMetrics):
            ended = record.ended_at  # the steps that follow are its own
        if isinstance(record, ResourceMetrics):
            if record.sampled_at >= since:
                yield record
        elif isinstance(record, ExecutionMetrics | StepMetrics) and ended >= since:
            yield record
