"""Rows made by whole columns are the very rows that are made record by record."""

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from analytics_lib.errors import RecordError
from analytics_lib.record_values import FIELDS, Values, record_of, values_of
from analytics_lib.records import MESSAGE_BYTES, AgentHeartbeat, Record
from analytics_lib.store.rows import LAYOUTS, Row
from analytics_lib.store.value_rows import rows_of_values
from analytics_lib.windows import to_us
from tests.make import NOON, at, execution, heartbeat, sample, start, step

LATEST_US = to_us(at(60))
TIME = {"execution": "ended_at_us", "step": "ended_at_us", "resource": "sampled_at_us"}
KINDS = {
    record.kind: values_of(record)
    for record in (
        execution("e1", attributes={"team": "AP"}, queued_at=at(-9), steps_total=3),
        step("e1", 1, parent_step_seq=0),
        sample(memory_used_bytes=5),
        start("e1"),
        heartbeat("e1"),
        AgentHeartbeat(agent_id="a", sent_at=NOON, complete_to=NOON, clock_offset_ms=-3.0),
    )
}
MOMENTS = st.integers(to_us(at(-120)), to_us(at(120)))
SHARED = FIELDS["execution"][:5]
EDGES: list[Any] = [
    *(to_us(at(-60)), to_us(at(61))),
    *(None, True, False, 0, 1, -1, 1.0, -0.0, 0.0005, 1234.5678, -2.5, 2**53 + 1, 9 * 10**18, 2**63, 10**400),
    *(math.nan, math.inf, -math.inf, 9e18, 1e19, 1e16, 5e-324, to_us(NOON), 315_532_800_000_000 - 1),
    *("", "a", "it's", 'say "it"', 'it\'s "both"', "back\\slash", "100 %s", "%", "ä", "🤖", "\xa0", "\u2028"),
    *("a\nb", "\0", "\x07", "\x7f", "\x9b", "\ud800", "x" * 200, "ä" * 101, "x" * 501, "x" * 60_000),
    *("x" * MESSAGE_BYTES, "ä" * (MESSAGE_BYTES // 2), "ä" * MESSAGE_BYTES, "None", "completed", "business"),
    *('{"a":"1"}', '{"a": "1"}', '{"b":"1","a":"2"}', '{"a":"1","a":"2"}', "{}", '{"a":1}', "[]", "daemon"),
    *([], ["completed"], {}, ()),
]
VALUES = st.one_of(st.sampled_from(EDGES), st.text(max_size=9), st.floats(), st.integers(), MOMENTS)


def slowly(kind: str, values: Values) -> Row | None:
    """The obvious version: a record, and its row."""
    try:
        row = LAYOUTS[kind].to_row(record_of(kind, values))
    except RecordError:
        return None
    moment = TIME.get(kind)
    return None if moment and row[FIELDS[kind].index(moment)] > LATEST_US else row


def exactly(row: Row | None) -> list[tuple[type, str]] | None:
    """1, 1.0 and True are equal; a row's values are to be the same."""
    return row and [(type(value), repr(value)) for value in row]


@st.composite
def batches(draw: st.DrawFn) -> tuple[str, list[Any]]:
    """Rows of one kind of which some values are anything; where it is none, columns stay valid."""
    kind = draw(st.sampled_from(sorted(KINDS)))
    batch = []
    for number in range(draw(st.integers(1, 9))):
        values: list[Any] = list(KINDS[kind])
        for position in draw(st.lists(st.integers(0, len(values) - 1), max_size=3)):
            is_time = FIELDS[kind][position].endswith("_us")
            values[position] = draw(st.one_of(MOMENTS, VALUES) if is_time else VALUES)
        batch.append(tuple(values) if number % 2 else values)
    return kind, batch


@given(batches())
def test_rows_by_columns_equal_rows_by_records_whatever_the_values(given: tuple[str, list[Any]]) -> None:
    kind, batch = given
    rows = rows_of_values(kind, batch, LATEST_US, lambda values: slowly(kind, values))
    assert [exactly(row) for row in rows] == [exactly(slowly(kind, values)) for values in batch]


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_every_edge_in_every_column_is_taken_or_refused_as_the_record_does(kind: str) -> None:
    usual = KINDS[kind]
    for position, name in enumerate(FIELDS[kind]):
        if name in SHARED and kind != "execution":
            continue  # once is enough for the columns that all kinds have
        for edge in EDGES:
            odd = [*usual[:position], edge, *usual[position + 1 :]]
            expected = exactly(slowly(kind, odd))
            for batch in ([odd, odd], [usual, odd]):
                rows = rows_of_values(kind, batch, LATEST_US, lambda values: slowly(kind, values))
                assert exactly(rows[1]) == expected, (name, edge)


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_valid_values_need_no_record(kind: str) -> None:
    def never(values: Values) -> Row | None:
        raise AssertionError(values)

    batch = [KINDS[kind]] * 20
    assert rows_of_values(kind, batch, LATEST_US, never) == [slowly(kind, KINDS[kind])] * 20
    assert rows_of_values(kind, [], LATEST_US, never) == []


def test_one_bad_value_sends_its_few_neighbours_at_most_the_slow_way() -> None:
    looked_at = []

    def look(values: Values) -> Row | None:
        looked_at.append(values)
        return slowly("step", values)

    batch: list[Any] = [values_of(step("e1", number)) for number in range(1000)]
    batch[617] = values_of(step("e1", 617))[:-1]  # one value is missing
    rows = rows_of_values("step", batch, LATEST_US, look)
    assert rows.index(None) == 617
    assert rows.count(None) == 1
    assert len(looked_at) <= 4


def test_a_clock_that_jumped_within_a_step_is_flagged_as_the_record_flags_it() -> None:
    batch = [
        values_of(step("e1", 1, at(1), started_at=NOON, duration_ms=60_000.0 + off))
        for off in (0.0, 999.9, 1000.0, 1000.1, -1000.1, 5000.0)
    ]
    flag_at = FIELDS["step"].index("clock_skewed")
    unflagged = [[*values[:flag_at], False, *values[flag_at + 1 :]] for values in batch]
    rows = rows_of_values("step", unflagged, LATEST_US, lambda values: None)
    assert [row and row[flag_at] for row in rows] == [False, False, False, True, True, True]


@pytest.mark.parametrize(
    ("record", "bucket", "content_hash"),
    [
        (step("it's", 1, duration_ms=1.00049), 5, -2812057753545235517),
        (AgentHeartbeat(agent_id="a", sent_at=NOON, complete_to=NOON), 0, -2654616805494366717),
        (execution("e", attributes={"a": "1"}, steps_total=3), 5, 6498569972492312102),
    ],
)
def test_stored_hashes_stay_comparable(record: Record, bucket: int, content_hash: int) -> None:
    """The hashes say what is a conflict with rows of years ago."""
    [row] = rows_of_values(record.kind, [values_of(record)], LATEST_US, lambda values: None)
    assert row is not None
    assert row[-2:] == LAYOUTS[record.kind].to_row(record)[-2:] == (bucket, content_hash)
