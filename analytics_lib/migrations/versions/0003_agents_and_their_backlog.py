"""What agents say about themselves: which kind they are, what waits in their spool, how their clock goes."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # Each with a default or nullable: agents of an older release go on writing rows without them.
    op.add_column(
        "agent_heartbeat",
        sa.Column(
            "component",
            sa.Text(),
            server_default="",
            nullable=False,
            comment="daemon, collector (inside a robot's process) or '' (an older agent)",
        ),
    )
    op.add_column(
        "agent_heartbeat",
        sa.Column(
            "rows_recorded",
            sa.BigInteger(),
            server_default="0",
            nullable=False,
            comment="rows recorded since the agent started",
        ),
    )
    op.add_column(
        "agent_heartbeat",
        sa.Column(
            "rows_delivered",
            sa.BigInteger(),
            server_default="0",
            nullable=False,
            comment="rows delivered since the agent started",
        ),
    )
    op.add_column(
        "agent_heartbeat",
        sa.Column(
            "spool_bytes", sa.BigInteger(), server_default="0", nullable=False, comment="size of its spool"
        ),
    )
    op.add_column(
        "agent_heartbeat",
        sa.Column(
            "oldest_undelivered_at_us",
            sa.BigInteger(),
            nullable=True,
            comment="when the oldest row happened that waits, µs UTC",
        ),
    )
    op.add_column(
        "agent_heartbeat",
        sa.Column(
            "clock_offset_ms",
            sa.Double(),
            nullable=True,
            comment="what the database's clock is ahead of the agent's, ms",
        ),
    )
    op.create_index(
        op.f("ix_agent_heartbeat_component_agent_id_sent_at_us"),
        "agent_heartbeat",
        ["component", "agent_id", "sent_at_us"],
        unique=False,
    )
