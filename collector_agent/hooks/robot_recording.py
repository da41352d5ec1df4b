"""What stands behind the listener: the run, the collectors, and the store that opens in the background."""

import logging
import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from collector_agent.deferred_store import DeferredStore
from collector_agent.machine.problems import clear_problem, report_problem
from collector_agent.metrics_collector import MetricsCollector
from collector_agent.robot_records import result_fields, step_values
from collector_agent.robot_results import FailureKinds, in_utc
from collector_agent.robot_run import RobotRun, Step, Task
from collector_agent.robot_tags import MAX_ATTRIBUTES
from collector_agent.settings import AgentSettings

if TYPE_CHECKING:
    from collector_agent.resource_collector import ResourceCollector

COMPONENT: Final = "robot-listener"
CLOSE_TIMEOUT_SEC: Final = 10.0
BACKLOG_ROWS: Final = 20_000  # from here on the robot lets the delivery go first
_LOOK_EVERY_STEPS: Final = 256
_log = logging.getLogger("rpa_agent")


class Recording:
    """The collectors of one run of `robot`, and the run itself.

    `attempt`: of its tasks. `attributes`: of all its executions, beside their tags.
    """

    def __init__(
        self, settings: AgentSettings, *, attempt: int = 1, attributes: Mapping[str, str] | None = None
    ) -> None:
        self._kinds = FailureKinds(
            settings.business_tags, settings.business_exceptions, settings.business_patterns
        )
        dimensions: dict[str, Any] = {
            "workflow_version": settings.workflow_version,
            "environment": settings.environment,
            "robot_id": settings.robot_id,
            "host": settings.host,
            "queue": settings.queue,
        }
        self._redaction = settings.redaction()
        self._version_metadata = settings.version_metadata
        self._attributes = attributes or {}
        self._task: Task | None = None  # whose steps `_record_step` records
        self._record_step: Callable[[Any], None] = _record_nothing
        self._steps = 0
        self._is_behind = False
        self._store = DeferredStore(settings.store, COMPONENT)
        self._collector = MetricsCollector(
            self._store.write_metrics,
            settings.buffer_size,
            settings.flush_interval_sec,
            heartbeat_interval_sec=settings.heartbeat_interval_sec,
            spool_folder=settings.spool if settings.is_durable else None,
            spool_limits=settings.spool_limits if settings.is_durable else None,
            max_workflows=settings.max_workflows,
            max_steps=settings.max_steps,
            max_attribute_values=settings.max_attribute_values,
            redaction=self._redaction,
            **dimensions,
        )
        self._spool = self._collector.spool  # None where rows are recorded in memory
        self._resources = self._sampler(settings, dimensions) if settings.sample_resources else None
        self.run = RobotRun(
            self._take_start,
            self._take_step,
            self._take_result,
            step_depth=settings.step_depth,
            attempt=attempt,
        )
        self._collector.start()
        if self._resources is not None:
            self._resources.start()

    def _sampler(self, settings: AgentSettings, dimensions: dict[str, Any]) -> "ResourceCollector | None":
        try:
            # Here, because they load psutil.
            from collector_agent.machine.daemon_lock import daemon_is_running
            from collector_agent.resource_collector import ResourceCollector
        except ImportError as error:
            note_problem(f"the resources of this run are not sampled: {error}")
            return None
        return ResourceCollector(
            self._store.write_metrics if self._spool is None else None,
            settings.sample_interval_sec,
            idle_interval_sec=settings.idle_interval_sec,
            max_workflows=settings.max_workflows,
            spool=self._spool,
            redaction=self._redaction,
            sample_host=not daemon_is_running(),  # ten robots on a machine must not multiply it
            **dimensions,
        )

    def _take_start(self, task: Task) -> None:
        if task.started is None:
            raise ValueError("a task that is running has a start")
        self._collector.record_execution_start(
            task.execution_id,
            task.workflow_id,
            started_at=in_utc(task.started, None),
            suite=task.suite,
            recorder_id=task.recorder_id,
            **_version_of(task),
        )
        if self._spool is None:
            # Now, without waiting for it: a robot that is killed a moment later must not be unheard of.
            self._collector.flush(timeout_sec=0.0)
        if self._resources is not None:
            self._resources.set_context(task.workflow_id, task.execution_id)

    def leave_task(self) -> None:
        if self._resources is not None:
            self._resources.clear_context()

    def _take_step(self, task: Task, step: Step) -> None:
        self._steps += 1
        if self._steps % _LOOK_EVERY_STEPS == 0:
            self._is_behind = self._collector.counters.pending > BACKLOG_ROWS
        if self._is_behind:
            # A robot that computes without a pause holds the interpreter 5 ms for every row that is
            # written, and would in the end drop rows. This lets it go and waits for nothing.
            time.sleep(0)
        if task is not self._task:
            self._turn_to(task)
        self._record_step(step)

    def _turn_to(self, task: Task) -> None:
        """The next steps are this task's: after its start, and in a suite's teardown."""
        values_of = partial(step_values, kinds=self._kinds, execution_id=task.execution_id)
        self._record_step = self._collector.whole_steps(task.execution_id, task.workflow_id, values_of)
        self._task = task

    def version_in(self, metadata: Mapping[str, str]) -> str:
        """The release that a suite's metadata name; '' where they name none."""
        return metadata.get(self._version_metadata, "") if self._version_metadata else ""

    def _take_result(self, task: Task) -> None:
        fields = result_fields(task, self._kinds, None)
        for name, value in self._attributes.items():
            if len(fields["attributes"]) < MAX_ATTRIBUTES:
                fields["attributes"].setdefault(name, value)
        self._collector.record_execution_complete(
            task.execution_id,
            workflow_id=task.workflow_id,
            recorder_id=task.recorder_id,
            suite=task.suite,
            **_version_of(task),
            **fields,
        )

    def close(self, problem: str) -> None:
        """Delivers what is left, for a bounded time, and notes what could not be; else the given problem."""
        self.run.finish()
        deadline_s = time.monotonic() + CLOSE_TIMEOUT_SEC
        # The last sample goes into the spool before it is closed; to the store, the robot's rows go first.
        if self._resources is not None and self._spool is not None:
            self._resources.stop(CLOSE_TIMEOUT_SEC / 2)
        self._collector.stop(max(1.0, deadline_s - time.monotonic()))
        if self._resources is not None and self._spool is None:
            self._resources.stop(max(1.0, deadline_s - time.monotonic()))
        counters = self._collector.counters
        if lost := counters.pending + counters.dropped:
            where = "the store" if self._spool is None else "the spool"
            why = counters.last_error or "it did not answer in time"
            advice = "import the run's output file: rpa-agent import robot-output FILE"
            note_problem(f"{lost} rows of a run are not in {where} ({why}); when it is back, {advice}")
        elif self._spool is not None and counters.last_error:
            note_problem(
                f"rows of a run wait in the spool {self._spool.folder} ({counters.last_error}): the "
                "daemon (rpa-agent run) or the next robot delivers them"
            )
        elif problem:
            report_problem(COMPONENT, problem)  # again: a store that opened meanwhile has cleared it
        else:
            clear_problem(COMPONENT)


def _record_nothing(what: object) -> None:
    """Before the first task."""


def _version_of(task: Task) -> dict[str, Any]:
    """For where a suite says it; else the settings' is carried."""
    return {"workflow_version": task.version} if task.version else {}


def keep_out_of_the_robots_log() -> None:
    """Robot Framework shows Python's log as the robot's own: what we have to say goes elsewhere."""
    for name in ("rpa_agent", "rpa_analytics"):
        logger = logging.getLogger(name)
        logger.propagate = False
        if not logger.handlers:
            logger.addHandler(logging.NullHandler())


def note_problem(text: str) -> None:
    """For `rpa-agent check` and `status`, and in the agent's own log: the robot's output is its own."""
    line = " ".join(text.split())
    report_problem(COMPONENT, line)
    _log.warning("%s", line)
