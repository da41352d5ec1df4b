"""What control groups leave of the machine to a container or to a robot: 100 % is what it may use."""

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from collector_agent.probes.cgroups import Group, Hierarchies

AGAIN_SEC: Final = 60.0  # a limit can be changed while it holds, and is looked at again


class Limits:
    """The tightest limits of CPU and memory; None where nothing is below what the machine has.

    `of_machine`: those of the container that we are in, which hold for everything that runs here; on a
    machine itself there are none, for the limits of our own service are not the machine's. Otherwise
    those of the process `pid`: of its own group and of all around it.
    """

    def __init__(
        self,
        *,
        of_machine: bool = False,
        pid: int | None = None,
        root: Path = Path("/"),
        machine_cores: int | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._of_machine = of_machine
        self._pid = pid
        self._root = root
        self._machine_cores = machine_cores or os.cpu_count() or 1
        self._clock = clock
        self._due_s = float("-inf")
        self._cpu: tuple[float, Group | None] | None = None  # cores, and whose usage says how busy they are
        self._memory: tuple[int, Group] | None = None

    def cores(self) -> float | None:
        """So many cores may be used, 0.5 for half of one."""
        self._look()
        return None if self._cpu is None else self._cpu[0]

    def cpu_used_s(self) -> float | None:
        """CPU time of everything that shares these cores."""
        group = None if self._cpu is None else self._cpu[1]
        return None if group is None else group.cpu_used_s()

    def memory_bytes(self, machine_bytes: int) -> int | None:
        self._look()
        if self._memory is None or self._memory[0] >= machine_bytes:
            return None
        return self._memory[0]

    def memory_used_bytes(self) -> int | None:
        """What everything uses that shares this memory."""
        return None if self._memory is None else self._memory[1].memory_used_bytes()

    def _look(self) -> None:
        now_s = self._clock()
        if now_s < self._due_s:
            return
        self._due_s = now_s + AGAIN_SEC
        hierarchies = Hierarchies(self._pid, self._root)

        def groups(controller: str) -> list[Group]:
            found = hierarchies.groups(controller)
            return found[-1:] if self._of_machine else found

        self._cpu = _tightest_cpu(groups, self._machine_cores)
        self._memory = _tightest_memory(groups("memory"))


def _tightest_cpu(
    groups_of: Callable[[str], list[Group]], machine_cores: int
) -> tuple[float, Group | None] | None:
    groups, accounts = groups_of("cpu"), groups_of("cpuacct")
    found: list[tuple[float, Group | None]] = []
    for at, group in enumerate(groups):
        if (cores := group.cpu_cores()) is not None:
            # In version 1 the accounts may be kept elsewhere; those of the same group are meant.
            account = accounts[at] if len(accounts) == len(groups) else None
            found.append((cores, group if group.version == 2 else account))
    for group in groups_of("cpuset")[:1]:  # what holds there holds all the way up
        if (count := group.cpuset_cores()) is not None:
            account = group if group.version == 2 else next(iter(accounts), None)
            found.append((float(count), account))
    tightest = min(found, key=lambda limit: limit[0], default=None)
    return None if tightest is None or tightest[0] >= machine_cores else tightest


def _tightest_memory(groups: list[Group]) -> tuple[int, Group] | None:
    limits = [(group.memory_limit_bytes(), group) for group in groups]
    found = [(limit, group) for limit, group in limits if limit is not None]
    return min(found, key=lambda limit: limit[0], default=None)
