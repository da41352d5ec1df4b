"""Up to when the data of each host is complete, so that a dead agent never looks like a silent workflow.

An agent's heartbeat says `complete_to_us`: all that it recorded before that moment is delivered. That never
shrinks, so an agent has said its latest. Of a host, several agents may speak: its daemon, which lives
for weeks, and the robots' own collectors, which live as long as a run. The rule:

    complete_to(host) = min of complete_to over the agents that may still owe rows

- an agent heard from within five minutes of the host's newest heartbeat may have recorded something since
  (the interval is 30 seconds), and so may owe rows, whatever it said was pending;
- an agent whose last heartbeat had rows pending owes them, for a day: then they are lost, or come late
  and have their hour judged again;
- any other agent is done: it said farewell, or died with nothing to deliver.

The maximum over all agents would be too early (one robot's farewell says nothing about its neighbour's
rows), and the minimum over all would never move once a robot has ended. A host without heartbeats (imports,
older agents) is complete to its last row: it may have been silent since, or gone.

When it misleads: runs that a killed process recorded after its last heartbeat, and that nothing will
deliver, look as if they had not been.
"""

from typing import Final

import pandas as pd

from analytics_lib.anomaly.parameters import AnomalyParameters
from analytics_lib.windows import HOUR_US

DAY_HOURS: Final = 24
_TYPES: Final = {"host": "object", "complete_to_us": "int64", "last_heard_us": "int64", "is_steady": "bool"}


def completeness(
    heartbeats: pd.DataFrame, last_rows: pd.DataFrame, parameters: AnomalyParameters | None = None
) -> pd.DataFrame:
    """host, complete_to_us, last_heard_us, is_steady; one row a host, sorted.

    heartbeats: host, agent_id, hour_us, sent_at_us, complete_to_us (the latest of the hour's), rows_pending
    (of the last). last_rows: host, last_row_us. last_heard_us is -1 where there was no heartbeat; is_steady:
    heartbeats came in nearly every one of the 24 hours before the last one.
    """
    parameters = parameters or AnomalyParameters()
    silent = last_rows.groupby("host", as_index=False)["last_row_us"].max()
    silent = silent[~silent["host"].isin(heartbeats["host"])].rename(
        columns={"last_row_us": "complete_to_us"}
    )
    heard = _heard(heartbeats, parameters) if len(heartbeats) else silent.iloc[:0]
    hosts = pd.concat([heard, silent.assign(last_heard_us=-1, is_steady=False)], ignore_index=True)
    result: pd.DataFrame = hosts.sort_values("host").reset_index(drop=True).astype(_TYPES)[list(_TYPES)]
    return result


def _heard(heartbeats: pd.DataFrame, parameters: AnomalyParameters) -> pd.DataFrame:
    rows = heartbeats.sort_values(["host", "agent_id", "sent_at_us"])
    agents = rows.groupby(["host", "agent_id"], as_index=False).agg(
        sent_at_us=("sent_at_us", "max"),
        complete_to_us=("complete_to_us", "max"),
        rows_pending=("rows_pending", "last"),
    )
    ago = agents.groupby("host")["sent_at_us"].transform("max") - agents["sent_at_us"]
    may_owe = (ago <= parameters.agent_alive_us) | (
        (agents["rows_pending"] > 0) & (ago <= parameters.agent_owes_us)
    )
    hosts = agents[may_owe].groupby("host", as_index=False).agg(complete_to_us=("complete_to_us", "min"))
    newest = rows.groupby("host")["sent_at_us"].max()
    last_day = newest.reindex(rows["host"]).to_numpy() // HOUR_US - rows["hour_us"] // HOUR_US < DAY_HOURS
    hours = rows[last_day].groupby("host")["hour_us"].nunique()
    return hosts.assign(
        last_heard_us=newest.reindex(hosts["host"]).to_numpy(),
        is_steady=hours.reindex(hosts["host"]).to_numpy() >= parameters.steady_hours,
    )


def workflows_complete_to(
    hosts_of_workflows: pd.DataFrame, hosts: pd.DataFrame, parameters: AnomalyParameters | None = None
) -> pd.DataFrame:
    """workflow_id, environment, complete_to_us: the earliest of the hosts that it normally runs on.

    hosts_of_workflows: workflow_id, environment, host, n runs of the last four weeks; hosts as
    `completeness` gives them. A host with less than 5 % of the runs is not waited for. A workflow is as
    complete as its worst host, so one with a host of which nothing is known has no row, and is not judged.
    """
    parameters = parameters or AnomalyParameters()
    key = ["workflow_id", "environment"]
    runs = hosts_of_workflows.groupby([*key, "host"], as_index=False)["n"].sum()
    share = runs["n"] / runs.groupby(key)["n"].transform("sum")
    normal = runs[share >= parameters.min_host_share].merge(hosts, on="host", how="left")
    normal = normal.assign(is_unknown=normal["complete_to_us"].isna())
    is_known = ~normal.groupby(key)["is_unknown"].transform("any").astype(bool)
    ends = normal[is_known].groupby(key, as_index=False).agg(complete_to_us=("complete_to_us", "min"))
    result: pd.DataFrame = ends.astype({"complete_to_us": "int64"})
    return result
