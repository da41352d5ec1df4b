"""Following logs of UiPath robots: nothing read twice, nothing missed, whatever happens to files and to us.

A disk on which a robot writes, and everything that may happen to its logs, is acted out at random; what was
delivered in the end is compared with what one reading of all the lines in their order makes.
"""

import json
import os
import random
import shutil
import stat
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from analytics_lib.store import TimeSeriesStore
from collector_agent.importers import uipath_follow
from collector_agent.importers.lines import HEAD_BYTES
from collector_agent.importers.plain_rows import Row
from collector_agent.importers.uipath_follow import UiPathFollower
from collector_agent.importers.uipath_log import run_import
from collector_agent.importers.uipath_positions import Position, Positions
from collector_agent.importers.uipath_runs import UiPathRuns
from tests.collector_agent.uipath_robot import START, Robot, day_lines, guid

QUICK_ROUNDS = 60
FULL_ROUNDS = 1_000
STEPS = 14  # things that happen in a round
SOON = START + timedelta(minutes=10)  # before any run counts as silent


class KilledError(BaseException):
    """Our process ends here; nothing that it still meant to do is done."""


class Disk:
    """A folder in which a robot writes its logs; `lines` is every whole line, in the order of writing."""

    def __init__(self, folder: Path, dice: random.Random) -> None:
        self.folder = folder
        folder.mkdir()
        self.lines: list[str] = []
        self._dice = dice
        self._robot = Robot(moment=START + timedelta(days=dice.randrange(300)))
        self._half = b""
        self._whole_half = ""
        self._numbers = iter(range(10**9))
        self._ends = [b"\n", b"\r\n"][dice.randrange(2)]
        self._mark = b"\xef\xbb\xbf" if dice.random() < 0.3 else b""
        self._archived = 0

    @property
    def path(self) -> Path:
        return self.folder / f"{self._robot.moment:%Y-%m-%d}_Execution.log"

    def _next_line(self) -> str:
        """Nearly every line makes a row of its own, and its step_seq says when it was read."""
        number = next(self._numbers)
        if not self._robot.job or self._dice.random() < 0.05:
            return self._robot.start(guid(number))
        if self._dice.random() < 0.05:
            return self._robot.end()
        if self._dice.random() < 0.1:
            return self._robot.activity("Pay", self._dice.choice(["Executing", "Closed"]))
        return self._robot.transaction(number, "Successful")

    def _append(self, data: bytes) -> None:
        path = self.path
        if not path.exists():
            data = self._mark + data
        with path.open("ab") as file:
            file.write(data)

    def write(self) -> None:
        self.finish_half()
        for _ in range(self._dice.randrange(1, 12)):
            line = self._next_line()
            self.lines.append(line)
            self._append(line.encode() + self._ends)

    def write_half(self) -> None:
        self.finish_half()
        line = self._next_line()
        data = line.encode() + self._ends
        cut = self._dice.randrange(1, len(data))
        self._append(data[:cut])
        self._half, self._whole_half = data[cut:], line

    def finish_half(self) -> None:
        if self._half:
            self._append(self._half)
            self.lines.append(self._whole_half)
            self._half = b""

    def be_killed(self) -> None:
        """The robot is, in the middle of a line; the next one goes on behind what it left."""
        if self._half:
            if self._half.strip():
                self._half = b""  # never to be whole
            else:
                self.finish_half()

    def turn_midnight(self) -> None:
        self.finish_half()
        self._robot.moment += timedelta(days=1)

    def archive(self, how: str) -> None:
        """The log is renamed, moved to another volume, or copied and emptied; a new one begins."""
        self.finish_half()
        path = self.path
        if not path.exists():
            return
        self._archived += 1
        target = path.with_name(f"{path.stem}.{self._archived}.log")
        if how == "rename":
            path.rename(target)
        else:
            shutil.copy2(path, target)
            if how == "truncate":
                os.truncate(path, 0)
            else:
                path.unlink()

    def delete_old(self) -> None:
        """Everything that was read is gone; new files may get the old numbers."""
        if not self._half:
            for path in self.folder.glob("*.log"):
                path.unlink()

    def is_read(self, follower: UiPathFollower) -> bool:
        return not self._half and not follower.poll().has_more


class Story:
    """One round: a disk, a follower with what it delivers, and what may befall both."""

    def __init__(self, folder: Path, seed: int) -> None:
        self.dice = random.Random(seed)  # noqa: S311  # no secrets
        folder.mkdir()
        self.disk = Disk(folder / "logs", self.dice)
        self._state_file = folder / "state" / "uipath.json"
        self.delivered: list[Row] = []
        self.safe: set[Row] = set()  # delivered, and the position behind them was saved
        self._unsafe: list[Row] = []  # delivered since
        self.read_twice = 0
        self.happened: Counter[str] = Counter()
        self._fate = ""
        self.follower = self._new()

    def _new(self) -> UiPathFollower:
        self._unsafe.clear()
        now = START  # no run is judged silent: that is another test
        return UiPathFollower(
            self.disk.folder,
            self._state_file,
            self._deliver,
            poll_bytes=self.dice.choice([3_000, 1 << 20]),
            now=lambda: now,
        )

    def _deliver(self, rows: list[Row]) -> None:
        if self._fate == "refused" and self.dice.random() < 0.7:
            self._unsafe.clear()
            raise OSError("the store is away")
        if self._fate == "killed before" and self.dice.random() < 0.5:
            raise KilledError
        self.delivered += rows
        self._unsafe += rows
        self.read_twice += sum(row in self.safe for row in rows)
        if self._fate == "killed after" and self.dice.random() < 0.5:
            raise KilledError

    def save(self, path: Path, content: object, real: Callable[[Path, object], None]) -> None:
        if self._fate == "killed saving" and self.dice.random() < 0.5:
            raise KilledError
        real(path, content)
        self.safe.update(self._unsafe)
        self._unsafe.clear()
        if self._fate == "killed saved" and self.dice.random() < 0.5:
            raise KilledError

    def poll(self, fate: str = "") -> None:
        self._fate = fate
        try:
            self.follower.poll()
        except KilledError:
            self.happened["kills"] += 1
            self.follower = self._new()
        self._fate = ""

    def happen(self) -> None:
        disk, choice = self.disk, self.dice.random()
        if choice < 0.3:
            disk.write()
        elif choice < 0.4:
            disk.write_half()
        elif choice < 0.45:
            disk.be_killed()
        elif choice < 0.5:
            disk.turn_midnight()
            self.happened["rotations"] += 1
        elif choice < 0.65:
            disk.archive(self.dice.choice(["rename", "move", "truncate"]))
            self.happened["rotations"] += 1
        elif choice < 0.7:
            if disk.is_read(self.follower):
                disk.delete_old()
                self.happened["rotations"] += 1
        elif choice < 0.75:
            self.follower = self._new()
            self.happened["restarts"] += 1
        elif choice < 0.85:
            self.poll()
        else:
            fates = ["refused", "killed before", "killed after", "killed saving", "killed saved"]
            self.poll(self.dice.choice(fates))

    def end(self) -> str:
        """What is wrong in the end; '' for nothing."""
        self.disk.write()
        for _ in range(1_000):
            if not self.follower.poll().has_more:
                break
        expected = expected_rows(self.disk.lines)
        found = {row[1]: row for row in self.delivered}
        keys = Counter(map(key_of, found.values()))
        if self.read_twice:
            return f"{self.read_twice} rows came again although their position was saved"
        if any(n > 1 for n in keys.values()):
            return "a key came with two contents"
        if set(found) != {row[1] for row in expected}:
            missed = sum(row[1] not in found for row in expected)
            return f"{missed} rows missed, {len(found) + missed - len(expected)} that should not be"
        return ""


def key_of(row: Row) -> tuple[Any, ...]:
    kind, values = row
    named = dict(zip(uipath_fields(kind), values, strict=True))
    return kind, *(named.get(name) for name in ("execution_id", "recorder_id", "step_seq"))


def uipath_fields(kind: str) -> tuple[str, ...]:
    from analytics_lib.record_values import FIELDS

    return FIELDS[kind]


def expected_rows(lines: list[str]) -> list[Row]:
    runs = UiPathRuns()
    for line in lines:
        runs.take(json.loads(line[line.index("{") :]))
    return runs.ready


@pytest.fixture
def play(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[int], list[str]]]:
    """Plays so many rounds; gives what went wrong in them."""
    playing: list[Story] = []
    real = uipath_follow.replace_private
    monkeypatch.setattr(
        uipath_follow, "replace_private", lambda path, content: playing[-1].save(path, content, real)
    )
    monkeypatch.setattr("collector_agent.importers.lines.BLOCK_BYTES", 1_500)
    monkeypatch.setattr(uipath_follow, "BATCH_ROWS", 4)
    happened: Counter[str] = Counter()

    def play_rounds(rounds: int) -> list[str]:
        wrong = []
        for seed in range(rounds):
            playing.append(story := Story(tmp_path / f"round-{seed}", seed))
            for _ in range(STEPS):
                story.happen()
            if problem := story.end():
                wrong.append(f"round {seed}: {problem}")
            happened.update(story.happened)
            shutil.rmtree(tmp_path / f"round-{seed}")
        return wrong

    yield play_rounds
    print(dict(happened))


def test_nothing_is_read_twice_or_missed(play: Callable[[int], list[str]]) -> None:
    assert play(QUICK_ROUNDS) == []


@pytest.mark.full_faults
def test_nothing_is_read_twice_or_missed_at_length(play: Callable[[int], list[str]]) -> None:
    assert play(FULL_ROUNDS) == []


def test_without_a_look_at_the_first_bytes_the_same_rounds_go_wrong(
    play: Callable[[int], list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Position, "fits", lambda self, head, size: size >= self.offset)
    assert len(play(QUICK_ROUNDS // 3)) > 2


def test_with_the_position_saved_before_the_rows_are_delivered_rows_are_missed(
    play: Callable[[int], list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    real = UiPathFollower._commit

    def commit(self: UiPathFollower) -> None:
        if self._has_news:
            ready, self._runs.ready = self._runs.ready, []
            self._committed = self._state()
            self._save()
            self._runs.ready = ready
        real(self)

    monkeypatch.setattr(UiPathFollower, "_commit", commit)
    assert any("missed" in problem for problem in play(QUICK_ROUNDS // 3))


FOLLOW = """
import sys
from pathlib import Path
from analytics_lib.store import TimeSeriesStore
from collector_agent.importers.uipath_follow import UiPathFollower
logs, state, store = sys.argv[1:]
with TimeSeriesStore(store) as opened:
    follower = UiPathFollower(logs, Path(state), opened.write_values, poll_bytes=20_000)
    while True:
        polled = follower.poll()
        if not (polled.has_more or polled.events):
            print("idle", flush=True)
"""


@pytest.mark.full_faults
def test_real_processes_that_are_killed_lose_and_double_nothing(
    tmp_path: Path,
) -> None:
    dice = random.Random(3)  # noqa: S311  # no secrets
    lines, at = day_lines(800, seed=3), 0
    logs = tmp_path / "logs"
    logs.mkdir()
    current, kills = logs / "2024-03-01_Execution.log", 0
    command = [sys.executable, "-c", FOLLOW, str(logs), str(tmp_path / "state.json"), str(tmp_path / "store")]
    while at < len(lines):
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        for _ in range(dice.randrange(3, 30)):
            more = lines[at : at + dice.randrange(1, 100)]
            if not more:
                break
            at += len(more)
            with current.open("a", encoding="utf-8") as file:
                file.writelines(f"{line}\n" for line in more)
            if dice.random() < 0.1:
                current.rename(current.with_name(f"{current.stem}.{at}.log"))
            time.sleep(dice.random() * 0.05)
        process.kill()
        kills += 1
        process.communicate()
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "idle\n"
    process.kill()
    process.communicate()
    said: list[str] = []
    assert run_import([logs], tmp_path / "store", say=said.append) == 0
    assert "took 0 executions and 0 steps" in said[-1]
    assert "with other content" not in said[-1]
    assert kills > 5


# --- one thing at a time -----------------------------------------------------------------------------


def follow(folder: Path, rows: list[Row], **options: Any) -> UiPathFollower:
    options = {"now": lambda: SOON} | options
    return UiPathFollower(folder, folder / "state.json", rows.extend, **options)


def test_following_and_importing_give_the_same_rows(tmp_path: Path) -> None:
    lines = day_lines(30)
    path = tmp_path / "2024-03-01_Execution.log"
    with TimeSeriesStore(tmp_path / "store") as store:
        follower = UiPathFollower(tmp_path, tmp_path / "state.json", store.write_values, now=lambda: SOON)
        for at in range(0, len(lines), 50):
            with path.open("a", encoding="utf-8") as file:
                file.writelines(f"{line}\n" for line in lines[at : at + 50])
            assert follower.poll().error == ""
    said: list[str] = []
    assert run_import([path], tmp_path / "store", say=said.append, now=lambda: SOON) == 0
    assert "took 0 executions and 0 steps; already stored" in said[-1]
    assert "stored before with other content" not in said[-1]


def test_the_state_is_private_and_names_nobody(tmp_path: Path) -> None:
    (tmp_path / "2024-03-01_Execution.log").write_text("\n".join(day_lines(3)[:20]), encoding="utf-8")
    (tmp_path / "2024-03-02_Execution.log").write_text(Robot(old=True).start(), encoding="utf-8")
    follower = follow(tmp_path, [])
    follower.poll()
    assert follower.open_runs
    state = tmp_path / "state.json"
    assert stat.S_IMODE(state.stat().st_mode) == 0o600
    assert "ada" not in state.read_text()
    assert "hunter2" not in state.read_text()


@pytest.mark.parametrize(
    "damage", [b"", b"{", b"[]", b'{"format": 9}', b'{"format": 1, "files": [{"x": 1}], "runs": {}}']
)
def test_a_damaged_state_is_said_and_all_is_read_anew(tmp_path: Path, damage: bytes) -> None:
    (tmp_path / "2024-03-01_Execution.log").write_text("\n".join(day_lines(3)), encoding="utf-8")
    first: list[Row] = []
    follow(tmp_path, first).poll()
    (tmp_path / "state.json").write_bytes(damage)
    again: list[Row] = []
    polled = follow(tmp_path, again).poll()
    assert (polled.error, again) == ("", first)


def test_a_poll_without_news_writes_and_delivers_nothing(tmp_path: Path) -> None:
    log = tmp_path / "2024-03-01_Execution.log"
    log.write_text("\n".join(day_lines(3)) + "\n08:00:00.0000 Info {half", encoding="utf-8")
    rows: list[Row] = []
    follower = follow(tmp_path, rows)
    follower.poll()
    saved, count = (tmp_path / "state.json").stat().st_mtime_ns, len(rows)
    assert follower.poll() == uipath_follow.Polled()
    assert follow(tmp_path, rows).poll().events == 0
    assert len(rows) == count
    follower.poll()
    assert (tmp_path / "state.json").stat().st_mtime_ns >= saved


def test_a_line_is_read_as_soon_as_its_json_is_whole(tmp_path: Path) -> None:
    log, rows = tmp_path / "2024-03-01_Execution.log", list[Row]()
    follower = follow(tmp_path, rows)
    line = Robot().start(guid(1))
    log.write_text(line[:-1])
    assert follower.poll().events == 0
    log.write_text(line)
    assert follower.poll().events == 1
    log.write_text(line + "\n\n")
    assert follower.poll().events == 0
    assert [kind for kind, _ in rows] == ["execution_start"]


def test_while_the_store_is_away_nothing_is_lost_and_the_pauses_grow(tmp_path: Path) -> None:
    (tmp_path / "2024-03-01_Execution.log").write_text("\n".join(day_lines(3)), encoding="utf-8")
    attempts: list[list[Row]] = []

    def away(rows: list[Row]) -> None:
        attempts.append(rows)
        if len(attempts) < 4:
            raise OSError("away")

    follower = UiPathFollower(tmp_path, tmp_path / "state.json", away, now=lambda: SOON)
    pauses = [0.0]
    for _ in range(5):
        pauses.append(uipath_follow.next_pause_s(follower.poll(), pauses[-1]))
    assert pauses[1:] == [2.0, 4.0, 8.0, 2.0, 2.0]
    assert attempts == attempts[:1] * 4
    assert follower.last_error == ""
    assert uipath_follow.next_pause_s(uipath_follow.Polled(is_refused=True), 50.0) == 60.0
    assert uipath_follow.next_pause_s(uipath_follow.Polled(has_more=True), 8.0) == 0.0


def test_it_follows_in_the_background_until_it_is_stopped(tmp_path: Path) -> None:
    log, robot, rows = tmp_path / "2024-03-01_Execution.log", Robot(), list[Row]()
    arrived = threading.Event()

    def deliver(batch: list[Row]) -> None:
        rows.extend(batch)
        arrived.set()

    log.write_text(robot.start(guid(1)) + "\n")
    follower = UiPathFollower(tmp_path, tmp_path / "state.json", deliver, now=lambda: SOON)
    follower.start()
    assert arrived.wait(30)
    assert follower.stop(30)
    assert [kind for kind, _ in rows] == ["execution_start"]


def test_a_state_that_cannot_be_written_is_said_and_rows_go_on(tmp_path: Path) -> None:
    log, robot, rows = tmp_path / "2024-03-01_Execution.log", Robot(), list[Row]()
    log.write_text(robot.start(guid(1)) + "\n")
    (tmp_path / "state").write_text("in the way")
    follower = UiPathFollower(tmp_path, tmp_path / "state" / "uipath.json", rows.extend, now=lambda: SOON)
    assert "uipath.json cannot be written" in follower.poll().error
    with log.open("a") as file:
        file.write(robot.end() + "\n")
    follower.poll()
    assert [kind for kind, _ in rows] == ["execution_start", "execution"]


def test_the_reason_why_rows_are_not_taken_is_said_without_secrets(tmp_path: Path) -> None:
    (tmp_path / "2024-03-01_Execution.log").write_text(Robot().start(guid(1)))

    def away(rows: list[Row]) -> None:
        raise OSError("password=hunter2 is refused")

    polled = UiPathFollower(tmp_path, tmp_path / "state.json", away).poll()
    assert polled.is_refused
    assert polled.error == "rows are not taken: password=<hidden> is refused"


def test_one_unreadable_file_does_not_keep_the_others_from_being_read(tmp_path: Path) -> None:
    (tmp_path / "2024-03-01_Execution.log").write_bytes("x\n".encode("utf-32"))
    (tmp_path / "2024-03-02_Execution.log").write_text(Robot().start(guid(1)) + "\n" + "y" * (5 << 20))
    rows: list[Row] = []
    follower = follow(tmp_path, rows)
    polled = follower.poll()
    assert "2024-03-01_Execution.log: is UTF-32" in polled.error
    assert not polled.is_refused
    assert [kind for kind, _ in rows] == ["execution_start"]
    assert follower.skips.counts["lines longer than 4,194,304 bytes"] == 1


def test_a_line_that_is_too_long_is_skipped_over_restarts(tmp_path: Path) -> None:
    log, rows, robot = tmp_path / "2024-03-01_Execution.log", list[Row](), Robot()
    log.write_text(robot.start(guid(1)) + "\n" + "y" * (5 << 20))
    follow(tmp_path, rows).poll()
    with log.open("a") as file:
        file.write("y" * 1_000 + "\n" + robot.end() + "\n")
    follow(tmp_path, rows).poll()
    assert [kind for kind, _ in rows] == ["execution_start", "execution"]


def test_silent_runs_give_their_last_sign_of_life_once(tmp_path: Path) -> None:
    log, rows, robot = tmp_path / "2024-03-01_Execution.log", list[Row](), Robot()
    log.write_text(robot.start(guid(1)) + "\n" + robot.user() + "\n")
    seen_at = robot.moment
    for hours, expected in ((1, 0), (7, 1), (8, 1)):
        now = START + timedelta(hours=hours)
        follow(tmp_path, rows, now=lambda now=now: now).poll()
        assert sum(kind == "execution_heartbeat" for kind, _ in rows) == expected
    assert rows[-1][1][-1] == int(seen_at.timestamp() * 1e6)
    with log.open("a") as file:
        file.write(robot.end() + "\n")
    follow(tmp_path, rows, now=lambda: START + timedelta(hours=9)).poll()
    assert rows[-1][0] == "execution"


def test_positions_of_files_that_are_there_are_kept_and_of_others_forgotten(tmp_path: Path) -> None:
    lines = day_lines(3)
    stays, goes = (tmp_path / f"2024-03-0{day}_Execution.log" for day in (1, 2))
    stays.write_text("\n".join(lines), encoding="utf-8")
    goes.write_text(Robot(moment=START + timedelta(days=1)).start(guid(900)), encoding="utf-8")
    day = START

    def now() -> datetime:
        return day

    follower = follow(tmp_path, [], now=now)
    follower.poll()
    goes.unlink()
    for _ in range(9):
        day += timedelta(days=1)
        follower.poll()
    assert len(json.loads((tmp_path / "state.json").read_bytes())["files"]) == 1
    assert follow(tmp_path, [], now=now).poll().events == 0


def test_globs_and_several_folders_are_followed(tmp_path: Path) -> None:
    for number, user in enumerate(("ada", "bob")):
        folder = tmp_path / "Users" / user / "Logs"
        folder.mkdir(parents=True)
        (folder / "2024-03-01_Execution.log").write_text(Robot().start(guid(number)))
        (folder / "Studio.log").write_text("no log of a robot")
    places = [tmp_path / "Users" / "*" / "Logs", tmp_path / "Users" / "ada" / "Logs", tmp_path / "none"]
    rows: list[Row] = []
    polled = UiPathFollower(places, tmp_path / "state.json", rows.extend, now=lambda: SOON).poll()
    assert (len(rows), polled.error) == (2, "")


def test_where_a_volume_has_no_file_numbers_the_first_bytes_tell_files_apart() -> None:
    def status(number: int, size: int) -> os.stat_result:
        return os.stat_result((0, number, 7, 1, 0, 0, size, 0, 0, 0))

    head, other = b"a" * HEAD_BYTES, b"b" * HEAD_BYTES
    positions = Positions()
    position = positions.of(head, status(0, 5_000), 1)
    position.offset = 4_000
    assert positions.of(other, status(0, 5_000), 1).offset == 0
    assert positions.of(head, status(0, 6_000), 1).offset == 4_000
    assert positions.of(head, status(0, 3_000), 1).offset == 0  # it is shorter than what was read of it
    assert Positions(positions.state()).of(head, status(0, 6_000), 1).offset == 4_000
