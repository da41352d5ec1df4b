"""Processes that die where a test wants them to, told apart by their exit codes."""

import os
import traceback
from collections.abc import Callable

from sqlalchemy import Engine, event


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


def killed_at(point: int, work: Callable[[], object], patch: Callable[[], None] = nothing) -> int:
    """Runs the work until it dies at its point-th statement or commit; 9 as long as there is one."""

    def to_the_point() -> None:
        passed = 0

        def die(*_: object, **__: object) -> None:
            nonlocal passed
            passed += 1
            if passed == point:
                os._exit(9)

        event.listen(Engine, "before_cursor_execute", die)
        event.listen(Engine, "commit", die)
        patch()
        work()

    return exit_code(in_a_process(to_the_point))
