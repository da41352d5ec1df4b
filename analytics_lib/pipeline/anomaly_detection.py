"""Which hours are not normal: what the ledger says has changed, and every hour in which a run was owed.

Silence leaves no mark, so the last two days are looked at in every run, as far as their data is complete.
An open hour is never judged.
"""

import json
import logging
from dataclasses import asdict, dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any, Final

from analytics_lib import settings
from analytics_lib.errors import QueryError
from analytics_lib.store import ledger, open_store
from analytics_lib.store.engine import connect_to_read
from analytics_lib.windows import DAY_US, HOUR_US, MICROSECOND, Window, day_of, hour_of, to_us

if TYPE_CHECKING:
    import pandas as pd
    from sqlalchemy import Connection

    from analytics_lib.catalog import Source
    from analytics_lib.workflows import Register

ANOMALIES_ASSET: Final = "rpa_anomalies"
OLDEST_US: Final = timedelta(days=14) // MICROSECOND  # hours before that are not judged any more
LOOK_BACK_US: Final = timedelta(hours=48) // MICROSECOND  # for what is missing
LEAD_US: Final = timedelta(hours=72) // MICROSECOND  # rows of silence that begin before that
HOSTS_US: Final = timedelta(days=28) // MICROSECOND  # where a workflow normally runs
HEARTBEATS_US: Final = timedelta(days=10) // MICROSECOND
SOURCES: Final[tuple["Source", ...]] = ("execution", "step")
RUNS: Final = "runs_per_hour"
_KEY: Final = ["workflow_id", "environment", "step_id", "metric", "hour_us"]
_log = logging.getLogger("rpa_analytics.pipeline")


@dataclass(slots=True)
class Detection:
    """What a detection did. `points`: values looked at; `judged`: those that had a baseline to be judged by.

    `anomalies` are open ones of the judged hours, `new` those of them that were never found before,
    `withdrawn` those that late rows, or a newer baseline, made normal. `too_old`: hours with news that
    are not judged any more. `no_data_hosts`: hosts that are silent now.
    """

    hours: int = 0
    points: int = 0
    judged: int = 0
    no_baseline: int = 0
    anomalies: int = 0
    new: int = 0
    withdrawn: int = 0
    too_old: int = 0
    no_data_hosts: int = 0
    baseline_id: str = ""
    dry_run: bool = False


@dataclass(slots=True)
class _Work:
    """One run: its hours, what they are judged by, and what was found."""

    connection: "Connection"
    as_of_us: int
    zone: str  # of the sentences
    register: "Register"
    version: str  # of the baseline; '' where there is none
    history: Window | None  # what it was learnt from
    version_zone: str  # in which it counts hours of the week where a workflow has no zone of its own
    value_hours: frozenset[int]  # with news, or asked for
    all_hours: frozenset[int]  # those, and the ones looked back at
    done: Detection
    findings: list["pd.DataFrame"] = field(default_factory=list)
    without_baseline: list["pd.DataFrame"] = field(default_factory=list)
    runs_judged: list["pd.DataFrame"] = field(default_factory=list)


def detect_anomalies(
    location: str | Path,
    *,
    as_of: datetime,
    time_zone: str,
    window_start: datetime | None = None,
    window_end: datetime | None = None,
    dry_run: bool = False,
) -> dict[str, Any]:
    """Judges hours by the newest baseline computed as of that moment or before: the fields of `Detection`.

    Hours: those with marks, those of the window if one is given, and for missing runs and silent hosts
    every one of the last 48 hours that ended by `as_of`. All happens in one transaction, under one lock:
    whoever comes second waits, and finds rows and marks as the first left them. Hours more than 14
    days before are dropped from the ledger. Without any baseline, the marks of the last 14 days wait
    for one. The baseline may have been learnt from hours that it judges: medians hardly notice.
    A dry run writes nothing. Raises QueryError, SettingsError, StoreError or SchemaVersionError.
    """
    from analytics_lib.store import anomaly_rows

    began = perf_counter()
    zone = settings.time_zone(time_zone)
    if (window_start is None) != (window_end is None):
        raise QueryError("a window needs both its start and its end: give the other one too")
    chosen = Window.of(window_start, window_end).hours() if window_start and window_end else range(0)
    done = Detection(dry_run=dry_run)
    with open_store(location) as store:
        if dry_run:
            with connect_to_read(store.engine) as connection:
                _detect(connection, to_us(as_of), zone, chosen, done)
        else:
            with store.engine.begin() as connection:
                anomaly_rows.lock_anomalies(connection)
                _detect(connection, to_us(as_of), zone, chosen, done)
    _log.info(
        "judged: hours %d, points %d, without a baseline %d, anomalies %d, new %d, withdrawn %d, "
        "hosts silent %d, hours too old %d, seconds %.1f%s",
        done.hours,
        done.judged,
        done.no_baseline,
        done.anomalies,
        done.new,
        done.withdrawn,
        done.no_data_hosts,
        done.too_old,
        perf_counter() - began,
        " (dry run, nothing written)" if dry_run else "",
    )
    return asdict(done)


def _detect(connection: "Connection", as_of_us: int, zone: str, chosen: range, done: Detection) -> None:
    from analytics_lib.store import anomaly_rows, baseline_rows
    from analytics_lib.store.workflow_rows import read_register

    closed_us = hour_of(as_of_us)
    recent = range(closed_us - OLDEST_US, closed_us, HOUR_US)
    marks = anomaly_rows.read_marks(connection, as_of_us)
    marked = {hour for hour, _ in marks.shards}
    values = frozenset(hour for hour in (*marked, *chosen) if hour in recent)
    version = baseline_rows.newest_version(connection, as_of_us)
    work = _Work(
        connection=connection,
        as_of_us=as_of_us,
        zone=zone,
        register=read_register(connection),
        version=version.baseline_id if version else "",
        history=Window(version.history_start_us, version.history_end_us) if version else None,
        version_zone=json.loads(version.parameters).get("time_zone", zone) if version else zone,
        value_hours=values,
        all_hours=values | set(range(closed_us - LOOK_BACK_US, closed_us, HOUR_US)),
        done=done,
    )
    done.hours = len(work.all_hours)
    done.too_old = sum(hour < recent.start for hour in marked)
    done.baseline_id = work.version
    for day_us in sorted({day_of(hour) for hour in values}):
        for source in SOURCES:
            _judge_values(work, source, Window(day_us, day_us + DAY_US))
    _judge_silence(work)
    _account(work, recent.start)
    if not done.dry_run:
        read = marks if version else anomaly_rows.read_marks(connection, recent.start)
        ledger.delete_marks(connection, read)


def _judge_values(work: _Work, source: "Source", day: Window) -> None:
    """Durations and success rates of a day's hours with news: memory does not grow with their number."""
    import numpy as np

    from analytics_lib.anomaly import judge
    from analytics_lib.baseline import expect, hourly_series
    from analytics_lib.seasons import hour_of_week
    from analytics_lib.store import anomaly_rows, baseline_rows, rollup_rows
    from analytics_lib.workflows import without_environments

    hours = sorted(hour for hour in work.value_hours if day.start_us <= hour < day.end_us)
    rows = rollup_rows.read_rollups(work.connection, source, Window(hours[0], hours[-1] + HOUR_US))
    rows = without_environments(work.register.apply(rows[rows["hour_us"].isin(hours)]))
    none = rows.iloc[:0].assign(step_id="")
    points = hourly_series(*((rows, none) if source == "execution" else (none, rows)), day)
    points = points[points["hour_us"].isin(hours)]
    zones = work.register.zones()
    slots = {
        int(slot)
        for zone in {work.version_zone, *zones.values()}
        for slot in hour_of_week(np.array(hours, dtype=np.int64), zone)
    }
    bands = baseline_rows.read_bands(work.connection, work.version, hours_of_week=slots)
    points = expect(points, bands, zones, work.version_zone)
    # What is usual for a series makes the verdict milder, never stricter: only suspects are asked for it.
    suspects = judge(points, anomaly_rows.read_usual(work.connection, work.version, points.iloc[:0]))
    if len(suspects):
        suspects = judge(points, anomaly_rows.read_usual(work.connection, work.version, suspects))
    _count(work, points[points["metric"] != RUNS])
    work.findings.append(suspects[suspects["metric"] != RUNS].assign(baseline_id=work.version))
    work.without_baseline.append(points.loc[points["expected"].isna(), _KEY])


def _judge_silence(work: _Work) -> None:
    """Numbers of runs, missing runs and silent hosts: what is looked for where no row came."""
    from analytics_lib.anomaly import (
        completeness,
        judge,
        missing_runs,
        no_findings,
        silent_hosts,
        workflows_complete_to,
    )
    from analytics_lib.baseline import expect
    from analytics_lib.store import anomaly_rows

    as_of_us, connection = work.as_of_us, work.connection
    # Later heartbeats than as_of are looked at, too: they tell that the data has become complete.
    heard = anomaly_rows.read_heartbeats(connection, Window(as_of_us - HEARTBEATS_US, as_of_us + DAY_US))
    where = anomaly_rows.read_hosts_of_workflows(connection, Window(as_of_us - HOSTS_US, as_of_us))
    where = work.register.apply(where)
    hosts = completeness(heard, where)
    silent = silent_hosts(hosts, sorted(work.all_hours), as_of_us)
    work.findings.append(silent.assign(baseline_id=""))
    work.done.no_data_hosts = int(silent["n"].iloc[-1]) if len(silent) else 0

    complete_to = workflows_complete_to(where, hosts)
    bands = anomaly_rows.read_run_bands(connection, work.version)
    looked_at = Window(min(work.all_hours) - LEAD_US, hour_of(as_of_us) + HOUR_US)
    points = expect(_runs(work, bands, looked_at), bands, work.register.zones(), work.version_zone)
    ends = points[["workflow_id", "environment"]].merge(complete_to, how="left")["complete_to_us"]
    is_complete = (points["hour_us"] + HOUR_US).to_numpy() <= ends.fillna(-1).to_numpy()
    judged = points[is_complete & points["hour_us"].isin(work.all_hours).to_numpy()]
    _count(work, judged)
    work.runs_judged.append(judged.loc[judged["expected"].notna(), _KEY])
    running = work.register.apply(anomaly_rows.read_running(connection, looked_at))
    missing = missing_runs(points, bands, running, complete_to, work.history)
    usual = anomaly_rows.read_usual(connection, work.version, no_findings())
    for found in (judge(judged, usual), missing[missing["hour_us"].isin(work.all_hours)]):
        work.findings.append(found.assign(baseline_id=work.version))


def _runs(work: _Work, bands: "pd.DataFrame", window: Window) -> "pd.DataFrame":
    """Every hour's number of runs, 0 where no row is, of workflows with a baseline that nobody attends."""
    import pandas as pd

    from analytics_lib.store import anomaly_rows

    key = ["workflow_id", "environment"]
    known = bands[key].astype("str").drop_duplicates()
    known = known[~known["workflow_id"].map(work.register.is_attended).astype(bool)]
    grid = known.merge(pd.DataFrame({"hour_us": list(window.hours())}), how="cross")
    counts = work.register.apply(anomaly_rows.read_run_counts(work.connection, window))
    counts = counts.groupby([*key, "hour_us"], as_index=False)[["value"]].sum()
    runs = grid.merge(counts, on=[*key, "hour_us"], how="left").fillna({"value": 0.0})
    return runs.assign(step_id="", metric=RUNS, n=runs["value"].astype("int64"))


def _count(work: _Work, points: "pd.DataFrame") -> None:
    known = int(points["expected"].notna().sum())
    work.done.points += len(points)
    work.done.judged += known
    work.done.no_baseline += len(points) - known


def _account(work: _Work, oldest_us: int) -> None:
    """Saves what has changed: new verdicts, and what they change about the hours around them."""
    import pandas as pd

    from analytics_lib.anomaly import ANOMALY_COLUMNS, account_for, judged_again
    from analytics_lib.store import anomaly_rows

    done, connection = work.done, work.connection
    window = Window(oldest_us, hour_of(work.as_of_us))
    stored = anomaly_rows.read_anomalies(connection, window)
    previous = stored[stored["state"] == "open"].reset_index(drop=True)
    again = judged_again(
        previous,
        value_hours=work.value_hours if work.version else frozenset(),
        without_baseline=pd.concat(work.without_baseline or [previous.iloc[:0]]),
        runs_judged=pd.concat(work.runs_judged),
        all_hours=work.all_hours,
    )
    findings = pd.concat(work.findings, ignore_index=True)
    kept = previous[~again]
    about = {*findings["workflow_id"], *kept["workflow_id"]}
    ids = {alias for one in about for alias in (one, *work.register.aliases_of(one))}
    active = work.register.apply(anomaly_rows.read_active_hours(connection, window, ids))
    rows = account_for(
        findings,
        kept,
        active,
        begins_us=oldest_us,
        display_name=work.register.display_name,
        time_zone=work.zone,
    )
    found = rows[~rows["anomaly_id"].isin(kept["anomaly_id"])]
    withdrawn = previous.loc[again & ~previous["anomaly_id"].isin(rows["anomaly_id"]), "anomaly_id"]
    done.anomalies = len(found)
    done.new = int((~found["anomaly_id"].isin(stored["anomaly_id"])).sum())
    done.withdrawn = len(withdrawn)
    if done.dry_run:
        return
    known = set(previous[ANOMALY_COLUMNS].itertuples(index=False, name=None))
    changed = [row not in known for row in rows[ANOMALY_COLUMNS].itertuples(index=False, name=None)]
    news = rows[changed].assign(state="open", found_at_us=work.as_of_us, judged_at_us=work.as_of_us)
    anomaly_rows.save_anomalies(connection, news)
    anomaly_rows.withdraw_anomalies(connection, withdrawn, work.as_of_us)
