"""Which robot runs what, and when: one run at a time on each host, the others wait in line."""

import heapq
from collections.abc import Iterable, Sequence

import numpy as np

from analytics_lib.windows import SECOND_US

from .draws import Draft
from .fleet import Fleet
from .schedules import MINUTE_US, Ints
from .troubles import Trouble

CANDIDATES = 3
RETRY_AFTER_US = MINUTE_US


class Robots:
    """The hosts of a fleet from day to day: until when each of them is at work."""

    def __init__(self, fleet: Fleet, troubles: Iterable[Trouble], since_us: int) -> None:
        self._hosts = fleet.hosts
        self._free_us = [since_us] * len(fleet.hosts)
        self._off: dict[int, list[tuple[int, int]]] = {}
        for trouble in troubles:
            if trouble.metric == "host":
                number = fleet.hosts.index(trouble.where["host"])
                self._off.setdefault(number, []).append((trouble.since_us, trouble.until_us))

    def assign(self, drafts: Sequence[Draft], rng: np.random.Generator) -> list[tuple[Ints, Ints]]:
        """(host, when it started) of every run of each draft. A second try waits for the first one's end."""
        places = [(np.zeros(len(d.due_us), dtype=int), np.zeros(len(d.due_us), dtype=int)) for d in drafts]
        waiting = [
            (int(due), number, run)
            for number, draft in enumerate(drafts)
            for run, (due, first) in enumerate(zip(draft.due_us, draft.retry_of, strict=True))
            if first < 0
        ]
        heapq.heapify(waiting)
        usual = [draft.usual.total_us.tolist() for draft in drafts]
        special = [
            {self._hosts.index(host): outcome.total_us.tolist() for host, outcome in draft.on_host.items()}
            for draft in drafts
        ]
        again = [
            {int(first): run for run, first in enumerate(draft.retry_of) if first >= 0} for draft in drafts
        ]
        total = sum(len(draft.due_us) for draft in drafts)
        tried = iter(rng.integers(0, len(self._hosts), (total, CANDIDATES)).tolist())
        delays = iter(rng.integers(SECOND_US, 20 * SECOND_US, total).tolist())
        while waiting:
            due, number, run = heapq.heappop(waiting)
            host = self._choose(next(tried), due)
            started = max(due, self._free_us[host]) + next(delays)
            ended = started + special[number].get(host, usual[number])[run]
            self._free_us[host] = ended
            places[number][0][run], places[number][1][run] = host, started
            if run in again[number]:
                heapq.heappush(waiting, (ended + RETRY_AFTER_US, number, again[number][run]))
        return places

    def _choose(self, candidates: Sequence[int], due: int) -> int:
        for host in candidates:
            if self._free_at(host, due) <= due:
                return host
        return min(range(len(self._hosts)), key=lambda host: self._free_at(host, due))

    def _free_at(self, host: int, due: int) -> int:
        for since, until in self._off.get(host, ()):
            if since <= max(due, self._free_us[host]) < until:
                self._free_us[host] = until
        return self._free_us[host]
