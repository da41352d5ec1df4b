"""Moves raw rows of past days into the archive (Parquet), then out of the database; old hourly rows go, too.

- **When:** every day at 03:30 UTC. A day of a source leaves when it is older than keep_raw_days (90), all of
  it is rolled up and no stage has a mark in it. Its file is read back and compared before a row is deleted.
- **Params:** a run by hand is a **dry run** unless told otherwise: it says what would go, and changes
  nothing. Scheduled runs are never dry. Empty numbers mean the defaults.
- **What you see:** maintain_partitions makes and mends Postgres' days; archive_and_retain logs and returns
  days and rows archived, bytes, rows deleted, hourly rows deleted (after 25 months), and days kept because
  they are not rolled up or not judged yet, as the asset rpa_archive does. The files lie in
  RPA_ANALYTICS_ARCHIVE: keep it, and back it up.
- **If it is red,** this pipeline failed, never a robot; the log's last error says why: no room, or a file
  that is damaged or gone. Other days are done. Killed at any point, the next run finishes.
"""

from datetime import timedelta
from typing import Any

from airflow.sdk import Param, dag, task
from rpa_wiring import ARCHIVE, RUNS, now_or, store_location, time_param

from analytics_lib import pipeline

WHOLE = {"type": ["null", "integer"], "minimum": 1}


@dag(
    schedule="30 3 * * *",
    params={
        "keep_raw_days": Param(None, title="Keep raw rows (days)", description_md="Empty: 90.", **WHOLE),
        "keep_hourly_months": Param(
            None, title="Keep hourly rows (months)", description_md="Empty: 25.", **WHOLE
        ),
        "as_of": time_param("Take this for now", "What counts as old. Empty: the time it is."),
        "dry_run": Param(
            True, type="boolean", title="Dry run", description_md="Off: rows are archived and deleted."
        ),
    },
    doc_md=__doc__,
    **RUNS,
)
def archive_retention() -> None:
    @task
    def maintain_partitions(params: dict[str, Any], dag_run: Any) -> dict[str, Any]:
        dry_run = params["dry_run"] and dag_run.run_type == "manual"
        return pipeline.maintain_partitions(store_location(), as_of=now_or(params["as_of"]), dry_run=dry_run)

    @task(outlets=[ARCHIVE], execution_timeout=timedelta(minutes=55))
    def archive_and_retain(params: dict[str, Any], dag_run: Any, outlet_events: Any) -> dict[str, Any]:
        chosen = {name: params[name] for name in ("keep_raw_days", "keep_hourly_months") if params[name]}
        dry_run = params["dry_run"] and dag_run.run_type == "manual"
        as_of = now_or(params["as_of"])
        done = pipeline.archive_and_retain(store_location(), as_of=as_of, dry_run=dry_run, **chosen)
        outlet_events[ARCHIVE].extra = done
        return done

    maintain_partitions() >> archive_and_retain()


archive_retention()
