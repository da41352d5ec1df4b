import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from analytics_lib.rollup import sketch

positive = st.floats(min_value=1e-6, max_value=1e15)
values = st.lists(st.one_of(st.just(0.0), positive), min_size=1, max_size=200)


@given(values, st.floats(min_value=0, max_value=1))
def test_quantile_is_within_one_percent_of_the_exact_one(numbers: list[float], q: float) -> None:
    exact = float(np.quantile(numbers, q))
    assert sketch.quantiles(sketch.encode(np.array(numbers)), [q])[0] == pytest.approx(exact, rel=0.0101)


@given(st.lists(values, min_size=1, max_size=8))
def test_merging_parts_gives_the_bytes_of_the_whole(parts: list[list[float]]) -> None:
    merged = sketch.merge(sketch.encode(np.array(part)) for part in parts)
    assert merged == sketch.encode(np.array([x for part in parts for x in part]))
    assert sketch.count(merged) == sum(map(len, parts))


@given(st.lists(st.tuples(st.integers(0, 4), st.one_of(st.just(0.0), positive)), max_size=100))
def test_groups_are_encoded_as_if_alone(rows: list[tuple[int, float]]) -> None:
    groups = np.array([g for g, _ in rows], dtype=np.int64)
    numbers = np.array([x for _, x in rows], dtype=np.float64)
    bins = sketch.Bins.of_values(groups, numbers, 5)
    alone = [sketch.encode(numbers[groups == g]) for g in range(5)]
    assert bins.encode() == alone
    for group, row in enumerate(bins.quantiles([0.0, 0.5, 0.95])):
        np.testing.assert_array_equal(row, sketch.quantiles(alone[group], [0.0, 0.5, 0.95]))


def test_an_empty_sketch_has_no_quantile_and_merges_as_nothing() -> None:
    empty = sketch.encode(np.array([]))
    assert np.isnan(sketch.quantiles(empty, [0.5])[0])
    one = sketch.encode(np.array([5.0]))
    assert sketch.merge([empty, one, empty]) == one
    assert sketch.merge([]) == empty


def test_foreign_bytes_are_refused() -> None:
    with pytest.raises(ValueError, match="not a quantile sketch"):
        sketch.merge([b"pickle"])
