"""The archive's DAG, run by Airflow: by hand it only foretells, on schedule it archives and deletes."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import delete

from analytics_lib import TimeSeriesStore, pipeline, schema
from tests.dags.conftest import RunDag
from tests.make import NOON, execution, step, table_rows

pytestmark = pytest.mark.slow


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[TimeSeriesStore]:
    """A day that is rolled up and judged."""
    monkeypatch.setenv("RPA_ANALYTICS_STORE", str(tmp_path / "store"))
    with TimeSeriesStore(tmp_path / "store") as opened:
        opened.write_metrics([execution("e1"), step("e1", 1)])
        pipeline.aggregate_pending(tmp_path / "store", as_of=NOON + timedelta(days=1))
        with opened.engine.begin() as connection:
            connection.execute(delete(schema.pending))
        yield opened


def test_a_run_by_hand_foretells_and_changes_nothing(store: TimeSeriesStore, run_dag: RunDag) -> None:
    run = run_dag("archive_retention", as_of="2026-07-01T00:00:00Z")
    done = run.results["archive_and_retain"]
    assert (run.state, done["dry_run"], done["rows_archived"]) == ("success", True, 2)
    assert "dry run, nothing was changed" in run.log
    assert len(table_rows(store.engine, "step_metrics")) == 1


def test_a_run_by_hand_archives_when_told_to(store: TimeSeriesStore, run_dag: RunDag, tmp_path: Path) -> None:
    run = run_dag("archive_retention", as_of="2026-04-20T00:00:00Z", dry_run=False, keep_raw_days=30)
    done = run.results["archive_and_retain"]
    assert (run.state, done["dry_run"], done["rows_archived"], done["rows_deleted"]) == (
        "success",
        False,
        2,
        2,
    )
    assert (tmp_path / "store/archive/step/day=2026-03-02/part-0.parquet").is_file()
    assert table_rows(store.engine, "execution") == []


def test_a_scheduled_run_is_never_dry(store: TimeSeriesStore, run_dag: RunDag) -> None:
    run = run_dag("archive_retention", scheduled_at=NOON + timedelta(days=200), as_of="2026-07-01T00:00:00Z")
    assert run.results["archive_and_retain"]["rows_deleted"] == 2


def test_an_archive_that_cannot_be_written_is_one_sentence_with_the_remedy(
    store: TimeSeriesStore, run_dag: RunDag, tmp_path: Path
) -> None:
    (tmp_path / "store" / "archive").write_text("a file in the place of the folder")
    run = run_dag("archive_retention", as_of="2026-07-01T00:00:00Z", dry_run=False, retries=0)
    assert run.state == "failed"
    assert "make room, or move the archive and set RPA_ANALYTICS_ARCHIVE" in run.log
    assert len(table_rows(store.engine, "step_metrics")) == 1
