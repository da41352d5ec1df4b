"""Learns what is normal for each workflow and step at each hour of the week, from eight weeks of rollups.

- **When:** every day at 02:30 UTC. Each run makes a new version of the baselines, named by its minute;
  findings name the version that they were judged by, so an old report can still say what it compared with.
- **Params** (empty in a normal run) take another moment for now, or only compute: a dry run saves nothing.
- **What you see:** recompute_baselines logs and returns how many series were looked at, how many are ready
  (have a baseline), bands, hourly rows read and old versions dropped, and hands that on with the asset
  rpa_baselines. A series that is not ready says what it lacks in the table baseline_series.
- **If it is red,** this pipeline failed, never a robot; the log's last error says why. The version before
  stays in use. Running it again for the same moment leaves the same rows.
"""

from typing import Any

from airflow.sdk import Param, dag, task
from rpa_wiring import BASELINES, ROLLUPS, RUNS, as_chosen, store_location, time_param

from analytics_lib import pipeline, settings


@dag(
    schedule="30 2 * * *",
    params={
        "as_of": time_param("Take this for now", "Only hours before it are learnt from. Empty: now."),
        "dry_run": Param(False, type="boolean", title="Dry run", description_md="Compute, and save nothing."),
    },
    doc_md=__doc__,
    **RUNS,
)
def baseline_recomputation() -> None:
    @task(inlets=[ROLLUPS], outlets=[BASELINES])
    def recompute_baselines(params: dict[str, Any], outlet_events: Any) -> dict[str, Any]:
        done = pipeline.recompute_baselines(
            store_location(),
            time_zone=settings.time_zone(),
            **as_chosen(params),
        )
        outlet_events[BASELINES].extra = done
        return done

    recompute_baselines()


baseline_recomputation()
