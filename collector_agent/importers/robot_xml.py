"""output.xml as a stream of what started and ended. Stands on expat alone: no tree is ever built."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import BinaryIO, Final
from xml.parsers import expat  # DTDs and entities are refused below

from analytics_lib.errors import ImportFileError
from collector_agent.robot_results import elapsed_us, parse_time
from collector_agent.robot_run import RobotRun

CHUNK_BYTES: Final = 256 * 1024

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
_KEYWORD_TYPES: Final = {"FORITEM": "ITERATION"}  # as Robot Framework 3 calls it
_SUMMARY: Final = frozenset({"statistics", "errors"})
_NOT_NEEDED: Final = frozenset(
    {"robot", "doc", "arg", "var", "msg", "tag", "value", "timeout", "meta", "pattern"}
    | {"arguments", "assign", "tags", "metadata", "item"}  # before Robot Framework 4
)


@dataclass(slots=True)
class _Node:
    """A suite, task or step that is open, and what was read of its end."""

    kind: str
    status: dict[str, str] = field(default_factory=dict)
    message: str = ""
    failure: str = ""  # the last FAIL message logged directly in it
    tags: list[str] = field(default_factory=list)
    inner_us: int = 0  # elapsed time of what was in it
    children: int = 0


def feed_xml(file: BinaryIO, run: RobotRun) -> Iterator[None]:
    """Tells the run what the file says, a piece at a time. Raises ImportFileError where it breaks."""
    reader = _Reader(run)
    try:
        while chunk := file.read(CHUNK_BYTES):
            reader.parser.Parse(chunk)
            yield
        reader.parser.Parse(b"", True)
    except expat.ExpatError as error:
        where = f"line {error.lineno}, column {error.offset + 1}"
        if not reader.is_robot_output:
            raise ImportFileError(
                f"is not XML ({expat.ErrorString(error.code)}, {where}); pass Robot Framework's output.xml"
            ) from None
        raise ImportFileError(
            f"breaks off at {where} ({expat.ErrorString(error.code)}); let the robot finish writing it, "
            "or copy it again, and import it again"
        ) from None


class _Reader:
    def __init__(self, run: RobotRun) -> None:
        self._run = run
        self._nodes: list[_Node] = []
        self._ignored: list[str] = []  # elements inside of what is not read, outermost first
        self._text: list[str] = []
        self.is_robot_output = False
        self.parser = expat.ParserCreate()
        self.parser.buffer_text = True
        self.parser.StartElementHandler = self._start
        self.parser.EndElementHandler = self._end
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

    def _start(self, tag: str, attributes: dict[str, str]) -> None:
        if self._ignored:
            self._ignored.append(tag)
        elif tag == "kw":
            kind = attributes.get("type", "KEYWORD").upper()
            self._start_step(
                _KEYWORD_TYPES.get(kind, kind),
                attributes.get("owner") or attributes.get("library"),
                # Embedded arguments are part of the name, but not of the name in the source.
                attributes.get("source_name") or attributes.get("sourcename") or attributes.get("name"),
            )
        elif tag == "status":
            if self._nodes:
                self._nodes[-1].status = attributes
            self._listen()
        elif tag in _NOT_NEEDED:
            if tag == "tag" or (tag == "msg" and attributes.get("level") == "FAIL"):
                self._listen()
            elif tag == "robot":
                self.is_robot_output = True
                self._run.written_by(attributes.get("generator", ""))
        elif tag in _STEPS:
            self._start_step(_STEPS[tag])
        elif tag == "branch":
            self._start_step(attributes.get("type", "IF"))
        elif not self.is_robot_output:
            raise ImportFileError(
                f"is XML, but its root is <{tag[:50]}> and not <robot>: pass Robot Framework's output.xml"
            )
        elif tag == "test":
            self._start_task(attributes)
        elif tag == "suite":
            if self._nodes:
                self._nodes[-1].children += 1
            self._nodes.append(_Node("suite"))
            self._run.start_suite(attributes.get("name", ""))
        else:
            if tag not in _SUMMARY:
                self._run.skipped[f"elements <{tag[:50]}>, which no version known here writes"] += 1
            self._ignored.append(tag)

    def _listen(self) -> None:
        self._text.clear()
        self.parser.CharacterDataHandler = self._text.append

    def _start_task(self, attributes: dict[str, str]) -> None:
        suite = self._nodes[-1] if self._nodes else None
        if suite is None or suite.kind != "suite":
            raise ImportFileError("has a <test> outside of a <suite>: Robot Framework did not write this")
        suite.children += 1
        # Robot Framework writes its id; without it (another program's file), its place must do.
        place = ["s1", *(f"s{node.children}" for node in self._nodes[:-1]), f"t{suite.children}"]
        task_id = attributes.get("id") or "-".join(place)
        self._nodes.append(_Node("test"))
        self._run.start_task(task_id, attributes.get("name", ""))

    def _start_step(self, step_type: str, owner: str | None = None, name: str | None = None) -> None:
        if not self._nodes:
            raise ImportFileError("has a keyword outside of a <suite>: Robot Framework did not write this")
        self._nodes.append(_Node("step"))
        self._run.start_step(step_type, owner, name)

    def _end(self, tag: str) -> None:
        if self._ignored:
            self._ignored.pop()
        elif tag in ("status", "tag", "msg"):
            self._end_text(tag)
        elif tag == "kw" or tag == "branch" or tag in _STEPS:
            node, started, elapsed = self._pop()
            message = node.message
            if not message and "elapsed" not in node.status and node.status.get("status") == "FAIL":
                message = node.failure  # before version 7 a keyword's status has no message
            self._run.end_step(node.status.get("status", "NOT SET"), message, started, elapsed)
        elif tag == "test":
            node, started, elapsed = self._pop()
            self._run.end_task(
                node.status.get("status", "NOT SET"), node.message, started, elapsed, node.tags
            )
        elif tag == "suite":
            self._nodes.pop()
            self._run.end_suite()

    def _end_text(self, tag: str) -> None:
        if self.parser.CharacterDataHandler is None:
            return
        self.parser.CharacterDataHandler = None
        if self._nodes:
            node, text = self._nodes[-1], "".join(self._text)
            if tag == "status":
                node.message = text
            elif tag == "tag":
                node.tags.append(text)
            else:
                node.failure = text

    def _pop(self) -> tuple[_Node, datetime | None, int]:
        """What ended, when it started, and how long it took in microseconds."""
        node = self._nodes.pop()
        started, elapsed = _times(node)
        if self._nodes:
            self._nodes[-1].inner_us += elapsed
        return node, started, elapsed


def _times(node: _Node) -> tuple[datetime | None, int]:
    written = node.status.get
    try:
        if "elapsed" in node.status:
            return parse_time(written("start")), max(0, round(float(written("elapsed", "")) * 1e6))
        started, ended = parse_time(written("starttime")), parse_time(written("endtime"))
    except (ValueError, OverflowError):
        return None, 0  # counted as one without a start time
    if started is None or ended is None:
        return started, node.inner_us
    return started, elapsed_us(ended - started)
