"""What the analysis found: what is normal, what is not, and what that means. Written by the pipeline.

`environment` is here the one that counts: the row's own, else the register's ('production' by default).
Every identity is computed from what it is about, so that judging again updates and never doubles.
"""

from collections.abc import Iterator
from typing import Any

from sqlalchemy import Column, Index, Table

from analytics_lib.schema.columns import count, metadata, number, text, time


def _series(*, key: bool) -> Iterator[Column[Any]]:
    yield text("workflow_id", "what the robot automates; '' for a series of hosts", key=key)
    yield text("environment", "production, test, simulated …", key=key)
    yield text("step_id", "which step of the workflow; '' for the workflow itself", key=key)
    yield text("metric", "duration_ms, success_rate, runs_per_hour …", key=key)


baseline_run = Table(
    "baseline_run",
    metadata,
    text("baseline_id", "the version: the moment it was computed as of", key=True),
    time("as_of_us", "the moment it was computed as of"),
    time("history_start_us", "the history that it was learnt from: its first hour"),
    time("history_end_us", "the end of that history"),
    text("parameters", "what it was computed with: a JSON object"),
    count("n_series", "series looked at"),
    count("n_ready", "series that have a baseline"),
    Index(None, "as_of_us"),
    comment="Versions of the baselines: a finding names the one that it was judged by.",
)

baseline_series = Table(
    "baseline_series",
    metadata,
    text("baseline_id", "the version", key=True),
    *_series(key=True),
    text("time_zone", "in which its hours of the week are counted"),
    count("n_hours", "hours with a value"),
    time("first_hour_us", "the first of them"),
    time("last_hour_us", "the last of them"),
    text("missing", "what a baseline still needs; '' where there is one"),
    comment="Every series that a version looked at, and what it lacks where it has no baseline yet.",
)

baseline = Table(
    "baseline",
    metadata,
    text("baseline_id", "the version", key=True),
    *_series(key=True),
    text("level", "hour_of_week, hour_of_day (by working day) or overall", key=True),
    count("slot", "which hour: 0–167 from Monday 00:00, 0–47 (working days first), or 0", key=True),
    count("n", "hours that it was learnt from"),
    text("space", "log or linear: where center and scale live"),
    number("center", "median, in the space"),
    number("scale", "1.4826 MAD with a floor, in the space"),
    number("active_share", "share of such hours in which anything ran"),
    comment="What is normal for a series at an hour: robust centre and spread over eight weeks.",
)

anomaly = Table(
    "anomaly",
    metadata,
    text("anomaly_id", "hash of series, kind and hour", key=True),
    *_series(key=False),
    text("kind", "slower, faster, failing, fewer_runs, more_runs, missing_runs, no_data"),
    time("hour_us", "start of the UTC hour that is not normal"),
    time("since_us", "the first hour of the unbroken row that it belongs to"),
    number("observed", "what was measured, in the metric's unit"),
    number("expected", "what is normal at this hour"),
    number("low", "lower edge of the band"),
    number("high", "upper edge of the band"),
    number("score", "distance from the centre in robust sigmas"),
    count("n", "runs (for no_data: hosts) that it concerns"),
    count("severity", "0 to 100"),
    number("severity_improbability", "its share from how improbable it is, 0 to 1"),
    number("severity_effect", "its share from how large it is, 0 to 1"),
    number("severity_duration", "its share from how long it has lasted, 0 to 1"),
    number("severity_reach", "its share from how many runs it concerns, 0 to 1"),
    text("sentence", "what, where, how much against normal, since when, on how many runs"),
    text("evidence", "further facts: a JSON object"),
    text("baseline_id", "the version it was judged by; '' where none was needed"),
    text("state", "open, or withdrawn when late rows made its hour normal"),
    time("found_at_us", "the moment it was found as of"),
    time("judged_at_us", "the moment it was last changed as of"),
    Index(None, "hour_us"),
    Index(None, "workflow_id", "hour_us"),
    comment="Hours that are not normal, one row per series, kind and hour; late rows judge them again.",
)

insight = Table(
    "insight",
    metadata,
    text("insight_id", "hash of rule, subject and first hour", key=True),
    text("rule", "failure_spike, slower_than_normal, bottleneck_step, flaky_workflow, silent_workflow …"),
    text("workflow_id", "what the robot automates"),
    text("environment", "production, test, simulated …"),
    text("step_id", "the step it is about; '' for the workflow"),
    text("state", "new (found within the last day), ongoing or resolved"),
    time("first_seen_us", "since when it holds"),
    time("last_seen_us", "the last hour in which it held"),
    time("resolved_at_us", "since when it no longer holds", nullable=True),
    count("severity", "0 to 100"),
    number("impact_robot_hours", "robot hours lost within the judged period"),
    count("rank", "1 is what to look at first; 0 for resolved ones"),
    text("title", "what it is, in a few words"),
    text("explanation", "what it means, with its numbers"),
    text("action", "what to do next"),
    text("evidence", "the numbers behind it: a JSON object"),
    time("found_at_us", "the moment it was found as of"),
    time("judged_at_us", "the moment it was last judged as of"),
    Index(None, "state", "rank"),
    comment="What the findings mean, with evidence and impact; one row while it lasts.",
)
