"""What is normal for every workflow and step, learnt anew from eight weeks of hourly rollups.

Called once a day, and as often as one likes: the same moment gives the same version with the same rows.
"""

import json
import logging
from dataclasses import asdict
from datetime import datetime, timedelta
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any, Final

from analytics_lib import settings
from analytics_lib.catalog import Source
from analytics_lib.store import open_store, workflow_rows
from analytics_lib.store.engine import connect_to_read
from analytics_lib.windows import DAY_US, HOUR_US, MICROSECOND, Window, hour_of, to_us
from analytics_lib.workflows import Register, without_environments

if TYPE_CHECKING:
    import pandas as pd
    from sqlalchemy import Connection

BASELINES_ASSET: Final = "rpa_baselines"
KEEP_VERSIONS: Final = timedelta(days=14)
_log = logging.getLogger("rpa_analytics.pipeline")


def recompute_baselines(
    location: str | Path, *, as_of: datetime, time_zone: str, dry_run: bool = False
) -> dict[str, Any]:
    """Learns the baselines from the eight weeks before `as_of` and saves them as one version.

    Gives baseline_id, series (looked at), ready (with a baseline), bands, hours_read (rows of the hourly
    rollups), versions_dropped and dry_run. Hours after the newest rollup are no history: a silence that
    is not aggregated yet would be learnt as normal. Versions computed more than 14 days before `as_of`
    are dropped unless an anomaly names them. A dry run computes the same and saves nothing. time_zone:
    where hours of the week are counted for workflows without a zone of their own. Raises SettingsError,
    StoreError or SchemaVersionError.
    """
    from analytics_lib.baseline import BaselineParameters, compute_baselines, hourly_series
    from analytics_lib.store import baseline_rows

    began = perf_counter()
    zone = settings.time_zone(time_zone)
    parameters = BaselineParameters()
    as_of_us = to_us(as_of)
    end_us = hour_of(as_of_us)
    history = Window(end_us - parameters.history_weeks * 7 * DAY_US, end_us)
    with open_store(location) as store:
        # One read transaction, so that an aggregation that runs meanwhile cannot tear the numbers apart.
        with connect_to_read(store.engine) as connection:
            register = workflow_rows.read_register(connection)
            executions = _read(connection, "execution", history, register)
            steps = _read(connection, "step", history, register)
        newest = [int(rows["hour_us"].max()) for rows in (executions, steps) if len(rows)]
        history = Window(history.start_us, max(newest, default=end_us - HOUR_US) + HOUR_US)
        points = hourly_series(executions, steps, history)
        found = compute_baselines(points, register.zones(), zone, history.end_us, parameters)
        run = baseline_rows.BaselineRun(
            baseline_id=baseline_rows.baseline_id(as_of_us),
            as_of_us=as_of_us,
            history_start_us=history.start_us,
            history_end_us=history.end_us,
            parameters=json.dumps(asdict(parameters) | {"time_zone": zone}, sort_keys=True),
            n_series=len(found.series),
            n_ready=found.n_ready,
        )
        dropped = 0
        if not dry_run:
            with store.engine.begin() as connection:
                baseline_rows.replace_version(connection, run, found.series, found.bands)
                dropped = baseline_rows.drop_versions(connection, as_of_us - KEEP_VERSIONS // MICROSECOND)
    _log.info(
        "baseline %s%s: %d of %d series are ready, %d bands from %d hourly rows in %.1f s; %d old versions "
        "dropped",
        run.baseline_id,
        " (dry run, nothing saved)" if dry_run else "",
        run.n_ready,
        run.n_series,
        len(found.bands),
        len(executions) + len(steps),
        perf_counter() - began,
        dropped,
    )
    return {
        "baseline_id": run.baseline_id,
        "series": run.n_series,
        "ready": run.n_ready,
        "bands": len(found.bands),
        "hours_read": len(executions) + len(steps),
        "versions_dropped": dropped,
        "dry_run": dry_run,
    }


def _read(connection: "Connection", source: Source, history: Window, register: Register) -> "pd.DataFrame":
    """The rollup rows that count, with effective environments; week by week, since whole rows are wide."""
    import pandas as pd

    from analytics_lib.baseline.hourly import ROLLUP_COLUMNS
    from analytics_lib.store.rollup_rows import read_rollups

    weeks = []
    for start_us in range(history.start_us, history.end_us, 7 * DAY_US):
        rows = read_rollups(connection, source, Window(start_us, start_us + 7 * DAY_US))
        rows = rows[[name for name in rows.columns if name in ROLLUP_COLUMNS]]
        weeks.append(without_environments(register.apply(rows)))
    return pd.concat(weeks, ignore_index=True)
