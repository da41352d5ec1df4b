"""From counters that only grow to rates per second."""

from collections.abc import Callable, Hashable, Mapping
from typing import Final

# Counters move in ticks (CPU time: 10 ms): over less time than this a rate would be noise.
SHORTEST_SEC: Final = 0.1


class Rates:
    """Rates of several counters, each the sum over named parts (network cards, disks, processes).

    Only parts that were there at both readings count, so that a network card that appears brings no
    peak. A counter that fell (restarted, wrapped) gives None once. `clock` is monotonic seconds; a
    reading that comes too soon gives None and leaves the reading before in place.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._before: tuple[float, dict[str, dict[Hashable, float]]] | None = None

    def read(self, counters: Mapping[str, Mapping[Hashable, float] | None]) -> dict[str, float | None]:
        """The rate of each counter since the reading before; None where a counter itself is None."""
        now_s = self._clock()
        if self._before is not None and now_s - self._before[0] < SHORTEST_SEC:
            return dict.fromkeys(counters)
        rates: dict[str, float | None] = dict.fromkeys(counters)
        known = {name: dict(parts) for name, parts in counters.items() if parts is not None}
        if self._before is not None:
            before_s, before = self._before
            for name, parts in known.items():
                grown = [
                    value - before[name][key] for key, value in parts.items() if key in before.get(name, {})
                ]
                if grown and min(grown) >= 0:
                    rates[name] = sum(grown) / (now_s - before_s)
        self._before = now_s, known
        return rates
