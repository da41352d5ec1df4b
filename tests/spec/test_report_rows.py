"""What a report reads beside the rollups, on both databases: the insights that held in its window."""

from collections.abc import Iterator

import pytest
from sqlalchemy import insert

from analytics_lib import TimeSeriesStore, schema
from analytics_lib.store import report_rows
from analytics_lib.windows import Window
from tests.databases import CopyOf, with_tables
from tests.report.inputs import insight

WINDOW = Window(100, 200)


@pytest.fixture
def location(copy_of: CopyOf) -> str:
    return copy_of(with_tables)


@pytest.fixture
def store(location: str) -> Iterator[TimeSeriesStore]:
    with TimeSeriesStore(location) as opened:
        yield opened


def test_insights_that_held_in_the_window_are_read(store: TimeSeriesStore) -> None:
    resolved = {"state": "resolved", "rank": 0}
    rows = [
        insight("began later", first_seen_us=200),
        insight("lasts", first_seen_us=1),
        insight("new", first_seen_us=199, state="new"),
        insight("over in it", first_seen_us=1, resolved_at_us=100, **resolved),
        insight("over after it", first_seen_us=1, resolved_at_us=999, **resolved),
        insight("over before it", first_seen_us=1, resolved_at_us=99, **resolved),
    ]
    with store.engine.begin() as connection:
        connection.execute(insert(schema.insight), rows)
        found = report_rows.read_insights(connection, WINDOW)
    assert sorted(found["workflow_id"]) == ["lasts", "new", "over after it", "over in it"]
    assert list(found.columns) == [column.name for column in schema.insight.columns]


def test_nothing_is_judged_before_there_are_baselines_or_insights(store: TimeSeriesStore) -> None:
    with store.engine.begin() as connection:
        assert not report_rows.is_judged(connection)
        assert report_rows.read_insights(connection, WINDOW).empty
        connection.execute(insert(schema.insight), [insight(resolved_at_us=1)])
        assert report_rows.is_judged(connection)
