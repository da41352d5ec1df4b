"""Processes to kill, and what the full fault runs say at their end: `record_property("ran", text)`."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.faults.robots import Robots


@pytest.fixture(scope="session")
def robots() -> Iterator["Robots"]:
    """The program that forks robots and daemons; started by the first test that wants one."""
    from tests.faults.robots import Robots

    with Robots() as program:
        yield program


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    ran = [
        f"{report.nodeid.rpartition('::')[2]}: {text}"
        for reports in terminalreporter.stats.values()
        for report in reports
        if isinstance(report, pytest.TestReport) and report.when == "call"
        for name, text in report.user_properties
        if name == "ran"
    ]
    if ran:
        terminalreporter.section("faults that were survived")
    for line in sorted(ran):
        terminalreporter.write_line(line)
