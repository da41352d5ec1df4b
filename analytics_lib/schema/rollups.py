"""What aggregation writes: hourly and daily rows, the ledger of what changed, runs whose end never came."""

from collections.abc import Iterator
from typing import Final

from sqlalchemy import BigInteger, Column, Index, Integer, LargeBinary, SmallInteger, Table

from analytics_lib.schema.columns import count, dimensions, execution_id, metadata, number, text, time

execution_abandoned = Table(
    "execution_abandoned",
    metadata,
    execution_id(),
    time("last_seen_at_us", "its last heartbeat; the hour it counts in"),
    time("decided_as_of_us", "the moment the sweep judged"),
    text("workflow_id", "what the robot automates"),
    *dimensions(),
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
    text("stage", "who has to look: hourly_rollup, report …"),
    text("kind", "execution, step or resource"),
    time("hour_us", "the UTC hour that changed"),
    Column("bucket", SmallInteger, nullable=False, comment="the shard that changed"),
    Index(None, "stage", "kind", "hour_us"),
    comment="The ledger: append-only marks of what changed and waits for a stage.",
)


def _statistics() -> Iterator[Column[float]]:
    yield number("duration_sum_ms", "sum over rated rows")
    yield number("duration_sum_squares_ms2", "sum of squares over rated rows")
    yield number("duration_min_ms", "smallest, NULL when none is rated", nullable=True)
    yield number("duration_max_ms", "largest, NULL when none is rated", nullable=True)
    yield number("duration_p50_ms", "from the sketch, 1 % relative error", nullable=True)
    yield number("duration_p95_ms", "from the sketch, 1 % relative error", nullable=True)
    yield number("duration_p99_ms", "from the sketch, 1 % relative error", nullable=True)


def _status_counts() -> Iterator[Column[int]]:
    yield count("n", "rows of any status")
    yield count("n_completed", "completed")
    yield count("n_failed", "failed")
    yield count("n_cancelled", "cancelled")
    yield count("n_timed_out", "timed out")
    yield count("n_skipped", "skipped: outside rates and durations")
    yield count("n_business", "failed or timed out for a business exception")
    yield count("n_application", "failed or timed out for an application exception")
    yield count("n_rated", "rows whose duration counts: n - n_skipped - n_abandoned")


_SKETCH: Final = "mergeable quantile sketch"


def _period(length: str, *keys: Column[str]) -> Iterator[Column[int] | Column[str]]:
    """The key of a rollup of hours or days, and the shard that its rows are computed in."""
    yield time(f"{length}_us", f"start of the UTC {length}", key=True)
    yield from keys


def _bucket() -> Column[int]:
    return Column("bucket", SmallInteger, nullable=False, comment="the shard it was computed in")


def _execution_rollup(name: str, length: str, comment: str) -> Table:
    return Table(
        name,
        metadata,
        *_period(
            length,
            text("workflow_id", "what the robot automates", key=True),
            text("environment", "production, test, simulated …", key=True),
            text("workflow_version", "release of the workflow", key=True),
        ),
        _bucket(),
        *_status_counts(),
        count("n_abandoned", f"runs last seen in this {length} whose end never came"),
        *_statistics(),
        Column("duration_sketch", LargeBinary, nullable=False, comment=f"{_SKETCH} of ms"),
        Index(None, "workflow_id", f"{length}_us"),
        comment=comment,
    )


def _step_rollup(name: str, length: str, comment: str) -> Table:
    return Table(
        name,
        metadata,
        *_period(
            length,
            text("workflow_id", "what the robot automates", key=True),
            text("step_id", "which step of the workflow", key=True),
            text("environment", "production, test, simulated …", key=True),
            text("workflow_version", "release of the workflow", key=True),
        ),
        text("step_name", "what people call it"),
        count("depth", "0 at the top; the smallest seen"),
        _bucket(),
        *_status_counts(),
        *_statistics(),
        Column("duration_sketch", LargeBinary, nullable=False, comment=f"{_SKETCH} of ms"),
        Index(None, "workflow_id", f"{length}_us"),
        comment=comment,
    )


def _resource_rollup(name: str, length: str, comment: str) -> Table:
    return Table(
        name,
        metadata,
        *_period(
            length,
            text("host", "the machine", key=True),
            text("target", "host, process, gpu:0 …", key=True),
            text("metric", "a resource metric of the catalog", key=True),
            text("environment", "production, test, simulated …", key=True),
        ),
        _bucket(),
        count("n", "samples that had the metric"),
        number("value_sum", "sum, in the metric's unit"),
        number("value_sum_squares", "sum of squares"),
        number("value_min", "smallest"),
        number("value_max", "largest"),
        number("value_p50", "from the sketch, 1 % relative error"),
        number("value_p95", "from the sketch, 1 % relative error"),
        number("value_p99", "from the sketch, 1 % relative error"),
        Column("value_sketch", LargeBinary, nullable=False, comment=_SKETCH),
        Index(None, "host", "metric", f"{length}_us"),
        comment=comment,
    )


def _queue_rollup(name: str, length: str, comment: str) -> Table:
    return Table(
        name,
        metadata,
        *_period(
            length,
            text("queue", "the queue the work came from", key=True),
            text("workflow_id", "what worked on it", key=True),
            text("environment", "production, test, simulated …", key=True),
        ),
        _bucket(),
        *_status_counts(),
        count("n_waited", "runs whose wait is known: queued before they started"),
        count("n_wait_negative", "runs that started before they were queued: two clocks; outside the wait"),
        number("wait_sum_ms", "sum of the waits from queued to started"),
        number("wait_sum_squares_ms2", "sum of squares of the waits"),
        number("wait_min_ms", "shortest, NULL when none is known", nullable=True),
        number("wait_max_ms", "longest, NULL when none is known", nullable=True),
        number("wait_p50_ms", "from the sketch, 1 % relative error", nullable=True),
        number("wait_p95_ms", "from the sketch, 1 % relative error", nullable=True),
        number("wait_p99_ms", "from the sketch, 1 % relative error", nullable=True),
        Column("wait_sketch", LargeBinary, nullable=False, comment=f"{_SKETCH} of ms"),
        Index(None, "workflow_id", f"{length}_us"),
        comment=comment,
    )


rollup_execution_hourly = _execution_rollup(
    "rollup_execution_hourly", "hour", "Runs by the UTC hour in which they ended."
)
rollup_step_hourly = _step_rollup("rollup_step_hourly", "hour", "Steps by the UTC hour in which they ended.")
rollup_resource_hourly = _resource_rollup(
    "rollup_resource_hourly", "hour", "Samples by the UTC hour in which they were taken, one row per metric."
)
rollup_queue_hourly = _queue_rollup(
    "rollup_queue_hourly", "hour", "Runs that came from a queue, by the UTC hour in which they ended."
)
rollup_execution_daily = _execution_rollup("rollup_execution_daily", "day", "The UTC day's hours, merged.")
rollup_step_daily = _step_rollup("rollup_step_daily", "day", "The UTC day's hours, merged.")
rollup_resource_daily = _resource_rollup("rollup_resource_daily", "day", "The UTC day's hours, merged.")
rollup_queue_daily = _queue_rollup("rollup_queue_daily", "day", "The UTC day's hours, merged.")

ROLLUP_TABLES: Final[dict[str, Table]] = {
    "execution": rollup_execution_hourly,
    "step": rollup_step_hourly,
    "resource": rollup_resource_hourly,
    "queue": rollup_queue_hourly,
}
DAILY_TABLES: Final[dict[str, Table]] = {
    "execution": rollup_execution_daily,
    "step": rollup_step_daily,
    "resource": rollup_resource_daily,
    "queue": rollup_queue_daily,
}
