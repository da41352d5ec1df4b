"""Results of Robot Framework 3.2 to 7 (output.xml, output.json) into the store, as often as one likes.

The ids are those that the listener gives, so importing what was recorded live, or importing twice,
stores nothing twice. XML is read as a stream: memory holds one task's steps and, because a failing
suite teardown changes the results of its whole suite, one small object per task. JSON is read whole.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import tzinfo
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Final

from analytics_lib.errors import ImportFileError, RecordError
from analytics_lib.records import ExecutionMetrics, Record, StepMetrics
from collector_agent.importers.robot_json import feed_json
from collector_agent.importers.robot_xml import feed_xml
from collector_agent.redaction import clean_message
from collector_agent.robot_records import result_fields, step_fields
from collector_agent.robot_results import (
    BUSINESS_EXCEPTIONS,
    BUSINESS_TAGS,
    STEP_DEPTH,
    FailureKinds,
    time_zone,
)
from collector_agent.robot_run import RobotRun, Step, Task

if TYPE_CHECKING:
    from analytics_lib.store import TimeSeriesStore

SOURCE: Final = "robot-output"
BATCH_ROWS: Final = 1_000
_UTF16: Final = (b"\xff\xfe", b"\xfe\xff")


class RobotOutput:
    """One output file: `records()` streams what is in it; `skipped` says afterwards what was left out."""

    def __init__(
        self,
        path: Path,
        *,
        environment: str = "",
        zone: tzinfo | None = None,
        kinds: FailureKinds | None = None,
        step_depth: int = STEP_DEPTH,
    ) -> None:
        self.path = path
        self._environment = environment
        self._zone = zone
        self._kinds = kinds or FailureKinds()
        self._ready: list[Record] = []
        self._waiting: list[tuple[Task, Step]] = []  # for the start of their task, written at its end
        self._run = RobotRun(
            lambda task: None,
            lambda task, step: self._waiting.append((task, step)),
            self._take_result,
            step_depth=step_depth,
        )
        self._results = 0

    @property
    def skipped(self) -> Counter[str]:
        return self._run.skipped

    def records(self) -> Iterator[Record]:
        """Executions and steps. Raises ImportFileError where the file cannot be read (any further);
        what was complete before that has been given by then."""
        try:
            with _opened(self.path) as file:
                feed = feed_json if _is_json(file) else feed_xml
                for _ in feed(file, self._run):
                    yield from self._drain()
        except (ImportFileError, OSError) as error:
            self._run.finish()
            yield from self._drain()
            reason = f"cannot be read ({error.strerror})" if isinstance(error, OSError) else str(error)
            before = f". {self._results} tasks were complete before and are taken" if self._results else ""
            raise ImportFileError(f"{self.path} {reason}{before}") from None
        self._run.finish()
        yield from self._drain()

    def _drain(self) -> Iterator[Record]:
        if self._waiting and self._waiting[0][0] is not self._run.task:
            waiting, self._waiting = self._waiting, []
            for task, step in waiting:
                if task is self._run.task:
                    self._waiting.append((task, step))
                else:
                    self._take_step(task, step)
        ready, self._ready = self._ready, []
        yield from ready

    def _take_step(self, task: Task, step: Step) -> None:
        if not task.execution_id:
            self.skipped["steps of tasks without a start time"] += 1
            return
        fields = step_fields(step, self._kinds, self._zone)
        fields["message"] = clean_message(fields["message"])
        try:
            record = StepMetrics(
                execution_id=task.execution_id,
                recorder_id=task.recorder_id,
                workflow_id=task.workflow_id,
                **fields,
                environment=self._environment,
                source=SOURCE,
            )
        except RecordError as error:
            self.skipped[f"steps with a value that is not valid, such as: {_field_of(error)}"] += 1
        else:
            self._ready.append(record)

    def _take_result(self, task: Task) -> None:
        fields = result_fields(task, self._kinds, self._zone)
        fields["message"] = clean_message(fields["message"])
        try:
            record = ExecutionMetrics(
                execution_id=task.execution_id,
                recorder_id=task.recorder_id,
                workflow_id=task.workflow_id,
                suite=task.suite,
                **fields,
                environment=self._environment,
                source=SOURCE,
            )
        except RecordError as error:
            self.skipped[f"tasks with a value that is not valid, such as: {_field_of(error)}"] += 1
        else:
            self._results += 1
            self._ready.append(record)


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
    ImportFileError, also after what was complete in a file that breaks off, and SettingsError.
    """
    zone = time_zone(time_zone_name)
    output = RobotOutput(path, environment=environment, zone=zone, kinds=kinds, step_depth=step_depth)
    return output.records()


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
    say: Callable[[str], None] = print,
) -> int:
    """Imports the files one by one, says what it took and skipped, and gives the exit code.

    A file that cannot be read is said and the others go on; the exit code is then ImportFileError's.
    Raises SettingsError (zone, patterns) before the first file and StoreError when the store fails.
    """
    from analytics_lib.store import TimeSeriesStore  # here: reading alone needs no database

    zone = _zone(time_zone)
    kinds = FailureKinds(business_tags, business_exceptions, business_patterns)
    total, failed = _Tally(), 0
    with TimeSeriesStore(store_location) as store:
        for path in paths:
            output = RobotOutput(path, environment=environment, zone=zone, kinds=kinds, step_depth=step_depth)
            tally = _Tally()
            try:
                _store(output, store, tally)
            except ImportFileError as error:
                failed += 1
                say(f"error: {error}")
                if tally.found.total():
                    say(f"{path}: {tally.told()}")
            else:
                say(f"{path}: {tally.told()}")
            for reason, n in output.skipped.most_common():
                say(f"  skipped: {n:,} {reason}")
            total.add(tally)
    files = f"{len(paths):,} file{'' if len(paths) == 1 else 's'}"
    say(f"total of {files}{f', {failed:,} with errors' if failed else ''}: {total.told()}")
    return ImportFileError.exit_code if failed else 0


_zone = time_zone  # `run_import` has a parameter of that name


@dataclass(slots=True)
class _Tally:
    """What was found in a file and what the store made of it."""

    found: Counter[str] = field(default_factory=Counter)  # executions by status
    inserted: Counter[str] = field(default_factory=Counter)  # rows by kind
    duplicates: Counter[str] = field(default_factory=Counter)
    conflicts: Counter[str] = field(default_factory=Counter)
    quarantined: int = 0

    def add(self, other: "_Tally") -> None:
        self.found += other.found
        self.inserted += other.inserted
        self.duplicates += other.duplicates
        self.conflicts += other.conflicts
        self.quarantined += other.quarantined

    def told(self) -> str:
        by_status = ", ".join(
            f"{self.found[status]:,} {word}"
            for status, word in (("completed", "passed"), ("failed", "failed"), ("skipped", "skipped"))
        )
        parts = [
            f"{self.found.total():,} executions ({by_status})",
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
    return f"{by_kind['execution']:,} executions and {by_kind['step']:,} steps"


def _store(output: RobotOutput, store: "TimeSeriesStore", tally: _Tally) -> None:
    """Everything that can be read, in batches; then raises the file's error, if there was one."""
    batch: list[Record] = []
    try:
        for record in output.records():
            batch.append(record)
            if len(batch) == BATCH_ROWS:
                _write(store, batch, tally)
                batch.clear()
    except ImportFileError:
        _write(store, batch, tally)  # what was complete before the file breaks off is taken
        raise
    _write(store, batch, tally)


def _write(store: "TimeSeriesStore", batch: list[Record], tally: _Tally) -> None:
    if not batch:
        return
    result = store.write_metrics(batch)
    tally.found.update(row.status for row in batch if isinstance(row, ExecutionMetrics))
    for kind, count in result.by_kind.items():
        tally.inserted[kind] += count.inserted
        tally.duplicates[kind] += count.duplicates
        tally.conflicts[kind] += count.conflicts
    tally.quarantined += result.quarantined


def _opened(path: Path) -> BinaryIO:
    if path.is_dir():
        raise ImportFileError("is a folder: name the output.xml in it")
    try:
        return path.open("rb")
    except FileNotFoundError:
        raise ImportFileError("does not exist") from None


def _is_json(file: BinaryIO) -> bool:
    """Whether it looks like JSON; leaves the file at its beginning. Raises ImportFileError for neither."""
    head = file.read(4096)
    file.seek(0)
    start = head.removeprefix(b"\xef\xbb\xbf").lstrip()
    if not start:
        raise ImportFileError("is empty: the robot that wrote it did not get far")
    if start.startswith((b"{", b"[")):
        return True
    if start.startswith((b"<", *_UTF16)):
        return False
    raise ImportFileError("is neither XML nor JSON: pass Robot Framework's output.xml or output.json")


def _field_of(error: RecordError) -> str:
    """'StepMetrics.started_at' of its message: the rest may differ from row to row."""
    return str(error).split(" ", 1)[0]
