"""What people call a workflow, in place of its id: once, before anything is counted or written."""

from collections import Counter
from collections.abc import Iterable, Mapping

import pandas as pd


def unambiguous(display_names: Mapping[str, str], ids: Iterable[str]) -> dict[str, str]:
    """The names by id; what is also the name or the id of another workflow is shown with its own id.

    >>> unambiguous({"a": "Invoices", "b": "Invoices", "c": "Claims"}, ["a", "b", "c"])
    {'a': 'Invoices (a)', 'b': 'Invoices (b)', 'c': 'Claims'}
    """
    shown = {
        workflow_id: name for workflow_id, name in display_names.items() if name not in ("", workflow_id)
    }
    times = Counter([*shown.values(), *({*ids, *display_names} - shown.keys())])
    return {one: f"{name} ({one})" if times[name] > 1 else name for one, name in shown.items()}


def with_names(frame: pd.DataFrame, names: Mapping[str, str]) -> pd.DataFrame:
    """The frame with names as workflow ids, where there are some."""
    if frame.empty or not names:
        return frame
    return frame.assign(workflow_id=[names.get(str(one), one) for one in frame["workflow_id"]])
