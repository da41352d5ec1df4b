"""Rows and bytes of 400 robots for 30 days at default settings, scaled from a few robot-days; before and
after they are rolled up and archived. A robot-day is that of `row_sizes.py`."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

from row_sizes import robot_day
from sqlalchemy import text

from analytics_lib import TimeSeriesStore, pipeline
from analytics_lib.schema import metadata
from analytics_lib.windows import to_us
from scale.stores import make_partitions, settle

ROBOTS, DAYS = 400, 30
PORTION_ROWS: Final = 5_000


def measure(database: str, location: str, folder: Path, robot_days: int, end: datetime) -> None:
    archive = folder / f"archive-{database}"
    with TimeSeriesStore(location) as store:
        make_partitions(store, to_us(end - timedelta(days=robot_days)), robot_days)
        empty = _bytes(store)
        rows = _write(store, robot_days, end)
        settle(store)
        raw = _bytes(store)
    pipeline.aggregate_pending(location, as_of=end)
    with TimeSeriesStore(location) as store:
        settle(store)
        rolled_up = _bytes(store)
        with store.engine.begin() as connection:  # what detection would do with its marks
            connection.execute(metadata.tables["pending"].delete())
    done = pipeline.archive_and_retain(
        location, as_of=end + timedelta(days=400), archive_folder=archive, keep_hourly_months=120
    )
    if not done["rows_deleted"]:
        raise RuntimeError(f"nothing was archived: {done}")
    with TimeSeriesStore(location) as store:
        settle(store)
        if store.engine.dialect.name == "postgresql":
            with store.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
                connection.execute(text("VACUUM"))
        left = _bytes(store)
    files = sum(file.stat().st_size for file in archive.rglob("*") if file.is_file())
    times = ROBOTS * DAYS / robot_days
    print(
        f"  {database}: {rows / robot_days:,.0f} rows and {(raw - empty) / robot_days / 1e6:.1f} MB "
        f"a robot-day, rollups {(rolled_up - raw) / robot_days / 1e6:.2f} MB"
    )
    print(
        f"    {ROBOTS} robots for {DAYS} days ({robot_days} robot-days times {times:,.0f}): "
        f"{rows * times / 1e6:,.0f} million rows, {(raw - empty) * times / 1e9:,.0f} GB"
    )
    left_gb = max(left - empty, 0) * times / 1e9
    print(
        f"    archived: Parquet {files * times / 1e9:,.1f} GB "
        f"({files / done['rows_archived']:.1f} bytes a row), left in the database {left_gb:,.1f} GB"
    )


def _write(store: TimeSeriesStore, robot_days: int, end: datetime) -> int:
    begin = datetime(end.year, end.month, end.day, tzinfo=UTC) - timedelta(days=robot_days)
    total = 0
    for number in range(robot_days):
        rows = list(robot_day(begin + timedelta(days=number), 1))
        for start in range(0, len(rows), PORTION_ROWS):
            total += store.write_metrics(rows[start : start + PORTION_ROWS]).inserted
    return total


def _bytes(store: TimeSeriesStore) -> int:
    if store.engine.dialect.name == "sqlite":
        with store.engine.connect() as connection:
            cursor: Any = connection.connection.cursor()
            pages = [cursor.execute(f"PRAGMA {name}").fetchone()[0] for name in ("page_count", "page_size")]
            return int(pages[0] * pages[1])
    with store.engine.connect() as connection:
        return int(connection.execute(text("SELECT pg_database_size(current_database())")).scalar_one())
