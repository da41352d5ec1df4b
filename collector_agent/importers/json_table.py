"""Objects of a JSON file as a stream: one a line, an array, or the `value` of an OData answer."""

import codecs
import json
from collections.abc import Generator, Iterator
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO, Final

from analytics_lib.errors import ImportFileError
from collector_agent.importers.csv_table import Place
from collector_agent.importers.lines import BLOCK_BYTES, LINE_BYTES, Lines, Skips, encoding_of
from collector_agent.importers.tally import Progress, opened

_HEAD_BYTES: Final = 64 * 1024
_decode: Final = json.JSONDecoder().raw_decode
_BLANK: Final = " \t\r\n"


class JsonTable:
    """One JSON file. `rows()` gives each object and what tells its place; what is no object is skipped."""

    def __init__(self, path: Path, skips: Skips, *, progress: Progress | None = None) -> None:
        self.path = path
        self._skips = skips
        self._progress = progress or Progress()
        self._rows_given = 0

    def rows(self) -> Iterator[tuple[dict[str, Any], Place]]:
        """Raises ImportFileError where it is no JSON, or none any further: a file with an object on each
        line goes on behind a bad one, any other ends there."""
        try:
            with opened(self.path, "the file to import") as file:
                yield from self._rows(file)
        except OSError as error:
            raise ImportFileError(f"{self.path} cannot be read ({error.strerror})") from None
        except ImportFileError as error:
            given = self._rows_given
            before = f". {given:,} rows came before and are taken" if given else ""
            path = "" if str(error).startswith(str(self.path)) else f"{self.path} "
            raise ImportFileError(f"{path}{error}{before}") from None

    def _rows(self, file: BinaryIO) -> Iterator[tuple[dict[str, Any], Place]]:
        head = file.read(_HEAD_BYTES)
        encoding, mark = encoding_of(head)
        text = head[mark:].decode(encoding, errors="replace").lstrip()
        if not text:
            raise ImportFileError("is empty")
        if text[0] not in "{[":
            raise ImportFileError("is no JSON: it begins with neither { nor [")
        found = self._line_by_line(file, encoding, mark) if _has_lines(text) else self._whole(file, encoding)
        for row, place in found:
            if isinstance(row, dict):
                self._rows_given += 1
                yield row, place
            else:
                self._skips.add("values that are no object", place())

    def _line_by_line(self, file: BinaryIO, encoding: str, mark: int) -> Iterator[tuple[Any, Place]]:
        lines = Lines(file, encoding, self._skips, offset=mark)
        size = self.path.stat().st_size
        for block in lines.blocks():
            for at, line in enumerate(block.lines):
                if line is None or not line.strip():
                    continue
                try:
                    yield json.loads(line), partial(block.place, at)
                except (ValueError, RecursionError):
                    self._skips.add("lines that are no JSON object", block.place(at))
            self._progress.of(self.path, block.end, size)
        if (rest := lines.take_rest()) is None or rest.strip():
            try:
                yield json.loads(rest or ""), lambda: lines.place
            except (ValueError, RecursionError):
                self._skips.add("half-written lines at the end", lines.place)

    def _whole(self, file: BinaryIO, encoding: str) -> Iterator[tuple[Any, Place]]:
        file.seek(0)
        text = _Text(file, encoding, self._progress, self.path)
        if text.peek() == "[":
            yield from text.items()
            return
        row = yield from text.members()
        if row is not None:
            yield row, lambda: "its beginning"


def _has_lines(text: str) -> bool:
    """Whether each line is an object of its own, by the first one."""
    line, newline, _ = text.partition("\n")
    try:
        first = json.loads(line)
    except (ValueError, RecursionError):
        return False
    return isinstance(first, dict) and not isinstance(first.get("value"), list) and bool(newline)


class _Text:
    """JSON text that is read as it is needed; what is behind is dropped."""

    def __init__(self, file: BinaryIO, encoding: str, progress: Progress, path: Path) -> None:
        self._file = file
        self._decoder = codecs.getincrementaldecoder(encoding)()
        self._progress = progress
        self._path = path
        self._size = path.stat().st_size
        self._text = ""
        self._at = 0
        self._line = 1  # of what is counted
        self._counted_to = 0
        self._is_over = False

    @property
    def line(self) -> str:
        self._count_lines()
        return f"line {self._line:,}"

    def _count_lines(self) -> None:
        self._line += self._text.count("\n", self._counted_to, self._at)
        self._counted_to = self._at

    def peek(self) -> str:
        """The next character that is not blank; '' at the end."""
        while True:
            while self._at < len(self._text):
                if self._text[self._at] not in _BLANK and self._text[self._at] != "\ufeff":
                    return self._text[self._at]
                self._at += 1
            if not self._fill():
                return ""

    def items(self) -> Iterator[tuple[Any, Place]]:
        """The items of the array that begins here."""
        self._take("[")
        while self.peek() != "]":
            self.peek()
            line = self.line
            yield self._value(), partial(str, line)
            if self.peek() == ",":
                self._at += 1
            elif self.peek() != "]":
                raise self._broken("a comma or ] is missing")
        self._at += 1

    def members(self) -> Generator[tuple[Any, Place], None, dict[str, Any] | None]:
        """The items of `value` in the object that begins here, where it has such an array; returns the
        object where it has none."""
        self._take("{")
        own: dict[str, Any] | None = {}
        while self.peek() != "}":
            self.peek()
            name = self._value()
            self._take(":")
            if name == "value" and self.peek() == "[":
                own = None
                yield from self.items()
            else:
                value = self._value()
                if own is not None:
                    own[str(name)] = value
            if self.peek() == ",":
                self._at += 1
            elif self.peek() != "}":
                raise self._broken("a comma or } is missing")
        self._at += 1
        return own

    def _take(self, character: str) -> None:
        if self.peek() != character:
            raise self._broken(f"{character} is missing")
        self._at += 1

    def _value(self) -> Any:
        """The value that begins here: read on until it is whole. Raises ImportFileError where it never is."""
        self.peek()
        while True:
            try:
                value, end = _decode(self._text, self._at)
            except RecursionError:
                raise self._broken("it is nested too deeply") from None
            except ValueError as error:
                problem = getattr(error, "msg", "it is no value")
            else:
                if end < len(self._text) or not self._fill():  # a number may go on
                    self._at = end
                    return value
                continue
            if len(self._text) - self._at > LINE_BYTES:
                raise self._broken(f"one value is longer than {LINE_BYTES:,} characters, or {problem}")
            if not self._fill():
                raise self._broken(f"{problem}; let it be written to its end, or export it again")

    def _fill(self) -> bool:
        """Whether there was more."""
        if self._is_over:
            return False
        chunk = self._file.read(BLOCK_BYTES)
        try:
            more = self._decoder.decode(chunk, final=not chunk)
        except UnicodeDecodeError as error:
            byte = self._file.tell() - len(chunk) + error.start
            raise ImportFileError(f"is not {error.encoding.upper()} at byte {byte:,}") from None
        self._progress.of(self._path, self._file.tell(), self._size)
        if not chunk:
            self._is_over = True
            return bool(more)
        self._count_lines()
        self._text = self._text[self._at :] + more
        self._at = self._counted_to = 0
        return True

    def _broken(self, problem: str) -> ImportFileError:
        return ImportFileError(f"breaks off at {self.line} ({problem})")
