"""Records as plain values and back."""

import json
from dataclasses import fields
from typing import Any

import pytest

from analytics_lib.errors import RecordError
from analytics_lib.record_values import FIELDS, moment_us_of, record_of, values_of
from analytics_lib.records import RECORD_TYPES, AgentHeartbeat, QuarantinedRecord, Record
from analytics_lib.store.rows import LAYOUTS
from analytics_lib.windows import to_us
from tests.make import NOON, at, execution, heartbeat, sample, start, step


def one_of_each_kind() -> list[Record]:
    return [
        start("e1", queued_at=at(-1)),
        heartbeat("e1"),
        execution("ünïcode 🤖", attributes={"b": "ä\n'", "a": ""}, message='"two"\nlines', steps_total=3),
        step("e1", 7, parent_step_seq=2, retries=1, host="BOT-01"),
        sample(cpu_percent=None, memory_used_bytes=2**40, disk_read_bytes_per_s=0.1),
        AgentHeartbeat(
            agent_id="a",
            sent_at=NOON,
            complete_to=at(-1),
            component="daemon",
            oldest_undelivered_at=at(-2),
            clock_offset_ms=-12.5,
            rows_recorded=7,
        ),
        QuarantinedRecord(record_kind="step", reason="no name", payload="{}", received_at=NOON),
    ]


@pytest.mark.parametrize("record", one_of_each_kind(), ids=lambda record: record.kind)
def test_nothing_is_lost_on_the_way_through_json(record: Record) -> None:
    assert record_of(record.kind, json.loads(json.dumps(values_of(record)))) == record


def test_every_kind_names_its_values_as_the_table_names_its_columns() -> None:
    assert set(FIELDS) == {record_type.kind for record_type in RECORD_TYPES}
    for record_type in RECORD_TYPES:
        names = FIELDS[record_type.kind]
        assert [name.removesuffix("_us") for name in names] == [f.name for f in fields(record_type)]
        assert LAYOUTS[record_type.kind].columns[: len(names)] == names


def test_when_it_happened_is_told_without_making_a_record() -> None:
    assert [moment_us_of(record.kind, values_of(record)) for record in one_of_each_kind()] == [
        to_us(NOON)
    ] * 7
    assert moment_us_of("step", []) is None
    assert moment_us_of("no such kind", [1]) is None
    assert moment_us_of("step", [True] * 30) is None


def changed(**values: Any) -> list[Any]:
    """An execution's values, with these instead."""
    given = dict(zip(FIELDS["execution"], values_of(execution("e1")), strict=True))
    return list((given | values).values())


@pytest.mark.parametrize(
    ("kind", "values", "message"),
    [
        ("stop", [], "unknown kind of record; use one of execution_start"),
        (["step"], [], "unknown kind"),
        ("execution", changed()[:-1], "25 values, not 26"),
        ("execution", None, "execution: the values are NoneType; give a list"),
        ("execution", changed(host=["BOT"]), r"execution\.host is list; give text, a number"),
        ("execution", changed(started_at_us="2026-03-02"), r"execution\.started_at_us: a time is str"),
        ("execution", changed(started_at_us=1.5e15), "a time is float"),
        ("execution", changed(started_at_us=True), "a time is bool"),
        ("execution", changed(started_at_us=None), "not a datetime"),
        ("execution", changed(started_at_us=10**30), "beyond the year 9999"),
        ("execution", changed(started_at_us=-(10**400)), "beyond the year 9999"),
        ("execution", changed(started_at_us=5), "check the clock or the unit"),
        ("execution", changed(attempt=10**5000), "beyond ±9e18"),
        ("execution", changed(duration_ms=10**400), "beyond ±9e18"),
        ("execution", changed(steps_total=-(10**5000)), "beyond ±9e18"),
        ("execution", changed(attributes="{"), "no JSON text"),
        ("execution", changed(attributes="[" * 100_000), "no JSON text"),
        ("execution", changed(attributes="[1]"), "not a mapping"),
        ("execution", changed(attributes=None), "attributes are NoneType"),
        ("execution", changed(status=10**5000), "use one of 'completed'"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_values_that_make_no_record_are_refused_with_what_is_wrong(
    kind: Any, values: Any, message: str
) -> None:
    with pytest.raises(RecordError, match=message):
        record_of(kind, values)
