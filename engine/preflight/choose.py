"""Device, data type and runtime, where the preset leaves them open."""

from __future__ import annotations

import torch

from engine.errors import UserError
from engine.models.facts import ModelFacts
from engine.runtimes.vllm import support


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
    problem = support.problem(device)
    if not problem:
        return "vllm", f"runtime: vLLM {support.version()}"
    if wanted == "vllm":
        raise UserError(
            f"model.runtime: {problem}; pip install 'zotui[cuda]' (NVIDIA) or 'zotui[cpu]', "
            "or use --set model.runtime=training-loop"
        )
    return "training-loop", f"{problem}: the slower training-loop runtime is used"


def check_architecture(facts: ModelFacts) -> None:
    """Raise `UserError` if vLLM cannot adapt this model."""
    if not support.adaptable(facts.architecture):
        raise UserError(
            f"model.path: {facts.path}: vLLM has no LoRA support for {facts.architecture}; "
            "use --set model.runtime=training-loop"
        )
