"""Prepare the process before torch, transformers and vLLM are first imported; say what there is."""

from __future__ import annotations

import ctypes
import gc
import importlib
import importlib.metadata
import importlib.util
import os
import platform
import sys

# Installed beside a CPU build of torch these may fail to load (`operator torchvision::nms does not
# exist`) and take transformers down with them, though nothing here needs them.
_FRAGILE = ("torchvision", "torchaudio", "torchcodec")

# Whatever is set in the user's environment, mostly for a server on the same machine.
_FORCED = {
    # Nothing phones home.
    "VLLM_NO_USAGE_STATS": "1",
    "DO_NOT_TRACK": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "HF_UPDATE_DOWNLOAD_COUNTS": "0",  # or `datasets` tells the hub of every local file that it reads
    # The worker lives in this process: no port is opened, and a call costs a function call.
    "VLLM_ENABLE_V1_MULTIPROCESSING": "0",
    # No pickle that could run code is loaded, neither as weights nor as a message.
    "TORCH_FORCE_WEIGHTS_ONLY_LOAD": "1",
    "VLLM_ALLOW_INSECURE_SERIALIZATION": "0",
}

# Settings under which vLLM would load other files than those that were checked, or be one of several processes.
_DROPPED = (
    "TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD",  # torch refuses to have both
    "VLLM_MODEL_REDIRECT_PATH",
    "VLLM_USE_MODELSCOPE",
    "VLLM_DP_SIZE",
    "VLLM_DP_RANK",
    "VLLM_DP_RANK_LOCAL",
)

# Where the user's environment says otherwise, it is right.
_PREFERRED = {
    # The packed path is written against the V1 model runner.
    "VLLM_USE_V2_MODEL_RUNNER": "0",
    "TOKENIZERS_PARALLELISM": "false",
    # Progress is told as phases; bars would only fill the log.
    "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    # Idle OpenMP threads must not spin for long: two cores have other things to do between kernels. Some microseconds
    # save waking them for the next small kernel, of which slots have many.
    "OMP_WAIT_POLICY": "PASSIVE",
    "GOMP_SPINCOUNT": "20000",
}

# glibc's malloc maps what is larger than 32 MiB anew each time, and the kernel clears it page by page: a fifth
# more time for a pass whose activations are that large. (malloc.h: M_MMAP_THRESHOLD, M_TRIM_THRESHOLD)
_KEPT_BY_MALLOC = {-3: 2**30, -1: 2**30}

# New objects after which Python looks for unreachable ones. The libraries make a million that stay: to look through
# them every 700 takes a tenth of a start.
_AT_WORK = gc.get_threshold()
_WHILE_LOADING = (50_000, 10, 10)


def prepare() -> None:
    """Set what the libraries read when they are imported. The user's own settings win where safety does not."""
    gc.set_threshold(*_WHILE_LOADING)
    for name in _DROPPED:
        os.environ.pop(name, None)
    os.environ.update(_FORCED)
    for name, value in _PREFERRED.items():
        os.environ.setdefault(name, value)
    if platform.libc_ver()[0] == "glibc" and "GLIBC_TUNABLES" not in os.environ:
        for parameter, kept in _KEPT_BY_MALLOC.items():
            ctypes.CDLL(None).mallopt(parameter, kept)
    for name in _FRAGILE:
        if name in sys.modules or importlib.util.find_spec(name) is None:
            continue
        try:
            importlib.import_module(name)
        except Exception:  # noqa: BLE001 - any error at all: a library that does not load is treated as absent
            for loaded in [m for m in sys.modules if m == name or m.startswith(f"{name}.")]:
                del sys.modules[loaded]
            sys.modules[name] = None  # type: ignore[assignment]


def loaded() -> None:
    """Everything is: what a step leaves behind is looked for as ever."""
    gc.set_threshold(*_AT_WORK)


def absent() -> list[str]:
    """Libraries that are installed but did not load, and are treated as absent."""
    return [name for name in _FRAGILE if name in sys.modules and sys.modules[name] is None]


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
    else:
        # Attention in float32 runs on Triton there, which would round its products to TF32.
        os.environ.setdefault("TRITON_F32_DEFAULT", "ieee")
