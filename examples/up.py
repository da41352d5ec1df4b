"""The living system on this machine: Airflow with all DAGs, the agent, robots at work. Ctrl-C ends it all.

    make up          (or: python examples/up.py [--output living-output] [--port 8080] [--days 60])

Real: Airflow with its scheduler, the agent's daemon, the robots of invoices/ every two minutes, the
execution loop every five. Simulated, and marked so wherever it shows: the fleet, which has a history from the
first start on and works on from then. The folder keeps everything; the next start goes on with it.
"""

import argparse
import fcntl
import json
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from demo import TIME_ZONE
from living_airflow import USER, AirflowError, LivingAirflow, airflow_settings, free_port, password_file
from living_fleet import LivingFleet
from living_robots import Every, Robots
from processes import Processes, end, marked

from analytics_lib.errors import RpaAnalyticsError

MARKER: Final = "made-by-make-up"
USUAL_PORT: Final = 8080
ROBOTS_EVERY_S: Final = 120
LOOP_EVERY_S: Final = 300
FLEET_EVERY_S: Final = 300
LOOK_EVERY_S: Final = 0.5
ASK_EVERY_S: Final = 2.0
ENDING: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
AGENT: Final = ["-m", "collector_agent.cli", "run"]


class UpError(RpaAnalyticsError):
    """The living system cannot start like this; the message says what to do."""


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--output", type=Path, default=Path("living-output"), metavar="FOLDER")
    parser.add_argument(
        "--port",
        type=_between(1, 65_535),
        help=f"Airflow's (default: {USUAL_PORT}, or a free one where that is taken)",
    )
    parser.add_argument(
        "--days", type=_between(1, 730), default=60, help="days of simulated history, at the first start"
    )
    arguments = parser.parse_args()
    for number in ENDING:
        signal.signal(number, signal.default_int_handler)  # whoever ends it, it ends the same way
    os.umask(0o077)  # the folder holds a password, and what robots write
    try:
        output = _folder(arguments.output.absolute())
        with _alone(output):
            _end_what_was_left(output)  # it may hold the port
            _live(output, _port(arguments.port), arguments.days)
    except RpaAnalyticsError as error:
        print(f"up: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        pass  # that is how it ends
    return 0


def _between(low: int, high: int) -> Callable[[str], int]:
    def number(text: str) -> int:
        if not text.isdigit() or not low <= int(text) <= high:
            raise argparse.ArgumentTypeError(f"{text!r} is no whole number from {low} to {high}")
        return int(text)

    return number


def _folder(output: Path) -> Path:
    """The folder of this or an earlier start. One with something else in it is left alone."""
    if not (output / MARKER).exists() and output.exists() and (not output.is_dir() or any(output.iterdir())):
        raise UpError(f"{output} holds something that `make up` did not make: name another with --output")
    try:
        output.mkdir(parents=True, exist_ok=True, mode=0o700)
        (output / MARKER).touch()
    except OSError as error:
        raise UpError(f"{output} cannot be used ({error.strerror}): name another with --output") from None
    return output


@contextmanager
def _alone(output: Path) -> Iterator[None]:
    """Holds the folder's lock, which the system lets go with the process, however that ends."""
    with (output / MARKER).open("r+", encoding="utf-8") as marker:
        try:
            fcntl.flock(marker, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            running = marker.read().strip()
            raise UpError(f"it is running already in {output} ({running}): end that one first") from None
        marker.truncate()
        marker.write(f"process {os.getpid()}")
        marker.flush()
        yield


def _end_what_was_left(output: Path) -> None:
    if left_behind := marked(str(output)):
        _say(f"Ending {len(left_behind)} processes that an earlier start left behind")
        end(left_behind)


def _port(wanted: int | None) -> int:
    port = free_port(wanted or USUAL_PORT)
    if wanted and port != wanted:
        raise UpError(f"port {wanted} is taken: leave --port out, and a free one is found")
    return port


def _live(output: Path, port: int, days: int) -> None:
    """Runs until it is interrupted, or until one of its programs ends by itself."""
    processes = Processes(str(output), output / "log", _environment(output, port))
    try:
        _work(processes, LivingAirflow(processes, output / "airflow", port), output, days)
    finally:
        for number in ENDING:
            signal.signal(number, signal.SIG_IGN)  # it is ending already
        _say("Stopping …")
        killed = processes.stop()
        left = [process.pid for process in marked(str(output))]
        _say(f"Still there: processes {left}" if left else f"Every process ended ({killed} were killed)")


def _work(processes: Processes, airflow: LivingAirflow, output: Path, days: int) -> None:
    _say(f"Starting Airflow and the agent; their logs are in {output / 'log'}")
    start, unpause = airflow.start(), _unpause(airflow)
    next(start)  # its database is set up while the history is written
    fleet = LivingFleet(output / "store", output / "fleet.json", days)
    _say(fleet.catch_up(datetime.now(UTC)))
    processes.start("rpa-agent", AGENT)
    for _ in start:
        _look(processes)
    _say("Airflow is ready. Ctrl-C ends everything.")
    for name, value in {
        "address": airflow.address,
        "user": USER,
        "password": f"in {password_file(output / 'airflow')}",
        "store": output / "store",
        "reports": output / "reports",
    }.items():
        _say(f"{name:<9} {value}", part=True)
    robots = Robots(processes, output, _say)
    work = [
        Every(ROBOTS_EVERY_S, robots.run_invoices),
        Every(LOOP_EVERY_S, robots.run_loop),
        Every(FLEET_EVERY_S, lambda: fleet.catch_up(datetime.now(UTC))),
        Every(ASK_EVERY_S, lambda: next(unpause, None)),
    ]
    while True:
        for each in work:
            each.tick()
        robots.look()
        _look(processes)


def _unpause(airflow: LivingAirflow) -> Iterator[None]:
    """Lets all DAGs run, the first time in an order in which each finds what it needs.

    What is normal must be known before anything is judged, hence two aggregations: the second wakes the
    detection, which wakes the insights. Yields while it waits.
    """
    paused = {dag_id for dag_id, dag in airflow.dags().items() if dag["is_paused"]}
    if not paused:
        return
    _say("Each DAG runs once; from then on they follow their schedules")
    try:
        yield from _run(airflow, "hourly_aggregation")
        yield from _run(airflow, "baseline_recomputation")
        airflow.unpause("anomaly_detection")
        airflow.unpause("insight_generation")
        yield from _run(airflow, "hourly_aggregation")
        yield from _success(airflow, "anomaly_detection")
        yield from _success(airflow, "insight_generation")
        yield from _run(airflow, "report_rendering")
        yield from _run(airflow, "archive_retention")
        _say("Each DAG succeeded")
    except AirflowError as error:
        _say(f"{error}")
    for dag_id in paused:
        airflow.unpause(dag_id)


def _run(airflow: LivingAirflow, dag_id: str) -> Iterator[None]:
    run_id = airflow.trigger(dag_id)
    airflow.unpause(dag_id)
    return _success(airflow, dag_id, run_id)


def _success(airflow: LivingAirflow, dag_id: str, run_id: str = "") -> Iterator[None]:
    """Yields until the run, or any, succeeded. Raises AirflowError when it failed."""
    began_s = time.monotonic()
    while True:
        yield
        for run in airflow.runs(dag_id):
            if run_id not in ("", run["dag_run_id"]):
                continue
            if run["state"] == "failed":
                page = f"{airflow.address}/dags/{dag_id}/runs/{run['dag_run_id']}"
                raise AirflowError(f"{dag_id} failed: see {page}")
            if run["state"] == "success":
                _say(f"{dag_id}: success after {time.monotonic() - began_s:.0f} s", part=True)
                return


def _environment(output: Path, port: int) -> dict[str, str]:
    """Nothing of this machine's own agent, store or Airflow is used."""
    own = ("RPA_", "AIRFLOW", "ROBOT_OPTIONS")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(own)}
    store = str(output / "store")
    agent = output / "agent.toml"
    agent.write_text(
        f'store = {json.dumps(store)}\nenvironment = "demo"\nrobot_id = "demo-robot"\n', encoding="utf-8"
    )
    return (
        kept
        | airflow_settings(output / "airflow", port)
        | {
            "RPA_AGENT_CONFIG": str(agent),
            "RPA_AGENT_STATE": str(output / "agent-state"),
            "RPA_ANALYTICS_STORE": store,
            "RPA_ANALYTICS_REPORTS": str(output / "reports"),
            "RPA_ANALYTICS_TIME_ZONE": TIME_ZONE,
            "PYTHONUNBUFFERED": "1",
        }
    )


def _look(processes: Processes) -> None:
    time.sleep(LOOK_EVERY_S)
    processes.check()


_BEGAN_S: Final = time.monotonic()


def _say(line: str, *, part: bool = False) -> None:
    head = " " * 8 if part else f"[{time.monotonic() - _BEGAN_S:3.0f} s] "
    print(head + line, flush=True)


if __name__ == "__main__":
    sys.exit(main())
