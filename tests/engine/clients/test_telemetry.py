"""What is read of GPUs, through a simulated NVML: no machine of the tests has one."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from engine.clients.telemetry import Gpus, Sampler


class SimulatedNvml:
    """Two GPUs; the second tells nothing but its memory, as some laptops' do."""

    NVML_TEMPERATURE_GPU = 0

    class NVMLError(Exception): ...

    def __getattr__(self, name: str) -> Any:
        figures = {
            "nvmlDeviceGetName": "NVIDIA H200",
            "nvmlDeviceGetUtilizationRates": SimpleNamespace(gpu=87),
            "nvmlDeviceGetPowerUsage": 612_500,
            "nvmlDeviceGetEnforcedPowerLimit": 700_000,
            "nvmlDeviceGetTemperature": 64,
        }

        def ask(handle: int, *more: int) -> Any:
            if name == "nvmlDeviceGetMemoryInfo":
                return SimpleNamespace(used=2**30 * (handle + 1), total=2**37)
            if handle == 1:
                raise self.NVMLError
            return figures[name]

        return ask

    def nvmlDeviceGetCount(self) -> int:
        return 2

    def nvmlDeviceGetHandleByIndex(self, index: int) -> int:
        return index


def test_every_gpu_is_read_and_the_run_s_own_comes_first() -> None:
    own, other = Gpus(SimulatedNvml(), ours=1).read()
    assert (own.index, own.ours, own.memory_used, own.temperature, own.power) == (1, True, 2**31, None, None)
    assert (other.name, other.utilisation, other.power, other.power_limit) == ("NVIDIA H200", 0.87, 612.5, 700.0)
    assert (other.temperature, other.memory_total, other.ours) == (64, 2**37, False)


@pytest.mark.parametrize("gpus", [None, Gpus(SimulatedNvml(), ours=0)])
def test_a_sample_is_about_the_run_s_own_gpu(gpus: Gpus | None) -> None:
    sample = Sampler(lambda event: None, gpus).sample()
    assert sample.rss > 0
    assert sample.gpu_memory_used == (2**30 if gpus else None)
    assert sample.gpu_utilisation == (0.87 if gpus else None)
    assert len(sample.gpus) == (2 if gpus else 0)
