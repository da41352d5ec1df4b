"""A run of Robot Framework as it unfolds: from what starts and ends to executions and their steps.

Fed by the listener with what happens, and by the importers with what is written: numbering, counting,
retries, work items and the effect of suite teardowns are decided here alone.

- Steps are numbered from 1 in the order in which they start (pre-order), control structures included;
  IF and TRY stand for themselves through their branches. Steps deeper than `step_depth` are numbered
  and counted, but not recorded.
- A suite setup's steps belong to the first task that starts in that suite and are numbered before its
  own; a suite teardown's steps belong to the last task that ended in it and are numbered after. So
  they lie outside of that task's time. Those of a suite in which no task ran are left out, and counted.
- A suite teardown that fails makes every task of the suite fail, so a task's result stands when no
  teardown can come any more: until then the task is held.
- The keyword that `For Each Input Work Item` runs is the transaction of a work item, and so is a loop's
  iteration in which one is got or released by hand. What starts in it belongs to that item, which fails
  with its keyword or where it is released as failed.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import lru_cache

from analytics_lib.records import ID_BYTES, NAME_BYTES
from collector_agent.redaction import clean_name
from collector_agent.robot_items import TRANSACTION, Role, Special, failure_of_release, role_of
from collector_agent.robot_merged import own_message
from collector_agent.robot_results import (
    STATUS,
    STEP_DEPTH,
    TRANSPARENT,
    as_written,
    execution_id,
    message_as_written,
    recorder_id,
    step_identity,
)
from collector_agent.robot_teardown import after_teardown


@dataclass(slots=True)
class Step:
    """One keyword or control structure. `started_us`: microseconds UTC; None where it was not written.

    `item`: the number of the work item in its execution, 0 outside of one. `exception_kind`: of a work
    item that was released as failed; else '', and the message says it.
    """

    seq: int
    parent_seq: int | None
    depth: int
    step_type: str
    step_id: str
    step_name: str
    status: str = "skipped"
    started_us: int | None = None
    elapsed_us: int = 0
    message: str = ""
    retries: int = 0
    item: int = 0
    exception_kind: str = ""


@dataclass(slots=True)
class Task:
    """One task (or test). `started`: as written, local where it has no offset, because its id is made of
    that; `execution_id` is '' until it is known. `version`: of its suite, where one names it.
    """

    suite: str
    workflow_id: str
    version: str = ""
    attempt: int = 1
    started: datetime | None = None
    execution_id: str = ""
    recorder_id: str = ""
    status: str = ""
    message: str = ""
    elapsed_us: int = 0
    tags: Sequence[str] = ()
    next_seq: int = 1
    items: int = 0
    steps_total: int = 0
    steps_completed: int = 0
    steps_failed: int = 0
    is_done: bool = False  # its result stands, and whatever comes later is not counted any more

    def start(self, started: datetime, nth: int) -> None:
        self.started = started
        self.execution_id = execution_id(self.workflow_id, started, nth)
        self.recorder_id = recorder_id(self.execution_id)

    def count(self, status: str) -> None:
        self.steps_total += 1
        if status == "completed":
            self.steps_completed += 1
        elif status == "failed":
            self.steps_failed += 1


@dataclass(slots=True)
class _Suite:
    longname: str
    name: str  # the same, as it is stored
    has_teardown: bool
    version: str
    setup_steps: list[Step] = field(default_factory=list)
    next_seq: int = 1  # and items: of its setup's steps, until a task takes them
    items: int = 0
    has_children: bool = False
    held: list[Task] = field(default_factory=list)
    last_task: Task | None = None
    teardown: tuple[str, str] = ("", "")  # its status and message


# What is open: (step, its owner, parent_seq, depth and item of what is in it, what else is known of it).
# The step is None for what is not recorded. A tuple, because one is made for every keyword.
_Open = tuple[Step | None, Task | _Suite | None, int | None, int, int, Special | None]


class RobotRun:
    """Told what starts and ends, in order; tells `on_start`, `on_step` and `on_result` what it means.

    `on_step` may come before the task's execution_id is known (an output file writes a task's start
    at its end) and after the task ended (a suite teardown), but never after its `on_result`.
    `skipped` counts, by reason, what was left out. `attempt`: of tasks whose message tells of none.
    """

    def __init__(
        self,
        on_start: Callable[[Task], None],
        on_step: Callable[[Task, Step], None],
        on_result: Callable[[Task], None],
        *,
        step_depth: int = STEP_DEPTH,
        attempt: int = 1,
    ) -> None:
        self.skipped: Counter[str] = Counter()
        self._has_teardown_effects = False  # they are in the results already (Rebot wrote them)
        self.task: Task | None = None
        self._on_start = on_start
        self._on_step = on_step
        self._on_result = on_result
        self._step_depth = step_depth
        self._attempt = attempt
        self._suites: list[_Suite] = []
        self._open: list[_Open] = []
        self._latest: tuple[str, datetime, int] | None = None  # task begun: its name, start and number

    def written_by(self, generator: str) -> None:
        """Who wrote the results: only Robot Framework itself leaves a teardown's effects to the reader."""
        self._has_teardown_effects = generator.split(" ", 1)[0].upper() != "ROBOT"

    def start_suite(self, name: str, *, has_teardown: bool = True, version: str = "") -> None:
        """`has_teardown`: whether one may come; where that is not known in advance, it may. `version`: of
        its workflows; '' for that of the suite around it."""
        name = as_written(name)
        version = clean_name(as_written(version), ID_BYTES)
        if self._suites:
            around = self._suites[-1]
            around.has_children = True
            name, version = f"{around.longname}.{name}", version or around.version
        self._suites.append(_Suite(name, clean_name(name, NAME_BYTES), has_teardown, version))

    def end_suite(self) -> None:
        suite = self._suites.pop()
        if suite.setup_steps:
            self.skipped["steps of the setup of a suite in which no task ran"] += len(suite.setup_steps)
        for task in suite.held if not self._has_teardown_effects else ():
            task.status, task.message = after_teardown(task.status, task.message, *suite.teardown)
        if any(outer.has_teardown for outer in self._suites):
            self._suites[-1].held += suite.held
        else:
            self._release(suite.held)

    def start_task(self, name: str, started: datetime | None = None, *, version: str = "") -> None:
        """`version`: where a suite's was changed since it started."""
        suite = self._suites[-1]
        suite.has_children = True
        longname = f"{suite.longname}.{as_written(name)}"
        self.task = task = Task(
            suite.name,
            clean_name(longname, NAME_BYTES),
            clean_name(as_written(version), ID_BYTES) or suite.version,
            self._attempt,
        )
        self._open.clear()
        if started is not None:
            self._begin(task, started)
            self._on_start(task)
        for outer in self._suites:
            for step in outer.setup_steps:
                step.seq += task.next_seq - 1
                if step.parent_seq is not None:
                    step.parent_seq += task.next_seq - 1
                if step.item:
                    step.item += task.items
                task.count(step.status)
                self._tell(task, step)
            task.next_seq += outer.next_seq - 1
            task.items += outer.items
            outer.setup_steps, outer.next_seq, outer.items = [], 1, 0

    def know_start(self, started: datetime) -> None:
        """When the task that runs started, as written, of a reader that finds out before its end."""
        if self.task is not None and not self.task.execution_id:
            self._begin(self.task, started)

    def end_task(
        self, status: str, message: str, started: datetime | None, elapsed_us: int, tags: Sequence[str]
    ) -> Task:
        """The task that ended; its result is told when it stands. `started`: as written."""
        task = self.task
        if task is None:
            raise ValueError("a task ended that did not start")
        self.task = None
        if not task.execution_id and started is not None:
            self._begin(task, started)
        task.status = STATUS.get(status, "")
        task.message, earlier = own_message(message_as_written(message))
        task.attempt = earlier + 1 if earlier else task.attempt
        task.elapsed_us = elapsed_us
        task.tags = tags
        for suite in self._suites:
            suite.last_task = task
        if any(suite.has_teardown for suite in self._suites):
            self._suites[-1].held.append(task)
        else:
            self._release([task])
        return task

    def start_step(self, step_type: str, owner: str | None = None, name: str | None = None) -> bool:
        """Whether the step's arguments are wanted (`take_arguments`)."""
        target: Task | _Suite | None
        opened = self._open
        if opened:
            _, target, parent_seq, depth, item, around = opened[-1]
        else:
            parent_seq, depth, item, around = None, 0, 0, None
            target = self.task
            if target is None:
                target, step_type = self._of_suite(step_type)
        if step_type in TRANSPARENT or target is None:
            opened.append((None, target, parent_seq, depth, item, None))
            return False
        step_id, step_name, role = _known(step_type, owner, name)
        seq = target.next_seq
        target.next_seq = seq + 1
        step = Step(seq, parent_seq, depth, step_type, step_id, step_name)
        if around is not None:
            around.take_child(step_id)
            if around.role == "items" and step_type == "KEYWORD":
                target.items = item = target.items + 1
                step.step_type = TRANSACTION
        opened.append((step, target, seq, depth + 1, item, Special(role) if role else None))
        return role == "release"

    def take_arguments(self, arguments: Sequence[object]) -> None:
        """Of the step that was opened last and is not ended, at any time until it ends."""
        if self._open and (special := self._open[-1][5]) is not None:
            special.arguments = arguments

    def end_step(self, status: str, message: str, started_us: int | None, elapsed_us: int) -> None:
        """`started_us`: microseconds UTC."""
        opened = self._open
        if not opened:
            return  # a listener that was put to work in the middle did not see its start
        step, target, _, _, item, special = opened.pop()
        if step is None:
            if target is None:
                self.skipped["steps of the teardown of a suite in which no task ran"] += 1
            return
        step.status = STATUS.get(status, "skipped")
        step.started_us = started_us
        step.elapsed_us = elapsed_us
        step.item = item
        if message:
            step.message = message_as_written(message)
        if special is not None:
            step.retries = special.retries
            if special.role in ("get", "release") and status == "PASS":
                self._touch_item(target, special)
                step.item = opened[-1][4] if opened else 0
        if step.exception_kind:
            step.status = "failed"
        if step.step_type == "SUITE TEARDOWN":
            self._suites[-1].teardown = (status, step.message)
        if type(target) is Task and not target.is_done:
            target.count(step.status)
            if step.depth < self._step_depth and started_us is not None:
                self._on_step(target, step)
            else:
                self._tell(target, step)
        elif isinstance(target, _Suite):
            target.setup_steps.append(step)
        else:
            self.skipped["steps after the result of their task stood"] += 1

    def finish(self) -> None:
        """Nothing more comes, be it that the file breaks off: what is held stands as it is."""
        for suite in reversed(self._suites):
            self._release(suite.held)
            suite.held = []

    def _begin(self, task: Task, started: datetime) -> None:
        name, nth = task.workflow_id, 1
        if self._latest is not None and self._latest[:2] == (name, started):
            nth = self._latest[2] + 1
        self._latest = (name, started, nth)
        task.start(started, nth)

    def _of_suite(self, step_type: str) -> tuple[Task | _Suite | None, str]:
        """(owner, type) of a step on a suite's own level; one that is neither setup nor teardown comes from
        a listener."""
        suite = self._suites[-1]
        is_setup = step_type == "SETUP" or (step_type != "TEARDOWN" and not suite.has_children)
        role = f"SUITE {step_type}" if step_type in ("SETUP", "TEARDOWN") else step_type
        return (suite if is_setup else suite.last_task), role

    def _touch_item(self, target: Task | _Suite | None, special: Special) -> None:
        """A work item was got or released: by hand where no `For Each Input Work Item` is around."""
        opened, of_item = self._open, None
        for place in range(len(opened) - 1, -1, -1):
            step, _, _, _, item, _ = opened[place]
            if step is not None and step.step_type == (TRANSACTION if item else "ITERATION"):
                of_item = step
                break
        if of_item is None or target is None:
            return
        if of_item.step_type != TRANSACTION:
            target.items += 1
            of_item.step_type = TRANSACTION
            for inner in range(place, len(opened)):
                opened[inner] = (*opened[inner][:4], target.items, opened[inner][5])
        if special.role == "release" and (kind := failure_of_release(special.arguments)) is not None:
            of_item.exception_kind = kind

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
        elif step.started_us is None:
            self.skipped["steps without a start time"] += 1
        else:
            self._on_step(task, step)


@lru_cache(maxsize=4096)
def _known(step_type: str, owner: str | None, name: str | None) -> tuple[str, str, Role]:
    """(step_id, step_name, role): a robot has few different keywords and runs them often."""
    return *step_identity(step_type, owner, name), role_of(owner, name)
