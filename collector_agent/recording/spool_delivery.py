"""Behind a journal: syncs what is in the spool, adds signs of life, and has it shipped."""

import logging
import time
from typing import Final

from collector_agent.machine.problems import clear_problem, report_problem
from collector_agent.recording.background import Background, Counts
from collector_agent.recording.heartbeats import Backlog, Heartbeats
from collector_agent.recording.journal import Journal
from collector_agent.recording.shipping import Shipping
from collector_agent.spool.writer import SpoolWriter

COMPONENT: Final = "spool"
_HEARTBEATS_AT_ONCE: Final = 1_000
_log = logging.getLogger("rpa_agent")


class SpoolDelivery(Background):
    """Every interval: what was recorded since is synced, so that a power cut does not take it.

    Signs of life have their place in the spool behind the rows that were recorded before them: whoever
    ships keeps that order. `stop` gives this process's set to whoever ships.
    """

    def __init__(
        self, spool: SpoolWriter, journal: Journal, shipping: Shipping | None, interval_sec: float
    ) -> None:
        self.heartbeats: Heartbeats | None = None
        self.failed_flushes = 0
        self._sync_error = ""
        self._spool = spool
        self._journal = journal
        self._shipping = shipping
        super().__init__(journal, interval_sec)

    def reset_after_fork(self) -> None:
        self._spool.reset_after_fork()
        self.failed_flushes, self._sync_error = 0, ""
        if self._shipping is not None:
            self._shipping.reset_after_fork()
        super().reset_after_fork()

    @property
    def last_error(self) -> str:
        """Of the disk, else of the store where this process ships."""
        return self._sync_error or ("" if self._shipping is None else self._shipping.last_error)

    def has_rest(self) -> bool:
        return self._spool.set_folder is not None or self._spool.waiting > 0

    def end_with_the_process(self, timeout_sec: float) -> None:
        self.stop(timeout_sec)

    def counts(self) -> Counts:
        """Delivered is what the spool has."""
        recorded, dropped = self._journal.recorded, self._journal.dropped
        pending = min(self._spool.waiting, recorded - dropped)  # signs of life may wait, too
        return Counts(recorded, recorded - dropped - pending, dropped, pending)

    def _say_what_is_left(self, timeout_sec: float) -> None:
        if not self._sync_error and self._spool.set_folder is None:
            return  # all is synced and given away; what took so long was the store
        _log.warning(
            "stopped, and what was recorded last is not safe from a power cut (%s)",
            self._sync_error or f"the disk did not answer within {timeout_sec:g} s",
        )

    def _deliver_all(self, insist_until_s: float | None, *, last: bool) -> bool:
        if self.heartbeats is not None:
            self._add_signs_of_life(self.heartbeats, last=last and self._owes_farewell)
        synced = self._spool.sync()
        self._note(synced)
        self._say_what_was_dropped()
        if last:
            self._give_away(time.monotonic() if insist_until_s is None else insist_until_s)
        elif self._shipping is not None:
            self._shipping.look()
        self._due_s = time.monotonic() + self._interval_s
        return synced

    def _add_signs_of_life(self, heartbeats: Heartbeats, *, last: bool) -> None:
        backlog = self._backlog()
        with self._journal.lock:
            heartbeats.look(_HEARTBEATS_AT_ONCE, backlog, last=last)
        taken = [self._journal.add(record) for record in heartbeats.make(self.last_error)]
        if all(taken):
            heartbeats.were_delivered()

    def _backlog(self) -> Backlog:
        counts = self.counts()
        spool_bytes, oldest_at = (0, None) if self._shipping is None else self._shipping.backlog()
        return Backlog(
            recorded=counts.recorded,
            dropped=counts.dropped,
            pending=counts.pending,
            spool_bytes=spool_bytes,
            oldest_undelivered_at=oldest_at,
        )

    def _give_away(self, until_s: float) -> None:
        """This process's set belongs to whoever ships; if that is we, it is shipped."""
        own_set, refused = self._spool.set_folder, self._spool.refused
        self._spool.close()
        self._journal.count_dropped(self._spool.refused - refused)  # what only memory had
        if self._shipping is not None:
            self._shipping.finish(own_set, until_s)

    def _note(self, synced: bool) -> None:
        before, self._sync_error = self._sync_error, "" if synced else self._spool.last_error or "not synced"
        if not synced:
            self.failed_flushes += 1
            if not before:
                text = f"the spool {self._spool.folder} does not take everything: {self._sync_error}"
                _log.warning("%s", text)
                report_problem(COMPONENT, text)
        elif before:
            _log.warning("the spool works again")
            clear_problem(COMPONENT)

    def _say_what_was_dropped(self) -> None:
        if (dropped := self._journal.drop_notice()) is not None:
            _log.warning(
                "%d rows were refused so far: the spool %s is full or its disk fails (%s)",
                dropped,
                self._spool.folder,
                self._spool.last_error or "it is at its limit",
            )
