"""From probes' values to records: with the execution that they belong to, or aside with the reason."""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from analytics_lib.errors import RecordError
from analytics_lib.records import QuarantinedRecord, Record, ResourceMetrics
from collector_agent.probes import Values
from collector_agent.recording.cardinality import Cardinality
from collector_agent.recording.quarantining import quarantine
from collector_agent.recording.record_builder import plain
from collector_agent.redaction import mask_id, mask_name


@dataclass(frozen=True, slots=True, eq=False)
class Context:
    """The execution that samples belong to, as it was given; `SampleRecords.checked` says if it is valid."""

    workflow_id: str
    execution_id: str

    def is_same(self, workflow_id: object, execution_id: object) -> bool:
        """Only of text: other objects may compare in any way."""
        given = (self.workflow_id, self.execution_id, workflow_id, execution_id)
        return all(type(value) is str for value in given) and given[:2] == given[2:]


class SampleRecords:
    """Makes the records of one agent, and counts what had to be set aside."""

    def __init__(
        self, agent_id: str, dimensions: Mapping[str, str], cardinality: Cardinality | None = None
    ) -> None:
        self.agent_id = agent_id
        self.quarantined = 0
        self._dimensions = dimensions
        self._cardinality = cardinality or Cardinality()

    def checked(self, context: Context | None) -> Context | QuarantinedRecord | None:
        """The context if samples can carry it, else the quarantined record that says why not."""
        if context is None:
            return None
        given = {"workflow_id": plain(context.workflow_id), "execution_id": plain(context.execution_id)}
        for name, masked in (("workflow_id", mask_name), ("execution_id", mask_id)):
            if isinstance(given[name], str):
                given[name] = masked(given[name])
        given["workflow_id"] = self._cardinality.workflow(given["workflow_id"])
        try:
            self._make("context", datetime.now(UTC), given)
            self._cardinality.keep_workflow(given["workflow_id"])
        except RecordError as error:
            return self._set_aside(f"{error} (resources are sampled without context)", given)
        return Context(**given)

    def of(self, values: Mapping[str, Values], context: Context | None, at: datetime) -> list[Record]:
        """A record for each target that has any value."""
        records: list[Record] = []
        carried: dict[str, Any] = {}
        if context is not None:
            carried = {"workflow_id": context.workflow_id, "execution_id": context.execution_id}
        for target, of_target in values.items():
            known = {name: value for name, value in of_target.items() if value is not None}
            if not known:
                continue
            try:
                records.append(self._make(target, at, carried | known))
            except RecordError as error:
                records.append(self._set_aside(str(error), known))
        return records

    def _make(self, target: str, at: datetime, values: dict[str, Any]) -> ResourceMetrics:
        return ResourceMetrics(
            agent_id=self.agent_id, target=target, sampled_at=at, **{**self._dimensions, **values}
        )

    def _set_aside(self, reason: str, given: Mapping[str, Any]) -> QuarantinedRecord:
        self.quarantined += 1
        host = self._dimensions["host"]
        return quarantine(ResourceMetrics.kind, reason, given, "", time.time_ns(), host, self.quarantined)


def without_means(values: Mapping[str, Values]) -> dict[str, Values]:
    """What holds at one moment; CPU and rates say what was before it."""
    return {
        target: {
            name: value
            for name, value in of_target.items()
            if name != "cpu_percent" and not name.endswith("_per_s")
        }
        for target, of_target in values.items()
    }
