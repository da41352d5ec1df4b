"""NVIDIA GPUs, through NVML."""

import logging
from importlib import import_module
from typing import Any

from collector_agent.probes import Values

_log = logging.getLogger("rpa_agent")


class GpuProbe:
    """One GPU's utilization and memory. Raises what NVML raises when the GPU does not answer."""

    def __init__(self, pynvml: Any, index: int) -> None:
        self._pynvml = pynvml
        self._handle = pynvml.nvmlDeviceGetHandleByIndex(index)

    def read(self) -> Values:
        memory = self._pynvml.nvmlDeviceGetMemoryInfo(self._handle)
        values: Values = {
            "gpu_memory_used_bytes": int(memory.used),
            "gpu_memory_total_bytes": int(memory.total),
            "gpu_utilization_percent": None,
        }
        try:
            utilization = self._pynvml.nvmlDeviceGetUtilizationRates(self._handle)
        except self._pynvml.NVMLError_NotSupported:  # a GPU that is split up (MIG) does not know it
            return values
        return values | {"gpu_utilization_percent": float(utilization.gpu)}


def find_gpus(pynvml: Any = None) -> dict[str, GpuProbe]:
    """A probe for each GPU by target ('gpu:0' …); none, and one line in the log, where NVML does not answer.

    `pynvml` is the module that speaks NVML. NVML stays initialized until the process ends.
    """
    gpus: dict[str, GpuProbe] = {}
    nvml, why = open_nvml(pynvml)
    if nvml is None:
        _log.info("GPUs are not sampled: %s", why)
        return gpus
    try:
        for index in range(nvml.nvmlDeviceGetCount()):
            gpus[f"gpu:{index}"] = GpuProbe(nvml, index)
    except Exception as error:  # noqa: BLE001  # NVML's errors have no base that every version shares
        _log.warning("of the GPUs only %d are sampled: %s: %s", len(gpus), type(error).__name__, error)
    return gpus


def open_nvml(pynvml: Any = None) -> tuple[Any, str]:
    """(the module, ready to be asked, '') or (None, why NVML does not answer on this machine)."""
    try:
        nvml = import_module("pynvml") if pynvml is None else pynvml
        nvml.nvmlInit()
    except ImportError:
        return None, "nvidia-ml-py is not installed (pip install 'rpa-analytics[gpu]')"
    except Exception as error:  # noqa: BLE001  # no driver, no library, another version: all the same to us
        return None, f"NVML does not answer ({type(error).__name__}: {error})"
    return nvml, ""
