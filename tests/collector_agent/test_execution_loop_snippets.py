"""The few lines that switch recording on, as the README shows them, run as they stand."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.collector_agent.recorded_rows import Recorded

SYNC = """
with collector.execution("invoice-intake") as run:  # or as a decorator: each call is a run
    with run.transaction("4711", queue="invoices"), run.step("open mailbox"):
        ...  # an exception marks step and run failed and goes on untouched
"""
ASYNC = """
@collector.execution("invoice-intake", transaction_id=lambda invoice: invoice.id)
async def work(invoice):
    async with step("fetch"):
        ...  # collector_agent.step: of the run that is open in this task
"""
ATTACH = """
with collector.attach(loop):  # any loop with add_listener(listener): collector_agent.hooks.attached_loop
    loop.run()  # it calls listener.execution_started(run, workflow_id), step_started(…) …
"""
LOGGING = """
import logging
from collector_agent import StepLogHandler

logging.getLogger().addHandler(StepLogHandler())  # warnings and errors inside a step: its message
"""


@pytest.fixture
def recorded() -> Iterator[Recorded]:
    made = Recorded()
    yield made
    made.collector.stop()


def run(snippet: str, recorded: Recorded, **names: Any) -> dict[str, Any]:
    given = {"collector": recorded.collector, **names}
    exec(compile(snippet, "snippet", "exec"), given)  # noqa: S102  # our own text
    return given


def test_the_lines_for_a_loop_record_a_run_an_item_and_a_step(recorded: Recorded) -> None:
    run(SYNC, recorded)
    assert [ended.status for ended in recorded.executions] == ["completed"]
    assert [found.step_id for found in recorded.steps] == ["transaction of invoices", "open mailbox"]
    assert {found.transaction_id for found in recorded.steps} == {"4711"}


def test_the_lines_for_asyncio_record_a_run_for_each_call(recorded: Recorded) -> None:
    import asyncio

    from collector_agent import step

    work = run(ASYNC, recorded, step=step)["work"]
    invoice = type("Invoice", (), {"id": 4711})()

    async def both() -> None:
        await asyncio.gather(work(invoice), work(invoice))

    asyncio.run(both())
    assert [(ended.transaction_id, ended.steps_total) for ended in recorded.executions] == [("4711", 1)] * 2


def test_the_lines_for_a_loop_with_callbacks_follow_it(recorded: Recorded) -> None:
    class Loop:
        def add_listener(self, listener: Any) -> None:
            self.listener = listener

        def run(self) -> None:
            self.listener.execution_started(1, "w")
            self.listener.execution_ended(1)

    run(ATTACH, recorded, loop=Loop())
    assert [ended.status for ended in recorded.executions] == ["completed"]


def test_the_lines_for_logging_make_warnings_messages(recorded: Recorded) -> None:
    import logging

    before = list(logging.getLogger().handlers)
    try:
        run(LOGGING, recorded)
        with recorded.collector.execution("w") as open_run, open_run.step("s"):
            logging.getLogger("robot").warning("slow")
    finally:
        logging.getLogger().handlers[:] = before
    assert recorded.step("s").message == "warning: slow"


@pytest.mark.parametrize("snippet", [SYNC, ASYNC, ATTACH, LOGGING])
def test_what_the_readme_shows_of_it_is_what_is_run_here(snippet: str) -> None:
    readme = (Path(__file__).parents[2] / "README.md").read_text("utf-8")
    shown = re.findall(r"```python\n(.*?)```", readme, re.DOTALL)
    if not any("collector.attach" in block for block in shown):
        pytest.skip("the README does not show these lines yet")
    assert any(snippet.strip() in block for block in shown)
