"""Runs and steps of asyncio, anyio and threads: each lies where it was begun."""

import asyncio
import contextvars
import gc
import sys
import threading
import weakref
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, asynccontextmanager
from typing import Any

import pytest

from collector_agent import BusinessException, current_run, current_step, step
from tests.collector_agent.recorded_rows import Recorded


@pytest.fixture
def recorded() -> Iterator[Recorded]:
    made = Recorded()
    yield made
    made.collector.stop()


def test_async_with_records_a_run_and_its_steps(recorded: Recorded) -> None:
    async def robot() -> str:
        async with recorded.collector.execution("w") as run:
            async with run.step("outer"), run.step("inner"):
                await asyncio.sleep(0.01)
            return run.execution_id

    execution_id = asyncio.run(robot())
    assert [(run.execution_id, run.status) for run in recorded.executions] == [(execution_id, "completed")]
    assert recorded.places() == [("outer", 1, None, 0), ("inner", 2, 1, 1)]
    assert recorded.step("inner").duration_ms >= 9


def test_tasks_of_a_gather_nest_in_the_step_that_made_them_and_not_in_each_other(recorded: Recorded) -> None:
    async def work(run: Any, name: str, pause_sec: float) -> None:
        with run.step(name):
            await asyncio.sleep(pause_sec)
            async with run.step(f"{name}/in"):
                await asyncio.sleep(pause_sec)

    async def robot() -> None:
        async with recorded.collector.execution("w") as run, run.step("all"):
            await asyncio.gather(work(run, "a", 0.01), work(run, "b", 0.002), work(run, "c", 0.005))

    asyncio.run(robot())
    seq = {found.step_id: found.step_seq for found in recorded.steps}
    for found in recorded.steps:
        around = {"all": None, "a": "all", "b": "all", "c": "all"}.get(found.step_id, found.step_id[0])
        assert found.parent_step_seq == (None if around is None else seq[around]), found.step_id
    assert recorded.executions[0].steps_total == 7


def test_runs_of_overlapping_tasks_keep_their_steps_also_from_one_loop_object(recorded: Recorded) -> None:
    loop = recorded.collector.execution("w")

    async def robot(name: str, pause_sec: float) -> None:
        async with loop as run:
            run.set_attribute("name", name)
            await asyncio.sleep(pause_sec)
            with step(f"step of {name}"):
                await asyncio.sleep(pause_sec)
            if name == "b":
                raise ValueError(name)

    async def all_of_them() -> None:
        await asyncio.gather(robot("a", 0.01), robot("b", 0.001), robot("c", 0.005), return_exceptions=True)

    asyncio.run(all_of_them())
    steps = {found.execution_id: found.step_id for found in recorded.steps}
    assert {run.attributes["name"]: (run.status, steps[run.execution_id]) for run in recorded.executions} == {
        "a": ("completed", "step of a"),
        "b": ("failed", "step of b"),
        "c": ("completed", "step of c"),
    }
    assert {run.parent_execution_id for run in recorded.executions} == {""}


def test_a_task_group_that_fails_names_what_failed_in_it_and_cancels_the_rest(recorded: Recorded) -> None:
    async def fail(run: Any) -> None:
        with run.step("refuse"):
            raise BusinessException("no such customer")

    async def wait(run: Any) -> None:
        with run.step("wait"):
            await asyncio.sleep(60)

    async def robot() -> None:
        async with recorded.collector.execution("w") as run, asyncio.TaskGroup() as group:
            group.create_task(wait(run))
            group.create_task(fail(run))

    with pytest.raises(ExceptionGroup):
        asyncio.run(robot())
    [ended] = recorded.executions
    assert (ended.status, ended.exception_kind) == ("failed", "business")
    assert "BusinessException: no such customer" in ended.message
    assert {found.step_id: found.status for found in recorded.steps} == {
        "wait": "cancelled",
        "refuse": "failed",
    }


def test_a_group_with_anything_but_business_in_it_is_of_the_application(recorded: Recorded) -> None:
    def robot() -> None:
        with recorded.collector.execution("w"):
            nested = ExceptionGroup("inner", [OSError("busy"), *(ValueError(str(n)) for n in range(5))])
            raise ExceptionGroup("outer", [BusinessException("data"), nested])

    with pytest.raises(ExceptionGroup):
        robot()
    [ended] = recorded.executions
    assert ended.exception_kind == "application"
    assert ended.message == (
        "ExceptionGroup: outer: BusinessException: data; OSError: busy; ValueError: 0 and 4 more"
    )


def test_a_task_that_outlives_its_step_lies_in_what_is_still_open(recorded: Recorded) -> None:
    async def robot() -> None:
        async with recorded.collector.execution("w") as run:
            begun = asyncio.Event()

            async def later() -> None:
                await begun.wait()
                with run.step("late"):
                    pass

            with run.step("short"):
                task = asyncio.create_task(later())
            begun.set()
            await task

    asyncio.run(robot())
    assert recorded.step("late").parent_step_seq is None


def test_decorated_steps_belong_to_the_run_of_their_task(recorded: Recorded) -> None:
    @step("fetch", step_type="http")
    async def fetch(pause_sec: float) -> float:
        await asyncio.sleep(pause_sec)
        return pause_sec

    @recorded.collector.execution("w")
    async def robot(pause_sec: float) -> float:
        return await fetch(pause_sec) + await fetch(pause_sec)

    async def both() -> list[float]:
        return await asyncio.gather(robot(0.004), robot(0.001))

    assert asyncio.run(both()) == [0.008, 0.002]
    assert asyncio.run(fetch(0)) == 0  # outside of every run nothing is recorded
    of_run = [
        [s.step_id for s in recorded.steps if s.execution_id == r.execution_id] for r in recorded.executions
    ]
    assert of_run == [["fetch", "fetch"], ["fetch", "fetch"]]
    assert {found.step_type for found in recorded.steps} == {"http"}


def test_a_callable_object_and_a_method_can_be_decorated_too(recorded: Recorded) -> None:
    class Robot:
        @recorded.collector.execution("method")
        async def work(self) -> int:
            return 1

        async def __call__(self) -> int:
            await asyncio.sleep(0.01)
            return 2

    class Odd:
        def __call__(self) -> Iterator[int]:
            yield 1

    decorated = recorded.collector.execution("object")(Robot())
    assert asyncio.run(Robot().work()) == 1
    assert asyncio.run(decorated()) == 2  # type: ignore[arg-type]  # it gives a coroutine
    assert [run.workflow_id for run in recorded.executions] == ["method", "object"]
    assert recorded.executions[1].duration_ms >= 9
    with pytest.raises(TypeError, match="is a generator"):
        recorded.collector.execution("w")(Odd())
    with pytest.raises(TypeError, match="cannot be called"):
        recorded.collector.execution("w")("no function")  # type: ignore[arg-type]  # bad on purpose


@pytest.mark.parametrize("kind", ["sync", "async"])
def test_steps_that_decorate_generators_are_refused(kind: str) -> None:
    def sync_one() -> Iterator[int]:
        yield 1

    async def async_one() -> AsyncIterator[int]:
        yield 1

    with pytest.raises(TypeError, match="is a generator"):
        step("s")(sync_one if kind == "sync" else async_one)


def test_steps_in_threads_of_asyncio_lie_in_the_step_that_called_them(recorded: Recorded) -> None:
    async def robot() -> None:
        async with recorded.collector.execution("w") as run, run.step("all"):
            await asyncio.gather(*(asyncio.to_thread(_two_steps, run) for _ in range(3)))

    asyncio.run(robot())
    top = {found.step_seq for found in recorded.steps if found.step_id == "outer"}
    assert {found.parent_step_seq for found in recorded.steps if found.step_id == "outer"} == {1}
    assert {found.parent_step_seq for found in recorded.steps if found.step_id == "inner"} == top


def _two_steps(run: Any) -> None:
    with run.step("outer"), run.step("inner"):
        pass


def test_anyios_tasks_and_threads_work_as_asyncios(recorded: Recorded) -> None:
    anyio = pytest.importorskip("anyio")

    async def work(run: Any) -> None:
        async with run.step("task"):
            await anyio.sleep(0.002)
            await anyio.to_thread.run_sync(_two_steps, run)

    async def robot() -> None:
        async with (
            recorded.collector.execution("w") as run,
            run.step("all"),
            anyio.create_task_group() as group,
        ):
            group.start_soon(work, run)
            group.start_soon(work, run)

    anyio.run(robot)
    tasks = {found.step_seq for found in recorded.steps if found.step_id == "task"}
    assert {found.parent_step_seq for found in recorded.steps if found.step_id == "task"} == {1}
    assert {found.parent_step_seq for found in recorded.steps if found.step_id == "outer"} == tasks


def test_a_thread_is_told_which_step_it_works_for(recorded: Recorded) -> None:
    with recorded.collector.execution("w") as run, run.step("all") as around:

        def work(n: int) -> None:
            with run.step(f"part {n}", parent=around), step("inner"):
                assert current_run() is run

        with ThreadPoolExecutor(2) as pool:
            list(pool.map(work, range(2)))
    parts = {found.step_seq for found in recorded.steps if found.step_id.startswith("part")}
    assert {found.parent_step_seq for found in recorded.steps if found.step_id.startswith("part")} == {1}
    assert {found.parent_step_seq for found in recorded.steps if found.step_id == "inner"} == parts


def test_a_new_thread_begins_outside_of_every_run(recorded: Recorded) -> None:
    seen: list[Any] = []
    with recorded.collector.execution("w") as run, run.step("s") as inner:
        thread = threading.Thread(target=lambda: seen.append((current_run(), current_step())))
        thread.start()
        thread.join()
        seen.append((current_run(), current_step()))
    seen.append((current_run(), current_step()))
    assert seen == [(None, None), (run, inner), (None, None)]


def test_steps_that_close_in_another_order_or_context_leave_nothing_open(recorded: Recorded) -> None:
    def generator(run: Any, name: str) -> Iterator[None]:
        with run.step(name):
            yield

    with recorded.collector.execution("w") as run:
        first, second = generator(run, "first"), generator(run, "second")
        next(first)
        next(second)
        first.close()  # the outer one before the inner one
        with run.step("within second"):
            pass
        second.close()
        with run.step("after"):
            pass
        stack = ExitStack()
        contextvars.copy_context().run(stack.enter_context, run.step("elsewhere"))
        with run.step("beside"):
            pass
        stack.close()  # in another context than it was opened in
        assert current_step() is None
    assert current_run() is None
    of = {found.step_id: found.parent_step_seq for found in recorded.steps}
    assert of["within second"] == recorded.step("second").step_seq
    assert of["after"] is None
    assert of["beside"] is None


def test_a_run_that_is_entered_in_one_context_and_left_in_another_ends(recorded: Recorded) -> None:
    loop = recorded.collector.execution("w")
    contextvars.copy_context().run(loop.__enter__)
    contextvars.copy_context().run(loop.__exit__, None, None, None)
    loop.__exit__(None, None, None)  # once more than it was entered
    assert [run.status for run in recorded.executions] == ["completed"]


def test_runs_that_end_in_another_order_than_they_began_end_as_themselves(recorded: Recorded) -> None:
    first, second = recorded.collector.execution("first"), recorded.collector.execution("second")
    first.__enter__()
    second.__enter__()
    error = ValueError("of the first one")
    first.__exit__(type(error), error, None)
    second.__exit__(None, None, None)
    assert [(run.workflow_id, run.status) for run in recorded.executions] == [
        ("first", "failed"),
        ("second", "completed"),
    ]


def test_an_async_generator_as_a_fixture_uses_it_is_a_run(recorded: Recorded) -> None:
    @asynccontextmanager
    async def opened() -> AsyncIterator[Any]:
        async with recorded.collector.execution("w") as run:
            yield run

    async def robot() -> None:
        async with opened() as run:
            with run.step("s"):
                pass

    asyncio.run(robot())
    assert recorded.executions[0].steps_total == 1


def test_a_step_that_is_open_already_is_recorded_once_and_said(
    recorded: Recorded, caplog: pytest.LogCaptureFixture
) -> None:
    with recorded.collector.execution("w") as run:
        one = run.step("s")
        with one, one:
            pass
        with one:  # again is fine
            pass
    assert [found.step_seq for found in recorded.steps] == [1, 2]
    assert "is open already" in caplog.text


def test_what_is_over_is_let_go(recorded: Recorded) -> None:
    class Held(Exception):  # noqa: N818  # what holds the frames, and with them the robot's data
        pass

    kept = []  # as a robot that looks at its steps afterwards

    def robot() -> "weakref.ref[Held]":
        error = Held()
        with recorded.collector.execution("w") as run:
            try:
                with run.step("s") as one:
                    kept.append(one)
                    one.fail(error)
                    raise error
            except Held:
                pass
        return weakref.ref(error)

    gone = robot()
    gc.collect()
    assert gone() is None


@pytest.mark.skipif(not hasattr(sys, "getrefcount"), reason="counts as CPython does")
def test_many_steps_leave_no_chain_behind(recorded: Recorded) -> None:
    with recorded.collector.execution("w") as run:
        for _ in range(50):
            contextvars.copy_context().run(run.step("elsewhere").__enter__)
        with run.step("last") as last:
            pass
    depth, place = 0, last.around
    while place is not None:
        depth, place = depth + 1, place.around
    assert depth == 1  # the run
