"""Rows of a table that cannot be taken: counted by reason, with the place and the value of the first."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Final

from collector_agent.importers.csv_table import Place
from collector_agent.importers.lines import Skips
from collector_agent.importers.plain_rows import Row
from collector_agent.redaction import clean_message

_SHOWN_CHARACTERS: Final = 60


class RowError(ValueError):
    """Why a row is left out, without what it holds; `value` is what a person should see of it, masked."""

    def __init__(self, reason: str, value: object = "") -> None:
        super().__init__(reason)
        self.value = " ".join(clean_message(value).split())[:_SHOWN_CHARACTERS]


def rows_made(
    table: Iterable[tuple[Mapping[str, Any], Place]],
    make: Callable[[Mapping[str, Any]], Iterable[Row]],
    skips: Skips,
) -> Iterator[Row]:
    """The rows that `make` makes of those of the table; where it raises RowError, none."""
    for given, place in table:
        try:
            yield from make(given)
        except RowError as error:
            skips.add(str(error), f"{place()}{f': {error.value!r}' if error.value else ''}")
