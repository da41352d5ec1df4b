"""The main job from end to end: real robots run and report, Airflow finds what is wrong and mails a report.

    make demo            (or: python examples/demo.py [--output FOLDER] [--runs 6] [--days 60])

Real: the robots of invoices/ under Robot Framework with the listener, the execution loop, resource samples,
the store, all six DAGs in Airflow, HTML, PDF, and mail through a server of the demo's own. Simulated, and
marked so wherever it shows: the fleet that gives them a history, in which three troubles are planted. Every
run begins with a fresh store and a fresh Airflow of its own.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final, Self
from zoneinfo import ZoneInfo

from post_office import PostOffice
from simulated_fleet import PlantedTrouble, planted_troubles, write_fleet

from analytics_lib import TimeSeriesStore
from analytics_lib.cli import dags_folder
from analytics_lib.errors import RpaAnalyticsError
from analytics_lib.store import open_store
from analytics_lib.store.engine import connect_to_read
from analytics_lib.store.insight_rows import read_insights

EXAMPLES: Final = Path(__file__).parent
LISTENER: Final = "collector_agent.hooks.robot_framework.Listener"
TIME_ZONE: Final = "Europe/Berlin"  # where the simulated company works
MARKER: Final = "made-by-make-demo"
ROBOT_ERROR: Final = 250  # below, the exit code is the number of failed tasks
KEEP_RAW_DAYS: Final = 45  # so that the history has something old enough for the archive
RULES: Final = {"slower": "slower_than_normal", "failing": "failure_spike", "silent": "silent_workflow"}


class DemoError(RpaAnalyticsError):
    """A part of the demo did not do what it should; the message names the log."""


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--output", type=Path, default=Path("demo-output"), metavar="FOLDER")
    parser.add_argument("--runs", type=_at_least_one, default=6, help="how often the robots run")
    parser.add_argument("--days", type=_at_least_one, default=60, help="days of simulated history")
    arguments = parser.parse_args()
    try:
        output = _fresh(arguments.output.absolute())
        with PostOffice(output / "mail") as post_office:
            environment = _environment(output, post_office.port)
            # It takes seconds to start, so it starts now.
            with Airflow(output / "airflow.log", environment) as airflow:
                _run_robots(output, environment, arguments.runs)
                _run_loop(output, environment)
                end = _add_history(output, arguments.days)
                report = _run_dags(airflow)
        mails = post_office.received
    except RpaAnalyticsError as error:
        print(f"demo: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print("demo: stopped", file=sys.stderr)
        return 130
    print(f"\nDone in {time.monotonic() - _BEGAN_S:.0f} s. What the report says:\n")
    for line in report["summary"]:
        print(f"  {line}")
    print("\nThree troubles were planted in the simulated fleet. What the pipeline found of them:\n")
    for line in _account(planted_troubles(end), _insights(output)):
        print(f"  {line}")
    print(f"\nHTML  {report['html']}\nPDF   {report['pdf']}")
    for mail in mails:
        print(f"Mail  {mail}")
    print(f"\nAll findings: .venv/bin/rpa-analytics insights list --store {output / 'store'}")
    return 0


def _insights(output: Path) -> list[dict[str, Any]]:
    """What lasts, the most important first."""
    with open_store(output / "store") as store, connect_to_read(store.engine) as connection:
        rows = read_insights(connection, resolved=False).to_dict("records")
    return [{str(name): value for name, value in row.items()} for row in rows]


def _account(troubles: list[PlantedTrouble], insights: list[dict[str, Any]]) -> Iterator[str]:
    """A line for each: what was found, or plainly that it was not."""
    for trouble in troubles:
        mine = [row for row in insights if row["workflow_id"] == trouble.workflow_id]
        found = next((row for row in mine if row["rule"] == RULES[trouble.kind]), None)
        what = f"{found['title']} (severity {found['severity']})" if found else "NOT FOUND"
        yield f"{trouble.workflow_id}, planted as {trouble.kind}: {what}"


def _at_least_one(text: str) -> int:
    if not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number from 1 on")
    return int(text)


def _fresh(output: Path) -> Path:
    """The folder, empty. One that an earlier demo did not make is left alone."""
    marker = output / MARKER
    if output.exists() and not marker.exists() and (not output.is_dir() or any(output.iterdir())):
        raise DemoError(f"{output} holds something that no demo made: name another folder with --output")
    try:
        if output.is_dir():
            shutil.rmtree(output)
        output.mkdir(parents=True)
        marker.touch()
    except OSError as error:
        raise DemoError(f"{output} cannot be made ({error.strerror}): name another with --output") from None
    return output


def _environment(output: Path, smtp_port: int) -> dict[str, str]:
    """Nothing of this machine's own agent, store or Airflow is used, and nothing is left in it."""
    own = ("RPA_", "AIRFLOW", "ROBOT_OPTIONS")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(own)}
    store = str(output / "store")
    return kept | {
        "RPA_AGENT_CONFIG": str(_agent_file(output, store)),
        "RPA_AGENT_STATE": str(output / "agent-state"),
        "RPA_ANALYTICS_STORE": store,
        "RPA_ANALYTICS_CONFIG": str(_delivery_file(output, smtp_port)),
        "RPA_ANALYTICS_REPORTS": str(output / "reports"),
        "RPA_ANALYTICS_TIME_ZONE": TIME_ZONE,
        "AIRFLOW_HOME": str(output / "airflow"),
        "AIRFLOW__CORE__DAGS_FOLDER": str(dags_folder()),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "PYTHONUNBUFFERED": "1",
    }


def _agent_file(output: Path, store: str) -> Path:
    file = output / "agent.toml"
    file.write_text(
        f'store = {json.dumps(store)}\nenvironment = "demo"\nrobot_id = "demo-robot"\n'
        "sample_interval_sec = 0.5\n",
        encoding="utf-8",
    )
    return file


def _delivery_file(output: Path, smtp_port: int) -> Path:
    """A weekly report that is due today, and mails about what is severe."""
    weekday = datetime.now(ZoneInfo(TIME_ZONE)).strftime("%A").lower()
    file = output / "delivery.toml"
    file.write_text(
        f"""[delivery]
sender = "RPA Analytics <robots@example.com>"
time_zone = "{TIME_ZONE}"
at = "00:00"
insight_mail_severity = 70

[[delivery.recipients]]
name = "Finance"
addresses = ["ann@example.com"]
weekday = "{weekday}"

[delivery.smtp]
host = "127.0.0.1"
port = {smtp_port}
security = "none"
""",
        encoding="utf-8",
    )
    return file


def _run_robots(output: Path, environment: dict[str, str], runs: int) -> None:
    _say(f"Robot Framework: {runs} runs of examples/invoices, recorded by the listener")
    for run in range(1, runs + 1):
        folder = output / "robots" / f"run-{run}"
        folder.mkdir(parents=True)
        command = [sys.executable, "-m", "robot", "--rpa", "--listener", LISTENER]
        command += ["--variable", f"RUN:{run}", "--outputdir", str(folder), str(EXAMPLES / "invoices")]
        code = _logged(command, environment, folder / "console.log")
        if code >= ROBOT_ERROR:
            raise DemoError(f"the robots could not run (exit code {code}): see {folder / 'console.log'}")
        failed = f"{code} failed, as planned" if code else "all completed"
        _say(f"run {run}: {failed}", part=True)


def _run_loop(output: Path, environment: dict[str, str]) -> None:
    _say("A Python execution loop that reports itself: examples/execution_loop.py")
    log = output / "execution-loop.log"
    command = [sys.executable, str(EXAMPLES / "execution_loop.py"), "--store", str(output / "store")]
    if code := _logged(command, environment, log):
        raise DemoError(f"the execution loop ended with exit code {code}: see {log}")


def _add_history(output: Path, days: int) -> datetime:
    """The end of it."""
    end = datetime.now(UTC)
    _say(f"A history: {days} days of a simulated fleet, marked as simulated")
    with TimeSeriesStore(output / "store") as store:
        written = write_fleet(store, end=end, days=days)
    rows = ", ".join(f"{written[kind]:,} {kind}s" for kind in ("execution", "step"))
    _say(f"{rows}, {written['resource']:,} resource samples", part=True)
    return end


class Airflow:
    """A process that runs DAGs when it is told to (airflow_runs.py); it ends with the demo in any case."""

    def __init__(self, log: Path, environment: dict[str, str]) -> None:
        self._log = log
        self._process = subprocess.Popen(
            [sys.executable, str(EXAMPLES / "airflow_runs.py"), str(log)],
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.communicate()

    def run(self, dag_id: str, **params: Any) -> dict[str, Any]:
        """What each task returned, by task. Raises DemoError unless the run succeeded."""
        answer = self._ask({"dag_id": dag_id, "params": params})
        if not answer:
            raise DemoError(f"Airflow ended before {dag_id} did: see {self._log}")
        done = json.loads(answer)
        if done["state"] != "success":
            raise DemoError(f"{dag_id} ended as {done['state']}: see {self._log}")
        _say(f"{dag_id}: success after {done['seconds']} s{_numbers(done['returned'])}", part=True)
        returned: dict[str, Any] = done["returned"]
        return returned

    def _ask(self, run: dict[str, Any]) -> bytes:
        asked, answers = self._process.stdin, self._process.stdout
        if asked is None or answers is None:
            return b""  # they are pipes; type checkers cannot know
        try:
            asked.write(json.dumps(run).encode() + b"\n")
            asked.flush()
        except BrokenPipeError:
            return b""
        return answers.readline()


def _run_dags(airflow: Airflow) -> dict[str, Any]:
    """What the report's task returned."""
    _say("Airflow: the DAGs, through Airflow itself")
    # The hour that the robots ran in is still open: an as_of after it lets the report show them.
    as_of = (datetime.now(UTC) + timedelta(hours=1)).isoformat(timespec="seconds")
    airflow.run("hourly_aggregation", as_of=as_of)
    airflow.run("baseline_recomputation")
    airflow.run("anomaly_detection")
    airflow.run("insight_generation", send=True)
    report: dict[str, Any] = airflow.run("report_rendering", send=True)["render"]
    airflow.run("archive_retention", keep_raw_days=KEEP_RAW_DAYS, dry_run=False)
    return report


def _numbers(returned: dict[str, Any]) -> str:
    """What the tasks say they did, as far as it is not nothing."""
    results = [result for result in returned.values() if isinstance(result, dict)]  # a plan is a list
    done = {name: n for result in results for name, n in result.items()}
    told = [f"{name} {n:,}" for name, n in done.items() if type(n) is int and n]
    return f": {', '.join(told)}" if told else ""


def _logged(command: list[str], environment: dict[str, str], log: Path) -> int:
    with log.open("wb") as file:
        done = subprocess.run(
            command,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=subprocess.STDOUT,
            check=False,
        )
    return done.returncode


_BEGAN_S: Final = time.monotonic()


def _say(line: str, *, part: bool = False) -> None:
    head = " " * 8 if part else f"[{time.monotonic() - _BEGAN_S:3.0f} s] "
    print(head + line, flush=True)


if __name__ == "__main__":
    sys.exit(main())
