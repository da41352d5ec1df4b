"""What a record refuses, and what it says then."""

import math
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from analytics_lib.errors import RecordError
from analytics_lib.records import MESSAGE_BYTES, RECORD_TYPES, STATUSES, shorten
from tests.make import NOON, at, execution, sample, start, step


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"status": "running"}, "use one of 'completed', 'failed'"),
        ({"status": None}, "use one of"),
        ({"duration_ms": math.nan}, "leave it out"),
        ({"duration_ms": math.inf}, "leave it out"),
        ({"duration_ms": -1.0}, "is negative"),
        ({"duration_ms": "1"}, "not a number"),
        ({"duration_ms": True}, "not a number"),
        ({"duration_ms": 1e19}, "check the unit"),
        ({"started_at": at(1)}, "is before started_at"),
        ({"started_at": "yesterday"}, "not a datetime"),
        ({"started_at": datetime(1970, 1, 1, tzinfo=UTC)}, "check the clock or the unit"),
        ({"started_at": datetime.min}, "cannot be put in UTC|check the clock"),
        ({"workflow_id": ""}, "is empty"),
        ({"workflow_id": "x" * 10_240}, "10240 bytes long, the limit is 500"),
        ({"workflow_id": "a\x07b"}, "control characters"),
        ({"workflow_id": "a\0b"}, "contains NUL"),
        ({"workflow_id": "a\nb"}, "control characters"),
        ({"workflow_id": "\ud800"}, "lone surrogate"),
        ({"workflow_id": 7}, "is int, not text"),
        ({"exception_kind": "system"}, "use one of"),
        ({"steps_total": 1.5}, "not a whole number"),
        ({"steps_total": -1}, "is negative"),
        ({"attempt": None}, "not a whole number"),
        ({"message": "a\0b"}, "contains NUL"),
        ({"attributes": ["a"]}, "not a mapping"),
        ({"attributes": {"a": 1}}, "is int, not text"),
        ({"attributes": {str(n): "" for n in range(65)}}, "limit is 64"),
    ],
)
def test_a_bad_value_is_refused_with_its_field_and_what_to_do(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(RecordError, match=message) as raised:
        execution("e1", **{"started_at": at(-1)} | fields)
    assert str(raised.value).startswith("ExecutionMetrics.")


def test_the_execution_id_is_checked_too() -> None:
    with pytest.raises(RecordError, match="201 bytes long, the limit is 200"):
        execution("x" * 201)


def test_a_long_message_is_cut_with_a_flag_and_never_within_a_character() -> None:
    record = execution("e1", message="ä" * MESSAGE_BYTES)
    assert record.message_truncated
    assert record.message == "ä" * (MESSAGE_BYTES // 2)
    assert not execution("e1", message="a" * MESSAGE_BYTES).message_truncated


def test_times_become_utc_and_naive_ones_mean_local_time() -> None:
    east = NOON.astimezone(timezone(timedelta(hours=5, minutes=30)))
    assert execution("e1", east).ended_at.tzinfo is UTC
    local = NOON.astimezone().replace(tzinfo=None)
    assert execution("e1", local).ended_at == NOON


def test_clocks_that_disagree_by_more_than_a_second_are_flagged() -> None:
    assert execution("e1", started_at=at(-1), duration_ms=1000.0).clock_skewed
    assert not execution("e1", started_at=NOON - timedelta(seconds=1.9), duration_ms=1000.0).clock_skewed


def test_zero_is_a_duration_and_nothing_is_no_number() -> None:
    assert execution("e1", started_at=NOON, duration_ms=0).duration_ms == 0.0
    assert execution("e1").steps_total is None
    with pytest.raises(RecordError):
        sample(cpu_percent=math.nan)


def test_records_cannot_be_changed() -> None:
    with pytest.raises(AttributeError):
        execution("e1").status = "failed"  # type: ignore[misc]  # the point of the test


def test_keyword_arguments_and_user_names_have_no_place_in_a_record() -> None:
    names = {name for kind in RECORD_TYPES for name in kind.__dataclass_fields__}
    assert not {name for name in names if "argument" in name or "args" in name or "user" in name}


@given(st.text(max_size=2000), st.integers(40, 300))
def test_shortened_text_fits_and_tells_different_texts_apart(text: str, limit: int) -> None:
    text = text.encode(errors="ignore").decode()
    short = shorten(text, limit)
    assert len(short.encode()) <= limit
    assert short == shorten(text, limit)
    if len(text.encode()) > limit:
        assert short != shorten(text + "x", limit)
    else:
        assert short == text


@given(st.sampled_from(STATUSES), st.text(max_size=50), st.floats(allow_nan=True, allow_infinity=True))
def test_whatever_is_given_is_either_a_record_or_one_clear_error(
    status: str, name: str, number: float
) -> None:
    try:
        record = step("e1", 1, status=status, step_id=name, duration_ms=number, started_at=NOON)
    except RecordError as error:
        problem = str(error)
    else:
        problem = ""
        assert (record.status, record.step_id, record.duration_ms) == (status, name, number)
    assert not problem or problem.startswith("StepMetrics.")


def test_a_start_needs_a_workflow() -> None:
    with pytest.raises(RecordError, match="workflow_id is empty"):
        start("e1", workflow_id="")
