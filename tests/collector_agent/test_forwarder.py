"""From the spool to the store: what arrives, in which order, and what happens to what does not."""

import json
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from pathlib import Path

import pytest

from analytics_lib.errors import StoreError
from analytics_lib.record_values import record_of
from analytics_lib.records import AgentHeartbeat
from collector_agent import forwarder as forwarder_module
from collector_agent.forwarder import Forwarder
from collector_agent.forwarding.sifting import Row
from collector_agent.spool.quarantine import Entry, LocalQuarantine
from collector_agent.spool.reader import open_set, sets_in
from collector_agent.spool.writer import SpoolLimits, SpoolWriter
from tests.collector_agent.spooled import (
    STEP_SEQ,
    Clock,
    Store,
    are_gone,
    drain,
    forwarder,
    put,
    steps,
)
from tests.collector_agent.waiting import wait_for
from tests.make import NOON, execution, sample, start, step


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def store() -> Store:
    return Store()


@pytest.fixture
def spool(tmp_path: Path) -> Path:
    return tmp_path / "spool"


@pytest.fixture
def robot(spool: Path) -> Iterator[SpoolWriter]:
    writer = SpoolWriter(spool)
    yield writer
    writer.close()


@pytest.fixture
def shipping(spool: Path, store: Store, clock: Clock) -> Forwarder:
    return forwarder(spool, store, clock)


def quarantined(spool: Path) -> list[Entry]:
    return LocalQuarantine(spool / "quarantine").entries()


def refuse_steps(*numbers: int, error: type[Exception] = StoreError) -> Callable[[Sequence[Row]], None]:
    """A store that trips over certain steps."""

    def refuse(rows: Sequence[Row]) -> None:
        for kind, values in rows:
            if kind == "step" and values[STEP_SEQ] in numbers:
                raise error(f"step {values[STEP_SEQ]} of password=geheim is refused")

    return refuse


def away(rows: Sequence[Row]) -> None:
    raise StoreError("connection refused")


# --- what arrives ----------------------------------------------------------------------------------


def test_what_robots_recorded_arrives_as_it_was_recorded(
    spool: Path, robot: SpoolWriter, store: Store, shipping: Forwarder
) -> None:
    records = [start("e1"), step("e1", 1), execution("e1", attributes={"a": "ä"}), sample()]
    other = SpoolWriter(spool)
    put(robot, *records)
    put(other, step("e2", 1))
    assert shipping.run_once().delivered == 5
    found = [record_of(kind, values) for kind, values in store.rows]
    assert found[: len(records)] == records or found[1:] == records  # the sets take turns
    assert step("e2", 1) in found
    assert store.calls == [5]  # both sets in one batch
    state = shipping.state
    assert (state.delivered, state.rows_pending, state.spool_bytes, state.sets) == (5, 0, 0, 2)
    assert shipping.run_once().delivered == 0
    other.close()


def test_a_set_is_removed_when_its_robot_has_ended_and_everything_of_it_is_delivered(
    spool: Path, robot: SpoolWriter, store: Store, shipping: Forwarder
) -> None:
    steps(robot, range(3))
    shipping.run_once()
    assert len(sets_in(spool)) == 1  # the robot may go on
    steps(robot, range(3, 5))
    robot.close()
    shipping.run_once()
    assert store.step_numbers() == [0, 1, 2, 3, 4]
    assert are_gone(spool)
    assert shipping.state.sets == 0


def test_a_spool_that_is_not_there_yet_is_no_error(store: Store, shipping: Forwarder) -> None:
    assert shipping.run_once().delivered == 0
    assert shipping.state.last_error == ""
    assert store.calls == []


def test_batches_are_no_larger_than_they_may_be(
    spool: Path, robot: SpoolWriter, store: Store, clock: Clock
) -> None:
    steps(robot, range(25))
    forwarder(spool, store, clock, batch_rows=10).run_once()
    assert store.calls == [10, 10, 5]


def test_a_row_is_acknowledged_after_the_store_has_taken_it_and_not_before(
    spool: Path, robot: SpoolWriter, store: Store, clock: Clock, shipping: Forwarder
) -> None:
    def look_while_it_is_delivered(rows: Sequence[Row]) -> None:
        raise KeyboardInterrupt  # the process ends here

    steps(robot, range(3))
    store.refuse = look_while_it_is_delivered
    with pytest.raises(KeyboardInterrupt):
        shipping.run_once()
    store.refuse = lambda rows: None
    again = forwarder(spool, store, clock)  # as after a restart
    again.run_once()
    assert store.step_numbers() == [0, 1, 2]


def test_two_forwarders_do_not_get_in_each_others_way(
    spool: Path, robot: SpoolWriter, store: Store, clock: Clock, shipping: Forwarder
) -> None:
    other = forwarder(spool, store, clock)

    def meanwhile(rows: Sequence[Row]) -> None:
        assert other.run_once().delivered == 0
        assert other.state.rows_pending > 0  # it sees what somebody else is shipping
        assert other.state.last_error == ""

    steps(robot, range(3))
    store.refuse = meanwhile
    assert shipping.run_once().delivered == 3
    assert store.calls == [3]


# --- live rows and backlogs ------------------------------------------------------------------------


def test_new_rows_come_before_a_backlog_which_is_drained_in_slices(
    spool: Path, robot: SpoolWriter, store: Store, clock: Clock
) -> None:
    steps(robot, range(12_000))  # more than the reader calls far behind
    shipping = forwarder(spool, store, clock)

    def take_a_while(rows: Sequence[Row]) -> None:
        clock.seconds += 0.4

    store.refuse = take_a_while
    fresh = 100_000
    longest_s = 0.0
    while shipping.run_once().pause_s == 0.0:
        assert store.rows
        fresh += 1
        steps(robot, [fresh])
        recorded_s = clock.seconds
        one_pass = shipping.run_once()
        assert fresh in store.step_numbers()
        longest_s = max(longest_s, clock.seconds - recorded_s)
        if not one_pass.delivered:
            break
    assert longest_s < 2 * 5.0  # two flush intervals
    assert sorted(number for number in store.step_numbers() if number < 100_000) == list(range(12_000))


def test_the_backlogs_of_several_sets_take_turns(
    spool: Path, robot: SpoolWriter, store: Store, clock: Clock
) -> None:
    other = SpoolWriter(spool)
    for writer, run in ((robot, "e1"), (other, "e2")):
        put(writer, *(step(run, number) for number in range(12_000)))
    shipping = forwarder(spool, store, clock, slice_sec=0.0)
    for _ in range(4):
        shipping.run_once()
    assert store.step_numbers("e1")
    assert store.step_numbers("e2")
    other.close()


def test_a_sign_of_life_that_promises_older_rows_does_not_overtake_them(
    spool: Path, robot: SpoolWriter, store: Store, clock: Clock
) -> None:
    steps(robot, range(12_000))
    put(robot, AgentHeartbeat(agent_id="a", sent_at=NOON, complete_to=NOON))
    shipping = forwarder(spool, store, clock, slice_sec=0.0)
    for _ in range(60):
        shipping.run_once()
        if any(kind == "agent_heartbeat" for kind, _ in store.rows):
            break
    assert store.rows[-1][0] == "agent_heartbeat"
    assert len(store.rows) == 12_001


# --- a store that is away --------------------------------------------------------------------------


def test_a_store_that_is_away_is_tried_again_after_growing_pauses_and_nothing_is_lost(
    spool: Path, robot: SpoolWriter, store: Store, clock: Clock, shipping: Forwarder
) -> None:
    steps(robot, range(3))
    store.refuse = away
    tried_at = []
    for _ in range(200):
        calls = len(store.calls)
        pause_s = shipping.run_once().pause_s
        if len(store.calls) > calls:
            tried_at.append(clock.seconds)
        assert pause_s > 0
        clock.seconds += pause_s
    pauses = [later - earlier for earlier, later in pairwise(tried_at)]
    assert pauses[:7] == [2, 4, 8, 16, 32, 60, 60]
    state = shipping.state
    assert state.last_error == "StoreError: connection refused"
    assert state.failing_since == Clock().now()
    assert state.rows_pending > 0
    store.refuse = lambda rows: None
    drain(shipping, clock)
    assert store.step_numbers() == [0, 1, 2]
    assert quarantined(spool) == []
    assert (shipping.state.last_error, shipping.state.failing_since) == ("", None)


def test_while_the_store_is_away_what_waits_is_still_counted(
    robot: SpoolWriter, store: Store, clock: Clock, shipping: Forwarder
) -> None:
    store.refuse = away
    steps(robot, [1])
    for _ in range(10):
        clock.seconds += shipping.run_once().pause_s
    before = shipping.state.spool_bytes
    steps(robot, range(2, 100))
    clock.seconds += 6
    shipping.run_once()
    assert shipping.state.spool_bytes > before


def test_the_moment_up_to_which_all_is_delivered_is_that_of_the_oldest_row_that_waits(
    spool: Path, robot: SpoolWriter, store: Store, clock: Clock, shipping: Forwarder
) -> None:
    other = SpoolWriter(spool)
    before = clock.now()
    steps(robot, [1])  # of NOON
    put(other, sample(sampled_at=clock.now()))
    shipping.run_once()
    assert shipping.state.complete_to == before
    clock.seconds += 60
    put(other, sample(sampled_at=clock.now()))
    store.refuse = away
    shipping.run_once()
    assert shipping.state.complete_to == shipping.state.oldest_undelivered_at == clock.now()
    steps(robot, [2])
    clock.seconds += 60
    shipping.run_once()
    assert shipping.state.complete_to == NOON
    other.close()


# --- poison ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("error", [StoreError, TypeError])
def test_a_row_that_the_store_trips_over_goes_to_the_quarantine_and_the_others_arrive(
    spool: Path, robot: SpoolWriter, store: Store, clock: Clock, shipping: Forwarder, error: type[Exception]
) -> None:
    steps(robot, range(100))
    store.refuse = refuse_steps(37, 64, error=error)
    passes = drain(shipping, clock)
    assert sorted(store.step_numbers()) == [n for n in range(100) if n not in (37, 64)]
    entries = quarantined(spool)
    assert sorted(entry.values[STEP_SEQ] for entry in entries) == [37, 64]
    assert entries[0].reason.startswith(f"{error.__name__}: step ")
    assert "geheim" not in entries[0].reason
    assert (shipping.state.delivered, shipping.state.quarantined) == (98, 2)
    assert shipping.state.last_error == ""
    assert len(passes) == (1 if error is TypeError else 3)  # a StoreError has to be the same three times


def test_a_bad_row_at_the_end_waits_for_a_good_one_behind_it(
    spool: Path, robot: SpoolWriter, store: Store, clock: Clock, shipping: Forwarder
) -> None:
    """It may be the first of many: a table may have lost its rights, a disk may be full."""
    steps(robot, range(5))
    store.refuse = refuse_steps(4, error=TypeError)
    drain(shipping, clock, seconds=30)
    assert store.step_numbers() == [0, 1, 2, 3]
    assert quarantined(spool) == []
    assert "TypeError: step 4" in shipping.state.last_error
    steps(robot, [5])
    drain(shipping, clock)
    assert store.step_numbers() == [0, 1, 2, 3, 5]
    assert [entry.values[STEP_SEQ] for entry in quarantined(spool)] == [4]


def test_a_good_row_of_another_robot_tells_as_well(
    spool: Path, robot: SpoolWriter, store: Store, clock: Clock, shipping: Forwarder
) -> None:
    steps(robot, [1])
    store.refuse = refuse_steps(1, error=TypeError)
    shipping.run_once()
    other = SpoolWriter(spool)
    steps(other, [2], run="e2")
    drain(shipping, clock)
    assert store.step_numbers("e2") == [2]
    assert [entry.values[STEP_SEQ] for entry in quarantined(spool)] == [1]
    other.close()


def test_a_bad_row_of_a_kind_that_never_comes_again_is_given_up_after_ten_rounds(
    spool: Path, robot: SpoolWriter, store: Store, clock: Clock, shipping: Forwarder
) -> None:
    steps(robot, [1])
    store.refuse = refuse_steps(1)
    minutes = 0
    while not quarantined(spool):
        minutes += 1
        put(robot, sample(sampled_at=clock.now()))
        drain(shipping, clock, seconds=60)
    assert 5 < minutes < 30
    assert [entry.values[STEP_SEQ] for entry in quarantined(spool)] == [1]
    assert not shipping.state.rows_pending


@pytest.mark.parametrize("error", [StoreError, TypeError])
def test_a_store_that_refuses_every_row_of_a_kind_is_no_poison(
    spool: Path, robot: SpoolWriter, store: Store, clock: Clock, shipping: Forwarder, error: type[Exception]
) -> None:
    """A table without rights: an empty batch is taken, other tables are written to."""
    steps(robot, range(50))
    put(robot, sample())
    store.refuse = refuse_steps(*range(50), error=error)
    drain(shipping, clock, seconds=900)
    assert quarantined(spool) == []
    assert shipping.state.quarantined == 0
    assert shipping.state.last_error
    store.refuse = lambda rows: None
    drain(shipping, clock)
    assert sorted(store.step_numbers()) == list(range(50))


def test_a_store_that_refuses_every_single_row_is_left_alone_for_longer_and_longer(
    spool: Path, robot: SpoolWriter, store: Store, clock: Clock, shipping: Forwarder
) -> None:
    def nothing_but_empty_batches(rows: Sequence[Row]) -> None:
        if rows:
            raise StoreError("no rights")

    steps(robot, range(500))
    store.refuse = nothing_but_empty_batches
    drain(shipping, clock, seconds=900)
    assert len(store.calls) < 30 * 4_000  # a minute between two rounds, and no round is endless
    assert quarantined(spool) == []
    assert "each row is refused, and an empty batch is taken" in shipping.state.last_error
    store.refuse = lambda rows: None
    drain(shipping, clock)
    assert store.step_numbers() == list(range(500))


def test_a_disk_that_fills_up_half_way_is_no_poison(
    spool: Path, robot: SpoolWriter, store: Store, clock: Clock, shipping: Forwarder
) -> None:
    def full(rows: Sequence[Row]) -> None:
        if len(store.rows) + len(rows) > 20:
            raise StoreError("disk full")

    steps(robot, range(50))
    store.refuse = full
    drain(shipping, clock, seconds=900)
    assert quarantined(spool) == []
    assert store.step_numbers() == list(range(20))
    store.refuse = lambda rows: None
    drain(shipping, clock)
    assert store.step_numbers() == list(range(50))


def test_a_store_that_goes_away_while_a_batch_is_sifted_loses_no_row(
    spool: Path, robot: SpoolWriter, store: Store, clock: Clock, shipping: Forwarder
) -> None:
    calls = 0

    def flaky(rows: Sequence[Row]) -> None:
        nonlocal calls
        calls += 1
        if calls > 8:
            raise StoreError("connection lost")
        refuse_steps(7, error=TypeError)(rows)

    steps(robot, range(40))
    store.refuse = flaky
    drain(shipping, clock, seconds=100)
    assert quarantined(spool) == []
    store.refuse = refuse_steps(7, error=TypeError)
    drain(shipping, clock)
    assert sorted(store.step_numbers()) == [n for n in range(40) if n != 7]
    assert [entry.values[STEP_SEQ] for entry in quarantined(spool)] == [7]


def test_the_trouble_of_one_robot_does_not_stop_the_others(
    spool: Path, robot: SpoolWriter, store: Store, clock: Clock, shipping: Forwarder
) -> None:
    put(robot, execution("e1"))
    store.refuse = lambda rows: refuse_executions(rows)
    other = SpoolWriter(spool)
    for number in range(30):
        steps(other, [number], run="e2")
        shipping.run_once()
        clock.seconds += 1
    assert len(store.step_numbers("e2")) >= 25
    assert quarantined(spool) == []
    other.close()


def test_a_trouble_that_somebody_else_has_solved_is_forgotten(
    spool: Path, robot: SpoolWriter, store: Store, clock: Clock, shipping: Forwarder
) -> None:
    steps(robot, [1])
    other = SpoolWriter(spool)
    put(other, sample())
    store.refuse = refuse_steps(1, error=TypeError)
    shipping.run_once()
    assert shipping.state.last_error.startswith("what is behind a row that is refused waits: TypeError")
    store.refuse = lambda rows: None
    forwarder(spool, store, clock).run_once()
    clock.seconds += 60
    shipping.run_once()
    assert (shipping.state.last_error, shipping.state.rows_pending) == ("", 0)
    assert store.step_numbers() == [1]
    other.close()


def refuse_executions(rows: Sequence[Row]) -> None:
    if any(kind == "execution" for kind, _ in rows):
        raise TypeError("a bug")


def test_a_quarantine_that_cannot_be_written_to_keeps_the_row_in_the_spool(
    spool: Path, robot: SpoolWriter, store: Store, clock: Clock, shipping: Forwarder
) -> None:
    steps(robot, range(10))
    (spool / "quarantine").touch()  # a file where its folder should be
    store.refuse = refuse_steps(3, error=TypeError)
    drain(shipping, clock, seconds=120)
    assert shipping.state.rows_pending > 0
    assert shipping.state.last_error
    (spool / "quarantine").unlink()
    drain(shipping, clock)
    assert [entry.values[STEP_SEQ] for entry in quarantined(spool)] == [3]
    assert sorted(store.step_numbers()) == [n for n in range(10) if n != 3]


# --- counters --------------------------------------------------------------------------------------


def test_what_was_dropped_and_what_cannot_be_read_is_counted_once(
    spool: Path, store: Store, clock: Clock, shipping: Forwarder
) -> None:
    limits = SpoolLimits(max_bytes=40_000, segment_bytes=10_000)
    writer = SpoolWriter(spool, limits=limits)
    steps(writer, range(400))
    writer.sync()
    writer.append(b'["step",')
    for _ in range(3):
        clock.seconds += 1
        shipping.run_once()
    state = shipping.state
    assert state.dropped > 0
    assert state.dropped + len(store.step_numbers()) == 400
    assert state.quarantined == 1
    assert json.dumps(quarantined(spool)[0].reason)
    writer.close()


def test_what_happened_to_a_set_before_does_not_count(
    spool: Path, robot: SpoolWriter, store: Store, clock: Clock
) -> None:
    steps(robot, range(10))
    first = forwarder(spool, store, clock)
    store.refuse = refuse_steps(3, error=TypeError)
    drain(first, clock)
    second = Forwarder(spool, store)  # as after a restart
    second.run_once()
    assert (first.state.quarantined, second.state.quarantined, second.state.delivered) == (1, 0, 0)


# --- never -----------------------------------------------------------------------------------------


def test_nothing_is_raised_whatever_fails(
    spool: Path, robot: SpoolWriter, clock: Clock, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise OSError("the disk is gone")

    steps(robot, [1])
    for name in ("sets_in", "open_set", "look_at"):
        shipping = forwarder(spool, store, clock)
        with monkeypatch.context() as patch:
            patch.setattr(forwarder_module, name, fail)
            assert shipping.run_once().pause_s > 0
            if name != "look_at":
                assert "the disk is gone" in shipping.state.last_error
        shipping.run_once()
    assert store.step_numbers() == [1]


def test_a_set_that_cannot_be_read_holds_up_what_is_complete_and_no_other_set(
    spool: Path, robot: SpoolWriter, store: Store, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = SpoolWriter(spool)
    steps(robot, [1])
    steps(other, [2])
    assert robot.set_folder is not None
    broken = robot.set_folder
    opened = open_set

    def fail(folder: Path, *rest: object) -> object:
        if folder == broken:
            raise OSError("I/O error")
        return opened(folder)

    shipping = Forwarder(spool, store)
    monkeypatch.setattr(forwarder_module, "open_set", fail)
    monkeypatch.setattr(forwarder_module, "look_at", fail)
    shipping.run_once()
    assert store.step_numbers() == [2]
    assert "I/O error" in shipping.state.last_error
    began = broken.name[:15]
    assert shipping.state.complete_to.strftime("%Y%m%dT%H%M%S") <= began
    other.close()


# --- as a thread -----------------------------------------------------------------------------------


def test_the_thread_ships_and_makes_a_last_pass_when_it_is_stopped(
    spool: Path, robot: SpoolWriter, store: Store
) -> None:
    shipping = Forwarder(spool, store, interval_sec=0.01)
    shipping.start()
    shipping.start()
    steps(robot, range(3))
    wait_for(lambda: len(store.rows) == 3)
    shipping.stop()
    steps(robot, [3])
    shipping = Forwarder(spool, store, interval_sec=3_600)
    shipping.start()
    wait_for(lambda: len(store.rows) == 4)
    steps(robot, [4])
    assert shipping.stop(30)
    assert store.step_numbers() == [0, 1, 2, 3, 4]


def test_a_store_that_hangs_does_not_hold_stop(spool: Path, robot: SpoolWriter, store: Store) -> None:
    released = threading.Event()

    def hang(rows: Sequence[Row]) -> None:
        released.wait(60)

    store.refuse = hang
    shipping = Forwarder(spool, store, interval_sec=0.01)
    steps(robot, [1])
    shipping.start()
    wait_for(lambda: bool(store.calls))
    assert not shipping.stop(0.05)
    assert shipping.run_once().delivered == 0  # one at a time
    released.set()
    wait_for(lambda: store.step_numbers() == [1])


def test_even_a_callback_that_ends_its_thread_is_tried_again(
    spool: Path, robot: SpoolWriter, store: Store
) -> None:
    def leave(rows: Sequence[Row]) -> None:
        if len(store.calls) == 1:
            raise SystemExit

    store.refuse = leave
    shipping = Forwarder(spool, store, interval_sec=0.01)
    steps(robot, [1])
    shipping.start()
    wait_for(lambda: store.step_numbers() == [1])
    assert shipping.stop(30)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs a system that forks")
def test_a_forked_child_ships_nothing_and_keeps_no_set_from_its_parent(
    spool: Path, robot: SpoolWriter, store: Store, clock: Clock, shipping: Forwarder
) -> None:
    children = []

    def fork_while_it_is_read(rows: Sequence[Row]) -> None:
        child = os.fork()
        if child == 0:
            os._exit(0 if not shipping._readers and shipping._thread is None else 1)
        children.append(child)
        raise StoreError("the parent is killed here")

    steps(robot, [1])
    store.refuse = fork_while_it_is_read
    shipping.run_once()
    assert os.waitpid(children[0], 0)[1] == 0
    store.refuse = lambda rows: None
    forwarder(spool, store, clock).run_once()
    assert store.step_numbers() == [1]
