"""Whether a row that the store refuses alone is poison, or the store is what fails; standard library only.

A table without rights, a full disk, a broken trigger refuse good rows one by one just as they refuse a
bad one. So a row goes to the quarantine only on evidence that was gathered after it was refused:

- another row of its kind was taken since; or
- it was refused in ten rounds, and rows of other kinds were taken since (rows of a kind may be rare).

And not where more than ten rows, and more than nine of ten, of its kind are refused in a round. Until
then it stays where it is, and what comes behind it in its set waits with it.
"""

from collections import Counter, OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from collector_agent.forwarding.sifting import Row, Sifted

_ROUNDS: Final = 10
_FEW: Final = 10
_NEARLY_ALL: Final = 0.9
_KEPT: Final = 10_000


@dataclass(slots=True)
class _Suspect:
    since: int  # how many batches had been taken when it was refused first
    rounds: int = 0


class Suspects:
    """Remembers what was taken, and what was refused alone and when."""

    def __init__(self) -> None:
        self._taken = 0
        self._last_taken: dict[str, int] = {}  # kind -> when a row of it was taken last
        self._suspects: OrderedDict[str, _Suspect] = OrderedDict()

    def note_taken(self, rows: Sequence[Row]) -> None:
        self._taken += 1
        for kind in {kind for kind, _ in rows}:
            self._last_taken[kind] = self._taken

    def note(self, rows: Sequence[Row], where: Callable[[int], str], sifted: Sifted) -> None:
        """What became of the rows of a batch. `where(position)` tells a row from any other."""
        for position, (kind, _) in enumerate(rows[: sifted.tested]):
            if position in sifted.refused:
                self._note_refused(where(position))
            else:
                self._taken += 1
                self._last_taken[kind] = self._taken

    def poison_in(
        self, rows: Sequence[Row], where: Callable[[int], str], sifted: Sifted
    ) -> tuple[int, list[int]]:
        """(how many of the first rows are settled, which of these are poison): after `note`.

        A row is settled when it was taken or is poison.
        """
        tested = Counter(kind for kind, _ in rows[: sifted.tested])
        refused = Counter(rows[position][0] for position in sifted.refused)
        poison: list[int] = []
        for position in sorted(sifted.refused):
            kind = rows[position][0]
            are_few = refused[kind] <= max(_FEW, _NEARLY_ALL * tested[kind])
            if not (are_few and self._is_poison(kind, self._suspects.get(where(position)))):
                return position, poison
            poison.append(position)
        return sifted.tested, poison

    def forget(self, place: str) -> None:
        self._suspects.pop(place, None)

    def _note_refused(self, place: str) -> None:
        suspect = self._suspects.setdefault(place, _Suspect(self._taken))
        suspect.rounds += 1
        self._suspects.move_to_end(place)
        while len(self._suspects) > _KEPT:
            self._suspects.popitem(last=False)

    def _is_poison(self, kind: str, suspect: _Suspect | None) -> bool:
        if suspect is None:
            return False  # forgotten among too many others
        if self._last_taken.get(kind, 0) > suspect.since:
            return True
        return suspect.rounds >= _ROUNDS and self._taken > suspect.since
