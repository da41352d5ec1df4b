"""Results of Robot Framework 3.2 to 7 (output.xml, output.json) into the store, as often as one likes.

The ids are those that the listener gives, so importing what was recorded live, or importing twice,
stores nothing twice; so does importing the parts of a run beside the output that was merged from them.
XML is read as a stream: memory holds the latest steps and, because a failing suite teardown changes the
results of its whole suite, one small object per task. JSON is read whole.
"""

import gc
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import tzinfo
from pathlib import Path
from typing import BinaryIO, Final

from analytics_lib.errors import ImportFileError
from analytics_lib.record_values import record_of
from analytics_lib.records import Record
from collector_agent.importers.lines import Skips
from collector_agent.importers.plain_rows import Row
from collector_agent.importers.robot_ahead import task_start_ahead
from collector_agent.importers.robot_files import is_of_robot, result_files
from collector_agent.importers.robot_json import feed_json
from collector_agent.importers.robot_progress import FileProgress
from collector_agent.importers.robot_rows import RobotRows
from collector_agent.importers.robot_times import RobotTimes
from collector_agent.importers.robot_versions import suite_versions
from collector_agent.importers.robot_xml import feed_xml
from collector_agent.importers.tally import Report, StoreWriter, Tally, opened
from collector_agent.redaction.policy import Redaction
from collector_agent.robot_results import (
    BUSINESS_EXCEPTIONS,
    BUSINESS_TAGS,
    STEP_DEPTH,
    FailureKinds,
    time_zone,
)
from collector_agent.robot_run import RobotRun, Step, Task

VERSION_METADATA: Final = "Version"
BATCH_ROWS: Final = 10_000
_WAITING_STEPS: Final = 20_000
_HEAD_BYTES: Final = 4_096
_UTF16: Final = (b"\xff\xfe", b"\xfe\xff", b"<\0", b"\0<")
_UTF32: Final = (b"\xff\xfe\0\0", b"\0\0\xfe\xff")
_GARBAGE_AFTER: Final = 100_000  # objects made: rows are many, and none of them refers to itself


class RobotOutput:
    """One output file: `rows()` streams what is in it; `skips` and `notes` say afterwards what was left out
    and what else one should know."""

    def __init__(
        self,
        path: Path,
        *,
        environment: str = "",
        zone: tzinfo | None = None,
        kinds: FailureKinds | None = None,
        step_depth: int = STEP_DEPTH,
        version_metadata: str = VERSION_METADATA,
        attempts: dict[str, int] | None = None,
        redaction: Redaction | None = None,
        reading: Callable[[Path, float], None] = lambda path, share: None,
    ) -> None:
        self.path = path
        self.skips = Skips()
        self.notes: list[str] = []
        self._zone = zone
        self._rows = RobotRows(kinds or FailureKinds(), zone, environment, redaction, attempts)
        self._version_metadata = version_metadata
        self._reading = reading
        self._ready: list[Row] = []
        self._waiting: list[Step] = []  # for the start of the task, which is written at its end
        self._waiting_for: Task | None = None
        self._is_endless = False  # the file breaks off within the task that is being read
        self._run = RobotRun(lambda task: None, self._take_step, self._take_result, step_depth=step_depth)
        self._results = 0

    def rows(self) -> Iterator[list[Row]]:
        """Executions and steps, some at a time. Raises ImportFileError where the file cannot be read (any
        further); what was complete before that has been given by then."""
        try:
            with opened(self.path, "the output.xml") as file:
                for _ in self._fed(file):
                    yield from self._taken()
        except (ImportFileError, OSError) as error:
            self._run.finish()
            yield from self._taken(is_over=True)
            named = isinstance(error, ImportFileError) and str(error).startswith(str(self.path))
            reason = f"cannot be read ({error.strerror})" if isinstance(error, OSError) else str(error)
            before = f". {self._results:,} tasks were complete before and are taken" if self._results else ""
            raise ImportFileError(f"{'' if named else f'{self.path} '}{reason}{before}") from None
        self._run.finish()
        yield from self._taken(is_over=True)

    def _fed(self, file: BinaryIO) -> Iterator[None]:
        times = RobotTimes(self._zone)
        if _is_json(file):
            for share in feed_json(file, self._run, times, self._version_metadata):
                self._reading(self.path, share)
                yield
            return
        size = max(1, self.path.stat().st_size)
        versions = suite_versions(file, self._version_metadata)
        for told in feed_xml(file, self._run, times, self.skips, self.notes.append, versions):
            if len(self._waiting) > _WAITING_STEPS:
                self._look_ahead(told)
            self._reading(self.path, told / size)
            yield

    def _look_ahead(self, told: int) -> None:
        """One task may be the whole file: its steps do not wait in memory for its end."""
        if self._run.task is not self._waiting_for or self._is_endless:
            return
        started = task_start_ahead(self.path, told)
        if started is None:
            self._is_endless = True  # nothing of it can be taken, not even what follows
        else:
            self._run.know_start(started)

    def _taken(self, *, is_over: bool = False) -> Iterator[list[Row]]:
        waiting_for = self._waiting_for
        if waiting_for is not None and (
            is_over or self._is_endless or waiting_for.execution_id or waiting_for is not self._run.task
        ):
            self._tell_waiting()
        if self._ready:
            ready, self._ready = self._ready, []
            yield ready
        if is_over:
            self.skips.counts.update(self._run.skipped)
            self.skips.total += self._run.skipped.total()
            self._run.skipped.clear()

    def _take_step(self, task: Task, step: Step) -> None:
        if task is not self._waiting_for:
            self._tell_waiting()
            self._waiting_for = task
        self._waiting.append(step)

    def _tell_waiting(self) -> None:
        task, steps = self._waiting_for, self._waiting
        self._waiting_for, self._waiting = None, []
        if task is None or not steps:
            return
        if task.execution_id:
            self._ready += self._rows.of_steps(task, steps)
        else:
            self._run.skipped["steps of tasks without a start time"] += len(steps)

    def _take_result(self, task: Task) -> None:
        self._results += 1
        self._ready.append(self._rows.of_result(task))


def read_robot_output(
    path: Path,
    *,
    environment: str = "",
    time_zone_name: str = "",
    kinds: FailureKinds | None = None,
    step_depth: int = STEP_DEPTH,
) -> Iterator[Record]:
    """The executions and steps of one output.xml or output.json, as a stream.

    `time_zone_name`: the IANA zone of the machine that wrote the file, '' for this machine's. Raises
    ImportFileError, also after what was complete in a file that breaks off, SettingsError, and RecordError
    for a value that no store takes.
    """
    zone = time_zone(time_zone_name)
    output = RobotOutput(path, environment=environment, zone=zone, kinds=kinds, step_depth=step_depth)
    return (record_of(kind, values) for rows in output.rows() for kind, values in rows)


def run_import(
    paths: Sequence[Path],
    store_location: str | Path,
    *,
    environment: str = "",
    time_zone: str = "",
    business_tags: Sequence[str] = BUSINESS_TAGS,
    business_exceptions: Sequence[str] = BUSINESS_EXCEPTIONS,
    business_patterns: Sequence[str] = (),
    step_depth: int = STEP_DEPTH,
    version_metadata: str = VERSION_METADATA,
    redaction: Redaction | None = None,
    say: Callable[[str], None] = print,
    progress: Callable[[dict[Path, int]], FileProgress] = FileProgress,
) -> int:
    """Imports files, folders and what patterns fit, says what it took and skipped, gives the exit code.

    What cannot be read is said and the others go on; the exit code is then ImportFileError's.
    `version_metadata`: the name of the suite metadata that says the workflows' release. `progress` gets
    the files and their sizes. Raises SettingsError (zone, patterns) before the first file and StoreError
    when the store fails.
    """
    from analytics_lib.store import TimeSeriesStore  # here: reading alone needs no database

    zone = _zone(time_zone)
    kinds = FailureKinds(business_tags, business_exceptions, business_patterns)
    report = Report(say)
    refused: list[ImportFileError] = []
    files = sorted(result_files(paths, refused.append), key=is_of_robot)  # what was merged tells most
    shown = progress({file: _size_of(file) for file in files})
    attempts: dict[str, int] = {}
    for error in refused:
        report.file(Path(), Tally(), Skips(), error)
    with TimeSeriesStore(store_location) as store, _few_collections():
        writer = StoreWriter(store, BATCH_ROWS)
        for file in shown.files:
            output = RobotOutput(
                file,
                environment=environment,
                zone=zone,
                kinds=kinds,
                step_depth=step_depth,
                version_metadata=version_metadata,
                attempts=attempts,
                redaction=redaction,
                reading=shown.reading,
            )
            failure: ImportFileError | None = None
            try:
                for rows in output.rows():
                    writer.take(rows)
            except ImportFileError as error:
                failure = error
            tally = writer.flush()
            shown.done(file)
            report.file(file, tally, output.skips, failure)
            for note in output.notes:
                say(f"  note: {note}")
    return report.end()


_zone = time_zone  # `run_import` has a parameter of that name


@contextmanager
def _few_collections() -> Iterator[None]:
    """Rows are many and live shortly: looking for cycles among them costs a tenth and finds none."""
    before = gc.get_threshold()
    gc.set_threshold(_GARBAGE_AFTER, *before[1:])
    try:
        yield
    finally:
        gc.set_threshold(*before)


def _size_of(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0


def _is_json(file: BinaryIO) -> bool:
    """Whether it looks like JSON; leaves the file at its beginning. Raises ImportFileError for neither."""
    head = file.read(_HEAD_BYTES)
    file.seek(0)
    start = head.removeprefix(b"\xef\xbb\xbf").lstrip()
    if not start:
        raise ImportFileError("is empty: the robot that wrote it did not get far")
    if start.startswith(_UTF32):
        raise ImportFileError("is UTF-32: save it as UTF-8")
    if start.startswith((b"{", b"[")):
        return True
    if start.startswith((b"<", *_UTF16)):
        return False
    raise ImportFileError("is neither XML nor JSON: pass Robot Framework's output.xml or output.json")
