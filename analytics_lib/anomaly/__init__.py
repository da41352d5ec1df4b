"""Anomaly detection: points beside what was expected in, hours that are not normal out. Pure.

Detectors make findings: `judge` of durations, success rates and numbers of runs, `missing_runs` of a
steady cadence, `silent_hosts` of heartbeats. `account_for` makes anomalies of them: identity, since when,
severity, one sentence. `completeness` says up to when silence means anything.
"""

from analytics_lib.anomaly.account import ANOMALY_COLUMNS, account_for
from analytics_lib.anomaly.again import judged_again
from analytics_lib.anomaly.cadence import missing_runs
from analytics_lib.anomaly.completeness import completeness, workflows_complete_to
from analytics_lib.anomaly.findings import no_findings
from analytics_lib.anomaly.judgement import judge
from analytics_lib.anomaly.parameters import AnomalyParameters
from analytics_lib.anomaly.silence import silent_hosts

__all__ = [
    "ANOMALY_COLUMNS",
    "AnomalyParameters",
    "account_for",
    "completeness",
    "judge",
    "judged_again",
    "missing_runs",
    "no_findings",
    "silent_hosts",
    "workflows_complete_to",
]
