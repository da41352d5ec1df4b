"""Every table and column, described once: the migrations, the store and the README follow this package.

Times are BIGINT microseconds since 1970-01-01 UTC and end in `_us`; key columns are NOT NULL with
'' for "none". Raw tables are append-only. On Postgres everything lives in the schema `rpa`.

Compatibility rule: later versions only add tables, indexes and columns with a default to the raw
tables, so an older agent goes on writing to a newer database.
"""

from typing import Final

from analytics_lib.schema.columns import metadata
from analytics_lib.schema.findings import anomaly, baseline, baseline_run, baseline_series, insight
from analytics_lib.schema.operations import archive_manifest, outbox, workflow, workflow_alias
from analytics_lib.schema.raw import (
    RAW_TABLES,
    agent_heartbeat,
    execution,
    execution_heartbeat,
    execution_metrics,
    execution_start,
    quarantine,
    resource_metrics,
    step_metrics,
)
from analytics_lib.schema.rollups import (
    DAILY_TABLES,
    ROLLUP_TABLES,
    execution_abandoned,
    pending,
    rollup_execution_daily,
    rollup_execution_hourly,
    rollup_queue_daily,
    rollup_queue_hourly,
    rollup_resource_daily,
    rollup_resource_hourly,
    rollup_step_daily,
    rollup_step_hourly,
)

SCHEMA_VERSION: Final = 5
POSTGRES_SCHEMA: Final = "rpa"
VERSION_TABLE: Final = "rpa_schema_version"

__all__ = [
    "DAILY_TABLES",
    "POSTGRES_SCHEMA",
    "RAW_TABLES",
    "ROLLUP_TABLES",
    "SCHEMA_VERSION",
    "VERSION_TABLE",
    "agent_heartbeat",
    "anomaly",
    "archive_manifest",
    "baseline",
    "baseline_run",
    "baseline_series",
    "execution",
    "execution_abandoned",
    "execution_heartbeat",
    "execution_metrics",
    "execution_start",
    "insight",
    "metadata",
    "outbox",
    "pending",
    "quarantine",
    "resource_metrics",
    "rollup_execution_daily",
    "rollup_execution_hourly",
    "rollup_queue_daily",
    "rollup_queue_hourly",
    "rollup_resource_daily",
    "rollup_resource_hourly",
    "rollup_step_daily",
    "rollup_step_hourly",
    "step_metrics",
    "workflow",
    "workflow_alias",
]
