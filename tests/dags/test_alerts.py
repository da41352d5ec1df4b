"""Who runs the pipeline hears by mail of what failed or is late; where no mail is set up, nothing breaks."""

import json
from collections.abc import Iterator
from datetime import timedelta
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import pytest
import structlog

from analytics_lib import TimeSeriesStore
from tests.dags.conftest import FOLDER, RunDag
from tests.delivery.server import Mailbox, free_port, mail_server

pytestmark = pytest.mark.slow

LOG = structlog.get_logger()
HALF_A_WINDOW = {"window_start": "2026-03-02T12:00:00Z"}


@pytest.fixture
def mailbox() -> Mailbox:
    return Mailbox()


@pytest.fixture
def operators(mailbox: Mailbox, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The connection rpa_smtp, and a real server behind it."""
    with mail_server(mailbox) as port:
        connect(monkeypatch, port, alerts_to=["ann@example.com", "bob@example.com"])
        yield


def connect(monkeypatch: pytest.MonkeyPatch, port: int, **extra: Any) -> None:
    plain = {"disable_ssl": True, "disable_tls": True, "retry_limit": 0, "timeout": 2}
    connection = {
        "conn_type": "smtp",
        "host": "127.0.0.1",
        "port": port,
        "extra": plain | {"from_email": "airflow@example.com"} | extra,
    }
    monkeypatch.setenv("AIRFLOW_CONN_RPA_SMTP", json.dumps(connection))


@pytest.fixture(autouse=True)
def _store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    TimeSeriesStore(tmp_path / "store").close()
    monkeypatch.setenv("RPA_ANALYTICS_STORE", str(tmp_path / "store"))


def page(mail: EmailMessage) -> str:
    body = mail.get_body(("html",))
    assert body is not None
    return str(body.get_content())


def test_a_failed_task_is_told_to_the_operators_with_its_sentence(
    run_dag: RunDag, mailbox: Mailbox, operators: None
) -> None:
    run = run_dag("hourly_aggregation", **HALF_A_WINDOW)
    assert run.state == "failed"
    assert mailbox.recipients == ["ann@example.com", "bob@example.com"]
    mail = mailbox.received[0][1]
    assert (mail["Subject"], mail["From"]) == (
        "RPA Analytics: hourly_aggregation failed",
        "airflow@example.com",
    )
    assert "a window needs both window_start and window_end: give the other one too" in page(mail)
    assert "a failure of the\nanalysis, not of a robot" in page(mail).replace("\r", "")
    assert run.run_id.replace("+", "&#43;") in page(mail) or run.run_id in page(mail)


def test_what_the_error_says_is_text_and_not_markup(
    run_dag: RunDag, mailbox: Mailbox, operators: None
) -> None:
    run_dag("hourly_aggregation", window_start="<script>{{ 7 * 7 }}", window_end="x")
    assert "&lt;script&gt;{{ 7 * 7 }}" in page(mailbox.received[0][1])


def test_a_run_that_succeeds_mails_nothing(run_dag: RunDag, mailbox: Mailbox, operators: None) -> None:
    assert run_dag("hourly_aggregation").state == "success"
    assert mailbox.received == []


def test_without_a_connection_it_is_only_logged(run_dag: RunDag) -> None:
    run = run_dag("hourly_aggregation", **HALF_A_WINDOW)
    assert (run.state, run.tries["mark_window"]) == ("failed", 1)
    assert "nobody is told by mail: there is no connection rpa_smtp" in run.log
    assert "Failed to run task callback" not in run.log


def test_a_connection_for_reports_alone_tells_nobody(
    run_dag: RunDag, mailbox: Mailbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    with mail_server(mailbox) as port:
        connect(monkeypatch, port)
        run = run_dag("hourly_aggregation", **HALF_A_WINDOW)
    assert mailbox.received == []
    assert "the extra of rpa_smtp has no alerts_to" in run.log


def test_a_mail_server_that_is_away_hides_no_failure(
    run_dag: RunDag, monkeypatch: pytest.MonkeyPatch
) -> None:
    connect(monkeypatch, free_port(), alerts_to="ann@example.com")
    run = run_dag("hourly_aggregation", **HALF_A_WINDOW)
    assert (run.state, run.tries["mark_window"]) == ("failed", 1)
    assert "a window needs both" in run.log


def test_a_report_that_is_not_done_in_an_hour_is_late(read_dags: Any) -> None:
    dags = read_dags().dags
    deadlines = {name: dag.deadline for name, dag in dags.items() if dag.deadline}
    [alert] = deadlines.pop("report_rendering")
    assert deadlines == {}
    assert (alert.interval, alert.reference.reference_name) == (timedelta(hours=1), "DagRunQueuedAtDeadline")
    assert alert.callback.path == "rpa_wiring.tell_of_lateness"


def test_lateness_is_told_to_the_operators(
    read_dags: Any, mailbox: Mailbox, operators: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    from airflow.sdk.execution_time.callback_supervisor import execute_callback

    read_dags()
    monkeypatch.syspath_prepend(FOLDER)
    run = {"dag_id": "report_rendering", "dag_run_id": "manual__<1>", "state": "running"}
    context = {"dag_run": run, "deadline": {"id": "d1", "deadline_time": "2026-03-02T07:00:00Z"}}
    done = execute_callback("rpa_wiring.tell_of_lateness", {"context": context}, "", None, LOG)
    assert done == (True, None)
    mail = mailbox.received[0][1]
    assert mail["Subject"] == "RPA Analytics: report_rendering is late"
    assert "to be done by 2026-03-02T07:00 UTC" in page(mail)
    assert "manual__&lt;1&gt; is running" in page(mail)
