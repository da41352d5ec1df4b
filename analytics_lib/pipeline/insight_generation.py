"""What the DAG insight_generation does: what the anomalies and the last weeks' rows mean."""

import logging
from datetime import datetime, timedelta
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any, Final

from analytics_lib import settings
from analytics_lib.store import open_store
from analytics_lib.store.engine import connect_to_read
from analytics_lib.windows import MICROSECOND, Window, from_us, to_us

if TYPE_CHECKING:
    from analytics_lib.insight.inputs import InsightInputs
    from analytics_lib.store import TimeSeriesStore

INSIGHTS_ASSET: Final = "rpa_insights"
HISTORY: Final = timedelta(days=28)
ANOMALIES: Final = timedelta(days=14)
_log = logging.getLogger("rpa_analytics.pipeline")


def generate_insights(
    location: str | Path, *, as_of: datetime, time_zone: str, dry_run: bool = False
) -> dict[str, Any]:
    """Judges the insights as of the moment: how many there are by state, of those kept or just found.

    {'insights': not resolved, 'new', 'ongoing', 'resolved': now, 'dry_run'}. A dry run writes nothing.
    What was judged as of a later moment stays as it is, and `resolved` is 0. Rules look at the rows before
    the lock is taken, so writers wait for the short rest only. Raises SettingsError, StoreError.
    """
    from analytics_lib.insight.generation import find_all
    from analytics_lib.insight.lifecycle import carry_on
    from analytics_lib.store import insight_rows

    began = perf_counter()
    as_of_us, zone = to_us(as_of), settings.time_zone(time_zone)
    with open_store(location) as store:
        inputs = _inputs(store, as_of_us, zone)
        findings = find_all(inputs)
        with store.engine.begin() as connection:
            insight_rows.lock_insights(connection)
            previous = insight_rows.read_current(connection, as_of_us)
            insights = carry_on(findings, previous, as_of_us)
            if not dry_run:
                insight_rows.save_insights(connection, insights)
    later_us = max(previous["judged_at_us"], default=0)
    if later_us > as_of_us:
        _log.warning(
            "insights were judged as of %s already: nothing was changed", from_us(later_us).isoformat()
        )
    states = insights["state"].value_counts()
    done = {
        "insights": len(insights) - int(states.get("resolved", 0)),
        "new": int(states.get("new", 0)),
        "ongoing": int(states.get("ongoing", 0)),
        "resolved": int(((insights["state"] == "resolved") & (insights["judged_at_us"] == as_of_us)).sum()),
        "dry_run": dry_run,
    }
    _log.info(
        "%d insights (%d new, %d ongoing), %d resolved, from %d rollup rows and %d anomalies in %.1f s%s",
        done["insights"],
        done["new"],
        done["ongoing"],
        done["resolved"],
        len(inputs.executions) + len(inputs.steps),
        len(inputs.anomalies),
        perf_counter() - began,
        "; dry run, nothing written" if dry_run else "",
    )
    return done


def _inputs(store: "TimeSeriesStore", as_of_us: int, zone: str) -> "InsightInputs":
    """One read transaction, so that an aggregation that runs meanwhile cannot tear the numbers apart."""
    from analytics_lib.insight.inputs import InsightInputs
    from analytics_lib.store import insight_rows, rollup_rows
    from analytics_lib.store.workflow_rows import read_register
    from analytics_lib.workflows import without_environments

    history = Window(as_of_us - HISTORY // MICROSECOND, as_of_us)
    with connect_to_read(store.engine) as connection:
        register = read_register(connection)
        return InsightInputs(
            anomalies=without_environments(
                insight_rows.read_open_anomalies(
                    connection, Window(as_of_us - ANOMALIES // MICROSECOND, as_of_us)
                )
            ),
            executions=without_environments(
                register.apply(rollup_rows.read_rollups(connection, "execution", history))
            ),
            steps=without_environments(register.apply(rollup_rows.read_rollups(connection, "step", history))),
            as_of_us=as_of_us,
            zone=zone,
            zones=register.zones(),
        )
