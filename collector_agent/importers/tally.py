"""What an import took and what the store made of it, in batches and in one line per file."""

import glob
import os
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Final

from analytics_lib.errors import ImportFileError
from analytics_lib.record_values import FIELDS
from collector_agent.importers.lines import Skips
from collector_agent.importers.plain_rows import Row
from collector_agent.redaction import mask_line

if TYPE_CHECKING:
    from analytics_lib.store import TimeSeriesStore

BATCH_ROWS: Final = 1_000
_KINDS: Final = (
    ("execution", "executions"),
    ("step", "steps"),
    ("execution_start", "starts"),
    ("execution_heartbeat", "last signs of life"),
)
_ALWAYS: Final = ("execution", "step")
_STATUS_AT: Final = FIELDS["execution"].index("status")
_TRANSACTION_AT: Final = FIELDS["execution"].index("transaction_id")
_TYPE_AT: Final = FIELDS["step"].index("step_type")
_BIG_BYTES: Final = 8 << 20  # of a file; smaller ones are read before anybody wonders
_EVERY_SEC: Final = 5.0


@dataclass(slots=True)
class Tally:
    """What was found in a file and what the store made of it."""

    found: Counter[str] = field(default_factory=Counter)  # executions by status
    transactions: int = 0
    inserted: Counter[str] = field(default_factory=Counter)  # rows by kind
    duplicates: Counter[str] = field(default_factory=Counter)
    conflicts: Counter[str] = field(default_factory=Counter)
    quarantined: int = 0

    def add(self, other: "Tally") -> None:
        self.found += other.found
        self.transactions += other.transactions
        self.inserted += other.inserted
        self.duplicates += other.duplicates
        self.conflicts += other.conflicts
        self.quarantined += other.quarantined

    def found_rows(self, kind: str) -> int:
        """How many rows of the kind there were, new or not."""
        return self.inserted[kind] + self.duplicates[kind] + self.conflicts[kind]

    def told(self) -> str:
        by_status = ", ".join(f"{n:,} {status}" for status, n in sorted(self.found.items())) or "none"
        transactions = f" and {self.transactions:,} transactions" if self.transactions else ""
        parts = [
            f"{self.found.total():,} executions ({by_status}){transactions}",
            f"took {_rows(self.inserted)}",
            f"already stored {_rows(self.duplicates)}",
        ]
        if self.conflicts.total():
            parts.append(
                f"stored before with other content {_rows(self.conflicts)} (the first stays, see quarantine)"
            )
        if self.quarantined:
            parts.append(f"{self.quarantined:,} rows set aside (see quarantine)")
        return "; ".join(parts)


def _rows(by_kind: Counter[str]) -> str:
    parts = [f"{by_kind[kind]:,} {words}" for kind, words in _KINDS if by_kind[kind] or kind in _ALWAYS]
    return f"{', '.join(parts[:-1])} and {parts[-1]}"


class StoreWriter:
    """Writes rows to the store in batches. `flush` after the last; it says what became of them."""

    def __init__(self, store: "TimeSeriesStore", batch_rows: int = BATCH_ROWS) -> None:
        self._store = store
        self._batch_rows = batch_rows
        self._batch: list[Row] = []
        self._tally = Tally()

    def take(self, rows: Iterable[Row]) -> None:
        """Raises StoreError, and whatever the rows' source raises: what it gave before is kept."""
        for row in rows:
            self._batch.append(row)
            if len(self._batch) >= self._batch_rows:
                self._write(self._batch)
                self._batch.clear()

    def flush(self) -> Tally:
        """What became of everything since the flush before. Raises StoreError."""
        if self._batch:
            self._write(self._batch)
            self._batch.clear()
        tally, self._tally = self._tally, Tally()
        return tally

    def _write(self, batch: list[Row]) -> None:
        result = self._store.write_values(batch)
        tally = self._tally
        for kind, values in batch:
            if kind == "execution":
                tally.found[str(values[_STATUS_AT])] += 1
                tally.transactions += bool(values[_TRANSACTION_AT])
            elif kind == "step":
                tally.transactions += values[_TYPE_AT] == "TRANSACTION"
        for kind, count in result.by_kind.items():
            tally.inserted[kind] += count.inserted
            tally.duplicates[kind] += count.duplicates
            tally.conflicts[kind] += count.conflicts
        tally.quarantined += result.quarantined


class Report:
    """Says what became of each file and of all; `exit_code` is ImportFileError's where one failed."""

    def __init__(self, say: Callable[[str], None]) -> None:
        self._said = say
        self._total = Tally()
        self._files = 0
        self._failed = 0

    def file(self, path: Path, tally: Tally, skips: Skips, error: Exception | None = None) -> None:
        self._files += 1
        if error is not None:
            self._failed += 1
            self._say(f"error: {error}")
        if error is None or tally.found or tally.inserted or tally.duplicates:
            self._say(f"{path}: {tally.told()}")
        for line in skips.told():
            self._say(f"  skipped: {line}")
        self._total.add(tally)

    def end(self, further: Tally | None = None) -> int:
        """The line about all files, and the exit code. `further`: what no single file can be blamed for."""
        if further is not None:
            self._total.add(further)
        files = f"{self._files:,} file{'' if self._files == 1 else 's'}"
        failed = f", {self._failed:,} with errors" if self._failed else ""
        self._say(f"total of {files}{failed}: {self._total.told()}")
        return ImportFileError.exit_code if self._failed else 0

    def _say(self, line: str) -> None:
        self._said(mask_line(line))  # names of columns and files may hold anything


class Progress:
    """How far a big file is read, on standard error every few seconds; `clock` is monotonic."""

    def __init__(
        self,
        tell: Callable[[str], object] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._tell = tell or _on_stderr
        self._clock = clock
        self._due_s = clock() + _EVERY_SEC

    def of(self, path: Path, done: int, size: int) -> None:
        if size >= _BIG_BYTES and self._clock() >= self._due_s:
            self._due_s = self._clock() + _EVERY_SEC
            self._tell(f"{path}: {min(1.0, done / size):.0%} of {size / 1e6:,.0f} MB")


def _on_stderr(line: str) -> None:
    try:
        if sys.stderr is not None:  # programs without a console have none
            sys.stderr.write(line + "\n")
    except (OSError, ValueError):
        return  # standard error is closed: nobody watches


def opened(path: Path, what: str) -> BinaryIO:
    """The file for reading. Raises ImportFileError; `what`: what should be named instead of a folder."""
    if path.is_dir():
        raise ImportFileError(f"{path} is a folder: name {what} in it")
    try:
        return path.open("rb")
    except FileNotFoundError:
        raise ImportFileError(f"{path} does not exist") from None
    except OSError as error:
        raise ImportFileError(f"{path} cannot be read ({error.strerror})") from None


def expanded_paths(paths: Sequence[Path], pattern: str) -> Iterator[Path]:
    """The files that the paths name: a folder means those in it that fit the pattern, and where a shell
    has not done it, * and ? are replaced. A file that is named twice is given once."""
    known: set[str] = set()
    for path in paths:
        if path.is_dir():
            found = sorted(path.glob(pattern)) or [path]
        elif glob.has_magic(str(path)) and not path.exists():
            found = [Path(name) for name in sorted(glob.glob(str(path), recursive=True))] or [path]
        else:
            found = [path]
        for file in found:
            real = os.path.realpath(file)
            if real not in known:
                known.add(real)
                yield file
