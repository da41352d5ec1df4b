"""Quantiles that merge: a log-histogram with 1 % relative error, as bytes that fit a table cell.

A value x > 0 falls into bin ceil(log(x) / log(g)) with g = (1 + a) / (1 - a) and a = 0.01; a bin
stands for 2 g^i / (g + 1), at most 1 % from every value in it. Merging adds counts, so the sketch of
a month is exactly the sketch of its hours. Zeros have a bin of their own.
Source: Masson, Rim, Lee, "DDSketch: a fast and fully-mergeable quantile sketch with relative-error
guarantees", PVLDB 12(12), 2019. Unlike the paper, quantiles interpolate between the floor and the
ceil rank (as `numpy.quantile` does): a single rank misleads on groups of a few values.

Bytes: version 1, then unsigned LEB128 numbers: bins, zigzag(first bin), its count, and for each
further bin its distance from the one before and its count.

>>> hour_1, hour_2 = encode(np.array([100.0, 200.0])), encode(np.array([300.0, 0.0]))
>>> [round(v) for v in quantiles(merge([hour_1, hour_2]), [0.0, 0.5, 1.0])]
[0, 149, 302]
"""

from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import Final

import numpy as np
from numpy.typing import NDArray

RELATIVE_ERROR: Final = 0.01
_GAMMA: Final = (1 + RELATIVE_ERROR) / (1 - RELATIVE_ERROR)
_LOG_GAMMA: Final = float(np.log(_GAMMA))
_SMALLEST: Final = 1e-9  # anything below counts as zero
_ZERO_BIN: Final = -(1 << 14)  # below the bin of _SMALLEST, far from it on purpose
_SPAN: Final = 1 << 16  # more than the bins of all float64 values above _SMALLEST
_VERSION: Final = b"\x01"

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]


class Bins:
    """Counts by (group, bin), sorted: the common form of encoding, merging and quantiles."""

    __slots__ = ("counts", "groups", "index", "n_groups")

    def __init__(self, groups: Ints, index: Ints, counts: Ints, n_groups: int) -> None:
        keys = groups * _SPAN + (index - _ZERO_BIN)
        unique, inverse = np.unique(keys, return_inverse=True)
        self.counts: Ints = np.bincount(inverse, weights=counts, minlength=len(unique)).astype(np.int64)
        self.groups: Ints = unique // _SPAN
        self.index: Ints = unique % _SPAN + _ZERO_BIN
        self.n_groups = n_groups

    @classmethod
    def of_values(cls, groups: Ints, values: Floats, n_groups: int) -> "Bins":
        """Bins of raw values >= 0; `groups` gives each value's group, 0 <= group < n_groups."""
        index = np.full(len(values), _ZERO_BIN, dtype=np.int64)
        positive = values > _SMALLEST
        index[positive] = np.ceil(np.log(values[positive]) / _LOG_GAMMA).astype(np.int64)
        return cls(groups, index, np.ones(len(values), dtype=np.int64), n_groups)

    @classmethod
    def of_sketches(cls, groups: Ints, sketches: Sequence[bytes], n_groups: int) -> "Bins":
        """Bins of encoded sketches, merged by group."""
        owner, index, counts = _decode(sketches)
        return cls(groups[owner], index, counts, n_groups)

    def encode(self) -> list[bytes]:
        """One sketch per group, in order; an empty group's sketch holds no bin."""
        bins = np.bincount(self.groups, minlength=self.n_groups)
        first_bin = np.concatenate(([0], np.cumsum(bins)[:-1]))
        start = 2 * first_bin + np.arange(self.n_groups)
        numbers = np.zeros(2 * len(self.index) + self.n_groups, dtype=np.uint64)
        numbers[start] = bins
        at = 2 * np.arange(len(self.index)) + self.groups + 1
        step = np.diff(self.index, prepend=0)
        opens = first_bin[bins > 0]
        step[opens] = _zigzag(self.index[opens])
        numbers[at] = step
        numbers[at + 1] = self.counts
        flat, lengths = _leb128(numbers)
        ends = np.concatenate(([0], np.cumsum(lengths)))
        bounds = ends[np.concatenate((start, [len(numbers)]))]
        return [_VERSION + flat[a:b] for a, b in pairwise(bounds)]

    def quantiles(self, qs: Sequence[float]) -> Floats:
        """Quantiles, shape (n_groups, len(qs)); nan for an empty group."""
        n = np.bincount(self.groups, weights=self.counts, minlength=self.n_groups).astype(np.int64)
        base = np.concatenate(([0], np.cumsum(n)[:-1]))
        cumulative = np.cumsum(self.counts)
        values = _representative(self.index)
        result = np.full((self.n_groups, len(qs)), np.nan)
        filled = n > 0
        for column, q in enumerate(qs):
            rank = q * (n[filled] - 1)
            low = np.floor(rank).astype(np.int64)
            part = rank - low
            high = np.minimum(low + 1, n[filled] - 1)
            low_value = values[np.searchsorted(cumulative, base[filled] + low, side="right")]
            high_value = values[np.searchsorted(cumulative, base[filled] + high, side="right")]
            result[filled, column] = low_value + part * (high_value - low_value)
        return result


def encode(values: Floats) -> bytes:
    """The sketch of finite values >= 0."""
    values = np.asarray(values, dtype=np.float64)
    return Bins.of_values(np.zeros(len(values), dtype=np.int64), values, 1).encode()[0]


def merge(sketches: Iterable[bytes]) -> bytes:
    """The sketch of everything that the sketches hold. Raises ValueError on foreign bytes."""
    return _one_group(sketches).encode()[0]


def quantiles(sketch: bytes, qs: Sequence[float]) -> list[float]:
    """Quantiles (0 <= q <= 1) in the values' unit; nan when the sketch is empty."""
    return [float(value) for value in _one_group([sketch]).quantiles(qs)[0]]


def count(sketch: bytes) -> int:
    """How many values the sketch holds."""
    return int(_decode([sketch])[2].sum())


def _one_group(sketches: Iterable[bytes]) -> Bins:
    listed = list(sketches)
    return Bins.of_sketches(np.zeros(len(listed), dtype=np.int64), listed, 1)


def _representative(index: Ints) -> Floats:
    return np.where(index == _ZERO_BIN, 0.0, 2 * np.exp(index * _LOG_GAMMA) / (_GAMMA + 1))


def _zigzag(numbers: Ints) -> Ints:
    return np.where(numbers >= 0, 2 * numbers, -2 * numbers - 1)


def _leb128(numbers: NDArray[np.uint64]) -> tuple[bytes, Ints]:
    lengths = np.ones(len(numbers), dtype=np.int64)
    for power in range(1, 10):
        lengths += numbers >= np.uint64(1 << (7 * power))
    start = np.cumsum(lengths) - lengths
    out = np.zeros(int(lengths.sum()), dtype=np.uint8)
    for k in range(int(lengths.max(initial=0))):
        has = lengths > k
        low = (numbers[has] >> np.uint64(7 * k)) & np.uint64(0x7F)
        out[start[has] + k] = low.astype(np.uint8) | np.where(lengths[has] > k + 1, 0x80, 0).astype(np.uint8)
    return out.tobytes(), lengths


def _decode(sketches: Sequence[bytes]) -> tuple[Ints, Ints, Ints]:
    """(position of the sketch, bin, count) of every bin of every sketch."""
    if any(sketch[:1] != _VERSION for sketch in sketches):
        raise ValueError("not a quantile sketch of version 1: the cell was written by something else")
    data = np.frombuffer(b"".join(sketch[1:] for sketch in sketches), dtype=np.uint8)
    if not len(data):
        empty = np.zeros(0, dtype=np.int64)
        return empty, empty, empty
    last = data < 0x80
    number_of: Ints = np.cumsum(last) - last
    first = np.concatenate(([0], np.flatnonzero(last)[:-1] + 1))
    shift = 7 * (np.arange(len(data)) - first[number_of])
    numbers = np.zeros(int(last.sum()), dtype=np.int64)
    np.add.at(numbers, number_of, (data & 0x7F).astype(np.int64) << shift)
    lengths = np.array([len(sketch) - 1 for sketch in sketches], dtype=np.int64)
    start: Ints = number_of[np.cumsum(lengths) - lengths]
    bins = numbers[start]
    owner = np.repeat(np.arange(len(sketches)), bins)
    before = np.cumsum(bins) - bins
    at = start[owner] + 1 + 2 * (np.arange(len(owner)) - before[owner])
    step, counts = numbers[at], numbers[at + 1]
    filled = bins > 0
    opens = before[filled]
    step[opens] = (step[opens] >> 1) ^ -(step[opens] & 1)
    total = np.cumsum(step)
    offset = np.zeros(len(sketches), dtype=np.int64)
    offset[filled] = total[opens] - step[opens]
    return owner, total - offset[owner], counts
