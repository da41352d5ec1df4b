"""What an anomaly is called: the same series, family and hour give the same id, whenever they are judged.

A family is what the same hour of a series can be only once: slower or faster, not both; and an hour that
had no run and, after late rows, too few stays one anomaly and becomes another kind.

>>> anomaly_id("invoices", "production", "", "missing_runs", 0) == anomaly_id(
...     "invoices", "production", "", "fewer_runs", 0
... )
True
"""

import hashlib
from typing import Final

SERIES: Final = ["workflow_id", "environment", "step_id", "metric"]
FAMILY: Final = {
    "slower": "duration",
    "faster": "duration",
    "failing": "success",
    "fewer_runs": "runs",
    "more_runs": "runs",
    "missing_runs": "runs",
    "no_data": "data",
}


def anomaly_id(workflow_id: str, environment: str, step_id: str, kind: str, hour_us: int) -> str:
    """32 hexadecimal digits. The metric follows from the family."""
    facts = (workflow_id, environment, step_id, FAMILY[kind], str(int(hour_us)))
    return hashlib.blake2b(repr(facts).encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()
