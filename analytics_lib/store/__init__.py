"""The store: raw rows in, raw rows and hourly rows out, on SQLite or Postgres.

Base installs (the agent) use `TimeSeriesStore`; `rollup_rows` needs the analytics extra.
"""

from analytics_lib.store.time_series import TimeSeriesStore, open_store
from analytics_lib.store.writing import WriteResult

__all__ = ["TimeSeriesStore", "WriteResult", "open_store"]
