"""TimeSeriesStore: append records, read them back, ask simple questions; no pandas, no numpy."""

from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self

from sqlalchemy import Engine

from analytics_lib import catalog
from analytics_lib.errors import QueryError, StoreError
from analytics_lib.record_values import Values
from analytics_lib.records import Record
from analytics_lib.schema import SCHEMA_VERSION
from analytics_lib.store.engine import (
    MOST_CONNECTIONS,
    clock_offset_ms,
    connect_to_read,
    describe,
    open_engine,
    store_url,
)
from analytics_lib.store.ingest import write_batch, write_values
from analytics_lib.store.reading import SOURCES, checked_filters, select_aggregate, select_range
from analytics_lib.store.versions import check_readable, check_writable, ensure_schema
from analytics_lib.store.writing import WriteResult
from analytics_lib.windows import Window


class TimeSeriesStore:
    """Raw rows on a folder (SQLite inside) or a database URL (Postgres). Safe to share by threads.

    Opening creates the tables where there are none. `clock` says what "now" is (tests bring their own).
    On Postgres it holds at most `most_connections` at once, and half of them while it is not used.
    Raises StoreError where the database cannot be opened, SchemaVersionError where its schema is older
    or newer than this program can handle - at the first call that it stands in the way of.
    """

    def __init__(
        self,
        location: str | Path,
        *,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        most_connections: int = MOST_CONNECTIONS,
    ) -> None:
        self.location = location
        self.engine: Engine = open_engine(location, most_connections=most_connections)
        self.schema_version = ensure_schema(self.engine)
        self._clock = clock

    def __repr__(self) -> str:
        return f"TimeSeriesStore({describe(self.location)!r})"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Closes the connections; the store opens new ones when it is used again."""
        self.engine.dispose()

    def write_metrics(self, records: Iterable[Record]) -> WriteResult:
        """Appends any mix of records in one transaction: all of the batch or, on an error, nothing.

        A row whose key is stored already is ignored and counted (as a conflict, with a copy in the
        quarantine, where its content differs). What is no record, lies more than an hour in the
        future, or is refused by the database is quarantined with its reason, and the rest stored.
        The hours touched are marked for the rollups in the same transaction.
        Raises StoreError when the database does not take the batch (sending it again is safe) and
        SchemaVersionError when it waits for a migration.
        """
        self._check_writable()
        return write_batch(self.engine, records, self._clock())

    def write_values(self, batch: Sequence[tuple[str, Values]]) -> WriteResult:
        """As `write_metrics` of the records that the values make (`record_values.record_of`), but quicker.

        What makes no record is quarantined with the reason, and the rest stored.
        """
        self._check_writable()
        return write_values(self.engine, batch, self._clock())

    def clock_offset_ms(self) -> float | None:
        """What the database's clock is ahead of this machine's; None for SQLite, which has none of its own.

        Good to half the time that asking takes. Raises StoreError when the database does not answer.
        """
        return clock_offset_ms(self.engine)

    def _check_writable(self) -> None:
        if self.schema_version < SCHEMA_VERSION:
            self.schema_version = ensure_schema(self.engine)  # it may have been migrated meanwhile
            check_writable(self.schema_version)

    def query_range(
        self,
        start_time: datetime,
        end_time: datetime,
        workflow_id: str | None = None,
        *,
        sources: Sequence[catalog.Source] = SOURCES,
        limit: int | None = None,
        **filters: str | None,
    ) -> dict[str, list[Record]]:
        """Records of [start_time, end_time): {'execution': […], 'step': […], 'resource': […]}.

        Executions and steps belong to the moment they ended, samples to the moment they were taken;
        oldest first, at most `limit` of each source. Naive datetimes mean local time. Filters:
        execution_id, environment, robot_id, host, queue. Raises QueryError.
        """
        check_readable(self.schema_version)
        for source in sources:
            if source not in SOURCES:
                raise QueryError(f"unknown source {source!r}: use any of {', '.join(SOURCES)}")
        if limit is not None and limit < 1:
            raise QueryError(f"limit is {limit}: give a positive number, or None for all")
        chosen = checked_filters({"workflow_id": workflow_id, **filters})
        window = Window.of(start_time, end_time)
        with connect_to_read(self.engine) as connection:
            return select_range(connection, window, sources, chosen, limit)

    def aggregate(
        self,
        metric: str,
        aggregation: str,
        group_by: Sequence[str],
        start_time: datetime,
        end_time: datetime,
        **filters: str | None,
    ) -> list[dict[str, Any]]:
        """One dict per group, with the group's columns, `value` and `n` (rows that had the metric).

        Metrics and dimensions: `analytics_lib.catalog` (the README lists them); aggregations: avg,
        sum, count, min, max. 'hour' and 'day' group by UTC period. Skipped runs and steps stay out of
        durations. Raises QueryError that lists the valid names when one is unknown.
        """
        check_readable(self.schema_version)
        asked = catalog.metric(metric)
        catalog.check_aggregation(aggregation)
        names = [group_by] if isinstance(group_by, str) else list(group_by)
        catalog.check_dimensions(asked.source, names)
        chosen = checked_filters(filters)
        window = Window.of(start_time, end_time)
        with connect_to_read(self.engine) as connection:
            return select_aggregate(connection, asked, aggregation, names, window, chosen)


def open_store(location: str | Path) -> TimeSeriesStore:
    """The store, if it is there and this program may read it. Raises StoreError or SchemaVersionError.

    Whoever analyses makes none: in an empty one, made of a slip of the pen, all would be well.
    """
    url = store_url(location)
    if url.get_backend_name() == "sqlite" and not Path(str(url.database)).is_file():
        raise StoreError(
            f"there is no store in {Path(str(url.database)).parent}: name the folder that the agents write "
            "to, or make one there with `rpa-analytics migrate`"
        )
    store = TimeSeriesStore(location)
    check_readable(store.schema_version)
    return store
