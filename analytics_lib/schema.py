"""Every table and column, described once: the migrations, the store and the README follow this file.

Times are BIGINT microseconds since 1970-01-01 UTC and end in `_us`; key columns are NOT NULL with
'' for "none". Raw tables are append-only. On Postgres everything lives in the schema `rpa`.

Compatibility rule: later versions only add tables, indexes and columns with a default to the raw
tables, so an older agent goes on writing to a newer database.
"""

from collections.abc import Iterator
from typing import Final

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Double,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    SmallInteger,
    Table,
    Text,
)

SCHEMA_VERSION: Final = 1
POSTGRES_SCHEMA: Final = "rpa"
VERSION_TABLE: Final = "rpa_schema_version"

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)


def _text(name: str, comment: str, *, key: bool = False) -> Column[str]:
    return Column(
        name, Text, primary_key=key, nullable=False, server_default=None if key else "", comment=comment
    )


def _time(name: str, comment: str, *, key: bool = False, nullable: bool = False) -> Column[int]:
    return Column(
        name,
        BigInteger,
        primary_key=key,
        nullable=nullable,
        autoincrement=False,
        comment=comment + ", µs UTC",
    )


def _count(name: str, comment: str, *, key: bool = False, nullable: bool = False) -> Column[int]:
    return Column(name, BigInteger, primary_key=key, nullable=nullable, autoincrement=False, comment=comment)


def _number(name: str, comment: str, *, nullable: bool = False) -> Column[float]:
    return Column(name, Double, nullable=nullable, comment=comment)


def _flag(name: str, comment: str) -> Column[bool]:
    return Column(name, Boolean, nullable=False, comment=comment)


def _dimensions() -> Iterator[Column[str]]:
    yield _text("workflow_version", "release of the workflow")
    yield _text("environment", "production, test, simulated …")
    yield _text("robot_id", "the worker that ran it")
    yield _text("host", "the machine")
    yield _text("queue", "the queue the work came from")


def _bookkeeping(bucket_of: str) -> Iterator[Column[int]]:
    yield Column("bucket", SmallInteger, nullable=False, comment=f"crc32({bucket_of}) mod 16: the shard")
    yield _count("content_hash", "blake2b-64 of what happened (not of who recorded it)")


def _execution_id() -> Column[str]:
    return Column(
        "execution_id",
        Text,
        ForeignKey("execution.execution_id"),
        primary_key=True,
        nullable=False,
        comment="the run it belongs to",
    )


# --- raw rows, appended by agents and importers ---------------------------------------------------

execution = Table(
    "execution",
    metadata,
    _text("execution_id", "key given by the source; a UUID made once per run by default", key=True),
    comment="Keys of all runs: whoever writes about a run inserts its key first.",
)

execution_start = Table(
    "execution_start",
    metadata,
    _execution_id(),
    _text("workflow_id", "what the robot automates"),
    _time("started_at_us", "when the run started"),
    _time("queued_at_us", "when its work was queued", nullable=True),
    _text("parent_execution_id", "the run that started this one"),
    _text("suite", "Robot Framework suite"),
    _text("recorder_id", "the recording process"),
    _text("source", "which collector or importer"),
    *_dimensions(),
    *_bookkeeping("workflow_id"),
    Index(None, "started_at_us"),
    comment="Runs that began; with no execution_metrics row they are still running.",
)

execution_heartbeat = Table(
    "execution_heartbeat",
    metadata,
    _execution_id(),
    _time("sent_at_us", "when the run was seen alive", key=True),
    _text("workflow_id", "what the robot automates"),
    *_dimensions(),
    *_bookkeeping("workflow_id"),
    Index(None, "sent_at_us"),
    comment="Signs of life of running executions.",
)

execution_metrics = Table(
    "execution_metrics",
    metadata,
    _execution_id(),
    _text("workflow_id", "what the robot automates"),
    _text("status", "completed, failed, cancelled, timed_out or skipped"),
    _time("started_at_us", "when the run started"),
    _time("ended_at_us", "when the run ended; the hour it counts in"),
    _number("duration_ms", "monotonic duration, ms"),
    _text("exception_kind", "business (the data was wrong), application (the automation broke) or ''"),
    _text("message", "why it failed, masked, at most 8 KB"),
    _flag("message_truncated", "the message was longer than 8 KB"),
    _count("steps_total", "steps planned or seen", nullable=True),
    _count("steps_completed", "steps completed", nullable=True),
    _count("steps_failed", "steps failed", nullable=True),
    _count("attempt", "1 for the first try of the same work"),
    _time("queued_at_us", "when its work was queued", nullable=True),
    _text("parent_execution_id", "the run that started this one"),
    _text("transaction_id", "the work item it processed"),
    _text("suite", "Robot Framework suite"),
    _text("attributes", "tags and other labels: a JSON object of text"),
    _flag("clock_skewed", "wall clock and duration differ by more than a second"),
    _text("recorder_id", "the recording process"),
    _text("source", "which collector or importer"),
    *_dimensions(),
    *_bookkeeping("workflow_id"),
    Index(None, "ended_at_us"),
    Index(None, "workflow_id", "ended_at_us"),
    comment="Finished runs: the complete row, written once, at the end.",
)

step_metrics = Table(
    "step_metrics",
    metadata,
    _execution_id(),
    _text("recorder_id", "the recording process: two may report on one run", key=True),
    _count("step_seq", "order of start within the run and recorder", key=True),
    _count("attempt", "1 for the first try of the same step", key=True),
    _time("ended_at_us", "when the step ended; the hour it counts in", key=True),
    _text("workflow_id", "what the robot automates"),
    _text("step_id", "which step of the workflow, stable across runs"),
    _text("step_name", "what people call it"),
    _text("status", "completed, failed, cancelled, timed_out or skipped"),
    _time("started_at_us", "when the step started"),
    _number("duration_ms", "monotonic duration, ms"),
    _count("parent_step_seq", "step_seq of the enclosing step, NULL at the top", nullable=True),
    _count("depth", "0 at the top"),
    _text("step_type", "keyword, setup, teardown, for, if …"),
    _text("exception_kind", "business, application or ''"),
    _text("message", "why it failed, masked, at most 8 KB"),
    _flag("message_truncated", "the message was longer than 8 KB"),
    _count("retries", "how often it was tried again inside"),
    _text("transaction_id", "the work item it processed"),
    _flag("clock_skewed", "wall clock and duration differ by more than a second"),
    _text("source", "which collector or importer"),
    *_dimensions(),
    *_bookkeeping("workflow_id"),
    Index(None, "ended_at_us"),
    Index(None, "workflow_id", "ended_at_us"),
    comment="Finished steps. The key holds the end time because Postgres partitions by it.",
)

resource_metrics = Table(
    "resource_metrics",
    metadata,
    _text("agent_id", "the sampling process", key=True),
    _text("target", "host, process, gpu:0 …", key=True),
    _time("sampled_at_us", "when the sample was taken", key=True),
    _text("workflow_id", "what ran meanwhile, if the sampler knew"),
    _text("execution_id", "the run that ran meanwhile, if the sampler knew"),
    _number("cpu_percent", "100 is all CPUs the target may use", nullable=True),
    _count("memory_used_bytes", "host: used; process: resident", nullable=True),
    _count("memory_total_bytes", "what the target may use", nullable=True),
    _count("disk_used_bytes", "used on the data volume", nullable=True),
    _count("disk_total_bytes", "size of the data volume", nullable=True),
    _number("disk_read_bytes_per_s", "mean since the sample before", nullable=True),
    _number("disk_written_bytes_per_s", "mean since the sample before", nullable=True),
    _number("network_received_bytes_per_s", "mean since the sample before", nullable=True),
    _number("network_sent_bytes_per_s", "mean since the sample before", nullable=True),
    _number("gpu_utilization_percent", "as NVML reports it", nullable=True),
    _count("gpu_memory_used_bytes", "as NVML reports it", nullable=True),
    _count("gpu_memory_total_bytes", "as NVML reports it", nullable=True),
    _count("process_count", "process: the robot and its children", nullable=True),
    _count("thread_count", "threads of the robot and its children", nullable=True),
    _count("handle_count", "open handles or file descriptors", nullable=True),
    _text("source", "which collector"),
    *_dimensions(),
    *_bookkeeping("host"),
    Index(None, "sampled_at_us"),
    Index(None, "execution_id", "sampled_at_us"),
    comment="Resource samples, one wide row per target.",
)

agent_heartbeat = Table(
    "agent_heartbeat",
    metadata,
    _text("agent_id", "the agent process", key=True),
    _time("sent_at_us", "when it was sent", key=True),
    _time("complete_to_us", "all recorded before this moment is delivered"),
    _text("agent_version", "release of the agent"),
    _count("rows_pending", "rows still to deliver"),
    _count("rows_dropped", "rows dropped since the agent started"),
    _count("rows_quarantined", "rows quarantined since the agent started"),
    _text("problem", "what the agent struggles with"),
    *_dimensions(),
    *_bookkeeping("host"),
    Index(None, "sent_at_us"),
    comment="Signs of life of agents: what tells a dead agent from a silent workflow.",
)

quarantine = Table(
    "quarantine",
    metadata,
    _text("quarantine_id", "hash of kind, reason and payload: the same row is kept once", key=True),
    _text("record_kind", "what it was meant to be"),
    _text("reason", "why it could not be stored"),
    _text("payload", "what was given, as JSON text"),
    _time("received_at_us", "when it was set aside first"),
    _text("host", "the machine it came from"),
    Index(None, "received_at_us"),
    comment="Rows kept aside with a reason; nothing is dropped silently.",
)

# --- derived rows, written by the pipeline --------------------------------------------------------

execution_abandoned = Table(
    "execution_abandoned",
    metadata,
    _execution_id(),
    _time("last_seen_at_us", "its last heartbeat; the hour it counts in"),
    _time("decided_as_of_us", "the moment the sweep judged"),
    _text("workflow_id", "what the robot automates"),
    *_dimensions(),
    Column("bucket", SmallInteger, nullable=False, comment="crc32(workflow_id) mod 16: the shard"),
    Index(None, "last_seen_at_us"),
    comment="Runs whose heartbeats stopped without an end. A late end overrules the row.",
)

pending = Table(
    "pending",
    metadata,
    Column(
        "id",
        BigInteger().with_variant(Integer, "sqlite"),
        primary_key=True,
        autoincrement=True,
        comment="order of arrival",
    ),
    _text("stage", "who has to look: hourly_rollup, report …"),
    _text("kind", "execution, step or resource"),
    _time("hour_us", "the UTC hour that changed"),
    Column("bucket", SmallInteger, nullable=False, comment="the shard that changed"),
    Index(None, "stage", "kind", "hour_us"),
    comment="The ledger: append-only marks of what changed and waits for a stage.",
)


def _statistics() -> Iterator[Column[float]]:
    yield _number("duration_sum_ms", "sum over rated rows")
    yield _number("duration_sum_squares_ms2", "sum of squares over rated rows")
    yield _number("duration_min_ms", "smallest, NULL when none is rated", nullable=True)
    yield _number("duration_max_ms", "largest, NULL when none is rated", nullable=True)
    yield _number("duration_p50_ms", "from the sketch, 1 % relative error", nullable=True)
    yield _number("duration_p95_ms", "from the sketch, 1 % relative error", nullable=True)
    yield _number("duration_p99_ms", "from the sketch, 1 % relative error", nullable=True)


def _rollup_key(*columns: Column[str]) -> Iterator[Column[int] | Column[str]]:
    yield _time("hour_us", "start of the UTC hour", key=True)
    yield from columns


def _status_counts() -> Iterator[Column[int]]:
    yield _count("n", "rows of any status")
    yield _count("n_completed", "completed")
    yield _count("n_failed", "failed")
    yield _count("n_cancelled", "cancelled")
    yield _count("n_timed_out", "timed out")
    yield _count("n_skipped", "skipped: outside rates and durations")
    yield _count("n_business", "failed or timed out for a business exception")
    yield _count("n_application", "failed or timed out for an application exception")
    yield _count("n_rated", "rows whose duration counts: n - n_skipped - n_abandoned")


rollup_execution_hourly = Table(
    "rollup_execution_hourly",
    metadata,
    *_rollup_key(
        _text("workflow_id", "what the robot automates", key=True),
        _text("environment", "production, test, simulated …", key=True),
        _text("workflow_version", "release of the workflow", key=True),
    ),
    Column("bucket", SmallInteger, nullable=False, comment="the shard it was computed in"),
    *_status_counts(),
    _count("n_abandoned", "runs last seen in this hour whose end never came"),
    *_statistics(),
    Column("duration_sketch", LargeBinary, nullable=False, comment="mergeable quantile sketch of ms"),
    Index(None, "workflow_id", "hour_us"),
    comment="Runs by the UTC hour in which they ended.",
)

rollup_step_hourly = Table(
    "rollup_step_hourly",
    metadata,
    *_rollup_key(
        _text("workflow_id", "what the robot automates", key=True),
        _text("step_id", "which step of the workflow", key=True),
        _text("environment", "production, test, simulated …", key=True),
        _text("workflow_version", "release of the workflow", key=True),
    ),
    _text("step_name", "what people call it"),
    _count("depth", "0 at the top; the smallest seen"),
    Column("bucket", SmallInteger, nullable=False, comment="the shard it was computed in"),
    *_status_counts(),
    *_statistics(),
    Column("duration_sketch", LargeBinary, nullable=False, comment="mergeable quantile sketch of ms"),
    Index(None, "workflow_id", "hour_us"),
    comment="Steps by the UTC hour in which they ended.",
)

rollup_resource_hourly = Table(
    "rollup_resource_hourly",
    metadata,
    *_rollup_key(
        _text("host", "the machine", key=True),
        _text("target", "host, process, gpu:0 …", key=True),
        _text("metric", "a resource metric of the catalog", key=True),
        _text("environment", "production, test, simulated …", key=True),
    ),
    Column("bucket", SmallInteger, nullable=False, comment="the shard it was computed in"),
    _count("n", "samples that had the metric"),
    _number("value_sum", "sum, in the metric's unit"),
    _number("value_sum_squares", "sum of squares"),
    _number("value_min", "smallest"),
    _number("value_max", "largest"),
    _number("value_p50", "from the sketch, 1 % relative error"),
    _number("value_p95", "from the sketch, 1 % relative error"),
    _number("value_p99", "from the sketch, 1 % relative error"),
    Column("value_sketch", LargeBinary, nullable=False, comment="mergeable quantile sketch"),
    Index(None, "host", "metric", "hour_us"),
    comment="Samples by the UTC hour in which they were taken, one row per metric.",
)

RAW_TABLES: Final[dict[str, Table]] = {
    "execution_start": execution_start,
    "execution_heartbeat": execution_heartbeat,
    "execution": execution_metrics,
    "step": step_metrics,
    "resource": resource_metrics,
    "agent_heartbeat": agent_heartbeat,
    "quarantine": quarantine,
}
ROLLUP_TABLES: Final[dict[str, Table]] = {
    "execution": rollup_execution_hourly,
    "step": rollup_step_hourly,
    "resource": rollup_resource_hourly,
}
