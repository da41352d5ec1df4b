"""Writes a window's report as HTML and PDF every morning, then mails the reports that are due.

- **When:** at 07:00 of RPA_ANALYTICS_TIME_ZONE (else UTC), or when the settings of delivery say, for the
  local days of the data interval. A run by hand reports the last seven days, or the window of its Params.
- **What you see:** render returns the files' paths and a summary, and hands them on with rpa_reports. They
  lie in RPA_ANALYTICS_REPORTS. deliver mails what is due, to each recipient once, and returns how many went
  out. It is off until recipients are set; a run by hand saves the mails, and sends them only when told to.
- **Why not after each aggregation?** render reads the asset rpa_hourly_rollups, hence the arrow in the asset
  graph, but the clock decides: one report a day is read, 24 are not. Each says how far its data goes.
- **If it is red,** this pipeline failed, never a robot; its log says why. After an hour, operators are told.
"""

from datetime import UTC, datetime
from typing import Any

from airflow.sdk import CronDataIntervalTimetable, dag, task
from rpa_wiring import DUE, REPORTS, ROLLUPS, chosen_window, mailing, send_param, store_location, time_param

from analytics_lib import pipeline, settings

CRON, ZONE = pipeline.report_clock()


def days_to_report(dag_run: Any) -> tuple[datetime, datetime]:
    if dag_run.run_type == "manual":
        return pipeline.last_days(datetime.now(UTC), ZONE, days=7)
    return pipeline.local_days(dag_run.data_interval_start, dag_run.data_interval_end, ZONE)


@dag(
    schedule=CronDataIntervalTimetable(CRON, timezone=ZONE),
    params={
        "window_start": time_param("Report from", "Empty: the last seven days, today included."),
        "window_end": time_param("Report up to", "This moment itself is not included."),
        "send": send_param(),
    },
    doc_md=__doc__,
    **DUE,
)
def report_rendering() -> None:
    @task(inlets=[ROLLUPS], outlets=[REPORTS])
    def render(params: dict[str, Any], dag_run: Any, outlet_events: Any) -> dict[str, Any]:
        start, end = chosen_window(params) or days_to_report(dag_run)
        window = {"window_start": start, "window_end": end, "time_zone": ZONE, "as_of": datetime.now(UTC)}
        done = pipeline.render_report(store_location(), output_folder=settings.reports_folder(), **window)
        outlet_events[REPORTS].extra = done
        return done

    @task
    def deliver(params: dict[str, Any], dag_run: Any) -> dict[str, Any]:
        return mailing(pipeline.deliver_reports, params, dag_run)

    render() >> deliver()


report_rendering()
