"""Runs missing from a steady cadence, and everything that only looks like it."""

from typing import Any

import pandas as pd
import pytest

from analytics_lib.anomaly import missing_runs
from analytics_lib.windows import Window
from tests.anomaly.points import MINUTE_US, SERIES, frame, hour, point, without_baseline

END = 12  # points of the hours 0 to 12, of which the last one is open
NOTHING = pd.DataFrame(columns=["workflow_id", "environment", "started_at_us", "until_us"])


def hours(*with_runs: int, owed: Any = range(END + 1), **fields: Any) -> pd.DataFrame:
    """Runs in these hours, one owed in those."""
    rows = [
        point(n, float(n in with_runs), metric="runs_per_hour", expected=1.0, **fields)
        | ({} if n in owed else {"active_share": 0.1})
        for n in range(END + 1)
    ]
    return frame(*rows)


def bands(share: float = 1.0, slots: int = 24, n: int = 8, level: str = "hour_of_week") -> pd.DataFrame:
    row = {**SERIES, "metric": "runs_per_hour", "level": level, "n": n, "active_share": share}
    return frame(*(row | {"slot": slot} for slot in range(slots)))


def complete(to: float = END) -> pd.DataFrame:
    return frame({"workflow_id": "invoices", "environment": "production", "complete_to_us": hour(to)})


def missing(
    points: pd.DataFrame,
    *,
    of: pd.DataFrame | None = None,
    running: pd.DataFrame = NOTHING,
    to: float = END,
    history: Window | None = None,
) -> list[int]:
    found = missing_runs(points, bands() if of is None else of, running, complete(to), history)
    return [(at - hour(0)) // (hour(1) - hour(0)) for at in found["hour_us"]]


ALL = tuple(range(END))


def without(*silent: int) -> tuple[int, ...]:
    return tuple(n for n in ALL if n not in silent)


def test_a_steady_cadence_misses_nothing() -> None:
    assert missing(hours(*ALL)) == []


def test_each_owed_hour_without_a_run_is_missing() -> None:
    found = missing_runs(hours(*without(3, 4, 8)), bands(), NOTHING, complete())
    assert missing(hours(*without(3, 4, 8))) == [3, 4, 8]
    first = found.iloc[0]
    assert (first.kind, first.observed, first.expected, first.n) == ("missing_runs", 0.0, 1.0, 1)
    # 24 slots of 8 hours, none silent: 1 / 194 for the first hour, its square for the second.
    assert found["score"].tolist() == [-2.5653, -4.0414, -2.5653]


def test_an_hour_is_judged_when_its_data_is_complete_and_not_before() -> None:
    assert missing(hours(*without(6, 7)), to=7) == [6]
    assert missing(hours(*without(6, 7)), to=6.99) == []


def test_a_workflow_of_unknown_hosts_is_not_judged() -> None:
    nothing = complete().iloc[:0]
    assert missing_runs(hours(), bands(), NOTHING, nothing).empty


def test_nothing_is_owed_without_a_baseline() -> None:
    rows = frame(*(without_baseline(point(n, 0.0, metric="runs_per_hour")) for n in range(END + 1)))
    assert missing(rows) == []


def test_nothing_is_owed_by_a_short_history() -> None:
    assert missing(hours(n_baseline=4)) == []
    assert missing(hours(level="overall", n_baseline=1000)) == []
    assert missing(hours(level="hour_of_day", n_baseline=19), of=bands(level="hour_of_day", n=19)) == []
    assert missing(hours(level="hour_of_day", n_baseline=20), of=bands(level="hour_of_day", n=20)) == [*ALL]


def test_nothing_is_owed_where_runs_come_by_chance() -> None:
    assert missing(hours(active_share=0.8)) == []


def test_a_run_that_is_still_running_is_not_missing() -> None:
    whole = {"workflow_id": "invoices", "environment": "production"}
    long = frame(whole | {"started_at_us": hour(3) + MINUTE_US, "until_us": hour(6) + MINUTE_US})
    assert missing(hours(*without(3, 4, 5, 6, 7)), running=long) == [7]
    other = long.assign(workflow_id="payroll")
    assert missing(hours(*without(3, 4, 5, 6, 7)), running=other) == [3, 4, 5, 6, 7]


def test_a_run_in_a_neighbouring_hour_counts_when_none_is_owed_there() -> None:
    at_three = [3]
    assert missing(hours(2, owed=at_three)) == []  # early
    assert missing(hours(4, owed=at_three)) == []  # late
    assert missing(hours(1, 5, owed=at_three)) == [3]
    assert missing(hours(3, owed=[3, 4])) == [4]  # hour 3 had its own


def test_a_run_that_may_come_late_is_waited_for() -> None:
    assert missing(hours(owed=[3]), to=4) == []
    assert missing(hours(owed=[3]), to=5) == [3]
    assert missing(hours(owed=[3, 4]), to=4) == [3]


def test_the_last_hour_waits_where_nothing_is_known_of_the_next() -> None:
    assert missing(hours(*without(11)).iloc[:-1]) == []


def test_a_cadence_with_holes_is_reported_when_the_row_is_improbable() -> None:
    one_in_fifty = bands(share=0.98)
    assert missing(hours(*without(3), active_share=0.98), of=one_in_fifty) == []
    assert missing(hours(*without(3, 4), active_share=0.98), of=one_in_fifty) == []  # 4 in 10,000
    assert missing(hours(*without(3, 4, 5), active_share=0.98), of=one_in_fifty) == [3, 4, 5]
    assert missing(hours(active_share=0.95), of=bands(share=0.95)) == []  # not steady enough to owe


def test_a_baseline_learnt_from_the_silence_does_not_take_it_for_normal() -> None:
    rows = hours(*without(3))
    rows.loc[rows["hour_us"] == hour(3), "active_share"] = 7 / 8  # seven Mondays with a run, and this one
    assert missing(rows) == []
    assert missing(rows, history=Window(hour(-1300), hour(END))) == [3]
    assert missing(rows, history=Window(hour(-1300), hour(3))) == []


def test_series_do_not_touch_each_other() -> None:
    other = hours(*without(0)).assign(workflow_id="payroll")
    both = pd.concat([hours(*without(11)), other], ignore_index=True)
    everything = pd.concat([bands(), bands().assign(workflow_id="payroll")])
    ends = pd.concat([complete(), complete().assign(workflow_id="payroll")])
    found = missing_runs(both, everything, NOTHING, ends)
    assert found[["workflow_id", "hour_us"]].to_numpy().tolist() == [
        ["invoices", hour(11)],
        ["payroll", hour(0)],
    ]
    assert found["score"].tolist() == [-2.5653, -2.5653]


@pytest.mark.parametrize("factor", [10, 1000])
def test_how_many_runs_are_usual_does_not_matter(factor: int) -> None:
    rows = hours(*without(3))
    scaled = rows.assign(value=rows["value"] * factor, expected=1.0 * factor)
    assert missing(scaled) == [3]
    assert missing_runs(scaled, bands(), NOTHING, complete())["n"].tolist() == [factor]


def test_the_input_stays_as_it_was() -> None:
    rows, learnt = hours(*without(3)), bands()
    before = rows.copy(deep=True), learnt.copy(deep=True)
    missing(rows, of=learnt)
    pd.testing.assert_frame_equal(rows, before[0])
    pd.testing.assert_frame_equal(learnt, before[1])
