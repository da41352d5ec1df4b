"""Control groups: 100 % is what a container or a robot may use. The files are made by the tests."""

import os
import subprocess
import sys
from collections import namedtuple
from pathlib import Path
from types import ModuleType
from typing import Any

import psutil
import pytest

from collector_agent.probes.cgroups import Hierarchies
from collector_agent.probes.children import tree_of
from collector_agent.probes.cpu import CpuProbe
from collector_agent.probes.limits import Limits
from collector_agent.probes.memory import MemoryProbe
from collector_agent.probes.process import ProcessProbe

GB = 1 << 30
V2 = "31 23 0:28 {root} /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw,nsdelegate\n"
V1 = "".join(
    f"3{n} 23 0:28 {{root}} /sys/fs/cgroup/{name} rw - cgroup cgroup rw,{name}\n"
    for n, name in enumerate(("cpu,cpuacct", "memory", "cpuset"))
)


class Clock:
    now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


class Machine:
    """proc and sys of a made-up machine, below a folder."""

    def __init__(self, root: Path, mounts: str, paths: str, process: str = "self") -> None:
        self.root = root
        self.write("proc/self/mountinfo", "22 1 8:1 / / rw - ext4 /dev/sda1 rw\n" + mounts)
        self.write(f"proc/{process}/cgroup", paths)

    def write(self, name: str, text: object) -> None:
        file = self.root / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(f"{text}\n" if not str(text).endswith("\n") else str(text))

    def group(self, path: str, **files: object) -> None:
        for name, text in files.items():
            self.write(f"sys/fs/cgroup{path}/{name.replace('__', '.')}", text)

    def limits(self, **options: Any) -> Limits:
        return Limits(root=self.root, machine_cores=8, **options)


def container(root: Path) -> Machine:
    """As one sees it from inside: its own group is the root."""
    machine = Machine(root, V2.format(root="/"), "0::/\n")
    machine.group("", cpu__max="150000 100000", cpu__stat="usage_usec 1000000\nuser_usec 5\n")
    machine.group("", memory__max=GB, memory__current=700_000_000)
    machine.group("", memory__stat="anon 5\ninactive_file 200000000\nactive_file 7\n")
    return machine


def test_a_containers_cpu_is_the_share_of_its_quota(tmp_path: Path) -> None:
    machine, clock = container(tmp_path), Clock()
    probe = CpuProbe(_no_cpu_times(), machine.limits(of_machine=True), clock)
    assert probe.read() == {"cpu_percent": None}
    machine.group("", cpu__stat="usage_usec 8500000\n")
    clock.now_s = 10.0
    assert probe.read() == {"cpu_percent": pytest.approx(50.0)}  # 7.5 s of the 15 that 1.5 cores give
    machine.group("", cpu__stat="usage_usec 28500000\n")
    clock.now_s = 20.0
    assert probe.read() == {"cpu_percent": 100.0}  # a burst is no 133 %
    machine.group("", cpu__stat="usage_usec 5\n")
    clock.now_s = 30.0
    assert probe.read() == {"cpu_percent": None}  # counted anew


def test_a_containers_memory_is_what_it_cannot_give_up_of_its_limit(tmp_path: Path) -> None:
    machine = container(tmp_path)
    probe = MemoryProbe(_memory(8 * GB), machine.limits(of_machine=True))
    assert probe.read() == {"memory_used_bytes": 500_000_000, "memory_total_bytes": GB}
    machine.group("", memory__current=3 * GB)
    assert probe.read() == {"memory_used_bytes": GB, "memory_total_bytes": GB}


def test_on_a_machine_itself_the_limits_of_our_service_are_not_the_machines(tmp_path: Path) -> None:
    """The daemon's unit has MemoryMax and CPUQuota: a robot below it feels them, the machine does not."""
    machine = Machine(tmp_path, V2.format(root="/"), "0::/system.slice/rpa-agent.service\n")
    machine.group("", cpu__stat="usage_usec 1000000\n", cpuset__cpus__effective="0-7")
    machine.group("/system.slice/rpa-agent.service", cpu__max="50000 100000", memory__max=GB // 4)
    of_machine, own = machine.limits(of_machine=True), machine.limits()
    assert (of_machine.cores(), of_machine.memory_bytes(8 * GB)) == (None, None)
    assert (own.cores(), own.memory_bytes(8 * GB)) == (0.5, GB // 4)


def test_the_tightest_of_the_groups_around_counts(tmp_path: Path) -> None:
    machine = Machine(tmp_path, V2.format(root="/"), "0::/a/b/c\n")
    machine.group("/a", cpu__max="100000 100000", cpu__stat="usage_usec 7000000\n")
    machine.group("/a", memory__max=2 * GB, memory__current=1000)
    machine.group("/a/b", cpu__max="400000 100000", memory__max="max", cpu__stat="usage_usec 1\n")
    machine.group("/a/b/c", cpu__max="max 100000", memory__max=4 * GB, memory__current=10)
    limits = machine.limits()
    assert (limits.cores(), limits.cpu_used_s()) == (1.0, 7.0)
    assert (limits.memory_bytes(8 * GB), limits.memory_used_bytes()) == (2 * GB, 1000)


def test_another_processs_groups_are_found(tmp_path: Path) -> None:
    machine = Machine(tmp_path, V2.format(root="/"), "0::/robot\n", process="4711")
    machine.group("/robot", cpu__max="200000 100000")
    assert machine.limits(pid=4711).cores() == 2.0
    assert machine.limits().cores() is None  # of ours nothing is known


@pytest.mark.parametrize(
    ("root", "path", "cores"),
    [
        ("/docker/c1", "/docker/c1", 2.0),  # the host's paths, and only the container's folder
        ("/docker/c1", "/docker/c1/inner", 1.0),
        ("/docker/c1", "/docker/c10", 2.0),  # moved elsewhere: what is seen is what there is
        ("/../..", "/../../x", 2.0),
        ("/", "/", 2.0),
    ],
)
def test_a_mount_may_begin_below_the_root_of_all_groups(
    tmp_path: Path, root: str, path: str, cores: float
) -> None:
    machine = Machine(tmp_path, V2.format(root=root), f"0::{path}\n")
    machine.group("", cpu__max="200000 100000")
    machine.group("/inner", cpu__max="100000 100000")
    assert machine.limits().cores() == cores


def test_version_1_is_read_as_well(tmp_path: Path) -> None:
    machine = Machine(
        tmp_path,
        V1.format(root="/"),
        "4:memory:/pod/c\n3:cpuset:/pod\n2:cpu,cpuacct:/pod/c\n1:name=systemd:/x\n0::/x\n",
    )
    machine.group("/cpu,cpuacct/pod", cpu__cfs_quota_us=-1, cpu__cfs_period_us=100_000, cpuacct__usage=7)
    machine.group("/cpu,cpuacct/pod/c", cpu__cfs_quota_us=50_000, cpu__cfs_period_us=100_000)
    machine.group("/cpu,cpuacct/pod/c", cpuacct__usage=3_000_000_000)
    machine.group("/memory", memory__limit_in_bytes=9_223_372_036_854_771_712)
    machine.group("/memory/pod", memory__limit_in_bytes=GB, memory__usage_in_bytes=900)
    machine.group("/memory/pod", memory__stat="cache 5\ninactive_file 1\ntotal_inactive_file 400\n")
    machine.group("/memory/pod/c", memory__limit_in_bytes=9_223_372_036_854_771_712)
    limits = machine.limits()
    assert (limits.cores(), limits.cpu_used_s()) == (0.5, 3.0)
    assert (limits.memory_bytes(8 * GB), limits.memory_used_bytes()) == (GB, 500)


@pytest.mark.parametrize(("listed", "cores"), [("0-1,5", 3.0), ("3", 1.0), ("0-7", None), ("", None)])
def test_cores_that_may_be_used_are_a_limit_where_they_are_fewer(
    tmp_path: Path, listed: str, cores: float | None
) -> None:
    machine = Machine(tmp_path, V2.format(root="/"), "0::/\n")
    machine.group("", cpuset__cpus__effective=listed, cpu__stat="usage_usec 0\n", cpu__max="max 100000")
    assert machine.limits(of_machine=True).cores() == cores


def test_a_limit_above_the_machine_is_none(tmp_path: Path) -> None:
    machine = Machine(tmp_path, V2.format(root="/"), "0::/\n")
    machine.group("", cpu__max="1600000 100000", memory__max=9 * GB, memory__current=1)
    assert (machine.limits().cores(), machine.limits().memory_bytes(8 * GB)) == (None, None)
    assert MemoryProbe(_memory(8 * GB), machine.limits()).read()["memory_total_bytes"] == 8 * GB


@pytest.mark.parametrize(
    "text", ["", "nonsense", "100000", "100000 0", "-5", "max", "1e3 5", "\0\0", "9" * 5_000]
)
def test_files_that_make_no_sense_are_no_limits(tmp_path: Path, text: str) -> None:
    machine = Machine(tmp_path, V2.format(root="/"), "0::/\n")
    machine.group("", cpu__max=text, memory__max=text or "x", cpu__stat=text, cpuset__cpus__effective="a-b")
    limits = machine.limits(of_machine=True)
    assert limits.cores() is None
    assert limits.memory_bytes(8 * GB) == (100_000 if text == "100000" else None)
    assert limits.cpu_used_s() is None


@pytest.mark.parametrize(
    ("mounts", "paths"),
    [("nonsense\n", "0::/\n"), (V2.format(root="/"), "nonsense\n"), ("", ""), ("\n", "\n")],
)
def test_a_system_that_tells_nothing_of_groups_has_no_limits(tmp_path: Path, mounts: str, paths: str) -> None:
    machine = Machine(tmp_path, mounts, paths)
    assert Hierarchies(root=tmp_path).groups("cpu") == [] or machine.limits().cores() is None
    assert Hierarchies(root=tmp_path / "nowhere").groups("cpu") == []


def test_without_its_usage_a_containers_cpu_is_the_machines(tmp_path: Path) -> None:
    machine = Machine(tmp_path, V2.format(root="/"), "0::/\n")
    machine.group("", cpu__max="100000 100000", memory__max=GB)
    probe = CpuProbe(psutil, machine.limits(of_machine=True))
    assert probe.read() == {"cpu_percent": None}
    assert MemoryProbe(_memory(8 * GB), machine.limits()).read()["memory_total_bytes"] == 8 * GB


def test_a_limit_that_is_changed_holds_from_the_next_minute_on(tmp_path: Path) -> None:
    machine, clock = container(tmp_path), Clock()
    limits = machine.limits(of_machine=True, clock=clock)
    assert limits.cores() == 1.5
    machine.group("", cpu__max="300000 100000")
    clock.now_s = 59.0
    assert limits.cores() == 1.5  # the files are not read each time
    clock.now_s = 60.0
    assert limits.cores() == 3.0


def test_a_robots_share_is_of_what_its_groups_leave_to_it(tmp_path: Path) -> None:
    machine, clock = Machine(tmp_path, V2.format(root="/"), "0::/robot\n"), Clock()
    machine.group("/robot", cpu__max="50000 100000", memory__max=GB)
    probe = ProcessProbe(limits=machine.limits(), clock=clock)
    before_s = sum(psutil.Process().cpu_times()[:4])
    probe.read()
    clock.now_s = 1.0
    values = probe.read()
    used_s = sum(psutil.Process().cpu_times()[:4]) - before_s
    assert values["memory_total_bytes"] == GB
    percent = values["cpu_percent"]
    assert percent is not None
    assert percent <= min(100.0, 200 * (used_s + 0.02))  # of half a core


def test_a_name_with_a_blank_in_it_is_found(tmp_path: Path) -> None:
    mounts = r"31 23 0:28 / /sys/fs/my\040groups rw - cgroup2 cgroup2 rw" + "\n"
    machine = Machine(tmp_path, mounts, "0::/a b\n")
    machine.write("sys/fs/my groups/a b/cpu.max", "100000 100000")
    assert machine.limits().cores() == 1.0


@pytest.mark.skipif(not Path("/proc/self/cgroup").exists(), reason="this system has no control groups")
def test_this_systems_own_groups_are_found_and_are_there() -> None:
    for controller in ("cpu", "memory"):
        for group in Hierarchies().groups(controller):
            assert group.folder.is_dir() or not Path("/sys/fs/cgroup").exists()
    limits = Limits()
    assert (limits.cores() or 1.0) > 0


# --- the processes below one -------------------------------------------------------------------------

# A robot with one child, which has a child, and another child that was started by another thread.
FAMILY = """
import subprocess, sys, threading
WAIT = "import sys; sys.stdin.read()"
START = f"import subprocess, sys; subprocess.Popen([sys.executable, '-c', {WAIT!r}])"
PARENT = f"{START}; print(flush=True); {WAIT}"
def start(script):
    return subprocess.Popen([sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
first = start(PARENT)
first.stdout.readline()
others = []
began = threading.Event()
threading.Thread(
    target=lambda: (others.append(start(WAIT)), began.set(), threading.Event().wait()), daemon=True
).start()
began.wait()
print("ready", flush=True)
sys.stdin.read()
"""


@pytest.mark.skipif(
    not Path(f"/proc/self/task/{os.getpid()}/children").exists(), reason="Linux tells children"
)
def test_children_are_those_that_psutil_finds_also_of_other_threads() -> None:
    with subprocess.Popen(
        [sys.executable, "-c", FAMILY], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as robot:
        try:
            assert robot.stdout is not None
            assert robot.stdout.readline() == "ready\n"
            root = psutil.Process(robot.pid)
            found = {process.pid for process in tree_of(root, psutil)}
            assert found == {robot.pid, *(process.pid for process in root.children(recursive=True))}
            assert len(found) == 4
        finally:
            robot.kill()  # the others end when their input does


def test_where_the_system_does_not_tell_children_psutil_does(tmp_path: Path) -> None:
    class Root:
        pid = 1

        def children(self, *, recursive: bool) -> list[str]:
            return ["child"]

    root = Root()
    assert tree_of(root, psutil, proc=str(tmp_path)) == [root, "child"]


def test_a_child_that_ends_while_it_is_looked_at_is_left_out(tmp_path: Path) -> None:
    (tmp_path / "1/task/1").mkdir(parents=True)
    (tmp_path / "1/task/1/children").write_text("2 3 ")

    class Root:
        pid = 1

    fake = ModuleType("psutil")
    fake.NoSuchProcess = psutil.NoSuchProcess  # type: ignore[attr-defined]  # a module takes any name

    def process(pid: int) -> str:
        if pid == 2:
            raise psutil.NoSuchProcess(pid)
        return "the other one"

    fake.Process = process  # type: ignore[attr-defined]  # as above
    root = Root()
    assert tree_of(root, fake, proc=str(tmp_path)) == [root, "the other one"]


def _no_cpu_times() -> ModuleType:
    """The machine's own times must not be asked for."""
    return ModuleType("psutil")


def _memory(total: int) -> ModuleType:
    fake = ModuleType("psutil")
    said = namedtuple("memory", "total available")(total, total // 2)
    fake.virtual_memory = lambda: said  # type: ignore[attr-defined]  # a module takes any name
    return fake
