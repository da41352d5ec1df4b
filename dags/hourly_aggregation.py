"""Rolls up every hour that has news: executions, steps and resource samples become hourly rows.

- **When:** every hour at :05. Work is what the store's ledger says is pending, never an interval: late rows,
  missed runs and restarts are caught up by the next run.
- **Params** (empty in a normal run) recompute a window's hours, take another moment for now, or only count.
- **What you see:** aggregate_pending logs and returns rows read, hours, rollup rows, late rows and what is
  still pending; publish hands that on with the asset rpa_hourly_rollups, after a quiet hour too. After 300
  days of rows a run leaves the rest, the older days, to the next one.
- **If it is red,** this pipeline failed, never a robot; the error in the log says why. What no retry heals (a
  wrong window or setting, another schema) fails at once. Running it again leaves the same rows.
"""

from datetime import timedelta
from typing import Any

from airflow.sdk import Param, dag, task
from airflow.sdk.exceptions import AirflowSkipException
from rpa_wiring import ROLLUPS, RUNS, as_chosen, chosen_window, store_location, time_param

from analytics_lib import pipeline


@dag(
    schedule="5 * * * *",
    params={
        "window_start": time_param("Compute again from", "Empty: only what is pending."),
        "window_end": time_param("Compute again up to", "This moment itself is not included."),
        "as_of": time_param("Take this for now", "Later hours stay open. Empty: the time it is."),
        "dry_run": Param(False, type="boolean", title="Dry run", description_md="Count, and write nothing."),
    },
    doc_md=__doc__,
    **RUNS,
)
def hourly_aggregation() -> None:
    @task
    def mark_window(params: dict[str, Any]) -> dict[str, Any]:
        if (window := chosen_window(params)) is None:
            raise AirflowSkipException("no window was chosen: only what is pending is rolled up")
        hours = {"window_start": window[0], "window_end": window[1], "dry_run": params["dry_run"]}
        return pipeline.mark_window(store_location(), **hours)

    @task(trigger_rule="none_failed")
    def sweep_abandoned(params: dict[str, Any]) -> dict[str, Any]:
        return pipeline.sweep_abandoned(store_location(), **as_chosen(params))

    @task(execution_timeout=timedelta(minutes=50))
    def aggregate_pending(params: dict[str, Any]) -> dict[str, Any]:
        return pipeline.aggregate_pending(store_location(), max_days=300, **as_chosen(params))

    @task(trigger_rule="none_failed", outlets=[ROLLUPS])
    def publish(done: dict[str, Any], outlet_events: Any) -> None:
        outlet_events[ROLLUPS].extra = done

    mark_window() >> sweep_abandoned() >> (done := aggregate_pending())
    publish(done)


hourly_aggregation()
