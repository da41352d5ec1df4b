"""What the analysis finds, and what running it needs to remember: register, archive, outbox."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "anomaly",
        sa.Column("anomaly_id", sa.Text(), nullable=False, comment="hash of series, kind and hour"),
        sa.Column(
            "workflow_id",
            sa.Text(),
            server_default="",
            nullable=False,
            comment="what the robot automates; '' for a series of hosts",
        ),
        sa.Column(
            "environment",
            sa.Text(),
            server_default="",
            nullable=False,
            comment="production, test, simulated …",
        ),
        sa.Column(
            "step_id",
            sa.Text(),
            server_default="",
            nullable=False,
            comment="which step of the workflow; '' for the workflow itself",
        ),
        sa.Column(
            "metric",
            sa.Text(),
            server_default="",
            nullable=False,
            comment="duration_ms, success_rate, runs_per_hour …",
        ),
        sa.Column(
            "kind",
            sa.Text(),
            server_default="",
            nullable=False,
            comment="slower, faster, failing, fewer_runs, more_runs, missing_runs, no_data",
        ),
        sa.Column(
            "hour_us",
            sa.BigInteger(),
            autoincrement=False,
            nullable=False,
            comment="start of the UTC hour that is not normal, µs UTC",
        ),
        sa.Column(
            "since_us",
            sa.BigInteger(),
            autoincrement=False,
            nullable=False,
            comment="the first hour of the unbroken row that it belongs to, µs UTC",
        ),
        sa.Column("observed", sa.Double(), nullable=False, comment="what was measured, in the metric's unit"),
        sa.Column("expected", sa.Double(), nullable=False, comment="what is normal at this hour"),
        sa.Column("low", sa.Double(), nullable=False, comment="lower edge of the band"),
        sa.Column("high", sa.Double(), nullable=False, comment="upper edge of the band"),
        sa.Column("score", sa.Double(), nullable=False, comment="distance from the centre in robust sigmas"),
        sa.Column(
            "n",
            sa.BigInteger(),
            autoincrement=False,
            nullable=False,
            comment="runs (for no_data: hosts) that it concerns",
        ),
        sa.Column("severity", sa.BigInteger(), autoincrement=False, nullable=False, comment="0 to 100"),
        sa.Column(
            "severity_improbability",
            sa.Double(),
            nullable=False,
            comment="its share from how improbable it is, 0 to 1",
        ),
        sa.Column(
            "severity_effect", sa.Double(), nullable=False, comment="its share from how large it is, 0 to 1"
        ),
        sa.Column(
            "severity_duration",
            sa.Double(),
            nullable=False,
            comment="its share from how long it has lasted, 0 to 1",
        ),
        sa.Column(
            "severity_reach",
            sa.Double(),
            nullable=False,
            comment="its share from how many runs it concerns, 0 to 1",
        ),
        sa.Column(
            "sentence",
            sa.Text(),
            server_default="",
            nullable=False,
            comment="what, where, how much against normal, since when, on how many runs",
        ),
        sa.Column(
            "evidence", sa.Text(), server_default="", nullable=False, comment="further facts: a JSON object"
        ),
        sa.Column(
            "baseline_id",
            sa.Text(),
            server_default="",
            nullable=False,
            comment="the version it was judged by; '' where none was needed",
        ),
        sa.Column(
            "state",
            sa.Text(),
            server_default="",
            nullable=False,
            comment="open, or withdrawn when late rows made its hour normal",
        ),
        sa.Column(
            "found_at_us",
            sa.BigInteger(),
            autoincrement=False,
            nullable=False,
            comment="the moment it was found as of, µs UTC",
        ),
        sa.Column(
            "judged_at_us",
            sa.BigInteger(),
            autoincrement=False,
            nullable=False,
            comment="the moment it was last changed as of, µs UTC",
        ),
        sa.PrimaryKeyConstraint("anomaly_id", name=op.f("pk_anomaly")),
        comment="Hours that are not normal, one row per series, kind and hour; late rows judge them again.",
    )
    op.create_index(op.f("ix_anomaly_hour_us"), "anomaly", ["hour_us"], unique=False)
    op.create_index(
        op.f("ix_anomaly_workflow_id_hour_us"), "anomaly", ["workflow_id", "hour_us"], unique=False
    )
    op.create_table(
        "archive_manifest",
        sa.Column("source", sa.Text(), nullable=False, comment="execution, step or resource"),
        sa.Column(
            "day_us", sa.BigInteger(), autoincrement=False, nullable=False, comment="the UTC day, µs UTC"
        ),
        sa.Column(
            "part",
            sa.BigInteger(),
            autoincrement=False,
            nullable=False,
            comment="0, then one more for each export of rows that came late",
        ),
        sa.Column(
            "path",
            sa.Text(),
            server_default="",
            nullable=False,
            comment="the Parquet file, relative to the archive's folder",
        ),
        sa.Column("n", sa.BigInteger(), autoincrement=False, nullable=False, comment="rows in it"),
        sa.Column(
            "content_hash",
            sa.Text(),
            server_default="",
            nullable=False,
            comment="of its rows, in any order: what was read back and compared",
        ),
        sa.Column("file_bytes", sa.BigInteger(), autoincrement=False, nullable=False, comment="its size"),
        sa.Column(
            "archived_at_us",
            sa.BigInteger(),
            autoincrement=False,
            nullable=False,
            comment="when it was verified, µs UTC",
        ),
        sa.Column(
            "deleted_at_us",
            sa.BigInteger(),
            autoincrement=False,
            nullable=True,
            comment="when the raw rows were deleted, µs UTC",
        ),
        sa.PrimaryKeyConstraint("source", "day_us", "part", name=op.f("pk_archive_manifest")),
        comment="Days in the archive: written only when the file was read back and found equal.",
    )
    op.create_table(
        "baseline",
        sa.Column("baseline_id", sa.Text(), nullable=False, comment="the version"),
        sa.Column(
            "workflow_id",
            sa.Text(),
            nullable=False,
            comment="what the robot automates; '' for a series of hosts",
        ),
        sa.Column("environment", sa.Text(), nullable=False, comment="production, test, simulated …"),
        sa.Column(
            "step_id",
            sa.Text(),
            nullable=False,
            comment="which step of the workflow; '' for the workflow itself",
        ),
        sa.Column("metric", sa.Text(), nullable=False, comment="duration_ms, success_rate, runs_per_hour …"),
        sa.Column(
            "level",
            sa.Text(),
            nullable=False,
            comment="hour_of_week, hour_of_day (by working day) or overall",
        ),
        sa.Column(
            "slot",
            sa.BigInteger(),
            autoincrement=False,
            nullable=False,
            comment="which hour: 0–167 from Monday 00:00, 0–47 (working days first), or 0",
        ),
        sa.Column(
            "n", sa.BigInteger(), autoincrement=False, nullable=False, comment="hours that it was learnt from"
        ),
        sa.Column(
            "space",
            sa.Text(),
            server_default="",
            nullable=False,
            comment="log or linear: where center and scale live",
        ),
        sa.Column("center", sa.Double(), nullable=False, comment="median, in the space"),
        sa.Column("scale", sa.Double(), nullable=False, comment="1.4826 MAD with a floor, in the space"),
        sa.Column(
            "active_share", sa.Double(), nullable=False, comment="share of such hours in which anything ran"
        ),
        sa.PrimaryKeyConstraint(
            "baseline_id",
            "workflow_id",
            "environment",
            "step_id",
            "metric",
            "level",
            "slot",
            name=op.f("pk_baseline"),
        ),
        comment="What is normal for a series at an hour: robust centre and spread over eight weeks.",
    )
    op.create_table(
        "baseline_run",
        sa.Column(
            "baseline_id", sa.Text(), nullable=False, comment="the version: the moment it was computed as of"
        ),
        sa.Column(
            "as_of_us",
            sa.BigInteger(),
            autoincrement=False,
            nullable=False,
            comment="the moment it was computed as of, µs UTC",
        ),
        sa.Column(
            "history_start_us",
            sa.BigInteger(),
            autoincrement=False,
            nullable=False,
            comment="the history that it was learnt from: its first hour, µs UTC",
        ),
        sa.Column(
            "history_end_us",
            sa.BigInteger(),
            autoincrement=False,
            nullable=False,
            comment="the end of that history, µs UTC",
        ),
        sa.Column(
            "parameters",
            sa.Text(),
            server_default="",
            nullable=False,
            comment="what it was computed with: a JSON object",
        ),
        sa.Column(
            "n_series", sa.BigInteger(), autoincrement=False, nullable=False, comment="series looked at"
        ),
        sa.Column(
            "n_ready",
            sa.BigInteger(),
            autoincrement=False,
            nullable=False,
            comment="series that have a baseline",
        ),
        sa.PrimaryKeyConstraint("baseline_id", name=op.f("pk_baseline_run")),
        comment="Versions of the baselines: a finding names the one that it was judged by.",
    )
    op.create_index(op.f("ix_baseline_run_as_of_us"), "baseline_run", ["as_of_us"], unique=False)
    op.create_table(
        "baseline_series",
        sa.Column("baseline_id", sa.Text(), nullable=False, comment="the version"),
        sa.Column(
            "workflow_id",
            sa.Text(),
            nullable=False,
            comment="what the robot automates; '' for a series of hosts",
        ),
        sa.Column("environment", sa.Text(), nullable=False, comment="production, test, simulated …"),
        sa.Column(
            "step_id",
            sa.Text(),
            nullable=False,
            comment="which step of the workflow; '' for the workflow itself",
        ),
        sa.Column("metric", sa.Text(), nullable=False, comment="duration_ms, success_rate, runs_per_hour …"),
        sa.Column(
            "time_zone",
            sa.Text(),
            server_default="",
            nullable=False,
            comment="in which its hours of the week are counted",
        ),
        sa.Column(
            "n_hours", sa.BigInteger(), autoincrement=False, nullable=False, comment="hours with a value"
        ),
        sa.Column(
            "first_hour_us",
            sa.BigInteger(),
            autoincrement=False,
            nullable=False,
            comment="the first of them, µs UTC",
        ),
        sa.Column(
            "last_hour_us",
            sa.BigInteger(),
            autoincrement=False,
            nullable=False,
            comment="the last of them, µs UTC",
        ),
        sa.Column(
            "missing",
            sa.Text(),
            server_default="",
            nullable=False,
            comment="what a baseline still needs; '' where there is one",
        ),
        sa.PrimaryKeyConstraint(
            "baseline_id", "workflow_id", "environment", "step_id", "metric", name=op.f("pk_baseline_series")
        ),
        comment="Every series that a version looked at, and what it lacks where it has no baseline yet.",
    )
    op.create_table(
        "insight",
        sa.Column("insight_id", sa.Text(), nullable=False, comment="hash of rule, subject and first hour"),
        sa.Column(
            "rule",
            sa.Text(),
            server_default="",
            nullable=False,
            comment="failure_spike, slower_than_normal, bottleneck_step, flaky_workflow, silent_workflow …",
        ),
        sa.Column(
            "workflow_id", sa.Text(), server_default="", nullable=False, comment="what the robot automates"
        ),
        sa.Column(
            "environment",
            sa.Text(),
            server_default="",
            nullable=False,
            comment="production, test, simulated …",
        ),
        sa.Column(
            "step_id",
            sa.Text(),
            server_default="",
            nullable=False,
            comment="the step it is about; '' for the workflow",
        ),
        sa.Column(
            "state",
            sa.Text(),
            server_default="",
            nullable=False,
            comment="new (found within the last day), ongoing or resolved",
        ),
        sa.Column(
            "first_seen_us",
            sa.BigInteger(),
            autoincrement=False,
            nullable=False,
            comment="since when it holds, µs UTC",
        ),
        sa.Column(
            "last_seen_us",
            sa.BigInteger(),
            autoincrement=False,
            nullable=False,
            comment="the last hour in which it held, µs UTC",
        ),
        sa.Column(
            "resolved_at_us",
            sa.BigInteger(),
            autoincrement=False,
            nullable=True,
            comment="since when it no longer holds, µs UTC",
        ),
        sa.Column("severity", sa.BigInteger(), autoincrement=False, nullable=False, comment="0 to 100"),
        sa.Column(
            "impact_robot_hours",
            sa.Double(),
            nullable=False,
            comment="robot hours lost within the judged period",
        ),
        sa.Column(
            "rank",
            sa.BigInteger(),
            autoincrement=False,
            nullable=False,
            comment="1 is what to look at first; 0 for resolved ones",
        ),
        sa.Column(
            "title", sa.Text(), server_default="", nullable=False, comment="what it is, in a few words"
        ),
        sa.Column(
            "explanation",
            sa.Text(),
            server_default="",
            nullable=False,
            comment="what it means, with its numbers",
        ),
        sa.Column("action", sa.Text(), server_default="", nullable=False, comment="what to do next"),
        sa.Column(
            "evidence",
            sa.Text(),
            server_default="",
            nullable=False,
            comment="the numbers behind it: a JSON object",
        ),
        sa.Column(
            "found_at_us",
            sa.BigInteger(),
            autoincrement=False,
            nullable=False,
            comment="the moment it was found as of, µs UTC",
        ),
        sa.Column(
            "judged_at_us",
            sa.BigInteger(),
            autoincrement=False,
            nullable=False,
            comment="the moment it was last judged as of, µs UTC",
        ),
        sa.PrimaryKeyConstraint("insight_id", name=op.f("pk_insight")),
        comment="What the findings mean, with evidence and impact; one row while it lasts.",
    )
    op.create_index(op.f("ix_insight_state_rank"), "insight", ["state", "rank"], unique=False)
    op.create_table(
        "outbox",
        sa.Column("report", sa.Text(), nullable=False, comment="which report or insight"),
        sa.Column("period", sa.Text(), nullable=False, comment="the window, or the insight's id"),
        sa.Column("recipient", sa.Text(), nullable=False, comment="the mail address"),
        sa.Column(
            "state",
            sa.Text(),
            server_default="",
            nullable=False,
            comment="claimed, sent, failed, refused or unknown",
        ),
        sa.Column(
            "claimed_by", sa.Text(), server_default="", nullable=False, comment="the process that claimed it"
        ),
        sa.Column(
            "claimed_at_us",
            sa.BigInteger(),
            autoincrement=False,
            nullable=False,
            comment="when it was claimed, before the mail server was spoken to, µs UTC",
        ),
        sa.Column(
            "finished_at_us",
            sa.BigInteger(),
            autoincrement=False,
            nullable=True,
            comment="when the outcome was known, µs UTC",
        ),
        sa.Column(
            "attempts", sa.BigInteger(), autoincrement=False, nullable=False, comment="how often it was tried"
        ),
        sa.Column("message_id", sa.Text(), server_default="", nullable=False, comment="of the mail"),
        sa.Column("subject", sa.Text(), server_default="", nullable=False, comment="of the mail"),
        sa.Column("problem", sa.Text(), server_default="", nullable=False, comment="why it was not sent"),
        sa.PrimaryKeyConstraint("report", "period", "recipient", name=op.f("pk_outbox")),
        comment="Mails, each claimed before it is sent: a second scheduler or a re-run sends none twice.",
    )
    op.create_index(op.f("ix_outbox_state"), "outbox", ["state"], unique=False)
    op.create_table(
        "workflow",
        sa.Column("workflow_id", sa.Text(), nullable=False, comment="what the robot automates"),
        sa.Column(
            "display_name",
            sa.Text(),
            server_default="",
            nullable=False,
            comment="what people call it; '' for its id",
        ),
        sa.Column(
            "workflow_group",
            sa.Text(),
            server_default="",
            nullable=False,
            comment="what it belongs to: a department, a product",
        ),
        sa.Column("owner", sa.Text(), server_default="", nullable=False, comment="who is asked about it"),
        sa.Column(
            "time_zone",
            sa.Text(),
            server_default="",
            nullable=False,
            comment="IANA zone of its working hours; '' for the default",
        ),
        sa.Column(
            "environment",
            sa.Text(),
            server_default="",
            nullable=False,
            comment="of its rows that name none; '' for production",
        ),
        sa.Column(
            "attended", sa.Boolean(), nullable=False, comment="a person starts it, so that no run is owed"
        ),
        sa.Column("sla_duration_ms", sa.Double(), nullable=True, comment="a run should take no longer"),
        sa.Column(
            "sla_success_rate",
            sa.Double(),
            nullable=True,
            comment="at least this share should complete, 0 to 1",
        ),
        sa.Column(
            "updated_at_us",
            sa.BigInteger(),
            autoincrement=False,
            nullable=False,
            comment="when it was set last, µs UTC",
        ),
        sa.PrimaryKeyConstraint("workflow_id", name=op.f("pk_workflow")),
        comment="The register: what is known about workflows beside their rows. Unknown ones get defaults.",
    )
    op.create_table(
        "workflow_alias",
        sa.Column("alias", sa.Text(), nullable=False, comment="another id in the rows"),
        sa.Column(
            "workflow_id",
            sa.Text(),
            server_default="",
            nullable=False,
            comment="the workflow that it stands for",
        ),
        sa.PrimaryKeyConstraint("alias", name=op.f("pk_workflow_alias")),
        comment="Other ids of workflows: a renamed workflow keeps its history.",
    )
    op.create_index(op.f("ix_workflow_alias_workflow_id"), "workflow_alias", ["workflow_id"], unique=False)
