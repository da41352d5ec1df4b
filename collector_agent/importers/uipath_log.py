"""Execution logs of UiPath robots into the store, as often as one likes.

All files of an import are one story, told in the order of their first lines: a run that begins before
midnight ends in the next day's file. The ids come from the logs, so importing twice, or importing what
was followed, stores nothing twice.
"""

from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta, tzinfo
from pathlib import Path
from typing import BinaryIO, Final

from analytics_lib.errors import ImportFileError
from analytics_lib.record_values import record_of
from analytics_lib.records import Record
from collector_agent.importers.lines import HEAD_BYTES, Block, Lines, Skips, encoding_of
from collector_agent.importers.plain_rows import Row
from collector_agent.importers.tally import Progress, Report, StoreWriter, expanded_paths, opened
from collector_agent.importers.uipath_lines import PATTERN, day_of, events_of, first_stamp
from collector_agent.importers.uipath_runs import SILENT, UiPathRuns
from collector_agent.importers.uipath_values import UiPathOptions, failure_kinds, moment_us
from collector_agent.redaction.policy import Redaction
from collector_agent.robot_results import STEP_DEPTH, time_zone

NO_EVENT: Final = "lines that are no event of a UiPath robot"
_WHAT: Final = "the robot's YYYY-MM-DD_Execution.log"
_ENDED_JOBS: Final = 100_000  # remembered while importing; an import is over soon
_PEEK_BYTES: Final = 16 * 1024  # in which the first line's time is looked for


class UiPathLog:
    """One log file: `rows(runs)` tells the runs what is in it and gives what that makes."""

    def __init__(self, path: Path, zone: tzinfo | None = None, progress: Progress | None = None) -> None:
        self.path = path
        self.skips = Skips()
        self._zone = zone
        self._progress = progress or Progress()

    def first_us(self) -> int:
        """See `first_us`."""
        return first_us(self.path, self._zone)

    def rows(self, runs: UiPathRuns) -> Iterator[Row]:
        """Raises ImportFileError where the file is none of a UiPath robot, or cannot be read (any further);
        what was complete before that has been given by then."""
        runs.skips = self.skips
        try:
            with opened(self.path, _WHAT) as file:
                yield from self._read(file, runs)
        except OSError as error:
            raise ImportFileError(f"{self.path} cannot be read ({error.strerror})") from None

    def _read(self, file: BinaryIO, runs: UiPathRuns) -> Iterator[Row]:
        head = file.read(HEAD_BYTES)
        if not head.strip(b"\xef\xbb\xbf \r\n\t"):
            raise ImportFileError(f"{self.path} is empty: the robot that wrote it did not get far")
        try:
            encoding, mark = encoding_of(head)
        except ImportFileError as error:
            raise ImportFileError(f"{self.path} {error}") from None
        lines = Lines(file, encoding, self.skips, offset=mark)
        day, size, events = day_of(self.path), self.path.stat().st_size, 0
        for block in lines.blocks():
            events += take_block(block, day, runs, self.skips)
            yield from _all_ready(runs)
            self._progress.of(self.path, block.end, size)
        if lines.rest.strip():
            events += self._take_rest(lines, day, runs)
            yield from _all_ready(runs)
        if not events:
            raise ImportFileError(
                f"{self.path} holds no line of a UiPath robot: pass its YYYY-MM-DD_Execution.log"
            )

    def _take_rest(self, lines: Lines, day: str, runs: UiPathRuns) -> int:
        try:
            return take_line(lines.take_rest() or "", day, runs, self.skips)
        except ValueError:
            self.skips.add("half-written lines at the end", lines.place)
            return 0


def first_us(path: Path, zone: tzinfo | None) -> int:
    """When a log's first line was written, which is what logs are ordered by; 0 for what tells no time."""
    try:
        with opened(path, _WHAT) as file:
            head = file.read(_PEEK_BYTES)
        text = head.decode(encoding_of(head)[0], errors="replace").lstrip("\ufeff")
    except (ImportFileError, OSError):
        return 0  # what is wrong with it is said when it is read
    return moment_us(first_stamp(text) or f"{day_of(path)}T{text[:12]}", zone) or 0


def take_line(line: str, day: str, runs: UiPathRuns, skips: Skips) -> int:
    """Tells the runs the events on a line; gives how many there were. Raises ValueError for none."""
    events = events_of(line, day)
    for event in events:
        try:
            runs.take(event)
        except Exception as error:  # noqa: BLE001  # one odd line must not keep out all that follow it
            skips.add(f"events that could not be understood ({type(error).__name__})")
    return len(events)


def take_block(block: Block, day: str, runs: UiPathRuns, skips: Skips) -> int:
    """Tells the runs the events of a block; gives how many there were."""
    taken = 0
    for at, line in enumerate(block.lines):
        if not line or line == "\r":
            continue
        before = skips.total
        try:
            taken += take_line(line, day, runs, skips)
        except ValueError:
            if line.strip("\0 \t\r\ufeff"):
                skips.add(NO_EVENT)
        if skips.total != before:
            skips.locate(block.place(at))
    return taken


def read_uipath_log(
    paths: Sequence[Path], *, environment: str = "", time_zone_name: str = "", step_depth: int = STEP_DEPTH
) -> Iterator[Record]:
    """Executions, steps and starts of log files that belong together, as a stream of records.

    Raises ImportFileError, also after what was complete in a file that breaks off, and SettingsError.
    """
    zone = time_zone(time_zone_name)
    options = UiPathOptions(environment=environment, zone=zone, step_depth=step_depth)
    runs = UiPathRuns(options, max_ended_jobs=_ENDED_JOBS)
    for log in _in_order(paths, zone, None):
        for kind, values in log.rows(runs):
            yield record_of(kind, values)


def run_import(
    paths: Sequence[Path],
    store_location: str | Path,
    *,
    environment: str = "",
    time_zone: str = "",
    step_depth: int = STEP_DEPTH,
    business_exceptions: Sequence[str] = (),
    business_patterns: Sequence[str] = (),
    redaction: Redaction | None = None,
    say: Callable[[str], None] = print,
    progress: Progress | None = None,
    now: Callable[[], datetime] = lambda: datetime.now(UTC),
) -> int:
    """Imports the files as one story, says what it took and skipped, and gives the exit code.

    A file that cannot be read is said and the others go on; the exit code is then ImportFileError's.
    Raises SettingsError (zone, patterns) before the first file and StoreError when the store fails.
    """
    from analytics_lib.store import TimeSeriesStore  # here: reading alone needs no database

    zone = _zone(time_zone)
    options = UiPathOptions(
        environment=environment,
        zone=zone,
        kinds=failure_kinds(tuple(business_exceptions), tuple(business_patterns)),
        step_depth=step_depth,
        redaction=redaction or Redaction(),
    )
    runs = UiPathRuns(options, max_ended_jobs=_ENDED_JOBS)
    report = Report(say)
    with TimeSeriesStore(store_location) as store:
        writer = StoreWriter(store)
        for log in _in_order(paths, zone, progress):
            failure: ImportFileError | None = None
            try:
                writer.take(log.rows(runs))
            except ImportFileError as error:
                failure = error
            report.file(log.path, writer.flush(), log.skips, failure)
        runs.skips = left = Skips()
        runs.close_silent(now())
        writer.take(_all_ready(runs))
        further = writer.flush()
    for line in left.told():
        say(f"  skipped: {line}")
    signed_off = further.found_rows("execution_heartbeat")
    if signed_off:
        hours = SILENT / timedelta(hours=1)
        say(f"  {signed_off:,} runs have no end and were silent for {hours:g} hours: they count as abandoned")
    if runs.open_runs > signed_off:
        say(f"  {runs.open_runs - signed_off:,} runs have no end in these files")
    return report.end(further)


_zone = time_zone  # `run_import` has a parameter of that name


def _in_order(paths: Sequence[Path], zone: tzinfo | None, progress: Progress | None) -> list[UiPathLog]:
    logs = [UiPathLog(path, zone, progress) for path in expanded_paths(paths, PATTERN)]
    return sorted(logs, key=UiPathLog.first_us)


def _all_ready(runs: UiPathRuns) -> Iterator[Row]:
    ready, runs.ready = runs.ready, []
    yield from ready
