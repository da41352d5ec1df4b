"""A cap on how many workflows, steps and attribute values one process may tell apart.

An id with a number or a time in it makes a new series with every run: more than any store, rollup or
person can follow. What comes above the cap is recorded under one name for all, and counted.
"""

import logging
import threading
from collections.abc import Mapping
from json.encoder import encode_basestring_ascii as json_text
from typing import Any, Final

from analytics_lib.records import ExecutionMetrics, ExecutionStart, Record, StepMetrics

OVERFLOW: Final = "__overflow__"
MAX_WORKFLOWS: Final = 1_000
MAX_STEPS: Final = 2_000
MAX_ATTRIBUTE_VALUES: Final = 1_000
_MAX_KEYS: Final = 1_000
_log = logging.getLogger("rpa_agent")


class Cardinality:
    """Which values are known; new ones are, too, while there is room, once a valid record carries them.

    Values that are no text are left to the record, which refuses them.
    """

    def __init__(
        self,
        max_workflows: int = MAX_WORKFLOWS,
        max_steps: int = MAX_STEPS,
        max_attribute_values: int = MAX_ATTRIBUTE_VALUES,
    ) -> None:
        self.max_workflows = max_workflows
        self.max_steps = max_steps
        self.max_attribute_values = max_attribute_values
        self.reset()

    def reset(self) -> None:
        """Nothing is known: what a process begins with."""
        self._lock = threading.RLock()  # for the counts only
        self._steps: dict[str, dict[str, str]] = {}  # by workflow; each step with its JSON text
        self._values: dict[str, set[str]] = {}  # by attribute
        self._overflows: dict[str, int] = {}  # by what was too many
        self._said: set[str] = set()

    def workflow(self, workflow_id: Any) -> Any:
        """The id to record."""
        if type(workflow_id) is not str or workflow_id in self._steps:
            return workflow_id
        if len(self._steps) < self.max_workflows:
            return workflow_id
        return self._overflow("workflow_id", "", self.max_workflows)

    def step(self, workflow_id: Any, step_id: Any) -> Any:
        """The id to record for a step of the workflow (as `workflow` gave it)."""
        if type(step_id) is not str or type(workflow_id) is not str:
            return step_id
        steps = self._steps.get(workflow_id)
        if steps is None or step_id in steps or len(steps) < self.max_steps:
            return step_id
        return self._overflow("step_id", f" of {workflow_id[:100]!r}", self.max_steps)

    def attributes(self, given: Mapping[Any, Any]) -> dict[Any, Any]:
        """The attributes to record: a key's value is OVERFLOW where the key has too many."""
        return {key: self._value(key, value) for key, value in given.items()}

    def keep(self, record: Record) -> None:
        """From now on the record's values are known."""
        if isinstance(record, (ExecutionStart, ExecutionMetrics, StepMetrics)):
            steps = self._steps.get(record.workflow_id)
            if steps is None:
                steps = self.keep_workflow(record.workflow_id)
            if isinstance(record, StepMetrics):
                if record.step_id not in steps:
                    steps[record.step_id] = json_text(record.step_id)
            elif isinstance(record, ExecutionMetrics):
                for key, value in record.attributes.items():
                    values = self._values.get(key)
                    if values is None and len(self._values) < _MAX_KEYS:
                        values = self._values.setdefault(key, set())
                    if values is not None:
                        values.add(value)

    def keep_workflow(self, workflow_id: str) -> dict[str, str]:
        """From now on the workflow is known; its steps."""
        return self._steps.setdefault(workflow_id, {})

    def steps_of(self, workflow_id: str) -> dict[str, str]:
        """The known steps of a workflow that is kept, each with its JSON text: to look into."""
        return self._steps[workflow_id]

    def overflow_text(self, workflow_id: str, step_id: object) -> str | None:
        """The JSON text of OVERFLOW for a step that is one too many; None where that is not decided yet."""
        steps = self._steps[workflow_id]
        if type(step_id) is not str or step_id in steps or len(steps) < self.max_steps:
            return None
        text = steps.get(OVERFLOW)  # a first one was checked and kept
        if text is not None:
            self.step(workflow_id, step_id)  # counts it
        return text

    def problem(self) -> str:
        """What went to OVERFLOW and how often, the worst first; '' where nothing did."""
        with self._lock:
            worst = sorted(self._overflows.items(), key=lambda item: -item[1])
        if not worst:
            return ""
        shown = ", ".join(f"{what} {times} times" for what, times in worst[:3])
        more = f" and {len(worst) - 3} more" if len(worst) > 3 else ""
        return f"too many different values, recorded as {OVERFLOW}: {shown}{more}"

    def _value(self, key: Any, value: Any) -> Any:
        if type(key) is not str or type(value) is not str:
            return value
        values = self._values.get(key)
        if values is None:
            is_known = len(self._values) < _MAX_KEYS
        else:
            is_known = value in values or len(values) < self.max_attribute_values
        return (
            value if is_known else self._overflow("attribute", f" {key[:100]!r}", self.max_attribute_values)
        )

    def _overflow(self, kind: str, of: str, limit: int) -> str:
        what = kind + of
        with self._lock:
            if what in self._overflows or len(self._overflows) <= _MAX_KEYS:
                self._overflows[what] = self._overflows.get(what, 0) + 1
            is_news = kind not in self._said
            self._said.add(kind)
        if is_news:
            _log.warning(
                "%s has more than %d different values: the further ones are recorded as %s (said once; "
                "numbers, dates and names of files do not belong into it)",
                what,
                limit,
                OVERFLOW,
            )
        return OVERFLOW
