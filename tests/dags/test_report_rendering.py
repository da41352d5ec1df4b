"""The report's DAG, run by Airflow: which days it reports, and that both files are there."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import select

from analytics_lib import TimeSeriesStore, pipeline
from tests.dags.conftest import RunDag
from tests.databases import SqliteFolders
from tests.delivery.server import Mailbox, mail_server
from tests.make import NOON, at, execution, step

pytestmark = pytest.mark.slow

DAY = timedelta(days=1)


def a_day_of_runs(location: str) -> None:
    with TimeSeriesStore(location) as store:
        for n in range(8):
            store.write_metrics([execution(f"e{n}", at(n * 180)), step(f"e{n}", 1, at(n * 180))])
    pipeline.aggregate_pending(location, as_of=NOON + 5 * DAY)


@pytest.fixture(autouse=True)
def reports(sqlite: SqliteFolders, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A rolled-up store, and the folder for the reports."""
    monkeypatch.setenv("RPA_ANALYTICS_STORE", sqlite.copy(a_day_of_runs, tmp_path))
    monkeypatch.setenv("RPA_ANALYTICS_REPORTS", str(tmp_path / "reports"))
    return tmp_path / "reports"


def written(folder: Path) -> list[str]:
    for path in folder.iterdir():
        assert path.read_bytes()[:5] in (b"<!doc", b"<!DOC", b"%PDF-")
    return sorted(path.name for path in folder.iterdir())


def test_a_scheduled_run_reports_the_day_before(run_dag: RunDag, reports: Path) -> None:
    seven = datetime(2026, 3, 3, 7, 0, tzinfo=UTC)
    run = run_dag("report_rendering", scheduled_at=seven)
    assert run.state == "success"
    name = "rpa-report-2026-03-02-to-2026-03-02"
    assert written(reports) == [f"{name}.html", f"{name}.pdf"]
    assert run.results["render"]["pdf"] == str(reports / f"{name}.pdf")
    assert f"rendered: {name}.html and .pdf in {reports}" in run.log
    assert asset_extras(run.run_id) == [run.results["render"]]


def test_a_day_is_a_local_day(run_dag: RunDag, reports: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RPA_ANALYTICS_TIME_ZONE", "Pacific/Auckland")
    seven_there = datetime(2026, 3, 2, 18, 0, tzinfo=UTC)
    assert run_dag("report_rendering", scheduled_at=seven_there).state == "success"
    assert written(reports)[0] == "rpa-report-2026-03-02-to-2026-03-02.html"


def test_by_hand_it_reports_the_window_of_its_params(run_dag: RunDag, reports: Path) -> None:
    window = {"window_start": "2026-03-02T00:00:00Z", "window_end": "2026-03-04T00:00:00Z"}
    assert run_dag("report_rendering", **window).state == "success"
    assert written(reports)[1] == "rpa-report-2026-03-02-to-2026-03-03.pdf"


def test_by_hand_and_without_params_it_reports_the_last_seven_days(run_dag: RunDag, reports: Path) -> None:
    today = datetime.now(UTC).date()
    assert run_dag("report_rendering").state == "success"
    assert written(reports)[0] == f"rpa-report-{today - 6 * DAY}-to-{today}.html"


def test_a_bad_window_fails_at_once_with_a_sentence(run_dag: RunDag, reports: Path) -> None:
    run = run_dag("report_rendering", window_end="2026-03-04T00:00:00Z")
    assert (run.state, run.tries["render"]) == ("failed", 1)
    assert "a window needs both window_start and window_end: give the other one too" in run.log
    assert not reports.exists()


CONFIG = """
[delivery]
sender = "robots@example.com"
insight_mail_severity = 60
[[delivery.recipients]]
addresses = ["ann@example.com"]
schedule = "daily"
[delivery.smtp]
host = "127.0.0.1"
port = {port}
security = "none"
"""


@pytest.fixture
def mailbox(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Mailbox]:
    """A mail server, and the settings that name it and a recipient. PDFs are made up: each takes seconds."""

    def render_pdf(_html: str, target: Path) -> None:
        target.write_bytes(b"%PDF-1.7 made up")

    monkeypatch.setattr("analytics_lib.report.pdf.render_pdf", render_pdf)
    box = Mailbox()
    with mail_server(box) as port:
        (tmp_path / "rpa.toml").write_text(CONFIG.format(port=port))
        monkeypatch.setenv("RPA_ANALYTICS_CONFIG", str(tmp_path / "rpa.toml"))
        yield box


def test_a_scheduled_run_mails_what_is_due_once_and_a_run_by_hand_only_saves_it(
    run_dag: RunDag, reports: Path, mailbox: Mailbox
) -> None:
    by_hand = run_dag("report_rendering")
    assert (by_hand.state, by_hand.results["deliver"]["would_send"]) == ("success", 1)
    assert mailbox.received == []
    assert [path for path in reports.iterdir() if path.suffix == ".eml"]
    runs = [run_dag("report_rendering", scheduled_at=datetime(2026, 3, day, 7, tzinfo=UTC)) for day in (3, 4)]
    assert [run.state for run in runs] == ["success", "success"]
    assert [run.results["deliver"]["sent"] for run in runs] == [1, 0]
    assert mailbox.recipients == ["ann@example.com"]
    assert "mails sent 1, skipped 0" in runs[0].log


def test_a_mail_that_is_refused_makes_the_run_red_with_a_sentence(
    run_dag: RunDag, reports: Path, mailbox: Mailbox
) -> None:
    mailbox.answers["ann@example.com"] = "550 no such user"
    run = run_dag("report_rendering", scheduled_at=datetime(2026, 3, 3, 7, tzinfo=UTC), retries=1)
    assert (run.state, run.tasks) == ("failed", {"render": "success", "deliver": "failed"})
    assert "1 mail not sent for sure: the server answered 550" in run.log
    assert reports.exists()


def test_airflows_connection_names_the_server_if_there_is_one(
    run_dag: RunDag, reports: Path, mailbox: Mailbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "rpa.toml"
    text = file.read_text()
    port = text.partition("port = ")[2].split()[0]
    file.write_text(text.replace(f"port = {port}", "port = 9"))
    options = "disable_ssl=true&disable_tls=true&timeout=5"
    monkeypatch.setenv("AIRFLOW_CONN_RPA_SMTP", f"smtp://127.0.0.1:{port}/?{options}")
    run = run_dag("report_rendering", scheduled_at=datetime(2026, 3, 3, 7, tzinfo=UTC))
    assert run.state == "success"
    assert mailbox.recipients == ["ann@example.com"]
    assert reports.exists()


def asset_extras(run_id: str) -> list[object]:
    from airflow.models.asset import AssetEvent
    from airflow.utils.session import create_session

    with create_session() as session:
        return list(session.scalars(select(AssetEvent.extra).where(AssetEvent.source_run_id == run_id)))
