"""Small records for tests: everything has a default, so that a test names only what it is about."""

from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import Engine, select

from analytics_lib import schema
from analytics_lib.records import (
    ExecutionHeartbeat,
    ExecutionMetrics,
    ExecutionStart,
    ResourceMetrics,
    StepMetrics,
)

NOON = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)  # a Monday


def at(minutes: float) -> datetime:
    """So many minutes after noon."""
    return NOON + timedelta(minutes=minutes)


def execution(execution_id: str, ended: datetime = NOON, **fields: Any) -> ExecutionMetrics:
    duration_ms = fields.setdefault("duration_ms", 1000.0)
    if "started_at" not in fields:
        fields["started_at"] = ended - timedelta(milliseconds=duration_ms)
    fields.setdefault("workflow_id", "invoices")
    fields.setdefault("status", "completed")
    return ExecutionMetrics(execution_id=execution_id, ended_at=ended, **fields)


def step(execution_id: str, step_seq: int, ended: datetime = NOON, **fields: Any) -> StepMetrics:
    duration_ms = fields.setdefault("duration_ms", 100.0)
    if "started_at" not in fields:
        fields["started_at"] = ended - timedelta(milliseconds=duration_ms)
    fields.setdefault("workflow_id", "invoices")
    fields.setdefault("step_id", "open mailbox")
    fields.setdefault("recorder_id", "recorder")
    fields.setdefault("status", "completed")
    return StepMetrics(execution_id=execution_id, step_seq=step_seq, ended_at=ended, **fields)


def sample(sampled_at: datetime = NOON, **fields: Any) -> ResourceMetrics:
    fields.setdefault("agent_id", "agent")
    fields.setdefault("target", "host")
    fields.setdefault("host", "BOT-01")
    fields.setdefault("cpu_percent", 50.0)
    return ResourceMetrics(sampled_at=sampled_at, **fields)


def start(execution_id: str, started: datetime = NOON, **fields: Any) -> ExecutionStart:
    fields.setdefault("workflow_id", "invoices")
    return ExecutionStart(execution_id=execution_id, started_at=started, **fields)


def heartbeat(execution_id: str, sent: datetime = NOON, **fields: Any) -> ExecutionHeartbeat:
    fields.setdefault("workflow_id", "invoices")
    return ExecutionHeartbeat(execution_id=execution_id, sent_at=sent, **fields)


def table_rows(engine: Engine, name: str, *, without: tuple[str, ...] = ()) -> list[tuple[Any, ...]]:
    """All rows of a table, sorted, for comparison."""
    table = schema.metadata.tables[name]
    columns = [column for column in table.columns if column.name not in without]
    with engine.connect() as connection:
        rows = [tuple(row) for row in connection.execute(select(*columns))]
    return sorted(rows, key=repr)


def pending_marks(engine: Engine, stage: str = "hourly_rollup") -> list[tuple[Any, ...]]:
    """The marks that wait for a stage."""
    return [mark for mark in table_rows(engine, "pending") if mark[1] == stage]


def rollups(engine: Engine) -> dict[str, list[tuple[Any, ...]]]:
    """Every rollup row of hours and of days, by table."""
    tables = (*schema.ROLLUP_TABLES.values(), *schema.DAILY_TABLES.values())
    return {table.name: table_rows(engine, table.name) for table in tables}
