"""How much a robot-day takes in the store: bytes a row of each kind, indexes included, and rows a day.

A robot-day here: one robot at work for 8 hours and idle for 16, 200 runs of 12 steps each; host and process
are sampled every `--sample-interval` seconds at work and once a minute when idle; a heartbeat every 30 s.
The peer is the same rows as lines of JSON, which is what a log of them would take.

    python benchmarks/row_sizes.py [--days 2] [--sample-interval 1]
"""

import argparse
import json
import tempfile
from collections.abc import Iterator
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID

from analytics_lib import TimeSeriesStore
from analytics_lib.records import (
    AgentHeartbeat,
    ExecutionHeartbeat,
    ExecutionMetrics,
    ExecutionStart,
    Record,
    ResourceMetrics,
    StepMetrics,
)
from analytics_lib.store.engine import SQLITE_FILE

WORK, RUNS, STEPS = timedelta(hours=8), 200, 12
WHERE = {"environment": "production", "robot_id": "BOT-03", "host": "bot-03.example.org"}
WORKFLOW = "Accounts Payable.Invoices.Intake Invoices"
AGENT = "bot-03.example.org/4711/6f1f0f9e-8f0a-4d0e-9a56-0a4f5f3f8a10"


def robot_day(day: datetime, sample_interval_s: int) -> Iterator[Record]:
    """Every row of one day, in the shape in which the collectors write them."""
    length = WORK / RUNS
    for n in range(RUNS):
        started = day + n * length
        execution_id = str(UUID(int=int(started.timestamp() * 1e6)))
        run = {"execution_id": execution_id, "workflow_id": WORKFLOW, **WHERE}
        recorder = {"recorder_id": str(UUID(int=n)), "source": "robot-listener"}
        suite = "Accounts Payable.Invoices"
        yield ExecutionStart(**run, **recorder, started_at=started, suite=suite)
        ended = started + length * 0.9
        for seq in range(1, STEPS + 1):
            begin = started + (seq - 1) * (ended - started) / STEPS
            end = begin + (ended - started) / STEPS
            yield StepMetrics(
                **run,
                **recorder,
                step_seq=seq,
                step_id=f"accounts_payable.Do Step Number {seq}",
                step_name=f"Do Step Number {seq}",
                step_type="KEYWORD",
                status="completed",
                started_at=begin,
                ended_at=end,
                duration_ms=(end - begin).total_seconds() * 1000,
            )
        for seconds in range(0, int(length.total_seconds()), 30):
            yield ExecutionHeartbeat(**run, sent_at=started + timedelta(seconds=seconds))
        yield ExecutionMetrics(
            **run,
            **recorder,
            suite=suite,
            status="completed",
            started_at=started,
            ended_at=ended,
            duration_ms=(ended - started).total_seconds() * 1000,
            steps_total=STEPS,
            steps_completed=STEPS,
            steps_failed=0,
            attributes={"tags": "invoices"},
        )
    second = timedelta(seconds=1)
    for k in range(2 * 24 * 60):
        moment = day + 30 * k * second
        yield AgentHeartbeat(
            agent_id=AGENT, sent_at=moment, complete_to=moment, agent_version="0.1.0", **WHERE
        )
    at_work = range(0, int(WORK / second), sample_interval_s)
    moments = [day + k * second for k in at_work]
    moments += [day + WORK + 60 * k * second for k in range((24 * 3600 - int(WORK / second)) // 60)]
    for moment in moments:
        for target in ("host", "process"):
            yield ResourceMetrics(
                agent_id=AGENT,
                target=target,
                sampled_at=moment,
                **WHERE,
                workflow_id=WORKFLOW,
                execution_id=str(UUID(int=1)),
                cpu_percent=12.5,
                memory_used_bytes=3_123_456_789,
                memory_total_bytes=16_000_000_000,
                disk_read_bytes_per_s=123.4,
                disk_written_bytes_per_s=1234.5,
                source="live",
            )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--days", type=int, default=2)
    parser.add_argument(
        "--sample-interval", type=int, default=1, metavar="SECONDS", help="while a robot works"
    )
    arguments = parser.parse_args()
    days = arguments.days
    begin = datetime(2026, 3, 2, tzinfo=UTC)
    rows = [
        record
        for day in range(days)
        for record in robot_day(begin + timedelta(days=day), arguments.sample_interval)
    ]
    by_kind: dict[str, list[Record]] = {}
    for record in rows:
        by_kind.setdefault(record.kind, []).append(record)
    total = total_json = 0
    for kind, records in by_kind.items():
        size = stored_bytes(records)
        as_json = sum(len(json.dumps(asdict(record), default=str)) + 1 for record in records)
        total, total_json = total + size, total_json + as_json
        print(
            f"{kind:>20}: {len(records) // days:6,} rows a robot-day, {size / len(records):5.0f} bytes a row "
            f"(JSON lines {as_json / len(records):5.0f})"
        )
    print(
        f"a robot-day: {len(rows) // days:,} rows, {total / days / 1e6:.1f} MB in SQLite; "
        f"JSON lines {total_json / days / 1e6:.1f} MB, ratio {total / total_json:.2f}"
    )


def stored_bytes(records: list[Record]) -> int:
    """What the rows add to an empty store."""
    with tempfile.TemporaryDirectory() as name:
        TimeSeriesStore(name).close()
        empty = _size(name)
        with TimeSeriesStore(name) as store:
            for start in range(0, len(records), 1_000):
                store.write_metrics(records[start : start + 1_000])
        return _size(name) - empty


def _size(folder: str) -> int:
    """Of the database alone: closing it has moved the write-ahead log into it."""
    return (Path(folder) / SQLITE_FILE).stat().st_size


if __name__ == "__main__":
    main()
