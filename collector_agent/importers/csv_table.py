"""Rows of a CSV file by their columns' names, however Excel or Orchestrator wrote it, as a stream."""

import csv
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO, Final

from analytics_lib.errors import ImportFileError
from collector_agent.importers.lines import HEAD_BYTES, Block, Lines, Skips, encoding_of
from collector_agent.importers.tally import Progress, opened

Place = Callable[[], str]
DELIMITERS: Final = ",;\t|"
_SEPARATOR_LINE: Final = re.compile(r'"?sep=(.)"?\s*$', re.IGNORECASE)  # which Excel understands
_QUOTED: Final = re.compile(r'"[^"]*"')


class CsvTable:
    """One CSV file. `rows()` gives each row and what tells its place; rows that fit no header are skipped.

    `delimiter`: '' for the one that the header has most of. `encoding`: '' for UTF-8 or UTF-16, as it shows.
    """

    def __init__(
        self,
        path: Path,
        skips: Skips,
        *,
        delimiter: str = "",
        encoding: str = "",
        progress: Progress | None = None,
    ) -> None:
        self.path = path
        self.columns: list[str] = []  # known once the first row is there
        self._skips = skips
        self._delimiter = delimiter
        self._encoding = encoding
        self._progress = progress or Progress()
        self._row_at: tuple[Block, int] | None = None  # where the row that is being read begins

    def rows(self) -> Iterator[tuple[dict[str, str], Place]]:
        """Raises ImportFileError where it is no CSV with a header, or cannot be read (any further)."""
        try:
            with opened(self.path, "the file to import") as file:
                yield from self._rows(file)
        except OSError as error:
            raise ImportFileError(f"{self.path} cannot be read ({error.strerror})") from None

    def _rows(self, file: BinaryIO) -> Iterator[tuple[dict[str, str], Place]]:
        lines = self._lines(file)
        header = next(lines, "")
        if (found := _SEPARATOR_LINE.match(header)) is not None:
            self._delimiter = self._delimiter or found[1]
            self._row_at = None
            header = next(lines, "")
        if not header.strip():
            raise ImportFileError(f"{self.path} is empty")
        delimiter = self._delimiter or _delimiter_of(header)
        try:
            self.columns = [name.strip() for name in next(csv.reader([header], delimiter=delimiter))]
        except csv.Error:
            self.columns = []
        if "\0" in header or len(self.columns) < 2:
            raise ImportFileError(
                f"{self.path} has no header of columns in its first line: it is no CSV file, or its columns "
                f"are parted by something other than {' '.join(map(repr, DELIMITERS))}"
            )
        reader = csv.reader(lines, delimiter=delimiter)
        while True:
            self._row_at = None
            try:
                values = next(reader)
            except StopIteration:
                return
            except csv.Error as error:
                self._skips.add(f"rows that are no CSV ({error})", self._place()())
                continue
            if len(values) == len(self.columns):
                yield dict(zip(self.columns, values, strict=True)), self._place()
            elif any(values):
                what = f"rows that have not {len(self.columns)} fields as the header has"
                self._skips.add(what, f"{self._place()()}: {len(values)}")

    def _place(self) -> Place:
        row_at = self._row_at
        return lambda: "its end" if row_at is None else row_at[0].place(row_at[1])

    def _lines(self, file: BinaryIO) -> Iterator[str]:
        head = file.read(HEAD_BYTES)
        try:
            found, mark = encoding_of(head)
        except ImportFileError as error:
            raise ImportFileError(f"{self.path} {error}") from None
        encoding = found if mark else self._encoding or found
        lines = Lines(file, encoding, self._skips, offset=mark)
        size = self.path.stat().st_size
        for block in lines.blocks():
            for at, line in enumerate(block.lines):
                if line is not None:
                    self._row_at = self._row_at or (block, at)
                    yield line.removesuffix("\r") + "\n"
            self._progress.of(self.path, block.end, size)
        if (rest := lines.take_rest()) is None:
            self._skips.add(f"lines that are not {encoding.upper()}", lines.place)
        elif rest:
            place = Block([rest], lines.number, lines.offset, lines.offset, b"\n", b"")
            self._row_at = self._row_at or (place, 0)
            yield rest


def _delimiter_of(header: str) -> str:
    bare = _QUOTED.sub("", header)
    return max(DELIMITERS, key=bare.count)
