"""The spool stands alone: it loads in the robot's process, and in tools with nothing else of the agent."""

import ast
import sys
from pathlib import Path

import pytest

import collector_agent.spool

_ALLOWED = {
    "collector_agent.machine.file_lock",
    "collector_agent.machine.loading",
    "analytics_lib.record_values",
    "analytics_lib.records",
}
MODULES = sorted(Path(collector_agent.spool.__file__).parent.glob("*.py"))


@pytest.mark.portable
@pytest.mark.parametrize("module", [path.name for path in MODULES])
def test_it_needs_the_standard_library_the_records_and_the_lock(module: str) -> None:
    tree = ast.parse((Path(collector_agent.spool.__file__).parent / module).read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module is not None:
            names = (
                [f"{node.module}.{alias.name}" for alias in node.names]
                if node.module in ("collector_agent.machine", "collector_agent.spool")
                else [node.module]
            )
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        else:
            continue
        for name in names:
            assert (
                name.partition(".")[0] in sys.stdlib_module_names
                or name in _ALLOWED
                or name.startswith("collector_agent.spool.")
            )
