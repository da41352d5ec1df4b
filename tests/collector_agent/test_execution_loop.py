import asyncio
import threading
import traceback
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest

from collector_agent import BusinessException
from tests.collector_agent.recorded_rows import Recorded


@pytest.fixture
def recorded() -> Iterator[Recorded]:
    made = Recorded()
    yield made
    made.collector.stop()


def test_a_run_and_its_steps_are_recorded(recorded: Recorded) -> None:
    with recorded.collector.execution("invoice-intake", queue="q1", suite="s", attempt=2) as run:
        assert recorded.collector.active_executions == {run.execution_id: "invoice-intake"}
        with run.step("open mailbox", step_type="mail"):
            pass
        run.set_attribute("customer", 4711)
    [ended] = recorded.executions
    [step] = recorded.steps
    assert (ended.execution_id, ended.status, ended.exception_kind) == (run.execution_id, "completed", "")
    assert (ended.steps_total, ended.steps_completed, ended.steps_failed) == (1, 1, 0)
    assert (ended.queue, ended.suite, ended.attempt, dict(ended.attributes)) == (
        "q1",
        "s",
        2,
        {"customer": "4711"},
    )
    assert (step.step_id, step.step_type, step.queue, step.host) == ("open mailbox", "mail", "q1", "h1")
    assert ended.started_at <= step.started_at <= step.ended_at <= ended.ended_at
    assert recorded.collector.active_executions == {}


def test_steps_nest_and_are_numbered_by_their_start(recorded: Recorded) -> None:
    with recorded.collector.execution("w") as run:
        with run.step("a"):
            with run.step("b"), run.step("c"):
                pass
            with run.step("d"):
                pass
        recorded.collector.record_step(run.execution_id, "e", status="skipped", duration_ms=0)
        with run.step("f"):
            pass
    places = [(s.step_id, s.step_seq, s.parent_step_seq, s.depth) for s in recorded.steps]
    assert places == [
        ("a", 1, None, 0),
        ("b", 2, 1, 1),
        ("c", 3, 2, 2),
        ("d", 4, 1, 1),
        ("e", 5, None, 0),
        ("f", 6, None, 0),
    ]
    assert recorded.executions[0].steps_total == 5


class _OwnBusinessError(ValueError):
    rpa_exception_kind = "business"


class _Mute(Exception):  # noqa: N818  # its message is what is tested
    def __str__(self) -> str:
        raise RuntimeError("no text")


class CancelledError(Exception):
    """As concurrent.futures names its own."""


@pytest.mark.parametrize(
    ("error", "status", "kind", "message"),
    [
        (ValueError("no such row"), "failed", "application", "ValueError: no such row"),
        (ValueError(), "failed", "application", "ValueError"),
        (
            BusinessException("mail of ada@example.org"),
            "failed",
            "business",
            "BusinessException: mail of <mail>",
        ),
        (_OwnBusinessError("amount"), "failed", "business", "_OwnBusinessError: amount"),
        (_Mute(), "failed", "application", "_Mute: <_Mute without text: RuntimeError>"),
        (KeyboardInterrupt(), "cancelled", "", "KeyboardInterrupt"),
        (SystemExit(3), "cancelled", "", "SystemExit: 3"),
        (SystemExit(0), "completed", "", ""),
        (GeneratorExit(), "cancelled", "", "GeneratorExit"),
        (asyncio.CancelledError(), "cancelled", "", "CancelledError"),
        (CancelledError(), "cancelled", "", "CancelledError"),
    ],
)
def test_an_exception_marks_run_and_step_and_goes_on_untouched(
    recorded: Recorded, error: BaseException, status: str, kind: str, message: str
) -> None:
    def robot() -> None:
        with recorded.collector.execution("w") as run, run.step("s"):
            raise error

    with pytest.raises(type(error)) as caught:
        robot()
    assert caught.value is error
    assert [frame.name for frame in traceback.extract_tb(error.__traceback__)][-1] == "robot"
    assert error.__context__ is None
    [ended], [step] = recorded.executions, recorded.steps
    for record in (ended, step):
        assert (record.status, record.exception_kind, record.message) == (status, kind, message)
    assert ended.steps_failed == (1 if status == "failed" else 0)


def test_a_step_that_fails_inside_a_run_that_copes_leaves_the_run_completed(recorded: Recorded) -> None:
    with recorded.collector.execution("w") as run:
        for _ in range(2):
            try:
                with run.step("try"):
                    raise OSError("busy")
            except OSError:
                continue
        with run.step("at last"):
            pass
    [ended] = recorded.executions
    assert (ended.status, ended.steps_total, ended.steps_completed, ended.steps_failed) == (
        "completed",
        3,
        1,
        2,
    )


def test_a_decorated_function_is_a_run_each_time(recorded: Recorded) -> None:
    @recorded.collector.execution("w", execution_id="given")
    def robot(a: int, *, b: int) -> int:
        """Adds."""
        return a + b

    assert [robot(1, b=2), robot(3, b=4)] == [3, 7]
    assert (robot.__name__, robot.__doc__) == ("robot", "Adds.")
    ids = [ended.execution_id for ended in recorded.executions]
    assert ids[0] == "given"
    assert len(set(ids)) == 2


def test_a_decorated_coroutine_function_is_a_run_each_time_also_when_runs_overlap(recorded: Recorded) -> None:
    @recorded.collector.execution("w")
    async def robot(wait: float) -> float:
        await asyncio.sleep(wait)
        if not wait:
            raise ValueError("zero")
        return wait

    async def both() -> list[Any]:
        return await asyncio.gather(robot(0.05), robot(0.01), robot(0), return_exceptions=True)

    results = asyncio.run(both())
    assert results[:2] == [0.05, 0.01]
    assert isinstance(results[2], ValueError)
    by_status = sorted((ended.status, ended.duration_ms >= 9) for ended in recorded.executions)
    assert by_status == [("completed", True), ("completed", True), ("failed", False)]


def test_generators_are_refused_when_they_are_decorated(recorded: Recorded) -> None:
    with pytest.raises(TypeError, match="is a generator"):

        @recorded.collector.execution("w")
        def robot() -> Iterator[int]:
            yield 1


def test_threads_of_one_run_nest_their_steps_apart(recorded: Recorded) -> None:
    with recorded.collector.execution("w") as run:

        def work() -> None:
            with run.step("outer"), run.step("inner"):
                pass

        with run.step("main"):
            threads = [threading.Thread(target=work) for _ in range(4)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
    steps = recorded.steps
    assert sorted(step.step_seq for step in steps) == list(range(1, 10))
    outer = {step.step_seq for step in steps if step.step_id == "outer"}
    assert {step.parent_step_seq for step in steps if step.step_id == "inner"} == outer
    assert {step.parent_step_seq for step in steps if step.step_id in ("outer", "main")} == {None}
    assert recorded.executions[0].steps_total == 9


def test_one_loop_object_can_be_entered_again_and_inside_itself(recorded: Recorded) -> None:
    loop = recorded.collector.execution("w")
    with loop as outer, loop as inner:
        assert outer.execution_id != inner.execution_id
    with loop:
        pass
    ids = [ended.execution_id for ended in recorded.executions]
    assert ids[:2] == [inner.execution_id, outer.execution_id]
    assert len(set(ids)) == 3


@pytest.mark.parametrize(
    ("workflow_id", "fields"),
    [("w\n1", {}), ("w" * 10_240, {}), (None, {}), ("w", {"execution_id": 5}), ("w", {"colour": "red"})],
)
def test_a_badly_named_run_runs_and_is_kept_aside(
    recorded: Recorded, workflow_id: Any, fields: dict[str, Any]
) -> None:
    done = False
    with recorded.collector.execution(workflow_id, **fields) as run, run.step("s"):
        done = True
    assert done
    assert recorded.refused


def test_a_badly_described_step_takes_nothing_from_the_robot(recorded: Recorded) -> None:
    class RobotError(Exception):
        pass

    error = RobotError("the robot's own")

    def robot() -> None:
        with recorded.collector.execution("w") as run:
            with run.step("s", execution_id="other"):
                pass
            with run.step("s", colour="red"):
                pass
            with run.step(None, execution_id="other"):  # type: ignore[arg-type]  # bad on purpose
                raise error

    with pytest.raises(RobotError) as caught:
        robot()
    assert caught.value is error
    assert [ended.status for ended in recorded.executions] == ["failed"]


def test_attributes_are_shortened_and_bounded(recorded: Recorded) -> None:
    with recorded.collector.execution("w", attributes={"first": 1, "text": "a\nb"}) as run:  # type: ignore[dict-item]  # numbers are taken too
        run.set_attribute("long", "x" * 10_000)
        run.set_attribute(["unhashable"], None)
        for n in range(100):
            run.set_attribute(f"k{n}", n)
        run.set_attribute("first", 2)
    attributes = recorded.executions[0].attributes
    assert len(attributes) == 64
    assert attributes["first"] == "2"
    assert attributes["text"] == "a b"
    assert len(attributes["long"].encode()) <= 500


def test_explicit_start_fields_reach_the_start_row(recorded: Recorded) -> None:
    with recorded.collector.execution("w", parent_execution_id="p", transaction_id="t1"):
        pass
    [ended], [start] = recorded.executions, recorded.starts
    assert (start.parent_execution_id, ended.parent_execution_id, ended.transaction_id) == ("p", "p", "t1")
    assert ended.ended_at - ended.started_at < timedelta(seconds=30)
