"""Loops that tell listeners what they do, and what becomes of what makes no sense."""

import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from collector_agent import BusinessException
from collector_agent.hooks.attached_loop import LoopListener
from tests.collector_agent.recorded_rows import Recorded


@pytest.fixture
def recorded() -> Iterator[Recorded]:
    made = Recorded()
    yield made
    made.collector.stop()


class Loop:
    """A loop that tells its listeners; what they raise would end it."""

    def __init__(self) -> None:
        self.listeners: list[LoopListener] = []

    def add_listener(self, listener: LoopListener) -> None:
        self.listeners.append(listener)

    def remove_listener(self, listener: LoopListener) -> None:
        self.listeners.remove(listener)

    def tell(self, what: str, *arguments: Any, **named: Any) -> None:
        for listener in self.listeners:
            assert getattr(listener, what)(*arguments, **named) is None


def test_runs_steps_items_and_retries_are_recorded_as_told(recorded: Recorded) -> None:
    loop = Loop()
    with recorded.collector.attach(loop):
        loop.tell(
            "execution_started",
            7,
            "claims",
            queue="q",
            workflow_version="2",
            attempt=3,
            attributes={"department": "sales"},
        )
        loop.tell("transaction_started", 7, "item", "C-1", queue="inbox")
        loop.tell("step_started", 7, "a", "read", step_type="file")
        loop.tell("step_retried", 7, "a")
        loop.tell("step_ended", 7, "a")
        loop.tell("step_started", 7, "b", "check")
        loop.tell("step_ended", 7, "b", BusinessException("over the limit"))
        loop.tell("step_started", 7, "c", "look up", parent="item")
        loop.tell("step_ended", 7, "c", TimeoutError("no answer"), status="timed_out")
        loop.tell("step_ended", 7, "item", status="failed", message="given up")
        loop.tell("execution_ended", 7, ValueError("no"))
    [ended] = recorded.executions
    assert (ended.workflow_id, ended.queue, ended.workflow_version, ended.attempt) == ("claims", "q", "2", 3)
    assert (ended.status, ended.exception_kind, ended.message) == ("failed", "application", "ValueError: no")
    assert dict(ended.attributes) == {"department": "sales"}
    found = [(s.step_id, s.parent_step_seq, s.status, s.exception_kind, s.message) for s in recorded.steps]
    assert found == [
        ("transaction of inbox", None, "failed", "application", "given up"),
        ("read", 1, "completed", "", ""),
        ("check", 1, "failed", "business", "BusinessException: over the limit"),
        ("look up", 1, "timed_out", "", "TimeoutError: no answer"),
    ]
    assert recorded.step("read").retries == 1
    assert {s.transaction_id for s in recorded.steps} == {"C-1"}


def test_runs_beside_each_other_are_no_parents_whichever_thread_tells_of_them(recorded: Recorded) -> None:
    loop = Loop()
    with recorded.collector.execution("around") as around, recorded.collector.attach(loop):
        loop.tell("execution_started", 1, "w")
        loop.tell("step_started", 1, "s", "of 1")
        loop.tell("execution_started", 2, "w")

        def other_thread() -> None:
            loop.tell("step_started", 2, "s", "of 2")
            loop.tell("step_ended", 1, "s")
            loop.tell("execution_ended", 1)

        thread = threading.Thread(target=other_thread)
        thread.start()
        thread.join()
        loop.tell("step_ended", 2, "s")
        loop.tell("execution_ended", 2)
        with around.step("after"):
            pass
    assert [r.parent_execution_id for r in recorded.executions] == [around.execution_id] * 2 + [""]
    assert {s.step_id: s.parent_step_seq for s in recorded.steps} == {
        "of 1": None,
        "of 2": None,
        "after": None,
    }


def test_after_detach_nothing_is_recorded_and_what_was_open_is_cancelled(recorded: Recorded) -> None:
    loop = Loop()
    attachment = recorded.collector.attach(loop)
    loop.tell("execution_started", 1, "w")
    loop.tell("step_started", 1, "s", "step")
    attachment.detach()
    attachment.detach()
    assert loop.listeners == []
    attachment.execution_started(2, "w")
    assert [(r.status, r.message) for r in recorded.executions] == [("cancelled", "no longer followed")]
    assert [s.status for s in recorded.steps] == ["cancelled"]
    assert recorded.collector.active_executions == {}


def test_an_item_that_failed_is_tried_again_as_the_next_attempt(recorded: Recorded) -> None:
    loop = Loop()
    with recorded.collector.attach(loop):
        for n, status in enumerate(("failed", "completed")):
            loop.tell("execution_started", n, "w", transaction_id="C-1")
            loop.tell("execution_ended", n, status=status)
    assert [(r.attempt, r.status) for r in recorded.executions] == [(1, "failed"), (2, "completed")]


def test_what_makes_no_sense_is_counted_said_once_and_never_raised(
    recorded: Recorded, caplog: pytest.LogCaptureFixture
) -> None:
    loop = Loop()
    attachment = recorded.collector.attach(loop)
    for _ in range(3):
        loop.tell("execution_ended", "never started")
    loop.tell("step_started", "never started", 1, "s")
    loop.tell("execution_started", ["no hash"], "w")
    loop.tell("execution_started", 1, "w")
    loop.tell("execution_started", 1, "w")
    loop.tell("step_started", 1, "s", "step", colour="red")
    loop.tell("step_started", 1, "s", "step")
    loop.tell("step_ended", 1, "s")
    loop.tell("step_ended", 1, "s")
    loop.tell("execution_ended", 1)
    attachment.detach()
    assert attachment.failures == 8
    assert caplog.text.count("execution_ended of Loop is not recorded (said once)") == 1
    assert [r.status for r in recorded.executions] == ["completed"]


def test_a_loop_may_give_a_function_that_removes_the_listener_or_nothing(recorded: Recorded) -> None:
    class Gives:
        def __init__(self, gives: Callable[[], None] | None) -> None:
            self.gives = gives

        def add_listener(self, listener: LoopListener) -> Callable[[], None] | None:
            return self.gives

    def fails() -> None:
        raise RuntimeError("the loop's own")

    removed: list[bool] = []
    recorded.collector.attach(Gives(lambda: removed.append(True))).detach()
    recorded.collector.attach(Gives(None)).detach()
    failing = recorded.collector.attach(Gives(fails))
    failing.detach()
    assert removed == [True]
    assert failing.failures == 1


def test_a_loop_without_listeners_is_told_what_it_lacks(recorded: Recorded) -> None:
    class Plain:
        add_listener = "no function"

    with pytest.raises(TypeError, match=r"Plain has no method add_listener\(listener\)"):
        recorded.collector.attach(Plain())  # type: ignore[arg-type]  # bad on purpose
    with pytest.raises(TypeError, match="NoneType has no method add_listener"):
        recorded.collector.attach(None)  # type: ignore[arg-type]  # bad on purpose
