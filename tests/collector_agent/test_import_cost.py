import json
import subprocess
import sys
from pathlib import Path

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
        "from collector_agent import MetricsCollector; import tempfile\n"
        "with MetricsCollector(spool_folder=tempfile.mkdtemp()) as collector, collector.execution('w'): pass",
        "from collector_agent import MetricsCollector\n"
        "with MetricsCollector(len) as collector, collector.execution('w'): pass",
    ],
)
def test_recording_loads_nothing_heavy(code: str) -> None:
    loaded = modules_after(code)
    assert not [name for name in HEAVY if name in loaded]
    assert "collector_agent" in loaded


def test_a_start_in_memory_waits_for_nothing_that_it_may_never_need() -> None:
    """OpenSSL alone is half of the memory that recording may take."""
    loaded = modules_after(
        "from collector_agent import MetricsCollector\n"
        "collector = MetricsCollector(len)\n"
        "collector.record_execution_start('e1', 'w1')\n"
        "collector.record_step('e1', 's', status='completed', duration_ms=1)"
    )
    late = ("hashlib", "socket", "uuid", "pathlib", "tempfile", "sqlite3", "multiprocessing", "asyncio")
    late_own = ("spool", "journal", "shipping", "forwarder", "masking", "activity", "settings")
    assert not [name for name in (*late, *(f"collector_agent.{own}" for own in late_own)) if name in loaded]


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="this system does not tell it so simply")
def test_a_collector_costs_a_fresh_process_at_most_eight_megabytes() -> None:
    script = """
def megabytes():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGESIZE") / 1e6
import os
before = megabytes()
from collector_agent import MetricsCollector
collector = MetricsCollector(print)
print(megabytes() - before)
"""
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert float(ran.stdout) <= 8.0


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
