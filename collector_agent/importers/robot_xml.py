"""output.xml as a stream of what started and ended. Stands on expat alone: no tree is ever built.

Nearly all time goes into two functions that expat calls, so they are closures over plain variables, look
first for what is most frequent, and leave at once where an element says nothing that is needed.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import BinaryIO, Final
from xml.parsers import expat  # DTDs and entities are refused below

from analytics_lib.errors import ImportFileError
from collector_agent.importers.lines import Skips
from collector_agent.importers.robot_foreign import shown_tool
from collector_agent.importers.robot_lean import LeanPieces, pieces_of
from collector_agent.importers.robot_times import RobotTimes
from collector_agent.robot_results import parse_time
from collector_agent.robot_run import RobotRun

KNOWN_SCHEMA: Final = 5  # of Robot Framework 7
_TOKEN_BYTES: Final = 16 << 20  # of one tag with its attributes; real ones have less than a thousandth
_AGAIN_BYTES: Final = 1 << 20
_TEXT_PIECES: Final = 32  # of a message, of up to 8 KB each; the store keeps 8 KB of it

_STEPS: Final = {
    "for": "FOR",
    "while": "WHILE",
    "iter": "ITERATION",
    "if": "IF/ELSE ROOT",
    "try": "TRY/EXCEPT ROOT",
    "group": "GROUP",
    "variable": "VAR",
    "return": "RETURN",
    "break": "BREAK",
    "continue": "CONTINUE",
    "error": "ERROR",
}
_STEP_TAGS: Final = frozenset({"kw", "branch", *_STEPS})
_KEYWORD_TYPES: Final = {"foritem": "ITERATION"}  # as Robot Framework 3 calls it
_SUMMARY: Final = frozenset({"statistics", "errors"})
_NOT_NEEDED: Final = frozenset(
    {"doc", "arg", "var", "value", "timeout", "meta", "pattern"}
    | {"arguments", "assign", "tags", "metadata", "item"}  # before Robot Framework 4
)
_CUT_OFF: Final = frozenset(
    {
        expat.errors.codes[expat.errors.XML_ERROR_NO_ELEMENTS],
        expat.errors.codes[expat.errors.XML_ERROR_UNCLOSED_TOKEN],
        expat.errors.codes[expat.errors.XML_ERROR_PARTIAL_CHAR],
    }
)
_WRONG_ENCODING: Final = frozenset(
    {
        expat.errors.codes[expat.errors.XML_ERROR_UNKNOWN_ENCODING],
        expat.errors.codes[expat.errors.XML_ERROR_INCORRECT_ENCODING],
    }
)


def feed_xml(
    file: BinaryIO,
    run: RobotRun,
    times: RobotTimes,
    skips: Skips,
    note: Callable[[str], None],
    versions: Sequence[str] = (),
) -> Iterator[int]:
    """Tells the run what the file says, a piece at a time, and gives the byte up to which it is told.

    `note` is told what a person should know; `versions` are those of the suites (robot_versions.py).
    Raises ImportFileError where the file breaks.
    """
    reader = _Reader(run, times, skips, note, versions)
    parser, lean = reader.parser, LeanPieces()
    start, parsed = file.tell(), 0
    try:
        for read, piece in pieces_of(file):
            reader.place = f"byte {start + read - len(piece):,} or soon after"
            left = lean.of(piece)
            parser.Parse(left)
            parsed += len(left)
            if parsed - parser.CurrentByteIndex > _TOKEN_BYTES:
                raise ImportFileError(
                    f"has a tag of more than {_TOKEN_BYTES >> 20} MB that ends behind byte {start + read:,}: "
                    "Robot Framework did not write this"
                )
            yield start + read
        parser.Parse(b"", True)
    except LookupError as error:  # of Python, which the parser asks about encodings that it does not know
        if reader.is_robot_output:
            raise
        raise ImportFileError(
            f"is not in an encoding that is known here ({error}): save it as UTF-8"
        ) from None
    except expat.ExpatError as error:
        file.seek(start)
        raise ImportFileError(_what_broke(file, error, reader.is_robot_output)) from None


def _what_broke(file: BinaryIO, error: expat.ExpatError, is_robot_output: bool) -> str:
    """Says where by the file itself: the parser that broke has not seen all of it."""
    parser = expat.ParserCreate()
    byte = 0
    try:
        while chunk := file.read(_AGAIN_BYTES):
            parser.Parse(chunk)
        parser.Parse(b"", True)
    except expat.ExpatError as first:
        error, byte = first, parser.ErrorByteIndex
    where = f"line {error.lineno:,}, column {error.offset + 1:,}, byte {byte:,}"
    what = expat.ErrorString(error.code)
    if error.code in _WRONG_ENCODING:
        return f"is not in the encoding that it names ({what}, {where}): save it as UTF-8"
    if not is_robot_output:
        return f"is not XML ({what}, {where}); pass Robot Framework's output.xml"
    if error.code in _CUT_OFF:
        return (
            f"breaks off at {where} ({what}); let the robot finish writing it, or copy it again, and import "
            "it again"
        )
    return (
        f"is damaged at {where} ({what}; bytes in another encoding than it names read like this too): copy "
        "it again, and import it again"
    )


class _Reader:
    """What was read of the elements that are open. `parser` is to be fed."""

    def __init__(
        self,
        run: RobotRun,
        times: RobotTimes,
        skips: Skips,
        note: Callable[[str], None],
        versions: Sequence[str],
    ) -> None:
        self._run = run
        self._times = times
        self._skips = skips
        self._note = note
        self._versions = iter(versions)
        self._suites = 0  # that are open
        self._inner_us = [0]  # elapsed time of what is in each open task or step
        self.is_robot_output = False
        self.place = ""  # of what is being parsed
        self.parser = expat.ParserCreate()
        self.parser.buffer_text = True
        self.parser.StartElementHandler = self._start_root
        self.parser.StartDoctypeDeclHandler = self._refuse_dtd

    def _refuse_dtd(self, name: str, *_: object) -> None:
        if name.lower() == "html":
            raise ImportFileError(
                "is an HTML page (a log or report?): pass output.xml, from which they are made"
            )
        raise ImportFileError(
            "declares a document type, which Robot Framework never writes and which could make a small "
            "file huge: it is not read"
        )

    def _start_root(self, tag: str, attributes: Mapping[str, str]) -> None:
        if tag != "robot":
            raise ImportFileError(
                f"is XML, but its root is <{tag[:50]}> and not <robot>{shown_tool(tag)}: "
                "pass Robot Framework's output.xml"
            )
        self.is_robot_output = True
        schema = attributes.get("schemaversion", "")
        if schema.isdecimal() and int(schema[:9]) > KNOWN_SCHEMA:
            self._note(
                f"it is of schema version {schema[:9]}, and {KNOWN_SCHEMA} is the newest known here: what is "
                "understood is taken"
            )
        self._run.written_by(attributes.get("generator", ""))
        self._start_inside, self._end_inside = self._handlers()
        self.parser.StartElementHandler = self._start_outside

    def _start_outside(self, tag: str, attributes: Mapping[str, str]) -> None:
        """An element beside the outermost suite."""
        if tag == "suite":
            self.parser.StartElementHandler = self._start_inside
            self.parser.EndElementHandler = self._end_inside
            self._start_suite(attributes)
        elif tag == "test" or tag in _STEP_TAGS:
            raise self._misplaced(tag)
        else:
            self._leave_out(tag)

    def _misplaced(self, tag: str) -> ImportFileError:
        return ImportFileError(
            f"has a <{tag}> where none can be, at {self.place}: Robot Framework did not write this"
        )

    def _leave_out(self, tag: str) -> None:
        """Passes over this element with all that is in it."""
        parser = self.parser
        if tag not in _SUMMARY:
            self._skips.add(f"elements <{tag[:50]}>, which no version known here writes", self.place)
        before = parser.StartElementHandler, parser.EndElementHandler
        depth = 1

        def start(tag: str, attributes: Mapping[str, str]) -> None:
            nonlocal depth
            depth += 1

        def end(tag: str) -> None:
            nonlocal depth
            depth -= 1
            if not depth:
                parser.StartElementHandler, parser.EndElementHandler = before

        parser.StartElementHandler, parser.EndElementHandler = start, end

    def _start_suite(self, attributes: Mapping[str, str]) -> None:
        if len(self._inner_us) > 1:
            raise self._misplaced("suite")
        self._suites += 1
        self._run.start_suite(attributes.get("name", ""), version=next(self._versions, ""))

    def _end_suite(self) -> None:
        self._suites -= 1
        self._run.end_suite()
        if not self._suites:
            self.parser.StartElementHandler, self.parser.EndElementHandler = self._start_outside, None

    def _start_task(self, attributes: Mapping[str, str]) -> None:
        if len(self._inner_us) > 1:
            raise self._misplaced("test")
        self._inner_us.append(0)
        self._run.start_task(attributes.get("name", ""))

    def _handlers(self) -> tuple[Callable[[str, dict[str, str]], None], Callable[[str], None]]:
        """What expat calls for each start and end of an element inside of a suite."""
        parser, run, inner_us, times_us = self.parser, self._run, self._inner_us, self._times.us
        start_step, end_step = run.start_step, run.end_step
        not_written: dict[str, str] = {}
        status = not_written  # of the element that ends next: it is written at the end of it
        message = ""
        texts: list[str] = []
        failures: dict[int, str] = {}  # the last FAIL message logged directly in a step, by its depth
        tags: list[str] = []
        arguments: list[str] = []  # of a step that wants them
        wants_arguments = 0  # its depth

        def start(tag: str, attributes: dict[str, str]) -> None:
            nonlocal status, message, wants_arguments
            if tag == "status":
                status, message = attributes, ""
                parser.CharacterDataHandler = listen
            elif tag == "kw":
                get = attributes.get
                kind, owner, name = get("type"), get("owner") or get("library"), get("name")
                if len(attributes) > 2 or not owner:
                    # Embedded arguments are part of the name, but not of the name in the source.
                    name = get("source_name") or get("sourcename") or name
                inner_us.append(0)
                step_type = "KEYWORD" if kind is None else _KEYWORD_TYPES.get(kind) or kind.upper()
                if start_step(step_type, owner, name):
                    wants_arguments = len(inner_us)
            elif tag in _NOT_NEEDED:
                if wants_arguments and tag == "arg" and wants_arguments == len(inner_us):
                    parser.CharacterDataHandler = listen
            elif tag == "msg":
                if attributes.get("level") == "FAIL":
                    parser.CharacterDataHandler = listen
            elif tag == "branch":
                inner_us.append(0)
                start_step(attributes.get("type", "IF"))
            elif tag in _STEPS:
                inner_us.append(0)
                start_step(_STEPS[tag])
            elif tag == "tag":
                parser.CharacterDataHandler = listen
            elif tag == "test":
                self._start_task(attributes)
                tags.clear()
            elif tag == "suite":
                self._start_suite(attributes)
            else:
                self._leave_out(tag)

        def end(tag: str) -> None:
            nonlocal status, message
            if tag == "status":
                parser.CharacterDataHandler = None
                if texts:
                    message = text_read()
            elif tag in _STEP_TAGS:
                if wants_arguments == len(inner_us):
                    give_arguments()
                started_us, took_us = times_of_status()
                if failures:
                    failure = failures.pop(len(inner_us) + 1, "")
                    if not message and "elapsed" not in status and status.get("status") == "FAIL":
                        message = failure  # before version 7 a keyword's status has no message
                end_step(status.get("status", "NOT SET"), message, started_us, took_us)
                status, message = not_written, ""
            elif tag in _NOT_NEEDED:
                if wants_arguments and tag == "arg":
                    parser.CharacterDataHandler = None
                    arguments.append(text_read())
            elif tag == "msg":
                parser.CharacterDataHandler = None
                if texts:
                    failures[len(inner_us)] = text_read()
            elif tag == "tag":
                parser.CharacterDataHandler = None
                tags.append(text_read())
            elif tag == "test":
                started_us, took_us = times_of_status()
                started = None if started_us is None else _started(status)
                run.end_task(status.get("status", "NOT SET"), message, started, took_us, tags.copy())
                status, message = not_written, ""
                failures.clear()
            elif tag == "suite":
                self._end_suite()
                status, message = not_written, ""

        def give_arguments() -> None:
            nonlocal wants_arguments
            run.take_arguments(arguments.copy())
            arguments.clear()
            wants_arguments = 0

        def listen(text: str) -> None:
            if len(texts) < _TEXT_PIECES:
                texts.append(text)

        def text_read() -> str:
            text = "".join(texts)
            texts.clear()
            return text

        def times_of_status() -> tuple[int | None, int]:
            """When what ends had started, and how long it took, in microseconds."""
            inside_us = inner_us.pop()
            try:
                if "elapsed" in status:
                    started_us = times_us(status.get("start"))
                    took_us = round(float(status["elapsed"]) * 1e6)
                else:
                    started_us, ended_us = times_us(status.get("starttime")), times_us(status.get("endtime"))
                    is_known = started_us is not None and ended_us is not None
                    took_us = ended_us - started_us if is_known else inside_us  # type: ignore[operator]  # both are
                if took_us < 0:
                    took_us = 0  # the clock was set back
            except (ValueError, OverflowError):
                return None, 0  # counted as one without a start time
            inner_us[-1] += took_us
            return started_us, took_us

        return start, end


def _started(status: Mapping[str, str]) -> datetime | None:
    """As written: what a task's id is made of."""
    try:
        return parse_time(status.get("start") or status.get("starttime"))
    except ValueError:
        return None
