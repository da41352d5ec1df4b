"""Hosts that stopped reporting: one anomaly an hour for all of them, and none for their workflows.

A host is silent when it sent heartbeats steadily (in 20 of the 24 hours before the last one) and none has
come for two hours. It is missed in every hour for which its data is not complete, for a week; by then
somebody has retired it. A host that speaks only while its robots run is never called silent: nobody
knows whether it should speak.

When it misleads: a machine that is switched off on purpose, after a day and night of work, is missed.
"""

from typing import Final

import pandas as pd

from analytics_lib.anomaly.findings import as_findings, evidence_text, no_findings
from analytics_lib.anomaly.parameters import AnomalyParameters
from analytics_lib.windows import HOUR_US

NAMES_KEPT: Final = 50


def silent_hosts(
    hosts: pd.DataFrame, hours_us: list[int], as_of_us: int, parameters: AnomalyParameters | None = None
) -> pd.DataFrame:
    """Findings of kind no_data, at most one for each of the hours, all of which ended by as_of_us.

    hosts as `completeness` gives them. observed: steady hosts that report, expected: all steady hosts
    that are not retired, n: those that are silent. The score is 0: nothing is measured in sigmas.
    """
    parameters = parameters or AnomalyParameters()
    steady = hosts[hosts["is_steady"]]
    silent = steady[steady["last_heard_us"] < as_of_us - parameters.host_silent_us]
    found = []
    for hour_us in sorted(hours_us) if len(silent) else []:
        is_missed = silent["complete_to_us"] < hour_us + HOUR_US
        is_retired = silent["last_heard_us"] < hour_us - parameters.host_retired_us
        missed = silent[is_missed & ~is_retired].sort_values(["complete_to_us", "host"])
        if missed.empty:
            continue
        total = len(steady) - int((is_missed & is_retired).sum())
        last = dict(zip(missed["host"][:NAMES_KEPT], missed["complete_to_us"][:NAMES_KEPT], strict=True))
        found.append(
            {
                "workflow_id": "",
                "environment": "",
                "step_id": "",
                "metric": "hosts_reporting",
                "kind": "no_data",
                "hour_us": hour_us,
                "observed": total - len(missed),
                "expected": total,
                "low": total,
                "high": total,
                "score": 0.0,
                "n": len(missed),
                "evidence": evidence_text({"complete_to_us": {h: int(us) for h, us in last.items()}}),
            }
        )
    return as_findings(pd.DataFrame(found)) if found else no_findings()
