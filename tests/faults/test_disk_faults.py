"""Disks that are full, that fail, and files that may not grow, for real: the robot does not notice.

Where strace is installed, each system call of a small robot and its forwarder fails in turn, and the
process is killed in each. After every fault each accepted row is in the database once or counted as
dropped, the robot has said and returned what it would have anyway, and a fresh row arrives.
"""

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path

import pytest
from sqlalchemy import text

from analytics_lib.store import TimeSeriesStore
from tests.faults.leaking_robot import STEPS
from tests.faults.numbered_rows import rows_in_database
from tests.faults.robots import EXIT_CODE, Place, Process, Robots, drain, verdict_on, what_is_left
from tests.faults.tally import DROPPED, GO, READY, RETURNED

pytest.importorskip("resource", reason="limits, mounts and strace: POSIX only")

# What a call is called depends on the machine's architecture; a "?" lets a name be unknown.
CALLS = {
    "unlink": "?unlink,?unlinkat",
    "mkdir": "?mkdir,?mkdirat",
    "rmdir": "?rmdir",
}
SCRIPT_ROWS = 25
SMALL = {"segment_bytes": 2_000}  # several of them are begun, shipped and removed
SCRIPT_SAYS = "row 3\nrow 9\nrow 15\nrow 21\ndone\n"
ATTACH_SEC = 20.0


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TimeSeriesStore]:
    """One for all: each robot has a name of its own, and it takes long to make one."""
    with TimeSeriesStore(str(tmp_path_factory.mktemp("store"))) as opened:
        yield opened


@pytest.fixture
def place(tmp_path: Path, store: TimeSeriesStore) -> Place:
    return Place(tmp_path, tmp_path / "spool", str(store.location))


def complaints_after(robots: Robots, place: Place, store: TimeSeriesStore, robot: Process) -> list[str]:
    """The fault has stopped: a fresh robot records, a fresh forwarder ships all that there is."""
    fresh = robots.start("robot", place, f"{robot.name}fresh", rows=3, mode="durable")
    assert fresh.wait() == EXIT_CODE
    drain(place, store)
    found = list(rows_in_database(store.engine, f"{robot.name}%"))
    return verdict_on([robot, fresh], found).complaints


# -- each system call, by strace ----------------------------------------------------------------------

needs_strace = pytest.mark.skipif(shutil.which("strace") is None, reason="strace is not installed")


def run_with_fault(
    robots: Robots, place: Place, name: str, fault: str, **request: object
) -> tuple[Process, bool]:
    """The scripted robot with a fault injected by strace; and whether it came to that."""
    robot = robots.start(
        "scripted robot", place, name, rows=SCRIPT_ROWS, mode="durable", limits=SMALL, **request
    )
    robot.tally.wait_for(READY)
    log = place.folder / f"{name}.strace"
    call, _, how = fault.partition(":")
    calls = CALLS.get(call, call)
    command = ["strace", "-f", "-q", "-o", str(log), "-e", f"trace={calls}", "-e", f"inject={calls}:{how}"]
    strace = subprocess.Popen([*command, "-p", str(robot.pid)], stderr=subprocess.PIPE, text=True)
    give_up_s = time.monotonic() + ATTACH_SEC
    while "TracerPid:\t0\n" in Path(f"/proc/{robot.pid}/status").read_text():
        if strace.poll() is not None or time.monotonic() > give_up_s:
            robot.kill()
            pytest.skip(f"strace may not look into other processes here: {strace.communicate()[1]}")
        time.sleep(0.002)
    robot.tally[GO] = 1
    robot.wait()
    strace.communicate(timeout=ATTACH_SEC)
    text = log.read_text()
    return robot, "(INJECTED)" in text or "killed by SIGKILL" in text


def complaints_with_fault(
    robots: Robots, place: Place, store: TimeSeriesStore, name: str, fault: str, **request: object
) -> tuple[list[str], bool]:
    """What is not as it should be after the fault, and whether it came to that."""
    robot, has_happened = run_with_fault(robots, place, name, fault, **request)
    complaints = complaints_after(robots, place, store, robot)
    said, errors = robot.stdout.read_text(), robot.stderr.read_text()
    if robot.wait() != -9 or "SIGKILL" not in fault:
        if robot.wait() != EXIT_CODE:
            complaints.append(f"exit code {robot.wait()}")
        if said != SCRIPT_SAYS:
            complaints.append(f"it said {said!r}")
    if errors:
        complaints.append(f"on stderr: {errors}")
    return complaints, has_happened


# A fault in the 3rd call alone, or from the 3rd on.
SAMPLE = (
    "write:error=ENOSPC:when=3",
    "write:error=ENOSPC:when=9+",
    "write:error=EIO:when=1+",
    "write:signal=SIGKILL:when=12",
    "fsync:error=EIO:when=1+",
    "fsync:signal=SIGKILL:when=2",
    "openat:error=EMFILE:when=5",
    "openat:signal=SIGKILL:when=40",
    "pwrite64:error=ENOSPC:when=20",
    "unlink:error=EACCES:when=1+",
)


@needs_strace
@pytest.mark.parametrize("fault", SAMPLE)
def test_a_failing_system_call_loses_nothing_and_disturbs_nobody(
    robots: Robots, place: Place, store: TimeSeriesStore, fault: str
) -> None:
    complaints, has_happened = complaints_with_fault(robots, place, store, f"{fault}!", fault)
    assert complaints == []
    assert has_happened


@needs_strace
def test_control_a_journal_that_ignores_a_failed_write_loses_rows(
    robots: Robots, place: Place, store: TimeSeriesStore
) -> None:
    complaints, _ = complaints_with_fault(
        robots, place, store, "control!", "write:error=EIO:when=9", control="forget_what_the_disk_refuses"
    )
    assert any("lost" in complaint for complaint in complaints)


# In the n-th such call, "+": and in every later one. Those of the spool, the store and what is around them:
# the interpreter's own are over by then.
KILL = "signal=SIGKILL"
FULL = {
    "write": ("error=ENOSPC", "error=ENOSPC+", "error=EIO", "error=EIO+", KILL),
    "fsync": ("error=EIO", "error=EIO+", KILL),
    "fdatasync": ("error=EIO", "error=EIO+", KILL),
    "pwrite64": ("error=ENOSPC", KILL),
    "unlink": ("error=EACCES", "error=EACCES+", KILL),
    "mkdir": ("error=ENOSPC", "error=ENOSPC+", KILL),
    "rmdir": ("error=EACCES", KILL),
    "openat": ("error=EMFILE", "error=EMFILE+", KILL),
    "flock": ("error=ENOLCK", "error=ENOLCK+"),
    "getdents64": ("error=EIO", KILL),
    "lseek": ("error=EIO",),
    "read": ("error=EIO",),
    "close": ("error=EIO",),
}


@needs_strace
@pytest.mark.full_faults
@pytest.mark.parametrize("call", FULL)
def test_each_system_call_fails_or_is_the_last_one(
    robots: Robots,
    tmp_path: Path,
    store: TimeSeriesStore,
    call: str,
    record_property: Callable[[str, object], None],
) -> None:
    """For every n that there is: an error in the n-th, errors from the n-th on, death in the n-th."""
    tried, complaints = 0, []
    for how in FULL[call]:
        for n in count(1):
            fault = f"{call}:{how.rstrip('+')}:when={n}{'+' if how.endswith('+') else ''}"
            (tmp_path / fault).mkdir()
            place = Place(tmp_path / fault, tmp_path / fault / "spool", str(store.location))
            found, has_happened = complaints_with_fault(robots, place, store, f"{fault}!", fault)
            complaints += [f"{fault}: {complaint}" for complaint in found]
            if not has_happened:
                break
            tried += 1
    record_property("ran", f"{tried} faults in {call}, {len(complaints)} complaints")
    assert complaints == []
    assert tried


# -- a full disk --------------------------------------------------------------------------------------


@pytest.fixture
def small_disk(place: Place) -> Iterator[Path]:
    """A file system of 512 KB, mounted on the spool's folder."""
    disk = place.spool
    disk.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=512k,mode=700", "rpa-faults", str(disk)]
    if shutil.which("mount") is None or subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("a file system can be mounted by root only")
    yield disk
    subprocess.run(["umount", "--lazy", str(disk)], check=True)


def fill(disk: Path) -> Path:
    """A file that takes all that is left."""
    filler = disk.parent / disk.name / "filler"
    with filler.open("wb", buffering=0) as file:
        for size in (4096, 1):
            try:
                while True:
                    file.write(bytes(size))
            except OSError:
                continue
    return filler


def test_rows_wait_while_the_disk_is_full_and_arrive_when_it_is_not(
    robots: Robots, place: Place, store: TimeSeriesStore, small_disk: Path
) -> None:
    robot = robots.start(
        "robot", place, "waits!", mode="durable", rows=1200, rows_per_sec=1500, flush_interval_sec=0.1
    )
    robot.tally.wait_for(RETURNED, 300)
    filler = fill(small_disk)
    robot.tally.wait_for(RETURNED, 700)
    filler.unlink()
    assert robot.wait() == EXIT_CODE
    assert complaints_after(robots, place, store, robot) == []
    assert robot.tally[DROPPED] == 0
    assert robot.stderr.read_text() == ""


def test_what_a_disk_that_stays_full_does_not_take_is_counted(
    robots: Robots, place: Place, store: TimeSeriesStore, small_disk: Path
) -> None:
    robot = robots.start("robot", place, "full!", mode="durable", rows=4000, flush_interval_sec=0.1)
    assert robot.wait() == EXIT_CODE
    assert robot.tally[DROPPED] > 1000
    # It filled the disk by itself: shipping it must need no room.
    drain(place, store)
    assert complaints_after(robots, place, store, robot) == []
    assert what_is_left(place.spool) == []


def test_files_that_may_not_grow_are_followed_by_others(
    robots: Robots, place: Place, store: TimeSeriesStore
) -> None:
    robot = robots.start("robot", place, "limited!", mode="durable", rows=1000, largest_file_bytes=50_000)
    assert robot.wait() == EXIT_CODE
    assert complaints_after(robots, place, store, robot) == []
    assert robot.stderr.read_text() == ""


@pytest.mark.parametrize("who_ships", ["daemon", "alone"])
def test_a_robot_that_has_no_file_descriptor_left_goes_on(
    place: Place, store: TimeSeriesStore, who_ships: str
) -> None:
    robot = subprocess.run(
        [sys.executable, "-m", "tests.faults.leaking_robot", str(place.spool), who_ships, who_ships],
        cwd=Path(__file__).parents[2],
        env=os.environ | {"RPA_AGENT_STATE": str(place.folder / "state")},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert (robot.stderr, robot.stdout, robot.returncode) == ("", "I have no file left\n", EXIT_CODE)
    drain(place, store)
    with store.engine.connect() as connection:
        query = text("SELECT step_id FROM step_metrics WHERE execution_id = :id")
        found = list(connection.execute(query, {"id": who_ships}).scalars())
    assert sorted(found) == sorted(f"step {number}" for number in range(STEPS))
