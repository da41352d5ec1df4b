"""A run of Robot Framework as it unfolds: from what starts and ends to executions and their steps.

Fed by the listener with what happens, and by the importers with what is written: numbering, counting
and the effect of suite teardowns are decided here alone.

- Steps are numbered from 1 in the order in which they start (pre-order), control structures included;
  IF and TRY stand for themselves through their branches. Steps deeper than `step_depth` are numbered
  and counted, but not recorded.
- A suite setup's steps belong to the first task that starts in that suite and are numbered before its
  own; a suite teardown's steps belong to the last task that ended in it and are numbered after. So
  they lie outside of that task's time. Those of a suite in which no task ran are left out, and counted.
- A suite teardown that fails makes every task of the suite fail, so a task's result stands when no
  teardown can come any more: until then the task is held.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from analytics_lib.records import NAME_BYTES
from collector_agent.redaction import clean_name
from collector_agent.robot_results import (
    STATUS,
    STEP_DEPTH,
    TRANSPARENT,
    as_written,
    execution_id,
    recorder_id,
    step_identity,
)

_FAILED: Final = "Parent suite teardown failed:\n{}"
_FAILED_TOO: Final = "{}\n\nAlso parent suite teardown failed:\n{}"
_SKIPPED: Final = "Skipped in parent suite teardown:\n{}"
_SKIPPED_TOO: Final = "Skipped in parent suite teardown:\n{}\n\nEarlier message:\n{}"


@dataclass(slots=True)
class Step:
    """One keyword or control structure. `started` is None where it was not written."""

    seq: int
    parent_seq: int | None
    depth: int
    step_type: str
    step_id: str
    step_name: str
    status: str = "skipped"
    started: datetime | None = None
    elapsed_us: int = 0
    message: str = ""


@dataclass(slots=True)
class Task:
    """One task (or test). `execution_id` is '' until its start is known."""

    task_id: str
    suite: str
    workflow_id: str
    started: datetime | None = None
    execution_id: str = ""
    recorder_id: str = ""
    status: str = ""
    message: str = ""
    elapsed_us: int = 0
    tags: Sequence[str] = ()
    next_seq: int = 1
    steps_total: int = 0
    steps_completed: int = 0
    steps_failed: int = 0
    is_done: bool = False  # its result stands, and whatever comes later is not counted any more

    def start(self, started: datetime) -> None:
        self.started = started
        self.execution_id = execution_id(self.suite, self.task_id, started)
        self.recorder_id = recorder_id(self.execution_id)

    def count(self, step: Step) -> None:
        self.steps_total += 1
        self.steps_completed += step.status == "completed"
        self.steps_failed += step.status == "failed"


@dataclass(slots=True)
class _Suite:
    longname: str
    has_teardown: bool
    setup_steps: list[Step] = field(default_factory=list)
    next_setup_seq: int = 1
    has_children: bool = False
    held: list[Task] = field(default_factory=list)
    last_task: Task | None = None
    teardown: tuple[str, str] = ("", "")  # its status and message


class RobotRun:
    """Told what starts and ends, in order; tells `on_start`, `on_step` and `on_result` what it means.

    `on_step` may come before the task's execution_id is known (an output file writes a task's start
    at its end) and after the task ended (a suite teardown), but never after its `on_result`.
    `skipped` counts, by reason, what was left out.
    """

    def __init__(
        self,
        on_start: Callable[[Task], None],
        on_step: Callable[[Task, Step], None],
        on_result: Callable[[Task], None],
        *,
        step_depth: int = STEP_DEPTH,
    ) -> None:
        self.skipped: Counter[str] = Counter()
        self._has_teardown_effects = False  # they are in the results already (Rebot wrote them)
        self.task: Task | None = None
        self._on_start = on_start
        self._on_step = on_step
        self._on_result = on_result
        self._step_depth = step_depth
        self._suites: list[_Suite] = []
        # (step, its owner, parent_seq and depth of what is in it); step is None for what is not recorded
        self._open: list[tuple[Step | None, Task | _Suite | None, int | None, int]] = []

    def written_by(self, generator: str) -> None:
        """Who wrote the results: only Robot Framework itself leaves a teardown's effects to the reader."""
        self._has_teardown_effects = generator.split(" ", 1)[0].upper() != "ROBOT"

    def start_suite(self, name: str, *, has_teardown: bool = True) -> None:
        """`has_teardown`: whether one may come; where that is not known in advance, it may."""
        name = as_written(name)
        if self._suites:
            self._suites[-1].has_children = True
            name = f"{self._suites[-1].longname}.{name}"
        self._suites.append(_Suite(name, has_teardown))

    def end_suite(self) -> None:
        suite = self._suites.pop()
        if suite.setup_steps:
            self.skipped["steps of the setup of a suite in which no task ran"] += len(suite.setup_steps)
        for task in suite.held if not self._has_teardown_effects else ():
            _apply_teardown(task, *suite.teardown)
        if any(outer.has_teardown for outer in self._suites):
            self._suites[-1].held += suite.held
        else:
            self._release(suite.held)

    def start_task(self, task_id: str, name: str, started: datetime | None = None) -> None:
        suite = self._suites[-1]
        suite.has_children = True
        longname = f"{suite.longname}.{as_written(name)}"
        self.task = task = Task(
            task_id, clean_name(suite.longname, NAME_BYTES), clean_name(longname, NAME_BYTES)
        )
        self._open.clear()
        if started is not None:
            task.start(started)
            self._on_start(task)
        for outer in self._suites:
            for step in outer.setup_steps:
                step.seq += task.next_seq - 1
                if step.parent_seq is not None:
                    step.parent_seq += task.next_seq - 1
                task.count(step)
                self._tell(task, step)
            task.next_seq += outer.next_setup_seq - 1
            outer.setup_steps, outer.next_setup_seq = [], 1

    def end_task(
        self, status: str, message: str, started: datetime | None, elapsed: int, tags: Sequence[str]
    ) -> Task:
        """The task that ended; its result is told when it stands. `elapsed` in microseconds."""
        task = self.task
        if task is None:
            raise ValueError("a task ended that did not start")
        self.task = None
        if not task.execution_id and started is not None:
            task.start(started)
        task.status = STATUS.get(status, "")
        task.message = as_written(message)
        task.elapsed_us = elapsed
        task.tags = tags
        for suite in self._suites:
            suite.last_task = task
        if any(suite.has_teardown for suite in self._suites):
            self._suites[-1].held.append(task)
        else:
            self._release([task])
        return task

    def start_step(self, step_type: str, owner: str | None = None, name: str | None = None) -> None:
        parent_seq, depth = self._open[-1][2:] if self._open else (None, 0)
        target: Task | _Suite | None
        if self._open:
            target = self._open[-1][1]
        elif self.task is not None:
            target = self.task
        else:
            # A keyword on a suite's own level that is neither comes from a listener.
            suite = self._suites[-1]
            is_setup = step_type == "SETUP" or (step_type != "TEARDOWN" and not suite.has_children)
            target = suite if is_setup else suite.last_task
            if step_type in ("SETUP", "TEARDOWN"):
                step_type = f"SUITE {step_type}"
        if step_type in TRANSPARENT or target is None:
            self._open.append((None, target, parent_seq, depth))
            return
        step_id, step_name = step_identity(step_type, owner, name)
        if isinstance(target, Task):
            seq = target.next_seq
            target.next_seq += 1
        else:
            seq = target.next_setup_seq
            target.next_setup_seq += 1
        step = Step(seq, parent_seq, depth, step_type, step_id, step_name)
        self._open.append((step, target, seq, depth + 1))

    def end_step(self, status: str, message: str, started: datetime | None, elapsed: int) -> None:
        """`elapsed` in microseconds."""
        if not self._open:
            return  # a listener that was put to work in the middle did not see its start
        step, target, _, _ = self._open.pop()
        if step is None:
            if target is None:
                self.skipped["steps of the teardown of a suite in which no task ran"] += 1
            return
        step.status = STATUS.get(status, "skipped")
        step.message = as_written(message)
        step.started = started
        step.elapsed_us = elapsed
        if step.step_type == "SUITE TEARDOWN":
            self._suites[-1].teardown = (status, step.message)
        if isinstance(target, _Suite):
            target.setup_steps.append(step)
        elif isinstance(target, Task) and not target.is_done:
            target.count(step)
            self._tell(target, step)
        else:
            self.skipped["steps after the result of their task stood"] += 1

    def finish(self) -> None:
        """Nothing more comes, be it that the file breaks off: what is held stands as it is."""
        for suite in reversed(self._suites):
            self._release(suite.held)
            suite.held = []

    def _release(self, tasks: list[Task]) -> None:
        for task in tasks:
            task.is_done = True
            if not task.execution_id:
                self.skipped["tasks without a start time"] += 1
            elif not task.status:
                self.skipped["tasks without a known status"] += 1
            else:
                self._on_result(task)

    def _tell(self, task: Task, step: Step) -> None:
        if step.depth >= self._step_depth:
            self.skipped[f"steps deeper than {self._step_depth} levels"] += 1
        elif step.started is None:
            self.skipped["steps without a start time"] += 1
        else:
            self._on_step(task, step)


def _apply_teardown(task: Task, status: str, message: str) -> None:
    """What a suite teardown's end does to a task of the suite, in Robot Framework's own words."""
    if status == "FAIL":
        if task.status != "skipped":
            task.status = "failed"
        pattern = _FAILED_TOO if task.message else _FAILED
        task.message = pattern.format(*([task.message] if task.message else []), message)
    elif status == "SKIP":
        task.status = "skipped"
        pattern = _SKIPPED_TOO if task.message else _SKIPPED
        task.message = pattern.format(message, task.message)
