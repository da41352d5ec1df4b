"""The machines of the simulated fleet: when their robot works, and what a probe would measure there."""

import random
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Final
from zoneinfo import ZoneInfo

from analytics_lib.records import ResourceMetrics

ENVIRONMENT: Final = "simulated"
SOURCE: Final = "simulation"
ZONE: Final = ZoneInfo("Europe/Berlin")
HOSTS: Final = ("BOT-01", "BOT-02", "BOT-03", "BOT-04", "BOT-05")
SAMPLE_INTERVAL: Final = timedelta(minutes=10)
GIB: Final = 1024**3
MIB: Final = 1024**2


class Host:
    """One machine with one robot on it."""

    def __init__(self, name: str, free_at: datetime) -> None:
        self.name = name
        self.robot_id = name.replace("BOT", "robot")
        self.free_at = free_at
        self._spans: list[tuple[datetime, datetime]] = []  # in which it worked, the last of them

    def works(self, started: datetime, ended: datetime) -> None:
        """The robot runs something: it is free again when that ends."""
        self.free_at = ended
        self._spans.append((started, ended))

    def samples(self, seed: str, begins: datetime, ends: datetime) -> Iterator[ResourceMetrics]:
        """One every ten minutes. Restarted, and its disk cleaned, when Monday begins."""
        rng = random.Random(f"{seed}/{self.name}")  # noqa: S311  # to be repeated, not to be secret
        number = HOSTS.index(self.name)
        moment = first_at_or_after(begins, SAMPLE_INTERVAL)
        while moment < ends:
            local = moment.astimezone(ZONE)
            load, days_up = self._load(moment), local.weekday() + local.hour / 24
            memory_gib = 4.4 + 0.2 * number + 3.2 * load + 0.15 * days_up + rng.uniform(0, 0.3)
            yield ResourceMetrics(
                agent_id=f"{SOURCE}/{self.name}",
                target="host",
                sampled_at=moment,
                cpu_percent=min(max(rng.gauss(5 + 47 * load, 2.5 + 5 * load), 0.5), 100.0),
                memory_used_bytes=int(memory_gib * GIB),
                memory_total_bytes=16 * GIB,
                disk_used_bytes=int((88 + 7 * number + 1.6 * days_up) * GIB),
                disk_total_bytes=256 * GIB,
                disk_read_bytes_per_s=rng.expovariate(1) * (0.2 + 5 * load) * MIB,
                disk_written_bytes_per_s=rng.expovariate(1) * (0.3 + 3 * load) * MIB,
                network_received_bytes_per_s=rng.expovariate(1) * (0.05 + 2 * load) * MIB,
                network_sent_bytes_per_s=rng.expovariate(1) * (0.03 + 0.6 * load) * MIB,
                environment=ENVIRONMENT,
                robot_id=self.robot_id,
                host=self.name,
                source=SOURCE,
            )
            moment += SAMPLE_INTERVAL
        self._spans = [span for span in self._spans if span[1] >= ends - SAMPLE_INTERVAL]

    def _load(self, sampled_at: datetime) -> float:
        """The share of the interval before the sample in which the robot worked."""
        begins = sampled_at - SAMPLE_INTERVAL
        overlaps = (min(ended, sampled_at) - max(started, begins) for started, ended in self._spans)
        return sum(max(overlap, timedelta(0)) / SAMPLE_INTERVAL for overlap in overlaps)


def first_at_or_after(moment: datetime, interval: timedelta) -> datetime:
    """The next full interval of the clock.

    >>> first_at_or_after(datetime.fromisoformat("2026-11-24T08:03:00+00:00"), SAMPLE_INTERVAL).isoformat()
    '2026-11-24T08:10:00+00:00'
    """
    epoch = datetime.fromtimestamp(0, moment.tzinfo)
    return moment + (epoch - moment) % interval
