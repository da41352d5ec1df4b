"""Runs DAGs through Airflow itself, in a process of its own: `dag.test()` on a fresh metadata database.

    AIRFLOW_HOME=… AIRFLOW__CORE__DAGS_FOLDER=… python examples/airflow_runs.py LOG_FILE

Each line of standard input names a run: {"dag_id": …, "params": {…}}. For each, standard output gets one
line: {"dag_id", "state", "seconds", "returned": what each task returned}. Airflow's own log goes to the file.
"""

import json
import os
import sys
import time
from pathlib import Path
from typing import Any, TextIO


def main(log_file: str) -> int:
    answers = _everything_else_to(log_file)

    from airflow.dag_processing.dagbag import BundleDagBag
    from airflow.utils.db import initdb

    folder = os.environ["AIRFLOW__CORE__DAGS_FOLDER"]
    initdb()
    for line in sys.stdin:
        run = json.loads(line)
        began_s = time.monotonic()
        # Read anew for each run, because one leaves its Params in the DAG.
        bag = BundleDagBag(dag_folder=folder, bundle_path=Path(folder), bundle_name="dags-folder")
        if bag.import_errors:
            raise SystemExit(f"the DAGs cannot be read: {bag.import_errors}")
        dag = bag.dags[run["dag_id"]]
        dag.deadline = None  # dag.test() of Airflow 3.3.2 cannot read one back when the run succeeds
        dag_run = dag.test(run_conf=run["params"])
        done = {
            "dag_id": run["dag_id"],
            "state": str(dag_run.state),
            "seconds": round(time.monotonic() - began_s, 1),
            "returned": _returned(dag_run),
        }
        print(json.dumps(done), file=answers, flush=True)
    return 0


def _everything_else_to(log_file: str) -> TextIO:
    """What standard output was; it and standard error lead to the file from now on.

    By descriptor, because Airflow's tasks print from processes of their own, too.
    """
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    log = os.open(log_file, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    os.dup2(log, 1)
    os.dup2(log, 2)
    return answers


def _returned(dag_run: Any) -> dict[str, Any]:
    """What each task returned, by task."""
    from airflow.models.xcom import XComModel
    from airflow.utils.session import create_session

    query = XComModel.get_many(run_id=dag_run.run_id, dag_ids=dag_run.dag_id, key="return_value")
    with create_session() as session:
        return {row.task_id: XComModel.deserialize_value(row) for row in session.scalars(query)}  # type: ignore[attr-defined]  # typed as tuples of rows


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
