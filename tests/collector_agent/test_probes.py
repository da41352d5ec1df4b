"""Probes: the values of this machine, and what they make of counters that jump, wrap or are missing."""

import math
import subprocess
import sys
from collections import namedtuple
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from datetime import UTC, datetime
from pathlib import Path
from types import ModuleType
from typing import Any

import psutil
import pytest

from analytics_lib.records import ResourceMetrics
from collector_agent.probes import Probe
from collector_agent.probes.cpu import CpuProbe
from collector_agent.probes.disk import DiskSpaceProbe, DiskTrafficProbe
from collector_agent.probes.limits import Limits
from collector_agent.probes.memory import MemoryProbe
from collector_agent.probes.network import NetworkProbe
from collector_agent.probes.process import ProcessProbe
from collector_agent.probes.rates import Rates
from collector_agent.sampling.sample_records import SampleRecords
from collector_agent.sampling.sampler import HOST, Sampler, process


class Clock:
    """Seconds that pass when told to."""

    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


# --- this machine ----------------------------------------------------------------------------------

FIELDS: dict[type, set[str]] = {
    CpuProbe: {"cpu_percent"},
    MemoryProbe: {"memory_used_bytes", "memory_total_bytes"},
    DiskSpaceProbe: {"disk_used_bytes", "disk_total_bytes"},
    DiskTrafficProbe: {"disk_read_bytes_per_s", "disk_written_bytes_per_s"},
    NetworkProbe: {"network_received_bytes_per_s", "network_sent_bytes_per_s"},
    ProcessProbe: {
        "cpu_percent",
        "memory_used_bytes",
        "memory_total_bytes",
        "disk_read_bytes_per_s",
        "disk_written_bytes_per_s",
        "process_count",
        "thread_count",
        "handle_count",
    },
}


@pytest.mark.parametrize("make", FIELDS)
def test_a_probe_gives_its_fields_and_none_of_them_is_negative_or_odd(make: Any) -> None:
    probe: Probe = make()
    for values in (probe.read(), probe.read()):
        assert set(values) == FIELDS[make]
        for name, value in values.items():
            assert value is None or (math.isfinite(value) and value >= 0), name
            if name.endswith("_percent") and value is not None:
                assert value <= 100


def test_what_holds_at_one_moment_is_there_at_the_first_reading(child: "subprocess.Popen[str]") -> None:
    memory = MemoryProbe(limits=Limits(root=Path("nowhere"))).read()
    assert memory["memory_total_bytes"] == psutil.virtual_memory().total
    space = DiskSpaceProbe().read()
    assert 0 < space["disk_used_bytes"] <= space["disk_total_bytes"]  # type: ignore[operator]  # both are known
    own = ProcessProbe().read()  # how many it counts depends on what other tests left running
    assert own["cpu_percent"] is None
    assert own["process_count"] >= 2  # type: ignore[operator]  # it is known
    assert own["memory_used_bytes"] > 1_000_000  # type: ignore[operator]  # it is known
    assert own["thread_count"] >= 1  # type: ignore[operator]  # it is known


def test_everything_that_this_machine_gives_fits_into_records() -> None:
    sampler = Sampler([*HOST, process(None)])
    records = SampleRecords("a1", {"host": "h1"})
    made = records.of(sampler.read(), None, datetime.now(UTC))
    assert all(isinstance(record, ResourceMetrics) for record in made)
    assert {"host", "process"} <= {record.target for record in made if isinstance(record, ResourceMetrics)}
    assert (records.quarantined, sampler.failures) == (0, 0)


PARENT = """
import subprocess, sys
child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
print(child.pid, flush=True)
input()
"""


@pytest.fixture
def child() -> Iterator["subprocess.Popen[str]"]:
    """A process with one child; both end when their input does."""
    with subprocess.Popen(
        [sys.executable, "-c", PARENT], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        yield process
        process.kill()


def test_a_robots_children_count_as_the_robot(child: "subprocess.Popen[str]") -> None:
    assert child.stdout is not None
    grandchild = int(child.stdout.readline())
    assert ProcessProbe(child.pid).read()["process_count"] == 2
    assert ProcessProbe(grandchild).read()["process_count"] == 1


def test_a_robot_that_is_gone_is_said_and_not_taken_for_an_idle_one(child: "subprocess.Popen[str]") -> None:
    probe = ProcessProbe(child.pid)
    probe.read()
    child.kill()
    child.wait()
    with pytest.raises(psutil.NoSuchProcess):
        probe.read()


def test_the_space_of_a_removed_working_folder_is_that_of_the_root(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    assert DiskSpaceProbe().read()["disk_total_bytes"]


# --- counters --------------------------------------------------------------------------------------


def test_a_rate_is_what_the_counter_grew_by_over_the_time() -> None:
    clock = Clock()
    rates = Rates(clock)
    assert rates.read({"bytes": {"a": 100.0, "b": 5.0}}) == {"bytes": None}
    clock.now_s = 10.0
    assert rates.read({"bytes": {"a": 150.0, "b": 55.0}}) == {"bytes": 10.0}


def test_a_part_that_appears_brings_no_peak_and_one_that_goes_no_hole() -> None:
    clock = Clock()
    rates = Rates(clock)
    rates.read({"bytes": {"a": 100.0, "b": 7.0}})
    clock.now_s = 10.0
    assert rates.read({"bytes": {"a": 110.0, "new": 1e12}}) == {"bytes": 1.0}


def test_a_counter_that_fell_is_not_known_once() -> None:
    clock = Clock()
    rates = Rates(clock)
    rates.read({"bytes": {"a": 100.0}})
    clock.now_s = 10.0
    assert rates.read({"bytes": {"a": 3.0}}) == {"bytes": None}
    clock.now_s = 20.0
    assert rates.read({"bytes": {"a": 13.0}}) == {"bytes": 1.0}


def test_a_reading_that_comes_too_soon_gives_none_and_keeps_the_one_before() -> None:
    clock = Clock()
    rates = Rates(clock)
    rates.read({"bytes": {"a": 100.0}})
    clock.now_s = 0.01
    assert rates.read({"bytes": {"a": 1_000_000.0}}) == {"bytes": None}
    clock.now_s = 10.0
    assert rates.read({"bytes": {"a": 200.0}}) == {"bytes": 10.0}


def test_a_counter_that_is_missing_is_not_known() -> None:
    clock = Clock()
    rates = Rates(clock)
    rates.read({"bytes": None})
    clock.now_s = 10.0
    assert rates.read({"bytes": None}) == {"bytes": None}


CpuTimes = namedtuple("CpuTimes", "user system idle iowait guest")


class _Cpu:
    def __init__(self, *readings: CpuTimes) -> None:
        self._readings = list(readings)

    def cpu_times(self) -> CpuTimes:
        return self._readings.pop(0)


@pytest.mark.parametrize(
    ("after", "percent"),
    [
        (CpuTimes(13, 12, 25, 10, 0), 50.0),  # 5 s of 10 were busy
        (CpuTimes(15, 10, 25, 10, 5), 50.0),  # a guest's time is in `user` too, and counts once
        (CpuTimes(10, 10, 20, 20, 0), 0.0),  # waiting for a disk is not busy
        (CpuTimes(20, 10, 20, 10, 0), 100.0),
        (CpuTimes(20, 10, 20, 9.9, 0), 100.0),  # iowait may go backwards a little
        (CpuTimes(5, 5, 40, 20, 0), None),  # a counter that restarted
        (CpuTimes(1, 1, 1, 1, 0), None),
    ],
)
def test_cpu_is_the_share_of_time_that_was_busy(after: CpuTimes, percent: float | None) -> None:
    readings = _Cpu(CpuTimes(10, 10, 20, 10, 0), after, after)
    probe = CpuProbe(readings, Limits(root=Path("nowhere")))
    assert probe.read() == {"cpu_percent": None}
    found = probe.read()["cpu_percent"]
    assert found is None if percent is None else found == pytest.approx(percent)
    assert probe.read() == {"cpu_percent": None}  # no time has passed


def test_a_machine_without_disks_of_its_own_gives_none() -> None:
    fake = ModuleType("psutil")
    fake.disk_io_counters = lambda nowrap: None  # type: ignore[attr-defined]  # a module takes any name
    clock = Clock()
    probe = DiskTrafficProbe(fake, clock)
    probe.read()
    clock.now_s = 10.0
    assert probe.read() == {"disk_read_bytes_per_s": None, "disk_written_bytes_per_s": None}


def test_what_stays_on_the_machine_is_no_network_traffic() -> None:
    card = namedtuple("card", "bytes_recv bytes_sent")
    readings = [
        {"eth0": card(0, 0), "lo": card(0, 0)},
        {"eth0": card(100, 20), "lo": card(10**9, 10**9), "Loopback Pseudo-Interface 1": card(1, 1)},
    ]
    fake = ModuleType("psutil")
    fake.net_io_counters = lambda pernic, nowrap: readings.pop(0)  # type: ignore[attr-defined]  # as above
    clock = Clock()
    probe = NetworkProbe(fake, clock)
    probe.read()
    clock.now_s = 10.0
    assert probe.read() == {"network_received_bytes_per_s": 10.0, "network_sent_bytes_per_s": 2.0}


# --- a robot's processes, on systems that do not tell everything --------------------------------------


NO_PID = 1 << 30  # the first of those that no process of a machine has


class _Process:
    """What psutil says of one process."""

    def __init__(self, pid: int, busy_s: float = 0.0, refuses: tuple[str, ...] = ()) -> None:
        self.pid = pid
        self.busy_s = busy_s
        self.is_zombie = False
        self.processes: list[_Process] = []
        self._refuses = refuses

    def oneshot(self) -> AbstractContextManager[None]:
        return nullcontext()

    def children(self, *, recursive: bool) -> "list[_Process]":
        return self.processes

    def create_time(self) -> float:
        return 1.0

    def cpu_times(self) -> Any:
        return namedtuple("times", "user system")(self.busy_s, 0.0)

    def status(self) -> str:
        return psutil.STATUS_ZOMBIE if self.is_zombie else psutil.STATUS_RUNNING

    def memory_info(self) -> Any:
        return namedtuple("memory", "rss")(100)

    def num_threads(self) -> int:
        return 2

    def num_fds(self) -> int:
        if "num_fds" in self._refuses:
            raise psutil.AccessDenied(self.pid)
        return 5

    def io_counters(self) -> Any:
        if "io_counters" in self._refuses:
            raise NotImplementedError
        return namedtuple("io", "read_bytes write_bytes")(0, 0)


def tree(root: _Process, clock: Clock) -> ProcessProbe:
    fake = ModuleType("psutil")
    for name, value in {
        "Process": lambda pid: root,
        "cpu_count": lambda: 4,
        "virtual_memory": lambda: psutil.virtual_memory(),
        "STATUS_ZOMBIE": psutil.STATUS_ZOMBIE,
        "NoSuchProcess": psutil.NoSuchProcess,
        "AccessDenied": psutil.AccessDenied,
    }.items():
        setattr(fake, name, value)
    return ProcessProbe(NO_PID + 1, fake, clock, Limits(root=Path("nowhere")))


def test_a_trees_values_are_sums_and_its_cpu_is_a_share_of_all_cores() -> None:
    clock, root = Clock(), _Process(NO_PID + 1)
    root.processes = [_Process(NO_PID + 2), _Process(NO_PID + 3)]
    probe = tree(root, clock)
    probe.read()
    root.busy_s, root.processes[0].busy_s = 10.0, 10.0
    clock.now_s = 10.0
    values = probe.read()
    assert (values["memory_used_bytes"], values["process_count"], values["thread_count"]) == (300, 3, 6)
    assert (values["handle_count"], values["cpu_percent"]) == (15, 50.0)


def test_the_time_of_a_child_that_ended_and_was_not_waited_for_is_not_negative() -> None:
    clock, root = Clock(), _Process(NO_PID + 1)
    root.processes = [_Process(NO_PID + 2, busy_s=100.0)]
    probe = tree(root, clock)
    probe.read()
    root.processes, root.busy_s = [], 4.0
    clock.now_s = 10.0
    assert probe.read()["cpu_percent"] == 10.0  # that of the root, over the four cores


def test_a_child_that_ended_holds_no_memory() -> None:
    clock, root = Clock(), _Process(NO_PID + 1)
    root.processes = [_Process(NO_PID + 2)]
    root.processes[0].is_zombie = True
    assert tree(root, clock).read()["memory_used_bytes"] == 100


@pytest.mark.parametrize(
    ("refuses", "missing"),
    [
        ("num_fds", {"handle_count"}),
        ("io_counters", {"disk_read_bytes_per_s", "disk_written_bytes_per_s"}),
    ],
)
def test_what_one_process_does_not_tell_is_not_known_of_the_tree(refuses: str, missing: set[str]) -> None:
    clock, root = Clock(), _Process(NO_PID + 1)
    root.processes = [_Process(NO_PID + 2, refuses=(refuses,))]
    probe = tree(root, clock)
    probe.read()
    clock.now_s = 10.0
    values = probe.read()
    assert {name for name, value in values.items() if value is None} == missing
