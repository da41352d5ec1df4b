"""Records as frames in a segment: `marker | payload's length | checksum | payload`.

The payload is JSON in UTF-8, where the bytes of the marker never occur: after damage, reading goes on
at the next marker that begins a whole frame. The checksum is the CRC-32 of the payload, begun with
its length, so that it covers both.

>>> read_frames(frame_of(b'["step"]') + frame_of(b'["step",1]'), 0, 10)
([b'["step"]', b'["step",1]'], [0, 18], 38)
"""

import struct
from typing import Final
from zlib import crc32

MARKER: Final = b"\xff\xfe"
HEAD: Final = struct.Struct("<HII")
MAX_PAYLOAD_BYTES: Final = 1 << 20
MAX_FRAME_BYTES: Final = HEAD.size + MAX_PAYLOAD_BYTES

_MARKER: Final = int.from_bytes(MARKER, "little")
_HEAD_BYTES: Final = HEAD.size
_pack = HEAD.pack
_unpack = HEAD.unpack_from


def frame_of(payload: bytes) -> bytes:
    """The frame that carries the payload (of at most MAX_PAYLOAD_BYTES)."""
    length = len(payload)
    return _pack(_MARKER, length, crc32(payload, length)) + payload


def read_frames(data: bytes, start: int, limit: int) -> tuple[list[bytes], list[int], int]:
    """The payloads of the whole and valid frames from `start` on, where each begins, where they end.

    At most `limit` of them; it ends at the first place where there is none.
    """
    payloads: list[bytes] = []
    starts: list[int] = []
    take, take_start = payloads.append, starts.append
    size = len(data)
    last = size - _HEAD_BYTES
    while start <= last and limit:
        marker, length, checksum = _unpack(data, start)
        end = start + _HEAD_BYTES + length
        payload = data[start + _HEAD_BYTES : end]
        if crc32(payload, length) != checksum or marker != _MARKER or end > size or not length:
            break
        take(payload)
        take_start(start)
        start = end
        limit -= 1
    return payloads, starts, start


def is_partial(data: bytes, start: int) -> bool:
    """Whether what is left from `start` on may be the beginning of a frame that is not there wholly."""
    left = len(data) - start
    if left < _HEAD_BYTES:
        return MARKER.startswith(data[start : start + 2])
    marker, length, _ = _unpack(data, start)
    return bool(marker == _MARKER and left - _HEAD_BYTES < length <= MAX_PAYLOAD_BYTES)


def next_frame(data: bytes, start: int) -> tuple[int, bool]:
    """Where the next candidate for a frame begins at or after `start`, and whether it is whole and valid.

    One that is not: its end is not in `data`. None: the length of `data` (less one byte that may be
    the first of a marker), False.
    """
    while True:
        start = data.find(MARKER, start)
        if start < 0:
            return len(data) - data.endswith(MARKER[:1]), False
        if is_partial(data, start):
            # No payload contains a marker: a frame with one in it is none.
            if data.find(MARKER, start + _HEAD_BYTES) < 0:
                return start, False
        else:
            _, length, checksum = _unpack(data, start)
            end = start + _HEAD_BYTES + length
            if (
                0 < length <= MAX_PAYLOAD_BYTES
                and data.find(MARKER, start + _HEAD_BYTES, end) < 0
                and crc32(data[start + _HEAD_BYTES : end], length) == checksum
            ):
                return start, True
        start += 1
