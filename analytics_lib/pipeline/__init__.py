"""One function per DAG task: load, call the pure stage, save. Each can be run twice or killed half-way.

`location` is the store's folder or URL. Results are small dicts of plain values, fit for XCom; one line
of the log says the same to people.

The DAGs import this package, and Airflow parses them every half minute: what needs pandas is imported by
the functions that need it.
"""

from analytics_lib.delivery_settings import SmtpServer
from analytics_lib.pipeline.anomaly_detection import ANOMALIES_ASSET, detect_anomalies
from analytics_lib.pipeline.archive_retention import ARCHIVE_ASSET, archive_and_retain
from analytics_lib.pipeline.baseline_recomputation import BASELINES_ASSET, recompute_baselines
from analytics_lib.pipeline.hourly_aggregation import (
    ROLLUPS_ASSET,
    aggregate_batch,
    aggregate_pending,
    finish_aggregation,
    mark_window,
    plan_aggregation,
    sweep_abandoned,
)
from analytics_lib.pipeline.insight_generation import INSIGHTS_ASSET, generate_insights
from analytics_lib.pipeline.insight_mails import mail_insights
from analytics_lib.pipeline.outbox import list_mails, resend_mails
from analytics_lib.pipeline.partition_maintenance import maintain_partitions
from analytics_lib.pipeline.report_delivery import deliver_reports
from analytics_lib.pipeline.report_rendering import (
    REPORTS_ASSET,
    executions_span,
    last_days,
    local_days,
    render_report,
)
from analytics_lib.pipeline.report_schedule import report_clock

__all__ = [
    "ANOMALIES_ASSET",
    "ARCHIVE_ASSET",
    "BASELINES_ASSET",
    "INSIGHTS_ASSET",
    "REPORTS_ASSET",
    "ROLLUPS_ASSET",
    "SmtpServer",
    "aggregate_batch",
    "aggregate_pending",
    "archive_and_retain",
    "deliver_reports",
    "detect_anomalies",
    "executions_span",
    "finish_aggregation",
    "generate_insights",
    "last_days",
    "list_mails",
    "local_days",
    "mail_insights",
    "maintain_partitions",
    "mark_window",
    "plan_aggregation",
    "recompute_baselines",
    "render_report",
    "report_clock",
    "resend_mails",
    "sweep_abandoned",
]
