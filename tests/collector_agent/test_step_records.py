"""Steps made after a pattern are what the record's own constructor makes; their numbers are given once."""

import threading
from itertools import count
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from analytics_lib.records import STATUSES, QuarantinedRecord, StepMetrics
from collector_agent.recording.active_executions import ActiveExecutions, KnownExecution
from collector_agent.recording.record_builder import RecordBuilder, ShortStep
from collector_agent.recording.step_numbers import StepNumbers

NOON_NS = 1_795_435_200 * 10**9
DIMENSIONS = {"workflow_version": "7", "environment": "prod", "robot_id": "r1", "host": "h1", "queue": ""}


def an_execution() -> KnownExecution:
    return KnownExecution("e1", "w1", "r1", {**DIMENSIONS, "source": "live", "suite": "s"})


@given(
    st.lists(
        st.tuples(
            st.integers(NOON_NS, NOON_NS + 10**18),
            st.integers(0, 10**9),
            st.sampled_from(["s1", "s2", "Größe"]),
            st.sampled_from(STATUSES),
            st.floats(0, 1e9) | st.integers(0, 10**9) | st.integers(0, 10**9).map(lambda n: n / 2000),
        ),
        min_size=2,
        max_size=6,
    )
)
def test_a_step_made_after_a_pattern_is_the_step_that_is_checked_field_by_field(
    steps: list[tuple[int, int, str, str, float]],
) -> None:
    builder, known = RecordBuilder("h1"), an_execution()
    for step in steps:
        made = builder((known, *step))
        assert known.pattern is not None
        checked = RecordBuilder("h1")((an_execution(), *step))
        assert isinstance(made, StepMetrics)
        assert made == checked
        assert repr(made) == repr(checked)  # also 5.0 and not 5


class _Word(str):
    """Text of a class of its own."""


@pytest.mark.parametrize(
    ("at", "value"),
    [
        *((1, value) for value in (10**9, -(10**9), 2**63 - 1)),
        *((3, value) for value in ("", "new", "a\nb", None, [], _Word("s"))),
        *((4, value) for value in ("running", None, [], _Word("failed"))),
        *((5, value) for value in (-1, float("nan"), float("inf"), True, "5", None, 1e300, 10**400)),
    ],
)
def test_what_is_not_plain_is_looked_at_as_if_there_were_no_pattern(at: int, value: Any) -> None:
    builder, known = RecordBuilder("h1"), an_execution()
    step: Any = (known, NOON_NS, 1, "s", "completed", 5)
    assert isinstance(builder(step), StepMetrics)
    odd: ShortStep = (*step[:at], value, *step[at + 1 :])
    made, checked = builder(odd), RecordBuilder("h1")((an_execution(), *odd[1:]))
    assert type(made) is type(checked)
    if isinstance(made, QuarantinedRecord) and isinstance(checked, QuarantinedRecord):
        assert made.reason == checked.reason
    else:
        assert made == checked
        assert isinstance(made, StepMetrics)
        assert type(made.step_id) is type(made.status) is str


# --- numbers -----------------------------------------------------------------------------------------


def test_steps_are_numbered_from_one_and_reservations_waste_no_number() -> None:
    numbers = StepNumbers()
    assert [next(numbers.free), numbers.take(), numbers.reserve(), next(numbers.free)] == [1, 2, 3, 4]
    numbers.bring(3)  # it comes back
    assert next(numbers.free) == 5


def test_a_number_that_is_brought_along_puts_the_next_ones_behind_it() -> None:
    numbers = StepNumbers()
    assert next(numbers.free) == 1
    numbers.bring(7)
    assert next(numbers.free) is None  # from now on under the lock
    assert [numbers.take(), numbers.reserve()] == [8, 9]
    numbers.bring(2)
    numbers.bring(9)
    assert numbers.take() == 10


def test_a_number_below_those_that_were_given_already_changes_nothing() -> None:
    numbers = StepNumbers()
    for _ in range(5):
        next(numbers.free)
    numbers.bring(3)
    assert numbers.take() == 6


def test_a_run_that_begins_again_goes_on_behind_a_step_that_is_just_being_recorded() -> None:
    executions = ActiveExecutions()
    first = executions.begin(an_execution())
    assert isinstance(first, KnownExecution)
    assert next(first.numbers.free) == 1
    executions.end(first, 0, 0, 0)
    again = executions.begin(an_execution())
    assert isinstance(again, KnownExecution)
    assert again is not first
    # The step of the first run that is on its way has looked up that run already.
    given = [next(first.numbers.free), next(again.numbers.free)]
    assert given == [None, None]
    assert [first.numbers.take(), again.numbers.take()] == [2, 3]


def check_no_number_twice(numbers: StepNumbers) -> None:
    """Many threads take numbers, as the recorder does, while others bring their own along."""
    lock, taken, rounds = threading.RLock(), [], 2_000

    def take() -> None:
        for _ in range(rounds):
            number = next(numbers.free)
            if number is None:
                with lock:
                    number = numbers.take()
            taken.append(number)

    def bring() -> None:
        for n in range(0, 500, 7):
            with lock:
                numbers.bring(n)
                taken.append(numbers.reserve())

    threads = [threading.Thread(target=work) for work in (take, bring, take, bring)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(taken)) == len(taken) == 2 * rounds + 2 * 72


def test_no_number_is_given_twice_whoever_asks() -> None:
    for _ in range(3):
        check_no_number_twice(StepNumbers())


class _ReadsTwice(StepNumbers):
    """The mistake that gives a number twice: a new counter instead of none. A negative control."""

    def bring(self, number: int) -> None:
        following = next(self.free)
        assert following is not None
        threading.Event().wait(0.0001)  # somebody else takes the next one meanwhile
        self.free = count(max(number + 1, following))


def test_that_check_catches_numbers_that_are_given_twice() -> None:
    with pytest.raises(AssertionError):
        check_no_number_twice(_ReadsTwice())
