"""Processes that die where a test wants them to, told apart by their exit codes; and where that matters.

A point is a statement or a commit, counted from 1, about to happen. What a process that dies there leaves
to the next run is what was committed by then: just what others see meanwhile. So `seen_by_others` watches
one whole run through a connection of its own, and between two changes of what it saw one kill stands for
all: `last_before_each_change`. `every_point` is for the full run (`make bench-faults`), which trusts nobody.
"""

import hashlib
import json
import os
import traceback
from collections.abc import Callable, Sequence

from sqlalchemy import Engine, event

from analytics_lib import TimeSeriesStore

Points = Callable[[Sequence[str]], Sequence[int]]
AtPoints = Callable[[Callable[..., None]], None]


def nothing() -> None:
    """No patch."""


def in_a_process(work: Callable[[], object]) -> int:
    """Starts the work in a forked process; gives its pid. 0: done, 3: it raised, 9: it was killed."""
    pid = os.fork()
    if pid:
        return pid
    try:
        work()
    except BaseException:  # noqa: BLE001  # nothing may escape into the parent's test run
        traceback.print_exc()
        os._exit(3)
    os._exit(0)


def exit_code(pid: int) -> int:
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def at_each_point(act: Callable[..., None]) -> None:
    """Has the function called before each statement and commit of this process."""
    event.listen(Engine, "before_cursor_execute", act)
    event.listen(Engine, "commit", act)


def killed_at(
    point: int,
    work: Callable[[], object],
    patch: Callable[[], None] = nothing,
    at_points: AtPoints = at_each_point,
) -> int:
    """Runs the work until it dies at its point-th statement or commit; 9 as long as there is one."""

    def to_the_point() -> None:
        passed = 0

        def die(*_: object, **__: object) -> None:
            nonlocal passed
            passed += 1
            if passed == point:
                os._exit(9)

        at_points(die)
        patch()
        work()

    return exit_code(in_a_process(to_the_point))


def seen_by_others(
    work: Callable[[], object],
    location: str,
    look: Callable[[Engine], object],
    patch: Callable[[], None] = nothing,
    at_points: AtPoints = at_each_point,
) -> list[str]:
    """Runs all of the work in a process; a digest of what `look` gave to somebody else at each point."""
    from_the_work, to_us = os.pipe()

    def watched() -> None:
        os.close(from_the_work)
        seen: list[str] = []
        looking = False
        # An engine of its own, which on SQLite does not wait for the one writer.
        others = TimeSeriesStore(location).engine.execution_options(reads_only=True)

        def see(*_: object, **__: object) -> None:
            nonlocal looking
            if not looking:  # looking has statements, too
                looking = True
                seen.append(digest(look(others)))
                looking = False

        at_points(see)
        patch()
        work()
        with os.fdopen(to_us, "w") as pipe:
            json.dump(seen, pipe)

    pid = in_a_process(watched)
    os.close(to_us)
    with os.fdopen(from_the_work) as pipe:
        text = pipe.read()
    assert exit_code(pid) == 0
    return [str(digest) for digest in json.loads(text)]


def digest(what: object) -> str:
    return hashlib.sha256(repr(what).encode()).hexdigest()


def last_before_each_change(seen: Sequence[str]) -> list[int]:
    """The points after which others see something else, and the last one.

    >>> last_before_each_change(["old", "old", "old", "new", "new"])
    [3, 5]
    """
    return [point for point in every_point(seen) if seen[point - 1 : point] != seen[point : point + 1]]


def every_point(seen: Sequence[str]) -> range:
    return range(1, len(seen) + 1)
