"""Every field that leaves a machine: what it says, whether it can concern a person, and what is done then.

For a works council, a privacy officer, `rpa-agent preview fields` and deploy/agent/privacy.md, which is made
from it. A test compares it with the records themselves, so that none is forgotten.
"""

from collections.abc import Iterator
from dataclasses import fields
from typing import Final, NamedTuple

from analytics_lib.records import RECORD_TYPES

NO: Final = ""
MASKED_NAME: Final = "a name that somebody chose: secrets and personal data in it are masked"
MASKED_KEY: Final = "a key that somebody chose: masked, and told apart by a keyed pseudonym"
PERSON: Final = (
    "may be a person's: a pseudonym where `pseudonyms` names it, nothing of attended runs unless "
    "`attended_keeps` does"
)


class FieldNote(NamedTuple):
    """`person`: how it can concern a person and what is done about it; '' where it cannot."""

    says: str
    person: str = NO


NOTES: Final[dict[str, FieldNote]] = {
    "workflow_version": FieldNote("release of the workflow", MASKED_NAME),
    "environment": FieldNote("production, test …", MASKED_NAME),
    "robot_id": FieldNote("name of the robot", PERSON),
    "host": FieldNote("name of the machine", PERSON + "; samples and signs of life of the machine keep it"),
    "queue": FieldNote("where the work comes from", MASKED_NAME),
    "execution_id": FieldNote("key of one run", MASKED_KEY),
    "recorder_id": FieldNote("key of the process that recorded it: random or made from execution_id"),
    "workflow_id": FieldNote("what the robot automates", MASKED_NAME),
    "step_id": FieldNote("which step of the workflow", MASKED_NAME),
    "step_name": FieldNote("the same, as people read it; never a keyword's arguments", MASKED_NAME),
    "step_type": FieldNote("kind of step"),
    "step_seq": FieldNote("its number in the run"),
    "parent_step_seq": FieldNote("number of the step around it"),
    "depth": FieldNote("how many steps are around it"),
    "status": FieldNote("completed, failed, cancelled, timed_out or skipped"),
    "started_at": FieldNote("when it began"),
    "ended_at": FieldNote("when it ended"),
    "duration_ms": FieldNote("how long it took"),
    "queued_at": FieldNote("since when the work waited"),
    "attempt": FieldNote("which try it is"),
    "retries": FieldNote("how often it was tried again inside"),
    "exception_kind": FieldNote("business or application, where it failed"),
    "message": FieldNote(
        "why it failed, 8 KB at most",
        "free text: mail addresses, telephone, card, account, national and other long numbers, passwords, "
        "tokens, keys and credentials are masked",
    ),
    "message_truncated": FieldNote("whether the message was longer"),
    "steps_total": FieldNote("how many steps the run had"),
    "steps_completed": FieldNote("how many of them went well"),
    "steps_failed": FieldNote("how many of them failed"),
    "parent_execution_id": FieldNote("key of the run around it", MASKED_KEY),
    "transaction_id": FieldNote("key of the work item", MASKED_KEY),
    "suite": FieldNote("collection that the workflow stands in", MASKED_NAME),
    "attributes": FieldNote(
        "tags and other labels",
        "only those that `attributes` names, never one with a secret's name; masked; persons as `pseudonyms` "
        "and `attended_keeps` say",
    ),
    "clock_skewed": FieldNote("whether clocks disagree"),
    "source": FieldNote("live, or which import"),
    "agent_id": FieldNote("key of the agent: random, or made from the machine's name as it may be stored"),
    "agent_version": FieldNote("release of the agent"),
    "component": FieldNote("daemon or collector"),
    "target": FieldNote("host, process or gpu:0 …"),
    "sampled_at": FieldNote("when it was measured"),
    "cpu_percent": FieldNote("processor in use"),
    "memory_used_bytes": FieldNote("memory in use"),
    "memory_total_bytes": FieldNote("memory there is"),
    "disk_used_bytes": FieldNote("disk in use"),
    "disk_total_bytes": FieldNote("disk there is"),
    "disk_read_bytes_per_s": FieldNote("read from disks"),
    "disk_written_bytes_per_s": FieldNote("written to disks"),
    "network_received_bytes_per_s": FieldNote("received; how much, never what or from whom"),
    "network_sent_bytes_per_s": FieldNote("sent; how much, never what or to whom"),
    "gpu_utilization_percent": FieldNote("GPU in use"),
    "gpu_memory_used_bytes": FieldNote("its memory in use"),
    "gpu_memory_total_bytes": FieldNote("its memory"),
    "process_count": FieldNote("processes of the robot or the machine"),
    "thread_count": FieldNote("their threads"),
    "handle_count": FieldNote("their open files and handles"),
    "sent_at": FieldNote("when the sign of life was given"),
    "complete_to": FieldNote("everything before is delivered"),
    "rows_pending": FieldNote("rows that wait"),
    "rows_dropped": FieldNote("rows that were lost"),
    "rows_quarantined": FieldNote("rows that were kept aside"),
    "rows_recorded": FieldNote("rows there were"),
    "rows_delivered": FieldNote("rows that arrived"),
    "spool_bytes": FieldNote("size of what waits"),
    "oldest_undelivered_at": FieldNote("since when the oldest waits"),
    "clock_offset_ms": FieldNote("how far the clock is off"),
    "problem": FieldNote("what does not work", "masked as a name is"),
    "record_kind": FieldNote("which kind of row was kept aside"),
    "reason": FieldNote("why", "masked as a message is"),
    "payload": FieldNote(
        "what was given", "masked as a message is; of fields that no row has, the name and no value"
    ),
    "received_at": FieldNote("when it was kept aside"),
}
KINDS: Final = {
    "execution_start": "start of a run",
    "execution_heartbeat": "sign of life of a run",
    "execution": "end of a run",
    "step": "step of a run",
    "resource": "sample of a machine or process",
    "agent_heartbeat": "sign of life of an agent",
    "quarantine": "row that was not valid",
}


def field_notes() -> Iterator[tuple[str, str, str, str]]:
    """(field, in which rows, what it says, what about persons), in the order of the records."""
    kinds: dict[str, list[str]] = {}
    for record_type in RECORD_TYPES:
        for field in fields(record_type):
            kinds.setdefault(field.name, []).append(record_type.kind)
    for name, of in kinds.items():
        where = "all but quarantine" if len(of) == len(RECORD_TYPES) - 1 else ", ".join(of)
        note = NOTES.get(name, FieldNote("?"))
        yield name, "all" if len(of) == len(RECORD_TYPES) else where, note.says, note.person or "no"
