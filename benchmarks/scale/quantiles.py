"""p50, p95 and p99 of every step over a month: from merged daily sketches, and exactly from the raw rows."""

import numpy as np

from scale.children import Answer, Clock, medians, run

LEAST_ROWS = 25
QUANTILES = (0.5, 0.95, 0.99)


def measure(location: str, since_us: int, until_us: int, rounds: int) -> None:
    period = {"location": location, "since_us": since_us, "until_us": until_us}
    found = medians(
        rounds,
        {
            "ours": lambda: run("quantiles.from_sketches", **period),
            "exact": lambda: run("quantiles.exactly", **period),
        },
    )
    errors = run("quantiles.errors", **period)
    ours, exact = found["ours"], found["exact"]
    print(
        f"  {ours['groups']:,.0f} workflow-steps: from daily sketches {ours['seconds']:.2f} s, "
        f"percentile_cont on {exact['rows']:,.0f} raw rows {exact['seconds']:.2f} s, "
        f"ratio {exact['seconds'] / ours['seconds']:.1f}"
    )
    print(
        f"  error in {errors['groups']:,} groups of at least {LEAST_ROWS} rows: "
        f"at most {errors['worst']:.3%} (mean {errors['mean']:.3%}), above 1 %: {errors['above']}"
    )


def from_sketches(location: str, since_us: int, until_us: int) -> Answer:
    from analytics_lib.store import open_store, rollup_rows  # noqa: F401  # imports are not measured

    with open_store(location) as store:
        clock = Clock()
        keys, _, _ = _merged(store, since_us, until_us)
        return clock.answer(groups=len(keys))


def _merged(store, since_us: int, until_us: int):  # type: ignore[no-untyped-def]  # arrays of whatever is there
    """(keys, rows of each, quantiles of each) from the daily rows."""
    from sqlalchemy import select

    from analytics_lib.rollup.sketch import Bins
    from analytics_lib.schema import rollup_step_daily as daily
    from analytics_lib.store.engine import connect_to_read

    query = select(
        daily.c.workflow_id,
        daily.c.step_id,
        daily.c.n_rated,
        daily.c.duration_min_ms,
        daily.c.duration_max_ms,
        daily.c.duration_sketch,
    ).where(daily.c.day_us >= since_us, daily.c.day_us < until_us, daily.c.n_rated > 0)
    with connect_to_read(store.engine) as connection:
        flows, steps, rated, low, high, sketches = zip(*map(tuple, connection.execute(query)), strict=True)
    numbers: dict[tuple[str, str], int] = {}
    of_rows = np.array([numbers.setdefault(key, len(numbers)) for key in zip(flows, steps, strict=True)])
    lowest, highest = np.full(len(numbers), np.inf), np.zeros(len(numbers))
    np.minimum.at(lowest, of_rows, low)
    np.maximum.at(highest, of_rows, high)
    found = Bins.of_sketches(of_rows, sketches, len(numbers)).quantiles(QUANTILES)
    return (
        list(numbers),
        np.bincount(of_rows, weights=rated),
        np.clip(found, lowest[:, None], highest[:, None]),
    )


_EXACT = """
    SELECT workflow_id, step_id, count(*),
        percentile_cont(ARRAY[0.5, 0.95, 0.99]) WITHIN GROUP (ORDER BY duration_ms)
    FROM rpa.step_metrics
    WHERE ended_at_us >= {} AND ended_at_us < {} AND status <> 'skipped' GROUP BY 1, 2"""


def exactly(location: str, since_us: int, until_us: int) -> Answer:
    import psycopg

    with psycopg.connect(location.replace("+psycopg", "")) as connection:
        clock = Clock()
        rows = connection.execute(_EXACT.format(since_us, until_us)).fetchall()  # type: ignore[arg-type]  # our own text
        return clock.answer(groups=len(rows), rows=sum(row[2] for row in rows))


def errors(location: str, since_us: int, until_us: int) -> Answer:
    import psycopg

    from analytics_lib.store import open_store

    with open_store(location) as store:
        keys, rated, found = _merged(store, since_us, until_us)
    with psycopg.connect(location.replace("+psycopg", "")) as connection:
        exact = {
            (flow, step): (n, values)
            for flow, step, n, values in connection.execute(_EXACT.format(since_us, until_us))  # type: ignore[arg-type]
        }
    wrong = [key for key, n in zip(keys, rated, strict=True) if exact[key][0] != n]
    if wrong or len(keys) != len(exact):
        raise RuntimeError(f"{len(wrong)} groups have other rows in the rollups, as {wrong[:1]}")
    enough = [at for at, n in enumerate(rated) if n >= LEAST_ROWS]
    true = np.array([exact[keys[at]][1] for at in enough])
    off = np.abs(found[enough] - true) / true
    return {
        "groups": len(enough),
        "worst": float(off.max()),
        "mean": float(off.mean()),
        "above": int((off > 0.01).sum()),
    }
