"""Reports and insights on their way out: what is due, to whom, once; and resending by command."""

import json
from datetime import UTC, datetime, time, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import insert

from analytics_lib import TimeSeriesStore, cli, pipeline, schema
from analytics_lib.delivery_settings import DeliverySettings, RecipientList
from analytics_lib.errors import DeliveryError, SettingsError
from analytics_lib.pipeline.report_schedule import due_reports
from analytics_lib.windows import DAY_US, HOUR_US, to_us
from analytics_lib.workflows import WorkflowChange
from tests.databases import SqliteFolders
from tests.delivery.mails import SENDER, part
from tests.delivery.server import Mailbox, free_port, loopback, mail_server
from tests.make import execution
from tests.report.inputs import insight

MONDAY = datetime(2026, 11, 23, 7, 0, tzinfo=UTC)
LISTS = (
    RecipientList("Finance", ("ann@example.com", "bob@example.com")),
    RecipientList("Managers", ("Ann@example.com",)),
)


@pytest.fixture
def reports(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of reports; their PDFs are made up, since making one takes seconds."""

    def render_pdf(_html: str, target: Path) -> None:
        target.write_bytes(b"%PDF-1.7 made up")

    monkeypatch.setattr("analytics_lib.report.pdf.render_pdf", render_pdf)
    return tmp_path / "reports"


def three_weeks(location: str) -> None:
    with TimeSeriesStore(location, clock=lambda: MONDAY) as store:
        hours = range(-21 * 24, 0, 6)
        store.write_metrics([execution(f"e{h}", MONDAY + timedelta(hours=h)) for h in hours])
    pipeline.aggregate_pending(location, as_of=MONDAY)


@pytest.fixture
def location(sqlite: SqliteFolders, tmp_path: Path) -> str:
    """A store with three weeks of runs, rolled up."""
    return sqlite.copy(three_weeks, tmp_path)


def settings(port: int = 1, **more: Any) -> DeliverySettings:
    values: dict[str, Any] = {
        "sender": SENDER,
        "recipients": LISTS,
        "smtp": loopback(port),
        "insight_mail_severity": 60,
        "insight_mails_per_day": 2,
    }
    return DeliverySettings(**values | more)


def deliver(
    location: str, reports: Path, delivery: DeliverySettings, at: datetime = MONDAY, **more: Any
) -> dict[str, Any]:
    return pipeline.deliver_reports(
        location, as_of=at, output_folder=reports, delivery=delivery, clock=lambda: at, **more
    )


def mail_insights(
    location: str, reports: Path, delivery: DeliverySettings, at: datetime = MONDAY, **more: Any
) -> dict[str, Any]:
    return pipeline.mail_insights(
        location, as_of=at, output_folder=reports, delivery=delivery, clock=lambda: at, **more
    )


def add_insights(location: str, *rows: dict[str, Any]) -> None:
    with TimeSeriesStore(location) as store, store.engine.begin() as connection:
        connection.execute(insert(schema.insight), list(rows))


def found(name: str, **more: Any) -> dict[str, Any]:
    return insight(name, insight_id=name, last_seen_us=to_us(MONDAY) - HOUR_US, **more)


def test_everybody_gets_the_weekly_report_once(location: str, reports: Path) -> None:
    mailbox = Mailbox()
    with mail_server(mailbox) as port:
        first = deliver(location, reports, settings(port))
        again = deliver(location, reports, settings(port), MONDAY + timedelta(hours=5))
    assert (first["due"], first["sent"], first["problem"]) == (1, 2, "")
    assert (again["sent"], again["skipped"], again["files"]) == (0, 2, [])
    assert mailbox.recipients == ["ann@example.com", "bob@example.com"]
    message = mailbox.received[0][1]
    assert "16–22 Nov 2026" in str(message["Subject"])
    assert "You get this as one of Finance, Mondays 07:00 UTC." in part(message, "text/plain")
    names = sorted(path.name for path in reports.iterdir())
    assert [name.rpartition(".")[2] for name in names] == ["eml", "eml", "html", "pdf"]
    assert "rpa-report-2026-11-16-to-2026-11-22.pdf" in names


@pytest.mark.parametrize(
    ("at", "periods"),
    [
        ("2026-11-23T05:59", ["2026-11-21 2026-11-22 Europe/Berlin"]),
        ("2026-11-23T06:00", ["2026-11-16 2026-11-23 Europe/Berlin", "2026-11-22 2026-11-23 Europe/Berlin"]),
        ("2026-11-26T05:59", ["2026-11-16 2026-11-23 Europe/Berlin", "2026-11-24 2026-11-25 Europe/Berlin"]),
        ("2026-11-26T06:00", ["2026-11-25 2026-11-26 Europe/Berlin"]),
        # Summer time ends on 25 October: 07:00 is 06:00 UTC from then on, and the day has 25 hours.
        ("2026-10-26T06:00", ["2026-10-19 2026-10-26 Europe/Berlin", "2026-10-25 2026-10-26 Europe/Berlin"]),
    ],
)
def test_what_is_due_is_a_matter_of_local_time(at: str, periods: list[str]) -> None:
    lists = (RecipientList("", ("a@b.c",)), RecipientList("", ("a@b.c",), "daily"))
    delivery = settings(recipients=lists, time_zone="Europe/Berlin")
    due = due_reports(delivery, datetime.fromisoformat(at).replace(tzinfo=UTC))
    assert [report.period for report in due] == periods
    assert all(report.window.end_us > report.window.start_us for report in due)


def test_the_hour_and_the_weekday_are_settings() -> None:
    lists = (RecipientList("", ("a@b.c",), weekday=4),)
    delivery = settings(recipients=lists, at=time(18, 30))
    assert due_reports(delivery, datetime(2026, 11, 27, 18, 29, tzinfo=UTC)) == []
    [due] = due_reports(delivery, datetime(2026, 11, 27, 18, 30, tzinfo=UTC))
    assert due.period == "2026-11-20 2026-11-27 UTC"
    assert due.why == {"a@b.c": "You get this as a recipient of reports, Fridays 18:30 UTC."}


def test_without_recipients_nothing_happens(location: str, reports: Path) -> None:
    done = deliver(location, reports, DeliverySettings())
    assert (done["due"], done["sent"], done["problem"]) == (0, 0, "")
    assert mail_insights(location, reports, DeliverySettings())["insights"] == 0
    assert not reports.exists()


def test_recipients_without_a_server_are_an_error(location: str, reports: Path) -> None:
    with pytest.raises(SettingsError, match="no mail server"):
        deliver(location, reports, settings(smtp=None))


def test_a_dry_run_saves_the_mails_and_sends_none(location: str, reports: Path) -> None:
    add_insights(location, found("a"))
    for run in (deliver, mail_insights):
        done = run(location, reports, settings(smtp=None), dry_run=True)
        assert (done["sent"], done["would_send"], done["problem"]) == (0, 2, "")
        assert all(Path(file).suffix == ".eml" for file in done["files"])
        assert all(Path(file).is_file() for file in done["files"])
    assert pipeline.list_mails(location) == []


def test_a_failed_report_is_sent_later_even_when_its_week_is_over(location: str, reports: Path) -> None:
    done = deliver(location, reports, settings(free_port()))
    assert (done["failed"], done["sent"]) == (2, 0)
    assert "2 mails not sent for sure: the mail server 127.0.0.1" in done["problem"]
    delivery = settings(recipients=(RecipientList("", ("eve@example.com",), "daily"),))
    mailbox = Mailbox()
    with mail_server(mailbox) as port:
        late = deliver(location, reports, delivery, MONDAY + timedelta(days=1), smtp=loopback(port))
        assert late["sent"] == 3
        assert (
            deliver(location, reports, delivery, MONDAY + timedelta(days=1), smtp=loopback(port))["sent"] == 0
        )
    assert mailbox.recipients == ["ann@example.com", "bob@example.com", "eve@example.com"]


def test_what_failed_long_ago_stays_where_it_is(location: str, reports: Path) -> None:
    deliver(location, reports, settings(free_port()))
    mailbox = Mailbox()
    with mail_server(mailbox) as port:
        deliver(location, reports, settings(port), MONDAY + timedelta(days=5))
    assert mailbox.received == []


def test_the_report_in_the_mail_knows_names_and_findings(location: str, reports: Path) -> None:
    add_insights(location, found("invoices", severity=90))
    with TimeSeriesStore(location) as store, store.engine.begin() as connection:
        from analytics_lib.store.workflow_rows import save_workflows

        change = WorkflowChange("invoices", {"display_name": "Invoice intake"})
        save_workflows(connection, [change], updated_at_us=0)
    mailbox = Mailbox()
    with mail_server(mailbox) as port:
        deliver(location, reports, settings(port))
        mail_insights(location, reports, settings(port))
    subjects = sorted(str(message["Subject"]) for to, message in mailbox.received if to.startswith("ann"))
    assert subjects == [
        "How the robots are doing, 16–22 Nov 2026: Invoice intake needs you",
        "Invoice intake: 28 % of runs fail since 18 Nov",
    ]


def test_runs_of_the_test_environment_are_left_out(location: str, reports: Path) -> None:
    with TimeSeriesStore(location, clock=lambda: MONDAY) as store:
        hour = MONDAY - timedelta(hours=5)
        store.write_metrics([execution("t", hour, workflow_id="trial run", environment="test")])
    pipeline.aggregate_pending(location, as_of=MONDAY)
    add_insights(location, found("trial run", environment="test", severity=99))
    window = {"window_start": MONDAY - timedelta(days=7), "window_end": MONDAY}
    for asked in (False, True):
        files = pipeline.render_report(
            location, time_zone="UTC", output_folder=reports, as_of=MONDAY, include_test=asked, **window
        )
        assert ("trial run" in Path(files["html"]).read_text()) == asked
        assert ("; 29 runs, " if asked else "; 28 runs, ") in files["summary"][-1]
    assert mail_insights(location, reports, settings(), dry_run=True)["insights"] == 0


def test_a_severe_insight_is_mailed_once_to_each(location: str, reports: Path) -> None:
    add_insights(location, found("severe", severity=60), found("mild", severity=59))
    add_insights(location, found("over", severity=99, state="resolved", rank=0))
    mailbox = Mailbox()
    with mail_server(mailbox) as port:
        first = mail_insights(location, reports, settings(port))
        again = mail_insights(location, reports, settings(port), MONDAY + timedelta(hours=1))
    assert (first["insights"], first["sent"], again["sent"], again["skipped"]) == (1, 2, 0, 2)
    assert mailbox.recipients == ["ann@example.com", "bob@example.com"]


def test_imported_history_mails_nothing(location: str, reports: Path) -> None:
    old = to_us(MONDAY) - 2 * DAY_US
    add_insights(location, found("new", severity=90) | {"last_seen_us": old})
    add_insights(location, found("old", severity=90) | {"last_seen_us": old - 1})
    done = mail_insights(location, reports, settings(), dry_run=True)
    assert (done["insights"], done["would_send"]) == (1, 2)


def test_a_day_has_so_many_insight_mails_and_the_most_important_come_first(
    location: str, reports: Path
) -> None:
    add_insights(location, *(found(f"w{rank}", rank=rank) for rank in (3, 1, 2)))
    mailbox = Mailbox()
    with mail_server(mailbox) as port:
        first = mail_insights(location, reports, settings(port))
        same_day = mail_insights(location, reports, settings(port), MONDAY + timedelta(hours=16))
        next_day = mail_insights(location, reports, settings(port), MONDAY + timedelta(hours=18))
    assert (first["sent"], first["capped"]) == (4, 2)
    assert (same_day["sent"], same_day["capped"]) == (0, 2)
    assert (next_day["sent"], next_day["capped"]) == (2, 0)
    to_ann = [str(message["Subject"])[:2] for to, message in mailbox.received if to == "ann@example.com"]
    assert to_ann == ["w1", "w2", "w3"]


def test_lists_without_insights_and_no_severity_mean_no_insight_mails(location: str, reports: Path) -> None:
    add_insights(location, found("a"))
    quiet = (RecipientList("", ("ann@example.com",), insights=False),)
    for more in ({"recipients": quiet}, {"insight_mail_severity": None}):
        assert mail_insights(location, reports, settings(**more), dry_run=True)["would_send"] == 0


def test_the_command_line_lists_and_resends(
    location: str,
    reports: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    mailbox = Mailbox(answers={"bob@example.com": "550 no such user"})
    with mail_server(mailbox) as port:
        done = deliver(location, reports, settings(port))
        assert (done["sent"], done["refused"]) == (1, 1)
        assert cli.main(["outbox", "list", "--store", location]) == 0
        shown = capsys.readouterr().out
        assert "1 sent, 1 refused" in shown
        assert "550 to RCPT TO: no such user" in shown
        assert cli.main(["outbox", "list", "--store", location, "--state", "refused", "--json"]) == 0
        [mail] = json.loads(capsys.readouterr().out)
        assert (mail["recipient"], mail["attempts"]) == ("bob@example.com", 1)
        mailbox.answers.clear()
        monkeypatch.setenv("RPA_ANALYTICS_SMTP_HOST", "127.0.0.1")
        monkeypatch.setenv("RPA_ANALYTICS_SMTP_PORT", str(port))
        monkeypatch.setenv("RPA_ANALYTICS_SMTP_SECURITY", "none")
        resend = ["outbox", "resend", mail["id"][:6], "--store", location, "--output", str(reports)]
        assert cli.main(resend) == 0
        assert capsys.readouterr().out == "sent 1\n"
        assert cli.main(resend) == DeliveryError.exit_code
        assert "was sent already" in capsys.readouterr().err
    assert mailbox.recipients == ["ann@example.com", "bob@example.com"]


def test_what_cannot_be_resent_is_said_before_anything_is_sent(location: str, reports: Path) -> None:
    delivery = settings(free_port())
    deliver(location, reports, delivery)
    [one, other] = [mail.id for mail in pipeline.list_mails(location, clock=lambda: MONDAY)]

    def resend(*ids: str, folder: Path = reports) -> dict[str, Any]:
        return pipeline.resend_mails(
            location, ids=ids, output_folder=folder, delivery=delivery, clock=lambda: MONDAY
        )

    with pytest.raises(DeliveryError, match="there is no mail 'zz'"):
        resend(one, "zz")
    with pytest.raises(DeliveryError, match="there is no mail ''"):
        resend("")
    with pytest.raises(DeliveryError, match=f"mail {other} is not at .*nowhere"):
        resend(other, folder=reports / "nowhere")
    assert resend(one)["failed"] == 1


@pytest.mark.parametrize("arguments", [[], ["abc", "--state", "unknown"]])
def test_resending_needs_ids_or_a_state(
    arguments: list[str], location: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["outbox", "resend", *arguments, "--store", location]) == SettingsError.exit_code
    assert "either ids of mails or a --state" in capsys.readouterr().err
