"""What a person gets who installs the package, and what it costs to import it."""

import subprocess
import sys
import zipfile
from email.parser import Parser
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    [path] = folder.glob("*.whl")
    return zipfile.ZipFile(path)


def test_the_wheel_carries_dags_templates_and_migrations(wheel: zipfile.ZipFile) -> None:
    names = set(wheel.namelist())
    assert {f"analytics_lib/_dags/{path.name}" for path in (ROOT / "dags").glob("*.py")} <= names
    templates = [path for path in (ROOT / "templates").rglob("*") if path.is_file()]
    assert {f"analytics_lib/_templates/{path.relative_to(ROOT / 'templates')}" for path in templates} <= names
    assert "analytics_lib/migrations/script.py.mako" in names
    assert {"analytics_lib/py.typed", "collector_agent/py.typed"} <= names


def test_the_wheel_puts_no_stray_packages_beside_ours(wheel: zipfile.ZipFile) -> None:
    tops = {name.split("/")[0] for name in wheel.namelist()}
    assert {top for top in tops if not top.endswith(".dist-info")} == {"analytics_lib", "collector_agent"}


def test_an_installation_without_extras_is_the_agent_alone(wheel: zipfile.ZipFile) -> None:
    [name] = [name for name in wheel.namelist() if name.endswith(".dist-info/METADATA")]
    needs = Parser().parsestr(wheel.read(name).decode()).get_all("Requires-Dist") or []
    base = {need.split(">")[0].split("<")[0] for need in needs if "extra ==" not in need}
    assert base == {"sqlalchemy", "psutil"}


def loaded_after(statement: str) -> set[str]:
    code = f"import sys; before = set(sys.modules); {statement}; print(*set(sys.modules) - before)"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    return {name.partition(".")[0] for name in done.stdout.split()}


HEAVY = {"sqlalchemy", "pandas", "numpy", "airflow", "psutil", "alembic", "jinja2", "weasyprint", "robot"}


@pytest.mark.parametrize("module", ["analytics_lib", "analytics_lib.records", "collector_agent"])
def test_importing_it_loads_nothing_heavy(module: str) -> None:
    assert not loaded_after(f"import {module}") & HEAVY


@pytest.mark.parametrize("module", ["collector_agent.cli", "collector_agent.hooks.robot_framework"])
def test_starting_the_agent_loads_no_analysis(module: str) -> None:
    assert not loaded_after(f"import {module}") & (HEAVY - {"psutil", "robot"})


def test_a_store_needs_neither_pandas_nor_numpy() -> None:
    loaded = loaded_after("from analytics_lib import TimeSeriesStore")
    assert "sqlalchemy" in loaded
    assert not loaded & (HEAVY - {"sqlalchemy"})


def test_constraints_name_versions_and_no_hosts() -> None:
    for line in (ROOT / "constraints.txt").read_text().splitlines():
        assert "==" in line, line
        assert "://" not in line, line
        assert " @ " not in line, line
