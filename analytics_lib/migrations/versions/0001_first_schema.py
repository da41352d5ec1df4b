"""The first schema: raw rows, ledger, quarantine and hourly rollups.

Written out, not taken from schema.py: a migration must not change when the schema does.
"""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "agent_heartbeat",
        sa.Column("agent_id", sa.Text(), nullable=False, comment="the agent process"),
        sa.Column(
            "sent_at_us",
            sa.BigInteger(),
            autoincrement=False,
            nullable=False,
            comment="when it was sent, µs UTC",
        ),
        sa.Column(
            "complete_to_us",
            sa.BigInteger(),
            autoincrement=False,
            nullable=False,
            comment="all recorded before this moment is delivered, µs UTC",
        ),
        sa.Column(
            "agent_version", sa.Text(), server_default="", nullable=False, comment="release of the agent"
        ),
        sa.Column(
            "rows_pending",
            sa.BigInteger(),
            autoincrement=False,
            nullable=False,
            comment="rows still to deliver",
        ),
        sa.Column(
            "rows_dropped",
            sa.BigInteger(),
            autoincrement=False,
            nullable=False,
            comment="rows dropped since the agent started",
        ),
        sa.Column(
            "rows_quarantined",
            sa.BigInteger(),
            autoincrement=False,
            nullable=False,
            comment="rows quarantined since the agent started",
        ),
        sa.Column(
            "problem", sa.Text(), server_default="", nullable=False, comment="what the agent struggles with"
        ),
        sa.Column(
            "workflow_version",
            sa.Text(),
            server_default="",
            nullable=False,
            comment="release of the workflow",
        ),
        sa.Column(
            "environment",
            sa.Text(),
            server_default="",
            nullable=False,
            comment="production, test, simulated …",
        ),
        sa.Column("robot_id", sa.Text(), server_default="", nullable=False, comment="the worker that ran it"),
        sa.Column("host", sa.Text(), server_default="", nullable=False, comment="the machine"),
        sa.Column(
            "queue", sa.Text(), server_default="", nullable=False, comment="the queue the work came from"
        ),
        sa.Column("bucket", sa.SmallInteger(), nullable=False, comment="crc32(host) mod 16: the shard"),
        sa.Column(
            "content_hash",
            sa.BigInteger(),
            autoincrement=False,
            nullable=False,
            comment="blake2b-64 of what happened (not of who recorded it)",
        ),
        sa.PrimaryKeyConstraint("agent_id", "sent_at_us", name=op.f("pk_agent_heartbeat")),
        comment="Signs of life of agents: what tells a dead agent from a silent workflow.",
    )
    op.create_index(op.f("ix_agent_heartbeat_sent_at_us"), "agent_heartbeat", ["sent_at_us"], unique=False)
    op.create_table(
        "execution",
        sa.Column(
            "execution_id",
            sa.Text(),
            nullable=False,
            comment="key given by the source; a UUID made once per run by default",
        ),
        sa.PrimaryKeyConstraint("execution_id", name=op.f("pk_execution")),
        comment="Keys of all runs: whoever writes about a run inserts its key first.",
    )
    op.create_table(
        "pending",
        sa.Column(
            "id",
            sa.BigInteger().with_variant(sa.Integer(), "sqlite"),
            autoincrement=True,
            nullable=False,
            comment="order of arrival",
        ),
        sa.Column(
            "stage",
            sa.Text(),
            server_default="",
            nullable=False,
            comment="who has to look: hourly_rollup, report …",
        ),
        sa.Column(
            "kind", sa.Text(), server_default="", nullable=False, comment="execution, step or resource"
        ),
        sa.Column(
            "hour_us",
            sa.BigInteger(),
            autoincrement=False,
            nullable=False,
            comment="the UTC hour that changed, µs UTC",
        ),
        sa.Column("bucket", sa.SmallInteger(), nullable=False, comment="the shard that changed"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_pending")),
        comment="The ledger: append-only marks of what changed and waits for a stage.",
    )
    op.create_index(
        op.f("ix_pending_stage_kind_hour_us"), "pending", ["stage", "kind", "hour_us"], unique=False
    )
    op.create_table(
        "quarantine",
        sa.Column(
            "quarantine_id",
            sa.Text(),
            nullable=False,
            comment="hash of kind, reason and payload: the same row is kept once",
        ),
        sa.Column(
            "record_kind", sa.Text(), server_default="", nullable=False, comment="what it was meant to be"
        ),
        sa.Column(
            "reason", sa.Text(), server_default="", nullable=False, comment="why it could not be stored"
        ),
        sa.Column(
            "payload", sa.Text(), server_default="", nullable=False, comment="what was given, as JSON text"
        ),
        sa.Column(
            "received_at_us",
            sa.BigInteger(),
            autoincrement=False,
            nullable=False,
            comment="when it was set aside first, µs UTC",
        ),
        sa.Column("host", sa.Text(), server_default="", nullable=False, comment="the machine it came from"),
        sa.PrimaryKeyConstraint("quarantine_id", name=op.f("pk_quarantine")),
        comment="Rows kept aside with a reason; nothing is dropped silently.",
    )
    op.create_index(op.f("ix_quarantine_received_at_us"), "quarantine", ["received_at_us"], unique=False)
    op.create_table(
        "resource_metrics",
        sa.Column("agent_id", sa.Text(), nullable=False, comment="the sampling process"),
        sa.Column("target", sa.Text(), nullable=False, comment="host, process, gpu:0 …"),
        sa.Column(
            "sampled_at_us",
            sa.BigInteger(),
            autoincrement=False,
            nullable=False,
            comment="when the sample was taken, µs UTC",
        ),
        sa.Column(
            "workflow_id",
            sa.Text(),
            server_default="",
            nullable=False,
            comment="what ran meanwhile, if the sampler knew",
        ),
        sa.Column(
            "execution_id",
            sa.Text(),
            server_default="",
            nullable=False,
            comment="the run that ran meanwhile, if the sampler knew",
        ),
        sa.Column("cpu_percent", sa.Double(), nullable=True, comment="100 is all CPUs the target may use"),
        sa.Column(
            "memory_used_bytes",
            sa.BigInteger(),
            autoincrement=False,
            nullable=True,
            comment="host: used; process: resident",
        ),
        sa.Column(
            "memory_total_bytes",
            sa.BigInteger(),
            autoincrement=False,
            nullable=True,
            comment="what the target may use",
        ),
        sa.Column(
            "disk_used_bytes",
            sa.BigInteger(),
            autoincrement=False,
            nullable=True,
            comment="used on the data volume",
        ),
        sa.Column(
            "disk_total_bytes",
            sa.BigInteger(),
            autoincrement=False,
            nullable=True,
            comment="size of the data volume",
        ),
        sa.Column(
            "disk_read_bytes_per_s", sa.Double(), nullable=True, comment="mean since the sample before"
        ),
        sa.Column(
            "disk_written_bytes_per_s", sa.Double(), nullable=True, comment="mean since the sample before"
        ),
        sa.Column(
            "network_received_bytes_per_s", sa.Double(), nullable=True, comment="mean since the sample before"
        ),
        sa.Column(
            "network_sent_bytes_per_s", sa.Double(), nullable=True, comment="mean since the sample before"
        ),
        sa.Column("gpu_utilization_percent", sa.Double(), nullable=True, comment="as NVML reports it"),
        sa.Column(
            "gpu_memory_used_bytes",
            sa.BigInteger(),
            autoincrement=False,
            nullable=True,
            comment="as NVML reports it",
        ),
        sa.Column(
            "gpu_memory_total_bytes",
            sa.BigInteger(),
            autoincrement=False,
            nullable=True,
            comment="as NVML reports it",
        ),
        sa.Column(
            "process_count",
            sa.BigInteger(),
            autoincrement=False,
            nullable=True,
            comment="process: the robot and its children",
        ),
        sa.Column(
            "thread_count",
            sa.BigInteger(),
            autoincrement=False,
            nullable=True,
            comment="threads of the robot and its children",
        ),
        sa.Column(
            "handle_count",
            sa.BigInteger(),
            autoincrement=False,
            nullable=True,
            comment="open handles or file descriptors",
        ),
        sa.Column("source", sa.Text(), server_default="", nullable=False, comment="which collector"),
        sa.Column(
            "workflow_version",
            sa.Text(),
            server_default="",
            nullable=False,
            comment="release of the workflow",
        ),
        sa.Column(
            "environment",
            sa.Text(),
            server_default="",
            nullable=False,
            comment="production, test, simulated …",
        ),
        sa.Column("robot_id", sa.Text(), server_default="", nullable=False, comment="the worker that ran it"),
        sa.Column("host", sa.Text(), server_default="", nullable=False, comment="the machine"),
        sa.Column(
            "queue", sa.Text(), server_default="", nullable=False, comment="the queue the work came from"
        ),
        sa.Column("bucket", sa.SmallInteger(), nullable=False, comment="crc32(host) mod 16: the shard"),
        sa.Column(
            "content_hash",
            sa.BigInteger(),
            autoincrement=False,
            nullable=False,
            comment="blake2b-64 of what happened (not of who recorded it)",
        ),
        sa.PrimaryKeyConstraint("agent_id", "target", "sampled_at_us", name=op.f("pk_resource_metrics")),
        comment="Resource samples, one wide row per target.",
    )
    op.create_index(
        op.f("ix_resource_metrics_execution_id_sampled_at_us"),
        "resource_metrics",
        ["execution_id", "sampled_at_us"],
        unique=False,
    )
    op.create_index(
        op.f("ix_resource_metrics_sampled_at_us"), "resource_metrics", ["sampled_at_us"], unique=False
    )
    op.create_table(
        "rollup_execution_hourly",
        sa.Column(
            "hour_us",
            sa.BigInteger(),
            autoincrement=False,
            nullable=False,
            comment="start of the UTC hour, µs UTC",
        ),
        sa.Column("workflow_id", sa.Text(), nullable=False, comment="what the robot automates"),
        sa.Column("environment", sa.Text(), nullable=False, comment="production, test, simulated …"),
        sa.Column("workflow_version", sa.Text(), nullable=False, comment="release of the workflow"),
        sa.Column("bucket", sa.SmallInteger(), nullable=False, comment="the shard it was computed in"),
        sa.Column("n", sa.BigInteger(), autoincrement=False, nullable=False, comment="rows of any status"),
        sa.Column("n_completed", sa.BigInteger(), autoincrement=False, nullable=False, comment="completed"),
        sa.Column("n_failed", sa.BigInteger(), autoincrement=False, nullable=False, comment="failed"),
        sa.Column("n_cancelled", sa.BigInteger(), autoincrement=False, nullable=False, comment="cancelled"),
        sa.Column("n_timed_out", sa.BigInteger(), autoincrement=False, nullable=False, comment="timed out"),
        sa.Column(
            "n_skipped",
            sa.BigInteger(),
            autoincrement=False,
            nullable=False,
            comment="skipped: outside rates and durations",
        ),
        sa.Column(
            "n_business",
            sa.BigInteger(),
            autoincrement=False,
            nullable=False,
            comment="failed or timed out for a business exception",
        ),
        sa.Column(
            "n_application",
            sa.BigInteger(),
            autoincrement=False,
            nullable=False,
            comment="failed or timed out for an application exception",
        ),
        sa.Column(
            "n_rated",
            sa.BigInteger(),
            autoincrement=False,
            nullable=False,
            comment="rows whose duration counts: n - n_skipped - n_abandoned",
        ),
        sa.Column(
            "n_abandoned",
            sa.BigInteger(),
            autoincrement=False,
            nullable=False,
            comment="runs last seen in this hour whose end never came",
        ),
        sa.Column("duration_sum_ms", sa.Double(), nullable=False, comment="sum over rated rows"),
        sa.Column(
            "duration_sum_squares_ms2", sa.Double(), nullable=False, comment="sum of squares over rated rows"
        ),
        sa.Column("duration_min_ms", sa.Double(), nullable=True, comment="smallest, NULL when none is rated"),
        sa.Column("duration_max_ms", sa.Double(), nullable=True, comment="largest, NULL when none is rated"),
        sa.Column(
            "duration_p50_ms", sa.Double(), nullable=True, comment="from the sketch, 1 % relative error"
        ),
        sa.Column(
            "duration_p95_ms", sa.Double(), nullable=True, comment="from the sketch, 1 % relative error"
        ),
        sa.Column(
            "duration_p99_ms", sa.Double(), nullable=True, comment="from the sketch, 1 % relative error"
        ),
        sa.Column(
            "duration_sketch", sa.LargeBinary(), nullable=False, comment="mergeable quantile sketch of ms"
        ),
        sa.PrimaryKeyConstraint(
            "hour_us",
            "workflow_id",
            "environment",
            "workflow_version",
            name=op.f("pk_rollup_execution_hourly"),
        ),
        comment="Runs by the UTC hour in which they ended.",
    )
    op.create_index(
        op.f("ix_rollup_execution_hourly_workflow_id_hour_us"),
        "rollup_execution_hourly",
        ["workflow_id", "hour_us"],
        unique=False,
    )
    op.create_table(
        "rollup_resource_hourly",
        sa.Column(
            "hour_us",
            sa.BigInteger(),
            autoincrement=False,
            nullable=False,
            comment="start of the UTC hour, µs UTC",
        ),
        sa.Column("host", sa.Text(), nullable=False, comment="the machine"),
        sa.Column("target", sa.Text(), nullable=False, comment="host, process, gpu:0 …"),
        sa.Column("metric", sa.Text(), nullable=False, comment="a resource metric of the catalog"),
        sa.Column("environment", sa.Text(), nullable=False, comment="production, test, simulated …"),
        sa.Column("bucket", sa.SmallInteger(), nullable=False, comment="the shard it was computed in"),
        sa.Column(
            "n", sa.BigInteger(), autoincrement=False, nullable=False, comment="samples that had the metric"
        ),
        sa.Column("value_sum", sa.Double(), nullable=False, comment="sum, in the metric's unit"),
        sa.Column("value_sum_squares", sa.Double(), nullable=False, comment="sum of squares"),
        sa.Column("value_min", sa.Double(), nullable=False, comment="smallest"),
        sa.Column("value_max", sa.Double(), nullable=False, comment="largest"),
        sa.Column("value_p50", sa.Double(), nullable=False, comment="from the sketch, 1 % relative error"),
        sa.Column("value_p95", sa.Double(), nullable=False, comment="from the sketch, 1 % relative error"),
        sa.Column("value_p99", sa.Double(), nullable=False, comment="from the sketch, 1 % relative error"),
        sa.Column("value_sketch", sa.LargeBinary(), nullable=False, comment="mergeable quantile sketch"),
        sa.PrimaryKeyConstraint(
            "hour_us", "host", "target", "metric", "environment", name=op.f("pk_rollup_resource_hourly")
        ),
        comment="Samples by the UTC hour in which they were taken, one row per metric.",
    )
    op.create_index(
        op.f("ix_rollup_resource_hourly_host_metric_hour_us"),
        "rollup_resource_hourly",
        ["host", "metric", "hour_us"],
        unique=False,
    )
    op.create_table(
        "rollup_step_hourly",
        sa.Column(
            "hour_us",
            sa.BigInteger(),
            autoincrement=False,
            nullable=False,
            comment="start of the UTC hour, µs UTC",
        ),
        sa.Column("workflow_id", sa.Text(), nullable=False, comment="what the robot automates"),
        sa.Column("step_id", sa.Text(), nullable=False, comment="which step of the workflow"),
        sa.Column("environment", sa.Text(), nullable=False, comment="production, test, simulated …"),
        sa.Column("workflow_version", sa.Text(), nullable=False, comment="release of the workflow"),
        sa.Column("step_name", sa.Text(), server_default="", nullable=False, comment="what people call it"),
        sa.Column(
            "depth",
            sa.BigInteger(),
            autoincrement=False,
            nullable=False,
            comment="0 at the top; the smallest seen",
        ),
        sa.Column("bucket", sa.SmallInteger(), nullable=False, comment="the shard it was computed in"),
        sa.Column("n", sa.BigInteger(), autoincrement=False, nullable=False, comment="rows of any status"),
        sa.Column("n_completed", sa.BigInteger(), autoincrement=False, nullable=False, comment="completed"),
        sa.Column("n_failed", sa.BigInteger(), autoincrement=False, nullable=False, comment="failed"),
        sa.Column("n_cancelled", sa.BigInteger(), autoincrement=False, nullable=False, comment="cancelled"),
        sa.Column("n_timed_out", sa.BigInteger(), autoincrement=False, nullable=False, comment="timed out"),
        sa.Column(
            "n_skipped",
            sa.BigInteger(),
            autoincrement=False,
            nullable=False,
            comment="skipped: outside rates and durations",
        ),
        sa.Column(
            "n_business",
            sa.BigInteger(),
            autoincrement=False,
            nullable=False,
            comment="failed or timed out for a business exception",
        ),
        sa.Column(
            "n_application",
            sa.BigInteger(),
            autoincrement=False,
            nullable=False,
            comment="failed or timed out for an application exception",
        ),
        sa.Column(
            "n_rated",
            sa.BigInteger(),
            autoincrement=False,
            nullable=False,
            comment="rows whose duration counts: n - n_skipped - n_abandoned",
        ),
        sa.Column("duration_sum_ms", sa.Double(), nullable=False, comment="sum over rated rows"),
        sa.Column(
            "duration_sum_squares_ms2", sa.Double(), nullable=False, comment="sum of squares over rated rows"
        ),
        sa.Column("duration_min_ms", sa.Double(), nullable=True, comment="smallest, NULL when none is rated"),
        sa.Column("duration_max_ms", sa.Double(), nullable=True, comment="largest, NULL when none is rated"),
        sa.Column(
            "duration_p50_ms", sa.Double(), nullable=True, comment="from the sketch, 1 % relative error"
        ),
        sa.Column(
            "duration_p95_ms", sa.Double(), nullable=True, comment="from the sketch, 1 % relative error"
        ),
        sa.Column(
            "duration_p99_ms", sa.Double(), nullable=True, comment="from the sketch, 1 % relative error"
        ),
        sa.Column(
            "duration_sketch", sa.LargeBinary(), nullable=False, comment="mergeable quantile sketch of ms"
        ),
        sa.PrimaryKeyConstraint(
            "hour_us",
            "workflow_id",
            "step_id",
            "environment",
            "workflow_version",
            name=op.f("pk_rollup_step_hourly"),
        ),
        comment="Steps by the UTC hour in which they ended.",
    )
    op.create_index(
        op.f("ix_rollup_step_hourly_workflow_id_hour_us"),
        "rollup_step_hourly",
        ["workflow_id", "hour_us"],
        unique=False,
    )
    op.create_table(
        "execution_abandoned",
        sa.Column("execution_id", sa.Text(), nullable=False, comment="the run it belongs to"),
        sa.Column(
            "last_seen_at_us",
            sa.BigInteger(),
            autoincrement=False,
            nullable=False,
            comment="its last heartbeat; the hour it counts in, µs UTC",
        ),
        sa.Column(
            "decided_as_of_us",
            sa.BigInteger(),
            autoincrement=False,
            nullable=False,
            comment="the moment the sweep judged, µs UTC",
        ),
        sa.Column(
            "workflow_id", sa.Text(), server_default="", nullable=False, comment="what the robot automates"
        ),
        sa.Column(
            "workflow_version",
            sa.Text(),
            server_default="",
            nullable=False,
            comment="release of the workflow",
        ),
        sa.Column(
            "environment",
            sa.Text(),
            server_default="",
            nullable=False,
            comment="production, test, simulated …",
        ),
        sa.Column("robot_id", sa.Text(), server_default="", nullable=False, comment="the worker that ran it"),
        sa.Column("host", sa.Text(), server_default="", nullable=False, comment="the machine"),
        sa.Column(
            "queue", sa.Text(), server_default="", nullable=False, comment="the queue the work came from"
        ),
        sa.Column(
            "bucket", sa.SmallInteger(), nullable=False, comment="crc32(workflow_id) mod 16: the shard"
        ),
        sa.ForeignKeyConstraint(
            ["execution_id"], ["execution.execution_id"], name=op.f("fk_execution_abandoned_execution_id")
        ),
        sa.PrimaryKeyConstraint("execution_id", name=op.f("pk_execution_abandoned")),
        comment="Runs whose heartbeats stopped without an end. A late end overrules the row.",
    )
    op.create_index(
        op.f("ix_execution_abandoned_last_seen_at_us"),
        "execution_abandoned",
        ["last_seen_at_us"],
        unique=False,
    )
    op.create_table(
        "execution_heartbeat",
        sa.Column("execution_id", sa.Text(), nullable=False, comment="the run it belongs to"),
        sa.Column(
            "sent_at_us",
            sa.BigInteger(),
            autoincrement=False,
            nullable=False,
            comment="when the run was seen alive, µs UTC",
        ),
        sa.Column(
            "workflow_id", sa.Text(), server_default="", nullable=False, comment="what the robot automates"
        ),
        sa.Column(
            "workflow_version",
            sa.Text(),
            server_default="",
            nullable=False,
            comment="release of the workflow",
        ),
        sa.Column(
            "environment",
            sa.Text(),
            server_default="",
            nullable=False,
            comment="production, test, simulated …",
        ),
        sa.Column("robot_id", sa.Text(), server_default="", nullable=False, comment="the worker that ran it"),
        sa.Column("host", sa.Text(), server_default="", nullable=False, comment="the machine"),
        sa.Column(
            "queue", sa.Text(), server_default="", nullable=False, comment="the queue the work came from"
        ),
        sa.Column(
            "bucket", sa.SmallInteger(), nullable=False, comment="crc32(workflow_id) mod 16: the shard"
        ),
        sa.Column(
            "content_hash",
            sa.BigInteger(),
            autoincrement=False,
            nullable=False,
            comment="blake2b-64 of what happened (not of who recorded it)",
        ),
        sa.ForeignKeyConstraint(
            ["execution_id"], ["execution.execution_id"], name=op.f("fk_execution_heartbeat_execution_id")
        ),
        sa.PrimaryKeyConstraint("execution_id", "sent_at_us", name=op.f("pk_execution_heartbeat")),
        comment="Signs of life of running executions.",
    )
    op.create_index(
        op.f("ix_execution_heartbeat_sent_at_us"), "execution_heartbeat", ["sent_at_us"], unique=False
    )
    op.create_table(
        "execution_metrics",
        sa.Column("execution_id", sa.Text(), nullable=False, comment="the run it belongs to"),
        sa.Column(
            "workflow_id", sa.Text(), server_default="", nullable=False, comment="what the robot automates"
        ),
        sa.Column(
            "status",
            sa.Text(),
            server_default="",
            nullable=False,
            comment="completed, failed, cancelled, timed_out or skipped",
        ),
        sa.Column(
            "started_at_us",
            sa.BigInteger(),
            autoincrement=False,
            nullable=False,
            comment="when the run started, µs UTC",
        ),
        sa.Column(
            "ended_at_us",
            sa.BigInteger(),
            autoincrement=False,
            nullable=False,
            comment="when the run ended; the hour it counts in, µs UTC",
        ),
        sa.Column("duration_ms", sa.Double(), nullable=False, comment="monotonic duration, ms"),
        sa.Column(
            "exception_kind",
            sa.Text(),
            server_default="",
            nullable=False,
            comment="business (the data was wrong), application (the automation broke) or ''",
        ),
        sa.Column(
            "message",
            sa.Text(),
            server_default="",
            nullable=False,
            comment="why it failed, masked, at most 8 KB",
        ),
        sa.Column(
            "message_truncated", sa.Boolean(), nullable=False, comment="the message was longer than 8 KB"
        ),
        sa.Column(
            "steps_total",
            sa.BigInteger(),
            autoincrement=False,
            nullable=True,
            comment="steps planned or seen",
        ),
        sa.Column(
            "steps_completed", sa.BigInteger(), autoincrement=False, nullable=True, comment="steps completed"
        ),
        sa.Column(
            "steps_failed", sa.BigInteger(), autoincrement=False, nullable=True, comment="steps failed"
        ),
        sa.Column(
            "attempt",
            sa.BigInteger(),
            autoincrement=False,
            nullable=False,
            comment="1 for the first try of the same work",
        ),
        sa.Column(
            "queued_at_us",
            sa.BigInteger(),
            autoincrement=False,
            nullable=True,
            comment="when its work was queued, µs UTC",
        ),
        sa.Column(
            "parent_execution_id",
            sa.Text(),
            server_default="",
            nullable=False,
            comment="the run that started this one",
        ),
        sa.Column(
            "transaction_id",
            sa.Text(),
            server_default="",
            nullable=False,
            comment="the work item it processed",
        ),
        sa.Column("suite", sa.Text(), server_default="", nullable=False, comment="Robot Framework suite"),
        sa.Column(
            "attributes",
            sa.Text(),
            server_default="",
            nullable=False,
            comment="tags and other labels: a JSON object of text",
        ),
        sa.Column(
            "clock_skewed",
            sa.Boolean(),
            nullable=False,
            comment="wall clock and duration differ by more than a second",
        ),
        sa.Column(
            "recorder_id", sa.Text(), server_default="", nullable=False, comment="the recording process"
        ),
        sa.Column(
            "source", sa.Text(), server_default="", nullable=False, comment="which collector or importer"
        ),
        sa.Column(
            "workflow_version",
            sa.Text(),
            server_default="",
            nullable=False,
            comment="release of the workflow",
        ),
        sa.Column(
            "environment",
            sa.Text(),
            server_default="",
            nullable=False,
            comment="production, test, simulated …",
        ),
        sa.Column("robot_id", sa.Text(), server_default="", nullable=False, comment="the worker that ran it"),
        sa.Column("host", sa.Text(), server_default="", nullable=False, comment="the machine"),
        sa.Column(
            "queue", sa.Text(), server_default="", nullable=False, comment="the queue the work came from"
        ),
        sa.Column(
            "bucket", sa.SmallInteger(), nullable=False, comment="crc32(workflow_id) mod 16: the shard"
        ),
        sa.Column(
            "content_hash",
            sa.BigInteger(),
            autoincrement=False,
            nullable=False,
            comment="blake2b-64 of what happened (not of who recorded it)",
        ),
        sa.ForeignKeyConstraint(
            ["execution_id"], ["execution.execution_id"], name=op.f("fk_execution_metrics_execution_id")
        ),
        sa.PrimaryKeyConstraint("execution_id", name=op.f("pk_execution_metrics")),
        comment="Finished runs: the complete row, written once, at the end.",
    )
    op.create_index(
        op.f("ix_execution_metrics_ended_at_us"), "execution_metrics", ["ended_at_us"], unique=False
    )
    op.create_index(
        op.f("ix_execution_metrics_workflow_id_ended_at_us"),
        "execution_metrics",
        ["workflow_id", "ended_at_us"],
        unique=False,
    )
    op.create_table(
        "execution_start",
        sa.Column("execution_id", sa.Text(), nullable=False, comment="the run it belongs to"),
        sa.Column(
            "workflow_id", sa.Text(), server_default="", nullable=False, comment="what the robot automates"
        ),
        sa.Column(
            "started_at_us",
            sa.BigInteger(),
            autoincrement=False,
            nullable=False,
            comment="when the run started, µs UTC",
        ),
        sa.Column(
            "queued_at_us",
            sa.BigInteger(),
            autoincrement=False,
            nullable=True,
            comment="when its work was queued, µs UTC",
        ),
        sa.Column(
            "parent_execution_id",
            sa.Text(),
            server_default="",
            nullable=False,
            comment="the run that started this one",
        ),
        sa.Column("suite", sa.Text(), server_default="", nullable=False, comment="Robot Framework suite"),
        sa.Column(
            "recorder_id", sa.Text(), server_default="", nullable=False, comment="the recording process"
        ),
        sa.Column(
            "source", sa.Text(), server_default="", nullable=False, comment="which collector or importer"
        ),
        sa.Column(
            "workflow_version",
            sa.Text(),
            server_default="",
            nullable=False,
            comment="release of the workflow",
        ),
        sa.Column(
            "environment",
            sa.Text(),
            server_default="",
            nullable=False,
            comment="production, test, simulated …",
        ),
        sa.Column("robot_id", sa.Text(), server_default="", nullable=False, comment="the worker that ran it"),
        sa.Column("host", sa.Text(), server_default="", nullable=False, comment="the machine"),
        sa.Column(
            "queue", sa.Text(), server_default="", nullable=False, comment="the queue the work came from"
        ),
        sa.Column(
            "bucket", sa.SmallInteger(), nullable=False, comment="crc32(workflow_id) mod 16: the shard"
        ),
        sa.Column(
            "content_hash",
            sa.BigInteger(),
            autoincrement=False,
            nullable=False,
            comment="blake2b-64 of what happened (not of who recorded it)",
        ),
        sa.ForeignKeyConstraint(
            ["execution_id"], ["execution.execution_id"], name=op.f("fk_execution_start_execution_id")
        ),
        sa.PrimaryKeyConstraint("execution_id", name=op.f("pk_execution_start")),
        comment="Runs that began; with no execution_metrics row they are still running.",
    )
    op.create_index(
        op.f("ix_execution_start_started_at_us"), "execution_start", ["started_at_us"], unique=False
    )
    op.create_table(
        "step_metrics",
        sa.Column("execution_id", sa.Text(), nullable=False, comment="the run it belongs to"),
        sa.Column(
            "recorder_id",
            sa.Text(),
            nullable=False,
            comment="the recording process: two may report on one run",
        ),
        sa.Column(
            "step_seq",
            sa.BigInteger(),
            autoincrement=False,
            nullable=False,
            comment="order of start within the run and recorder",
        ),
        sa.Column(
            "attempt",
            sa.BigInteger(),
            autoincrement=False,
            nullable=False,
            comment="1 for the first try of the same step",
        ),
        sa.Column(
            "ended_at_us",
            sa.BigInteger(),
            autoincrement=False,
            nullable=False,
            comment="when the step ended; the hour it counts in, µs UTC",
        ),
        sa.Column(
            "workflow_id", sa.Text(), server_default="", nullable=False, comment="what the robot automates"
        ),
        sa.Column(
            "step_id",
            sa.Text(),
            server_default="",
            nullable=False,
            comment="which step of the workflow, stable across runs",
        ),
        sa.Column("step_name", sa.Text(), server_default="", nullable=False, comment="what people call it"),
        sa.Column(
            "status",
            sa.Text(),
            server_default="",
            nullable=False,
            comment="completed, failed, cancelled, timed_out or skipped",
        ),
        sa.Column(
            "started_at_us",
            sa.BigInteger(),
            autoincrement=False,
            nullable=False,
            comment="when the step started, µs UTC",
        ),
        sa.Column("duration_ms", sa.Double(), nullable=False, comment="monotonic duration, ms"),
        sa.Column(
            "parent_step_seq",
            sa.BigInteger(),
            autoincrement=False,
            nullable=True,
            comment="step_seq of the enclosing step, NULL at the top",
        ),
        sa.Column("depth", sa.BigInteger(), autoincrement=False, nullable=False, comment="0 at the top"),
        sa.Column(
            "step_type",
            sa.Text(),
            server_default="",
            nullable=False,
            comment="keyword, setup, teardown, for, if …",
        ),
        sa.Column(
            "exception_kind",
            sa.Text(),
            server_default="",
            nullable=False,
            comment="business, application or ''",
        ),
        sa.Column(
            "message",
            sa.Text(),
            server_default="",
            nullable=False,
            comment="why it failed, masked, at most 8 KB",
        ),
        sa.Column(
            "message_truncated", sa.Boolean(), nullable=False, comment="the message was longer than 8 KB"
        ),
        sa.Column(
            "retries",
            sa.BigInteger(),
            autoincrement=False,
            nullable=False,
            comment="how often it was tried again inside",
        ),
        sa.Column(
            "transaction_id",
            sa.Text(),
            server_default="",
            nullable=False,
            comment="the work item it processed",
        ),
        sa.Column(
            "clock_skewed",
            sa.Boolean(),
            nullable=False,
            comment="wall clock and duration differ by more than a second",
        ),
        sa.Column(
            "source", sa.Text(), server_default="", nullable=False, comment="which collector or importer"
        ),
        sa.Column(
            "workflow_version",
            sa.Text(),
            server_default="",
            nullable=False,
            comment="release of the workflow",
        ),
        sa.Column(
            "environment",
            sa.Text(),
            server_default="",
            nullable=False,
            comment="production, test, simulated …",
        ),
        sa.Column("robot_id", sa.Text(), server_default="", nullable=False, comment="the worker that ran it"),
        sa.Column("host", sa.Text(), server_default="", nullable=False, comment="the machine"),
        sa.Column(
            "queue", sa.Text(), server_default="", nullable=False, comment="the queue the work came from"
        ),
        sa.Column(
            "bucket", sa.SmallInteger(), nullable=False, comment="crc32(workflow_id) mod 16: the shard"
        ),
        sa.Column(
            "content_hash",
            sa.BigInteger(),
            autoincrement=False,
            nullable=False,
            comment="blake2b-64 of what happened (not of who recorded it)",
        ),
        sa.ForeignKeyConstraint(
            ["execution_id"], ["execution.execution_id"], name=op.f("fk_step_metrics_execution_id")
        ),
        sa.PrimaryKeyConstraint(
            "execution_id", "recorder_id", "step_seq", "attempt", "ended_at_us", name=op.f("pk_step_metrics")
        ),
        comment="Finished steps. The key holds the end time because Postgres partitions by it.",
    )
    op.create_index(op.f("ix_step_metrics_ended_at_us"), "step_metrics", ["ended_at_us"], unique=False)
    op.create_index(
        op.f("ix_step_metrics_workflow_id_ended_at_us"),
        "step_metrics",
        ["workflow_id", "ended_at_us"],
        unique=False,
    )
