from collections.abc import Callable

import pytest

from collector_agent.recording.buffer import Buffer


class RemovesBeforeAcknowledgement(Buffer[int]):
    """The mistake that loses a batch when its delivery fails: a negative control."""

    def take(self, n: int) -> list[int]:
        batch = super().take(n)
        super().acknowledge(len(batch))
        return batch

    def acknowledge(self, n: int) -> None:
        pass


class DropsWhatIsInFlight(Buffer[int]):
    """The mistake that lets an overflow eat into a batch on its way: a negative control."""

    def drop_overflow(self) -> None:
        while len(self) > self.max_rows:
            (self._in_flight or self.waiting).popleft()
            self.dropped += 1


def deliver(buffer: Buffer[int], rows: int, fails: Callable[[int], bool]) -> list[int]:
    arrived: list[int] = []
    attempt = 0
    while len(buffer):
        batch = buffer.take(rows)
        attempt += 1
        if fails(attempt):
            continue
        arrived += batch
        buffer.acknowledge(len(batch))
    return arrived


def check_every_row_arrives_although_deliveries_fail(buffer_class: type[Buffer[int]]) -> None:
    buffer = buffer_class(100)
    for row in range(25):
        buffer.append(row)
    arrived = deliver(buffer, 4, fails=lambda attempt: attempt in (1, 2, 5))
    assert arrived == list(range(25))
    assert (buffer.recorded, buffer.delivered, buffer.dropped) == (25, 25, 0)


def check_overflow_leaves_the_batch_in_flight_alone(buffer_class: type[Buffer[int]]) -> None:
    buffer = buffer_class(5)
    for row in range(5):
        buffer.append(row)
    assert buffer.take(2) == [0, 1]
    buffer.append(5)
    buffer.append(6)
    buffer.acknowledge(2)
    assert buffer.take(10) == [4, 5, 6]
    assert (buffer.recorded, buffer.delivered, buffer.dropped, len(buffer)) == (7, 2, 2, 3)


def test_every_row_arrives_although_deliveries_fail() -> None:
    check_every_row_arrives_although_deliveries_fail(Buffer)


def test_that_check_catches_a_buffer_that_removes_too_early() -> None:
    with pytest.raises(AssertionError):
        check_every_row_arrives_although_deliveries_fail(RemovesBeforeAcknowledgement)


def test_overflow_drops_the_oldest_row_that_is_not_in_flight() -> None:
    check_overflow_leaves_the_batch_in_flight_alone(Buffer)


def test_that_check_catches_a_buffer_that_drops_rows_in_flight() -> None:
    with pytest.raises(AssertionError):
        check_overflow_leaves_the_batch_in_flight_alone(DropsWhatIsInFlight)


def test_a_batch_that_failed_is_shown_again_first_and_topped_up() -> None:
    buffer: Buffer[str] = Buffer(10)
    buffer.append("a")
    assert buffer.take(3) == ["a"]
    for row in "bcd":
        buffer.append(row)
    assert buffer.take(3) == ["a", "b", "c"]
    assert buffer.oldest_waiting() == "d"
    assert len(buffer.waiting) == 1


def test_with_everything_in_flight_an_overflow_drops_the_newcomer() -> None:
    buffer: Buffer[int] = Buffer(2)
    buffer.append(1)
    buffer.append(2)
    buffer.take(2)
    buffer.append(3)
    buffer.acknowledge(2)
    assert len(buffer) == 0
    assert (buffer.delivered, buffer.dropped) == (2, 1)


def test_what_was_recorded_has_settled_when_it_is_delivered_or_dropped() -> None:
    buffer: Buffer[int] = Buffer(2)
    for row in range(3):
        buffer.append(row)
    assert not buffer.has_settled(3)
    buffer.acknowledge(len(buffer.take(5)))
    assert buffer.has_settled(3)
    buffer.append(3)
    assert buffer.has_settled(3)
    assert not buffer.has_settled(4)


def test_drops_are_said_at_the_first_and_then_at_each_power_of_ten() -> None:
    buffer: Buffer[int] = Buffer(1)
    said = []
    buffer.append(0)
    assert buffer.drop_notice() is None
    for row in range(1, 1_001):
        buffer.append(row)
        if (notice := buffer.drop_notice()) is not None:
            said.append(notice)
    assert said == [1, 10, 100, 1_000]


def test_appending_while_appending_on_the_same_thread_keeps_the_bound() -> None:
    """A signal handler or a destructor may record at any moment: it must neither wait nor overfill."""
    buffer: Buffer[object] = Buffer(3)

    class RecordsWhenItGoes:
        def __del__(self) -> None:
            buffer.append("from a destructor")

    buffer.append(RecordsWhenItGoes())
    for row in range(3):
        buffer.append(row)  # the first is dropped, destroyed and records once more
    assert len(buffer) == 3
    assert buffer.recorded == 5
    assert buffer.dropped == 2
