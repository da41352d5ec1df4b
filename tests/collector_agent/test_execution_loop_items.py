"""Nested workflows, retries, work items, and what was timed or judged elsewhere."""

import asyncio
import os
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from collector_agent import BusinessException, MetricsCollector, count_retry, step
from collector_agent.hooks.attempts import Attempts
from tests.collector_agent.recorded_rows import Recorded

NOON = datetime(2026, 1, 5, 12, 0, tzinfo=UTC)


@pytest.fixture
def recorded() -> Iterator[Recorded]:
    made = Recorded()
    yield made
    made.collector.stop()


# --- nested workflows ------------------------------------------------------------------------------


def test_a_run_inside_of_another_names_it_as_its_parent(recorded: Recorded) -> None:
    @recorded.collector.execution("inner")
    def inner() -> None:
        with step("of the inner one"):
            pass

    with recorded.collector.execution("outer") as outer, outer.step("call"):
        inner()
        with outer.step("after"):
            pass
    by_workflow = {run.workflow_id: run for run in recorded.executions}
    assert by_workflow["inner"].parent_execution_id == outer.execution_id
    assert by_workflow["outer"].parent_execution_id == ""
    assert {start.workflow_id: start.parent_execution_id for start in recorded.starts} == {
        "outer": "",
        "inner": outer.execution_id,
    }
    inner_step = recorded.step("of the inner one")
    assert (inner_step.execution_id, inner_step.parent_step_seq) == (by_workflow["inner"].execution_id, None)
    assert recorded.step("after").parent_step_seq == recorded.step("call").step_seq


def test_a_parent_can_be_named_or_refused(recorded: Recorded) -> None:
    with recorded.collector.execution("outer") as outer:
        with recorded.collector.execution("refused", parent=""):
            pass
        with recorded.collector.execution("named", parent="another"):
            pass
        with recorded.collector.execution("given", parent_execution_id="of old"):
            pass

        def work() -> None:
            with recorded.collector.execution("of a thread", parent=outer):
                pass

        thread = threading.Thread(target=work)
        thread.start()
        thread.join()
    assert {run.workflow_id: run.parent_execution_id for run in recorded.executions} == {
        "refused": "",
        "named": "another",
        "given": "of old",
        "of a thread": outer.execution_id,
        "outer": "",
    }


def test_tasks_inherit_the_parent_and_a_sibling_is_none(recorded: Recorded) -> None:
    @recorded.collector.execution("child")
    async def child(pause_sec: float) -> None:
        await asyncio.sleep(pause_sec)

    async def robot() -> str:
        async with recorded.collector.execution("parent") as run:
            await asyncio.gather(child(0.004), child(0.001))
            return run.execution_id

    parent = asyncio.run(robot())
    assert [run.parent_execution_id for run in recorded.executions] == [parent, parent, ""]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
def test_a_forked_childs_run_has_its_parents_run_as_parent_and_does_not_end_it(recorded: Recorded) -> None:
    with recorded.collector.execution("outer") as outer, outer.step("fork"):
        reading, writing = os.pipe()
        child = os.fork()
        if not child:
            try:
                told = []
                own = MetricsCollector(told.extend)
                with own.execution("inner"):
                    pass
                own.stop()
                [ended] = [row for row in told if row.kind == "execution"]
                os.write(writing, ended.parent_execution_id.encode())
            finally:
                os._exit(0)
        os.waitpid(child, 0)
        assert os.read(reading, 1000).decode() == outer.execution_id
        os.close(reading)
        os.close(writing)
    assert [run.status for run in recorded.executions] == ["completed"]


# --- retries ---------------------------------------------------------------------------------------


def test_a_step_counts_what_it_tries_again(recorded: Recorded) -> None:
    @step("post")
    def post() -> None:
        for _ in range(3):
            count_retry("whatever", "a library hands over")

    with recorded.collector.execution("w") as run:
        with run.step("fetch") as fetch:
            fetch.count_retry()
        post()
        post()
    count_retry()  # outside of every step: nothing
    assert [(found.step_id, found.retries) for found in recorded.steps] == [
        ("fetch", 1),
        ("post", 3),
        ("post", 3),
    ]


def test_tenacity_counts_its_retries_on_the_step(recorded: Recorded) -> None:
    tenacity = pytest.importorskip("tenacity")
    answers: list[Any] = [OSError("busy"), OSError("busy"), "done"]

    @step("post")
    @tenacity.retry(before_sleep=count_retry, wait=tenacity.wait_none(), stop=tenacity.stop_after_attempt(5))
    def post() -> str:
        answer = answers.pop(0)
        if isinstance(answer, OSError):
            raise answer
        return str(answer)

    with recorded.collector.execution("w") as run:
        assert post() == "done"
        for attempt in tenacity.Retrying(wait=tenacity.wait_none(), stop=tenacity.stop_after_attempt(3)):
            number = attempt.retry_state.attempt_number
            with attempt, run.step("send", attempt=number):
                if number < 2:
                    raise OSError("busy")
    found = [(s.step_id, s.attempt, s.retries, s.status) for s in recorded.steps]
    assert found == [("post", 1, 2, "completed"), ("send", 1, 0, "failed"), ("send", 2, 0, "completed")]


def test_a_decorated_function_that_fails_on_an_item_tries_it_again_as_the_next_attempt(
    recorded: Recorded,
) -> None:
    refusals = {"C-1": 2, "C-2": 0}

    @recorded.collector.execution("claims", transaction_id=lambda claim, **_: claim["id"])
    def work(claim: dict[str, str], *, loud: bool = False) -> None:
        if refusals[claim["id"]]:
            refusals[claim["id"]] -= 1
            raise OSError("busy")

    for name in ("C-1", "C-2", "C-1", "C-1", "C-1"):
        try:
            work({"id": name}, loud=True)
        except OSError:
            continue
    assert [(run.transaction_id, run.attempt, run.status) for run in recorded.executions] == [
        ("C-1", 1, "failed"),
        ("C-2", 1, "completed"),
        ("C-1", 2, "failed"),
        ("C-1", 3, "completed"),
        ("C-1", 1, "completed"),  # it was done: this is a new one
    ]


def test_a_transaction_id_that_cannot_be_told_leaves_the_robot_alone(
    recorded: Recorded, caplog: pytest.LogCaptureFixture
) -> None:
    @recorded.collector.execution("w", transaction_id=lambda claim: claim["id"])
    def work(claim: object) -> int:
        return 7

    assert work(None) == 7
    assert [run.transaction_id for run in recorded.executions] == [""]
    assert "a run has no transaction_id: TypeError" in caplog.text


def test_a_run_that_tries_another_again_is_its_next_attempt(recorded: Recorded) -> None:
    with recorded.collector.execution("w", transaction_id="t1", attempt=2) as first:
        first.fail("busy")
    with recorded.collector.execution("w", retry_of=first) as second:
        pass
    assert (second.attempt, second.transaction_id) == (3, "t1")
    assert [(run.attempt, run.transaction_id) for run in recorded.executions] == [(2, "t1"), (3, "t1")]


def test_only_so_many_failed_items_are_remembered() -> None:
    attempts = Attempts()
    for n in range(10_001):
        attempts.ended(n, 1, "failed")
    assert (attempts.next(0), attempts.next(1), attempts.next(10_000)) == (1, 2, 2)


# --- transactions ----------------------------------------------------------------------------------


def test_a_work_item_is_a_step_and_those_within_carry_it(recorded: Recorded) -> None:
    with recorded.collector.execution("w", queue="main") as run:
        with run.transaction("C-1", queue="claims"), run.step("read"):
            pass
        with run.transaction(4711):
            pass
        with run.step("after"):
            pass
    item = recorded.step("transaction of claims")
    assert (item.step_type, item.step_name, item.transaction_id, item.queue, item.attempt) == (
        "TRANSACTION",
        "claims",
        "C-1",
        "claims",
        1,
    )
    read, after = recorded.step("read"), recorded.step("after")
    assert (read.transaction_id, read.queue, read.parent_step_seq) == ("C-1", "claims", item.step_seq)
    assert (after.transaction_id, after.queue) == ("", "main")
    assert recorded.step("transaction of main").transaction_id == "4711"


def test_items_that_fail_say_whether_it_was_the_data_and_are_tried_again(recorded: Recorded) -> None:
    class Refused(Exception):  # noqa: N818  # of somebody else's library
        pass

    errors = {
        "C-1": [BusinessException("over the limit")],
        "C-2": [Refused("closed")],
        "C-3": [OSError("busy"), None],
    }
    with recorded.collector.execution("w", business_exceptions=(Refused,)) as run:
        for name in ("C-1", "C-2", "C-3", "C-3"):
            try:
                with run.transaction(name, queue="q"):
                    if (error := errors[name].pop(0)) is not None:
                        raise error
            except (BusinessException, Refused, OSError):
                continue
    assert [(s.transaction_id, s.attempt, s.status, s.exception_kind) for s in recorded.steps] == [
        ("C-1", 1, "failed", "business"),
        ("C-2", 1, "failed", "business"),
        ("C-3", 1, "failed", "application"),
        ("C-3", 2, "completed", ""),
    ]
    [ended] = recorded.executions
    assert (ended.status, ended.steps_total, ended.steps_failed) == ("completed", 4, 3)


def test_async_items_of_one_queue_do_not_mix(recorded: Recorded) -> None:
    async def work(run: Any, name: str) -> None:
        async with run.transaction(name, queue="q"):
            await asyncio.sleep(0.002)
            with step("inside"):
                await asyncio.sleep(0.001)

    async def robot() -> None:
        async with recorded.collector.execution("w") as run:
            await asyncio.gather(*(work(run, f"C-{n}") for n in range(5)))

    asyncio.run(robot())
    of_item = {s.step_seq: s.transaction_id for s in recorded.steps if s.step_type == "TRANSACTION"}
    inside = [s for s in recorded.steps if s.step_id == "inside"]
    assert len(inside) == 5
    assert all(of_item[s.parent_step_seq or 0] == s.transaction_id for s in inside)


# --- said, and timed elsewhere -----------------------------------------------------------------------


def test_a_robot_that_copes_itself_says_how_it_ended(recorded: Recorded) -> None:
    with recorded.collector.execution("w") as run:
        with run.step("a") as a:
            a.fail(OSError("busy"))
        with run.step("b") as b:
            b.fail("the page is empty", exception_kind="business")
        with run.step("c") as c:
            c.set_status("skipped", "nothing to do")
        with run.step("d") as d:
            d.fail()
        run.set_status("timed_out", "after an hour")
    assert [(s.status, s.exception_kind, s.message) for s in recorded.steps] == [
        ("failed", "application", "OSError: busy"),
        ("failed", "business", "the page is empty"),
        ("skipped", "", "nothing to do"),
        ("failed", "application", ""),
    ]
    [ended] = recorded.executions
    assert (ended.status, ended.message, ended.steps_failed) == ("timed_out", "after an hour", 3)


def test_what_is_raised_counts_for_more_than_what_was_said_unless_it_is_the_same(recorded: Recorded) -> None:
    def robot(says: BaseException, raises: BaseException) -> None:
        with recorded.collector.execution("w") as run:
            run.fail(says, exception_kind="business")
            raise raises

    error = ValueError("first")
    for says, raises in ((error, error), (error, OSError("second"))):
        with pytest.raises(type(raises)):
            robot(says, raises)
    assert [(run.exception_kind, run.message) for run in recorded.executions] == [
        ("business", "ValueError: first"),
        ("application", "OSError: second"),
    ]


def test_steps_that_were_timed_elsewhere_are_added_with_two_of_three_times(recorded: Recorded) -> None:
    second = timedelta(seconds=1)
    with recorded.collector.execution("w") as run, run.step("open"):
        run.add_step("a", started_at=NOON, ended_at=NOON + second)
        run.add_step("b", started_at=NOON, duration_ms=250)
        run.add_step("c", ended_at=NOON, duration_ms=250, error=OSError("busy"), attempt=2)
        whole = run.add_step("d", duration_ms=5, status="skipped", message="why", step_type="t")
        run.add_step("e", started_at=NOON, ended_at=NOON, parent=whole)
    times = {s.step_id: (s.started_at - NOON, s.ended_at - NOON, s.duration_ms) for s in recorded.steps}
    quarter = second / 4
    assert times["a"] == (timedelta(0), second, 1000)
    assert times["b"] == (timedelta(0), quarter, 250)
    assert times["c"] == (-quarter, timedelta(0), 250)
    c, d, e = (recorded.step(name) for name in "cde")
    assert (c.status, c.exception_kind, c.message, c.attempt, c.depth) == (
        "failed",
        "application",
        "OSError: busy",
        2,
        1,
    )
    assert (d.status, d.message, d.step_type, d.parent_step_seq) == ("skipped", "why", "t", 1)
    assert (e.parent_step_seq, e.depth) == (d.step_seq, 2)
    assert recorded.executions[0].steps_total == 6


def test_a_run_and_a_step_may_carry_times_of_elsewhere(recorded: Recorded) -> None:
    hour = timedelta(hours=1)
    with recorded.collector.execution("w", started_at=NOON) as run:
        with run.step("s") as one:
            one.set_times(started_at=NOON, duration_ms=1500)
        with run.step("began earlier") as earlier:
            earlier.set_times(ended_at=datetime.now(UTC) + hour)
        run.set_times(ended_at=NOON + hour)
    [ended] = recorded.executions
    assert (ended.started_at, ended.ended_at, ended.duration_ms) == (NOON, NOON + hour, 3_600_000)
    s = recorded.step("s")
    assert (s.started_at, s.ended_at) == (NOON, NOON + timedelta(milliseconds=1500))
    assert 3_500_000 < recorded.step("began earlier").duration_ms < 3_700_000


@pytest.mark.parametrize(
    "times",
    [
        {"started_at": NOON, "ended_at": NOON - timedelta(hours=1)},
        {"ended_at": NOON},
        {"started_at": "noon", "duration_ms": 1},
        {"duration_ms": float("nan")},
        {},
    ],
)
def test_times_that_cannot_be_are_kept_aside_with_the_reason(recorded: Recorded, times: Any) -> None:
    with recorded.collector.execution("w") as run:
        run.add_step("s", **times)
    assert recorded.steps == []
    assert len(recorded.refused) == 1
