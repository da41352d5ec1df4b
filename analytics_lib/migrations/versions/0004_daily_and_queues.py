"""Daily rows, and hourly and daily rows of queues; what is rolled up already is marked to be merged."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

_HOUR_US = 3_600_000_000
_DAY_US = 24 * _HOUR_US


def upgrade() -> None:
    op.create_table(
        "rollup_execution_daily",
        sa.Column(
            "day_us",
            sa.BigInteger(),
            autoincrement=False,
            nullable=False,
            comment="start of the UTC day, µs UTC",
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
            comment="runs last seen in this day whose end never came",
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
            "day_us", "workflow_id", "environment", "workflow_version", name=op.f("pk_rollup_execution_daily")
        ),
        comment="The UTC day's hours, merged.",
    )
    op.create_index(
        op.f("ix_rollup_execution_daily_workflow_id_day_us"),
        "rollup_execution_daily",
        ["workflow_id", "day_us"],
        unique=False,
    )
    op.create_table(
        "rollup_queue_daily",
        sa.Column(
            "day_us",
            sa.BigInteger(),
            autoincrement=False,
            nullable=False,
            comment="start of the UTC day, µs UTC",
        ),
        sa.Column("queue", sa.Text(), nullable=False, comment="the queue the work came from"),
        sa.Column("workflow_id", sa.Text(), nullable=False, comment="what worked on it"),
        sa.Column("environment", sa.Text(), nullable=False, comment="production, test, simulated …"),
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
            "n_waited",
            sa.BigInteger(),
            autoincrement=False,
            nullable=False,
            comment="runs whose wait is known: queued before they started",
        ),
        sa.Column(
            "n_wait_negative",
            sa.BigInteger(),
            autoincrement=False,
            nullable=False,
            comment="runs that started before they were queued: two clocks; outside the wait",
        ),
        sa.Column(
            "wait_sum_ms", sa.Double(), nullable=False, comment="sum of the waits from queued to started"
        ),
        sa.Column("wait_sum_squares_ms2", sa.Double(), nullable=False, comment="sum of squares of the waits"),
        sa.Column("wait_min_ms", sa.Double(), nullable=True, comment="shortest, NULL when none is known"),
        sa.Column("wait_max_ms", sa.Double(), nullable=True, comment="longest, NULL when none is known"),
        sa.Column("wait_p50_ms", sa.Double(), nullable=True, comment="from the sketch, 1 % relative error"),
        sa.Column("wait_p95_ms", sa.Double(), nullable=True, comment="from the sketch, 1 % relative error"),
        sa.Column("wait_p99_ms", sa.Double(), nullable=True, comment="from the sketch, 1 % relative error"),
        sa.Column("wait_sketch", sa.LargeBinary(), nullable=False, comment="mergeable quantile sketch of ms"),
        sa.PrimaryKeyConstraint(
            "day_us", "queue", "workflow_id", "environment", name=op.f("pk_rollup_queue_daily")
        ),
        comment="The UTC day's hours, merged.",
    )
    op.create_index(
        op.f("ix_rollup_queue_daily_workflow_id_day_us"),
        "rollup_queue_daily",
        ["workflow_id", "day_us"],
        unique=False,
    )
    op.create_table(
        "rollup_queue_hourly",
        sa.Column(
            "hour_us",
            sa.BigInteger(),
            autoincrement=False,
            nullable=False,
            comment="start of the UTC hour, µs UTC",
        ),
        sa.Column("queue", sa.Text(), nullable=False, comment="the queue the work came from"),
        sa.Column("workflow_id", sa.Text(), nullable=False, comment="what worked on it"),
        sa.Column("environment", sa.Text(), nullable=False, comment="production, test, simulated …"),
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
            "n_waited",
            sa.BigInteger(),
            autoincrement=False,
            nullable=False,
            comment="runs whose wait is known: queued before they started",
        ),
        sa.Column(
            "n_wait_negative",
            sa.BigInteger(),
            autoincrement=False,
            nullable=False,
            comment="runs that started before they were queued: two clocks; outside the wait",
        ),
        sa.Column(
            "wait_sum_ms", sa.Double(), nullable=False, comment="sum of the waits from queued to started"
        ),
        sa.Column("wait_sum_squares_ms2", sa.Double(), nullable=False, comment="sum of squares of the waits"),
        sa.Column("wait_min_ms", sa.Double(), nullable=True, comment="shortest, NULL when none is known"),
        sa.Column("wait_max_ms", sa.Double(), nullable=True, comment="longest, NULL when none is known"),
        sa.Column("wait_p50_ms", sa.Double(), nullable=True, comment="from the sketch, 1 % relative error"),
        sa.Column("wait_p95_ms", sa.Double(), nullable=True, comment="from the sketch, 1 % relative error"),
        sa.Column("wait_p99_ms", sa.Double(), nullable=True, comment="from the sketch, 1 % relative error"),
        sa.Column("wait_sketch", sa.LargeBinary(), nullable=False, comment="mergeable quantile sketch of ms"),
        sa.PrimaryKeyConstraint(
            "hour_us", "queue", "workflow_id", "environment", name=op.f("pk_rollup_queue_hourly")
        ),
        comment="Runs that came from a queue, by the UTC hour in which they ended.",
    )
    op.create_index(
        op.f("ix_rollup_queue_hourly_workflow_id_hour_us"),
        "rollup_queue_hourly",
        ["workflow_id", "hour_us"],
        unique=False,
    )
    op.create_table(
        "rollup_resource_daily",
        sa.Column(
            "day_us",
            sa.BigInteger(),
            autoincrement=False,
            nullable=False,
            comment="start of the UTC day, µs UTC",
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
            "day_us", "host", "target", "metric", "environment", name=op.f("pk_rollup_resource_daily")
        ),
        comment="The UTC day's hours, merged.",
    )
    op.create_index(
        op.f("ix_rollup_resource_daily_host_metric_day_us"),
        "rollup_resource_daily",
        ["host", "metric", "day_us"],
        unique=False,
    )
    op.create_table(
        "rollup_step_daily",
        sa.Column(
            "day_us",
            sa.BigInteger(),
            autoincrement=False,
            nullable=False,
            comment="start of the UTC day, µs UTC",
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
            "day_us",
            "workflow_id",
            "step_id",
            "environment",
            "workflow_version",
            name=op.f("pk_rollup_step_daily"),
        ),
        comment="The UTC day's hours, merged.",
    )
    op.create_index(
        op.f("ix_rollup_step_daily_workflow_id_day_us"),
        "rollup_step_daily",
        ["workflow_id", "day_us"],
        unique=False,
    )

    for kind in ("execution", "step", "resource"):
        # Identifiers are ours. The day's mark is any hour of it, the first by convention.
        op.execute(
            "INSERT INTO pending (stage, kind, hour_us, bucket) "  # noqa: S608
            f"SELECT DISTINCT 'daily_rollup', '{kind}', hour_us - hour_us % {_DAY_US}, bucket "
            f"FROM rollup_{kind}_hourly"
        )
    # Queues are counted from the runs themselves.
    op.execute(
        "INSERT INTO pending (stage, kind, hour_us, bucket) "  # noqa: S608
        f"SELECT DISTINCT 'hourly_rollup', 'execution', ended_at_us - ended_at_us % {_HOUR_US}, bucket "
        "FROM execution_metrics WHERE queue <> ''"
    )
