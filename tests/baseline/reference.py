"""Baselines once more: slow, obvious, point by point; what the fast ones are compared with."""

import math
from collections import defaultdict
from collections.abc import Mapping
from statistics import median
from typing import Any
from zoneinfo import ZoneInfo

import pandas as pd

from analytics_lib.baseline.parameters import BaselineParameters
from analytics_lib.windows import HOUR_US, from_us

Band = dict[str, Any]
Key = tuple[str, str, str, str]
LEAST = {"hour_of_week": 5, "hour_of_day": 8, "overall": 24}


def slot(level: str, hour_us: int, zone: str) -> int:
    local = from_us(hour_us).astimezone(ZoneInfo(zone))
    if level == "hour_of_week":
        return local.weekday() * 24 + local.hour
    return local.hour + (24 if local.weekday() >= 5 else 0) if level == "hour_of_day" else 0


def bands(points: pd.DataFrame, zones: Mapping[str, str], end_us: int) -> dict[tuple[Any, ...], Band]:
    """By (workflow_id, environment, step_id, metric, level, slot)."""
    series: dict[Key, list[tuple[int, float, int]]] = defaultdict(list)
    for row in points.to_dict("records"):
        key = (row["workflow_id"], row["environment"], row["step_id"], row["metric"])
        if row["hour_us"] < end_us:
            series[key].append((row["hour_us"], row["value"], row["n"]))
    found = {}
    for key, rows in series.items():
        zone = zones.get(key[0], "UTC")
        first = min(hour for hour, _, _ in rows)
        for level, least in LEAST.items():
            lived = [slot(level, hour, zone) for hour in range(first, end_us, HOUR_US)]
            for number in set(lived):
                of_slot = [row for row in rows if slot(level, row[0], zone) == number]
                if len(of_slot) >= least:
                    share = sum(n > 0 for _, _, n in of_slot) / lived.count(number)
                    found[*key, level, number] = band(key[3], level, of_slot) | {"active_share": share}
    return found


def band(metric: str, level: str, rows: list[tuple[int, float, int]]) -> Band:
    is_log = metric == "duration_ms"
    values = [math.log(max(value, 1.0)) if is_log else value for _, value, _ in rows]
    center = median(values)
    scale = 1.4826 * median(abs(value - center) for value in values)
    if is_log:
        floor = 0.05
    elif metric == "success_rate":
        runs = len(rows) / sum(1 / n for _, _, n in rows)
        shrunk = (center * runs + 2) / (runs + 4)
        floor = math.sqrt(shrunk * (1 - shrunk) / runs)
    else:
        floor = math.sqrt(center + 1)
        if level != "hour_of_week":
            farthest = max(abs(value - center) for value in values)
            floor = max(floor, farthest / BaselineParameters().edge_sigmas)
    return {
        "n": len(rows),
        "center": center,
        "scale": max(scale, floor),
        "space": "log" if is_log else "linear",
    }
