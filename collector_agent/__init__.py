"""The agent beside the robot: records what runs, samples resources, and never gets in the way.

Importing this package loads nothing: each name below loads its module on first use, so that a robot
pays only for what it records with (SQLAlchemy and psutil load in whoever stores and samples).
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from analytics_lib import __version__
    from collector_agent.hooks.logging_bridge import StepLogHandler
    from collector_agent.hooks.outcomes import BusinessException
    from collector_agent.hooks.steps import count_retry, current_run, current_step, step
    from collector_agent.metrics_collector import MetricsCollector
    from collector_agent.resource_collector import ResourceCollector

__all__ = [
    "BusinessException",
    "MetricsCollector",
    "ResourceCollector",
    "StepLogHandler",
    "__version__",
    "count_retry",
    "current_run",
    "current_step",
    "step",
]

_WHERE: Final = {
    "BusinessException": "collector_agent.hooks.outcomes",
    "MetricsCollector": "collector_agent.metrics_collector",
    "ResourceCollector": "collector_agent.resource_collector",
    "StepLogHandler": "collector_agent.hooks.logging_bridge",
    "count_retry": "collector_agent.hooks.steps",
    "current_run": "collector_agent.hooks.steps",
    "current_step": "collector_agent.hooks.steps",
    "step": "collector_agent.hooks.steps",
    "__version__": "analytics_lib",
}


def __getattr__(name: str) -> Any:
    if name not in _WHERE:
        raise AttributeError(f"module 'collector_agent' has no attribute {name!r}")
    found = getattr(import_module(_WHERE[name]), name)
    globals()[name] = found  # the next look-up does not come here again
    return found
