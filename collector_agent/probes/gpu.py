"""NVIDIA GPUs, through NVML."""

import logging
import time
from collections.abc import Callable, Iterator
from importlib import import_module
from typing import Any, Final

from collector_agent.machine.loading import loading
from collector_agent.probes import Values
from collector_agent.redaction import clean_message

AGAIN_SEC: Final = 60.0  # a GPU that does not answer is asked again: the driver may have come back
_log = logging.getLogger("rpa_agent")


class GpuProbe:
    """One GPU's utilization and memory. Raises what NVML raises when the GPU does not answer; then it has
    no values, and is looked for anew after a minute, by its UUID: numbers change where a GPU goes.

    A GPU that is split up (MIG) does not know how busy it is. Where it does not tell its memory either, for
    that takes rights, it is the sum of the parts that can be seen.
    """

    def __init__(self, pynvml: Any, index: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._pynvml = pynvml
        self._index = index
        self._clock = clock
        self._again_s = float("-inf")
        self._handle = pynvml.nvmlDeviceGetHandleByIndex(index)
        self._uuid = self._own_uuid()

    def read(self) -> Values:
        if self._clock() < self._again_s:
            return {}
        try:
            if self._handle is None:
                self._handle = self._found_again()
            used, total = self._memory()
            return {
                "gpu_memory_used_bytes": used,
                "gpu_memory_total_bytes": total,
                "gpu_utilization_percent": self._utilization(),
            }
        except Exception:
            self._handle = None
            self._again_s = self._clock() + AGAIN_SEC
            raise

    def _own_uuid(self) -> Any:
        try:
            return self._pynvml.nvmlDeviceGetUUID(self._handle)
        except Exception:  # noqa: BLE001  # NVML's errors have no base that every version shares
            return None  # an old driver: its number has to do

    def _found_again(self) -> Any:
        self._pynvml.nvmlInit()  # counted; nothing else works after the driver was loaded anew
        if self._uuid is None:
            return self._pynvml.nvmlDeviceGetHandleByIndex(self._index)
        return self._pynvml.nvmlDeviceGetHandleByUUID(self._uuid)

    def _memory(self) -> tuple[int, int]:
        """(used, total) bytes."""
        try:
            memory = self._pynvml.nvmlDeviceGetMemoryInfo(self._handle)
        except Exception as error:
            if not self._is(error, "NVMLError_NoPermission", "NVMLError_NotSupported"):
                raise
            parts = [self._pynvml.nvmlDeviceGetMemoryInfo(part) for part in self._parts()]
            if not parts:
                raise
            return sum(int(part.used) for part in parts), sum(int(part.total) for part in parts)
        return int(memory.used), int(memory.total)

    def _parts(self) -> Iterator[Any]:
        """The handles of the MIG devices that we may see."""
        for number in range(self._pynvml.nvmlDeviceGetMaxMigDeviceCount(self._handle)):
            try:
                yield self._pynvml.nvmlDeviceGetMigDeviceHandleByIndex(self._handle, number)
            except Exception as error:
                if not self._is(error, "NVMLError_NotFound"):
                    raise

    def _utilization(self) -> float | None:
        try:
            return min(100.0, float(self._pynvml.nvmlDeviceGetUtilizationRates(self._handle).gpu))
        except Exception as error:
            if not self._is(error, "NVMLError_NotSupported", "NVMLError_NoPermission"):
                raise
            return None

    def _is(self, error: Exception, *names: str) -> bool:
        return isinstance(error, tuple(getattr(self._pynvml, name, ()) for name in names))


def find_gpus(pynvml: Any = None, clock: Callable[[], float] = time.monotonic) -> dict[str, GpuProbe]:
    """A probe for each GPU by target ('gpu:0' …); none, and one line in the log, where NVML does not answer.

    `pynvml` is the module that speaks NVML. NVML stays initialized until the process ends.
    """
    gpus: dict[str, GpuProbe] = {}
    nvml, why = open_nvml(pynvml)
    if nvml is None:
        _log.info("GPUs are not sampled: %s", why)
        return gpus
    try:
        count = nvml.nvmlDeviceGetCount()
    except Exception as error:  # noqa: BLE001  # NVML's errors have no base that every version shares
        _log.warning("GPUs are not sampled: %s", _named(error))
        return gpus
    for index in range(count):
        try:
            gpus[f"gpu:{index}"] = GpuProbe(nvml, index, clock)
        except Exception as error:  # noqa: BLE001  # as above; it is lost, or not for us
            _log.warning("gpu:%d of %d is not sampled: %s", index, count, _named(error))
    return gpus


def open_nvml(pynvml: Any = None) -> tuple[Any, str]:
    """(the module, ready to be asked, '') or (None, why NVML does not answer on this machine)."""
    try:
        with loading:  # it is asked in a thread, while the robot may fork
            nvml = import_module("pynvml") if pynvml is None else pynvml
        nvml.nvmlInit()
    except ImportError:
        return None, "nvidia-ml-py is not installed (pip install 'rpa-analytics[gpu]')"
    except Exception as error:  # noqa: BLE001  # no driver, no library, another version: all the same to us
        return None, f"NVML does not answer ({_named(error)})"
    return nvml, ""


def _named(error: Exception) -> str:
    return f"{type(error).__name__}: {clean_message(error)}"
