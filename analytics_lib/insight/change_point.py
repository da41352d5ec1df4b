"""Since when is it worse? The one split of a history behind which values are highest.

For every hour s the history is cut into before and from s on; the cut that explains most wins:

    gain(s) = W1 W2 / (W1 + W2) * (m2 - m1)^2,   only where m2 > m1

with weights W and weighted means m of the two parts. It is the first step of binary segmentation
(Scott, Knott, "A cluster analysis method for grouping means", Biometrics 30, 1974). Where it misleads:
a slow drift has no moment at which it began, and of two changes the larger hides the other. Whether
the change is real is not decided here: the best of many cuts looks better than chance would have it.

>>> worse_since([0, 1, 2, 3, 4, 5], [1, 2, 1, 9, 8, 9], [1, 1, 1, 1, 1, 1], latest_us=5)
3
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike


def worse_since(
    hours_us: Sequence[int] | ArrayLike,
    values: ArrayLike,
    weights: ArrayLike,
    *,
    earliest_us: int = 0,
    latest_us: int,
) -> int | None:
    """The hour in [earliest, latest] from which the values (high is bad) are highest; None for none.

    Hours are in order; rows of one hour count together.
    """
    hours, first = np.unique(np.asarray(hours_us, dtype=np.int64), return_index=True)
    if len(hours) < 2:
        return None
    w = np.add.reduceat(np.asarray(weights, dtype=np.float64), first)
    v = np.add.reduceat(np.asarray(values, dtype=np.float64) * np.asarray(weights, dtype=np.float64), first)
    weight_before, sum_before = np.cumsum(w)[:-1], np.cumsum(v)[:-1]
    weight_after, sum_after = w.sum() - weight_before, v.sum() - sum_before
    allowed = (hours[1:] >= earliest_us) & (hours[1:] <= latest_us) & (weight_before > 0) & (weight_after > 0)
    with np.errstate(divide="ignore", invalid="ignore"):
        rise = sum_after / weight_after - sum_before / weight_before
        gain = np.where(
            allowed & (rise > 0),
            weight_before * weight_after / (weight_before + weight_after) * rise**2,
            -1.0,
        )
    best = int(np.argmax(gain))
    return int(hours[1:][best]) if gain[best] > 0 else None
