"""Prepare the process before torch, transformers and vLLM are first imported; say what there is."""

from __future__ import annotations

import ctypes
import gc
import importlib
import importlib.util
import os
import platform
import sys

from engine import variables

# Installed beside a CPU build of torch these may fail to load (`operator torchvision::nms does not
# exist`) and take transformers down with them, though nothing here needs them.
_FRAGILE = ("torchvision", "torchaudio", "torchcodec")

# glibc's malloc maps what is larger than 32 MiB anew each time, and the kernel clears it page by page: a fifth
# more time for a pass whose activations are that large. (malloc.h: M_MMAP_THRESHOLD, M_TRIM_THRESHOLD)
_KEPT_BY_MALLOC = {-3: 2**30, -1: 2**30}

# New objects after which Python looks for unreachable ones. The libraries make a million that stay: to look through
# them every 700 takes a tenth of a start.
_AT_WORK = gc.get_threshold()
_WHILE_LOADING = (50_000, 10, 10)

_overruled: dict[str, None] = {}  # variables of the user's that were set otherwise, in the order in which they were
_prepared = 0  # the process that was


def prepare() -> None:
    """Set what the libraries read when they are imported, as `engine.variables` says.

    Once in a process: what stands in the environment later, libraries have put there.
    """
    global _prepared
    if _prepared == os.getpid():
        return
    _prepared = os.getpid()
    gc.set_threshold(*_WHILE_LOADING)
    _overruled.clear()
    for name, value in variables.LEFT_BEHIND.items():
        if os.environ.get(name) == value:
            del os.environ[name]
    for name in sorted({*filter(variables.dropped, os.environ), *variables.FORCED}):
        _overrule(name, variables.FORCED.get(name))
    for name, value in variables.PREFERRED.items():
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
        _overruled[name] = None
    if value is not None:
        os.environ[name] = value


def overruled() -> str:
    """What the user has set and does not get, as a line for people; empty if there is nothing."""
    return variables.told(_overruled)


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
        _overrule("TORCHDYNAMO_DISABLE", "1")
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
