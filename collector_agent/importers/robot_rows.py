"""Steps and tasks of Robot Framework's results as rows of plain values, many of them quickly."""

from collections.abc import Iterable
from datetime import tzinfo
from typing import Final

from analytics_lib.record_values import FIELDS, attributes_text
from analytics_lib.windows import to_us
from collector_agent.importers.plain_rows import Row, plain_row
from collector_agent.redaction import clean_message
from collector_agent.redaction.policy import Redaction
from collector_agent.robot_records import result_fields, step_values
from collector_agent.robot_results import FailureKinds
from collector_agent.robot_run import Step, Task

SOURCE: Final = "robot-output"
_KNOWN_MESSAGES: Final = 100  # long ones too: they are of up to 128 KB
_TIMES: Final = ("started_at", "ended_at")
_STEP_FIELDS: Final = (
    *("workflow_version", "environment", "robot_id", "host", "queue", "execution_id", "recorder_id"),
    *("step_seq", "workflow_id", "step_id", "step_name", "status", "started_at_us", "ended_at_us"),
    *("duration_ms", "attempt", "parent_step_seq", "depth", "step_type", "exception_kind", "message"),
    *("message_truncated", "retries", "transaction_id", "clock_skewed", "source"),
)
if FIELDS["step"] != _STEP_FIELDS:
    raise TypeError("the fields of a step have changed: change the rows made here as well")


class RobotRows:
    """Makes the rows of one file; names and times are as `robot_run` gives them, messages masked here.

    `attempts`: of executions by their ids, filled and used here. Only a merged output tells them; the output
    of a re-run, which is one of the parts that it was merged from, does not.
    """

    def __init__(
        self,
        kinds: FailureKinds,
        zone: tzinfo | None,
        environment: str,
        redaction: Redaction | None = None,
        attempts: dict[str, int] | None = None,
    ) -> None:
        self._redaction = redaction or Redaction()
        self._is_attended = self._redaction.is_attended(environment)
        self._kinds = kinds
        self._zone = zone
        self._environment = environment
        self._attempts = {} if attempts is None else attempts
        self._masked: dict[str, str] = {}

    def of_steps(self, task: Task, steps: Iterable[Step]) -> list[Row]:
        """Of a task whose execution_id is known."""
        kinds, environment, version = self._kinds, self._environment, task.version
        execution_id, recorder_id, workflow_id = task.execution_id, task.recorder_id, task.workflow_id
        rows: list[Row] = []
        for step in steps:
            (
                seq,
                step_id,
                name,
                status,
                started,
                ended,
                took,
                parent,
                depth,
                kind,
                why,
                message,
                again,
                item,
            ) = step_values(step, kinds, execution_id)
            if message:
                message = self._cleaned(message)
            # One display of all values: put together from parts, a row costs three times as much.
            # fmt: off
            values = (
                version, environment, "", "", "", execution_id, recorder_id, seq, workflow_id, step_id, name,
                status, started, ended, took, 1, parent, depth, kind, why, message, False, again, item,
                False, SOURCE,
            )
            # fmt: on
            rows.append(("step", values))
        return rows

    def of_result(self, task: Task) -> Row:
        """Of a task whose result stands."""
        fields = result_fields(task, self._kinds, self._zone)
        for name in _TIMES:
            fields[f"{name}_us"] = to_us(fields.pop(name))
        if task.attempt > 1:
            self._attempts[task.execution_id] = task.attempt
        else:
            fields["attempt"] = self._attempts.get(task.execution_id, 1)
        fields["message"] = self._cleaned(fields["message"])
        fields["attributes"] = attributes_text(
            self._redaction.attributes(fields["attributes"], is_attended=self._is_attended)
        )
        return plain_row(
            "execution",
            fields,
            {
                "execution_id": task.execution_id,
                "recorder_id": task.recorder_id,
                "workflow_id": task.workflow_id,
                "workflow_version": task.version,
                "suite": task.suite,
                "environment": self._environment,
                "source": SOURCE,
            },
        )

    def _cleaned(self, message: str) -> str:
        """Masked. A failure is written again for every keyword around the one that failed."""
        masked = self._masked.get(message)
        if masked is None:
            if len(self._masked) >= _KNOWN_MESSAGES:
                self._masked.clear()
            masked = self._masked[message] = clean_message(message)
        return masked
