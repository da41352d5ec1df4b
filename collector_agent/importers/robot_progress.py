"""How far an import of many files is, on one line of the terminal that is drawn over and over."""

import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final, TextIO

_EVERY_SEC: Final = 0.2
_NAME_CHARACTERS: Final = 40


class FileProgress:
    """Percentages by bytes. Quiet where `stream` (standard error) is no terminal; `clock` is monotonic."""

    def __init__(
        self,
        sizes: dict[Path, int],
        stream: TextIO | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.files = list(sizes)
        self._sizes = sizes
        self._total = max(1, sum(sizes.values()))
        self._stream = _terminal(sys.stderr if stream is None else stream)
        self._clock = clock
        self._due_s = clock() + _EVERY_SEC
        self._before = 0  # bytes of files that are done
        self._number = 0  # of the file that is being read
        self._width = 0  # of the line that stands there

    def reading(self, path: Path, share: float) -> None:
        """`share` of the file, between 0 and 1, is read."""
        if self._stream is None or self._clock() < self._due_s:
            return
        self._due_s = self._clock() + _EVERY_SEC
        done = self._before + min(1.0, share) * self._sizes.get(path, 0)
        name = path.name if len(path.name) <= _NAME_CHARACTERS else f"…{path.name[1 - _NAME_CHARACTERS :]}"
        self._draw(
            f"{done / self._total:4.0%} of {self._total / 1e6:,.1f} MB, "
            f"file {self._number + 1:,} of {len(self._sizes):,}: {name}"
        )

    def done(self, path: Path) -> None:
        """The file is read, or given up; the line is taken away, so that something can be said."""
        self._before += self._sizes.get(path, 0)
        self._number += 1
        if self._width:
            self._draw("")

    def _draw(self, line: str) -> None:
        if self._stream is None:
            return
        try:
            self._stream.write(f"\r{line.ljust(self._width)}" + ("" if line else "\r"))
            self._stream.flush()
        except (OSError, ValueError):
            self._stream = None  # it is closed: nobody watches
        self._width = len(line)


def _terminal(stream: TextIO | None) -> TextIO | None:
    """The stream, if somebody watches it; programs without a console have none."""
    try:
        return stream if stream is not None and stream.isatty() else None
    except ValueError:
        return None
