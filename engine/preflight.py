"""What is checked and decided before anything is loaded: device, runtime, memory, disk."""

from __future__ import annotations

import importlib.util
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Literal

import torch

from engine import preset
from engine.disk import Disk
from engine.errors import UserError
from engine.fold import FoldMode
from engine.memory import Memory, available_memory, estimate_memory, in_bytes, residual_bytes
from engine.model_files import ModelFacts
from engine.runtime import Needs

_GiB = 2**30


def choose_device(wanted: str) -> str:
    """`cpu`, or `cuda:0` for the one GPU that `environment.mask_gpus` left visible.

    Raises `UserError` for a GPU that is not there.
    """
    there = torch.cuda.is_available() and torch.cuda.device_count() > 0
    if wanted == "cpu" or (wanted == "auto" and not there):
        return "cpu"
    if not there:
        raise UserError(f"model.device: {wanted}: torch sees no such GPU here; use --set model.device=cpu or auto")
    return "cuda:0"


def describe_device(device: str) -> str:
    """The device with its name, for people."""
    if device == "cpu":
        return f"cpu ({torch.get_num_threads()} threads)"
    return f"{device} ({torch.cuda.get_device_name(device)})"


def choose_dtype(wanted: str, device: str, facts: ModelFacts) -> str:
    """float32, bfloat16 or float16 for `model.dtype`."""
    if wanted != "auto":
        return wanted
    return "float32" if device == "cpu" else str(facts.dtype).removeprefix("torch.")


def choose_runtime(wanted: str, device: str) -> tuple[str, str]:
    """`vllm` or `training-loop` for `model.runtime`, and a line for the log.

    Raises `UserError` if vllm is asked for and does not load.
    """
    if wanted == "training-loop":
        return wanted, "runtime: training-loop, as asked for"
    if importlib.util.find_spec("vllm") is None:
        problem = "vLLM is not installed"
    else:
        try:
            import vllm
            from vllm.platforms import current_platform
        except Exception as error:  # noqa: BLE001 - any fault of an installation, from a missing library to a bad build
            problem = f"vLLM does not load ({type(error).__name__}: {str(error).splitlines()[0][:120]})"
        else:
            kind = device.partition(":")[0]
            if current_platform.device_type == kind:
                return "vllm", f"runtime: vLLM {vllm.__version__}"
            problem = (
                f"this vLLM ({vllm.__version__}) is built for {current_platform.device_type or 'no device'}, not {kind}"
            )
    if wanted == "vllm":
        raise UserError(
            f"model.runtime: {problem}; pip install 'zotui[cuda]' (NVIDIA) or 'zotui[cpu]', "
            "or use --set model.runtime=training-loop"
        )
    return "training-loop", f"{problem}: the slower training-loop runtime is used"


def check_architecture(facts: ModelFacts) -> None:
    """Raise `UserError` if vLLM cannot adapt this model."""
    from engine.vllm_seam.architecture import adaptable

    if not adaptable(facts.architecture):
        raise UserError(
            f"model.path: {facts.path}: vLLM has no LoRA support for {facts.architecture}; "
            "use --set model.runtime=training-loop"
        )


def check_memory(
    facts: ModelFacts,
    needs: Needs,
    method: preset.Method,
    *,
    dtype: str,
    device: str,
    runtime: str,
    fold: FoldMode,
    limit_gib: float | None,
) -> tuple[Memory, str]:
    """The memory of a run, and a line for the log. Raises `UserError` if it is more than there is."""
    whole = estimate_memory(facts, needs, method, dtype=dtype, device=device, runtime=runtime, fold=fold)
    available = available_memory(device, limit_gib)
    needed = whole if whole.total <= available else replace(whole, copies=0)
    if needed.total > available:
        without = ""
        if needed.residuals:
            without = f", or --set model.fold=stochastic ({needed.residuals / _GiB:.1f} GiB less)"
        raise UserError(
            f"model.path: {facts.path}: needs about {needed.total / _GiB:.1f} GiB of memory on {device}, "
            f"{available / _GiB:.1f} GiB are available; take a smaller model, dtype or run.batch_size{without}"
        )
    slower = ", but without room for plain copies, and so with slower folds" if needed.copies < whole.copies else ""
    return needed, f"memory: {needed}; {in_bytes(available)} are available on {device}: fits{slower}"


def check_disk(needed: Disk, folder: Path) -> tuple[Literal["info", "warning"], str]:
    """A line for the log on whether the disk of `folder` has room.

    Raises `UserError` if there is none even for one checkpoint and the journal.
    """
    free = shutil.disk_usage(folder).free
    there = f"{in_bytes(free)} are free in {folder}"
    if needed.least > free:
        raise UserError(
            f"{folder}: a checkpoint and the journal take {in_bytes(needed.least)}, {in_bytes(free)} are free there; "
            "make room, or choose another --run-dir"
        )
    if needed.total > free:
        remedy = "a smaller run.keep_checkpoints takes less; a full disk holds the run until there is room"
        return "warning", f"disk: {needed}, but {there}: {remedy}"
    return "info", f"disk: {needed}; {there}: fits"


def describe_fold(facts: ModelFacts, *, dtype: str, runtime: str, fold: FoldMode) -> str:
    """How updates are kept in weights of this precision, and what that takes, for the log."""
    if runtime != "vllm":
        return f"updates: in place, rounded to {dtype} at every step"
    size = residual_bytes(facts, runtime=runtime, fold=fold)
    how = {
        "residual": f"a residual beside the weights keeps what {dtype} cannot ({size / 1e9:.2g} GB more)",
        "stochastic": f"stochastic rounding to {dtype}, right on average (no more memory)",
        "nearest": f"rounded to {dtype} (no more memory)",
    }
    return f"folds: {how[fold]}"
