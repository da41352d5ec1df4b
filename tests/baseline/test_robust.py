from statistics import median

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from analytics_lib.baseline import robust

rows = st.lists(st.tuples(st.integers(0, 4), st.floats(-1e9, 1e9)), max_size=60)


@given(rows)
def test_every_group_has_its_own_median_mad_and_reach(rows: list[tuple[int, float]]) -> None:
    groups = np.array([group for group, _ in rows], dtype=np.int64)
    spread = robust.spread_by_group(groups, np.array([value for _, value in rows], dtype=np.float64), 5)
    for group in range(5):
        values = [value for of, value in rows if of == group]
        assert spread.n[group] == len(values)
        if not values:
            assert np.isnan([spread.center[group], spread.scale[group], spread.reach[group]]).all()
            continue
        away = [abs(value - median(values)) for value in values]
        assert spread.center[group] == pytest.approx(median(values))
        assert spread.scale[group] == pytest.approx(1.4826 * median(away))
        assert spread.reach[group] == pytest.approx(max(away))


def test_large_groups_are_worked_through_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    groups, values = np.arange(60, dtype=np.int64) % 10, np.arange(60, dtype=np.float64)
    whole = robust.spread_by_group(groups, values, 10)
    monkeypatch.setattr(robust, "_CHUNK_VALUES", 20)
    parts = robust.spread_by_group(groups, values, 10)
    assert parts.center.tolist() == whole.center.tolist() == [25.0 + group for group in range(10)]
    assert parts.scale.tolist() == whole.scale.tolist()


def test_half_of_the_values_may_be_strange_and_the_centre_stays() -> None:
    values = np.array([10.0, 11.0, 9.0, 10.0, 10.0, 1e9, 1e9, 1e9])
    spread = robust.spread_by_group(np.zeros(8, dtype=np.int64), values, 1)
    assert spread.center[0] == 10.5
    assert spread.scale[0] < 2
