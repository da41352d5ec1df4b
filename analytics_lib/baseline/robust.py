"""Median and MAD of a million small groups at once.

center = median(x), scale = 1.4826 · median(|x - center|), which for normal values is their standard
deviation; both stay put until half of the values are strange, where one is enough for mean and variance.
When it misleads: the MAD of values more than half of which are equal is 0 (hence the floors in
`spaces`), and two separate populations get a centre in one of them.
Source: Rousseeuw and Croux, "Alternatives to the median absolute deviation", JASA 88 (424), 1993.

Groups of the same size are sorted together as the rows of one matrix, so that no loop runs per group.

>>> spread = spread_by_group(np.array([0, 0, 0, 1]), np.array([1.0, 100.0, 2.0, 5.0]), 2)
>>> spread.n.tolist(), spread.center.tolist(), spread.scale.round(2).tolist(), spread.reach.tolist()
([3, 1], [2.0, 5.0], [1.48, 0.0], [98.0, 0.0])
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from analytics_lib.seasons import Ints

Floats = NDArray[np.float64]
MAD_TO_SIGMA: Final = 1.4826
_CHUNK_VALUES: Final = 4_000_000  # bounds the memory: a chunk is copied three times


@dataclass(frozen=True, slots=True)
class Spread:
    """Of every group: how many values, their centre and scale, and how far the farthest lies from it."""

    n: Ints
    center: Floats
    scale: Floats
    reach: Floats

    def of(self, groups: Ints) -> "Spread":
        """The spread of just these groups."""
        return Spread(self.n[groups], self.center[groups], self.scale[groups], self.reach[groups])


def spread_by_group(groups: Ints, values: Floats, n_groups: int) -> Spread:
    """The robust spread of each group; NaN where a group is empty. Values are finite, in any order."""
    n = np.bincount(groups, minlength=n_groups).astype(np.int64)
    ordered = values[np.argsort(groups, kind="stable")]
    starts = np.cumsum(n) - n
    center, scale, reach = (np.full(n_groups, np.nan) for _ in range(3))
    for size in np.unique(n[n > 0]).tolist():
        of_size = np.flatnonzero(n == size)
        step = max(_CHUNK_VALUES // size, 1)
        for at in range(0, len(of_size), step):
            some = of_size[at : at + step]
            rows = np.sort(ordered[starts[some][:, None] + np.arange(size)], axis=1)
            center[some] = _middle(rows)
            rows = np.sort(np.abs(rows - center[some][:, None]), axis=1)
            scale[some] = MAD_TO_SIGMA * _middle(rows)
            reach[some] = rows[:, -1]
    return Spread(n, center, scale, reach)


def _middle(rows: Floats) -> Floats:
    size = rows.shape[1]
    middle: Floats = (rows[:, (size - 1) // 2] + rows[:, size // 2]) / 2
    return middle
