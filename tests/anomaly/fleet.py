"""One workflow on one host, with a baseline written by hand: two runs of ten seconds in every hour.

The last fifty hours before noon are on record, the host's heartbeats too; a test changes what it is about.
"""

import math
from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any

import pandas as pd
from sqlalchemy import Engine, select

from analytics_lib import TimeSeriesStore, pipeline, schema
from analytics_lib.records import AgentHeartbeat, Record
from analytics_lib.store import baseline_rows
from analytics_lib.windows import DAY_US, from_us, hour_of, to_us
from tests.make import NOON, at, execution, step

AS_OF = at(5)
BASELINE = baseline_rows.baseline_id(to_us(NOON - timedelta(days=9)))
HOURS = range(-50, 0)  # from noon
_NORMAL = {
    "duration_ms": ("log", math.log(10_000), 0.1),
    "success_rate": ("linear", 0.98, 0.05),
    "runs_per_hour": ("linear", 2.0, 2.0),
}


def runs(hours: Iterable[int] = HOURS, *, name: str = "e", n: int = 2, **fields: Any) -> list[Record]:
    """So many runs in each hour, each with one step, ten seconds long unless said otherwise."""
    fields = {"duration_ms": 10_000.0, "host": "BOT-01", "environment": "production"} | fields
    records: list[Record] = []
    for hour in hours:
        for number in range(n):
            ended, key = at(60 * hour + 10 + 3 * number), f"{name} {hour} {number}"
            records.append(execution(key, ended, **fields))
            shared = {name: value for name, value in fields.items() if name != "status"}
            records.append(step(key, 1, ended, **shared))
    return records


def heartbeats(host: str = "BOT-01", first: int = -60, until_min: float = 5, **fields: Any) -> list[Record]:
    """One an hour, and one at the end; everything before is delivered."""
    moments = [at(60 * hour) for hour in range(first, 1) if 60 * hour < until_min] + [at(until_min)]
    agent = fields.pop("agent_id", f"daemon of {host}")
    return [
        AgentHeartbeat(agent_id=agent, sent_at=sent, complete_to=sent, host=host, **fields)
        for sent in moments
    ]


def write_baseline(
    store: TimeSeriesStore,
    *,
    workflows: Iterable[str] = ("invoices",),
    as_of: datetime = NOON - timedelta(days=9),
) -> str:
    """A version as of that moment; gives its id."""
    bands = [
        {"workflow_id": workflow, "environment": "production", "step_id": step_id, "metric": metric}
        | {"level": "hour_of_week", "slot": slot, "n": 8, "active_share": 1.0}
        | {"space": space, "center": center, "scale": scale}
        for workflow in workflows
        for step_id in ("", "open mailbox")
        for metric, (space, center, scale) in _NORMAL.items()
        for slot in range(168)
    ]
    as_of_us = to_us(as_of)
    version = baseline_rows.baseline_id(as_of_us)
    run = baseline_rows.BaselineRun(version, as_of_us, as_of_us - 56 * DAY_US, hour_of(as_of_us), "{}", 3, 3)
    with store.engine.begin() as connection:
        names = [c.name for c in schema.baseline_series.columns if c.name != "baseline_id"]
        baseline_rows.replace_version(connection, run, pd.DataFrame(columns=names), pd.DataFrame(bands))
    return version


def detect(location: str, as_of: datetime = AS_OF, **options: Any) -> dict[str, Any]:
    """Rolls up what is pending, then judges."""
    pipeline.aggregate_pending(location, as_of=as_of)
    return pipeline.detect_anomalies(location, as_of=as_of, time_zone="UTC", **options)


def stored(engine: Engine, state: str | None = "open") -> list[dict[str, Any]]:
    """Anomalies by hour and step, hours counted from noon."""
    query = select(schema.anomaly).order_by(schema.anomaly.c.hour_us, schema.anomaly.c.step_id)
    with engine.connect() as connection:
        rows = [dict(row) for row in connection.execute(query).mappings()]
    for row in rows:
        row["hour"], row["since"] = (
            round((from_us(row[x]) - NOON) / timedelta(hours=1)) for x in ("hour_us", "since_us")
        )
    return [row for row in rows if state in (None, row["state"])]


def brief(engine: Engine, state: str | None = "open") -> list[tuple[str, int]]:
    """(kind, hour) of the workflow's own anomalies and of hosts."""
    return [(row["kind"], row["hour"]) for row in stored(engine, state) if not row["step_id"]]
