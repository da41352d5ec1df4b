"""GPUs by NVML: present, absent, split up, failing in mid-run, gone and back."""

import logging
import shutil
import subprocess
import sys
from types import ModuleType
from typing import Any

import pytest

from collector_agent.probes import Values
from collector_agent.probes.gpu import GpuProbe, find_gpus, open_nvml
from collector_agent.sampling.sampler import HOST, Sampler

GPU_SOURCE = [source for source in HOST if source[0] == "gpu"]


class NVMLError(Exception):
    pass


class NVMLError_NotSupported(NVMLError):  # noqa: N801, N818  # NVML's own name
    pass


class NVMLError_NoPermission(NVMLError):  # noqa: N801, N818  # as above
    pass


class NVMLError_NotFound(NVMLError):  # noqa: N801, N818  # as above
    pass


class NVMLError_GpuIsLost(NVMLError):  # noqa: N801, N818  # as above
    pass


class FakeNvml(ModuleType):
    """A module that speaks NVML of these GPUs, each a dict; a value that is an exception is raised."""

    def __init__(self, *gpus: dict[str, Any]) -> None:
        super().__init__("pynvml")
        self.gpus = list(gpus)
        self.inits = 0
        self.asked = 0
        for kind in (NVMLError_NotSupported, NVMLError_NoPermission, NVMLError_NotFound):
            setattr(self, kind.__name__, kind)

    def nvmlInit(self) -> None:  # noqa: N802  # NVML's own name, and so below
        self.inits += 1

    def nvmlDeviceGetCount(self) -> int:  # noqa: N802
        return len(self.gpus)

    def nvmlDeviceGetHandleByIndex(self, index: int) -> dict[str, Any]:  # noqa: N802
        return _given(self.gpus[index].get("handle", self.gpus[index]))

    def nvmlDeviceGetHandleByUUID(self, uuid: str) -> dict[str, Any]:  # noqa: N802
        for gpu in self.gpus:
            if gpu.get("uuid") == uuid:
                return gpu
        raise NVMLError_NotFound

    def nvmlDeviceGetUUID(self, gpu: dict[str, Any]) -> str:  # noqa: N802
        return str(_given(gpu.get("uuid", NVMLError_NotSupported())))

    def nvmlDeviceGetMemoryInfo(self, gpu: dict[str, Any]) -> Any:  # noqa: N802
        self.asked += 1
        return type("memory", (), {"used": _given(gpu["used"]), "total": gpu.get("total", 100)})

    def nvmlDeviceGetUtilizationRates(self, gpu: dict[str, Any]) -> Any:  # noqa: N802
        return type("utilization", (), {"gpu": _given(gpu["percent"])})

    def nvmlDeviceGetMaxMigDeviceCount(self, gpu: dict[str, Any]) -> int:  # noqa: N802
        return 7

    def nvmlDeviceGetMigDeviceHandleByIndex(self, gpu: dict[str, Any], number: int) -> Any:  # noqa: N802
        parts = gpu.get("parts", [])
        if number >= len(parts):
            raise NVMLError_NotFound
        return _given(parts[number])


def _given(value: Any) -> Any:
    if isinstance(value, Exception):
        raise value
    return value


class Clock:
    now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


def of(percent: float | None, used: int, total: int = 100) -> Values:
    return {
        "gpu_utilization_percent": percent,
        "gpu_memory_used_bytes": used,
        "gpu_memory_total_bytes": total,
    }


def test_each_gpu_is_a_target_with_its_values(monkeypatch: pytest.MonkeyPatch) -> None:
    module = FakeNvml({"used": 10, "percent": 7}, {"used": 20, "percent": 101})
    monkeypatch.setitem(sys.modules, "pynvml", module)
    assert Sampler(GPU_SOURCE).read() == {"gpu:0": of(7.0, 10), "gpu:1": of(100.0, 20)}


@pytest.mark.parametrize(
    ("gpu", "values"),
    [
        # Its administrator sees the whole of a GPU that is split up, and nobody how busy it is.
        ({"used": 30, "percent": NVMLError_NotSupported()}, of(None, 30)),
        # Others see the parts that are theirs.
        (
            {
                "used": NVMLError_NoPermission(),
                "percent": NVMLError_NotSupported(),
                "parts": [{"used": 5, "total": 40}, NVMLError_NotFound(), {"used": 1, "total": 20}],
            },
            of(None, 6, 60),
        ),
    ],
)
def test_a_gpu_that_is_split_up_gives_its_memory(gpu: dict[str, Any], values: Values) -> None:
    assert GpuProbe(FakeNvml(gpu), 0).read() == values


def test_a_gpu_that_tells_nothing_raises_what_nvml_raised() -> None:
    refused = NVMLError_NoPermission("ask your administrator")
    with pytest.raises(NVMLError_NoPermission, match="ask your administrator"):
        GpuProbe(FakeNvml({"used": refused, "percent": 1}), 0).read()


def test_without_nvml_there_are_no_gpus_and_no_error(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    monkeypatch.setitem(sys.modules, "pynvml", None)
    sampler = Sampler(GPU_SOURCE)
    assert [sampler.read() for _ in range(3)] == [{}, {}, {}]
    assert sampler.failures == 0
    assert caplog.text.count("GPUs are not sampled: nvidia-ml-py is not installed") == 1


def test_a_driver_that_does_not_answer_is_said_and_its_text_is_masked() -> None:
    class Silent(FakeNvml):
        def nvmlInit(self) -> None:  # noqa: N802
            raise OSError("driver is gone, ask ada@example.org")

    assert open_nvml(Silent()) == (None, "NVML does not answer (OSError: driver is gone, ask <mail>)")
    assert find_gpus(Silent()) == {}


def test_a_driver_that_answers_and_counts_nothing_is_said(caplog: pytest.LogCaptureFixture) -> None:
    class Uncounted(FakeNvml):
        def nvmlDeviceGetCount(self) -> int:  # noqa: N802
            raise NVMLError("unknown")

    assert find_gpus(Uncounted()) == {}
    assert "GPUs are not sampled: NVMLError: unknown" in caplog.text


def test_a_gpu_that_cannot_be_opened_leaves_the_others(caplog: pytest.LogCaptureFixture) -> None:
    module = FakeNvml(
        {"used": 1, "percent": 1}, {"handle": NVMLError_GpuIsLost("lost")}, {"used": 3, "percent": 3}
    )
    assert list(find_gpus(module)) == ["gpu:0", "gpu:2"]
    assert "gpu:1 of 3 is not sampled: NVMLError_GpuIsLost: lost" in caplog.text


def test_a_gpu_that_vanishes_in_mid_run_is_counted_said_once_and_the_rest_goes_on(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    module = FakeNvml({"used": 1, "percent": 1}, {"used": 2, "percent": 2})
    monkeypatch.setitem(sys.modules, "pynvml", module)
    sampler = Sampler(HOST)
    assert {"gpu:0", "gpu:1"} <= sampler.read().keys()
    module.gpus[0]["used"] = NVMLError_GpuIsLost("lost")
    for _ in range(3):
        values = sampler.read()
        assert (values["gpu:0"], values["gpu:1"]) == ({}, of(2.0, 2))
        assert values["host"]["memory_used_bytes"]
    assert sampler.failures == 1
    assert caplog.text.count("could not be read") == 1


def test_a_gpu_that_is_gone_is_asked_again_after_a_minute_and_found_by_its_uuid() -> None:
    clock = Clock()
    first, second = {"uuid": "A", "used": 1, "percent": 1}, {"uuid": "B", "used": 2, "percent": 2}
    module = FakeNvml(first, second)
    probes = find_gpus(module, clock)
    second["used"] = NVMLError_GpuIsLost()
    with pytest.raises(NVMLError_GpuIsLost):
        probes["gpu:1"].read()
    asked = module.asked
    clock.now_s = 59.0
    assert probes["gpu:1"].read() == {}
    assert module.asked == asked  # a GPU that hangs would hang each time
    module.gpus = [{"uuid": "B", "used": 7, "percent": 3}]  # back, and the other one is gone
    clock.now_s = 61.0
    assert probes["gpu:1"].read() == of(3.0, 7)
    assert module.inits == 2  # after the driver was loaded anew


def test_a_gpu_that_stays_away_is_asked_once_a_minute() -> None:
    clock = Clock()
    module = FakeNvml({"uuid": "A", "used": NVMLError_GpuIsLost(), "percent": 1})
    probe = GpuProbe(module, 0, clock)
    failures = 0
    for second in range(0, 600, 10):
        clock.now_s = second
        try:
            probe.read()
        except NVMLError:
            failures += 1
    assert failures == 10


def test_this_machines_nvml_answers_or_says_why_not() -> None:
    module, why = open_nvml()
    assert (module is None) == bool(why)


@pytest.mark.skipif(shutil.which("nvidia-smi") is None, reason="this machine has no NVIDIA GPU")
def test_a_real_gpu_says_what_nvidia_smi_says() -> None:
    pytest.importorskip("pynvml")
    asked = ["nvidia-smi", "--query-gpu=memory.total", "--format=csv,noheader,nounits"]
    done = subprocess.run(asked, capture_output=True, text=True, timeout=60)
    if done.returncode:
        pytest.skip(f"nvidia-smi does not answer: {done.stdout} {done.stderr}")
    totals = [int(line) * 1024**2 for line in done.stdout.split()]
    readings = [probe.read() for probe in find_gpus().values()]
    assert [reading["gpu_memory_total_bytes"] for reading in readings] == pytest.approx(totals, abs=1024**2)
    for reading in readings:
        assert 0 <= (reading["gpu_memory_used_bytes"] or 0) <= (reading["gpu_memory_total_bytes"] or 0)
        percent = reading["gpu_utilization_percent"]
        assert percent is None or 0 <= percent <= 100
