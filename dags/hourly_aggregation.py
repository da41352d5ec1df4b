"""Rolls up every hour that has news: executions, steps and resource samples become hourly rows.

- **When:** every hour at :05. Work is what the ledger says is pending: late rows, missed runs are caught up.
- **What you see:** plan deals what is pending into up to 8 batches; publish returns what is done and left.
- **If it is red,** this pipeline failed, never a robot; the log says why. Running it again is harmless.
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

    @task
    def plan(params: dict[str, Any]) -> list[Any]:
        return pipeline.plan_aggregation(store_location(), max_days=300, **as_chosen(params))

    @task(execution_timeout=timedelta(minutes=50))
    def aggregate_batch(batch: list[Any], params: dict[str, Any]) -> dict[str, Any]:
        return pipeline.aggregate_batch(store_location(), batch, as_of=as_chosen(params)["as_of"])

    @task(trigger_rule="none_failed", outlets=[ROLLUPS])
    def publish(batches: Any, params: dict[str, Any], outlet_events: Any) -> Any:
        done = pipeline.finish_aggregation(store_location(), batches or [], **as_chosen(params))
        outlet_events[ROLLUPS].extra = done
        return done

    mark_window() >> sweep_abandoned() >> (planned := plan())
    publish(aggregate_batch.expand(batch=planned))


hourly_aggregation()
