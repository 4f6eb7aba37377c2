"""Prepare the process before torch, transformers and vLLM are first imported; say what there is."""

from __future__ import annotations

import ctypes
import gc
import importlib
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
    "HF_UPDATE_DOWNLOAD_COUNTS": "0",  # or `datasets` tells the hub what it reads
    # The worker lives in this process: no port is opened, and a call costs a function call.
    "VLLM_ENABLE_V1_MULTIPROCESSING": "0",
    # No pickle that could run code is loaded, neither as weights nor as a message.
    "TORCH_FORCE_WEIGHTS_ONLY_LOAD": "1",
    "VLLM_ALLOW_INSECURE_SERIALIZATION": "0",
    # The packed path is written against the V1 model runner, which every release up to 0.33 takes by this, whatever
    # the model. `engine.runtimes.vllm.support` says so where a release has none.
    "VLLM_USE_V2_MODEL_RUNNER": "0",
    # Nothing is drawn at random from logits here, and FlashInfer compiles its sampler with nvcc at the start.
    "VLLM_USE_FLASHINFER_SAMPLER": "0",
    # The two losses of a probe differ in digits that TF32 does not have.
    "VLLM_FLOAT32_MATMUL_PRECISION": "highest",
    # CUDA counts GPUs as NVML and nvidia-smi do, so that `cuda:1` is what they call 1.
    "CUDA_DEVICE_ORDER": "PCI_BUS_ID",
}

# Settings under which the numbers would be coarser, vLLM would load other files than those that were checked, or be one
# of several processes.
_DROPPED = (
    "NVIDIA_TF32_OVERRIDE",  # cuBLAS takes TF32 by it, whatever torch asks for
    "TORCH_ALLOW_TF32_CUBLAS_OVERRIDE",
    "TORCH_COMPILE_DISABLE",  # on the CPU TORCHDYNAMO_DISABLE does the same; see `prepare_device` for CUDA
    "TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD",  # torch refuses to have both
    "VLLM_MODEL_REDIRECT_PATH",
    "VLLM_USE_MODELSCOPE",
    "VLLM_DP_SIZE",
    "VLLM_DP_RANK",
    "VLLM_DP_RANK_LOCAL",
    "VLLM_DISTRIBUTED_USE_SPLIT_GROUP",  # NCCL would be started, which opens a port
)

# Where the user's environment says otherwise, it is right.
_PREFERRED = {
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

_overruled: list[str] = []  # variables of the user's that were set otherwise


def prepare() -> None:
    """Set what the libraries read when they are imported. The user's own settings win where safety does not."""
    gc.set_threshold(*_WHILE_LOADING)
    for name in _DROPPED:
        _overrule(name, None)
    for name, value in _FORCED.items():
        _overrule(name, value)
    # torch would take a GPU for usable that its driver is too old for. vLLM sets this when it is imported, so that it
    # may come from a process before this one, and is not told as the user's.
    os.environ.pop("PYTORCH_NVML_BASED_CUDA_CHECK", None)
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


def _overrule(name: str, value: str | None) -> None:
    """Set a variable whatever the user has set it to, and remember where that was something else; None: unset it."""
    had = os.environ.pop(name, None)
    if had not in (None, value):
        _overruled.append(name)
    if value is not None:
        os.environ[name] = value


def overruled() -> str:
    """What the user has set and does not get, as a line for people; empty if there is nothing."""
    if not _overruled:
        return ""
    why = "; zotui is written against vLLM's V1 model runner" * ("VLLM_USE_V2_MODEL_RUNNER" in _overruled)
    return f"not as your environment has it: {', '.join(_overruled)} (engine/environment.py says why){why}"


def loaded() -> None:
    """Everything is: what a step leaves behind is looked for as ever."""
    gc.set_threshold(*_AT_WORK)


def absent() -> list[str]:
    """Libraries that are installed but did not load, and are treated as absent."""
    return [name for name in _FRAGILE if name in sys.modules and sys.modules[name] is None]


def prepare_device(device: str) -> None:
    """Settings that depend on the device, after torch is imported and before vLLM is."""
    if device == "cpu":
        # vLLM with LoRA compiles nothing on CPU but a sampler function, for 20 s, at the first call.
        os.environ.setdefault("TORCHDYNAMO_DISABLE", "1")
        # vLLM would replace an unset value by a thread count of its own.
        os.environ.setdefault("VLLM_CPU_OMP_THREADS_BIND", "nobind")
    else:
        # Attention in float32 runs on Triton there, which would round its products to TF32.
        _overrule("TRITON_F32_DEFAULT", "ieee")
        # No pass is compiled (`enforce_eager`), and what vLLM compiles all the same it does not run well without: the
        # ranks of scored tokens would be counted over copies of all logits, attention of head sizes that only
        # FlexAttention has would hold the scores of the whole cache. (vllm/v1/sample/ops/logprobs.py,
        # vllm/v1/attention/backends/flex_attention.py)
        _overrule("TORCHDYNAMO_DISABLE", None)
        _sum_in_full()


def _sum_in_full() -> None:
    """Have cuBLAS add up in float32 whatever the factors are: in their own 16 bits it costs the noise floor digits."""
    import torch

    torch.set_float32_matmul_precision("highest")  # nor TF32
    torch.backends.cuda.matmul.allow_fp16_reduced_precision_reduction = False
    torch.backends.cuda.matmul.allow_bf16_reduced_precision_reduction = False
