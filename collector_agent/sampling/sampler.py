"""One reading of every probe of every target; what fails is counted and said once, and the rest goes on."""

import logging
from collections.abc import Callable, Sequence
from typing import Final

from collector_agent.machine.loading import loading
from collector_agent.probes import Probe, Values
from collector_agent.redaction import clean_message

MakeProbes = Callable[[], dict[str, Probe]]  # probes by target
_log = logging.getLogger("rpa_agent")


def _cpu() -> dict[str, Probe]:
    with loading:
        from collector_agent.probes.cpu import CpuProbe

    return {"host": CpuProbe()}


def _memory() -> dict[str, Probe]:
    with loading:
        from collector_agent.probes.memory import MemoryProbe

    return {"host": MemoryProbe()}


def _disk_space() -> dict[str, Probe]:
    with loading:
        from collector_agent.probes.disk import DiskSpaceProbe

    return {"host": DiskSpaceProbe()}


def _disk_traffic() -> dict[str, Probe]:
    with loading:
        from collector_agent.probes.disk import DiskTrafficProbe

    return {"host": DiskTrafficProbe()}


def _network() -> dict[str, Probe]:
    with loading:
        from collector_agent.probes.network import NetworkProbe

    return {"host": NetworkProbe()}


def _gpus() -> dict[str, Probe]:
    with loading:
        from collector_agent.probes.gpu import find_gpus

    return {**find_gpus()}


# Each import waits for the first reading, in the thread that samples: they load psutil and NVML.
# Forks wait for it, and for nothing else of a probe.
HOST: Final[tuple[tuple[str, MakeProbes], ...]] = (
    ("cpu", _cpu),
    ("memory", _memory),
    ("disk space", _disk_space),
    ("disk traffic", _disk_traffic),
    ("network", _network),
    ("gpu", _gpus),
)


def process(pid: int | None) -> tuple[str, MakeProbes]:
    """The probe of a process and its children; None: this one's."""

    def make() -> dict[str, Probe]:
        with loading:
            from collector_agent.probes.process import ProcessProbe

        return {"process": ProcessProbe(pid)}

    return "process", make


class Sampler:
    """Values by target, from named sources. Belongs to one thread at a time."""

    def __init__(self, sources: Sequence[tuple[str, MakeProbes]]) -> None:
        self._sources = sources
        self.reset()

    def reset(self) -> None:
        """As it was when made: a forked child's counters are not its parent's."""
        self.failures = 0
        self._said: set[str] = set()
        self._probes: list[tuple[str, str, Probe]] | None = None

    def read(self) -> dict[str, Values]:
        """What the probes say now; a target whose probes all failed has no values."""
        if self._probes is None:
            self._probes = self._make()
        values: dict[str, Values] = {}
        for name, target, probe in self._probes:
            of_target = values.setdefault(target, {})
            try:
                of_target.update(probe.read())
            except Exception as error:  # noqa: BLE001  # a probe may fail in any way, the others go on
                self._note_failure(f"{name} of {target}", error)
        return values

    def _make(self) -> list[tuple[str, str, Probe]]:
        made: list[tuple[str, str, Probe]] = []
        for name, make in self._sources:
            try:
                made += [(name, target, probe) for target, probe in make().items()]
            except Exception as error:  # noqa: BLE001  # psutil is missing or broken: sample what is left
                self._note_failure(name, error)
        return made

    def _note_failure(self, what: str, error: Exception) -> None:
        self.failures += 1
        if what not in self._said:
            self._said.add(what)
            _log.warning(
                "%s could not be read and stays empty (said once): %s: %s",
                what,
                type(error).__name__,
                clean_message(error),
            )
