import json
import subprocess
import sys

import pytest

HEAVY = ("sqlalchemy", "psutil", "pandas", "numpy", "airflow", "robot", "alembic")


def modules_after(code: str) -> set[str]:
    script = f"{code}\nimport sys, json; print(json.dumps(sorted(sys.modules)))"
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    return set(json.loads(ran.stdout))


@pytest.mark.parametrize(
    "code",
    [
        "import collector_agent",
        "from collector_agent import MetricsCollector",
        "from collector_agent import BusinessException",
        "import collector_agent.hooks.execution_loop",
        "from collector_agent import MetricsCollector\n"
        "with MetricsCollector(len) as collector, collector.execution('w'): pass",
    ],
)
def test_recording_loads_nothing_heavy(code: str) -> None:
    loaded = modules_after(code)
    assert not [name for name in HEAVY if name in loaded]
    assert "collector_agent" in loaded


def test_importing_the_package_alone_loads_not_even_its_own_modules() -> None:
    loaded = {name for name in modules_after("import collector_agent") if "collector_agent." in name}
    assert loaded == set()


def test_an_unknown_name_is_an_attribute_error() -> None:
    import collector_agent

    with pytest.raises(AttributeError, match="no attribute 'Metrics'"):
        _ = collector_agent.Metrics


def test_the_version_is_that_of_the_distribution() -> None:
    import analytics_lib
    import collector_agent

    assert collector_agent.__version__ == analytics_lib.__version__
