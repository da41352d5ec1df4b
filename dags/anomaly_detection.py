"""Judges what has changed, and what should have happened: hours that are not normal become anomalies.

- **When:** after each aggregation (the asset rpa_hourly_rollups), after a quiet one too: silence leaves no
  mark. The event only wakes it up: the hours with news are those that the store's ledger says are pending;
  for missing runs and silent hosts every hour of two days is looked at, as far as its data is complete.
- **Params** (empty in a normal run) judge the hours of a window again, take another moment for now, or only
  say what would be found. Hours of more than 14 days before are not judged.
- **What you see:** detect_anomalies logs and returns how many hours and points were judged, how many had no
  baseline yet, the anomalies, how many are new, how many were withdrawn because late rows made their hour
  normal, and how many hosts are silent; it hands that on with the asset rpa_anomalies.
- **If it is red,** this pipeline failed, never a robot; the log says why. Run again, it leaves the same rows.
"""

from typing import Any

from airflow.sdk import Param, dag, task
from rpa_wiring import (
    ANOMALIES,
    BASELINES,
    ROLLUPS,
    RUNS,
    as_chosen,
    chosen_window,
    store_location,
    time_param,
)

from analytics_lib import pipeline, settings


@dag(
    schedule=[ROLLUPS],
    params={
        "window_start": time_param("Judge again from", "Empty: only what is pending."),
        "window_end": time_param("Judge again up to", "This moment itself is not included."),
        "as_of": time_param("Take this for now", "Later hours are open. Empty: the time it is."),
        "dry_run": Param(False, type="boolean", title="Dry run", description_md="Judge, and write nothing."),
    },
    doc_md=__doc__,
    **RUNS,
)
def anomaly_detection() -> None:
    @task(inlets=[ROLLUPS, BASELINES], outlets=[ANOMALIES])
    def detect_anomalies(params: dict[str, Any], outlet_events: Any) -> dict[str, Any]:
        start, end = chosen_window(params) or (None, None)
        done = pipeline.detect_anomalies(
            store_location(),
            time_zone=settings.time_zone(),
            window_start=start,
            window_end=end,
            **as_chosen(params),
        )
        outlet_events[ANOMALIES].extra = done
        return done

    detect_anomalies()


anomaly_detection()
