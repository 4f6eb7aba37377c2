"""NVIDIA's management library, as it is asked of the simulated card."""

from __future__ import annotations

import importlib.abc
import importlib.machinery
import sys
import types
from types import SimpleNamespace
from typing import Any

from tests.rehearsal.simulated.card import Card


class _Nvml(types.ModuleType):
    """What nobody has named here is 0."""

    class NVMLError(Exception):
        pass

    def __getattr__(self, name: str) -> Any:
        if name.startswith("NVML_"):
            return 0
        if name.startswith("nvml"):
            return lambda *args, **kwargs: 0
        raise AttributeError(name)


class _Ours(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """vLLM brings a copy of pynvml; this one is found in its place."""

    def __init__(self, module: types.ModuleType) -> None:
        self._module = module

    def find_spec(self, name: str, path: Any, target: Any = None) -> importlib.machinery.ModuleSpec | None:
        return importlib.machinery.ModuleSpec(name, self) if name == "vllm.third_party.pynvml" else None

    def create_module(self, spec: Any) -> types.ModuleType:
        return self._module

    def exec_module(self, module: Any) -> None:
        pass


def install(card: Card) -> None:
    """In the place of pynvml and of vLLM's copy."""
    nvml = _Nvml("pynvml")
    told: dict[str, Any] = {
        "nvmlInit": lambda: None,
        "nvmlShutdown": lambda: None,
        "nvmlDeviceGetCount": lambda: 1,
        "nvmlDeviceGetHandleByIndex": lambda index: index,
        "nvmlDeviceGetCudaComputeCapability": lambda handle: card.capability,
        "nvmlDeviceGetName": lambda handle: card.name,
        "nvmlDeviceGetUUID": lambda handle: "GPU-0",
        "nvmlDeviceGetMemoryInfo": lambda handle, version=None: SimpleNamespace(
            total=card.total, free=card.free, used=card.total - card.free
        ),
        "nvmlDeviceGetUtilizationRates": lambda handle: SimpleNamespace(gpu=50, memory=10),
        "nvmlSystemGetDriverVersion": lambda: "580.0-simulated",
    }
    for name, answer in told.items():
        setattr(nvml, name, answer)
    sys.modules["pynvml"] = nvml
    sys.meta_path.insert(0, _Ours(nvml))
