"""What is logged inside a step becomes its message, and never anything else."""

import asyncio
import logging
import signal
import threading
import warnings
from collections.abc import Iterator
from typing import Any

import pytest

from collector_agent import StepLogHandler
from tests.collector_agent.recorded_rows import Recorded


@pytest.fixture
def recorded() -> Iterator[Recorded]:
    made = Recorded()
    yield made
    made.collector.stop()


@pytest.fixture
def log() -> Iterator[logging.Logger]:
    """A logger of the robot's, with the bridge on the root as users put it there."""
    bridge = StepLogHandler()
    logging.getLogger().addHandler(bridge)
    yield logging.getLogger("robot.of.ours")
    logging.getLogger().removeHandler(bridge)


def test_warnings_and_errors_of_a_step_are_its_message(recorded: Recorded, log: logging.Logger) -> None:
    log.warning("before every run")
    with recorded.collector.execution("w") as run:
        log.error("in a run and outside of its steps")
        with run.step("outer"):
            log.info("too quiet")
            log.warning("toner is low on %s", "LP-2")
            with run.step("inner"):
                log.error("page %d is empty", 3)
            log.warning("toner is low on %s", "LP-2")  # told once
    assert recorded.step("outer").message == "warning: toner is low on LP-2"
    assert recorded.step("inner").message == "error: page 3 is empty"
    assert recorded.step("inner").status == "completed"
    assert recorded.executions[0].message == ""


def test_a_failure_keeps_its_own_words_in_front(recorded: Recorded, log: logging.Logger) -> None:
    def robot() -> None:
        with recorded.collector.execution("w") as run:
            with run.step("says nothing") as step:
                log.warning("slow")
                log.error("the page is empty")
                step.fail()
            with run.step("raises"):
                log.warning("slow")
                try:
                    raise OSError("busy")
                except OSError:
                    log.exception("cannot go on")
                    raise

    with pytest.raises(OSError, match="busy"):
        robot()
    assert recorded.step("says nothing").message == "error: the page is empty\nwarning: slow"
    assert recorded.step("raises").message == (
        "OSError: busy\nerror: cannot go on (OSError: busy)\nwarning: slow"
    )
    assert recorded.executions[0].message == "OSError: busy"


def test_lines_are_masked_before_they_are_shortened_and_only_so_many_are_kept(
    recorded: Recorded, log: logging.Logger
) -> None:
    with recorded.collector.execution("w") as run, run.step("s"):
        log.warning("%s ada@example.org", "x" * 485)  # the address lies across the cut
        log.warning("password=%s", "hunter2")
        for n in range(20):
            log.warning("line %d", n)
    message = recorded.step("s").message
    assert "ada" not in message
    assert "hunter2" not in message
    assert message.count("\n") == 10
    assert message.endswith("line 7\n… and 12 more")
    assert len(message) < 2048


def test_our_own_log_lines_are_left_out(recorded: Recorded, log: logging.Logger) -> None:
    with recorded.collector.execution("w") as run:
        for n in range(65):
            run.set_attribute(f"k{n}", n)
        with run.step("s"):
            run.set_attribute("one too many", 1)
            logging.getLogger("rpa_agent").warning("ours")
            logging.getLogger("rpa_agent.part").warning("ours")
    assert recorded.step("s").message == ""


_looping = logging.Logger("robot")  # of nobody else: other handlers would go round in circles
_looping.addHandler(StepLogHandler())


class _LogsItself:
    def __str__(self) -> str:
        _looping.warning("%s", self)
        return "odd"


class _Mute:
    def __str__(self) -> str:
        raise RuntimeError("no text")


@pytest.mark.parametrize(
    ("text", "arguments", "message"),
    [
        ("%s", (_LogsItself(),), "warning: odd"),
        ("%s", (_Mute(),), "warning: %s"),
        ("%d", ("no number",), "warning: %d"),
        (_Mute(), (), "warning: <_Mute without text: RuntimeError>"),
        ("\0 \ud800", (), "warning: � �"),
        ("   ", (), "warning:"),
    ],
)
def test_odd_records_are_taken_as_far_as_they_go(
    recorded: Recorded, text: Any, arguments: Any, message: str
) -> None:
    bridge = StepLogHandler()
    with recorded.collector.execution("w") as run, run.step("s"):
        bridge.handle(logging.LogRecord("robot", logging.WARNING, "", 1, text, arguments, None))
    assert recorded.step("s").message == message


def test_the_robots_other_handlers_see_what_they_saw(recorded: Recorded, log: logging.Logger) -> None:
    seen: list[dict[str, Any]] = []

    class Other(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            seen.append(dict(record.__dict__))

    other = Other()
    logging.getLogger().addHandler(other)
    try:
        with recorded.collector.execution("w") as run, run.step("s"):
            log.warning("one %s", "argument")
    finally:
        logging.getLogger().removeHandler(other)
    plain = logging.LogRecord("n", 30, "p", 1, "m", (), None).__dict__
    assert seen[0].keys() <= plain.keys() | {"message", "taskName"}
    assert (seen[0]["msg"], seen[0]["args"]) == ("one %s", ("argument",))


def test_tasks_and_threads_log_into_their_own_steps(recorded: Recorded, log: logging.Logger) -> None:
    async def work(run: Any, name: str) -> None:
        async with run.step(name):
            await asyncio.sleep(0.002)
            log.warning("of %s", name)
            await asyncio.to_thread(log.warning, "thread of %s", name)

    async def robot() -> None:
        async with recorded.collector.execution("w") as run:
            await asyncio.gather(work(run, "a"), work(run, "b"))
            with run.step("main"):
                stranger = threading.Thread(target=log.warning, args=("of nobody",))
                stranger.start()
                stranger.join()

    asyncio.run(robot())
    assert recorded.step("a").message == "warning: of a\nwarning: thread of a"
    assert recorded.step("b").message == "warning: of b\nwarning: thread of b"
    assert recorded.step("main").message == ""


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="this system has no such signals")
def test_a_signal_handler_and_a_destructor_may_log_while_the_lock_of_the_bridge_is_held(
    recorded: Recorded,
) -> None:
    bridge = StepLogHandler()
    log = logging.Logger("robot")  # of nobody else
    log.addHandler(bridge)
    came = threading.Event()

    class Dies:
        def __del__(self) -> None:
            log.warning("gone")

    def handler(*_: object) -> None:
        log.warning("signalled")
        came.set()

    before = signal.signal(signal.SIGUSR1, handler)
    held = threading.Event()
    done = threading.Event()

    def hold() -> None:
        with bridge.lock:  # type: ignore[union-attr]  # it has one, and does not use it
            held.set()
            done.wait(10)

    holder = threading.Thread(target=hold)
    holder.start()
    held.wait(10)
    try:
        with recorded.collector.execution("w") as run, run.step("s"):
            signal.raise_signal(signal.SIGUSR1)
            dies = Dies()
            del dies
    finally:
        done.set()
        holder.join()
        signal.signal(signal.SIGUSR1, before)
    assert came.is_set()
    assert recorded.step("s").message == "warning: signalled\nwarning: gone"


def test_a_filter_and_a_level_of_the_bridge_hold(recorded: Recorded) -> None:
    bridge = StepLogHandler("ERROR")
    bridge.addFilter(lambda record: "quiet" not in record.getMessage())
    log = logging.Logger("robot")  # of nobody else
    log.addHandler(bridge)
    with recorded.collector.execution("w") as run, run.step("s"):
        log.warning("below its level")
        log.error("quiet")
        log.error("loud")
    assert recorded.step("s").message == "error: loud"


def test_warnings_of_python_arrive_by_captured_warnings(recorded: Recorded, log: logging.Logger) -> None:
    try:
        with recorded.collector.execution("w") as run, run.step("s"), warnings.catch_warnings():
            warnings.simplefilter("always")
            logging.captureWarnings(True)
            warnings.warn("old format", UserWarning, stacklevel=1)
    finally:
        logging.captureWarnings(False)
    assert "UserWarning: old format" in recorded.step("s").message
