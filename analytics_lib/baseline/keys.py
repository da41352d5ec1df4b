"""What names a series, and numbers for it: millions of rows are told apart by number, not by four texts."""

from collections.abc import Mapping
from typing import Final

import numpy as np
import pandas as pd

from analytics_lib.seasons import Ints

SUBJECT: Final = ["workflow_id", "environment", "step_id"]  # step_id is '' for the workflow itself
SERIES: Final = [*SUBJECT, "metric"]


def numbered(frame: pd.DataFrame) -> tuple[Ints, pd.DataFrame]:
    """(the number of each row's key, the distinct keys as texts): keys are sorted, numbered from 0.

    >>> codes, keys = numbered(pd.DataFrame({"metric": ["b", "a", "b"]}))
    >>> codes.tolist(), keys["metric"].tolist()
    ([1, 0, 1], ['a', 'b'])
    """
    names = list(frame.columns)
    seen = frame.groupby(names, sort=False, observed=True, dropna=False).ngroup().to_numpy(dtype=np.int64)
    keys = frame.iloc[np.unique(seen, return_index=True)[1]].astype(str).reset_index(drop=True)
    order = keys.sort_values(names).index.to_numpy(dtype=np.int64)
    rank = np.empty_like(order)
    rank[order] = np.arange(len(order))
    return rank[seen], keys.iloc[order].reset_index(drop=True)


def named(codes: Ints, keys: pd.DataFrame) -> dict[str, pd.Categorical]:
    """The key columns of rows with these numbers, as categoricals: one text each however many rows."""
    columns = {}
    for name in keys.columns:
        of_key, texts = pd.factorize(keys[name], sort=True)
        columns[name] = pd.Categorical.from_codes(of_key[codes], pd.Index(texts, dtype="str"))
    return columns


def zones_of(keys: pd.DataFrame, zones: Mapping[str, str], default_zone: str) -> tuple[Ints, list[str]]:
    """(the place of each key's time zone in the list, the list of distinct zones)."""
    of_key = [zones.get(workflow_id) or default_zone for workflow_id in keys["workflow_id"]]
    distinct = sorted(set(of_key))
    place = {zone: number for number, zone in enumerate(distinct)}
    return np.array([place[zone] for zone in of_key], dtype=np.int64), distinct
