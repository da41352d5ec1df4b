"""Shipping the spool from the robot's own process, as long as no daemon does."""

import time
from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from analytics_lib.errors import RecordError, StoreError
from analytics_lib.record_values import record_of
from analytics_lib.records import Record
from collector_agent.machine.daemon_lock import daemon_is_running
from collector_agent.machine.loading import loading
from collector_agent.recording.quarantining import quarantine
from collector_agent.redaction import clean_message

if TYPE_CHECKING:
    from collector_agent.forwarder import Forwarder

Batch = Sequence[tuple[str, Sequence[Any]]]
RecordsCallback = Callable[[list[Record]], object]
ValuesCallback = Callable[[Batch], object]
_LAST_PASSES_PAUSE_SEC: Final = 0.1


class Shipping:
    """A forwarder that runs while no daemon does. Belongs to the delivery thread."""

    def __init__(self, folder: Path, storage_callback: RecordsCallback, host: str) -> None:
        self._folder = folder
        self._deliver = values_callback_of(storage_callback) or _Decoding(storage_callback, host)
        self._forwarder: Forwarder | None = None
        self._error_at_the_end = ""

    @property
    def last_error(self) -> str:
        """Why rows do not arrive; '' where they do, or are left to a daemon."""
        return self._error_at_the_end if self._forwarder is None else self._forwarder.state.last_error

    def backlog(self) -> tuple[int, datetime | None]:
        """(bytes in the spool, since when its oldest row waits), as far as we ship it."""
        if self._forwarder is None:
            return 0, None
        state = self._forwarder.state
        return state.spool_bytes, state.oldest_undelivered_at

    def look(self) -> None:
        """Starts or ends the forwarder, as a daemon has gone or come."""
        runs = daemon_is_running()
        if runs and self._forwarder is not None:
            self._forwarder.stop(0.0)
            self._forwarder = None
        elif not runs and self._forwarder is None:
            self._forwarder = self._new()
            self._forwarder.start()

    def finish(self, own_set: Path | None, until_s: float) -> None:
        """Ships until nothing of this process's own set is left, or the time is over (monotonic), and ends.

        With the store away it ends at once: the rows wait where they are safe.
        """
        forwarder, self._forwarder = self._forwarder or self._new(), None
        forwarder.stop(max(0.0, until_s - time.monotonic()))
        self._error_at_the_end = ""
        while not daemon_is_running():
            forwarder.run_once()
            self._error_at_the_end = forwarder.state.last_error
            is_shipped = own_set is None or not own_set.exists()
            left_s = until_s - time.monotonic()
            if is_shipped or self._error_at_the_end or left_s <= 0:
                return
            time.sleep(min(_LAST_PASSES_PAUSE_SEC, left_s))

    def reset_after_fork(self) -> None:
        """The child has no thread of the parent's; it begins its own with its first flush."""
        self._forwarder, self._error_at_the_end = None, ""

    def _new(self) -> "Forwarder":
        with loading:
            from collector_agent.forwarder import Forwarder
        return Forwarder(self._folder, self._deliver)


class _Decoding:
    """Hands records to a storage callback; what is none is quarantined."""

    def __init__(self, storage_callback: RecordsCallback, host: str) -> None:
        self._storage_callback = storage_callback
        self._host = host
        self._quarantined = 0

    def __call__(self, batch: Batch) -> object:
        """Raises StoreError whatever the callback raises: what it does not take is kept and sent again."""
        records = [self._record(kind, values) for kind, values in batch]
        try:
            return self._storage_callback(records)
        except Exception as error:
            raise StoreError(f"{type(error).__name__}: {clean_message(error)}") from error

    def _record(self, kind: str, values: Sequence[Any]) -> Record:
        try:
            return record_of(kind, values)
        except RecordError as error:
            self._quarantined += 1
            given = {"values": list(values)}
            return quarantine(kind, str(error), given, "", time.time_ns(), self._host, self._quarantined)


def values_callback_of(
    storage_callback: RecordsCallback,
) -> Callable[[Batch], object] | None:
    """`write_values` of the store whose own `write_metrics` the callback is: the same, without records."""
    owner = getattr(storage_callback, "__self__", None)
    of_class = vars(type(owner))
    function = getattr(storage_callback, "__func__", None)
    if function is None or function is not of_class.get("write_metrics") or "write_values" not in of_class:
        return None
    write_values: ValuesCallback = owner.write_values  # type: ignore[union-attr]  # it is of its class
    return write_values
