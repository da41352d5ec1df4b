"""Batches of several sets to the store together, and what to do when it does not take one.

After a StoreError the store is left alone for a growing while. A batch that it refuses three times while
it takes an empty one, or refuses with any other error, is sifted: what turns out to be poison (see
`suspects`) goes to the spool's quarantine, and the rest goes on.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from analytics_lib.errors import StoreError
from collector_agent.forwarding.backoff import Backoff
from collector_agent.forwarding.sifting import Deliver, Sifted, reason_of, refusal, sift
from collector_agent.forwarding.suspects import Suspects
from collector_agent.spool.batch import Batch
from collector_agent.spool.files import Files
from collector_agent.spool.reader import SetReader, open_set

_SIFT_SEC: Final = 30.0
_FAILURES_BEFORE_SIFTING: Final = 3
_HOPELESS_AFTER: Final = 64  # rows refused alone, and none taken; twice as many the next time
_LONG_AGO: Final = float("-inf")
_log = logging.getLogger("rpa_agent")


@dataclass(slots=True)
class _Part:
    """A set's share of what is delivered together."""

    reader: SetReader
    batch: Batch

    @property
    def lane(self) -> tuple[str, bool]:
        return self.reader.folder.name, self.batch.live


@dataclass(slots=True)
class _Trouble:
    """Something of a set's lane cannot be delivered, while the store takes other rows."""

    backoff: Backoff
    due_s: float = _LONG_AGO
    reason: str = ""


class Dispatch:
    """Takes rows from readers and gives them to `deliver`. Nothing is raised."""

    def __init__(
        self,
        deliver: Deliver,
        *,
        batch_rows: int,
        files: Files,
        clock: Callable[[], float],
        chance: Callable[[], float],
    ) -> None:
        self.delivered = 0
        self.store_error = ""  # why the store is left alone
        self.due_s = _LONG_AGO  # until when
        self._deliver = deliver
        self._batch_rows = batch_rows
        self._files = files
        self._clock = clock
        self._chance = chance
        self._backoff = Backoff(chance)
        self._suspects = Suspects()
        self._troubles: dict[tuple[str, bool], _Trouble] = {}
        self._refused_place = ""  # where the batch begins that the store refused last
        self._refused_times = 0
        self._hopeless_after = _HOPELESS_AFTER
        self._turn = 0

    @property
    def trouble(self) -> str:
        """Why some rows wait although the store works."""
        return next((trouble.reason for trouble in self._troubles.values()), "")

    def may_ship(self, name: str, live: bool) -> bool:
        """Whether a set's lane has nothing to wait for."""
        trouble = self._troubles.get((name, live))
        return trouble is None or self._clock() >= trouble.due_s

    def forget_all_but(self, names: set[str]) -> None:
        """The other sets are gone."""
        self._troubles = {lane: trouble for lane, trouble in self._troubles.items() if lane[0] in names}

    def ship_lane(self, readers: list[SetReader], *, live: bool, until_s: float) -> bool:
        """Batch after batch, at least one, until nothing is left or the time is over; whether it was that.

        A reader that has to be opened anew takes the place of the one before in `readers`.
        """
        while parts := self._next_parts(readers, live):
            if not self._send(parts, readers):
                return False
            if self._clock() >= until_s:
                return True
        return False

    def _next_parts(self, readers: list[SetReader], live: bool) -> list[_Part]:
        """What is delivered together next: each set's share, beginning with another set each time."""
        ready = [reader for reader in readers if self.may_ship(reader.folder.name, live)]
        at = self._turn % len(ready) if ready else 0
        parts: list[_Part] = []
        room = self._batch_rows
        for reader in ready[at:] + ready[:at]:
            if room <= 0:
                break
            batch = reader.next_batch(room, live=live)
            if batch is None:
                self._troubles.pop((reader.folder.name, live), None)  # somebody else has solved it
                continue
            parts.append(_Part(reader, batch))
            room -= len(batch.records)
        return parts

    def _send(self, parts: list[_Part], readers: list[SetReader]) -> bool:
        """Whether the store may be given more."""
        rows = [record for part in parts for record in part.batch.records]
        try:
            self._deliver(rows)
        except StoreError as error:
            return self._fail(reason_of(error)) if self._is_away(parts) else self._sift(parts, readers)
        except Exception:  # noqa: BLE001  # a row that the store trips over, most likely
            return self._sift(parts, readers)
        self._suspects.note_taken(rows)
        self._succeed()
        for part in parts:
            self._acknowledge(part, {})
        return True

    def _is_away(self, parts: list[_Part]) -> bool:
        """Whether the store, and not a row, has to be taken for the culprit so far."""
        place = parts[0].batch.where(0)
        self._refused_times = self._refused_times + 1 if place == self._refused_place else 1
        self._refused_place = place
        return self._refused_times < _FAILURES_BEFORE_SIFTING or refusal(self._deliver, []) is not None

    # --- when a row is at fault ----------------------------------------------------------------------

    def _sift(self, parts: list[_Part], readers: list[SetReader]) -> bool:
        """Delivers what can be, and sets poison aside; False: the store is left alone."""
        until_s = self._clock() + _SIFT_SEC
        results = []
        for part in parts:
            sifted = sift(
                self._deliver,
                part.batch.records,
                hopeless_after=self._hopeless_after,
                is_time_over=lambda: self._clock() >= until_s,
            )
            if sifted.outage:
                return self._fail(sifted.outage)
            self._suspects.note(part.batch.records, part.batch.where, sifted)
            results.append((part, sifted))
        has_progress = any(sifted.any_taken for _, sifted in results)
        for part, sifted in results:
            settled, rejected = self._poison_in(part.batch, sifted)
            if rejected and (outage := refusal(self._deliver, [])):
                return self._fail(outage)
            has_progress = has_progress or bool(rejected)
            if settled in sifted.refused and has_progress:
                self._note_trouble(
                    part, f"what is behind a row that is refused waits: {sifted.refused[settled]}"
                )
            if settled:
                self._settle(part, settled, rejected, readers)
        if has_progress:
            self._succeed()
            return True
        self._hopeless_after *= 2
        reasons = (reason for _, sifted in results for reason in sifted.refused.values())
        reason = next(reasons, "the store is too slow to find out which rows it refuses")
        return self._fail(f"{reason} (each row is refused, and an empty batch is taken)")

    def _poison_in(self, batch: Batch, sifted: Sifted) -> tuple[int, dict[int, str]]:
        """(how many of the first rows are settled, those of them that are poison with the reasons)."""
        settled, poison = self._suspects.poison_in(batch.records, batch.where, sifted)
        rejected = {}
        for at in poison:  # once more: nothing goes aside for what has passed meanwhile
            reason = refusal(self._deliver, batch.records[at : at + 1])
            if reason is not None:
                rejected[at] = reason
        return settled, rejected

    def _settle(self, part: _Part, settled: int, rejected: dict[int, str], readers: list[SetReader]) -> None:
        """Acknowledges the first so many rows of a batch."""
        if settled < len(part.batch.records):
            shorter = self._shortened(part, settled, readers)
            if shorter is None:
                return  # they are sent again
            part = shorter
        if not (self._acknowledge(part, rejected) and rejected):
            return
        for at in rejected:
            self._suspects.forget(part.batch.where(at))
        first = min(rejected)
        _log.warning(
            "%d rows are refused alone and go to the spool's quarantine, the first of kind %s (%s): %s",
            len(rejected),
            part.batch.records[first][0],
            part.batch.where(first),
            rejected[first],
        )

    def _shortened(self, part: _Part, settled: int, readers: list[SetReader]) -> _Part | None:
        """The beginning of a batch as a batch: read anew, because a reader has one batch out at a time."""
        part.reader.close()
        readers.remove(part.reader)
        try:
            reader = open_set(part.reader.folder, self._files)
        except OSError:
            reader = None
        if reader is None:
            return None  # somebody else was faster
        readers.append(reader)
        batch = reader.next_batch(settled, live=part.batch.live)
        if batch is None or batch.places != part.batch.places[:settled]:
            return None
        return _Part(reader, batch)

    def _acknowledge(self, part: _Part, rejected: dict[int, str]) -> bool:
        rows = len(part.batch.records)
        if not part.reader.acknowledge(part.batch, rejected):
            self._note_trouble(part, part.reader.last_error)
            return False
        self.delivered += rows - len(rejected)
        if self.may_ship(*part.lane):
            self._troubles.pop(part.lane, None)
        return True

    def _note_trouble(self, part: _Part, reason: str) -> None:
        trouble = self._troubles.setdefault(part.lane, _Trouble(Backoff(self._chance)))
        trouble.reason = reason
        trouble.due_s = self._clock() + trouble.backoff.after_failure()

    # --- the store -----------------------------------------------------------------------------------

    def _fail(self, reason: str) -> bool:
        """The store is left alone for a while."""
        self.due_s = self._clock() + self._backoff.after_failure()
        self.store_error = reason
        return False

    def _succeed(self) -> None:
        self._backoff.reset()
        self.due_s, self.store_error = _LONG_AGO, ""
        self._refused_place, self._refused_times = "", 0
        self._hopeless_after = _HOPELESS_AFTER
        self._turn += 1
