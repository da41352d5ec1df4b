"""What the DAG files share: assets, alerts, how runs and tasks behave, store, mail, the chosen times.

No DAG is in here (.airflowignore says so). Airflow puts the DAGs folder, or the bundle, on Python's path.
"""

import logging
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from airflow.sdk import (
    Asset,
    Connection,
    DeadlineAlert,
    DeadlineReference,
    ExceptionRetryPolicy,
    Param,
    RetryAction,
    RetryRule,
    SyncCallback,
)
from airflow.sdk.exceptions import AirflowNotFoundException

from analytics_lib import errors, pipeline, settings

ROLLUPS = Asset(name=pipeline.ROLLUPS_ASSET, group="rpa")
BASELINES = Asset(name=pipeline.BASELINES_ASSET, group="rpa")
ANOMALIES = Asset(name=pipeline.ANOMALIES_ASSET, group="rpa")
INSIGHTS = Asset(name=pipeline.INSIGHTS_ASSET, group="rpa")
REPORTS = Asset(name=pipeline.REPORTS_ASSET, group="rpa")
ARCHIVE = Asset(name=pipeline.ARCHIVE_ASSET, group="rpa")

SMTP_CONNECTION = "rpa_smtp"
FAILED = """<p>The task <b>{{ ti.task_id }}</b> of <b>{{ ti.dag_id }}</b> failed, which is a failure of the
analysis, not of a robot. It is not tried again before the DAG's next run.</p>
<pre>{{ exception | default("Its process ended without a word.", true) | string | truncate(2000) | e }}</pre>
<p>Run {{ run_id | e }}. Its log: {{ ti.log_url | e }}</p>"""
LATE = """<p><b>{{ dag_run.dag_id }}</b> was to be done by {{ (deadline.deadline_time | string)[:16] }} UTC.
Its run {{ dag_run.dag_run_id | e }} is {{ dag_run.state }}. Look whether the scheduler works, and what
the run's tasks log.</p>"""
_log = logging.getLogger("rpa_analytics.alerts")


def tell_of_failure(context: Any) -> None:
    """Called by Airflow after a task's last try: a mail to those who run the pipeline."""
    _mail_operators("RPA Analytics: {{ ti.dag_id }} failed", FAILED, context)


def tell_of_lateness(context: Any) -> None:
    """Called by Airflow when a run with a deadline is not done by then."""
    _mail_operators("RPA Analytics: {{ dag_run.dag_id }} is late", LATE, context)


def _mail_operators(subject: str, html: str, context: Any) -> None:
    """Mails to `alerts_to` in the extra of the connection `rpa_smtp`; without these it only logs."""
    try:
        connection = Connection.get(SMTP_CONNECTION)
    except AirflowNotFoundException:
        _log.info("nobody is told by mail: there is no connection %s", SMTP_CONNECTION)
        return
    extra = connection.extra_dejson
    if not (operators := extra.get("alerts_to")):
        _log.info("nobody is told by mail: the extra of %s has no alerts_to", SMTP_CONNECTION)
        return
    from airflow.providers.smtp.notifications.smtp import SmtpNotifier

    sender = extra.get("from_email") or connection.login
    notifier = SmtpNotifier(
        to=operators, from_email=sender, subject=subject, html_content=html, smtp_conn_id=SMTP_CONNECTION
    )
    notifier(context)
    _log.info("told by mail: %s", operators)


# What no retry heals fails at once; a database that is away for some minutes is waited for.
HOPELESS = [errors.QueryError, errors.SettingsError, errors.SchemaVersionError]
TASKS = {
    "owner": "rpa",
    "retries": 3,
    "retry_delay": timedelta(seconds=30),
    "retry_exponential_backoff": True,
    "retry_policy": ExceptionRetryPolicy([RetryRule(HOPELESS, RetryAction.FAIL, reason="no retry heals it")]),
    "execution_timeout": timedelta(minutes=15),
    "on_failure_callback": tell_of_failure,
}
RUNS: dict[str, Any] = {
    "start_date": datetime(2026, 1, 1, tzinfo=UTC),
    "catchup": False,  # the next run does what missed ones would have done
    "max_active_runs": 1,
    "default_args": TASKS,
    "tags": ["rpa"],
}
# Runs that somebody waits for: that one is late is said before it is missed.
DUE = RUNS | {
    "deadline": DeadlineAlert(
        reference=DeadlineReference.DAGRUN_QUEUED_AT,
        interval=timedelta(hours=1),
        callback=SyncCallback(tell_of_lateness),
        name="done within an hour",
    )
}


def store_location() -> str:
    """The connection `rpa_store`, else RPA_ANALYTICS_STORE. It may hold a password: never return it."""
    try:
        return Connection.get("rpa_store").get_uri()
    except AirflowNotFoundException:
        return settings.store_location()


def mail_server() -> pipeline.SmtpServer | None:
    """The connection `rpa_smtp`, read as Airflow's SMTP provider does; None: the settings name the server."""
    try:
        connection = Connection.get(SMTP_CONNECTION)
    except AirflowNotFoundException:
        return None
    extra = connection.extra_dejson
    plain, no_tls = (str(extra.get(name)).lower() == "true" for name in ("disable_ssl", "disable_tls"))
    security = "none" if plain and no_tls else "starttls" if plain else "ssl"
    return pipeline.SmtpServer(
        host=connection.host or "",
        port=connection.port or {"ssl": 465, "starttls": 587, "none": 25}[security],
        security=security,
        user=connection.login or "",
        password=connection.password or "",
        timeout_sec=float(extra.get("timeout") or 30),
    )


def mailing(mail: Callable[..., dict[str, Any]], params: dict[str, Any], dag_run: Any) -> dict[str, Any]:
    """What became of the mails. A run by hand sends none unless told to.

    Raises DeliveryError for mails that have not gone out for sure; a retry sends what may be sent again.
    """
    by_hand = dag_run.run_type == "manual" and not params["send"]
    done = mail(
        store_location(),
        as_of=now_or(params.get("as_of")),
        output_folder=settings.reports_folder(),
        smtp=mail_server(),
        dry_run=by_hand or bool(params.get("dry_run")),
    )
    if done["problem"]:
        raise errors.DeliveryError(done["problem"])
    return done


def send_param() -> Param:
    """Whether a run by hand sends mails."""
    return Param(
        False,
        type="boolean",
        title="Send mails",
        description_md="Off: a run by hand only saves the mails beside the reports.",
    )


def time_param(title: str, description: str) -> Param:
    """A time that may stay empty; the trigger form shows a date and time picker."""
    return Param(None, type=["null", "string"], format="date-time", title=title, description_md=description)


def chosen_window(params: dict[str, Any]) -> tuple[datetime, datetime] | None:
    """The window of the Params; None when they are empty. Raises SettingsError for half a window."""
    start, end = params["window_start"], params["window_end"]
    if bool(start) != bool(end):
        raise errors.SettingsError("a window needs both window_start and window_end: give the other one too")
    return (now_or(start), now_or(end)) if start else None


def as_chosen(params: dict[str, Any]) -> dict[str, Any]:
    """What a person chose of the moment to take for now, and whether to write."""
    return {"as_of": now_or(params["as_of"]), "dry_run": params["dry_run"]}


def now_or(text: str | None) -> datetime:
    """The moment that a person chose, else the time it is."""
    return settings.moment(text, settings.time_zone()) if text else datetime.now(UTC)
