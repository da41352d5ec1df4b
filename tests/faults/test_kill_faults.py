"""Robots and the daemon killed by SIGKILL at random moments: nothing that was recorded durably is lost.

In durable mode every row whose call had returned is in the database once, in memory mode all but those
of the last flush interval. The quick tests kill a few; the full ones (`make bench-faults`) 200 and more,
over a million rows. Each promise has a negative control: with its protection removed it must not hold.
"""

import random
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import NamedTuple

import pytest

from analytics_lib.store import TimeSeriesStore
from tests.faults.invariant import Verdict
from tests.faults.numbered_rows import Row, rows_in_database
from tests.faults.robots import EXIT_CODE, Place, Process, Robots, drain, verdict_on
from tests.faults.tally import RETURNED

pytest.importorskip("resource", reason="kills by signals: POSIX only")
INTERVAL_SEC = 0.25  # between two flushes
Ran = Callable[[str, object], None]


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place.within(tmp_path)


def after_a_fresh_row(
    robots: Robots, place: Place, killed: list[Process], mode: str = "durable", prefix: str = ""
) -> Verdict:
    """The faults have stopped: a fresh robot records, a fresh forwarder ships all that there is."""
    fresh = robots.start("robot", place, f"{prefix}fresh", rows=5, mode=mode)
    assert fresh.wait() == EXIT_CODE
    with TimeSeriesStore(place.store) as store:
        if mode != "memory":
            drain(place, store)
        return verdict_on([*killed, fresh], list(rows_in_database(store.engine, f"{prefix}%")))


# -- durable ------------------------------------------------------------------------------------------


@dataclass
class Kills:
    """The robots that were killed, and how many processes in all."""

    robots: list[Process] = field(default_factory=list)
    number: int = 0

    def kill(self, process: Process) -> None:
        assert process.kill() == -9, f"it had ended before: {process.stderr.read_text()}"
        self.number += 1


def kill_at_random(
    robots: Robots, place: Place, seed: int, kills: int, *, longest_sec: float, prefix: str = ""
) -> Kills:
    """Two robots and a daemon at work; each time one of them is killed and replaced. Then the robots are
    gone, and the daemon is killed some more times while it ships what they left."""
    choose = random.Random(seed)  # noqa: S311  # not for secrets
    names = (f"{prefix}{n}" for n in count())
    killed = Kills()

    def start(do: str) -> Process:
        return robots.start(do, place, next(names), mode="durable", flush_interval_sec=INTERVAL_SEC)

    daemon, recording = start("daemon"), [start("robot"), start("robot")]
    for _ in range(kills):
        victim = choose.choice(recording)
        victim.tally.wait_for(RETURNED)
        time.sleep(choose.uniform(0.0, longest_sec))
        if choose.random() < 0.4:
            killed.kill(daemon)
            daemon = start("daemon")
        else:
            killed.kill(victim)
            killed.robots.append(victim)
            recording[recording.index(victim)] = start("robot")
    for robot in recording:
        robot.tally.wait_for(RETURNED)
        killed.kill(robot)
        killed.robots.append(robot)
    for _ in range(kills // 4):
        time.sleep(choose.uniform(0.0, 2 * longest_sec))
        killed.kill(daemon)
        daemon = start("daemon")
    killed.kill(daemon)
    return killed


def test_whoever_is_killed_what_was_recorded_durably_arrives_once(robots: Robots, place: Place) -> None:
    killed = kill_at_random(robots, place, seed=1, kills=2, longest_sec=0.1)
    verdict = after_a_fresh_row(robots, place, killed.robots)
    assert verdict.complaints == []
    assert verdict.accepted > 100


def test_a_robot_without_a_daemon_that_is_killed_leaves_its_rows_to_the_next(
    robots: Robots, place: Place
) -> None:
    killed = robots.start("robot", place, "robot", mode="alone", flush_interval_sec=INTERVAL_SEC)
    killed.tally.wait_for(RETURNED, 500)
    assert killed.kill() == -9
    assert after_a_fresh_row(robots, place, [killed], "alone").complaints == []


def test_control_a_journal_that_queues_in_the_robot_loses_rows(robots: Robots, place: Place) -> None:
    killed = robots.start("robot", place, "robot", mode="durable", control="queue_until_sync")
    killed.tally.wait_for(RETURNED, 100)
    killed.kill()
    assert after_a_fresh_row(robots, place, [killed]).lost


def test_control_a_forwarder_that_acknowledges_before_the_commit_loses_rows(
    robots: Robots, place: Place
) -> None:
    robot = robots.start("robot", place, "robot", rows=500, mode="durable")
    assert robot.wait() == EXIT_CODE
    daemon = robots.start("daemon", place, "daemon", control="acknowledge_before_the_commit")
    give_up_s = time.monotonic() + 10
    while list(place.spool.glob("[!.]*/*.seg")) and time.monotonic() < give_up_s:
        time.sleep(0.01)
    daemon.kill()
    assert after_a_fresh_row(robots, place, [robot]).lost


# -- memory -------------------------------------------------------------------------------------------


class Killed:
    """A robot that recorded in memory until it was killed, and how old the oldest of its lost rows was."""

    def __init__(
        self, robots: Robots, place: Place, name: str, rows_per_sec: int, interval_sec: float
    ) -> None:
        self.process = robots.start(
            "robot",
            place,
            name,
            mode="memory",
            moments=True,
            rows=20_000,
            rows_per_sec=rows_per_sec,
            flush_interval_sec=interval_sec,
        )
        self._killed_ns = 0

    def kill(self) -> None:
        self._killed_ns = time.monotonic_ns()
        assert self.process.kill() == -9, self.process.stderr.read_text()

    def oldest_lost_sec(self, lost: list[Row]) -> float:
        numbers = sorted(number for robot, number in lost if robot == self.process.name)
        # What is lost is the end of it, without a hole.
        assert numbers == list(range(self.process.returned - len(numbers), self.process.returned))
        return (self._killed_ns - self.process.tally.moments[numbers[0]]) / 1e9 if numbers else 0.0


class Loss(NamedTuple):
    """What robots that recorded in memory have lost, and how old the oldest of it was when they died."""

    accepted: int
    lost: int
    oldest_sec: float


def loss_of(
    robots: Robots, place: Place, pauses_sec: list[float], rows_per_sec: int, interval_sec: float
) -> Loss:
    """Kills as many robots as there are pauses, each so long after its first row."""
    recording = [
        Killed(robots, place, f"robot.{n}", rows_per_sec, interval_sec) for n in range(len(pauses_sec))
    ]
    waited_sec = 0.0
    for killed, pause_sec in sorted(zip(recording, pauses_sec, strict=True), key=lambda pair: pair[1]):
        killed.process.tally.wait_for(RETURNED)
        time.sleep(pause_sec - waited_sec)
        waited_sec = pause_sec
        killed.kill()
    verdict = after_a_fresh_row(robots, place, [killed.process for killed in recording], "memory")
    assert verdict.doubled == verdict.invented == []
    oldest_sec = max(killed.oldest_lost_sec(verdict.lost) for killed in recording)
    return Loss(verdict.accepted, len(verdict.lost), oldest_sec)


# What else may pass: the time that a flush takes, and that a busy machine lets its thread wait.
PATIENCE_SEC = 1.0


def test_recorded_in_memory_only_the_last_interval_is_lost(robots: Robots, place: Place) -> None:
    loss = loss_of(robots, place, [0.4, 0.6], 1500, INTERVAL_SEC)
    assert loss.oldest_sec <= INTERVAL_SEC + PATIENCE_SEC


def test_control_a_flush_that_does_not_come_loses_more(robots: Robots, place: Place) -> None:
    assert loss_of(robots, place, [1.4], 100, 60.0).oldest_sec > INTERVAL_SEC + PATIENCE_SEC


# -- in full ------------------------------------------------------------------------------------------

FULL_KILLS = 80  # at least, in each of the tests below
FULL_ROWS = 500_000  # at least, of the durable ones


class Sum:
    """What the rounds of a full test came to."""

    def __init__(self) -> None:
        self.kills = self.daemons = self.accepted = self.lost = self.doubled = self.invented = 0

    def add(self, verdict: Verdict, kills: int, daemons: int = 0) -> None:
        self.kills += kills
        self.daemons += daemons
        self.accepted += verdict.accepted
        self.lost += len(verdict.lost)
        self.doubled += len(verdict.doubled)
        self.invented += len(verdict.invented)

    def __str__(self) -> str:
        return (
            f"{self.kills} kills ({self.daemons} of the daemon), {self.accepted:,} rows accepted, "
            f"{self.lost:,} lost, "
            f"{self.doubled} doubled, {self.invented} invented"
        )


@pytest.fixture(params=["sqlite", "postgres"])
def full_place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    store = str(tmp_path / "store")
    if request.param == "postgres":
        store = request.getfixturevalue("postgres_location")
    return Place(tmp_path, tmp_path / "spool", store)


@pytest.mark.full_faults
def test_many_kills_of_robots_and_daemon_lose_nothing(
    robots: Robots, full_place: Place, record_property: Ran
) -> None:
    ran = Sum()
    for seed in range(1000):
        if ran.kills >= FULL_KILLS and ran.accepted >= FULL_ROWS:
            break
        place = full_place.apart(str(seed))
        killed = kill_at_random(robots, place, seed, kills=12, longest_sec=0.3, prefix=f"{seed}-")
        verdict = after_a_fresh_row(robots, place, killed.robots, prefix=f"{seed}-")
        ran.add(verdict, killed.number, killed.number - len(killed.robots))
        assert verdict.complaints == [], f"round {seed}"
    record_property("ran", str(ran))


@pytest.mark.full_faults
def test_many_kills_of_robots_that_ship_themselves_lose_nothing(
    robots: Robots, full_place: Place, record_property: Ran
) -> None:
    ran = Sum()
    choose = random.Random(2)  # noqa: S311  # not for secrets
    for number in range(FULL_KILLS // 4):
        place = full_place.apart(str(number))
        names = [f"{number}-robot.{n}" for n in range(4)]
        recording = [robots.start("robot", place, name, mode="alone", rows_per_sec=2000) for name in names]
        for robot in recording:
            robot.tally.wait_for(RETURNED)
            time.sleep(choose.uniform(0.0, 0.4))
            assert robot.kill() == -9, robot.stderr.read_text()
        verdict = after_a_fresh_row(robots, place, recording, prefix=f"{number}-")
        ran.add(verdict, kills=4)
        assert verdict.complaints == [], f"round {number}"
    record_property("ran", str(ran))


@pytest.mark.full_faults
def test_many_kills_of_robots_that_record_in_memory_lose_an_interval_at_most(
    robots: Robots, tmp_path: Path, record_property: Ran
) -> None:
    choose = random.Random(3)  # noqa: S311  # not for secrets
    losses = []
    for n in range(FULL_KILLS // 4):
        (tmp_path / str(n)).mkdir()
        place = Place.within(tmp_path / str(n))
        pauses_sec = [choose.uniform(0.0, 1.0) for _ in range(4)]
        losses.append(loss_of(robots, place, pauses_sec, 1000, INTERVAL_SEC))
        assert losses[-1].oldest_sec <= INTERVAL_SEC + PATIENCE_SEC
    accepted, lost = (sum(numbers) for numbers in list(zip(*losses, strict=True))[:2])
    record_property(
        "ran",
        f"{4 * len(losses)} kills, {accepted:,} rows accepted, {lost:,} lost with flushes every "
        f"{INTERVAL_SEC} s, the oldest {max(loss.oldest_sec for loss in losses):.2f} s before its robot was "
        "killed; 0 doubled, 0 invented",
    )
