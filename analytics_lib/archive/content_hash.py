"""One number for many rows in any order: what a file must say again when it is read back.

Formula: every value becomes 64 bits (numbers their own bits, a text its blake2b-64, NULL a constant), and
so does the name of its column; a row folds them in the order of its columns, h ← mix(h + name + value),
with mix the finalizer of splitmix64; the hash is the sum of all rows' h modulo 2^64. A row that is
missing, doubled or different in any column changes it, but for one chance in 2^64; rows in another order
do not. It guards against accidents, not against somebody who forges rows. It is our own so that files of
years ago can still be checked: pandas promises no stable hash.

Source: G. Steele, D. Lea, C. Flood, "Fast Splittable Pseudorandom Number Generators", OOPSLA 2014.

>>> one, other = pa.record_batch({"n": [1, 2]}), pa.record_batch({"n": [2, 1]})
>>> hash_of(one) == hash_of(other), hash_of(one) == hash_of(one.slice(0, 1))
(True, False)
"""

import hashlib
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

_Words = npt.NDArray[np.uint64]
_NULL: Final = np.uint64(0x6E756C6C)
MODULUS: Final = 1 << 64


def hash_of(batch: pa.RecordBatch) -> int:
    """The hash of a batch; that of a file is the sum of its batches' modulo 2^64."""
    rows = np.zeros(batch.num_rows, dtype=np.uint64)
    for name, column in zip(batch.schema.names, batch.columns, strict=True):
        rows = _mix(rows + _words(column) + np.uint64(_text_word(name)))
    return int(rows.sum(dtype=np.uint64))


def _words(column: Any) -> _Words:
    if column.type == pa.string():
        encoded = column.dictionary_encode()
        texts = [_text_word(text) for text in encoded.dictionary.to_pylist()]
        found = np.array([*texts, 0], dtype=np.uint64)  # never empty, so that -1 below finds something
        words: _Words = found[pc.fill_null(encoded.indices, -1).to_numpy(zero_copy_only=False)]
    elif column.type == pa.float64():
        words = pc.fill_null(column, 0.0).to_numpy(zero_copy_only=False).view(np.uint64)
    else:
        numbers = pc.fill_null(column.cast(pa.int64()), 0)
        words = numbers.to_numpy(zero_copy_only=False).view(np.uint64)
    if column.null_count:
        words = np.where(column.is_null().to_numpy(zero_copy_only=False), _NULL, words)
    return words


def _text_word(text: str) -> int:
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big")


def _mix(words: _Words) -> _Words:
    words = words + np.uint64(0x9E3779B97F4A7C15)
    words = (words ^ (words >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    words = (words ^ (words >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return words ^ (words >> np.uint64(31))
