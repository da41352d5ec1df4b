"""Events of UiPath robots, in order, as executions and steps; what is open can be put down and taken up.

Told apart by what a line carries, never by its words, which are of any language:

- logType User: the robot's own message. It shows that the run lives, and says nothing else.
- activityInfo: an activity begins (Executing) or ends (Closed, Canceled, Faulted).
- transactionState: a transaction begins or ends. It becomes a step with its transaction_id and queue;
  activities within carry the transaction_id.
- totalExecutionTime…: the run ends. It has failed where the robot logged an error of its own before: it
  writes one when an exception ends the run.
- level Information and none of these: the run begins.

execution_id is the jobId. A process that runs inside another's job, and a job that begins again, get an id
made of jobId, process and start; runs of old robots, which have no jobId, one of the start's fingerprint.
A run whose end never comes gives one heartbeat, of its last line, once it was silent for long: the sweep
for abandoned runs finds it by that.
"""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, Final

from analytics_lib.records import NAME_BYTES
from analytics_lib.windows import MICROSECOND, to_us
from collector_agent.importers.lines import Skips
from collector_agent.importers.plain_rows import Row
from collector_agent.importers.uipath_lines import Event
from collector_agent.importers.uipath_run import (
    DEPTH,
    NAME,
    PARENT,
    SEQ,
    STARTED_US,
    STEP_ID,
    TRANSACTION,
    TYPE,
    Run,
)
from collector_agent.importers.uipath_values import (
    TOTALS,
    UiPathOptions,
    job_of,
    key_of,
    made_id,
    moment_us,
    name_of,
    seconds_us,
    step_of,
    total_us,
    workflow_of,
)
from collector_agent.redaction import clean_message, text_of

SILENT: Final = timedelta(hours=6)
_FORGOTTEN: Final = timedelta(days=7)
MAX_OPEN_JOBS: Final = 5_000
MAX_ENDED_JOBS: Final = 500
_MAX_INNER_RUNS: Final = 10
_MAX_OPEN_ACTIVITIES: Final = 500
_MAX_OPEN_TRANSACTIONS: Final = 100
_INFORMATION: Final = ("information", "info")
_ERRORS: Final = ("error", "critical", "fatal")
_ACTIVITY_STATUS: Final = {"closed": "completed", "faulted": "failed", "canceled": "cancelled"}
_TRANSACTION_STATUS: Final = {
    "successful": "completed",
    "failed": "failed",
    "retried": "failed",
    "abandoned": "cancelled",
    "deleted": "skipped",
}


class UiPathRuns:
    """Takes events; the rows that they make are in `ready`, what was left out in `skips`."""

    def __init__(
        self,
        options: UiPathOptions | None = None,
        skips: Skips | None = None,
        *,
        max_ended_jobs: int = MAX_ENDED_JOBS,
    ) -> None:
        self.skips = skips or Skips()
        self.ready: list[Row] = []
        self._options = options or UiPathOptions()
        self._zone = self._options.zone
        self._is_attended = self._options.redaction.is_attended(self._options.environment)
        self._max_ended = max_ended_jobs
        self._open: dict[str, list[Run]] = {}  # by job; the outermost run of a job first
        self._ended: dict[str, str] = {}  # job -> start of its first run, as written
        self._newest_us = 0  # time of any line

    # --- what is still open --------------------------------------------------------------------------

    @property
    def open_runs(self) -> int:
        return sum(map(len, self._open.values()))

    def state(self) -> dict[str, Any]:
        """What `restore` needs, as plain JSON. Shares nothing with this object."""
        return {
            "open": {job: [run.put_down() for run in runs] for job, runs in self._open.items()},
            "ended": dict(self._ended),
            "newest_us": self._newest_us,
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Raises KeyError, TypeError, ValueError or AttributeError for what `state` never gave."""
        self._open = {str(job): [Run.taken_up(run) for run in runs] for job, runs in state["open"].items()}
        self._ended = {str(job): str(start) for job, start in state["ended"].items()}
        self._newest_us = int(state["newest_us"])
        self.ready = []

    def close_silent(self, now: datetime, silent: timedelta = SILENT) -> None:
        """Gives the last sign of life of silent runs; they are forgotten when the logs are days beyond."""
        silent_us = to_us(now) - silent // MICROSECOND
        forgotten_us = min(self._newest_us, to_us(now)) - _FORGOTTEN // MICROSECOND
        for job, runs in list(self._open.items()):
            for run in runs:
                if run.last_seen_us <= silent_us:
                    self._sign_off(run)
            self._keep(job, [run for run in runs if run.last_seen_us > forgotten_us])

    def _sign_off(self, run: Run) -> None:
        """The last sign of life of a run whose end is missing, once."""
        if run.told_silent_us == run.last_seen_us:
            return
        run.told_silent_us = run.last_seen_us
        if run.is_whole:
            self.ready.append(run.sign_of_life())
        else:
            self.skips.add("runs of which neither start nor end was logged (is the log level Information?)")

    def _keep(self, job: str, runs: list[Run]) -> None:
        if runs:
            self._open[job] = runs
        else:
            self._open.pop(job, None)

    # --- events --------------------------------------------------------------------------------------

    def take(self, event: Event) -> None:
        """One event; what is left out of it is in `skips`, without its place."""
        stamp = event.get("timeStamp")
        at_us = moment_us(stamp, self._zone)
        if at_us is None or type(stamp) is not str:
            self.skips.add("lines without a time that can be read")
            return
        if at_us > self._newest_us:
            self._newest_us = at_us
        log_type = event.get("logType", "Default")
        if log_type != "Default" and text_of(log_type).lower() == "user":
            self._run(event, stamp, at_us)
        elif type(info := event.get("activityInfo")) is dict:
            if (run := self._run(event, stamp, at_us)) is not None:
                self._activity(run, info, event, at_us)
        elif event.get("transactionState") or event.get("transactionStatus"):
            if (run := self._run(event, stamp, at_us)) is not None:
                self._transaction(run, event, at_us)
        elif event.get(TOTALS[0]) is not None or event.get(TOTALS[1]) is not None:
            self._end(event, stamp, at_us)
        elif (level := text_of(event.get("level")).lower()) in _INFORMATION:
            self._start(event, stamp, at_us)
        elif (run := self._run(event, stamp, at_us)) is not None and level in _ERRORS:
            run.error, run.has_error = clean_message(event.get("message")), True

    def _run(self, event: Event, stamp: str, at_us: int) -> Run | None:
        """The open run that a line belongs to, or one whose start was not seen; None once it has ended."""
        job, _ = job_of(event)
        runs = self._open.get(job)
        if not runs:
            return None if job in self._ended else self._begin(job, event, stamp, at_us)
        run = runs[-1]
        if len(runs) > 1:
            process = _process_of(event)
            run = next((one for one in reversed(runs) if one.process == process), run)
        run.last_seen_us = at_us
        return run

    def _start(self, event: Event, stamp: str, at_us: int) -> None:
        job, has_id = job_of(event)
        runs = self._open.get(job, [])
        if runs and not has_id:  # without a jobId, a start says that the run before was killed
            for run in runs:
                self._sign_off(run)
            del self._open[job]
        elif runs and runs[-1].process == _process_of(event):
            runs[-1].last_seen_us = at_us
            if not runs[-1].is_whole:  # something was logged before its start
                self._is_whole(runs[-1])
            return
        elif len(runs) >= _MAX_INNER_RUNS:
            self.skips.add(f"starts of processes more than {_MAX_INNER_RUNS} deep inside one job")
            return
        self._is_whole(self._begin(job, event, stamp, at_us))

    def _is_whole(self, run: Run) -> None:
        run.is_whole = True
        self.ready.append(run.start_row())

    def _begin(self, job: str, event: Event, stamp: str, at_us: int) -> Run:
        outer = self._open.get(job, [])
        options, is_attended = self._options, self._is_attended
        person = options.redaction.person
        run = Run(
            execution_id=self._execution_id(event, stamp, is_inner=bool(outer)),
            parent=outer[0].execution_id if outer else "",
            workflow_id=workflow_of(event),
            process=_process_of(event),
            version=name_of(event.get("processVersion")),
            environment=options.environment,
            robot=name_of(person("robot_id", _on_one_line(event.get("robotName")), is_attended=is_attended)),
            host=name_of(person("host", _on_one_line(event.get("machineName")), is_attended=is_attended)),
            started=stamp,
            started_us=at_us,
            last_seen_us=at_us,
        )
        self._open[job] = [*outer, run]
        while len(self._open) > MAX_OPEN_JOBS:
            for forgotten in self._open.pop(next(iter(self._open))):
                self._sign_off(forgotten)
        return run

    def _execution_id(self, event: Event, stamp: str, *, is_inner: bool) -> str:
        job, has_id = job_of(event)
        if not has_id:
            return made_id(job, text_of(event.get("fingerprint")) or stamp)
        if is_inner or self._ended.get(job, stamp) != stamp:
            return made_id(job, text_of(event.get("processName")), stamp)
        return job

    def _end(self, event: Event, stamp: str, at_us: int) -> None:
        run = self._run(event, stamp, at_us)
        if run is None:
            self.skips.add("ends of runs that had ended before")
            return
        job, has_id = job_of(event)
        runs = self._open[job]
        at = next(at for at, one in enumerate(runs) if one is run)
        for inner in runs[at + 1 :]:
            self._sign_off(inner)
        self._keep(job, runs[:at])
        if at == 0 and has_id:
            self._ended.setdefault(job, run.started if run.is_whole else "")
            while len(self._ended) > self._max_ended:
                del self._ended[next(iter(self._ended))]
        if run.activities:
            self.skips.add("runs that ended with activities still open")
        if run.transactions:
            self.skips.add("runs that ended with transactions still open")
        exception_kind = self._options.kinds.of_step("failed", run.error) if run.has_error else ""
        self.ready.append(run.end_row(at_us, total_us(event), exception_kind))

    def _activity(self, run: Run, info: Mapping[str, Any], event: Event, at_us: int) -> None:
        state = text_of(info.get("State")).lower()
        step_id, step_name, step_type = step_of(event.get("fileName"), info)
        activities = run.activities
        if state == "executing":
            outer = activities[-1] if activities else None
            seq, run.next_seq = run.next_seq, run.next_seq + 1
            if len(activities) >= _MAX_OPEN_ACTIVITIES:
                self.skips.add(f"activities beyond {_MAX_OPEN_ACTIVITIES:,} open ones")
                return
            parent, depth = (outer[SEQ], outer[DEPTH] + 1) if outer else (None, 0)
            activities.append([seq, parent, depth, step_id, step_name, step_type, at_us, run.transaction])
            return
        status = _ACTIVITY_STATUS.get(state)
        if status is None:
            self.skips.add(f"activities in a state not known here, such as {name_of(state, 50)!r}")
            return
        for at in range(len(activities) - 1, -1, -1):  # others may run beside it
            if activities[at][STEP_ID] == step_id and activities[at][TYPE] == step_type:
                break
        else:
            self.skips.add("ends of activities whose beginning is not in the log")
            return
        begun = activities.pop(at)
        run.count_step(status)
        if begun[DEPTH] >= self._options.step_depth:
            return
        given = {
            "step_seq": begun[SEQ],
            "parent_step_seq": begun[PARENT],
            "depth": begun[DEPTH],
            "step_id": step_id,
            "step_name": begun[NAME],
            "step_type": step_type,
            "transaction_id": begun[TRANSACTION],
        }
        if status == "failed":
            given["message"] = message = clean_message(event.get("message"))
            given["exception_kind"] = self._options.kinds.of_step(status, message)
        self.ready.append(run.step_row(begun[STARTED_US], at_us, status, given))

    def _transaction(self, run: Run, event: Event, at_us: int) -> None:
        transaction_id = key_of(event.get("transactionID") or event.get("transactionId"))
        queue = name_of(event.get("queueName"))
        run.queue = run.queue or queue
        state = text_of(event.get("transactionState")).lower()
        took = event.get("transactionExecutionTime")
        if state == "started" or (state != "ended" and took is None):
            if len(run.transactions) >= _MAX_OPEN_TRANSACTIONS:
                self.skips.add(f"transactions beyond {_MAX_OPEN_TRANSACTIONS:,} open ones")
                return
            run.transactions[transaction_id] = [run.next_seq, queue, at_us]
            run.next_seq += 1
            run.transaction = transaction_id
            return
        begun = run.transactions.pop(transaction_id, None)
        if run.transaction == transaction_id:
            run.transaction = ""
        if begun is None:
            begun = [run.next_seq, queue, at_us - (seconds_us(took) or 0)]
            run.next_seq += 1
        seq, queue_before, started_us = begun
        queue = queue or queue_before
        kind = text_of(event.get("processingExceptionType")).lower()
        word = text_of(event.get("transactionStatus")).lower()
        status = _TRANSACTION_STATUS.get(word) or ("failed" if kind else "completed")
        given = {
            "step_seq": seq,
            "step_id": name_of(f"transaction of {queue}" if queue else "transaction", NAME_BYTES),
            "step_name": queue,
            "step_type": "TRANSACTION",
            "transaction_id": transaction_id,
            "queue": queue,
        }
        if status != "completed":
            given["message"] = clean_message(event.get("processingExceptionReason"))
        if status == "failed":
            given["exception_kind"] = "business" if "business" in kind else "application"
        run.count_step(status)
        self.ready.append(run.step_row(started_us, at_us, status, given))


def _process_of(event: Event) -> str:
    """As it may be kept."""
    return name_of(event.get("processName"), NAME_BYTES)


def _on_one_line(value: object) -> str:
    return " ".join(text_of(value).split())
