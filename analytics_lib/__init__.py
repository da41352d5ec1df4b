"""The analysis of RPA Analytics & Insights: store, rollups, reports.

Importing this package is cheap: `TimeSeriesStore` (and with it SQLAlchemy) loads on first use,
because the agent beside the robot imports `analytics_lib.records` too.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from analytics_lib.store import TimeSeriesStore

__all__ = ["TimeSeriesStore", "__version__"]
__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    if name == "TimeSeriesStore":
        from analytics_lib.store import TimeSeriesStore

        return TimeSeriesStore
    raise AttributeError(f"module 'analytics_lib' has no attribute {name!r}")
