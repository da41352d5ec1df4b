"""A store that is opened when there is something to write, so that a database that is down stops nobody."""

import logging
import os
import threading
import time
import weakref
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Final

from analytics_lib.record_values import Values
from analytics_lib.records import Record
from collector_agent.machine.loading import loading
from collector_agent.machine.problems import clear_problem, report_problem
from collector_agent.redaction import clean_message

if TYPE_CHECKING:
    from analytics_lib.store import TimeSeriesStore, WriteResult

# Pages that SQLite keeps in memory. Who analyses has 64 MB; who only appends gains nothing by them.
_SQLITE_CACHE_KB: Final = 2_048
# Postgres: hundreds of agents must not hold hundreds of connections. A write and a heartbeat may meet.
_MOST_CONNECTIONS: Final = 2
_IDLE_SEC: Final = 3.0
_log = logging.getLogger("rpa_agent")


class DeferredStore:
    """Opens the store at the first write, and again at each further one until that works.

    An outage is reported for `rpa-agent check` under the name of the component, and cleared when rows
    arrive again. Who writes keeps the rows and tries again. Safe to share by threads; a forked child
    opens the store anew.
    """

    def __init__(self, location: str, component: str) -> None:
        self._location = location
        self._component = component
        self._opening = threading.Lock()
        self._store: TimeSeriesStore | None = None
        self._reported: str | None = None  # None: not known, an earlier process may have reported something
        self._of_the_parent: list[TimeSeriesStore | None] = []
        self._used_s: float | None = None  # when connections were used last; None: none are kept
        _stores.add(self)

    def _reset_after_fork(self) -> None:
        """Connections are the parent's: neither used nor closed here. Nobody holds the lock any more."""
        self._of_the_parent.append(self._store)
        self._opening, self._store, self._reported = threading.Lock(), None, None

    def write_metrics(self, records: Iterable[Record]) -> "WriteResult":
        """As the store's own. Raises what it raises, at the latest after the database's time-outs."""
        return self._reported_write(lambda store: store.write_metrics(records))

    def write_values(self, batch: Sequence[tuple[str, Values]]) -> "WriteResult":
        """As the store's own. Raises what it raises, at the latest after the database's time-outs."""
        return self._reported_write(lambda store: store.write_values(batch))

    def clock_offset_ms(self) -> float | None:
        """What the database's clock is ahead of this machine's; None where that cannot be told now."""
        try:
            return self._opened().clock_offset_ms()
        except Exception as error:  # noqa: BLE001  # whatever it is, the next write meets and reports it
            _log.debug("the database does not tell its time: %s", clean_message(error))
            return None

    def _reported_write(self, write: "Callable[[TimeSeriesStore], WriteResult]") -> "WriteResult":
        try:
            result = write(self._opened())
        except Exception as error:
            self._report(clean_message(error))
            raise
        self._report("")
        return result

    def close(self) -> None:
        with self._opening:
            if self._store is not None:
                self._store.close()

    def rest_if_idle(self) -> None:
        """Gives a database server its connections back that nobody has used for some seconds. Never waits."""
        used_s = self._used_s
        if (
            used_s is None
            or time.monotonic() - used_s < _IDLE_SEC
            or not self._opening.acquire(blocking=False)
        ):
            return
        try:
            self._used_s = None
            if self._store is not None and self._store.engine.dialect.name != "sqlite":
                self._store.close()
        finally:
            self._opening.release()

    def _opened(self) -> "TimeSeriesStore":
        self._used_s = time.monotonic()
        with self._opening:
            if self._store is None:
                # Here, because SQLAlchemy takes a third of a second to load.
                with loading:
                    from analytics_lib.store import TimeSeriesStore
                    from analytics_lib.store.engine import open_engine

                    open_engine(self._location).dispose()  # loads the driver, and connects to nothing
                self._store = TimeSeriesStore(self._location, most_connections=_MOST_CONNECTIONS)
                _keep_small(self._store)
            return self._store

    def _report(self, problem: str) -> None:
        before, self._reported = self._reported, problem
        if problem == before:
            return
        if problem:
            _log.warning("the store does not take rows, they wait: %s", problem)
            report_problem(self._component, f"rows wait, because the store does not take them: {problem}")
        else:
            clear_problem(self._component)
            if before:
                _log.warning("the store takes rows again")


def _keep_small(store: "TimeSeriesStore") -> None:
    """Beside a robot memory is scarce."""
    if store.engine.dialect.name != "sqlite":
        return
    from sqlalchemy import event

    store.close()  # connections that are made from now on
    event.listen(
        store.engine,
        "connect",
        lambda connection, _record: connection.execute(f"PRAGMA cache_size = -{_SQLITE_CACHE_KB}"),
    )


_stores: "weakref.WeakSet[DeferredStore]" = weakref.WeakSet()


def _after_fork_in_child() -> None:
    for store in list(_stores):
        store._reset_after_fork()


if hasattr(os, "register_at_fork"):  # not on Windows, which does not fork
    os.register_at_fork(after_in_child=_after_fork_in_child)
