"""Memory, load and KV-cache use, once a second."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

import psutil

from engine.gpus import NoDriver, nvml
from engine.protocol.events import GpuReading, Telemetry

_PERIOD = 1.0  # seconds


class Gpus:
    """The machine's NVIDIA GPUs through NVML; `open` gives None where there are none."""

    def __init__(self, nvml: Any, ours: int | None) -> None:
        self._nvml, self._ours = nvml, ours
        self._handles = [nvml.nvmlDeviceGetHandleByIndex(index) for index in range(nvml.nvmlDeviceGetCount())]

    @classmethod
    def open(cls, ours: int | None) -> Gpus | None:
        """All of them, of which the run is on the one with the NVML index `ours`, or on none; or None."""
        try:
            asked = nvml()
        except NoDriver:
            return None
        try:
            gpus = cls(asked, ours)
        except asked.NVMLError:
            return None
        return gpus if len(gpus._handles) > (ours or 0) else None

    def read(self) -> list[GpuReading]:
        """Every GPU now, the run's own first."""
        readings = [self._read_one(index, handle) for index, handle in enumerate(self._handles)]
        return sorted((reading for reading in readings if reading), key=lambda reading: not reading.ours)

    def _read_one(self, index: int, handle: Any) -> GpuReading | None:
        nvml, name = self._nvml, self._ask("Name", handle)
        memory = self._ask("MemoryInfo", handle)
        if memory is None:  # it has gone away
            return None
        load = self._ask("UtilizationRates", handle)
        power, limit = self._ask("PowerUsage", handle), self._ask("EnforcedPowerLimit", handle)  # milliwatts
        return GpuReading(
            name=name.decode() if isinstance(name, bytes) else str(name or "GPU"),
            index=index,
            ours=index == self._ours,
            memory_used=int(memory.used),
            memory_total=int(memory.total),
            utilisation=None if load is None else load.gpu / 100,
            temperature=self._ask("Temperature", handle, nvml.NVML_TEMPERATURE_GPU),
            power=None if power is None else power / 1000,
            power_limit=None if limit is None else limit / 1000,
        )

    def _ask(self, what: str, handle: Any, *more: Any) -> Any:
        """A figure, or None where this GPU does not tell it (laptops and partitions tell little)."""
        try:
            return getattr(self._nvml, f"nvmlDeviceGet{what}")(handle, *more)
        except self._nvml.NVMLError:
            return None


class Sampler:
    """Emits a `Telemetry` event every second from a thread of its own."""

    def __init__(self, emit: Callable[[Telemetry], None], gpus: Gpus | None) -> None:
        self._emit, self._gpus = emit, gpus
        self._process = psutil.Process()
        self._process.cpu_percent()  # the first call only sets the reference
        self._kv_cache_usage: Callable[[], float | None] = lambda: None
        self._thread = threading.Thread(target=self._run, name="telemetry", daemon=True)

    def start(self) -> None:
        """Begin sampling."""
        self._thread.start()

    def watch_kv_cache(self, usage: Callable[[], float | None]) -> None:
        """Report this as the KV-cache usage from now on."""
        self._kv_cache_usage = usage

    def sample(self) -> Telemetry:
        """Read everything now."""
        gpus = self._gpus.read() if self._gpus else []
        own = next((gpu for gpu in gpus if gpu.ours), None)
        children = self._process.children(recursive=True)
        return Telemetry(
            kv_cache_usage=self._kv_cache_usage(),
            gpu_memory_used=own.memory_used if own else None,
            gpu_memory_total=own.memory_total if own else None,
            gpu_utilisation=own.utilisation if own else None,
            gpus=gpus,
            rss=self._process.memory_info().rss + sum(_rss(child) for child in children),
            cpu=self._process.cpu_percent() / 100,
        )

    def _run(self) -> None:
        while True:
            time.sleep(_PERIOD)
            self._emit(self.sample())


def _rss(process: psutil.Process) -> int:
    try:
        return int(process.memory_info().rss)
    except psutil.Error:  # it ended in between
        return 0
