"""An Airflow of the tests' own. Its settings must stand before anything imports airflow, hence up here."""

import atexit
import logging
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.databases import folder_in_memory

FOLDER = Path(__file__).parents[2] / "dags"
HOME = Path(tempfile.mkdtemp(prefix="rpa-airflow-", dir=folder_in_memory()))
atexit.register(shutil.rmtree, HOME, ignore_errors=True)
os.environ |= {
    "AIRFLOW_HOME": str(HOME),
    "AIRFLOW__CORE__DAGS_FOLDER": str(FOLDER),
    "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
    "AIRFLOW__CORE__PLUGINS_FOLDER": str(HOME / "no-plugins"),
    "AIRFLOW__CORE__UNIT_TEST_MODE": "False",
    "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{HOME}/airflow.db",
    "AIRFLOW__LOGGING__BASE_LOG_FOLDER": str(HOME / "logs"),
}


@dataclass(frozen=True)
class Run:
    """What became of a DAG run: states, tries, return values by task, and all that was logged."""

    state: str
    tasks: dict[str, str]
    tries: dict[str, int]
    results: dict[str, Any]
    log: str
    run_id: str


RunDag = Callable[..., Run]


@contextmanager
def own_logging() -> Iterator[None]:
    """Airflow sets the root logger up for itself; the tests after these read what they print."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:], root.level = handlers, level


@pytest.fixture(scope="session")
def read_dags() -> Callable[[], Any]:
    """Reads the folder as the DAG processor does; a migrated metadata database is behind it."""
    with own_logging():
        from airflow.dag_processing.dagbag import BundleDagBag
        from airflow.utils.db import initdb

        initdb()
    return lambda: BundleDagBag(dag_folder=FOLDER, bundle_path=FOLDER, bundle_name="dags-folder")


@pytest.fixture
def run_dag(
    read_dags: Callable[[], Any],
    capfd: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[RunDag]:
    """Runs a DAG to its end in this process: by hand with Params, or as if scheduled at a moment."""
    from airflow.models import dagrun
    from airflow.models.xcom import XComModel
    from airflow.utils.session import create_session

    create = dagrun.get_or_create_dagrun

    def run(
        name: str, *, scheduled_at: datetime | None = None, retries: int | None = None, **params: str
    ) -> Run:
        # Read anew, as a worker does: Airflow leaves a run's Params in the DAG object.
        dag = read_dags().dags[name]
        dag.deadline = None  # dag.test() of 3.3.2 cannot read one back when the run succeeds
        for task in dag.tasks if retries is not None else ():
            task.retries, task.retry_delay = retries, timedelta()

        def create_scheduled(**given: Any) -> Any:
            made = create(**given)
            made.run_type = "scheduled"
            given["session"].commit()
            return made

        monkeypatch.setattr(dagrun, "get_or_create_dagrun", create_scheduled if scheduled_at else create)
        capfd.readouterr()
        caplog.clear()
        when = {"logical_date": scheduled_at} if scheduled_at else {}
        done = dag.test(run_conf=params, **when)
        with create_session() as session:
            tasks = done.get_task_instances(session=session)
            query = XComModel.get_many(run_id=done.run_id, key="return_value", dag_ids=name)
            results = {row.task_id: XComModel.deserialize_value(row) for row in session.scalars(query)}
            return Run(
                state=str(done.state),
                tasks={task.task_id: str(task.state) for task in tasks},
                tries={task.task_id: task.try_number for task in tasks},
                results=results,
                log=caplog.text + "".join(capfd.readouterr()),  # ours, and what Airflow prints
                run_id=done.run_id,
            )

    with own_logging():
        caplog.set_level(logging.INFO)
        yield run
