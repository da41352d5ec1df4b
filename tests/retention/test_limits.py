from datetime import UTC, datetime

import pytest

from analytics_lib.errors import SettingsError
from analytics_lib.retention.limits import limits_at
from analytics_lib.windows import from_us, to_us

MORNING = to_us(datetime(2026, 5, 31, 3, 30, tzinfo=UTC))


def test_limits_are_midnights_so_that_days_leave_whole() -> None:
    limits = limits_at(MORNING, keep_raw_days=30, keep_hourly_months=3)
    assert from_us(limits.raw_us) == datetime(2026, 5, 1, tzinfo=UTC)
    assert from_us(limits.hourly_us) == datetime(2026, 2, 28, tzinfo=UTC)
    assert from_us(limits.quarantine_us) == datetime(2025, 4, 26, tzinfo=UTC)


def test_months_are_counted_over_the_turn_of_the_year() -> None:
    january = to_us(datetime(2026, 1, 15, tzinfo=UTC))
    assert from_us(limits_at(january, keep_hourly_months=12).hourly_us) == datetime(2025, 1, 15, tzinfo=UTC)
    assert from_us(limits_at(january, keep_hourly_months=13).hourly_us) == datetime(2024, 12, 15, tzinfo=UTC)


@pytest.mark.parametrize(
    ("spans", "problem"),
    [
        ({"keep_raw_days": 27}, "at least 28 days"),
        ({"keep_raw_days": -5}, "missing runs are judged"),
        ({"keep_hourly_months": 2}, "eight weeks"),
        ({"keep_hourly_months": 10**6}, "before the year 1"),
    ],
)
def test_spans_that_other_stages_cannot_live_with_are_refused(spans: dict[str, int], problem: str) -> None:
    with pytest.raises(SettingsError, match=problem):
        limits_at(MORNING, **spans)
