"""The policy against frames small enough to check on paper. Days are counted from 1970, hours too."""

from typing import Any

import pandas as pd

from analytics_lib.retention import policy
from analytics_lib.windows import DAY_US, HOUR_US

NO_MARKS = pd.DataFrame({"source": [], "hour_us": []})


def days(*rows: tuple[str, int]) -> pd.DataFrame:
    return pd.DataFrame([(s, day * DAY_US) for s, day in rows], columns=["source", "day_us"])


def counts(*rows: tuple[str, int, int, str, int]) -> pd.DataFrame:
    """source, hour, bucket, measure, n."""
    return pd.DataFrame([(s, h * HOUR_US, b, m, n) for s, h, b, m, n in rows], columns=policy.COUNTS)


def marks(*rows: tuple[str, int]) -> pd.DataFrame:
    return pd.DataFrame([(s, hour * HOUR_US) for s, hour in rows], columns=["source", "hour_us"])


def verdicts(*arguments: Any) -> list[str]:
    return list(policy.judge_days(*arguments)["verdict"])


def test_a_day_that_is_rolled_up_and_old_may_leave() -> None:
    same = counts(("step", 30, 4, "", 7), ("step", 31, 4, "", 1))
    assert verdicts(days(("step", 1)), NO_MARKS, same, same, 2 * DAY_US) == ["archive"]


def test_a_day_that_ends_after_the_limit_is_young() -> None:
    same = counts(("step", 30, 4, "", 7))
    assert verdicts(days(("step", 1)), NO_MARKS, same, same, 2 * DAY_US - 1) == ["young"]


def test_a_mark_in_its_hours_keeps_a_day_and_only_that_of_the_source() -> None:
    same = counts(("step", 30, 4, "", 7), ("execution", 30, 4, "", 1), ("step", 50, 4, "", 1))
    asked = days(("step", 1), ("execution", 1), ("step", 2))
    found = verdicts(asked, marks(("step", 47)), same, same, 9 * DAY_US)
    assert found == ["pending", "archive", "archive"]


def test_any_difference_in_any_shard_keeps_a_day() -> None:
    raw = counts(("step", 30, 4, "", 7), ("step", 31, 5, "", 2))
    for rolled_up in (
        counts(("step", 30, 4, "", 7)),  # an hour is missing
        counts(("step", 30, 4, "", 7), ("step", 31, 6, "", 2)),  # in another bucket
        counts(("step", 30, 4, "", 7), ("step", 31, 5, "", 1)),  # a row is missing
        counts(("step", 30, 4, "", 7), ("step", 31, 5, "", 3)),  # a row too many
        counts(("execution", 30, 4, "", 7), ("execution", 31, 5, "", 2)),  # of another source
        counts(),
    ):
        found = verdicts(days(("step", 1)), NO_MARKS, raw, rolled_up, 9 * DAY_US)
        assert found == ["not_rolled_up"], rolled_up


def test_samples_are_compared_metric_by_metric() -> None:
    raw = counts(("resource", 30, 4, "cpu_percent", 2), ("resource", 30, 4, "memory_used_bytes", 1))
    assert verdicts(days(("resource", 1)), NO_MARKS, raw, raw, 9 * DAY_US) == ["archive"]
    one_missing = counts(("resource", 30, 4, "cpu_percent", 2))
    assert verdicts(days(("resource", 1)), NO_MARKS, raw, one_missing, 9 * DAY_US) == ["not_rolled_up"]


def test_raw_rows_are_counted_by_shard_and_samples_by_measured_metric() -> None:
    steps = pd.DataFrame({"ended_at_us": [5, 6, HOUR_US], "bucket": [1, 1, 1]})
    found = policy.count_rows("step", steps)
    assert found.to_dict("list") == {
        "source": ["step", "step"],
        "hour_us": [0, HOUR_US],
        "bucket": [1, 1],
        "measure": ["", ""],
        "n": [2, 1],
    }
    samples = pd.DataFrame({name: [None, None] for name in policy.RESOURCE_METRICS})
    samples = samples.assign(sampled_at_us=[5, 6], bucket=3, cpu_percent=[1.5, None], thread_count=[4, 5])
    measured = policy.count_rows("resource", samples)
    assert dict(zip(measured["measure"], measured["n"], strict=True)) == {"cpu_percent": 1, "thread_count": 2}


def test_no_rows_are_counted_as_none() -> None:
    steps = pd.DataFrame({"ended_at_us": [], "bucket": []})
    assert list(policy.count_rows("step", steps).columns) == policy.COUNTS
    samples = pd.DataFrame({name: [] for name in (*policy.RESOURCE_METRICS, "sampled_at_us", "bucket")})
    assert list(policy.count_rows("resource", samples).columns) == policy.COUNTS


def test_shards_have_vanished_where_fewer_rows_are_left_than_were_rolled_up() -> None:
    rolled_up = counts(("step", 30, 4, "", 7), ("step", 31, 4, "", 2), ("step", 32, 4, "", 1))
    now = counts(("step", 30, 4, "", 8), ("step", 31, 4, "", 1))
    found = policy.vanished_shards(now, rolled_up)
    assert list(found["hour_us"] // HOUR_US) == [31, 32]


def test_hourly_rows_go_when_the_day_is_old_and_has_neither_raw_rows_nor_marks() -> None:
    hourly = days(("step", 1), ("step", 2), ("step", 3), ("step", 4), ("execution", 2))
    found = policy.hourly_days_to_delete(hourly, days(("step", 2)), marks(("step", 3 * 24 + 5)), 4 * DAY_US)
    assert found.to_dict("list") == {"source": ["step", "execution"], "day_us": [DAY_US, 2 * DAY_US]}


def test_the_input_is_not_altered() -> None:
    frames = [days(("step", 1)), marks(("step", 30)), counts(("step", 30, 4, "", 7)), counts()]
    copies = [frame.copy() for frame in frames]
    policy.judge_days(*frames, 9 * DAY_US)
    policy.hourly_days_to_delete(frames[0], frames[0], frames[1], 9 * DAY_US)
    for frame, copy in zip(frames, copies, strict=True):
        pd.testing.assert_frame_equal(frame, copy)
