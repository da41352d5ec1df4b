"""Says what the anomalies and the last weeks mean: insights with evidence, impact and what to do next.

- **When:** after each detection of anomalies (the asset rpa_anomalies). The event only wakes it up: it looks
  at the anomalies of the last 14 days and the rollups of the last 28, whatever the event says, so one that
  was lost or doubled does no harm.
- **Params** (empty in a normal run) take another moment for now, or only say what would be found. Insights
  that were judged as of a later moment stay as they are.
- **What you see:** generate_insights logs and returns how many last, how many of these are new, and how many
  are resolved by this run; it hands that on with the asset rpa_insights. Read them in the report, or by
  rpa-analytics insights list. mail mails each that is severe enough once, if the settings say so; a run by
  hand sends only when told to.
- **If it is red,** this pipeline failed, never a robot; the log's last error says why. Running it again
  leaves the same rows.
"""

from typing import Any

from airflow.sdk import Param, dag, task
from rpa_wiring import ANOMALIES, INSIGHTS, RUNS, as_chosen, mailing, send_param, store_location, time_param

from analytics_lib import pipeline, settings


@dag(
    schedule=[ANOMALIES],
    params={
        "as_of": time_param("Take this for now", "Later hours are not looked at. Empty: the time it is."),
        "dry_run": Param(False, type="boolean", title="Dry run", description_md="Judge, and write nothing."),
        "send": send_param(),
    },
    doc_md=__doc__,
    **RUNS,
)
def insight_generation() -> None:
    @task(outlets=[INSIGHTS])
    def generate_insights(params: dict[str, Any], outlet_events: Any) -> dict[str, Any]:
        done = pipeline.generate_insights(
            store_location(),
            time_zone=settings.time_zone(),
            **as_chosen(params),
        )
        outlet_events[INSIGHTS].extra = done
        return done

    @task
    def mail(params: dict[str, Any], dag_run: Any) -> dict[str, Any]:
        return mailing(pipeline.mail_insights, params, dag_run)

    generate_insights() >> mail()


insight_generation()
