"""NVML as on a machine with GPUs, simulated: no machine of the tests has one."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any


class NVMLError(Exception):
    """As NVML's own, with its number."""

    def __init__(self, value: int = 999, text: str = "") -> None:
        super().__init__(text)
        self.value = value


class SimulatedNvml:
    """Two GPUs, of which the second is partitioned, under driver 550, which ends at CUDA 12.4."""

    NVMLError = NVMLError
    UUIDS = ("GPU-1a2b3c4d-0000-0000-0000-000000000000", "GPU-5e6f7a8b-0000-0000-0000-000000000000")
    PART = "MIG-99999999-0000-0000-0000-000000000000"  # of the second

    def __init__(self, *, count: int = 2, newest: int = 12040, fault: NVMLError | None = None) -> None:
        self._count, self._newest, self._fault = count, newest, fault

    def nvmlInit(self) -> None:
        if self._fault:
            raise self._fault

    def nvmlDeviceGetCount(self) -> int:
        return self._count

    def nvmlSystemGetDriverVersion(self) -> str:
        return "550.54.14"

    def nvmlSystemGetCudaDriverVersion_v2(self) -> int:
        return self._newest

    def nvmlDeviceGetHandleByIndex(self, index: int) -> int:
        return index

    def nvmlDeviceGetName(self, handle: int) -> str:
        return "NVIDIA GeForce RTX 4090"

    def nvmlDeviceGetMemoryInfo(self, handle: int) -> Any:
        return SimpleNamespace(free=2**34, total=24 * 2**30)

    def nvmlDeviceGetUUID(self, handle: int) -> str:
        return self.UUIDS[handle]

    def nvmlDeviceGetHandleByUUID(self, uuid: str) -> str:
        if uuid != self.PART:
            raise NVMLError(6, "Not Found")
        return "part"

    def nvmlDeviceGetDeviceHandleFromMigDeviceHandle(self, handle: str) -> int:
        assert handle == "part"
        return 1

    def nvmlDeviceGetIndex(self, handle: int) -> int:
        return handle


def __getattr__(name: str) -> Any:
    """As `pynvml` itself, for a process whose path begins with a module that takes all from here."""
    return getattr(_ONE, name)


_ONE = SimulatedNvml()
