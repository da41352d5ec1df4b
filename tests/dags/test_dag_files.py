"""What every DAG file promises, read as Airflow reads it."""

import ast
import json
import subprocess
import sys
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from analytics_lib import pipeline

FOLDER = Path(__file__).parents[2] / "dags"
NAMES = sorted({path.stem for path in FOLDER.glob("*.py")} - {"rpa_wiring"})
PARSE = """
import json, sys
from airflow.dag_processing.dagbag import BundleDagBag
from airflow.models.serialized_dag import SerializedDagModel
from airflow.serialization.serialized_objects import DagSerialization
bag = BundleDagBag(dag_folder=sys.argv[1], bundle_path=sys.argv[1], bundle_name="dags-folder")
heavy = sorted({"pandas", "numpy", "weasyprint", "vl_convert"} & set(sys.modules))
hashes = {name: SerializedDagModel.hash(DagSerialization.to_dict(dag)) for name, dag in bag.dags.items()}
print(json.dumps({"heavy": heavy, "hashes": hashes}))
"""

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def dags(read_dags: Callable[[], Any]) -> Any:
    return read_dags().dags


def test_each_file_is_one_dag(read_dags: Callable[[], Any]) -> None:
    read = read_dags()
    assert read.import_errors == {}
    assert sorted(read.dags) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_a_file_only_wires(name: str) -> None:
    text = (FOLDER / f"{name}.py").read_text(encoding="utf-8")
    assert len(text.splitlines()) < 60
    froms = [node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.ImportFrom)]
    names = {f"{node.module}.{name.name}" for node in froms for name in node.names}
    ours = {name for name in names if name.startswith("analytics_lib")}
    assert ours <= {"analytics_lib.pipeline", "analytics_lib.settings", "analytics_lib.errors"}
    theirs = {name for name in names if name.startswith("airflow")}
    assert all(name.startswith(("airflow.sdk.", "airflow.providers.smtp.")) for name in theirs)


@pytest.mark.parametrize("name", NAMES)
def test_a_dag_says_whose_it_is_and_how_it_behaves(dags: Any, name: str) -> None:
    dag = dags[name]
    assert "**If it is red,** this pipeline failed, never a robot" in dag.doc_md
    assert dag.tags == {"rpa"}
    assert (dag.catchup, dag.max_active_runs) == (False, 1)
    for task in dag.tasks:
        assert (task.owner, task.retries) == ("rpa", 3)
        assert task.retry_exponential_backoff  # of a mapped task the factor, of others that there is one
        assert timedelta() < task.execution_timeout < timedelta(hours=1)
    given = {key: value for key, value in dag.params.dump().items() if value}
    assert given.pop("dry_run", True) is True, "a run by hand that would delete is dry"
    assert given == {}, "a normal run has no Params"


def test_rollups_are_published_last_and_the_report_reads_them(dags: Any) -> None:
    hourly, [render, deliver] = dags["hourly_aggregation"], dags["report_rendering"].tasks
    [publish] = hourly.leaves
    assert [task.task_id for task in hourly.tasks if task.outlets] == ["publish"]
    assert [asset.name for asset in publish.outlets] == [pipeline.ROLLUPS_ASSET]
    assert (publish.trigger_rule, publish.is_mapped) == ("none_failed", False)
    assert [asset.name for asset in render.inlets] == [pipeline.ROLLUPS_ASSET]
    assert [asset.name for asset in render.outlets] == [pipeline.REPORTS_ASSET]
    assert deliver.upstream_task_ids == {"render"}


def test_parsing_loads_nothing_heavy_and_gives_the_same_dag_each_time(dags: Any) -> None:
    from airflow.models.serialized_dag import SerializedDagModel
    from airflow.serialization.serialized_objects import DagSerialization

    command = [sys.executable, "-c", PARSE, str(FOLDER)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    assert json.loads(done.stdout.splitlines()[-1]) == {
        "heavy": [],
        "hashes": {n: SerializedDagModel.hash(DagSerialization.to_dict(dag)) for n, dag in dags.items()},
    }
