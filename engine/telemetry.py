"""Memory, load and KV-cache use, once a second; the only module that talks to NVML."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

import psutil

from engine.messages import Telemetry

_PERIOD = 1.0  # seconds


class Gpu:
    """One NVIDIA GPU through NVML; `open` gives None where there is none."""

    def __init__(self, nvml: Any, handle: Any) -> None:
        self._nvml, self._handle = nvml, handle

    @classmethod
    def open(cls, index: int = 0) -> Gpu | None:
        """The GPU with this NVML index, or None."""
        try:
            import pynvml

            pynvml.nvmlInit()
            return cls(pynvml, pynvml.nvmlDeviceGetHandleByIndex(index))
        except (ImportError, pynvml.NVMLError):
            return None

    def memory(self) -> tuple[int, int]:
        """(used, total) in bytes."""
        info = self._nvml.nvmlDeviceGetMemoryInfo(self._handle)
        return int(info.used), int(info.total)

    def utilisation(self) -> float:
        """Share of the last moments in which a kernel ran, 0..1."""
        return float(self._nvml.nvmlDeviceGetUtilizationRates(self._handle).gpu) / 100


class Sampler:
    """Emits a `Telemetry` event every second from a thread of its own."""

    def __init__(self, emit: Callable[[Telemetry], None], gpu: Gpu | None) -> None:
        self._emit, self._gpu = emit, gpu
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
        used, total, utilisation = (*self._gpu.memory(), self._gpu.utilisation()) if self._gpu else (None,) * 3
        children = self._process.children(recursive=True)
        return Telemetry(
            kv_cache_usage=self._kv_cache_usage(),
            gpu_memory_used=used,
            gpu_memory_total=total,
            gpu_utilisation=utilisation,
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
