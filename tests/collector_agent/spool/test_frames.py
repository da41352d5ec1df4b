"""Frames: what goes in comes out, and nothing else does."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collector_agent.spool.frames import (
    HEAD,
    MARKER,
    MAX_PAYLOAD_BYTES,
    frame_of,
    is_partial,
    next_frame,
    read_frames,
)

pytestmark = pytest.mark.portable

payloads = st.lists(st.text(min_size=1).map(str.encode), max_size=8)


@given(payloads)
def test_what_was_framed_is_read_back_in_order(given_payloads: list[bytes]) -> None:
    data = b"".join(map(frame_of, given_payloads))
    found, starts, end = read_frames(data, 0, 100)
    assert found == given_payloads
    assert end == len(data)
    assert [data[start : start + 2] for start in starts] == [MARKER] * len(found)


@given(payloads, st.integers(0, 10))
def test_no_more_are_read_than_asked_for(given_payloads: list[bytes], limit: int) -> None:
    data = b"".join(map(frame_of, given_payloads))
    found, _, end = read_frames(data, 0, limit)
    assert found == given_payloads[:limit]
    assert read_frames(data, end, 100)[0] == given_payloads[limit:]


@given(payloads, st.binary(min_size=1), payloads)
def test_behind_any_damage_reading_goes_on_at_the_next_whole_frame(
    before: list[bytes], damage: bytes, after: list[bytes]
) -> None:
    data = b"".join(map(frame_of, before)) + damage + b"".join(map(frame_of, after))
    found, _, end = read_frames(data, 0, 100)
    while end < len(data):
        at, is_whole = next_frame(data, end + 1)
        if not is_whole:
            break
        more, _, end = read_frames(data, at, 100)
        found += more
    # Only damage that looks like a frame's beginning itself may take something with it.
    assert found == before + after or MARKER[:1] in damage


@pytest.mark.parametrize("bit", range(8 * (HEAD.size + len(b'["a"]'))))
def test_a_frame_with_any_bit_flipped_is_none(bit: int) -> None:
    frame = bytearray(frame_of(b'["a"]'))
    frame[bit // 8] ^= 1 << bit % 8
    assert read_frames(bytes(frame), 0, 1)[0] == []


def test_zeros_behind_a_marker_are_no_empty_frame() -> None:
    assert read_frames(MARKER + bytes(20), 0, 1)[0] == []
    assert next_frame(b"x" + MARKER + bytes(20), 0) == (23, False)


def test_each_beginning_of_a_frame_is_told_from_a_whole_one_and_from_others() -> None:
    frame = frame_of(b'["a",1]')
    assert all(is_partial(frame[:length], 0) for length in range(len(frame)))
    assert not is_partial(frame, 0)
    assert not is_partial(b"\xff\xff", 0)
    assert not is_partial(HEAD.pack(0xFEFF, MAX_PAYLOAD_BYTES + 1, 0), 0)


def test_a_candidate_that_contains_another_frame_is_none() -> None:
    cut, whole = frame_of(b'["first",1,2,3,4,5,6,7,8,9]')[:20], frame_of(b'["b"]')
    assert next_frame(cut + whole, 0) == (20, True)
    assert next_frame(b"??" + whole[:-1], 0) == (2, False)
    assert next_frame(b"??\xff", 0) == (2, False)
