"""Which process runs which tests, where pytest-xdist has several (`--dist loadfile`): a pytest plugin.

A file stays in one process, for what its module sets up. So do all DAGs: a process takes ten seconds to load
Airflow. What takes longest begins first, or in the end one process would be at work and the others done.
"""

from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from xdist.scheduler import LoadScopeScheduling

LONGEST_FIRST = (
    "tests/smoke/",
    "tests/examples/test_demo.py",
    "tests/dags/",
    "tests/spec/",
    "tests/faults/",
    "tests/test_run_command.py",
    "tests/collector_agent/",
)


def unit_of(test_id: str) -> str:
    """What stays together.

    >>> unit_of("tests/dags/test_alerts.py::test_it[postgres]"), unit_of("tests/test_cli.py::test_it")
    ('tests/dags/', 'tests/test_cli.py')
    """
    return "tests/dags/" if test_id.startswith("tests/dags/") else test_id.split("::", 1)[0]


def place_of(test_id: str) -> int:
    """When its turn is: the less, the earlier.

    >>> place_of("tests/dags/test_alerts.py::test_it") < place_of("tests/test_cli.py::test_it")
    True
    """
    places = (place for place, prefix in enumerate(LONGEST_FIRST) if test_id.startswith(prefix))
    return next(places, len(LONGEST_FIRST))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> "LoadScopeScheduling | None":
    if config.getoption("dist") != "loadfile":
        return None
    from xdist.scheduler import LoadScopeScheduling

    class LongestUnitsFirst(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return unit_of(nodeid)

    config.option.loadscopereorder = False
    return LongestUnitsFirst(config, log)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if hasattr(config, "workerinput"):  # this is one of several processes
        items.sort(key=lambda item: place_of(item.nodeid))
