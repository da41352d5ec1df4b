"""Protections removed, by name: what the negative controls of the fault tests put into a process."""

from collections.abc import Callable
from typing import Any, Final


def queue_until_sync() -> None:
    """A journal in the robot's own memory: a record is not in the spool when its call returns."""
    from collector_agent.spool.writer import SpoolWriter

    append, sync, queues = SpoolWriter.append, SpoolWriter.sync, {}

    def queued(writer: SpoolWriter, payload: bytes) -> bool:
        queues.setdefault(id(writer), []).append(payload)
        return True

    def write_then_sync(writer: SpoolWriter) -> bool:
        for payload in queues.pop(id(writer), []):
            append(writer, payload)
        return sync(writer)

    SpoolWriter.append = queued  # type: ignore[method-assign]  # as intended
    SpoolWriter.sync = write_then_sync  # type: ignore[method-assign]  # as intended


def forget_what_the_disk_refuses() -> None:
    """A journal that does not look at what became of its write."""
    from collector_agent.spool.writer import SpoolWriter

    def keep_nothing(writer: SpoolWriter, payload: bytes) -> bool:
        return bool(writer) and bool(payload)

    SpoolWriter._wait_in_memory = keep_nothing  # type: ignore[method-assign]  # as intended


def acknowledge_before_the_commit() -> None:
    """A forwarder that is told of success while its batch is still in memory."""
    from collector_agent.deferred_store import DeferredStore

    write, behind = DeferredStore.write_values, []

    def write_later(store: DeferredStore, batch: Any) -> None:
        behind.append(list(batch))
        if len(behind) > 1:
            write(store, behind.pop(0))

    DeferredStore.write_values = write_later  # type: ignore[assignment, method-assign]  # as intended


def without_locks() -> None:
    """Nobody keeps anybody out: a set that is being written looks abandoned."""
    from collector_agent.machine import file_lock

    file_lock.lock = lambda *_, **__: True  # type: ignore[assignment]  # as intended
    file_lock.unlock = lambda _: None  # type: ignore[assignment]  # as intended


BY_NAME: Final[dict[str, Callable[[], None]]] = {
    function.__name__: function
    for function in (
        queue_until_sync,
        forget_what_the_disk_refuses,
        acknowledge_before_the_commit,
        without_locks,
    )
}
