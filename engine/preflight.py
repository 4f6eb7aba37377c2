"""What is checked and decided before anything is loaded: device, runtime, memory."""

from __future__ import annotations

import importlib.util

import psutil
import torch

from engine import preset
from engine.capacity import plan_capacity
from engine.errors import UserError
from engine.fold import RESIDUAL_BYTES, FoldMode
from engine.model_files import ModelFacts, dtype_of
from engine.runtime import Needs

_LIBRARIES = 2**30  # bytes that torch, transformers and vLLM themselves take
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
) -> int:
    """Estimate the memory of a run, in bytes. Raises `UserError` if it is more than there is."""
    needed = estimate_memory(facts, needs, method, dtype=dtype, runtime=runtime, fold=fold)
    available = psutil.virtual_memory().available if device == "cpu" else torch.cuda.mem_get_info(device)[0]
    if limit_gib is not None:
        available = min(available, int(limit_gib * _GiB))
    if needed > available:
        residual = residual_bytes(facts, runtime=runtime, fold=fold)
        without = f", or --set model.fold=stochastic ({residual / _GiB:.1f} GiB less)" if residual else ""
        raise UserError(
            f"model.path: {facts.path}: needs about {needed / _GiB:.1f} GiB of memory on {device}, "
            f"{available / _GiB:.1f} GiB are available; take a smaller model, dtype or run.batch_size{without}"
        )
    return needed


def residual_bytes(facts: ModelFacts, *, runtime: str, fold: FoldMode) -> int:
    """What the residuals beside the weights take, in bytes."""
    if runtime != "vllm" or fold != "residual":
        return 0
    return RESIDUAL_BYTES * sum(m.rows * m.cols for m in facts.matrices)


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


def estimate_memory(
    facts: ModelFacts, needs: Needs, method: preset.Method, *, dtype: str, runtime: str, fold: FoldMode
) -> int:
    """Bytes of weights, residuals, KV space, directions, logits and libraries."""
    size = dtype_of(dtype).itemsize
    weights = facts.parameters * size
    factors = sum(m.rows + m.cols for m in facts.matrices) * method.rank
    sequences = needs.batch * needs.options
    if runtime == "training-loop":
        largest = max((m.rows * m.cols for m in facts.matrices), default=0)
        logits = sequences * needs.longest * facts.vocabulary * (size + 4)
        return weights + factors * 4 + largest * 8 + logits + _LIBRARIES
    plan = plan_capacity(needs, 16)
    kv = plan.blocks * 16 * facts.kv_bytes_per_token(dtype)
    # The signs of a pass, apart and together by layer; U_acc, and the directions of this pass and the next.
    slots = (4 * plan.signs + 2) * factors * size + (1 + plan.signs) * factors * 4
    widest = max((m.rows for m in facts.matrices), default=0)
    # What a pass has of its widest layer at once, and the logits of the head, also of vLLM's own warm-up.
    passing = 3 * plan.tokens * widest * size + facts.vocabulary * max(512, plan.sequences) * (size + 12)
    return weights + residual_bytes(facts, runtime=runtime, fold=fold) + kv + slots + passing + _LIBRARIES
