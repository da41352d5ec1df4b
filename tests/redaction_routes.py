"""Every way by which text comes into the agent, each with a secret in every place that text can have.

What is written goes below the folder `place`: store, spool, state, log, standard output and error. What the
secrets come from (robots, logs, tables) lies below `source`.
"""

import asyncio
import contextlib
import io
import json
import logging
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from analytics_lib.store import TimeSeriesStore
from collector_agent import BusinessException, MetricsCollector, ResourceCollector
from collector_agent.cli import main
from collector_agent.hooks.logging_bridge import StepLogHandler
from collector_agent.importers.uipath_follow import UiPathFollower
from collector_agent.machine.problems import report_problem
from collector_agent.redaction.policy import Redaction
from tests.collector_agent.robots import LISTENER, run_robot
from tests.collector_agent.uipath_robot import Robot, guid
from tests.redaction_canary import Secret

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)


@dataclass(frozen=True)
class Ways:
    """Where to write, where to take from, and what to plant."""

    place: Path
    source: Path
    secrets: list[Secret]

    @property
    def texts(self) -> list[str]:
        return [secret.text for secret in self.secrets]

    def redaction(self) -> Redaction:
        return Redaction(attributes=["*"], pseudonyms=["robot_id"])  # the allow-list must not be what helps

    def command(self, *arguments: object) -> None:
        """Runs `rpa-agent`; what it says is kept to be looked through."""
        said = io.StringIO()
        with (
            contextlib.redirect_stdout(said),
            contextlib.redirect_stderr(said),
            contextlib.suppress(SystemExit),
        ):
            main([str(argument) for argument in arguments])
        with (self.place / "said.txt").open("a", encoding="utf-8") as file:
            file.write(said.getvalue())


def record(ways: Ways, collector: MetricsCollector) -> None:
    """By `record_*`, in every field; what is not valid as well."""
    end: Any
    for number, text in enumerate(ways.texts):
        run = f"run {number} {text}"
        collector.record_execution_start(
            run, f"flow {text}", queue=f"q {text}", robot_id=f"r {text}", suite=f"s {text}",
            workflow_version=f"v {text}", parent_execution_id=f"parent {text}",
        )  # fmt: skip
        step: Any = {"status": "failed", "duration_ms": 1.0}
        collector.record_step(run, f"step {text}", **step)
        collector.record_step(
            run, f"step {text}", **step, message=f"it failed: {text}!", step_name=f"n {text}",
            step_type=f"t {text}", transaction_id=f"item {text}",
        )  # fmt: skip
        collector.record_step(run, "s", status=f"broken {text}", duration_ms=1.0)
        collector.record_step(run, f"s {text}", status="failed", duration_ms=-1.0, message=text)
        collector.record_step(f"nobody knows {text}", "s", **step, message=text)
        odd: Any = {"password_hint": text, "note": text, "nested": {"list": [text]}}
        collector.record_step(run, "s", **step, **odd)
        end = {"status": "failed", "message": ValueError(f"bad {text}"), "transaction_id": f"item {text}"}
        attributes = {"note": f"about {text}", f"about {text}": "x", "db_password": text}
        collector.record_execution_complete(run, **end, attributes=attributes)
        collector.record_execution_complete(f"odd {number}", workflow_id="w", **end, attributes={"n": [text]})


def in_memory(ways: Ways) -> None:
    with (
        TimeSeriesStore(ways.place / "memory") as store,
        MetricsCollector(store.write_metrics, redaction=ways.redaction()) as collector,
    ):
        record(ways, collector)
        with ResourceCollector(
            store.write_metrics, 60, sample_host=False, redaction=ways.redaction()
        ) as samples:
            for text in ways.texts[:10]:
                samples.set_context(f"flow {text}", f"run {text}")
                samples.sample_once()
        collector.flush()
        _keep_wal(ways, "memory")


def durably(ways: Ways) -> None:
    """Once with a store that takes it, once with nobody who ships."""
    with (
        TimeSeriesStore(ways.place / "durable") as store,
        MetricsCollector(
            store.write_metrics, spool_folder=ways.place / "spool 1", redaction=ways.redaction()
        ) as collector,
    ):
        record(ways, collector)
        collector.flush()
        _keep_wal(ways, "durable")
    with MetricsCollector(spool_folder=ways.place / "spool 2", redaction=ways.redaction()) as collector:
        record(ways, collector)


def refused_by_the_store(ways: Ways) -> None:
    """The errors of a store, which repeat what they were given."""

    for text in ways.texts:
        waiting = [OSError(f"not taken: {text}")]

        def take(records: object, waiting: list[OSError] = waiting) -> None:
            if waiting:
                raise waiting.pop()

        collector = MetricsCollector(take, redaction=ways.redaction())
        collector.record_execution_start("e", "w")
        collector.flush()
        _write_down(ways, collector.counters.last_error)
        collector.stop()


def execution_loop(ways: Ways) -> None:
    log = logging.getLogger("robot of the canary")
    handler = StepLogHandler()
    log.addHandler(handler)
    with (
        TimeSeriesStore(ways.place / "loop") as store,
        MetricsCollector(store.write_metrics, redaction=ways.redaction()) as collector,
    ):
        for text in ways.texts:
            with contextlib.suppress(ValueError), collector.execution(f"flow {text}", queue=text) as run:
                run.set_attribute("note", text)
                run.set_attribute(f"about {text}", "x")
                with contextlib.suppress(BusinessException), run.step(f"step {text}", step_name=text):
                    log.warning("careful: %s", text)
                    raise BusinessException(f"no account for {text}")
                with run.transaction(text, queue=text) as item:
                    item.fail(f"item: {text}")
                raise ValueError(f"broken: {text}")

            async def wait(text: str = text) -> None:
                raise LookupError(f"in vain: {text}")

            with contextlib.suppress(LookupError):
                asyncio.run(collector.execution(f"async {text}")(wait)())
    log.removeHandler(handler)


def log_and_problems(ways: Ways) -> None:
    """What the agent itself says, in its log and in its problem files."""
    log = logging.getLogger("rpa_agent")
    for number, text in enumerate(ways.texts):
        log.warning("it does not work: %s", text)
        log.warning(f"it does not work: {text}")
        report_problem(f"canary-{number}", f"it does not work: {text}")


def robot_framework(ways: Ways) -> None:
    """A real robot, recorded by the listener, then imported from both formats of its output."""
    source = ways.source / "robot"
    source.mkdir(parents=True)
    lines = [
        "*** Settings ***",
        "Library    Secrets.py",
        *(f"Metadata    About{n}    {_cell(t)}" for n, t in enumerate(ways.texts[:5])),
    ]
    lines += ["*** Tasks ***"]
    for number, text in enumerate(ways.texts):
        cell = _cell(text)
        lines += [
            f"Task {number} {cell}",
            f"    [Tags]    note:{cell}    {cell}",
            f"    Log In    {cell}    password={cell}",
            f"    Run Keyword And Ignore Error    Log In As {cell}    x",
            f"    FOR    ${{x}}    IN    {cell}",
            "        Log    ${x}",
            "    END",
            f"    Fail    it failed: {cell}",
        ]
    lines += [
        "*** Keywords ***",
        "Log In As ${name}",
        "    [Arguments]    ${other}",
        "    Fail    not ${name}",
    ]
    (source / "robot.robot").write_text("\n".join(lines), encoding="utf-8")
    (source / "Secrets.py").write_text("def log_in(*a, **k):\n    print(a, k)\n", encoding="utf-8")
    ran = run_robot(
        "--listener", LISTENER, source / "robot.robot", output_folder=source / "out",
        RPA_AGENT_STORE=str(ways.place / "listener"), RPA_AGENT_ATTRIBUTES="*",
        RPA_AGENT_STATE=str(ways.place / "state"), RPA_AGENT_SPOOL_FOLDER=str(ways.place / "spool 3"),
    )  # fmt: skip
    assert (source / "out" / "output.xml").exists(), ran.stderr
    ways.command("import", "robot-output", source / "out" / "output.xml", "--store", ways.place / "imported")
    ways.command("preview", "robot-output", source / "out" / "output.xml", "--rows", "0")


def _cell(text: str) -> str:
    """As a robot's file can hold it: two blanks part cells, and = and : mean something in places."""
    return text.replace("=", "\\=").replace("  ", " ")


def uipath(ways: Ways) -> None:
    folder = ways.source / "uipath"
    folder.mkdir(parents=True)
    robot = Robot(moment=NOON)
    lines = []
    for number, text in enumerate(ways.texts):
        robot.process = f"Process {text}"
        more = {"robotName": f"robot {text}", "machineName": f"vm {text}", "windowsIdentity": f"CORP\\{text}"}
        robot.job = guid(number) if number % 2 else f"job {text}"
        event = {"jobId": robot.job, **more}
        item = {"queueName": f"q {text}", "transactionID": f"id {text}"}
        lines += [
            robot.line(f"{robot.process} execution started", **event),
            robot.line(f"user says {text}", "Information", "User", **event),
            robot.activity(f"Click {text}", "Executing"),
            robot.activity(f"Click {text}", "Faulted"),
            robot.activity("Click", f"odd {text}"),
            robot.line("t", transactionState="Started", **item, **event),
            robot.line(
                "t", transactionState="Ended", **item,
                transactionStatus="Failed", processingExceptionType="Application",
                processingExceptionReason=f"because {text}", **event,
            ),
            robot.line(f"broken: {text}", "Error", **event),
            f"no event: {text}",
            '{"message": "half ' + text,
        ]  # fmt: skip
        if number % 3:
            lines.append(robot.line("ended", totalExecutionTimeInSeconds=3, **event))
    (folder / "2026-03-02_Execution.log").write_text("\n".join(lines) + "\n", encoding="utf-8")
    ways.command("import", "uipath-log", folder, "--store", ways.place / "uipath")
    with TimeSeriesStore(ways.place / "followed") as store:
        follower = UiPathFollower(folder, ways.place / "state" / "uipath.json", store.write_values)
        _write_down(ways, follower.poll().error, *follower.skips.told())


def orchestrator(ways: Ways) -> None:
    folder = ways.source / "orchestrator"
    folder.mkdir(parents=True)
    jobs, items = [], []
    noon = NOON.isoformat()
    for number, text in enumerate(ways.texts):
        jobs.append(
            {
                "Key": f"key {text}", "ReleaseName": f"p {text}", "State": "Faulted", "StartTime": noon,
                "EndTime": noon, "Info": f"because {text}", "HostMachineName": f"vm {text}",
                "Robot": {"Name": f"r {text}"},
            }
        )  # fmt: skip
        jobs.append({**jobs[-1], "Key": guid(number), "State": f"odd {text}"})
        jobs.append({**jobs[-1], "State": "Faulted", "StartTime": f"when {text}"})
        items.append(
            {
                "Key": guid(number), "QueueName": f"q {text}", "Status": "Failed", "StartProcessing": noon,
                "EndProcessing": noon, "ProcessingExceptionReason": f"because {text}",
                "SpecificContent": text, "Reference": text, "RobotName": f"r {text}",
            }
        )  # fmt: skip
    (folder / "jobs.json").write_text(json.dumps({"value": jobs}), encoding="utf-8")
    (folder / "items.csv").write_text(_csv(items), encoding="utf-8")
    (folder / "headless.csv").write_text(",".join(ways.texts) + "\n1,2\n", encoding="utf-8")
    ways.command("import", "orchestrator", *sorted(folder.iterdir()), "--store", ways.place / "orchestrator")


def mapped(ways: Ways) -> None:
    folder = ways.source / "mapped"
    folder.mkdir(parents=True)
    (folder / "mapping.toml").write_text(
        '[fields]\nworkflow_id = "P"\nstatus = "S"\nstarted_at = "B"\nended_at = "E"\nmessage = "M"\n'
        'execution_id = "I"\nrobot_id = "R"\nhost = "H"\nqueue = "Q"\ntransaction_id = "T"\n'
        '[attributes]\nnote = "N"\nuser = "U"\n',
        encoding="utf-8",
    )
    rows, noon = [], NOON.isoformat()
    for text in ways.texts:
        row = {
            "P": f"p {text}", "S": "failed", "B": noon, "E": noon, "M": f"because {text}",
            "I": f"id {text}", "R": f"r {text}", "H": f"h {text}", "Q": f"q {text}", "T": f"t {text}",
            "N": f"n {text}", "U": f"u {text}", "password": text,
        }  # fmt: skip
        rows += [row, {**row, "S": f"odd {text}"}, {**row, "B": f"when {text}"}]
    (folder / "rows.csv").write_text(_csv(rows), encoding="utf-8")
    (folder / "rows.jsonl").write_text("\n".join(json.dumps(row) for row in rows), encoding="utf-8")
    for file in ("rows.csv", "rows.jsonl"):
        where = ("--mapping", folder / "mapping.toml", "--store", ways.place / f"mapped {file}")
        ways.command("import", "mapped", folder / file, *where)
    ways.command("preview", "mapped", folder / "rows.csv", "--mapping", folder / "mapping.toml", "--json")


def _csv(rows: list[dict[str, str]]) -> str:
    import csv

    written = io.StringIO()
    writer = csv.DictWriter(written, list(rows[0]))
    writer.writeheader()
    writer.writerows(rows)
    return written.getvalue()


def refused_rows_of_the_spool(ways: Ways) -> None:
    """Rows that the store refuses one by one, and bytes that nobody can read, go to the local quarantine."""
    from collector_agent.forwarder import Forwarder

    spool = ways.place / "spool 4"
    with MetricsCollector(spool_folder=spool, redaction=ways.redaction()) as collector:
        record(Ways(ways.place, ways.source, ways.secrets[:23]), collector)

    def refuse(rows: Any) -> None:
        if rows:
            raise ValueError(f"no good: {rows[0]}")

    forwarder = Forwarder(spool, refuse)
    forwarder.look()
    forwarder.start()
    forwarder.stop(5)
    ways.command("quarantine", "list", "--json")


def _keep_wal(ways: Ways, store: str) -> None:
    """SQLite removes it when the store is closed."""
    [wal] = (ways.place / store).glob("*-wal")
    assert wal.stat().st_size
    shutil.copy(wal, ways.place / f"{store}.wal")


def _write_down(ways: Ways, *lines: str) -> None:
    with (ways.place / "said.txt").open("a", encoding="utf-8") as file:
        file.write("\n".join(lines) + "\n")


ROUTES: dict[str, Callable[[Ways], None]] = {
    route.__name__: route
    for route in (
        *(
            in_memory,
            durably,
            refused_by_the_store,
            execution_loop,
            log_and_problems,
            robot_framework,
            uipath,
        ),
        *(orchestrator, mapped, refused_rows_of_the_spool),
    )
}


@contextlib.contextmanager
def logged_to(place: Path) -> Iterator[None]:
    """Everything that any logger says goes to a file in the place, too."""
    handler = logging.FileHandler(place / "log.txt", encoding="utf-8")
    names = ("rpa_agent", "rpa_analytics")
    for name in names:
        logging.getLogger(name).addHandler(handler)
    try:
        yield
    finally:
        for name in names:
            logging.getLogger(name).removeHandler(handler)
        handler.close()
