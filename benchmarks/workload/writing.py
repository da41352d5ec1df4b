"""A simulation into a store, by its public API, in portions."""

from collections import Counter
from collections.abc import Callable

from analytics_lib import TimeSeriesStore

from .simulation import Simulation

PORTION_ROWS = 5_000


def write_workload(
    store: TimeSeriesStore,
    simulation: Simulation,
    *,
    portion_rows: int = PORTION_ROWS,
    after_day: Callable[[int], object] = lambda day_us: None,
) -> Counter[str]:
    """Writes all rows; gives those that were new by kind. `after_day` is called when a day is delivered."""
    written: Counter[str] = Counter()
    for day_us, delivered in simulation.delivered():
        for rows in delivered:
            for portion in rows.portions(portion_rows):
                for kind, count in store.write_values(portion).by_kind.items():
                    written[kind] += count.inserted
        after_day(day_us)
    return written
